"""Where the book's files are: the contents and settings lie in the repository's root, the pages in book/."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

REPOSITORY = Path(__file__).resolve().parents[2]
NODE_MODULES = REPOSITORY / "node_modules"
TEMPLATES = REPOSITORY / "book" / "_templates"


def configure(app: Sphinx, config) -> None:
    """Read a relative table of contents from the root (Sphinx would look in book/), and our page templates."""
    config.external_toc_path = str(REPOSITORY / config.external_toc_path)  # an absolute path stays as it is
    config.templates_path.append(str(TEMPLATES))


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", configure, priority=100)  # before the contents are read
    return {"parallel_read_safe": True, "parallel_write_safe": True}
