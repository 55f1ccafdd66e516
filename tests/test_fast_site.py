"""Pages that are there at once: nothing holds back the first paint, nothing moves, nothing is loaded for nothing.

Read from the built files. What a browser makes of them is in tests/test_offline_site.py; `make lighthouse` measures it.
"""

import gzip
import importlib
import io
import json
import re
import sys
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.site_pages import ROOT, pages, parse, site
from tools import measure_pages, static_host

FIRST_VISIT = 350_000  # bytes of a chapter as sent, without figures
HEAD_SCRIPT = 2_300    # characters that may run before the first paint: the theme must be known before it

# A script and what on a page calls for it. Any other belongs to a directive, so it stands on the few pages with that.
SCRIPTS = {
    "book.js": "main", "copybutton.js": "div.highlight", "clipboard.min.js": "div.highlight",
    "documentation_options.js": "div.highlight, #search-results", "design-tabs.js": ".sd-tab-set",
    "doctools.js": "#search-results", "sphinx_highlight.js": "#search-results", "searchtools.js": "#search-results",
    "language_data.js": "#search-results", "results.js": "#search-results", "searchindex.js": "#search-results",
    "steps.js": "figure.steps, .gru-conventions",
}
PAGES_OF_A_DIRECTIVE = 3
IDLE = re.compile(r"LICENSE|/diagrams/|/logo\.svg|/design-tabs\.js")  # drawings are in the pages; tabs have no page yet

FACE = re.compile(r"@font-face\{([^}]*)\}")
FAMILY = re.compile(r"""font(?:-family)?:[^;}]*?(KaTeX_\w+)""")
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


@pytest.fixture
def extension(monkeypatch):
    """Imports one of the book's Sphinx extensions by its name."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    return importlib.import_module


@cache
def scripts(page):
    """The names of a page's script files."""
    return [tag["src"].split("?")[0].rsplit("/", 1)[-1] for tag in parse(page).select("script[src]")]


@cache
def style(page):
    """A page's style sheets as one text."""
    return "".join(tag.get_text() for tag in parse(page).head.select("style"))


def where(holds):
    """The pages for which this holds of the file."""
    folder = site()
    return [str(page.relative_to(folder)) for page in pages(folder) if holds(page)]


# What holds back the first paint --------------------------------------------------------------------------------


def test_no_style_sheet_is_waited_for():
    assert where(lambda page: parse(page).select("link[rel~=stylesheet]")) == []
    assert where(lambda page: "@import" in style(page)) == []


def test_no_script_is_waited_for():
    def waits(page):
        return [tag for tag in parse(page).select("script[src]")
                if not (tag.has_attr("defer") or tag.has_attr("async") or tag.get("type") == "module")]

    assert where(waits) == []


def test_what_runs_before_the_first_paint_is_short():
    def runs_long(page):
        return sum(len(tag.get_text()) for tag in parse(page).head.select("script:not([src])")
                   if tag.get("type") in (None, "module", "text/javascript")) > HEAD_SCRIPT

    assert where(runs_long) == []


def test_text_is_never_invisible_and_never_jumps():
    folder = site()
    faces = [face for face in FACE.findall(style(folder / "index.html")) if "url(" in face]
    assert faces
    assert [face for face in faces if "font-display:optional" not in face] == []


def test_fonts_are_asked_for_at_once():
    folder = site()
    (script,) = [tag.get_text() for tag in parse(folder / "index.html").head.select("script:not([src])")
                 if "preload" in tag.get_text()]
    names = json.loads(re.search(r"\[[^]]*woff2[^]]*\]", script)[0])
    assert names and all((folder / "_static" / name).is_file() for name in names)


# What a page loads ------------------------------------------------------------------------------------------------


def test_every_script_of_a_page_has_work_there():
    def idle(page):
        return [name for name in scripts(page) if name in SCRIPTS and not parse(page).select_one(SCRIPTS[name])]

    assert where(idle) == []


def test_scripts_of_a_directive_are_on_its_pages_only():
    others = [name for page in pages(site()) for name in scripts(page) if name not in SCRIPTS]
    assert {name: others.count(name) for name in others if others.count(name) > PAGES_OF_A_DIRECTIVE} == {}


def test_katex_is_on_pages_with_mathematics_only():
    # A diagram's letters are of KaTeX's face, too; without mathematics they take the next one.
    differs = where(lambda page: ("KaTeX_Main" in style(page)) != bool(parse(page).select_one(".katex")))
    assert differs == []


def test_every_file_has_a_use():
    folder = site()
    text = "".join(path.read_text(encoding="utf-8") for kind in ("html", "js") for path in folder.rglob(f"*.{kind}"))
    idle = [path.relative_to(folder).as_posix() for path in (folder / "_static").rglob("*")
            if path.is_file() and path.name not in text]
    assert [name for name in idle if not IDLE.search(name)] == []


def chapter_weights():
    """The most that the first visit of each chapter can take, in bytes as sent, without figures."""
    folder = site()
    return {chapter: weight(folder / chapter) for chapter in measure_pages.chapters(ROOT / "book")}


def weight(page):
    """The page, its scripts, and every font that a part of it asks for."""
    tree = parse(page)
    files = {page} | {page.parent / tag["src"].split("?")[0] for tag in tree.select("script[src]")}
    files |= {page.parent / source for source in fonts(page)}
    return sum(static_host.transfer_size(file.resolve()) for file in files)


def fonts(page):
    """The addresses of the fonts of a page: all of the text face, and each family of KaTeX that something is set in."""
    used = {family for selector, rules in RULE.findall(style(page)) for family in FAMILY.findall(rules)
            if not selector.startswith("@") and matches(page, selector)}
    for face in FACE.findall(style(page)):
        family = re.search(r"KaTeX_\w+", face.split("src:")[0])
        source = re.search(r'url\("?([^")]+)', face)
        if source and (family is None or family[0] in used):
            yield source[1]


def matches(page, selector):
    """Whether a selector of the style sheets finds anything on a page."""
    return parse(page).select_one(re.sub(r"::?(?:before|after)", "", selector)) is not None


def test_a_first_visit_of_a_chapter_is_small():
    weights = chapter_weights()
    assert weights and min(weights.values()) > 60_000  # at least a page and a face
    assert {chapter: size for chapter, size in weights.items() if size > FIRST_VISIT} == {}


# Images -------------------------------------------------------------------------------------------------------------


def test_every_image_has_the_size_of_its_file():
    folder = site()
    seen = 0
    for page in pages(folder):
        for tag in parse(page).select("img"):
            assert tag.get("width", "").isdigit() and tag.get("height", "").isdigit(), (page, tag)
            source = page.parent / tag["src"]
            if source.suffix != ".svg":
                with Image.open(source) as image:
                    width, height = image.size
                assert int(tag["height"]) == pytest.approx(int(tag["width"]) * height / width, abs=1), (page, tag)
            seen += 1
    assert seen > 20


def test_every_image_but_the_first_is_lazy():
    def differs(page):
        return [tag for number, tag in enumerate(parse(page).select("article img"))
                if (tag.get("loading") == "lazy") != (number > 0)]

    assert where(differs) == []


@pytest.mark.parametrize(
    "tag, expected",
    [
        ('<img alt="a > b" src="../_images/plot.png" />', ('width="80"', 'height="40"')),
        ('<img src="../_images/plot.png" width="40">', ('width="40"', 'height="20"')),
        ("<img width='40px' src='../_images/plot.png'>", ("width='40px'", 'height="20"')),
        ('<img src="../_images/plot.png" width="7" height="7">', ('width="7"', 'height="7"')),
        ('<img src="../_static/drawing.svg">', ('width="300"', 'height="150"')),
    ],
)
def test_an_image_gets_its_size(extension, tmp_path, tag, expected):
    context, warnings = complete(extension("sized_images"), tmp_path, f"<p>{tag}</p>{tag}")
    first, second = re.findall(r"<img\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>", context["body"])
    assert all(words in first and words in second for words in expected)
    assert (first.count("width="), first.count("height=")) == (1, 1)
    assert "loading" not in first and 'loading="lazy"' in second
    assert warnings == []


def test_an_image_that_is_not_known_is_told(extension, tmp_path):
    _, warnings = complete(extension("sized_images"), tmp_path, '<img src="../_images/gone.png">')
    assert warnings == ["../_images/gone.png"]


def complete(sized_images, folder, body):
    """What the extension makes of a page's body, and the images it warned of."""
    Image.new("RGB", (80, 40)).save(folder / "source.png")
    (folder / "_static").mkdir()
    (folder / "_static" / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 150"/>')

    class App:
        srcdir = outdir = folder

        builder = SimpleNamespace(images={"source.png": "plot.png"})

    warnings = []

    class Logger:
        def warning(self, words, address, location):
            warnings.append(address)

    context = {"body": body}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sized_images, "logger", Logger())
        sized_images.complete_images(App, "gates/gru", "page.html", context, None)
    return context, warnings


# Style sheets inside pages ------------------------------------------------------------------------------------------


def test_a_style_sheet_is_made_compact_and_keeps_its_meaning(extension):
    compact = extension("inline_styles").compact
    written = """a::before { content: "/* { x; } */"; /* why */
      margin: 0 auto; }
    @media (min-width: 3px) { b > i :hover { top: calc(1px + 2px); } }"""
    assert compact(written) == (
        'a::before{content:"/* { x; } */";margin:0 auto}@media (min-width: 3px){b > i :hover{top:calc(1px + 2px)}}'
    )


def test_addresses_are_seen_from_the_page(extension):
    rebase = extension("inline_styles").rebase
    written = "a{b:url(fonts/x.woff2)} c{d:url('../y.png')} e{f:url(data:image/png;base64,AA)} g{h:url(#i)}"
    assert rebase(written, "../_static/katex") == (
        'a{b:url("../_static/katex/fonts/x.woff2")} c{d:url("../_static/y.png")} '
        "e{f:url(data:image/png;base64,AA)} g{h:url(#i)}"
    )


def test_pages_carry_the_style_sheet_of_today(extension):
    """A build after a change of a style sheet writes every page again."""
    compact = extension("inline_styles").compact
    last_rule = compact((ROOT / "book" / "_static" / "book.css").read_text())[-150:]
    assert where(lambda page: last_rule not in style(page)) == []


# The host and the table of `make lighthouse` ------------------------------------------------------------------------


@pytest.fixture
def small_site(tmp_path):
    """A site of three chapters and a reference; beside it a file that is none of its."""
    folder = tmp_path / "site"
    for name, size in (("index", 5), ("gates/gru", 90), ("gates/lstm", 200), ("foundations/tensors", 10),
                       ("reference/index", 5), ("reference/steps", 50), ("reference/bptt", 20)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.html").write_text("<p>" + "page " * size)
    (folder / "plot.png").write_bytes(b"image")
    (tmp_path / "secret.html").write_text("secret")
    return folder


def test_the_host_compresses_and_lets_keep(small_site):
    with static_host.serving(small_site) as address:
        with urllib.request.urlopen(f"{address}gates/gru.html?v=1") as answer:
            body = answer.read()
            assert gzip.decompress(body) == (small_site / "gates" / "gru.html").read_bytes()
            assert answer.headers["Content-Encoding"] == "gzip" and answer.headers["Cache-Control"] == "max-age=600"
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert len(body) == static_host.transfer_size(small_site / "gates" / "gru.html")
        with urllib.request.urlopen(f"{address}plot.png") as answer:
            assert (answer.read(), answer.headers["Content-Encoding"]) == (b"image", None)
        with urllib.request.urlopen(address) as answer:
            assert gzip.decompress(answer.read()) == (small_site / "index.html").read_bytes()
        for gone in ("gone.html", "..%2fsecret.html"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(address + gone)


def test_the_longest_pages_are_measured(small_site):
    chapters = ["foundations/tensors.html", "gates/gru.html", "gates/lstm.html"]
    assert list(measure_pages.choose_pages(small_site, chapters)) == [
        "index.html", "gates/lstm.html", "reference/index.html", "reference/steps.html"
    ]


def test_the_chapters_are_the_notebooks():
    found = measure_pages.chapters(ROOT / "book")
    assert "gates/gru.html" in found and "index.html" not in found
    assert all((ROOT / "book" / page).with_suffix(".ipynb").is_file() for page in found)


def a_run(performance, accessibility=1, page="index.html"):
    figures = {"firstPaint": 812.4, "largestPaint": 1203.9, "blocking": 12.2, "shift": 0.0004, "bytes": 85_400}
    return {"address": f"http://localhost:1/{page}", "scores": [performance, accessibility, 1, 1], "figures": figures,
            "lost": {"color-contrast": "too little"}, "version": "13.5.0"}


def test_a_row_is_a_name_and_four_scores(capsys):
    measure_pages.print_table([("opening page", a_run(0.994)), ("longest chapter", a_run(0.9, 0.96))])
    lines = capsys.readouterr().out.splitlines()
    (opening,), (longest,) = ([line for line in lines if re.match(rf"{name}.* 100$", line)]
                              for name in ("opening page", "longest chapter"))
    assert opening.split()[-4:] == ["99", "100", "100", "100"]
    assert longest.split()[-4:] == ["90", "96", "100", "100"]
    assert "opening page: first paint 0.8 s, largest 1.2 s, blocked 12 ms, layout shift 0.000, 85 kB" in lines
    assert [line for line in lines if "below" in line] == ["  below 95/100/100/100: color-contrast (too little)"]


def test_of_several_runs_the_median_counts():
    runs = [a_run(score) for score in (0.9, 1, 0.95)]
    assert measure_pages.median(runs)["scores"][0] == 0.95
    assert measure_pages.median(runs[:2])["scores"][0] == 0.9
    assert measure_pages.median(runs[:1]) is runs[0]


@pytest.mark.parametrize("accessibility, fails", [(1, False), (0.99, True)])
def test_what_does_not_depend_on_the_machine_must_be_100(monkeypatch, small_site, accessibility, fails):
    monkeypatch.setattr(measure_pages, "SITE", small_site)
    monkeypatch.setattr(measure_pages.shutil, "which", lambda name: name)
    monkeypatch.setattr(measure_pages, "measure", lambda *arguments: iter([a_run(0.5, accessibility)]))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    if fails:
        with pytest.raises(SystemExit):
            measure_pages.main("1", "index.html")
    else:
        measure_pages.main("1", "index.html")


def test_what_is_missing_is_told(small_site):
    assert "no Chromium" in measure_pages.missing(small_site, ["index.html"], None)
    assert "no page gone.html" in measure_pages.missing(small_site, ["gone.html"], "chromium")
    with pytest.raises(SystemExit, match="RUNS must be a number from 1 on, not 'many'"):
        measure_pages.main("many")


def test_lighthouse_is_pinned_and_names_no_registry():
    folder = ROOT / "tools" / "lighthouse"
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]["lighthouse"]
    assert packages["node_modules/lighthouse"]["version"] == wanted
    assert int(wanted.split(".")[0]) >= 12
    assert "lighthouse" not in (ROOT / "package.json").read_text()
    assert Path(ROOT / ".npmrc").read_text() == (folder / ".npmrc").read_text()
