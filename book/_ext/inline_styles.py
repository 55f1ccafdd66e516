"""Style sheets inside the page: a browser draws the text with the first bytes that arrive, and waits for no other file.

A page's style sheets together are about ten kilobytes once compressed; as files they would hold back the first paint
by one more answer of the host. The addresses in them (fonts) are rewritten for the place of the page. The files
themselves are not in the built folder then, because no page loads them.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from functools import cache
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

STRING = r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""  # kept whole
SPARE = re.compile(STRING + r"|/\*.*?\*/|\s+", re.DOTALL)
AROUND_BRACES = re.compile(STRING + r"|\s*([{};,])\s*")
AFTER_PROPERTY = re.compile(STRING + r"|(?<=[{;])([\w-]+:) ")
LAST_SEMICOLON = re.compile(STRING + r"|;(?=\})")
ADDRESS = re.compile(r"""url\(\s*(['"]?)([^'")]+)\1\s*\)""")
ELSEWHERE = re.compile(r"[a-z]+:|/|#")  # data:, https:, an absolute path, a part of the page


@cache
def compact(style: str) -> str:
    """The style sheet without comments and spare white space."""
    style = SPARE.sub(lambda match: match[1] or ("" if match[0].startswith("/*") else " "), style)
    for spaced in (AROUND_BRACES, AFTER_PROPERTY):
        style = spaced.sub(lambda match: match[1] or match[2], style)
    return LAST_SEMICOLON.sub(lambda match: match[1] or "", style).strip()


def rebase(style: str, folder: str) -> str:
    """The style sheet with its relative addresses seen from a page, from which its folder is `folder`."""

    def move(match: re.Match) -> str:
        address = match[2].strip()
        if ELSEWHERE.match(address):
            return match[0]
        return f'url("{posixpath.normpath(posixpath.join(folder, address))}")'

    return ADDRESS.sub(move, style)


def inline(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Give the template the text of the page's style sheets instead of their addresses."""
    sheets = sorted(context["css_files"], key=lambda sheet: sheet.priority)
    ours = [sheet for sheet in sheets if (Path(app.outdir) / str(sheet.filename)).is_file()]
    context["css_files"] = [sheet for sheet in sheets if sheet not in ours]
    context["inlined_styles"] = [(sheet.filename, read(app, sheet, context["content_root"])) for sheet in ours]


def read(app: Sphinx, sheet, content_root: str) -> str:
    """One style sheet as a page takes it in."""
    name = str(sheet.filename)
    style = compact((Path(app.outdir) / name).read_text(encoding="utf-8"))
    if "</style" in style.lower():
        raise ExtensionError(f"{name} contains </style, which would end it inside a page")
    style = rebase(style, posixpath.join(content_root, posixpath.dirname(name)))
    media = sheet.attributes.get("media", "all")
    return style if media == "all" else f"@media {media}{{{style}}}"


def rewrite_pages(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """When a style sheet has changed, every page is written again: each has a copy of it."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in app.config.html_static_path:
        for path in sorted((Path(app.srcdir) / folder).rglob("*.css")):
            digest.update(path.read_bytes())
    if getattr(env, "book_styles", None) == digest.hexdigest():
        return []
    env.book_styles = digest.hexdigest()
    for page in (Path(app.outdir) / "_modules").rglob("*.html"):
        page.unlink()  # viewcode writes only those that are missing or older than their module
    return sorted(env.found_docs)


def remove_files(app: Sphinx, exception: Exception | None) -> None:
    """Delete the style sheets from the built folder: every page has what it needs."""
    if exception is None:
        for path in (Path(app.outdir) / "_static").rglob("*.css"):
            path.unlink()


def setup(app: Sphinx) -> dict:
    app.connect("env-updated", rewrite_pages)
    app.connect("html-page-context", inline, priority=950)  # after lean_pages has dropped what is not used
    app.connect("build-finished", remove_files, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
