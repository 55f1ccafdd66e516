"""What leads readers to a page: names, cards, the list of pages, the glossary, the index of functions, the search."""

import importlib
import json
import re
import subprocess
import sys
from io import BytesIO
from xml.etree import ElementTree

import nbformat
import pytest
import torch
from PIL import Image
from sphinx.application import Sphinx

import companion
from tests.chromium import find_node
from tests.site_pages import ROOT, pages, parse, site

BOOK = ROOT / "book"
NOTEBOOKS = sorted(path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
TITLE = "Recurrent Networks, Twice"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


@pytest.fixture
def extension(monkeypatch):
    """Imports one of the book's Sphinx extensions by its name."""
    monkeypatch.setattr(sys, "path", [str(BOOK / "_ext"), *sys.path])
    return importlib.import_module


def tag(page, name):
    """The content of a page's meta tag, or None."""
    found = page.select_one(f'meta[property="{name}"], meta[name="{name}"]')
    return found and found["content"]


# Names and descriptions -------------------------------------------------------------------------------------


def test_titles_differ_and_end_with_the_book():
    titles = {page: parse(page).title.get_text() for page in pages(site())}
    assert len(set(titles.values())) == len(titles)
    wrong = [title for title in titles.values() if title != TITLE and not re.fullmatch(rf"\S.* \| {TITLE}", title)]
    assert wrong == []


def test_descriptions_are_neither_cut_off_nor_empty():
    lengths = {page.name: len(tag(parse(page), "description")) for page in pages(site())}
    assert {name: length for name, length in lengths.items() if not 50 <= length <= 160} == {}


def test_every_page_introduces_itself():
    for page in pages(site()):
        tree = parse(page)
        assert tag(tree, "og:title") == tree.title.get_text().removesuffix(f" | {TITLE}")
        assert tag(tree, "og:description") == tag(tree, "description")
        assert tag(tree, "og:type") == ("website" if page == site() / "index.html" else "article")
        assert tag(tree, "og:site_name") == TITLE
        assert tag(tree, "twitter:card") in ("summary", "summary_large_image")


def test_absolute_addresses_come_together_or_not_at_all():
    """With the site's address: canonical links, cards and the list of pages; without it, none of them."""
    folder = site()
    base = tag(parse(folder / "index.html"), "og:url")
    listed = folder / "sitemap.xml"
    robots = (folder / "robots.txt").read_text()
    if base is None:
        assert not listed.exists() and "Sitemap" not in robots
        assert [page for page in pages(folder) if parse(page).select("link[rel=canonical]")] == []
        return
    assert f"Sitemap: {base}sitemap.xml" in robots
    found = {entry.text for entry in ElementTree.parse(listed).iter(f"{SITEMAP}loc")}
    canonical = set()
    for page in pages(folder):
        link = parse(page).select_one("link[rel=canonical]")
        if link:
            place = page.relative_to(folder).as_posix()
            assert link["href"] == tag(parse(page), "og:url") == base + ("" if place == "index.html" else place)
            assert (folder / tag(parse(page), "og:image").removeprefix(base)).is_file()
            canonical.add(link["href"])
    assert found == canonical and len(found) > 40


@pytest.mark.parametrize(
    "url, environment, expected",
    [
        ("https://github.com/Reader/fork", {}, "https://reader.github.io/fork/"),
        ("https://github.com/reader/reader.github.io", {}, "https://reader.github.io/"),
        ("https://gitlab.com/group/book", {}, ""),
        ("https://git.school.example/me/book", {}, ""),
        (None, {}, ""),
        (None, {"BOOK_SITE": "https://book.example/rnn"}, "https://book.example/rnn/"),
        ("https://github.com/reader/fork", {"BOOK_SITE": "https://book.example/"}, "https://book.example/"),
    ],
)
def test_the_address_of_the_site_is_found(extension, url, environment, expected):
    repository = extension("launch_buttons").Repository(url) if url else None
    assert extension("sharing").site_address(repository, environment) == expected


def test_a_wrong_address_of_the_site_is_refused(extension):
    with pytest.raises(ValueError, match="BOOK_SITE should be a web address"):
        extension("sharing").site_address(None, {"BOOK_SITE": "book.example"})


@pytest.fixture
def small_site(extension, tmp_path, monkeypatch):
    """Builds a book of two pages with our template and a given environment; returns its folder."""
    extension("sharing")

    def build(**environment):
        for name in ("BOOK_REPOSITORY", "GITHUB_REPOSITORY", "BOOK_SITE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        source, built = tmp_path / "source", tmp_path / "built" / "html"
        source.mkdir(exist_ok=True)
        (source / "index.rst").write_text("A small book\n============\n\n.. toctree::\n\n   gates/gru\n")
        (source / "gates").mkdir(exist_ok=True)
        (source / "gates" / "gru.rst").write_text("Gates & “more”\n==============\n\nText.\n")
        app = Sphinx(
            source, None, built, tmp_path / "doctrees", "html", status=None, warning=None, freshenv=True,
            confoverrides={"html_title": "A small book", "html_theme": "basic", "html_use_index": False,
                           "extensions": ["launch_buttons", "sharing"], "templates_path": [str(BOOK / "_templates")]},
        )
        app.connect("html-page-context", lambda app, page, template, context, tree: context.update(
            description=f"About {page}: words enough to be a description of it.", book_repository="", page_links=[],
            generate_toc_html=lambda: "",
        ), priority=900)
        app.build()
        return built

    return build


def test_a_fork_s_pages_name_the_fork(small_site):
    built = small_site(BOOK_REPOSITORY="reader/fork")
    page = parse(built / "gates" / "gru.html")
    assert tag(page, "og:title") == "Gates & “more”"
    assert tag(page, "og:url") == "https://reader.github.io/fork/gates/gru.html"
    assert page.select_one("link[rel=canonical]")["href"] == tag(page, "og:url")
    assert tag(page, "og:image") == "https://reader.github.io/fork/_cards/gates/gru.png"
    assert tag(page, "twitter:card") == "summary_large_image" and tag(page, "og:image:alt")
    assert Image.open(built / "_cards" / "gates" / "gru.png").size == (1200, 630)
    listed = [entry.text for entry in ElementTree.parse(built / "sitemap.xml").iter(f"{SITEMAP}loc")]
    assert listed == ["https://reader.github.io/fork/", "https://reader.github.io/fork/gates/gru.html"]


def test_without_an_address_nothing_absolute_is_written(small_site):
    small_site(BOOK_REPOSITORY="reader/fork")
    built = small_site(BOOK_REPOSITORY="https://gitlab.com/group/book")
    text = (built / "gates" / "gru.html").read_text()
    assert "og:description" in text and "github.io" not in text
    assert not re.search(r"og:url|og:image|canonical", text)
    assert not (built / "sitemap.xml").exists() and not (built / "_cards").exists()
    assert "Sitemap" not in (built / "robots.txt").read_text()


# Cards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("motif", ["Foundations", "Gates", "Depth, direction, length", "Every parameter",
                                   "Recurrence that does not wait", "Reference"])
@pytest.mark.parametrize("place, count", [(1, 1), (2, 5), (24, 24)])
def test_a_card_is_small_and_has_the_colors_of_the_book(extension, motif, place, count):
    title = "Inside torch/nn/modules/rnn.py, a long title indeed"
    png = extension("cards").card(TITLE, motif, title, place, count, motif)
    image = Image.open(BytesIO(png))
    assert (image.format, image.size) == ("PNG", (1200, 630)) and len(png) <= 60_000
    colors = {color for _, color in image.convert("RGB").getcolors()}
    assert len(colors) > 8 and (255, 255, 255) in colors
    edge = image.convert("RGB").crop((1160, 0, 1200, 630)).getcolors()
    assert edge == [(40 * 630, (255, 255, 255))], "something reaches over the margin"


def test_cards_differ_by_title_and_place(extension):
    cards = extension("cards")
    drawn = {cards.card(TITLE, "Gates", title, place, 5, "Gates") for title in ("One", "Two") for place in (1, 2)}
    assert len(drawn) == 4


def test_a_card_is_drawn_once(extension, tmp_path, monkeypatch):
    cards = extension("cards")
    first = cards.cached_card(tmp_path, TITLE, "Gates", "The GRU, twice", 3, 5, "Gates")
    monkeypatch.setattr(cards, "card", lambda *arguments: pytest.fail("drawn again"))
    assert cards.cached_card(tmp_path, TITLE, "Gates", "The GRU, twice", 3, 5, "Gates") == first


def test_every_part_has_its_place(extension):
    parts = extension("sharing").read_parts(ROOT / "_toc.yml")
    names = {part for part, _, _ in parts.values()}
    assert set(extension("cards").MOTIFS) <= names, "a part has another name than its motif"
    assert parts["gates/gru"][0] == "Gates" and parts["reference/steps"][0] == "Reference"
    assert all(1 <= place <= count for _, place, count in parts.values())


# Glossary ---------------------------------------------------------------------------------------------------


def glossary():
    """The terms and their meanings, as they are written."""
    text = (BOOK / "glossary.md").read_text()
    block = re.search(r"```\{glossary\}\n(.*?)```", text, re.DOTALL)[1]
    return {term: " ".join(words.split()) for term, words in re.findall(r"^(\S.*)\n((?:  .+\n)+)", block, re.MULTILINE)}


def linked_terms(path):
    """By place: each glossary term that a notebook links, with the cell it is in."""
    for number, cell in enumerate(nbformat.read(path, 4).cells):
        for words in re.findall(r"\{term\}`([^`]+)`", cell.source):
            target = re.fullmatch(r".*<([^>]+)>", words)
            yield number, cell.cell_type, target[1] if target else words


def test_the_glossary_is_in_order_and_says_where_each_term_is_taught():
    terms = glossary()
    assert 50 <= len(terms) <= 130
    assert list(terms) == sorted(terms, key=str.lower)
    assert [term for term, words in terms.items() if "{doc}`/" not in words[-90:]] == []
    assert {term: len(words) for term, words in terms.items() if not 60 <= len(words) <= 330} == {}
    for words in terms.values():
        for page in re.findall(r"\{doc\}`/([\w/-]+)`", words):
            assert (BOOK / f"{page}.ipynb").is_file(), page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapters_link_terms_once_in_their_prose(path):
    found = list(linked_terms(path))
    known = {term.lower() for term in glossary()}
    assert 4 <= len(found) <= 10
    assert [term for _, _, term in found if term.lower() not in known] == []
    assert len({term.lower() for _, _, term in found}) == len(found), "a term is linked twice"
    assert {kind for _, kind, _ in found} == {"markdown"}
    for cell in nbformat.read(path, 4).cells:
        for line in cell.source.splitlines():
            assert "{term}" not in line or not line.startswith(("#", "|", ":", "```")), line


def test_linked_terms_lead_to_the_glossary():
    folder = site()
    for path in NOTEBOOKS:
        page = folder / path.relative_to(BOOK).with_suffix(".html")
        if page.is_file():  # a chapter may not be in the contents yet
            links = parse(page).select('article a[href*="glossary.html#term-"]')
            assert len(links) == len(list(linked_terms(path))), path.stem


# Functions and chapters -------------------------------------------------------------------------------------


def test_the_reader_of_notebooks_follows_imports(extension):
    reader = extension("function_index").Reader()
    reader.read("%matplotlib inline\nimport torch\nfrom torch import nn\nimport torch.nn.functional as F\n!ls")
    reader.read("from companion import gru_step, fit as train\nlayer = nn.GRU(3, 4)\nF.linear(torch.ones(1), train)")
    reader.read("fit = 3\nprint(fit)\n\ndef gru_step(x):\n    return F.pad(x)\n\ngru_step(1)\nnn = 2\nnn.Linear")
    assert reader.used == {"torch.nn.GRU", "torch.nn.functional.linear", "torch.ones", "companion.fit",
                           "torch.nn.functional.pad"}
    assert reader.defined == {"gru_step"}


@pytest.mark.parametrize(
    "dotted, full",
    [
        ("companion.gru_step", "companion.steps.gru_step"),
        ("companion.SRU.from_official", "companion.sru.SRU"),
        ("companion.batching.length_mask", "companion.batching.length_mask"),
        ("torch.nn.functional.linear", "torch.nn.functional.linear"),
        ("torch.nn.GRU", "torch.nn.GRU"),
        ("torch.nn", None), ("torch.nothing", None), ("numpy.zeros", None), ("companion.__version__", None),
    ],
)
def test_dotted_names_lead_to_what_they_name(extension, dotted, full):
    assert extension("function_index").full_name(dotted) == full


def test_the_index_lists_what_the_chapters_do(extension, tmp_path):
    index = extension("function_index")
    for name, cells in {
        "one": ["# Counting", "from companion import perplexity\nimport torch.nn as nn\nnn.GRU(1, 2)\nperplexity(1)"],
        "two": ["# Steps", "def rnn_step(x): return x\nrnn_step(1)"],
    }.items():
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_markdown_cell(cells[0]), nbformat.v4.new_code_cell(cells[1])]
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    public = index.public_names(BOOK / "reference")
    uses = index.read_notebooks(tmp_path, ["one", "two"], public)
    assert uses["companion.steps.rnn_step"] == ({"two"}, set())
    assert uses["companion.metrics.perplexity"] == (set(), {"one"})
    assert uses["torch.nn.GRU"] == (set(), {"one"})
    assert "| `nn.GRU` | {doc}`/one` |" in index.torch_table(uses, set(), ["one", "two"])


def test_every_public_name_has_its_row():
    table, torch_table = parse(site() / "function-index.html").select("table")
    rows = {row.td.get_text(): row for row in table.select("tbody tr")}
    listed = [name for name in companion.__all__ if callable(getattr(companion, name))]
    assert [name for name in listed if name not in rows] == []
    assert list(rows) == sorted(rows, key=lambda name: name.lower())
    places = [[link["href"] for link in cell.select("a")] for cell in rows["gru_step"].select("td")]
    assert places[0][0].startswith("reference/steps.html#") and places[1] == ["gates/gru.html"] and len(places[2]) >= 3
    names = [row.td.get_text() for row in torch_table.select("tbody tr")]
    assert {"nn.GRU", "nn.LSTM", "nn.RNN", "nn.functional.linear", "nn.utils.rnn.pack_padded_sequence"} <= set(names)
    assert all(hasattr(torch.nn, name.split(".")[1]) for name in names)


# Search -----------------------------------------------------------------------------------------------------

EXPECTED = {  # among the first five pages
    "bidirectional": "depth-direction-length/bidirectional",
    "h_n": "parameters/outputs-and-states",
    "weight_ih_l0": "parameters/inside-the-source",
    "gru_step": "gates/gru",
    "forget gate": "gates/lstm",
    "packed sequence": "depth-direction-length/variable-lengths",
    "truncated backpropagation": "foundations/backpropagation-through-time",
    "proj_size": "parameters/hidden",
    "perplexity": "foundations/sequences",
    "Keras": "parameters/moving-weights",
    "parallel scan": "without-waiting/recurrence-without-waiting",
    "teacher forcing": "glossary",
}


@pytest.fixture(scope="module")
def found():
    """What the site's own search finds for each query, pages in their order."""
    folder, node = site(), find_node()
    if node is None:
        pytest.skip("There is no node to run the search in.")
    command = [node, "tests/search.mjs", folder, *EXPECTED, "qqqq"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout)
    return {query: list(dict.fromkeys(result["name"] for result in answer))
            for query, answer in zip([*EXPECTED, "qqqq"], results, strict=True)}


@pytest.mark.parametrize("query, page", EXPECTED.items())
def test_search_finds_the_page_among_the_first_five(found, query, page):
    assert page in found[query][:5]


def test_search_finds_nothing_for_what_is_nowhere(found):
    assert found["qqqq"] == []


def test_the_search_knows_code_and_leaves_out_what_cells_printed():
    text = (site() / "searchindex.js").read_text()
    index = json.loads(text[text.index("{") : text.rindex(")")])
    words = set(index["terms"])
    assert {"h_n", "c_n", "weight_ih_l0", "bias_hh_l0", "gru_step", "batch_first", "pack_padded_sequence"} <= words
    assert [word for word in words if word[0].isdigit() or len(word) > 40] == []
    assert len(text) < 400_000


def test_names_keep_their_endings(extension):
    english = extension("search_index").BookEnglish({})
    assert english.stem("weight_ih_l0") == "weight_ih_l0" and english.stem("num_layers") == "num_layers"
    assert english.stem("Gates") == english.stem("gate") == "gate"
    assert not english.word_filter("0") and not english.word_filter("12e5") and english.word_filter("h_n")
