"""The built site as the tests read it: its pages, what they link, and what they would ask of another host."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "_build" / "html"

ADDRESS = re.compile(r"""url\(\s*['"]?([^'")]+)['"]?\s*\)|@import\s+['"]([^'"]+)['"]""")
FETCHED_BY_ITSELF = {  # tag: the attributes whose address a browser asks for unasked
    "img": ("src", "srcset"), "script": ("src",), "iframe": ("src",), "source": ("src", "srcset"), "embed": ("src",),
    "object": ("data",), "video": ("src", "poster"), "audio": ("src",), "track": ("src",), "input": ("src",),
}
HARMLESS_LINKS = {"canonical", "next", "prev", "license", "author", "alternate"}


def site() -> Path:
    """The built folder; the test skips where there is none."""
    if not (BUILT / "index.html").is_file():
        pytest.skip("The site is not built: run `make build` first.")
    return BUILT


def pages(folder: Path) -> list[Path]:
    """Every page of a site, in a fixed order."""
    return sorted(path for path in folder.rglob("*.html") if "_static" not in path.relative_to(folder).parts)


@cache
def parse(page: Path) -> BeautifulSoup:
    """The page as a tree."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def static_files(page: Path, folder: str) -> list[str]:
    """The files of one folder of _static that a page loads, or has inside it, the style sheets first."""
    tags = parse(page).select("style[data-file], link[rel=stylesheet]") + parse(page).select("script[src]")
    names = [(tag.get("data-file") or tag.get("href") or tag.get("src")).partition("?")[0] for tag in tags]
    return [name.partition(f"_static/{folder}/")[2] for name in names if f"_static/{folder}/" in name]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a fragment may name on a page."""
    return frozenset(tag.get("id") or tag.get("name") for tag in parse(page).select("[id], a[name]"))


def addresses(page: Path) -> list[str]:
    """Every address a page names: links, images, scripts, style sheets, forms and url(...) in styles."""
    tree = parse(page)
    found = [tag[name] for name in ("href", "src", "data", "poster", "action") for tag in tree.select(f"[{name}]")]
    found += [part.split()[0] for tag in tree.select("[srcset]") for part in tag["srcset"].split(",") if part.strip()]
    return found + styled_addresses("\n".join(tag.get_text() for tag in tree.select("style")))


def styled_addresses(style: str) -> list[str]:
    """Every address that a style sheet names."""
    return [next(filter(None, match)) for match in ADDRESS.findall(style)]


def is_outside(address: str) -> bool:
    """Whether an address is on another host."""
    return bool(urlsplit(address).netloc)


def broken_addresses(folder: Path) -> list[str]:
    """What no file or anchor of the site answers to, as "page: address"."""
    broken = []
    for page in pages(folder):
        broken += [f"{page.relative_to(folder)}: {link}" for link in addresses(page) if not resolves(link, page)]
    for sheet in folder.rglob("*.css"):
        links = styled_addresses(sheet.read_text(encoding="utf-8"))
        broken += [f"{sheet.relative_to(folder)}: {link}" for link in links if not resolves(link, sheet)]
    return broken


def resolves(address: str, source: Path) -> bool:
    """Whether an address leads somewhere: another host's are taken on trust, ours must exist, with their anchor."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https", "mailto", "data", "javascript") or parts.netloc:
        return True
    target = (source.parent / unquote(parts.path)).resolve() if parts.path else source
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    return not parts.fragment or target.suffix != ".html" or unquote(parts.fragment) in anchors(target)


def automatic_requests(folder: Path) -> list[str]:
    """What a browser would ask of another host without a click, as "page: address"."""
    asked = []
    for page in pages(folder):
        tree = parse(page)
        links = [tag["href"] for tag in tree.select("link[href]") if not HARMLESS_LINKS & set(tag.get("rel", []))]
        for tag, attributes in FETCHED_BY_ITSELF.items():
            links += [part for name in attributes for found in tree.select(f"{tag}[{name}]")
                      for part in found[name].replace(",", " ").split()]
        links += styled_addresses(" ".join(tag.get_text() for tag in tree.select("style")))
        links += styled_addresses(" ".join(tag["style"] for tag in tree.select("[style]")))
        asked += [f"{page.relative_to(folder)}: {link}" for link in links if is_outside(link)]
    for sheet in folder.rglob("*.css"):
        links = styled_addresses(sheet.read_text(encoding="utf-8"))
        asked += [f"{sheet.relative_to(folder)}: {link}" for link in links if is_outside(link)]
    return asked
