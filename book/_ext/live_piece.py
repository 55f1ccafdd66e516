"""A live piece of a page: markup from a template where its directive stands, and files that only its page loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from book_paths import TEMPLATES
from docutils import nodes
from jinja2 import Environment, FileSystemLoader
from page_files import load_where
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

OTHER_FORMATS = ("latex", "text", "man", "texinfo")


class LivePiece(SphinxDirective):
    """Put the piece here. A page can hold one."""

    piece: type[nodes.Element]  # the place where it stands
    sources: tuple[Path, ...]   # what its markup is made from

    def run(self) -> list[nodes.Node]:
        if any(self.state.document.findall(self.piece)):
            raise self.error(f"{self.name}: there is one on this page already")
        place = self.piece(**self.describe())
        for path in self.sources:
            self.env.note_dependency(str(path))
        self.set_source_info(place)
        return [place]

    def describe(self) -> dict:
        """What the place has to know of the directive."""
        return {}


def render(markup: str, **values) -> str:
    """A template as HTML."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template(markup).render(**values)


def add_piece(app: Sphinx, name: str, directive: type[LivePiece], draw: Callable, files: tuple[str, ...]) -> dict:
    """Make a piece known to Sphinx.

    Args:
        app: the Sphinx application.
        name: of the directive.
        directive: its class.
        draw: gives the markup from the page's translator and the place.
        files: what a page with the piece loads, as in :func:`page_files.load_where`.

    Returns:
        What ``setup`` of the piece's extension returns.
    """

    def visit_html(self, node) -> None:
        self.body.append(draw(self, node))
        raise nodes.SkipNode

    def visit_other(self, node) -> None:
        raise nodes.SkipNode

    app.add_node(directive.piece, html=(visit_html, None), **dict.fromkeys(OTHER_FORMATS, (visit_other, None)))
    app.add_directive(name, directive)
    load_where(app, files, lambda doctree: any(doctree.findall(directive.piece)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
