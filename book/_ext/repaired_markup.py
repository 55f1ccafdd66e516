"""Markup of Sphinx's and docutils' that a screen reader stumbles over, put right.

axe-core, which the tests run on every page, found each of these. The look stays as it was.
"""

from __future__ import annotations

from sphinx.application import Sphinx

REPAIRS = (
    # A long signature is a <dl> of <dd> without a <dt>: announced as a list of terms that has none.
    ("<dl>\n<dd>", '<dl role="presentation">\n<dd>'),
    # A reference of the bibliography: its own role is deprecated, and the list around it wants items.
    (' role="doc-biblioentry"', ' role="listitem"'),
)


def repair(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Put the markup of one page right."""
    body = context.get("body")
    if not body:
        return
    for found, instead in REPAIRS:
        body = body.replace(found, instead)
    if pagename == "_modules/index":
        body = flatten(body)
    context["body"] = body


def flatten(body: str) -> str:
    """One list in place of lists that stand in lists without being an item."""
    start, end = body.find("<ul>"), body.rfind("</ul>")
    inside = body[start + 4 : end].replace("<ul>", "").replace("</ul>", "")
    return body[: start + 4] + inside + body[end:]


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", repair)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
