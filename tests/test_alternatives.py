"""What stands in the built pages for those who do not see a picture or a column: words that say what it shows."""

from tests.site_pages import pages, parse, site

SHORTEST = 60  # characters; a shorter text names a picture and does not say what it shows


def pictures(page):
    """Every plot and drawing of a page's text, with its words; a script fills in what is hidden before it runs."""
    for picture in parse(page).select("article img, article svg[role=img]"):
        if not picture.find_parent(hidden=True):
            yield picture, " ".join((picture.get("alt") or picture.get("aria-label") or "").split())


def caption(picture):
    """The words under a picture, without its number."""
    figure = picture.find_parent("figure")
    text = figure and figure.select_one("figcaption .caption-text, figcaption")
    return " ".join(text.get_text(" ").split()).removesuffix(" #") if text else ""


def everywhere():
    folder = site()
    return [(page.relative_to(folder).as_posix(), *found) for page in pages(folder) for found in pictures(page)]


def test_alternative_texts_say_what_is_to_see():
    found = everywhere()
    assert len(found) > 20
    assert [(page, words) for page, _, words in found if len(words) < SHORTEST] == []


def test_alternative_texts_are_not_the_captions():
    same = [(page, words) for page, picture, words in everywhere() if words.rstrip(".") == caption(picture).rstrip(".")]
    assert same == []


def test_no_two_pictures_share_their_words():
    texts = [words for _, _, words in everywhere()]
    assert sorted({words for words in texts if texts.count(words) > 1}) == []


def test_every_table_has_a_head_and_no_empty_header():
    folder = site()
    tables = [(page.relative_to(folder).as_posix(), table) for page in pages(folder)
              for table in parse(page).select("article table:not(.indextable)")]
    assert len(tables) > 20
    assert [page for page, table in tables if not table.select("thead th, tbody th[scope]")] == []
    assert [page for page, table in tables if any(not head.get_text(strip=True) for head in table.select("th"))] == []


def test_formulas_can_be_listened_to():
    """Each carries its MathML; the drawn letters beside it are hidden from a screen reader."""
    formulas = [formula for page in pages(site()) for formula in parse(page).select(".katex")]
    assert len(formulas) > 100
    assert all(formula.select_one(".katex-mathml math") for formula in formulas)
    assert all(formula.select_one(".katex-html[aria-hidden=true]") for formula in formulas)
