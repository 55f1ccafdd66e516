"""The option ``steps`` of ``{diagram}``: a drawing that the reader builds up, one step at a time.

Parts of the SVG carry ``data-step="1"`` to ``"n"``, and the content ends with a numbered list, a line for each step.
The page shows the whole drawing, with a row of numbers under it; a number shows the drawing as far as that step, and
its line. Without JavaScript and in print the whole drawing stands above all lines. The rest is
book/_static/diagram-steps.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from page_files import load_where
from sphinx.application import Sphinx

FILES = ("diagram-steps/steps.css", "diagram-steps/steps.js")
ITEM = re.compile(r"(\d+)\. +(?=\S)")


class diagram_steps(nodes.General, nodes.Element):
    """The numbers under a drawing; holds the list of the lines."""


def split_content(lines: list[str]) -> tuple[str, list[str]]:
    """The caption, and the lines of the numbered list after it.

    Raises:
        ValueError: If one of the two is missing, or the list does not count 1, 2, 3, ...
    """
    blocks: list[list[str]] = [[]]
    for line in map(str.strip, lines):
        item = ITEM.match(line)
        if item and int(item[1]) != len(blocks):
            raise ValueError(f"steps: expected the list's item {len(blocks)}, got {line!r}")
        if item:
            blocks.append([])
        blocks[-1].append(line[item.end():] if item else line)
    caption, *steps = (" ".join(filter(None, block)) for block in blocks)
    if not caption or not steps:
        raise ValueError("steps: expected a caption and, after it, a numbered list with a line for each step")
    return caption, steps


def check_drawing(path: Path, count: int) -> None:
    """See that the drawing's parts make exactly the steps that have a line.

    Raises:
        ValueError: If they do not.
    """
    found = {part.get("data-step") for part in ElementTree.parse(path).getroot().iter()} - {None}
    expected = {str(step) for step in range(1, count + 1)}
    if found != expected:
        raise ValueError(f"steps: {count} lines, so data-step should be {in_words(expected)}; it is {in_words(found)}")


def in_words(steps: set[str]) -> str:
    return ", ".join(sorted(steps, key=lambda step: (len(step), step))) or "nowhere"


def make_steps(directive, texts: list[str]) -> nodes.Element:
    """The node under the drawing, its lines parsed."""
    place = diagram_steps(group=f"diagram-steps-{directive.env.new_serialno('diagram-steps')}", count=len(texts))
    lines = nodes.enumerated_list(enumtype="arabic")
    for text in texts:
        words = nodes.paragraph(text, "", *directive.parse_inline(text)[0])
        directive.set_source_info(words)
        lines += nodes.list_item("", words)
    place += lines
    directive.set_source_info(place)
    return place


def visit_html(self, node) -> None:
    choices = [(str(step), f'<span class="hidden">Step </span>{step}') for step in range(1, node["count"] + 1)]
    choices.append(("all", "All"))
    buttons = "".join(
        f'<label><input type="radio" name="{escape(node["group"])}" value="{value}" autocomplete="off"'
        f'{" checked" if value == "all" else ""}><span>{words}</span></label>'
        for value, words in choices
    )
    self.body.append(
        f'<div class="build-up"><fieldset><legend class="hidden">Build the drawing up</legend>{buttons}</fieldset>'
        '<div class="lines"><p class="invite" aria-hidden="true">Choose 1 to build it up step by step.</p>'
    )


def depart_html(self, node) -> None:
    self.body.append('</div><p class="hidden" role="status"></p></div>')


def visit_other(self, node) -> None:
    """The list stands for itself."""


def has_steps(doctree: nodes.document) -> bool:
    return any(doctree.findall(diagram_steps))


def connect(app: Sphinx) -> None:
    """What the directive's option needs of Sphinx."""
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (visit_other, visit_other))
    app.add_node(diagram_steps, html=(visit_html, depart_html), **others)
    load_where(app, FILES, has_steps)
