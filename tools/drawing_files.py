"""Drawings as files of their own, with colors and a white ground, for places without the book's style sheet."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
MARGIN = 12  # around a drawing, in its own units
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


def write_drawings(diagrams: Path, style_sheet: Path, folder: Path) -> list[Path]:
    """Write a copy of every drawing into a folder, with the light colors of the style sheet inside; return them."""
    style = drawing_style(style_sheet.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    return [write_drawing(path, style, folder / path.name) for path in sorted(diagrams.glob("*.svg"))]


def drawing_style(sheet: str) -> str:
    """The rules of the book's style sheet that a drawing needs: the light colors, and all about `.diagram`.

    Raises:
        ValueError: If the style sheet has neither.
    """
    sheet = re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)
    rules = [(selector.strip(), body.strip()) for selector, body in RULE.findall(sheet)]
    colors = next((body for selector, body in rules if selector == ":root"), None)
    drawn = [(selector, body) for selector, body in rules if selector.startswith(".diagram")]
    if colors is None or not drawn:
        raise ValueError("the style sheet has no rules for :root or for .diagram")
    # On the page .diagram is the figure around the drawing; here it is the drawing.
    kept = [(selector.replace(".diagram svg", ".diagram"), body) for selector, body in drawn]
    return "\n".join(f"{selector} {{ {' '.join(body.split())} }}" for selector, body in [(":root", colors), *kept])


def write_drawing(source: Path, style: str, target: Path) -> Path:
    """Write one drawing with its style, on white, so that it can be read on a light and on a dark page."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(source.read_text(encoding="utf-8"))
    left, top, width, height = map(float, root.get("viewBox").replace(",", " ").split())
    left, top, width, height = left - MARGIN, top - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN
    box = {"x": f"{left:g}", "y": f"{top:g}", "width": f"{width:g}", "height": f"{height:g}"}
    root.attrib.update({"class": "diagram", "viewBox": " ".join(box.values())})
    root.attrib.update({"width": box["width"], "height": box["height"]})
    sheet = ElementTree.Element(f"{{{SVG}}}style")
    sheet.text = style
    ground = ElementTree.Element(f"{{{SVG}}}rect", {**box, "rx": "8", "fill": "#ffffff"})
    root[:0] = [sheet, ground]
    target.write_text(ElementTree.tostring(root, encoding="unicode"), encoding="utf-8")
    return target
