"""What search engines and other sites learn of a page: its address, its name, its card, and the list of all pages.

Absolute addresses are written where the site's own address is known: BOOK_SITE, else owner.github.io/name for the
repository that launch_buttons.py finds. Without one, the tags that need an address are left out, and so are the cards
and the list.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

import cards
import yaml
from launch_buttons import Repository
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

CARDS = "_cards"  # the folder in the built site
MOST_BYTES = 60_000  # of a card
DESCRIPTION = range(50, 161)  # characters: more is cut off where it is shown, fewer tell nothing


def site_address(repository: Repository | None, environment: dict[str, str]) -> str:
    """The address of the site, with a slash at its end, or "" where it is not known."""
    given = (environment.get("BOOK_SITE") or "").strip()
    if given:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", given):
            raise ValueError(f"BOOK_SITE should be a web address such as https://example.org/book/, got {given!r}")
        return given.rstrip("/") + "/"
    if repository is None or repository.provider != "github":
        return ""
    owner, name = repository.name.split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{quote(name)}/"


def page_address(site: str, page: str, root: str) -> str:
    """The one address of a page; that of the opening page is the site's."""
    if not site:
        return ""
    return site if page == root else f"{site}{quote(page)}.html"


def read_parts(contents: Path) -> dict[str, tuple[str, int, int]]:
    """By page: the name of its part, its number in the part, and how many pages the part has."""
    found = {}
    for part in yaml.safe_load(contents.read_text(encoding="utf-8")).get("parts", []):
        pages = [page for chapter in part["chapters"] for page in (chapter, *chapter.get("sections", []))]
        for number, page in enumerate(pages, 1):
            found[page["file"]] = (part.get("caption", ""), number, len(pages))
    return found


def page_name(page: str, title: str) -> str:
    """What a page is called away from the book: a page of the reference begins with its module."""
    if page.startswith("reference/") and page != "reference/index":
        return f"companion.{page.removeprefix('reference/')}: {title}"
    return "The companion package" if page == "reference/index" else title


def find_site(app: Sphinx, config) -> None:
    """Note the site's address, and the parts of the book."""
    repository = Repository(config.book_repository) if config.book_repository else None
    config.html_baseurl = site_address(repository, dict(os.environ))
    contents = Path(getattr(config, "external_toc_path", ""))
    app.book_parts = read_parts(contents) if contents.is_file() else {}


def describe_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Hand the page's tags to its template, and draw its card."""
    root, site = app.config.root_doc, app.config.html_baseurl
    address = page_address(site, pagename, root)
    tags = [
        ("og:type", "website" if pagename == root else "article"),
        ("og:site_name", app.config.html_title),
        ("og:locale", "en_US"),
    ]
    if context.get("description"):
        tags.append(("og:description", context["description"]))
    title = app.env.titles[pagename].astext() if doctree is not None else ""  # without the chapter's number
    context["page_name"] = page_name(pagename, title) if title else ""
    context["page_address"] = address if doctree is not None else ""
    if doctree is not None and address:
        tags += [("og:url", address), *card_tags(app, pagename, context["page_name"], title)]
    context["sharing"] = [*tags, ("twitter:card", "summary_large_image" if title and address else "summary")]
    if doctree is not None and len(context.get("description") or "") not in DESCRIPTION:
        logger.warning("the description should have 50 to 160 characters", location=pagename)


def card_tags(app: Sphinx, pagename: str, name: str, title: str) -> list[tuple[str, str]]:
    """Draw the page's card, unless it was drawn before, and tell where it is."""
    book = app.config.html_title
    part, place, count = app.book_parts.get(pagename, ("", 3, 3))
    motif = part
    if pagename.startswith("reference/"):
        part = name.partition(":")[0]
    drawn = cards.cached_card(Path(app.outdir).parent / "cards", book, part, title, place, count, motif)
    if drawn.stat().st_size > MOST_BYTES:
        logger.warning(f"the card has {drawn.stat().st_size} bytes, more than {MOST_BYTES}", location=pagename)
    target = Path(app.outdir) / CARDS / f"{pagename}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(drawn, target)
    return [
        ("og:image", f"{app.config.html_baseurl}{CARDS}/{quote(pagename)}.png"),
        ("og:image:type", "image/png"),
        ("og:image:width", str(cards.WIDTH)),
        ("og:image:height", str(cards.HEIGHT)),
        ("og:image:alt", f"The title, {title}, above a chain of states drawn as in the book's figures."),
    ]


def list_pages(app: Sphinx, exception: Exception | None) -> None:
    """Write the list of all pages for search engines, and tell them where it is."""
    if exception or app.builder.format != "html":
        return
    folder, site = Path(app.outdir), app.config.html_baseurl
    robots = ["User-agent: *", "Allow: /"]
    pages = {page: page_address(site, page, app.config.root_doc) for page in app.env.found_docs} if site else {}
    if pages:
        (folder / "sitemap.xml").write_text(sitemap(pages.values()), encoding="utf-8")
        robots.append(f"Sitemap: {site}sitemap.xml")
    else:
        (folder / "sitemap.xml").unlink(missing_ok=True)
        shutil.rmtree(folder / CARDS, ignore_errors=True)
    (folder / "robots.txt").write_text("\n".join(robots) + "\n", encoding="utf-8")


def sitemap(addresses) -> str:
    """The pages' addresses in the format of sitemaps.org."""
    entries = "".join(f"  <url><loc>{escape(address)}</loc></url>\n" for address in sorted(addresses))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n'
    )


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", find_site, priority=200)     # after the repository is found
    app.connect("html-page-context", describe_page, priority=950)  # after the description is
    app.connect("build-finished", list_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
