"""The exercises of a notebook and the code of their solutions, read from its Markdown cells."""

from dataclasses import dataclass
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)

PARSER = MarkdownIt().use(colon_fence_plugin)


@dataclass
class Solution:
    """One solution: the label of its exercise, and its Python blocks as one program ("" if it has none)."""

    label: str
    code: str
    folded: bool


def exercise_labels(path: Path) -> list[str]:
    """The labels of a notebook's exercises, in order."""
    return [_option(content, "label") for _, content in _directives(path, "exercise")]


def solutions(path: Path) -> list[Solution]:
    """The solutions of a notebook, in order."""
    return [
        Solution(label, _python(content), folded="dropdown" in _option(content, "class").split())
        for label, content in _directives(path, "solution")
    ]


def _directives(path: Path, name: str) -> list[tuple[str, str]]:
    """(argument, content) of every directive of this name in the Markdown cells of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    opening = f"{{{name}}}"
    blocks = _fences(text)
    return [(info.removeprefix(opening).strip(), content) for info, content in blocks
            if info.startswith(opening)]


def _python(text: str) -> str:
    kinds = ("python", "{code-block} python", "{code} python")
    return "\n".join(content for info, content in _fences(text) if info in kinds)


def _fences(text: str) -> list[tuple[str, str]]:
    """(what stands behind the opening fence, content) of every block of a Markdown text."""
    kinds = ("fence", "colon_fence")
    return [(token.info.strip(), token.content) for token in PARSER.parse(text) if token.type in kinds]


def _option(content: str, name: str) -> str:
    """The value of a directive's option, "" if it has none."""
    for line in content.splitlines():
        if not line.startswith(":"):
            break
        if line.startswith(f":{name}:"):
            return line.removeprefix(f":{name}:").strip()
    return ""
