"""The picture that a link to a page shows elsewhere: the book's name, the part, the title, and where the page stands.

Its lower half is the chain of states of the logo. The chain has a state for every page of the part, nine at most, and
those up to this page are filled. What stands around the chain belongs to the part: gates, a second direction, a scan,
rows of a weight. The colors are those of companion/plotting.py, the letters those of the pages.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

from book_paths import NODE_MODULES
from PIL import Image, ImageDraw, ImageFont

from companion.plotting import BLUE, GRAY, GREEN, PURPLE, VERMILLION

WIDTH, HEIGHT, MARGIN = 1200, 630, 80
PAPER, INK, SOFT_INK = "#ffffff", "#1d2126", "#57606b"
FACE = NODE_MODULES / "@fontsource" / "source-serif-4" / "files"
FINE = 2  # drawn so many times larger and then reduced: Pillow's own edges are steps
CHAIN_Y, REACH = 500, 62  # of the chain's states; how far what belongs to the part may reach up and down
DOT, MOST = 24, 9  # a state's radius; how many fit


def card(book: str, part: str, title: str, place: int, count: int, motif: str = "") -> bytes:
    """The PNG of a page's card, 1200 x 630 pixels.

    Args:
        book: the book's name.
        part: the name of the part, or "".
        title: the page's title.
        place: the page's number in its part, from 1.
        count: how many pages the part has.
        motif: a name in :data:`MOTIFS`; any other draws the chain twice, as in the logo.
    """
    image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), PAPER)
    pen = Pen(ImageDraw.Draw(image))
    draw_logo(pen, MARGIN, 74)
    pen.write((MARGIN + 72, 74), book, 32, INK, "lm", "600")
    if part:
        pen.write((MARGIN, 156), part, 34, BLUE, "ls", "400")
    draw_title(pen, title)
    if count > MOST:
        place, count = math.ceil(place * MOST / count), MOST
    places = [MARGIN + DOT + (WIDTH - 2 * (MARGIN + DOT)) * k / max(count - 1, 1) for k in range(count)]
    MOTIFS.get(motif, draw_twins)(pen, places, place)
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).quantize(64, dither=Image.Dither.NONE)
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def cached_card(folder: Path, *arguments) -> Path:
    """The card's file in `folder`, drawn unless it was drawn before by this very code."""
    key = hashlib.sha256(repr(arguments).encode() + Path(__file__).read_bytes()).hexdigest()[:20]
    path = folder / f"{key}.png"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(card(*arguments))
    return path


# What everything is drawn with


class Pen:
    """Pillow's drawing, in the card's own pixels."""

    def __init__(self, canvas: ImageDraw.ImageDraw) -> None:
        self.canvas = canvas

    def line(self, *points: tuple[float, float], color: str, width: float = 5) -> None:
        self.canvas.line([(x * FINE, y * FINE) for x, y in points], color, round(width * FINE), joint="curve")

    def dot(self, x: float, y: float, radius: float, color: str, filled: bool = True, width: float = 5) -> None:
        box = [(x - radius) * FINE, (y - radius) * FINE, (x + radius) * FINE, (y + radius) * FINE]
        self.canvas.ellipse(box, color if filled else PAPER, color, round(width * FINE))

    def box(self, left: float, top: float, right: float, bottom: float, color: str, filled: bool = True) -> None:
        edges = [left * FINE, top * FINE, right * FINE, bottom * FINE]
        self.canvas.rounded_rectangle(edges, 5 * FINE, color if filled else PAPER, color, 4 * FINE)

    def arrow(self, x: float, y: float, to_x: float, color: str) -> None:
        """A level line with a head, to the right or to the left."""
        back = 13 if to_x < x else -13
        self.line((x, y), (to_x + back / 2, y), color=color)
        head = [(to_x, y), (to_x + back, y - 9), (to_x + back, y + 9)]
        self.canvas.polygon([(a * FINE, b * FINE) for a, b in head], color)

    def write(self, place: tuple[float, float], text: str, size: int, color: str, anchor: str, weight: str) -> None:
        x, y = place
        self.canvas.text((x * FINE, y * FINE), text, color, face(size, weight), anchor)


@cache
def face(size: int, weight: str) -> ImageFont.FreeTypeFont:
    """The text face of the pages."""
    return ImageFont.truetype(str(FACE / f"source-serif-4-latin-{weight}-normal.woff"), size * FINE)


def draw_logo(pen: Pen, x: float, y: float) -> None:
    """The logo, 56 pixels wide, its middle at the height y."""
    for dy, filled in ((-11, False), (11, True)):
        pen.line((x + 6, y + dy), (x + 50, y + dy), color=BLUE, width=3)
        for dx in (7, 28, 49):
            pen.dot(x + dx, y + dy, 7, BLUE, filled, 3)


def draw_title(pen: Pen, title: str) -> None:
    """The title in one line or two, as large as it fits."""
    for size in range(84, 40, -4):
        lines = wrap(title, size)
        if all(width(line, size) <= WIDTH - 2 * MARGIN for line in lines):
            break
    top = 276 if len(lines) == 1 else 252
    for number, line in enumerate(lines):
        pen.write((MARGIN, top + number * 1.12 * size), line, size, INK, "ls", "600")


def wrap(title: str, size: int) -> list[str]:
    """The title in one line, or in two of about the same width."""
    words = title.split()
    if width(title, size) <= WIDTH - 2 * MARGIN or len(words) == 1:
        return [title]
    halves = [[" ".join(words[:cut]), " ".join(words[cut:])] for cut in range(1, len(words))]
    return min(halves, key=lambda pair: max(width(line, size) for line in pair))


def width(line: str, size: int) -> float:
    """The width of a line of a title, in pixels of the card."""
    return face(size, "600").getlength(line) / FINE


# The chains


def draw_chain(pen: Pen, places: list[float], place: int, y: float = CHAIN_Y, backward: bool = False) -> None:
    """States and the arrows between them; those up to `place` are filled."""
    for left, right in pairwise(places):
        ends = (right - DOT, left + DOT) if backward else (left + DOT, right - DOT)
        pen.arrow(ends[0], y, ends[1], BLUE)
    for number, x in enumerate(places, 1):
        pen.dot(x, y, DOT, BLUE, number <= place)


def draw_twins(pen: Pen, places: list[float], place: int) -> None:
    """The chain twice, as in the logo: the second is filled up to the page."""
    draw_chain(pen, places, 0, CHAIN_Y - 40)
    draw_chain(pen, places, place, CHAIN_Y + 40)


def draw_unrolled(pen: Pen, places: list[float], place: int) -> None:
    """Every state reads an input."""
    for x in places:
        pen.line((x, CHAIN_Y + DOT), (x, CHAIN_Y + REACH), color=GRAY)
        pen.box(x - 11, CHAIN_Y + REACH - 5, x + 11, CHAIN_Y + REACH + 17, GRAY)
    draw_chain(pen, places, place)


def draw_gated(pen: Pen, places: list[float], place: int) -> None:
    """On every way from a state to the next stand three gates."""
    draw_chain(pen, places, place)
    for left, right in pairwise(places):
        middle = (left + right) / 2
        for dx, color in ((-34, VERMILLION), (0, GREEN), (34, PURPLE)):
            pen.line((middle + dx, CHAIN_Y - 2), (middle + dx, CHAIN_Y - REACH), color=color)
            pen.dot(middle + dx, CHAIN_Y - REACH, 13, color)


def draw_both_ways(pen: Pen, places: list[float], place: int) -> None:
    """A second chain runs back."""
    for x in places:
        pen.line((x, CHAIN_Y - 45), (x, CHAIN_Y + 45), color=GRAY, width=3)
    draw_chain(pen, places, place, CHAIN_Y - 45, backward=True)
    draw_chain(pen, places, place, CHAIN_Y + 45)


def draw_scan(pen: Pen, places: list[float], place: int) -> None:
    """Neighbors are joined two by two, and then the joined ones: a tree, not a chain."""
    step = (places[-1] - places[0]) / 15 if len(places) > 1 else 60
    row = [places[0] + step * k for k in range(16)]
    for level, y in enumerate((CHAIN_Y + 70, CHAIN_Y + 25, CHAIN_Y - 20, CHAIN_Y - 65)):
        above = [(a + b) / 2 for a, b in zip(row[::2], row[1::2], strict=True)]
        if level < 3:
            for parent, pair in zip(above, zip(row[::2], row[1::2], strict=True), strict=True):
                for x in pair:
                    pen.line((x, y), (parent, y - 45), color=GRAY, width=3)
        for number, x in enumerate(row):
            pen.dot(x, y, 13, BLUE, filled=level < place or number == len(row) - 1)
        row = above


def draw_rows(pen: Pen, places: list[float], place: int) -> None:
    """The blocks of rows of a weight, one color a gate; the columns up to the page are filled."""
    half = min(38, (places[1] - places[0]) / 2 - 8) if len(places) > 1 else 38
    for number, x in enumerate(places, 1):
        for row, color in enumerate((GREEN, VERMILLION, PURPLE, GRAY)):
            top = CHAIN_Y - 80 + 40 * row
            pen.box(x - half, top, x + half, top + 32, color, number <= place)


def draw_answers(pen: Pen, places: list[float], place: int) -> None:
    """Every state gives an answer; those up to the page are filled."""
    for number, x in enumerate(places, 1):
        pen.line((x, CHAIN_Y - DOT), (x, CHAIN_Y - REACH), color=GREEN)
        pen.box(x - 24, CHAIN_Y - REACH - 34, x + 24, CHAIN_Y - REACH, GREEN, number <= place)
    draw_chain(pen, places, place)


MOTIFS = {
    "Foundations": draw_unrolled,
    "Gates": draw_gated,
    "Depth, direction, length": draw_both_ways,
    "Recurrence that does not wait": draw_scan,
    "Every parameter": draw_rows,
    "Put to work": draw_answers,
}
