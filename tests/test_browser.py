"""Every page of the built site in a real browser: light and dark, from a phone to a wide screen, under axe-core."""

import pytest

from tests.chromium import served
from tests.site_pages import pages, site


@pytest.fixture(scope="module")
def visits(chromium):
    """What a browser saw on every page."""
    folder = site()
    with served(folder) as address:
        return chromium("browse.mjs", address, *(page.relative_to(folder).as_posix() for page in pages(folder)))


def test_every_page_was_opened_light_and_dark(visits):
    names = sorted(page.relative_to(site()).as_posix() for page in pages(site()))
    for mode in ("light", "dark"):
        assert sorted(visit["page"] for visit in visits if visit["colorScheme"] == mode) == names != []


def test_no_page_reports_an_error(visits):
    assert [(visit["page"], error) for visit in visits for error in visit["errors"]] == []


def test_no_page_asks_another_host(visits):
    assert [(visit["page"], url) for visit in visits for url in visit["outside"]] == []


def test_axe_finds_nothing(visits):
    assert [(visit["page"], visit["colorScheme"], line) for visit in visits for line in visit["barriers"]] == []


def test_no_page_scrolls_sideways(visits):
    assert {width for visit in visits for width in visit["sideways"]} == {"360", "768", "1280", "1440"}
    wide = [(visit["page"], width) for visit in visits for width, pixels in visit["sideways"].items() if pixels > 0]
    assert wide == []


def test_every_page_follows_the_system(visits):
    assert [visit["page"] for visit in visits if visit["theme"] != visit["colorScheme"]] == []


def test_the_text_face_is_there(visits):
    assert [visit["page"] for visit in visits if not visit["serif"]] == []
