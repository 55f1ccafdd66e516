"""Every image of a page says how large it is, so that nothing moves when it arrives; all but the first come when near.

A notebook's plots, images of the text and raw ``<img>`` are treated alike: the page's own HTML is what is changed.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from PIL import Image
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

IMAGE = re.compile(r"<img\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
ATTRIBUTE = r"""\s{}\s*=\s*["']([^"']*)["']"""
VIEW_BOX = re.compile(r"""<svg\b[^>]*?\bviewBox\s*=\s*["']\s*[-\d.]+[\s,]+[-\d.]+[\s,]+([\d.]+)[\s,]+([\d.]+)""")
PIXELS = r"""\s{}\s*=\s*["']([\d.]+)(?:px)?["']"""
SVG_SIZE = re.compile(rf"<svg\b[^>]*?{PIXELS.format('width')}[^>]*?{PIXELS.format('height')}")


def complete_images(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Add width, height and loading to the images of a page's body."""
    count = 0

    def complete(match: re.Match) -> str:
        nonlocal count
        count += 1
        tag = with_size(match[0], source_of(app, pagename, match[0]), pagename)
        return tag if count == 1 or attribute(tag, "loading") else add(tag, 'loading="lazy" decoding="async"')

    if context.get("body"):
        context["body"] = IMAGE.sub(complete, context["body"])


def attribute(tag: str, name: str) -> str | None:
    """The value of a tag's attribute."""
    found = re.search(ATTRIBUTE.format(name), tag)
    return found[1] if found else None


def add(tag: str, words: str) -> str:
    """The tag with more attributes."""
    return f"<img {words}{tag.removeprefix('<img')}"


def source_of(app: Sphinx, pagename: str, tag: str) -> Path | None:
    """The file that an image shows, where it is one of the book's."""
    address = unquote(attribute(tag, "src") or "")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(pagename), address))
    if path.startswith("_images/"):
        name = path.removeprefix("_images/")
        return next((Path(app.srcdir) / image for image, copy in app.builder.images.items() if copy == name), None)
    return Path(app.outdir) / path


def with_size(tag: str, source: Path | None, pagename: str) -> str:
    """The tag with the size of its image in pixels, unless it has one; warns, hence fails, where it cannot be told."""
    if attribute(tag, "width") and attribute(tag, "height"):
        return tag
    size = measure(source) if source and source.is_file() else None
    if size is None:
        logger.warning("the size of the image %s is not known", attribute(tag, "src"), location=pagename)
        return tag
    width, height = size
    wanted = re.fullmatch(r"([\d.]+)(?:px)?", attribute(tag, "width") or "")
    if wanted:  # a width was chosen: the height follows
        return add(tag, f'height="{round(height * float(wanted[1]) / width)}"')
    return add(tag, f'width="{round(width)}" height="{round(height)}"')


@cache
def measure(path: Path) -> tuple[float, float] | None:
    """Width and height of an image file in pixels; None if it says neither."""
    if path.suffix == ".svg":
        text = path.read_text(encoding="utf-8")
        found = SVG_SIZE.search(text) or VIEW_BOX.search(text)
        return (float(found[1]), float(found[2])) if found else None
    with Image.open(path) as image:
        return image.size


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", complete_images)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
