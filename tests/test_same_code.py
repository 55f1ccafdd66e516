"""Same name, same code: what a chapter defines under a public name of the package is what the package ships.

Syntax trees are compared, without docstrings, comments and type annotations: a chapter may leave those out.
"""

import ast
import copy
import difflib
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path for path in (ROOT / "book").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
MODULES = sorted(path for path in (ROOT / "companion").rglob("*.py") if path.name != "__init__.py")

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def definitions(source):
    """The functions and classes that a source defines at its top, by name."""
    return [node for node in ast.parse(source).body if isinstance(node, DEFINITIONS)]


def public_definitions(paths=MODULES):
    """The syntax tree of every function and class that is in the ``__all__`` of a module."""
    public = {}
    for path in paths:
        source = path.read_text(encoding="utf-8")
        names = listed_names(source)
        public |= {node.name: node for node in definitions(source) if node.name in names}
    return public


def listed_names(source):
    """What ``__all__`` holds."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def chapter_definitions(path):
    """The syntax tree of every function and class that the code cells of a notebook define at their top."""
    to_python = TransformerManager().transform_cell  # %magic and !commands are no Python
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return [node for cell in cells for node in definitions(to_python(cell.source))]


class Bare(ast.NodeTransformer):
    """Takes docstrings and type annotations away. Comments are no part of a syntax tree to begin with."""

    def visit_FunctionDef(self, node):
        node.returns = None
        return self._without_docstring(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        return self._without_docstring(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        if node.value is None:
            return None
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def _without_docstring(self, node):
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


def bare(node):
    """The code of a definition in a form that is equal where the code is equal."""
    return ast.unparse(ast.fix_missing_locations(Bare().visit(copy.deepcopy(node))))


def difference(chapter, package):
    """What has to change for the chapter's code to be the package's; empty if nothing has."""
    lines = (bare(node).splitlines() for node in (package, chapter))
    return "\n".join(difflib.unified_diff(*lines, "package", "chapter", lineterm="", n=1))


PACKAGE = public_definitions()
IN_CHAPTERS = [(path, node) for path in NOTEBOOKS for node in chapter_definitions(path) if node.name in PACKAGE]


@pytest.mark.parametrize("path, node", IN_CHAPTERS, ids=[f"{path.stem}-{node.name}" for path, node in IN_CHAPTERS])
def test_a_chapter_and_the_package_have_the_same_code(path, node):
    found = difference(node, PACKAGE[node.name])
    assert not found, f"{path.name} and the package define {node.name} differently:\n{found}"


def test_every_public_name_is_defined_in_one_chapter_only():
    counts = Counter(node.name for _, node in IN_CHAPTERS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_chapters_define_much_of_the_package():
    """So that none of this passes by finding nothing."""
    names = {node.name for _, node in IN_CHAPTERS}
    assert len(names) >= 8, sorted(names)
    assert {"Vocabulary", "rnn_step", "gru_step"} <= names


# Differences are found, and what may differ is let pass.

ORIGINAL = '''
@torch.no_grad()
def greet(name: str, times: int = 2, *rest: int, loud: bool = False) -> str:
    """Say hello.

    Args:
        name: whom to greet.
    """
    # As often as asked.
    words: list[str] = ["hello"] * times
    count: int
    return " ".join([*words, name])
'''

SAME = {
    "without a docstring": (ORIGINAL[: ORIGINAL.index('    """')] + ORIGINAL[ORIGINAL.index("    # As") :]),
    "another docstring": ORIGINAL.replace("Say hello.", "Greet someone."),
    "without comments": ORIGINAL.replace("    # As often as asked.\n", ""),
    "without annotations": (
        ORIGINAL.replace(": str", "")
        .replace(": int = 2", "=2")
        .replace("*rest: int", "*rest")
        .replace(": bool", "")
        .replace(" -> str", "")
        .replace(": list[str]", "")
        .replace("    count: int\n", "")
    ),
    "laid out differently": ORIGINAL.replace("[*words, name]", "[\n        *words,\n        name,\n    ]"),
}
CHANGED = {
    "an argument's name": ORIGINAL.replace("times", "number"),
    "a default": ORIGINAL.replace("= 2", "= 3"),
    "a keyword's default": ORIGINAL.replace("False", "True"),
    "a constant": ORIGINAL.replace('"hello"', '"hallo"'),
    "an operator": ORIGINAL.replace("* times", "+ times"),
    "the order": ORIGINAL.replace("[*words, name]", "[name, *words]"),
    "a decorator less": ORIGINAL.replace("@torch.no_grad()\n", ""),
    "another decorator": ORIGINAL.replace("no_grad", "inference_mode"),
    "a line less": ORIGINAL.replace('    words: list[str] = ["hello"] * times\n', ""),
    "a line more": ORIGINAL + "    return name\n",
    "a string that stands where no docstring does": ORIGINAL + '    """Done."""\n',
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_what_may_differ_is_let_pass(source):
    assert source != ORIGINAL
    assert difference(*definitions(source), *definitions(ORIGINAL)) == ""


@pytest.mark.parametrize("source", CHANGED.values(), ids=CHANGED)
def test_altered_code_is_caught(source):
    assert difference(*definitions(source), *definitions(ORIGINAL)) != ""


@pytest.mark.parametrize("name", sorted(PACKAGE))
def test_any_public_definition_with_a_statement_less_is_caught(name):
    shorter = copy.deepcopy(PACKAGE[name])
    last = [node for node in ast.walk(shorter) if isinstance(node, ast.FunctionDef)] or [shorter]
    last[-1].body = [*last[-1].body[:-1], ast.parse("altered = 1").body[0]]
    assert difference(shorter, PACKAGE[name])


def test_definitions_are_found_in_cells_with_magic(tmp_path):
    cells = ["%matplotlib inline\n!ls\nx = 1", "class A:\n    pass", "if x:\n    def hidden(): pass\ndef b(): return x"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells.append(nbformat.v4.new_markdown_cell("def no_code(): pass"))
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    assert [node.name for node in chapter_definitions(tmp_path / "chapter.ipynb")] == ["A", "b"]
