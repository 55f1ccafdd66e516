"""``{calculator}``: a calculator of shapes in the page.

The reader chooses a layer, its arguments and an input; every weight, the counts, the shapes and a picture follow, or
what torch would raise. The markup is book/_templates/calculator.html, the rest book/_static/calculator. Without
JavaScript a sentence stands in its place. book/_static/README.md says more.
"""

from __future__ import annotations

from book_paths import TEMPLATES
from docutils import nodes
from jinja2 import Environment, FileSystemLoader
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "calculator/"  # in the static folder
STYLES = (f"{FOLDER}calculator.css",)
SCRIPTS = tuple(f"{FOLDER}{name}.js" for name in ("shapes", "picture", "calculator"))  # each uses those before it
MARKUP = "calculator.html"


class calculator(nodes.General, nodes.Element):
    """The place where the calculator stands."""


class Calculator(SphinxDirective):
    """Put the calculator here. A page can hold one."""

    def run(self) -> list[nodes.Node]:
        if any(self.state.document.findall(calculator)):
            raise self.error("calculator: there is one on this page already")
        self.env.note_dependency(str(TEMPLATES / MARKUP))
        place = calculator()
        self.set_source_info(place)
        return [place]


def render() -> str:
    """The calculator's markup."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template(MARKUP).render()


def load_nowhere(app: Sphinx, config) -> None:
    """Take the files out of those for every page: Jupyter Book lists whatever lies in the static folder."""
    for name in ("html_css_files", "html_js_files"):
        files = [file for file in config[name] if not (file if isinstance(file, str) else file[0]).startswith(FOLDER)]
        setattr(config, name, files)


def load_here(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Load the files on a page that has the calculator."""
    if doctree is None or not any(doctree.findall(calculator)):
        return
    for style in STYLES:
        app.add_css_file(style, priority=900)  # after book.css
    for script in SCRIPTS:
        app.add_js_file(script, loading_method="defer")


def visit_html(self, node) -> None:
    self.body.append(render())
    raise nodes.SkipNode


def visit_other(self, node) -> None:
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (visit_other, None))
    app.add_node(calculator, html=(visit_html, None), **others)
    app.add_directive("calculator", Calculator)
    app.connect("config-inited", load_nowhere)
    app.connect("html-page-context", load_here)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
