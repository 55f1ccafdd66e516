"""``{live-model}``: a trained character model that runs in the page.

The reader types a text and watches the predictions, the units and the gates change, character by character. The markup
is book/_templates/live_model.html, the rest book/_static/live. The weights and what computes with them come only when
the reader comes near. Without JavaScript a sentence stands in its place. book/_static/README.md says more.
"""

from __future__ import annotations

import hashlib
import re
import textwrap

from book_paths import TEMPLATES
from docutils import nodes
from live_piece import LivePiece, add_piece, render
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

STATIC = TEMPLATES.parent / "_static"
FILES = ("live/live.css", "live/view.js", "live/live.js")  # with the page
EQUATIONS, WEIGHTS = "live/gru.js", "live/story-gru.js"
ON_DEMAND = (EQUATIONS, "live/weights.js", WEIGHTS)  # the weights last: weights.js takes them
MARKUP = "live_model.html"


class live_model(nodes.General, nodes.Element):
    """The place where the live model stands."""


class LiveModel(LivePiece):
    """Put the live model here; the text in it is the directive's content, in one line. A page can hold one."""

    has_content = True
    piece = live_model
    sources = (TEMPLATES / MARKUP, STATIC / EQUATIONS, STATIC / WEIGHTS)

    def describe(self) -> dict:
        text = " ".join(self.content).strip()
        if not text:
            raise self.error("live-model: its content should be the text to begin with, got none")
        return {"text": text}


def step_of(script: str) -> str:
    """The function ``step`` of gru.js with its comment, as it stands there."""
    found = re.search(r"^  /\*\*(?:(?!\*/).)*\*/\n  function step\(.*?^  \}\n", script, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError("gru.js should hold a function step with a comment above it")
    return textwrap.dedent(found[0])


def versioned(path: str) -> str:
    """A file's address with a mark of its content, so that no browser mixes an old file with a new one."""
    return f"{path}?v={hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:8]}"


def draw(translator, place: live_model) -> str:
    """The live model's markup on the page that a translator writes."""
    page = translator.builder.get_target_uri(translator.builder.current_docname)
    step = step_of((STATIC / EQUATIONS).read_text(encoding="utf-8"))
    return render(
        MARKUP,
        text=place["text"],
        scripts=[relative_uri(page, f"_static/{versioned(path)}") for path in ON_DEMAND],
        equations=relative_uri(page, f"_static/{EQUATIONS}"),
        kilobytes=round((STATIC / WEIGHTS).stat().st_size / 1000),
        step=translator.highlighter.highlight_block(step, "javascript"),
    )


def setup(app: Sphinx) -> dict:
    return add_piece(app, "live-model", LiveModel, draw, FILES)
