"""Colors apart enough to read (WCAG AA): the style sheet's own in both modes, and figures as a page shows them.

axe-core measures the words of every page; it passes over code in lines that overlap or overflow, and over pictures.
"""

import re

import pytest

from companion.plotting import COLORS, STYLE
from tests.chromium import served
from tests.site_pages import ROOT, parse, site

SHEET = (ROOT / "book" / "_static" / "book.css").read_text()
HEX = re.compile(r"--([\w-]+):\s*(#[0-9a-f]{6});")
WORDS, LINES = 4.5, 3.0


def palette(mode):
    """The style sheet's variables that are colors; the dark ones stand in for the light ones where there are any."""
    light = HEX.findall(SHEET[SHEET.index(":root {") :].partition("\n}")[0])
    dark = HEX.findall(re.search(r':root\[data-theme="dark"\] \{(.*?)\}', SHEET, re.DOTALL)[1])
    return dict(light) | (dict(dark) if mode == "dark" else {})


def luminance(rgb):
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def rgb(color):
    return tuple(int(color[place : place + 2], 16) for place in (1, 3, 5))


def mixed(color, share, ground):
    """What color-mix(in srgb, color share, ground) gives."""
    return tuple(share * over + (1 - share) * under for over, under in zip(rgb(color), rgb(ground), strict=True))


def test_contrast_is_wcags():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(rgb("#767676"), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_words_stand_out_on_every_ground(mode):
    colors = palette(mode)
    inks = [name for name in colors if re.fullmatch(r"ink|soft-ink|accent|caution|code-\w+|\w+-word", name)]
    grounds = [name for name in colors if re.fullmatch(r"paper|tint|accent-tint|caution-tint", name)]
    assert len(inks) >= 15 and len(grounds) == 4
    ratios = {(ink, ground): contrast(rgb(colors[ink]), rgb(colors[ground])) for ink in inks for ground in grounds}
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < WORDS} == {}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_drawings_stand_out(mode):
    """The lines of a part on the paper, and its letters on the tint of its box."""
    colors = palette(mode)
    parts = [name.removesuffix("-word") for name in colors if name.endswith("-word") and name != "code-word"]
    assert len(parts) == 6
    for part in parts:
        assert contrast(rgb(colors[part]), rgb(colors["paper"])) >= LINES, part
        box = mixed(colors[part], 0.11, colors["paper"])  # as .diagram .box mixes it
        assert contrast(rgb(colors[f"{part}-word"]), box) >= WORDS, part
    assert "color-mix(in srgb, var(--hue) 11%, var(--paper))" in SHEET


def test_every_kind_of_code_has_a_color_of_the_palette():
    """No color in the rules for code but those that the test above measures."""
    rules = re.findall(r"^\.highlight [^{]*\{([^}]*)\}", SHEET, re.MULTILINE)
    used = {color for rule in rules for color in re.findall(r"(?<![-\w])color:\s*([^;]+);", rule)}
    allowed = {f"var(--{name})" for name in palette("light") if name.startswith("code-")} | {"var(--caution)"}
    assert len(used) >= 5 and used <= allowed


@pytest.fixture(scope="module")
def shown(chromium):
    """The colors of a plot, each as the page shows it, light and dark."""
    chapter = "gates/gru.html"
    if not (site() / chapter).is_file() or not parse(site() / chapter).select("article img[src$='.png']"):
        pytest.fail(f"{chapter} shows no plot any more: name another chapter here.")
    colors = ["#ffffff", "#000000", *sorted(set(COLORS.values()) | {STYLE["axes.edgecolor"]})]
    with served(site()) as address:
        return chromium("browse_figures.mjs", address, chapter, *colors)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_figures_stand_out(shown, mode):
    seen = shown[mode]
    ratios = {color: contrast(seen[color], seen["#ffffff"]) for color in seen if color != "#ffffff"}
    assert ratios["#000000"] >= WORDS and ratios[COLORS["baseline"]] >= WORDS  # what words in figures are set in
    assert {color: round(ratio, 2) for color, ratio in ratios.items() if ratio < LINES} == {}


def test_figures_sink_into_the_dark_page(shown):
    assert tuple(shown["light"]["#ffffff"]) == (255, 255, 255)
    assert tuple(shown["dark"]["#ffffff"]) == rgb(palette("dark")["paper"])


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_hues_stay_apart(shown, mode):
    """Turning the lightness over must not bring two parts' colors together."""
    seen = [shown[mode][color] for color in sorted(set(COLORS.values()))]
    distances = [max(abs(a - b) for a, b in zip(one, two, strict=True)) for one in seen for two in seen if one != two]
    assert min(distances) >= 40
