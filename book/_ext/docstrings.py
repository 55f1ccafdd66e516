"""What a docstring's last words say becomes fields: its source, and the chapter that teaches it, linked.

A docstring ends with "Source: ... Taught in *The GRU, twice*." Napoleon would take that for a part of the section
above it. They stand before the examples. A property's docstring is plain text: napoleon would take the words before a
colon for a type.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

TAIL = re.compile(r"(?:^|\s)(?:Source:|Taught in)\s(?:(?!\n\s*\n).)*\Z", re.DOTALL)  # in the last paragraph
PARTS = re.compile(r"(?:Source:\s+(?P<source>.*?))?\s*(?:Taught in\s+(?P<chapter>\*[^*]+\*)\.)?\s*", re.DOTALL)
EXAMPLES = ".. rubric:: Examples"  # as napoleon writes it

kept: dict[int, list[str]] = {}  # the lines to add after napoleon, by the identity of the docstring's list


def take_tail(app: Sphinx, what: str, name: str, obj: object, options, lines: list[str]) -> None:
    """Before napoleon: take out what it would misread, and keep it as fields."""
    text = "\n".join(lines)
    tail = TAIL.search(text)
    parts = PARTS.fullmatch(tail[0].strip()) if tail else None
    fields = []
    if parts:
        text = text[: tail.start()]
        if parts["source"]:
            fields.append(f":Source: {' '.join(parts['source'].split())}")
        if parts["chapter"]:
            fields.append(f":Taught in: {' '.join(parts['chapter'].split())}")
    if what == "property":
        kept[id(lines)] = [*text.splitlines(), "", *fields, ""]
        lines[:] = []
    else:
        kept[id(lines)] = [*fields, ""]
        lines[:] = text.rstrip().splitlines()


def put_tail(app: Sphinx, what: str, name: str, obj: object, options, lines: list[str]) -> None:
    """After napoleon: add the fields to the list it made, or after the text, but before the examples."""
    fields = kept.pop(id(lines), [])
    if EXAMPLES in lines:
        place = lines.index(EXAMPLES)
        lines[place:place] = fields
        return
    while lines and not lines[-1].strip():
        lines.pop()
    if lines and not re.match(r":\w[^:]*:|\s", lines[-1]):
        lines.append("")
    lines.extend(fields)


def finish_reference(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """On the reference pages, put what is added here last, and link the titles of chapters that exist."""
    if docname.startswith("reference/"):
        move_fields(doctree)
        link_chapters(app, doctree, docname)


def move_fields(doctree: nodes.document) -> None:
    """Autodoc adds the type that is returned at the end: the source and the chapter go behind it."""
    for fields in doctree.findall(nodes.field_list):
        fields.children.sort(key=lambda field: field[0].astext() in ("Source", "Taught in"))


def link_chapters(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn the title of a chapter that exists into a link to it."""
    titles = {title.astext(): name for name, title in app.env.titles.items() if not name.startswith("reference/")}
    for words in list(doctree.findall(nodes.emphasis)):
        target = titles.get(words.astext())
        if target:
            address = app.builder.get_relative_uri(docname, target)
            words.replace_self(nodes.reference("", words.astext(), refuri=address, internal=True))


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("autodoc-process-docstring", take_tail, priority=400)
    app.connect("autodoc-process-docstring", put_tail, priority=600)
    app.connect("doctree-resolved", finish_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
