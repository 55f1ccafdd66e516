"""Turns a chapter's MyST into the plain Markdown that Colab and Jupyter show: no directive, no role is left.

The text is read with the parser that the site uses, so what is code or mathematics here is so there. Only the pieces
that need it are replaced; the rest stays as it was written, to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.myst_role.index import myst_role
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import default_slugify
from myst_parser.parsers.mdit import create_md_parser
from pybtex.database import Entry, parse_file

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
INVENTORIES = BOOK / "_ext" / "inventories"

DIRECTIVE = re.compile(r"\{([\w:.+-]+)\}\s*(.*)")
OPTION = re.compile(r":([\w-]+):\s*(.*)")
TARGET = re.compile(r"(?P<text>.*?)\s*<(?P<target>[^<>]+)>", re.DOTALL)
PYTHON_ROLES = ("class", "func", "mod", "meth", "attr", "exc", "data", "obj")
DROPPED = ("myst_target", "myst_line_comment", "myst_block_break", "front_matter")
LIVE_PIECES = ("calculator", "gru-conventions", "live-model")
ADMONITIONS = ("note", "warning", "tip", "important", "hint", "caution", "attention", "seealso")


def make_parser() -> MarkdownIt:
    """The site's own parser, whose roles remember where they stood."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    extensions = set(settings["parse"]["myst_enable_extensions"]) - {"smartquotes"}
    parser = create_md_parser(MdParserConfig(enable_extensions=extensions, dmath_double_inline=True), RendererHTML)
    parser.inline.ruler.at("myst_role", role_with_place)
    return parser


def role_with_place(state: StateInline, silent: bool) -> bool:
    """The plugin's rule; it also stores the role as it was written, and where in its paragraph."""
    start = state.pos
    if not myst_role(state, silent):
        return False
    if not silent:
        state.tokens[-1].meta |= {"written": state.src[start : state.pos], "start": start, "end": state.pos}
    return True


PARSER = make_parser()


class Book:
    """What the text of one page may refer to: titles, numbers, works, names, and where each stands on the site.

    Args:
        site: The address of the site, without a slash at its end.
        repository: The address of the repository.
    """

    def __init__(self, site: str, repository: str):
        self.site = site
        self.repository = repository
        self.works = parse_file(str(ROOT / "references.bib")).entries
        self.modules = documented_modules()
        self.outside = outside_names()
        self.chapters = numbered_chapters()

    def page(self, name: str) -> str:
        """The address of a page, given as "gates/gru"."""
        return f"{self.site}/{name}.html"

    def title(self, name: str) -> str:
        """The first heading of a page.

        Raises:
            ValueError: If there is no such page.
        """
        notebook, text = BOOK / f"{name}.ipynb", BOOK / f"{name}.md"
        if notebook.is_file():
            cells = nbformat.read(notebook, as_version=4).cells
            source = next(cell.source for cell in cells if cell.cell_type == "markdown")
        elif text.is_file():
            source = text.read_text(encoding="utf-8")
        else:
            raise ValueError(f"there is no page {name}")
        tokens = PARSER.parse(source)
        place = next(number for number, token in enumerate(tokens) if token.type == "heading_open")
        return tokens[place + 1].content


def numbered_chapters() -> dict[str, int]:
    """The number of each chapter of the numbered parts, counted through the book as the site does."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page["file"] for part in contents["parts"] if part.get("numbered") for page in part["chapters"]]
    return {page: number for number, page in enumerate(pages, start=1)}


def documented_modules() -> dict[str, str]:
    """The page of the reference on which each module stands."""
    return {
        module: f"reference/{path.stem}"
        for path in sorted((BOOK / "reference").glob("*.md"))
        for module in re.findall(r"automodule:: (\S+)", path.read_text(encoding="utf-8"))
    }


def outside_names() -> dict[str, str]:
    """Where the names of torch and Python are documented, from the lists that the site uses."""
    places = {}
    for path in sorted(INVENTORIES.glob("*.txt")):
        base = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] == ["base"]:
                base = words[1]
            elif len(words) == 3 and not line.startswith("#"):
                name, _, page = words
                places[name] = base + re.sub(r"\$$", name, page)
    return places


@dataclass
class Page:
    """One page on its way to plain Markdown. `convert` is called with its texts from the first to the last.

    Args:
        book: What it refers to.
        name: The page, such as "gates/gru".
        figures: The number of each figure by its name, for references that come before it.
        anchors: What the site calls the place that a link within the page names, such as "#two-gates".
    """

    book: Book
    name: str
    figures: dict[str, str] = field(default_factory=dict)
    anchors: dict[str, str] = field(default_factory=dict)
    exercises: dict[str, str] = field(default_factory=dict)
    shown: int = 0  # figures so far

    @property
    def chapter(self) -> str:
        """What precedes the number of a figure or an exercise: "7."."""
        number = self.book.chapters.get(self.name)
        return f"{number}." if number else ""

    def convert(self, text: str) -> str:
        """The text without directives and roles.

        Raises:
            ValueError: If it contains one that nobody has told this module about, or a link that leads nowhere.
        """
        tokens = PARSER.parse(text)
        lines = text.split("\n")
        parts, done = [], 0
        for token in outermost(tokens):
            begin, end = token.map
            replacement = self.replace_block(token)
            if replacement is None:
                continue
            parts += [self.convert_inline(lines[done:begin], tokens, done, begin), replacement]
            done = end
        parts.append(self.convert_inline(lines[done:], tokens, done, len(lines)))
        converted = "\n".join(part for part in parts if part is not None)
        check(converted)
        return converted

    def replace_block(self, token: Token) -> str | None:
        """What stands in place of a block of MyST's own; None for a block of plain Markdown."""
        if token.type in DROPPED:
            return ""
        if token.type == "math_block" and "\\\\" in token.content and "\\begin" not in token.content:
            return f"$$\n\\begin{{aligned}}\n{token.content.strip()}\n\\end{{aligned}}\n$$"
        directive = DIRECTIVE.fullmatch(token.info.strip()) if token.type in ("fence", "colon_fence") else None
        if directive is None:
            return None
        name, argument = directive.groups()
        options, content = split_options(token.content)
        if name == "admonition" or name in ADMONITIONS:
            return self.admonition(argument or name.capitalize(), options, content)
        if name in DIRECTIVES:
            return DIRECTIVES[name](self, argument, options, content)
        if name in LIVE_PIECES:  # only the site has them
            return f"*Here [the chapter's page]({self.book.page(self.name)}) has something to try out.*"
        raise ValueError(f"nobody said what the directive {{{name}}} is in plain Markdown; see tools/plain_markdown.py")

    # Directives

    def diagram(self, argument: str, options: dict, content: str) -> str:
        address = f"{self.book.site}/launch/diagrams/{Path(argument).name}"
        alt = re.sub(r"([\[\]])", r"\\\1", options["alt"])
        caption, _, steps = content.strip().partition("\n\n")  # how it builds up, a line each
        parts = f"![{alt}]({address})", self.caption(caption), self.convert(steps)
        return "\n\n".join(filter(None, parts))

    def caption(self, text: str) -> str:
        """A figure's caption with its number: what to see."""
        self.shown += 1
        words = " ".join(self.convert(text).split())
        return f"**Fig. {self.chapter}{self.shown}** {words}"

    def exercise(self, argument: str, options: dict, content: str) -> str:
        number = f"Exercise {self.chapter}{len(self.exercises) + 1}"
        self.exercises[options.get("label", number)] = number
        level = f" ({options['class']})" if options.get("class") else ""
        return f"### {number}: {self.convert(argument)}{level}\n\n{self.convert(content)}"

    def solution(self, argument: str, options: dict, content: str) -> str:
        return fold(f"Solution to {self.exercises[argument.strip()]}", self.convert(content))

    def admonition(self, title: str, options: dict, content: str) -> str:
        words, text = self.convert(title), self.convert(content)
        if "dropdown" in options.get("class", ""):
            return fold(words, text)
        return "\n".join(f"> {line}".rstrip() for line in (f"**{words}**", "", *text.split("\n")))

    # Roles and links

    def convert_inline(self, lines: list[str], tokens: list[Token], begin: int, end: int) -> str | None:
        """These lines of the source, from `begin` to before `end`, with their roles replaced."""
        if begin == end:
            return None
        text, cursor = "\n".join(lines), 0
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        for token in tokens:
            if token.type != "inline" or not token.map or not begin <= token.map[0] < end:
                continue
            first = starts[token.map[0] - begin] + (len(text) - starts[-1] + 1)  # replacements so far move what follows
            text, cursor = self.replace_roles(text, max(cursor, first), token)
        return text

    def replace_roles(self, text: str, cursor: int, inline: Token) -> tuple[str, int]:
        """Replace what one paragraph, heading or table cell needs, from `cursor` on; return where it ended."""
        seen = 0  # how far in the paragraph's own text
        for token in descend(inline):
            if token.type == "myst_role":
                written, start = token.meta["written"], token.meta["start"]
                same = inline.content[seen:start].count(written)  # the same letters in code, say, are no role
                seen = token.meta["end"]
                pattern = r"\s*\n[ \t>]*".join(map(re.escape, re.split(r"[ \t]*\n[ \t]*", written)))
                found = list(re.compile(pattern).finditer(text, cursor))[same]
                span, replacement = found.span(), self.role(token.meta["name"], token.content)
            elif token.type == "link_open" and not is_absolute(str(token.attrs["href"])):
                written = str(token.attrs["href"])
                place = text.index(f"]({written}", cursor) + 2
                span, replacement = (place, place + len(written)), self.local_link(written)
            else:
                continue
            text = text[: span[0]] + replacement + text[span[1] :]
            cursor = span[0] + len(replacement)
        return text, cursor

    def local_link(self, address: str) -> str:
        if address in self.anchors:
            return self.book.page(self.name) + self.anchors[address]
        raise ValueError(f"the link to {address} leads nowhere outside the site")

    def role(self, name: str, content: str) -> str:
        """A role as plain Markdown."""
        content = " ".join(content.split())
        if name in PYTHON_ROLES:
            return self.python_name(name, content)
        if name not in ROLES:
            raise ValueError(f"nobody said what the role {{{name}}} is in plain Markdown; see tools/plain_markdown.py")
        return ROLES[name](self, content)

    def doc(self, content: str) -> str:
        text, target = split_target(content)
        folder = "" if target.startswith("/") else f"{Path(self.name).parent}/"
        name = f"{folder}{target.removeprefix('/')}".removeprefix("./")
        title = self.book.title(name)
        return f"[{text or title}]({self.book.page(name)})"

    def term(self, content: str) -> str:
        text, target = split_target(content)
        anchor = re.sub(r"\W+", "-", target.strip())
        return f"[{text or target}]({self.book.page('glossary')}#term-{anchor})"

    def numref(self, content: str) -> str:
        text, target = split_target(content)
        if target not in self.figures:
            raise ValueError(f"no figure of this page is called {target}")
        number = self.figures[target]
        return text.replace("{number}", number).replace("%s", number) if text else f"Fig. {number}"

    def repository(self, content: str) -> str:
        address = self.book.repository
        name = "/".join(address.split("/")[-2:])
        if content == "link":
            return f"[{name}]({address})"
        return f"`{content.replace('{url}', address).replace('{name}', name)}`"

    def cite(self, content: str) -> str:
        """ "Cho *et al.*, 2014" for each, in parentheses, in the order of the site."""
        works = sorted(", ".join(self.author_and_year(key)) for key in content.split(","))
        return "(" + "; ".join(f"[{work}]({self.book.page('bibliography')})" for work in works) + ")"

    def cite_in_text(self, content: str) -> str:
        """ "Cho *et al.* (2014)" for each."""
        works = sorted("{} ({})".format(*self.author_and_year(key)) for key in content.split(","))
        return ", ".join(f"[{work}]({self.book.page('bibliography')})" for work in works)

    def author_and_year(self, key: str) -> tuple[str, str]:
        work = self.book.works.get(key.strip())
        if work is None:
            raise ValueError(f"references.bib has no {key.strip()}")
        return short_authors(work), work.fields["year"]

    def python_name(self, role: str, content: str) -> str:
        text, target = split_target(content)
        short = target.startswith("~")
        target = target.removeprefix("~")
        shown = text or (target.rpartition(".")[2] if short else target)
        if role == "func" and not text:
            shown += "()"
        return f"[`{shown}`]({self.documented(role, target)})"

    def documented(self, role: str, name: str) -> str:
        """Where a name of Python is documented."""
        if name in self.book.outside:
            return self.book.outside[name]
        module = name
        while module and module not in self.book.modules:
            module = module.rpartition(".")[0]
        if not module:
            raise ValueError(f"{name} is documented neither in the reference nor in {INVENTORIES.name}/")
        anchor = f"module-{name}" if role == "mod" else name
        return f"{self.book.page(self.book.modules[module])}#{anchor}"


DIRECTIVES: dict[str, Callable[[Page, str, dict, str], str]] = {
    "diagram": Page.diagram,
    "exercise": Page.exercise,
    "solution": Page.solution,
}
ROLES: dict[str, Callable[[Page, str], str]] = {
    "doc": Page.doc,
    "term": Page.term,
    "numref": Page.numref,
    "repository": Page.repository,
    "cite:p": Page.cite,
    "cite:t": Page.cite_in_text,
}


def heading_anchors(cells: list) -> dict[str, str]:
    """The site's anchor of each heading of a chapter, by the one that links in MyST use."""
    anchors = {}
    for cell in cells:
        tokens = PARSER.parse(cell.source) if cell.cell_type == "markdown" else []
        for opening, inline in pairwise(tokens):
            if opening.type == "heading_open":
                words = "".join(child.content for child in inline.children or [])
                curled = re.sub("['\"]", "", words)  # smart quotes are no part of an anchor
                anchors[f"#{default_slugify(words)}"] = f"#{nodes.make_id(curled)}"
    return anchors


def figure_numbers(cells: list, chapter: str) -> dict[str, str]:
    """The number of each named figure of a chapter: its drawings and plots with a caption, as they come."""
    numbers, shown = {}, 0
    for cell in cells:
        if cell.cell_type == "code":
            names = [cell_figure(cell).get("name")] if cell_figure(cell) else []
        else:
            names = [options.get("name") for options in diagrams(PARSER.parse(cell.source))]
        for name in names:
            shown += 1
            numbers[name] = f"{chapter}{shown}"
    return numbers


def cell_figure(cell) -> dict:
    """The caption and name of the plot that a code cell makes; empty without one."""
    return cell.metadata.get("mystnb", {}).get("figure", {})


def diagrams(tokens: list[Token]) -> Iterator[dict]:
    """The options of every drawing in a text, also of those inside other directives."""
    for token in tokens:
        directive = DIRECTIVE.fullmatch(token.info.strip()) if token.type in ("fence", "colon_fence") else None
        if directive:
            options, content = split_options(token.content)
            if directive[1] == "diagram":
                yield options
            else:
                yield from diagrams(PARSER.parse(content))


def outermost(tokens: list[Token]) -> Iterator[Token]:
    """The blocks that are no part of another one.

    Raises:
        ValueError: If a directive stands in a list or a quotation, where it cannot be replaced line by line.
    """
    for token in tokens:
        if token.level == 0 and token.map and token.nesting == 0:
            yield token
        elif token.type in ("fence", "colon_fence") and token.info.startswith("{"):
            raise ValueError(f"the directive {token.info} stands inside a list or a quotation: put it between them")


def descend(token: Token) -> Iterator[Token]:
    """The tokens inside a paragraph, in the order of the text."""
    for child in token.children or []:
        yield child
        yield from descend(child)


def split_options(content: str) -> tuple[dict[str, str], str]:
    """A directive's options and its text."""
    lines = content.split("\n")
    options = {}
    while lines and (option := OPTION.fullmatch(lines[0].strip())):
        options[option[1]] = option[2].strip()
        del lines[0]
    return options, "\n".join(lines).strip("\n")


def split_target(content: str) -> tuple[str, str]:
    """A role's words and what it points at: "words <target>", or the target alone."""
    found = TARGET.fullmatch(content)
    return (found["text"], found["target"]) if found else ("", content)


def fold(title: str, text: str) -> str:
    """A text that opens on a click. The empty lines make Markdown read what is inside."""
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def short_authors(work: Entry) -> str:
    """ "Elman", "Hochreiter and Schmidhuber", "Cho *et al.*"."""
    people = work.persons.get("author") or work.persons["editor"]
    names = [" ".join(str(part) for part in (*one.rich_prelast_names, *one.rich_last_names)) for one in people]
    if len(names) > 2:
        return f"{names[0]} *et al.*"
    return " and ".join(names)


def is_absolute(address: str) -> bool:
    return address.startswith(("https://", "http://", "mailto:"))


def check(text: str) -> None:
    """Make sure that a converted text is plain.

    Raises:
        ValueError: If MyST, or an address that means nothing outside the site, is left in it.
    """
    for token in PARSER.parse(text):
        directive = token.type in ("fence", "colon_fence") and token.info.startswith("{")
        if token.type in (*DROPPED, "substitution_block") or directive:
            raise ValueError(f"this is left of MyST: {token.type} {token.info or token.content}")
        for inner in descend(token):
            address = str(inner.attrs.get("href") or inner.attrs.get("src") or "")
            if inner.type in ("myst_role", "substitution_inline") or (address and not is_absolute(address)):
                raise ValueError(f"this is left of MyST: {inner.type} {address or inner.content}")
