"""``{gru-conventions}``: two GRUs with one set of weights, side by side in the page.

One follows ``nn.GRU``; the reader chooses what *z* and the reset gate do in the other, and watches the two run apart,
step by step, or not. The markup is book/_templates/gru_conventions.html, the rest book/_static/gru-conventions.
Without JavaScript a sentence stands in its place. book/_static/README.md says more.
"""

from __future__ import annotations

from book_paths import TEMPLATES
from docutils import nodes
from jinja2 import Environment, FileSystemLoader
from page_files import load_where
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILES = tuple(f"gru-conventions/{name}" for name in ("conventions.css", "steps.js", "conventions.js"))
MARKUP = "gru_conventions.html"


class gru_conventions(nodes.General, nodes.Element):
    """The place where the two layers stand."""


class GRUConventions(SphinxDirective):
    """Put the two layers here. A page can hold them once."""

    def run(self) -> list[nodes.Node]:
        if any(self.state.document.findall(gru_conventions)):
            raise self.error("gru-conventions: it is on this page already")
        self.env.note_dependency(str(TEMPLATES / MARKUP))
        place = gru_conventions()
        self.set_source_info(place)
        return [place]


def render() -> str:
    """The markup."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template(MARKUP).render()


def visit_html(self, node) -> None:
    self.body.append(render())
    raise nodes.SkipNode


def visit_other(self, node) -> None:
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (visit_other, None))
    app.add_node(gru_conventions, html=(visit_html, None), **others)
    app.add_directive("gru-conventions", GRUConventions)
    load_where(app, FILES, lambda doctree: any(doctree.findall(gru_conventions)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
