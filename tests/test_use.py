"""Using the built site in a real browser, by keyboard: reach, find, switch, copy, unfold, contents, paper."""

import pytest

from tests.chromium import served
from tests.site_pages import parse, site

CHAPTER, CALCULATOR = "gates/gru.html", "parameters/outputs-and-states.html"
SEARCHED = {  # what a reader types, and a page that should be among what is found
    "gru_step": "companion.steps.gru_step",
    "bidirectional": "Bidirectional networks, twice",
    "h_n": "Outputs and states",
    "weight_ih_l0": "Moving weights",
}


@pytest.fixture(scope="module")
def use(chromium):
    """What using the site did."""
    with served(site()) as address:
        return chromium("browse_use.mjs", address, CHAPTER, CALCULATOR, *SEARCHED)


@pytest.mark.parametrize("width", ["1280", "360"])
@pytest.mark.parametrize("page", [CHAPTER, CALCULATOR])
def test_tab_reaches_everything_in_order_and_is_seen(use, page, width):
    walk = use["walks"][page][width]
    assert walk["reached"] == walk["expected"] > 40
    assert (walk["inOrder"], walk["withoutRing"], walk["unseen"]) == (True, [], [])


def test_the_first_stop_skips_the_navigation(use):
    seen = use["navigate"]
    assert (seen["first"], seen["skipShown"], seen["skipped"]) == ("Skip to the text", True, True)


def test_pages_are_turned_by_keyboard(use):
    seen = use["navigate"]
    assert (seen["moved"], seen["marked"], seen["byContents"]) == (True, True, True)


def test_the_theme_button_goes_round_and_is_remembered(use):
    seen = use["theme"]
    assert [seen[step]["theme"] for step in ("before", "light", "dark", "kept", "auto")] == [
        "light", "light", "dark", "dark", "light"
    ]
    assert seen["light"]["paper"] != seen["dark"]["paper"] == seen["kept"]["paper"]
    assert [seen[step]["says"] for step in ("light", "kept", "auto")] == [
        "Color theme: light", "Color theme: dark", "Color theme: as the system"
    ]


@pytest.mark.parametrize("query", SEARCHED)
def test_search_finds(use, query):
    assert any(SEARCHED[query] in title for title in use["search"]["found"][query])


def test_the_number_of_pages_found_is_said_aloud(use):
    *_, last = SEARCHED
    assert use["search"]["said"] == f"Pages found: {len(use['search']['found'][last])}"


def test_an_excerpt_has_a_formula_once(use):
    assert use["search"]["excerpt"] == "so ht is"


def test_a_result_opens_by_keyboard(use):
    assert use["search"]["opened"] == 1


def test_axe_finds_nothing_in_what_search_shows(use):
    assert use["search"]["barriers"] == []


def test_code_is_copied_as_it_stands(use):
    copy = use["copy"]
    assert copy["shown"] and copy["name"].startswith("Copy")
    assert copy["copied"].rstrip() == copy["code"] != ""
    assert copy["says"] == "Copied"


def test_a_folded_solution_opens_and_shuts(use):
    assert use["unfold"] == {"before": False, "opened": True, "shut": False}


def test_the_contents_open_and_close_on_a_phone(use):
    phone = use["phone"]
    assert (phone["before"], phone["opened"], phone["inside"], phone["backAtButton"]) == (False, True, True, True)


def test_the_contents_never_hide_what_has_the_focus(use):
    assert use["phone"]["afterIt"]


def test_axe_finds_nothing_in_the_open_contents(use):
    assert use["phone"]["barriers"] == []


def test_wide_code_scrolls_by_keyboard(use):
    assert use["phone"]["scrolled"] and use["phone"]["scrollerName"] == "Code, scrolls"


def test_paper_has_the_text_and_nothing_else(use):
    paper = use["print"]
    assert paper["navigation"] == []
    assert (paper["paper"], paper["ink"]) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)")


def test_pictures_are_whole_and_as_drawn_on_paper(use):
    paper = use["print"]
    assert set(paper["pictures"]) == {"none"} and paper["cut"] == 0


def test_nothing_is_cut_off_on_paper(use):
    assert use["print"]["hidden"] == 0


def test_solutions_are_open_on_paper_and_folded_after(use):
    folds = len(parse(site() / CHAPTER).select("article details"))
    assert use["print"]["folded"] == {"before": folds, "printed": 0, "after": folds} and folds > 0
