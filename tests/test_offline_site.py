"""The site from a disk, as from a USB stick: every page opened by file:, and the zip that `make dist` packs.

Skips, saying so, without Chromium.
"""

import shutil
import zipfile

import pytest

from tests.site_pages import ROOT, pages, parse, site
from tools import make_zip, measure_pages, static_host

SEARCHED = "gru_step"


def browse(chromium, folder, names):
    """What a browser reports of pages opened from the disk; the last of them is scrolled and followed, too."""
    return chromium("browse_files.mjs", f"{folder.resolve().as_uri()}/", SEARCHED, *names)


def longest_chapter(folder):
    """The chapter with the most bytes."""
    return max(measure_pages.chapters(ROOT / "book"), key=lambda page: (folder / page).stat().st_size)


@pytest.fixture(scope="module")
def report(chromium):
    """What a browser saw on every page of the built folder."""
    folder = site()
    names = [page.relative_to(folder).as_posix() for page in pages(folder)]
    names.sort(key=lambda page: page == longest_chapter(folder))  # the last one
    return browse(chromium, folder, names)


def complaints(report, key):
    return [(visit["page"], words) for visit in report["visits"] for words in visit[key]]


def test_every_page_opens_from_the_disk(report):
    assert len(report["visits"]) == len(pages(site())) > 50
    assert complaints(report, "errors") == []


def test_no_page_from_the_disk_asks_for_anything_else(report):
    assert complaints(report, "outside") == []


def test_pages_from_the_disk_are_set_in_the_text_face(report):
    assert [(visit["page"], visit["face"]) for visit in report["visits"] if "Source Serif" not in visit["face"]] == []
    assert complaints(report, "broken") == []


def test_search_works_from_the_disk(report):
    searched = report["searched"]
    assert any(SEARCHED in title for title in searched["found"])
    assert (searched["errors"], searched["outside"]) == ([], [])
    assert searched["opened"]


def test_nothing_moves_while_a_page_loads(report):
    assert [(visit["page"], visit["shifted"]) for visit in report["visits"] if visit["shifted"] >= 0.02] == []


def test_nothing_moves_while_a_reader_scrolls(report):
    scrolled = report["scrolled"]
    assert scrolled["images"] > 0 and scrolled["height"] > 10_000
    assert scrolled["shifted"] < 0.02


def test_a_link_into_a_page_ends_at_its_section(report):
    followed = report["followed"]
    assert 0 <= followed["top"] < 200 or followed["bottom"], followed


def test_a_first_visit_of_a_chapter_is_small(report):
    """What a browser really asks for, without figures; tests/test_fast_site.py bounds it without a browser."""
    folder = site()
    chapters = set(measure_pages.chapters(ROOT / "book"))
    sizes = {
        visit["page"]: sum(static_host.transfer_size(folder / name) for name in set(visit["files"])
                           if not name.startswith("_images/"))
        for visit in report["visits"] if visit["page"] in chapters
    }
    assert sizes.keys() == chapters
    assert {page: size for page, size in sizes.items() if size > 350_000} == {}


def test_no_page_asks_for_a_font_it_does_not_show(report):
    folder = site()
    for visit in report["visits"]:
        if not parse(folder / visit["page"]).select_one(".katex, .diagram .symbol"):
            assert [name for name in visit["files"] if "katex" in name] == [], visit["page"]


# The zip ------------------------------------------------------------------------------------------------------------


def test_the_zip_holds_the_site_and_opens(tmp_path, chromium):
    folder = site()
    archive = tmp_path / "site.zip"
    make_zip.main(str(folder), str(archive))
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        names = packed.namelist()
        packed.extractall(tmp_path)
    (top,) = {name.split("/")[0] for name in names}
    assert top == f"recurrent-networks-twice-{make_zip.version()}"
    unpacked = tmp_path / top
    assert pages(unpacked) == [unpacked / page.relative_to(folder) for page in pages(folder)]
    assert all((unpacked / page.relative_to(folder)).read_bytes() == page.read_bytes() for page in pages(folder))
    seen = browse(chromium, unpacked, ["index.html", "reference/steps.html", "gates/gru.html"])
    assert complaints(seen, "errors") == complaints(seen, "outside") == []
    assert any(SEARCHED in title for title in seen["searched"]["found"])


def test_the_zip_has_the_same_bytes_again(tmp_path):
    for name, words in (("b.html", "b"), ("index.html", "i"), ("a/c.html", "c"), (".buildinfo", "x")):
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(words)
    for copy in ("one", "two"):
        shutil.copytree(tmp_path / "site", tmp_path / copy, copy_function=shutil.copyfile)  # new dates
        make_zip.main(str(tmp_path / copy), str(tmp_path / f"{copy}.zip"))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as packed:
        assert [name.split("/", 1)[1] for name in packed.namelist()] == ["a/c.html", "b.html", "index.html"]
        assert {entry.date_time for entry in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_no_zip_of_nothing(tmp_path):
    with pytest.raises(SystemExit, match="There is no built site"):
        make_zip.main(str(tmp_path), str(tmp_path / "site.zip"))
    assert not (tmp_path / "site.zip").exists()
