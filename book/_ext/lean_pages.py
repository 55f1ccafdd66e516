"""Pages that carry only what they use, and ask no other host for anything.

KaTeX's style sheet, its fonts and the text face come from npm (package.json) and are copied beside our own static
files. The pages have a template, a style sheet and a script of our own (book/_templates, book/_static); what the
theme and the extensions bring besides is dropped, from the pages and from the built folder. So is sphinx-thebe, which
Jupyter Book loads even when off: it raises an error on every page and names another host.
"""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

from book_paths import NODE_MODULES, REPOSITORY
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

logger = logging.getLogger(__name__)

TEXT_FACE = ("400-normal", "400-italic", "600-normal")
FIRST_SEEN = ("600-normal", "400-normal")  # on a page's first screen: heading and text
MATH_FIRST = ["katex/fonts/KaTeX_Main-Regular.woff2", "katex/fonts/KaTeX_Math-Italic.woff2"]  # of the first formulas

# Names of files, or words of inline scripts, and the words of a page's body that call for them; None: never.
NEEDED_BY = {
    "sphinx-thebe": None, "THEBE_JS_URL": None,
    "togglebutton": None, "toggleHint": None, "toggleOpenOnPrint": None,   # folded.py does it without a script
    "sphinx-book-theme": None, "pydata-sphinx-theme": None, "basic.css": None, "pygments.css": None,
    "mystnb.": None, "exercise.css": None, "katex-math.css": None, "copybutton.css": None,
    "DOCUMENTATION_OPTIONS": None,
    "search/results.js": None,                                             # search.html asks for it itself
    "katex.min.css": 'class="katex',
    "copybutton.js": '<div class="highlight', "clipboard.min.js": '<div class="highlight',
    "documentation_options.js": '<div class="highlight',                   # the copy button asks it for the language
    "sphinx-design.min.css": 'class="sd-', "design-tabs.js": 'class="sd-tab',
}
OLD_FONTS = re.compile(r',url\([^)]*\) format\("(?:woff|truetype)"\)')  # every browser of today reads woff2
FOR_SEARCH = ("doctools.js", "sphinx_highlight.js")
UNUSED_FILES = (  # in the built _static folder
    "*.map", "README.md", "basic.css", "check-solid.svg", "copy-button.svg", "copybutton.css", "copybutton_funcs.js",
    "exercise.css", "file.png", "images", "katex-math.css", "katex/fonts/*.ttf", "katex/fonts/*.woff", "locales",
    "minus.png", "mystnb.*.css", "play-solid.svg", "plus.png", "pygments.css", "sbt-webpack-macros.html", "scripts",
    "sphinx-thebe.*", "styles", "togglebutton.*", "vendor", "webpack-macros.html",
)
OTHER_DESCRIPTIONS = {
    "search": "Search Recurrent Networks, Twice: its chapters, its code, and every name of the companion package.",
    "genindex": "Every name in the companion package, from A to Z, with a link to its page in the reference.",
    "_modules/index": "The modules of the companion package whose source code can be read here, name by name.",
}


def collect_static_files(app: Sphinx) -> None:
    """Copy KaTeX's style and fonts and the text face into a folder that Sphinx serves."""
    distribution = NODE_MODULES / "katex" / "dist"
    face = NODE_MODULES / "@fontsource" / "source-serif-4"
    missing = [str(folder.relative_to(REPOSITORY)) for folder in (distribution, face) if not folder.is_dir()]
    if missing:
        raise ExtensionError(f"{' and '.join(missing)} not found: run `make setup` (or `npm ci`) first")
    target = Path(app.outdir).parent / "npm-static"
    shutil.rmtree(target, ignore_errors=True)
    (target / "katex" / "fonts").mkdir(parents=True)
    (target / "fonts").mkdir()
    style = (distribution / "katex.min.css").read_text(encoding="utf-8")
    (target / "katex" / "katex.min.css").write_text(OLD_FONTS.sub("", style), encoding="utf-8")
    for font in (distribution / "fonts").glob("*.woff2"):
        shutil.copy(font, target / "katex" / "fonts")
    for style in TEXT_FACE:
        shutil.copy(face / "files" / f"source-serif-4-latin-{style}.woff2", target / "fonts")
    shutil.copy(face / "LICENSE", target / "fonts" / "source-serif-4-LICENSE.txt")
    app.config.html_static_path.append(str(target))


def remove_thebe(app: Sphinx) -> None:
    """Disconnect sphinx-thebe, which Jupyter Book loads always."""
    for listeners in app.events.listeners.values():
        listeners[:] = [known for known in listeners if known.handler.__module__ != "sphinx_thebe"]


def prune_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Drop unused scripts and style sheets from a page, defer the rest, and see to its description."""
    body = context.get("body") or ""
    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context[kind] if is_needed(file, pagename, body)]
    for file in context["script_files"]:
        if file.filename and "async" not in file.attributes:
            file.attributes["defer"] = "defer"
    styles = FIRST_SEEN if doctree is not None else FIRST_SEEN[:1]  # source pages and indexes have no running text
    context["preloaded_fonts"] = [f"fonts/source-serif-4-latin-{style}.woff2" for style in styles]
    context["math_first"] = 'class="katex"' in context.get("body", "").partition("<h2")[0]
    if context["math_first"]:
        context["preloaded_fonts"] += MATH_FIRST
    context["description"] = describe(pagename, context)


def is_needed(file, pagename: str, body: str) -> bool:
    """Whether this page uses a script or style sheet."""
    words = str(getattr(file, "filename", file) or "") + str(getattr(file, "attributes", {}).get("body", ""))
    if pagename == "search":
        return any(name in words for name in ("book.", "documentation_options.js", *FOR_SEARCH))
    if any(name in words for name in FOR_SEARCH):
        return False
    return not any(name in words and (call is None or call not in body) for name, call in NEEDED_BY.items())


def describe(pagename: str, context: dict) -> str:
    """The page's description: from its own metadata, else made here for the pages that Sphinx makes."""
    tags = context.get("metatags") or ""
    found = re.search(r'<meta content="([^"]*)" name="description"', tags)
    if found:
        return html.unescape(found[1])
    words = OTHER_DESCRIPTIONS.get(pagename, "")
    if not words and pagename.startswith("_modules/"):
        words = f"The source code of {pagename.removeprefix('_modules/').replace('/', '.')}, line by line, as it runs."
    if words:
        context["metatags"] = f'{tags}\n<meta content="{html.escape(words)}" name="description" />'
    return words


def check_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Warn, hence fail, about a page without a description."""
    if doctree is not None and not context["description"]:
        logger.warning("no description: add myst: {html_meta: {description: ...}} to its metadata", location=pagename)


def remove_unused_files(app: Sphinx, exception: Exception | None) -> None:
    """Delete from the built folder the theme's files that no page links."""
    static = Path(app.outdir) / "_static"
    for pattern in UNUSED_FILES:
        for path in static.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", remove_thebe, priority=1)
    app.connect("builder-inited", collect_static_files)
    app.connect("html-page-context", prune_page, priority=900)  # after every extension has added its own
    app.connect("html-page-context", check_page, priority=901)
    app.connect("build-finished", remove_unused_files, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
