"""Style sheets and scripts that only the pages which use them load."""

from __future__ import annotations

from collections.abc import Callable
from posixpath import dirname

from docutils import nodes
from sphinx.application import Sphinx

AFTER_BOOK_CSS = 900


def load_where(app: Sphinx, files: tuple[str, ...], uses: Callable[[nodes.document], bool]) -> None:
    """Load files of the static folder on the pages for which `uses` holds, and on no other.

    Args:
        app: the Sphinx application.
        files: addresses in the static folder, in the order of loading; style sheets end in .css. What else lies in
            their folders no page loads by itself.
        uses: tells from a page's document whether the page needs them.
    """

    folders = {dirname(file) for file in files}

    def load_nowhere(app: Sphinx, config) -> None:
        # Jupyter Book lists whatever lies in the static folder, for every page.
        for name in ("html_css_files", "html_js_files"):
            names = {file if isinstance(file, str) else file[0]: file for file in config[name]}
            setattr(config, name, [file for path, file in names.items() if dirname(path) not in folders])

    def load_here(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
        if doctree is None or not uses(doctree):
            return
        for file in files:
            if file.endswith(".css"):
                app.add_css_file(file, priority=AFTER_BOOK_CSS)
            else:
                app.add_js_file(file, loading_method="defer")

    app.connect("config-inited", load_nowhere)
    app.connect("html-page-context", load_here)
