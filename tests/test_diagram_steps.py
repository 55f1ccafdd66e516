"""Drawings that build up: what the directive takes and refuses, the layers' drawings, and a page in a browser."""

import importlib
import re
import sys
from xml.etree import ElementTree

import pytest

from tests.site_pages import ROOT, pages, parse, site, static_files
from tests.small_book import STATIC, build, need_katex, write_book

LAYERS = {  # the chapter, the drawing in it, and the gates in the order in which they come
    "foundations/simple-rnn": ("rnn-step", ["input", "state", "cell", "state"]),
    "gates/lstm": ("lstm-output", ["cell", "input-gate", "forget", "output", "state"]),
    "gates/gru": ("gru-update", ["candidate", "reset", "update"]),
    "without-waiting/sru": ("sru-step", ["candidate", "forget", "output", "state"]),
}
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><g class="state" data-step="1"><path d="M0 0"/></g>'
    '<g class="reset" data-step="2"><path class="wire" data-step="3" d="M0 9"/></g><text>always</text></svg>'
)
BODY = """.. diagram:: drawing.svg
   :alt: The whole drawing, in words.
   :steps:

   The caption,
   of two lines.

   1. First the *state*,
      at rest.
   2. Then the gate.
   3. Then its wire.
"""


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    return importlib.import_module("diagram_steps")


def write(source, body=BODY, drawing=DRAWING):
    write_book(source, "diagram", "diagram-steps", body)
    (source / "drawing.svg").write_text(drawing)
    return source


# The directive ------------------------------------------------------------------------------------------------------


def test_the_caption_and_the_lines_are_told_apart(steps):
    lines = ["The caption, in", "1997.", "", "1. One,", "   and more.", "2.  Two: 1. is no item here.", ""]
    assert steps.split_content(lines) == (
        "The caption, in 1997.", ["One, and more.", "Two: 1. is no item here."]
    )


@pytest.mark.parametrize(
    "lines, complaint",
    [
        (["A caption."], "a numbered list"),
        (["1. One."], "expected a caption"),
        ([], "expected a caption"),
        (["A caption.", "", "2. Two."], "item 1, got '2. Two.'"),
        (["A caption.", "", "1. One.", "3. Three."], "item 2, got '3. Three.'"),
    ],
)
def test_a_wrong_content_is_refused(steps, lines, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        steps.split_content(lines)


def test_a_drawing_has_as_many_steps_as_lines(steps, tmp_path):
    path = tmp_path / "drawing.svg"
    path.write_text(DRAWING)
    steps.check_drawing(path, 3)
    for count in (2, 4):
        with pytest.raises(ValueError, match=rf"{count} lines, so data-step should be 1, 2.*; it is 1, 2, 3"):
            steps.check_drawing(path, count)
    path.write_text(re.sub(r' data-step="\d"', "", DRAWING))
    with pytest.raises(ValueError, match="it is nowhere"):
        steps.check_drawing(path, 3)


def test_a_build_names_what_is_wrong(tmp_path):
    need_katex()
    with pytest.raises(AssertionError, match=r"diagram drawing\.svg: steps: 2 lines"):
        build(write(tmp_path, body=BODY.replace("   3. Then its wire.\n", "")), tmp_path / "html")


# The layers' drawings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, hues", LAYERS.values(), ids=[name for name, _ in LAYERS.values()])
def test_each_step_of_a_layer_brings_its_gate(name, hues):
    """Every step adds something of its gate's hue, and all that is drawn has a hue of the book's."""
    root = ElementTree.parse(STATIC / "diagrams" / f"{name}.svg").getroot()
    groups = [part for part in root if part.tag.endswith("}g")]
    for step, hue in enumerate(hues, start=1):
        assert hue in {group.get("class") for group in groups if group.get("data-step") == str(step)}
    style = (STATIC / "book.css").read_text()
    assert all(re.search(rf"\.diagram \.{group.get('class')}\b", style) for group in groups)
    legend = [group for group in groups if group.get("data-step") is None]
    assert all(part.tag.endswith(("}rect", "}text")) for group in legend for part in group)


@pytest.mark.parametrize("chapter", LAYERS)
def test_the_chapter_of_each_layer_builds_it_up(chapter):
    name, hues = LAYERS[chapter]
    page = site() / f"{chapter}.html"
    (figure,) = parse(page).select("figure.steps")
    assert static_files(page, "diagram-steps") == ["steps.css", "steps.js"]
    assert {part["data-step"] for part in figure.select("svg [data-step]")} == set(map(str, range(1, len(hues) + 1)))
    lines = [line.get_text(strip=True) for line in figure.select("ol > li")]
    assert len(lines) == len(hues) and all(15 < len(line) < 160 for line in lines)
    assert figure.figcaption and len(figure.select("input[type=radio]")) == len(hues) + 1
    assert f"{name}-" in figure.select_one("marker")["id"]


def test_no_other_page_loads_the_files():
    folder = site()
    for page in pages(folder):
        has = bool(parse(page).select("figure.steps"))
        assert static_files(page, "diagram-steps") == (["steps.css", "steps.js"] if has else []), page.name


# In a page ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    need_katex()
    two = f"{BODY}\n{BODY.replace('The caption', 'Another')}"
    return build(write(tmp_path_factory.mktemp("source"), two), tmp_path_factory.mktemp("site") / "html")


def test_two_drawings_keep_their_numbers_apart(book):
    groups = [{box["name"] for box in figure.select("input")} for figure in parse(book / "index.html").select("figure")]
    assert [len(names) for names in groups] == [1, 1] and groups[0] != groups[1]
    assert static_files(book / "without.html", "diagram-steps") == []


def test_the_lines_are_text_of_the_page(book):
    figure = parse(book / "index.html").select_one("figure")
    lines = [" ".join(line.get_text().split()) for line in figure.select("ol > li")]
    assert lines == ["First the state, at rest.", "Then the gate.", "Then its wire."]
    assert figure.select_one("ol em").get_text() == "state"
    assert figure.figcaption.get_text(strip=True).startswith("The caption, of two lines.")


@pytest.fixture(scope="module")
def report(book, chromium):
    return chromium("browse_diagram_steps.mjs", (book / "index.html").as_uri())


WHOLE = [True, True, True]


def test_it_opens_everywhere_without_an_error(report):
    seen = [(visit["width"], visit["colorScheme"]) for visit in report["visits"]]
    assert seen == [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
    assert [(visit["errors"], visit["outside"], visit["sideways"]) for visit in report["visits"]] == [([], [], 0)] * 4
    assert all(visit["checked"] > 5 and visit["faint"] == [] for visit in report["visits"])


def test_at_first_the_whole_drawing_is_shown(report):
    for visit in report["visits"]:
        assert visit["start"] == {
            "parts": WHOLE, "lines": [], "alt": "The whole drawing, in words.", "chosen": "all", "announced": "",
            "invites": True,
        }


def test_the_keys_build_it_up(report):
    texts = ["First the state, at rest.", "Then the gate.", "Then its wire."]
    for visit in report["visits"]:
        for step, seen in enumerate(visit["steps"], start=1):
            assert seen["chosen"] == str(step) and seen["lines"] == [texts[step - 1]] and not seen["invites"]
            assert seen["parts"] == [place < step for place in range(3)]
            assert seen["alt"] == f"Step {step} of 3. {texts[step - 1]}" and seen["announced"] == texts[step - 1]
        assert len(visit["steps"]) == 3
        assert visit["end"] == {**visit["start"], "announced": "The whole drawing."}


def test_the_other_drawing_stays_whole(report):
    assert [visit["other"] for visit in report["visits"]] == [WHOLE] * 4


def test_nothing_below_moves(report):
    assert [visit["moved"] for visit in report["visits"]] == [0] * 4


def test_focus_is_seen(report):
    assert [visit["focusSeen"] for visit in report["visits"]] == [True] * 4


def test_print_shows_all_of_it(report):
    lines = ["First the state, at rest.", "Then the gate.", "Then its wire."]
    assert [visit["printed"] for visit in report["visits"]] == [{"parts": WHOLE, "lines": lines, "choices": False}] * 4


def test_without_a_script_all_of_it_stands_there(report):
    seen = report["unscripted"]
    assert seen["parts"] == WHOLE and len(seen["lines"]) == 3 and not seen["choices"] and not seen["invites"]


def test_motion_is_for_those_who_want_it(report):
    assert report["motion"] == {"reduce": False, "no-preference": True}
