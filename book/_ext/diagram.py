"""``{diagram}``: a drawing that belongs to the page.

The SVG file is put into the page itself, so that its ``currentColor`` and its classes (``state``, ``reset``,
``update``, ...) follow the theme, light or dark. The option ``alt`` says in words what the drawing shows; the
content is the caption. With the option ``steps`` the reader can build the drawing up (diagram_steps).
book/_static/README.md tells how to draw one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import diagram_steps
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SVG = "{http://www.w3.org/2000/svg}"
FORBIDDEN = ("script", "foreignObject", "image", "style")  # what an inlined drawing may not bring into a page


class Diagram(SphinxDirective):
    """Put an SVG file into the page, as a figure with a caption."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar = {
        "alt": directives.unchanged_required,
        "name": directives.unchanged,
        "class": directives.class_option,
        "steps": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        relative, absolute = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        if not self.options.get("alt", "").strip():
            raise self.error(f"diagram {relative}: the option alt is missing; say in words what the drawing shows")
        if not Path(absolute).is_file():
            raise self.error(f"diagram {relative}: no such file")
        caption, steps = " ".join(line.strip() for line in self.content), []
        try:
            drawing = inline_svg(Path(absolute), self.options["alt"])
            if "steps" in self.options:
                caption, steps = diagram_steps.split_content(list(self.content))
                diagram_steps.check_drawing(Path(absolute), len(steps))
        except ValueError as problem:
            raise self.error(f"diagram {relative}: {problem}") from problem
        figure = nodes.figure(classes=["diagram", "align-center", *self.options.get("class", [])])
        self.set_source_info(figure)
        figure += nodes.raw("", drawing, format="html")
        if steps:
            figure["classes"].append("steps")
            figure += diagram_steps.make_steps(self, steps)
        if caption:
            words = nodes.caption()
            self.set_source_info(words)
            words += self.parse_inline(caption)[0]
            figure += words
        self.add_name(figure)
        return [figure]


def inline_svg(path: Path, alt: str) -> str:
    """Read a drawing and return it as an element of a page, its ids made unique and its meaning told in `alt`.

    Raises:
        ValueError: If the file is no SVG, has no viewBox, or contains what a page should not take in.
    """
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    except ElementTree.ParseError as problem:
        raise ValueError(f"not well formed: {problem}") from problem
    if root.tag != f"{SVG}svg" or "viewBox" not in root.attrib:
        raise ValueError("expected an <svg> element with a viewBox")
    for element in root.iter():
        name = element.tag.removeprefix(SVG)
        if name in FORBIDDEN:
            raise ValueError(f"<{name}> is not allowed; use the classes of book/_static/README.md")
    prefix_ids(root, re.sub(r"\W+", "-", path.stem))
    _, _, width, height = root.get("viewBox").replace(",", " ").split()
    root.attrib.update({"role": "img", "aria-label": " ".join(alt.split()), "width": width, "height": height})
    return ElementTree.tostring(root, encoding="unicode")


def prefix_ids(root: ElementTree.Element, prefix: str) -> None:
    """Make a drawing's ids its own, so that two drawings on one page never share one."""
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{prefix}-{value}")
            elif key == "href":
                element.set(key, re.sub(r"^#", f"#{prefix}-", value))
            else:
                element.set(key, value.replace("url(#", f"url(#{prefix}-"))


def setup(app: Sphinx) -> dict:
    app.add_directive("diagram", Diagram)
    diagram_steps.connect(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
