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
from jinja2 import Environment, FileSystemLoader
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

STATIC = TEMPLATES.parent / "_static"
FOLDER = "live/"  # in the static folder
STYLES = (f"{FOLDER}live.css",)
SCRIPTS = (f"{FOLDER}view.js", f"{FOLDER}live.js")  # with the page
EQUATIONS, WEIGHTS = f"{FOLDER}gru.js", f"{FOLDER}story-gru.js"
ON_DEMAND = (EQUATIONS, f"{FOLDER}weights.js", WEIGHTS)  # the weights last: weights.js takes them
MARKUP = "live_model.html"


class live_model(nodes.General, nodes.Element):
    """The place where the live model stands."""


class LiveModel(SphinxDirective):
    """Put the live model here; the text in it is the directive's content, in one line. A page can hold one."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        if any(self.state.document.findall(live_model)):
            raise self.error("live-model: there is one on this page already")
        text = " ".join(self.content).strip()
        if not text:
            raise self.error("live-model: its content should be the text to begin with, got none")
        for path in (TEMPLATES / MARKUP, STATIC / EQUATIONS, STATIC / WEIGHTS):
            self.env.note_dependency(str(path))
        place = live_model(text=text)
        self.set_source_info(place)
        return [place]


def step_of(script: str) -> str:
    """The function ``step`` of gru.js with its comment, as it stands there."""
    found = re.search(r"^  /\*\*(?:(?!\*/).)*\*/\n  function step\(.*?^  \}\n", script, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError("gru.js should hold a function step with a comment above it")
    return textwrap.dedent(found[0])


def versioned(path: str) -> str:
    """A file's address with a mark of its content, so that no browser mixes an old file with a new one."""
    return f"{path}?v={hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:8]}"


def render(place: live_model, page: str, highlight) -> str:
    """The live model's markup on a page with this address."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    step = step_of((STATIC / EQUATIONS).read_text(encoding="utf-8"))
    return templates.get_template(MARKUP).render(
        text=place["text"],
        scripts=[relative_uri(page, f"_static/{versioned(path)}") for path in ON_DEMAND],
        equations=relative_uri(page, f"_static/{EQUATIONS}"),
        kilobytes=round((STATIC / WEIGHTS).stat().st_size / 1000),
        step=highlight(step),
    )


def load_nowhere(app: Sphinx, config) -> None:
    """Take the files out of those for every page: Jupyter Book lists whatever lies in the static folder."""
    for name in ("html_css_files", "html_js_files"):
        files = [file for file in config[name] if not (file if isinstance(file, str) else file[0]).startswith(FOLDER)]
        setattr(config, name, files)


def load_here(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Load the page's part on a page that has the live model."""
    if doctree is None or not any(doctree.findall(live_model)):
        return
    for style in STYLES:
        app.add_css_file(style, priority=900)  # after book.css
    for script in SCRIPTS:
        app.add_js_file(script, loading_method="defer")


def visit_html(self, node) -> None:
    page = self.builder.get_target_uri(self.builder.current_docname)
    self.body.append(render(node, page, lambda code: self.highlighter.highlight_block(code, "javascript")))
    raise nodes.SkipNode


def visit_other(self, node) -> None:
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (visit_other, None))
    app.add_node(live_model, html=(visit_html, None), **others)
    app.add_directive("live-model", LiveModel)
    app.connect("config-inited", load_nowhere)
    app.connect("html-page-context", load_here)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
