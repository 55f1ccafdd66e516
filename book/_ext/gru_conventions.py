"""``{gru-conventions}``: two GRUs with one set of weights, side by side in the page.

One follows ``nn.GRU``; the reader chooses what *z* and the reset gate do in the other, and watches the two run apart,
step by step, or not. The markup is book/_templates/gru_conventions.html, the rest book/_static/gru-conventions.
Without JavaScript a sentence stands in its place. book/_static/README.md says more.
"""

from __future__ import annotations

from book_paths import TEMPLATES
from docutils import nodes
from live_piece import LivePiece, add_piece, render
from sphinx.application import Sphinx

FILES = tuple(f"gru-conventions/{name}" for name in ("conventions.css", "steps.js", "conventions.js"))
MARKUP = "gru_conventions.html"


class gru_conventions(nodes.General, nodes.Element):
    """The place where the two layers stand."""


class GRUConventions(LivePiece):
    """Put the two layers here. A page can hold them once."""

    piece = gru_conventions
    sources = (TEMPLATES / MARKUP,)


def setup(app: Sphinx) -> dict:
    return add_piece(app, "gru-conventions", GRUConventions, lambda translator, place: render(MARKUP), FILES)
