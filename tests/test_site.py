"""The built site: what it links exists, what it needs it carries, and a reader finds a way through every page."""

import importlib
import json
import re
import sys
from io import BytesIO
from pathlib import Path

import pytest

import companion
from tests.site_pages import ROOT, addresses, automatic_requests, broken_addresses, is_outside, pages, parse, site

RAW_MATHEMATICS = re.compile(r"\$\$|\\begin\{|\\\(|\\\[|\\frac|\\odot")


@pytest.fixture
def extension(monkeypatch):
    """Imports one of the book's Sphinx extensions by its name."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    return importlib.import_module


def where(holds):
    """The pages for which this holds."""
    folder = site()
    return [str(page.relative_to(folder)) for page in pages(folder) if holds(parse(page))]


# Every page -------------------------------------------------------------------------------------------------


def test_every_local_address_leads_somewhere():
    assert broken_addresses(site()) == []


def test_nothing_is_asked_of_another_host():
    assert automatic_requests(site()) == []


def test_our_script_names_no_address():
    assert "//" not in re.sub(r"^\s*//.*$", "", (site() / "_static" / "book.js").read_text(), flags=re.MULTILINE)


def test_the_checks_find_what_is_wrong(tmp_path):
    (tmp_path / "style.css").write_text('@import "https://fonts.example/serif.css"; p { background: url(gone.png) }')
    (tmp_path / "index.html").write_text(
        '<a href="gone.html">a</a> <a href="other.html#gone">b</a> <a href="other.html#here">c</a>'
        '<a href="https://example.org">d</a> <img src="//images.example/x.png">'
        '<link rel="canonical" href="https://e.org"> <link rel="preconnect" href="https://fonts.example"> <script src="https://cdn.example/x.js"></script>'
        '<p style="background: url(http://images.example/y.png)">e</p>'
    )
    (tmp_path / "other.html").write_text('<p id="here">here</p>')
    assert broken_addresses(tmp_path) == ["index.html: gone.html", "index.html: other.html#gone", "style.css: gone.png"]
    assert sorted(automatic_requests(tmp_path)) == [
        "index.html: //images.example/x.png",
        "index.html: http://images.example/y.png",
        "index.html: https://cdn.example/x.js",
        "index.html: https://fonts.example",
        "style.css: https://fonts.example/serif.css",
    ]


def test_every_page_has_a_title_a_language_and_a_description():
    def lacks(page):
        description = page.select_one("meta[name=description]")
        named = page.html.get("lang") and page.title.get_text(strip=True)
        return not (named and description and 15 <= len(description["content"]) <= 200)

    assert where(lacks) == []


def test_descriptions_differ():
    folder = site()
    words = [parse(page).select_one("meta[name=description]")["content"] for page in pages(folder)]
    assert sorted(set(words)) == sorted(words)


def test_every_page_has_one_heading_and_a_way_past_the_navigation():
    def lacks(page):
        return len(page.select("h1")) != 1 or not page.select_one("a.skip-link[href='#main-content']") or not page.main

    assert where(lacks) == []


def test_every_picture_says_what_it_shows():
    def lacks(page):
        pictures = [image.get("alt", "") for image in page.select("img")]
        drawings = [svg.get("aria-label", "") for svg in page.select("svg[role=img]")]
        return not all(words.strip() for words in pictures + drawings)

    assert where(lacks) == []


def test_every_drawing_is_a_picture_or_hidden():
    def bare(page):
        return [svg for svg in page.select("svg:not([role=img])") if not svg.find_parent(attrs={"aria-hidden": "true"})
                and svg.get("aria-hidden") != "true"]

    assert where(bare) == []


def test_every_table_has_a_header():
    def lacks(page):
        tables = page.select("table:not(.indextable)")
        return not all(any(head.get_text(strip=True) for head in table.select("th")) for table in tables)

    assert where(lacks) == []


def test_mathematics_is_rendered():
    folder = site()
    rendered = sum(len(parse(page).select(".math .katex")) for page in pages(folder))
    assert rendered > 0

    def lacks(page):
        return any(not math.select_one(".katex") for math in page.select(".math")) or page.select(".katex-error")

    assert where(lacks) == []


def test_no_mathematics_is_left_raw():
    def raw(page):
        article = page.select_one("article")
        words = [
            text for text in article.find_all(string=RAW_MATHEMATICS)
            if not text.find_parent(["code", "pre", "annotation", "script", "style"])
        ] if article else []
        return words

    assert where(raw) == []


def test_no_mathjax_no_thebe_no_theme_scripts():
    def loads(page):
        scripts = " ".join((tag.get("src") or tag.get_text()) for tag in page.select("script")).lower()
        return any(name in scripts for name in ("mathjax", "thebe", "require.js", "fontawesome", "togglebutton"))

    assert where(loads) == []


def test_no_cell_wrote_to_standard_error():
    assert where(lambda page: page.select(".output.stderr, .output.traceback")) == []


# Chapters and reference -------------------------------------------------------------------------------------


def test_every_notebook_page_offers_its_notebook():
    folder = site()
    for page in pages(folder):
        relative = page.relative_to(folder).with_suffix("")
        notebook = ROOT / "book" / relative.with_suffix(".ipynb")
        if notebook.is_file():
            (link,) = parse(page).select(".page-links a[download]")
            assert (page.parent / link["href"]).resolve().read_bytes() == notebook.read_bytes()


def test_chapters_lie_where_readers_link_them():
    folder = site()
    for name in ("foundations/sequences", "foundations/simple-rnn", "gates/gru"):
        assert (folder / f"{name}.html").is_file(), f"there is no page {name}.html"


def test_solutions_are_folded():
    folder = site()
    solutions = [block for page in pages(folder) for block in parse(page).select(".solution")]
    assert solutions, "no exercise has a solution"
    assert [block.name for block in solutions] == ["details"] * len(solutions)
    assert all(block.find(True).name == "summary" for block in solutions)


def test_every_public_name_is_documented_once():
    folder = site()
    documented = [tag["id"] for page in pages(folder) for tag in parse(page).select("dl.py > dt[id]")]
    public = [getattr(companion, name) for name in companion.__all__]
    names = [f"{thing.__module__}.{thing.__qualname__}" for thing in public]
    assert {name: documented.count(name) for name in names} == dict.fromkeys(names, 1)


def test_links_to_other_hosts_are_secure():
    folder = site()
    outside = {link for page in pages(folder) for link in addresses(page) if is_outside(link)}
    assert [link for link in sorted(outside) if not link.startswith(("https://", "http://localhost:"))] == []


# The extensions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment, origin, expected",
    [
        ({}, None, None),
        ({}, "https://github.com/reader/fork.git", "https://github.com/reader/fork"),
        ({}, "https://github.com/reader/fork", "https://github.com/reader/fork"),
        ({}, "git@github.com:reader/fork.git", "https://github.com/reader/fork"),
        ({}, "ssh://git@github.com/reader/fork.git", "https://github.com/reader/fork"),
        ({}, "ssh://git@git.school.example:2222/reader/fork.git", "https://git.school.example/reader/fork"),
        ({}, "https://reader:secret@github.com/reader/fork.git", "https://github.com/reader/fork"),
        ({}, "git@gitlab.com:group/course/fork.git", "https://gitlab.com/group/course/fork"),
        ({}, "/srv/git/fork.git", None),
        ({}, "../fork", None),
        ({}, "books/fork", None),
        ({}, "file:///srv/git/fork.git", None),
        ({}, "http://127.0.0.1:8080/reader/fork.git", None),
        ({}, "C:\\books\\fork", None),
        ({"GITHUB_REPOSITORY": "me/book"}, "https://github.com/reader/fork", "https://github.com/me/book"),
        ({"GITHUB_REPOSITORY": "me/book", "GITHUB_SERVER_URL": "https://git.school.example"}, None,
         "https://git.school.example/me/book"),
        ({"BOOK_REPOSITORY": "you/book", "GITHUB_REPOSITORY": "me/book"}, "git@github.com:a/b.git",
         "https://github.com/you/book"),
        ({"BOOK_REPOSITORY": "https://gitlab.com/you/book"}, None, "https://gitlab.com/you/book"),
        ({"BOOK_REPOSITORY": "", "GITHUB_REPOSITORY": ""}, "git@github.com:a/b.git", "https://github.com/a/b"),
    ],
)
def test_the_repository_is_found(extension, environment, origin, expected):
    found = extension("launch_buttons").find_repository(environment, origin)
    assert (found.url if found else None) == expected


@pytest.mark.parametrize(
    "environment, branch",
    [
        ({}, "main"),
        ({"GITHUB_REF_NAME": "draft", "GITHUB_REF_TYPE": "branch"}, "draft"),
        ({"GITHUB_REF_NAME": "v1.0", "GITHUB_REF_TYPE": "tag"}, "main"),
        ({"GITHUB_REF_NAME": "7/merge", "GITHUB_REF_TYPE": "branch"}, "main"),
        ({"BOOK_BRANCH": "edition-2", "GITHUB_REF_NAME": "draft", "GITHUB_REF_TYPE": "branch"}, "edition-2"),
    ],
)
def test_the_branch_is_found(extension, environment, branch):
    assert extension("launch_buttons").find_branch(environment) == branch


def test_launch_links_open_the_fork(extension):
    launch = extension("launch_buttons")
    found = launch.page_links(launch.Repository("https://github.com/me/book"), "gates/gru")
    links = {link["text"]: link["url"] for link in found}
    assert links == {
        "Open in Colab": "https://colab.research.google.com/github/me/book/blob/colab/book/gates/gru.ipynb",
        "Open in Binder": "https://mybinder.org/v2/gh/me/book/colab?urlpath=lab/tree/book/gates/gru.ipynb",
    }


def test_launch_links_are_absent_where_they_cannot_work(extension):
    launch = extension("launch_buttons")
    gitlab = launch.page_links(launch.Repository("https://gitlab.com/group/course/book"), "gates/gru")
    assert [link["url"] for link in gitlab] == [
        "https://mybinder.org/v2/gl/group%2Fcourse%2Fbook/main?urlpath=lab/tree/book/gates/gru.ipynb"
    ]
    assert launch.page_links(launch.Repository("https://git.school.example/me/book"), "gates/gru") == []
    assert launch.page_links(None, "gates/gru") == []


def test_built_launch_links_name_one_repository(extension):
    """No link above a notebook opens somebody else's repository, such as the theme's own."""
    launch = extension("launch_buttons")
    folder = site()
    owners = {parse(page).select_one(".contents .repository a") for page in pages(folder)}
    address = next((tag["href"] for tag in owners if tag), None)
    expected = launch.page_links(launch.Repository(address), "") if address else []
    for page in pages(folder):
        found = [link for link in parse(page).select(".page-links a") if is_outside(link["href"])]
        assert [link.get_text() for link in found] in ([], [link["text"] for link in expected])
        assert all(launch.Repository(address).name in link["href"].replace("%2F", "/") for link in found)


RECORD = {
    "kind": "cpu", "device": "a processor", "date": "2026-01-02", "commit": "abc", "versions": {"torch": "2"},
    "tests": {"passed": 1, "failed": 0, "skipped": 0}, "passed": True,
    "notebooks": [{"path": "gates/gru.ipynb", "seconds": 1.25, "cells": 3, "passed": True}],
}


def test_the_newest_record_of_each_kind_is_shown(extension, tmp_path):
    records = extension("run_records")
    assert records.read_records(tmp_path) == {}
    for name, day in (("a", "2026-01-02"), ("b", "2026-03-04T05:06:07Z"), ("c", "2025-12-31")):
        (tmp_path / f"{name}.json").write_text(json.dumps(RECORD | {"date": day}))
    found = records.read_records(tmp_path)
    assert found == {"cpu": RECORD | {"date": "2026-03-04T05:06:07Z"}}
    words = "\n".join(records.describe(found["cpu"], "cpu"))
    assert "4 March 2026" in words and "| {doc}`/gates/gru` | 3 | 1.2 | yes |" in words and "everything passed" in words
    assert "No GPU run recorded yet." in records.describe(None, "cuda")


def test_a_failed_run_says_so(extension):
    failed = RECORD | {"passed": False, "tests": {"passed": 1, "failed": 2, "skipped": 0}}
    words = "\n".join(extension("run_records").describe(failed, "cpu"))
    assert "**something failed**" in words and "2 failed" in words


@pytest.mark.parametrize(
    "text, complaint", [("{", "run.json is not JSON"), ('{"kind": "cpu"}', "run.json lacks device")]
)
def test_a_broken_record_is_named(extension, tmp_path, text, complaint):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        extension("run_records").read_records(tmp_path)


def test_a_drawing_joins_the_page(extension, tmp_path):
    path = tmp_path / "two words.svg"
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><defs><marker id="head"/></defs>'
                    '<path d="M0 0" marker-end="url(#head)"/></svg>')
    drawing = extension("diagram").inline_svg(path, 'a "quoted"\n alt')
    assert 'role="img"' in drawing and 'aria-label="a &quot;quoted&quot; alt"' in drawing and 'width="40"' in drawing
    assert 'id="two-words-head"' in drawing and 'marker-end="url(#two-words-head)"' in drawing


@pytest.mark.parametrize(
    "inside, complaint",
    [
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', "viewBox"),
        ("<svg", "not well formed"),
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script/></svg>', "<script> is not allowed"),
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><image/></svg>', "<image> is not allowed"),
    ],
)
def test_a_bad_drawing_is_refused(extension, tmp_path, inside, complaint):
    (tmp_path / "bad.svg").write_text(inside)
    with pytest.raises(ValueError, match=complaint):
        extension("diagram").inline_svg(tmp_path / "bad.svg", "alt")


def test_the_inventories_are_read_by_sphinx(extension):
    from sphinx.util.inventory import InventoryFile

    inventory = extension("reference_inventory")
    for source in inventory.FOLDER.glob("*.txt"):
        base, data = inventory.compile_inventory(source.read_text(), source.stem)
        entries = InventoryFile.load(BytesIO(data), base, lambda base, page: base + page)
        lines = [line for line in source.read_text().splitlines() if line and not line.startswith(("base", "#"))]
        assert sum(len(names) for names in entries.values()) == len(lines)
    with pytest.raises(Exception, match=r"torch\.txt, line 2"):
        inventory.compile_inventory("base https://example.org/\ntorch.Tensor class", "torch")


def test_the_lock_file_names_no_registry():
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert all(package.get("integrity") for name, package in packages.items() if name)


def test_katex_style_and_renderer_are_one_version():
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    katex = pytest.importorskip("sphinxcontrib.katex")
    assert packages["node_modules/katex"]["version"] == katex.katex_version


def test_the_look_names_only_its_own_files():
    style = (ROOT / "book" / "_static" / "book.css").read_text()
    assert not re.search(r"https?:|@import", style)
    assert Path(ROOT / "book" / "_static" / "favicon.svg").stat().st_size < 2_000
