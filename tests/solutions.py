"""The exercises of a notebook and the code of their solutions, read from its Markdown cells."""

import ast
from dataclasses import dataclass
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
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


def exercises(path: Path) -> list[tuple[str, str]]:
    """(label, text) of a notebook's exercises, in order."""
    return [(_option(content, "label"), content) for _, content in _directives(path, "exercise")]


def exercise_labels(path: Path) -> list[str]:
    """The labels of a notebook's exercises, in order."""
    return [label for label, _ in exercises(path)]


def solutions(path: Path) -> list[Solution]:
    """The solutions of a notebook, in order."""
    return [
        Solution(label, _python(content), folded="dropdown" in _option(content, "class").split())
        for label, content in _directives(path, "solution")
    ]


def chapter_code(path: Path) -> str:
    """The code cells of a notebook as one program."""
    to_python = TransformerManager().transform_cell  # %magic and !commands are no Python
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(to_python(cell.source) for cell in cells if cell.cell_type == "code")


def checks_called(code: str, before: str = "") -> set[tuple[str, str]]:
    """(module of companion.checks, check) of every check that a program calls; it or what ran before may import it."""
    modules, functions = _imported_checks(f"{before}\n{code}")
    called = set()
    for node in ast.walk(ast.parse(code)):
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Name):
            called.add(functions.get(function.id))
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            module = modules.get(function.value.id)
            called.add(module and (module, function.attr))
    return called - {None}


def _imported_checks(code: str) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """What a program calls the modules of companion.checks, and what it calls their functions."""
    modules, functions = {}, {}
    for node in ast.walk(ast.parse(code)):
        names = node.names if isinstance(node, ast.ImportFrom) else []
        package, _, module = (node.module or "").rpartition(".") if names else ("", "", "")
        if (package, module) == ("companion", "checks"):
            modules |= {name.asname or name.name: name.name for name in names}
        elif package == "companion.checks":
            functions |= {name.asname or name.name: (module, name.name) for name in names}
    return modules, functions


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
