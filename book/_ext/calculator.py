"""``{calculator}``: a calculator of shapes in the page.

The reader chooses a layer, its arguments and an input; every weight, the counts, the shapes and a picture follow, or
what torch would raise. The markup is book/_templates/calculator.html, the rest book/_static/calculator. Without
JavaScript a sentence stands in its place. book/_static/README.md says more.
"""

from __future__ import annotations

from book_paths import TEMPLATES
from docutils import nodes
from live_piece import LivePiece, add_piece, render
from sphinx.application import Sphinx

FILES = tuple(  # each script uses those before it
    f"calculator/{name}" for name in ("calculator.css", "shapes.js", "picture.js", "calculator.js")
)
MARKUP = "calculator.html"


class calculator(nodes.General, nodes.Element):
    """The place where the calculator stands."""


class Calculator(LivePiece):
    """Put the calculator here. A page can hold one."""

    piece = calculator
    sources = (TEMPLATES / MARKUP,)


def setup(app: Sphinx) -> dict:
    return add_piece(app, "calculator", Calculator, lambda translator, place: render(MARKUP), FILES)
