"""A small book in the real template, built for tests of what a directive puts into a page."""

import subprocess
import sys

import pytest

from tests.site_pages import ROOT

STATIC = ROOT / "book" / "_static"
CONFIG = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["sphinx_copybutton", "lean_pages", {{extension!r}}]
project, html_title, html_theme = "Book", "Book", "basic"
templates_path = [{str(ROOT / "book" / "_templates")!r}]
html_static_path = [{str(STATIC)!r}]
html_css_files, html_js_files = {{styles!r}}, {{scripts!r}}   # as Jupyter Book lists what lies in _static

def setup(app):
    def page_contents(app, pagename, templatename, context, doctree):
        context["generate_toc_html"] = lambda: ""
    app.connect("html-page-context", page_contents)
"""
PAGE = "{title}\n{line}\n\n.. meta::\n   :description: A page of the {title} kind.\n\nWords.\n\n{body}\n"


def need_katex():
    """Skip where no page can be built."""
    if not (ROOT / "node_modules" / "katex").is_dir():
        pytest.skip("There is no KaTeX in node_modules (run `npm ci`): no page was built.")


def write_book(source, extension, folder, body):
    """Write a book of two pages, one with this body and one without; `folder` holds what `extension` loads."""
    source.mkdir(parents=True, exist_ok=True)
    listed = {kind: [f"book.{kind}", *(f"{folder}/{path.name}" for path in sorted((STATIC / folder).glob(f"*.{kind}")))]
              for kind in ("css", "js")}
    (source / "conf.py").write_text(CONFIG.format(extension=extension, styles=listed["css"], scripts=listed["js"]))
    body = f"{body}\n\nWords after it.\n\n.. toctree::\n\n   without"
    for name, title, text in (("index", "Having", body), ("without", "Lacking", "None here.")):
        (source / f"{name}.rst").write_text(PAGE.format(title=title, line="=" * len(title), body=text))


def build(source, built):
    """Build a book with warnings as errors; the folder of its pages."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(source), str(built)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return built
