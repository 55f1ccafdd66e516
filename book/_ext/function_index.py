"""``{function-index} companion`` and ``{function-index} torch``: every function, and the chapters that use it.

The directive reads the code cells of the notebooks as Python reads them. It knows a name by where it was imported from,
so a variable that happens to be called like a function is not taken for one. Of torch, the table has what lies in
torch.nn.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import companion

Uses = dict[str, tuple[set[str], set[str]]]  # by full name: the pages that teach it, and those that use it
LEFT_OUT = r"companion\.(checks|kernels|__main__)"  # not for use in chapters, or by the name of their chapter
REFERENCE = re.compile(r"^\.\. automodule:: (companion[\w.]*)", re.MULTILINE)


class Reader(ast.NodeVisitor):
    """Reads the cells of one notebook in order, and notes what they define and use."""

    def __init__(self) -> None:
        self.imported: dict[str, str] = {}  # by the name in the notebook: the full name
        self.used: set[str] = set()
        self.defined: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imported[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else alias.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in self.imported:
            self.used.add(".".join([self.imported[inner.id], *reversed(parts)]))
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.imported.pop(node.id, None)  # from here on it is a variable
        elif node.id in self.imported:
            self.used.add(self.imported[node.id])

    def read(self, cell: str) -> None:
        """One cell; the lines that only a notebook understands are left out."""
        lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
        tree = ast.parse("\n".join(lines))
        for statement in tree.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                self.defined.add(statement.name)
                self.imported.pop(statement.name, None)
        self.visit(tree)


def code_cells(path: Path) -> Iterator[str]:
    """The code of a notebook, cell by cell."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def full_name(dotted: str) -> str | None:
    """Where the function or class lies that a dotted name leads to; of a method, its class. None for anything else.

    `companion.gru_step` is companion.steps.gru_step. What torch makes with `F` and `nn.functional` keeps torch's name.
    """
    if not dotted.startswith(("companion.", "torch.nn.")):
        return None
    root, *rest = dotted.split(".")
    thing, place = importlib.import_module(root), [root]
    for name in rest:
        if inspect.isclass(thing):
            break
        try:
            thing = getattr(thing, name) if hasattr(thing, name) else importlib.import_module(".".join([*place, name]))
        except ImportError:
            return None
        place.append(name)
    if not callable(thing):
        return None
    return f"{thing.__module__}.{thing.__qualname__}" if root == "companion" else ".".join(place)


def public_names(reference: Path) -> dict[str, str]:
    """The functions and classes of the modules that have a page in the reference: the short name by the full one."""
    found = {}
    for page in sorted(reference.glob("*.md")):
        for name in REFERENCE.findall(page.read_text(encoding="utf-8")):
            if re.match(LEFT_OUT, name):
                continue
            module = importlib.import_module(name)
            names = [public for public in getattr(module, "__all__", []) if callable(getattr(module, public))]
            found |= {f"{name}.{public}": public for public in names}
    return found


def read_notebooks(folder: Path, pages: list[str], public: dict[str, str]) -> Uses:
    """What each of these pages teaches and uses, by full name."""
    home = {short: full for full, short in public.items()}
    uses: Uses = defaultdict(lambda: (set(), set()))
    for page in pages:
        reader = Reader()
        for cell in code_cells(folder / f"{page}.ipynb"):
            reader.read(cell)
        defined = {home[name] for name in reader.defined if name in home}
        for name in defined:
            uses[name][0].add(page)
        for name in {full_name(dotted) for dotted in reader.used} - defined - {None}:
            uses[name][1].add(page)
    return uses


def add_taught(uses: Uses, folder: Path, pages: list[str], public: dict[str, str]) -> None:
    """To those that define a name, add the chapters that its docstring says it is taught in."""
    titles = {title_of(folder / f"{page}.ipynb"): page for page in pages}
    for full in public:
        module, _, name = full.rpartition(".")
        words = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
        taught = re.findall(r"\*([^*]+)\*", " ".join(words.partition("Taught in ")[2].split()))
        uses[full][0].update(titles[title] for title in taught if title in titles)


def title_of(path: Path) -> str:
    """The first heading of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = (line for cell in cells for line in cell["source"] if cell["cell_type"] == "markdown")
    return next((line[2:].strip() for line in lines if line.startswith("# ")), "")


def companion_table(uses: Uses, public: dict[str, str], pages: list[str]) -> list[str]:
    """Every public name of the package, with the chapters that teach and use it; of the others, those in a chapter."""
    lines = ["| Name | Taught in | Used in |", "| :-- | :-- | :-- |"]
    for full in sorted(public, key=lambda name: (public[name].lower(), name)):
        teach, use = uses[full]
        taught, used = linked(teach, pages), linked(use - teach, pages)
        if taught or used or public[full] in companion.__all__:
            lines.append(f"| {{py:obj}}`{public[full]} <{full}>` | {taught} | {used} |")
    return lines


def torch_table(uses: Uses, known: set[str], pages: list[str]) -> list[str]:
    """What lies in torch.nn and is used in a chapter; linked where the name is among the known ones."""
    lines = ["| Name | Used in |", "| :-- | :-- |"]
    names = [name for name in uses if name.startswith("torch.nn.")]
    for name in sorted(names, key=lambda name: (name.rpartition(".")[2].lower(), name)):
        shown = name.removeprefix("torch.")
        link = f"{{py:obj}}`{shown} <{name}>`" if name in known else f"`{shown}`"
        lines.append(f"| {link} | {linked(uses[name][1], pages)} |")
    return lines


def linked(names: set[str], pages: list[str]) -> str:
    """Links to these pages, in the order of the book."""
    return " · ".join(f"{{doc}}`/{page}`" for page in pages if page in names)


class FunctionIndex(SphinxDirective):
    """The table of one of the two packages."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        if package not in ("companion", "torch"):
            raise self.error(f"function-index: expected companion or torch, got {package}")
        self.env.note_reread()  # the notebooks may have changed though the page has not
        found = self.env.temp_data.get("function-index") or read_book(self.env)
        self.env.temp_data["function-index"] = uses, public, pages = found  # for the page's other table
        lines = companion_table(uses, public, pages)
        if package == "torch":
            known = (Path(__file__).parent / "inventories" / "torch.txt").read_text(encoding="utf-8")
            lines = torch_table(uses, {line.split()[0] for line in known.splitlines() if line.strip()}, pages)
        parent = nodes.Element()
        self.state.nested_parse(StringList(lines, source=str(self.env.srcdir)), 0, parent)
        for table in parent.findall(nodes.table):
            table["classes"].append("function-index")
        return parent.children


def read_book(env) -> tuple[Uses, dict[str, str], list[str]]:
    """What the notebooks of this book teach and use, the public names, and the pages in their order."""
    folder = Path(env.srcdir)
    pages = [page for page in in_order(env) if (folder / f"{page}.ipynb").is_file()]
    public = public_names(folder / "reference")
    uses = read_notebooks(folder, pages, public)
    add_taught(uses, folder, pages, public)
    return uses, public, pages


def in_order(env) -> list[str]:
    """The pages in the order of the book."""
    contents = getattr(env.app, "book_parts", {})
    return [page for page in contents if page in env.found_docs] or sorted(env.found_docs)


def setup(app: Sphinx) -> dict:
    app.add_directive("function-index", FunctionIndex)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
