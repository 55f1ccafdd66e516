"""Writes what the launch buttons open: python tools/colab.py [--repository OWNER/NAME] [--site ADDRESS].

Beside the built site, in launch/, go the package's wheel and the drawings as files. Into another folder, which the
Pages workflow pushes as the branch of the launch buttons, go copies of the notebooks in plain Markdown, whose first
cell gets the package from that wheel, and what Binder needs to set up its machine. The addresses are those of the
repository that the workflow runs in, so a fork's buttons open the fork's copies.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book" / "_ext")]

from launch_buttons import LAUNCH_FOLDER, find_repository, git_origin, site_address  # noqa: E402

from tools.drawing_files import write_drawings  # noqa: E402
from tools.plain_markdown import Book, Page, cell_figure, figure_numbers, heading_anchors  # noqa: E402

BOOK = ROOT / "book"
PACKAGE = ("companion", "pyproject.toml", "README.md", "LICENSE")  # what the package is built from
FOR_BINDER = ("binder", "requirements.txt", "requirements-d2l.txt")

FIRST_CELL = """\
# Gets the book's package where it is missing, as on Colab. It installs nothing else and changes nothing that is there.
import subprocess
import sys
from importlib.util import find_spec

WHEEL = "{wheel}"
if not find_spec("companion"):
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", WHEEL], check=True)"""

EXTRA_CELL = """\
# Gets what the optional cells need, where it is missing. It changes nothing that is there.
for package in {packages}:
    if not find_spec(package.partition("==")[0].replace("-", "_")):
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", package])"""

# What some cells import and Colab lacks, or may lack. The chapters run without it.
EXTRAS = ("d2l", "onnx", "onnxruntime", "onnxscript")
ALSO = {"onnxscript": ["onnx-ir"]}  # what such a package itself needs, and Colab may lack, too


def main(arguments: list[str] | None = None) -> None:
    options = read_options(arguments)
    environment = dict(os.environ) | ({"BOOK_REPOSITORY": options.repository} if options.repository else {})
    repository = find_repository(environment, git_origin(ROOT))
    if repository is None or repository.provider != "github":
        sys.exit("Colab opens repositories on GitHub only. Name one: python tools/colab.py --repository OWNER/NAME")
    site = (options.site or environment.get("BOOK_SITE") or site_address(repository)).rstrip("/")
    beside = options.built / LAUNCH_FOLDER
    foreign = foreign_files(options.folder)
    if foreign:
        sys.exit(f"{options.folder} would be emptied, but holds {foreign[0]}, which this tool did not write.")
    shutil.rmtree(beside, ignore_errors=True)  # a wheel of an older version, a drawing that is gone
    shutil.rmtree(options.folder, ignore_errors=True)
    wheel = build_wheel(beside)
    drawings = write_drawings(BOOK / "_static" / "diagrams", BOOK / "_static" / "book.css", beside / "diagrams")
    try:
        copies = write_copies(options.folder, Book(site, repository.url), f"{site}/{LAUNCH_FOLDER}/{wheel.name}")
    except ValueError as problem:
        sys.exit(str(problem))
    copy_files((*PACKAGE, *FOR_BINDER), options.folder)
    print(f"{beside}: {wheel.name}, {len(drawings)} drawings\n{options.folder}: {len(copies)} notebooks for {site}")


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", help="owner/name on GitHub; by default what the launch buttons open")
    parser.add_argument("--site", help="the site's address; by default BOOK_SITE, else the repository's GitHub Pages")
    parser.add_argument("--built", type=Path, default=ROOT / "_build" / "html", help="the folder of the built site")
    parser.add_argument("--folder", type=Path, default=ROOT / "_build" / "colab", help="where the copies go")
    return parser.parse_args(arguments)


def foreign_files(folder: Path) -> list[str]:
    """What lies in the folder for the copies that an earlier call has not put there."""
    ours = {"book", *PACKAGE, *FOR_BINDER}
    return sorted({path.name for path in folder.iterdir()} - ours) if folder.is_dir() else []


def build_wheel(folder: Path) -> Path:
    """Build the package's wheel, from a fresh copy of its sources: an older build leaves files that would join it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as sources:
        copy_files(PACKAGE, Path(sources))
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), sources], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def copy_files(names: tuple[str, ...], folder: Path) -> None:
    """Copy files and folders from the repository's root."""
    for name in names:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def write_copies(folder: Path, book: Book, wheel: str) -> list[Path]:
    """Write a copy of every notebook, at the same place below `folder`; return the files.

    Raises:
        ValueError: If a chapter holds something that has no plain Markdown; the message names the chapter.
    """
    copies = []
    for source in sorted(path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts):
        name = source.relative_to(BOOK).with_suffix("").as_posix()
        try:
            copy = make_copy(nbformat.read(source, as_version=4), name, book, wheel)
        except (ValueError, LookupError) as problem:
            raise ValueError(f"book/{name}.ipynb: {problem}") from problem
        target = folder / "book" / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(copy, target)
        copies.append(target)
    return copies


def make_copy(notebook: NotebookNode, name: str, book: Book, wheel: str) -> NotebookNode:
    """A notebook whose text is plain Markdown, whose plots have captions, and which gets the package by itself."""
    page = Page(book, name)
    page.figures = figure_numbers(notebook.cells, page.chapter)
    page.anchors = heading_anchors(notebook.cells)
    cells: list[NotebookNode] = []
    opened = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cells.append(NotebookNode(cell | {"source": page.convert(cell.source)}))
            continue
        if cell.cell_type == "code" and not opened:
            cells += opening(notebook, page, wheel)
            opened = True
        cells.append(cell)
        if caption := cell_figure(cell).get("caption"):
            cells.append(new_markdown_cell(page.caption(caption), id=f"caption-{page.shown}"))
    copy = NotebookNode(notebook | {"cells": cells})
    nbformat.validate(copy)
    return copy


def opening(notebook: NotebookNode, page: Page, wheel: str) -> list[NotebookNode]:
    """What stands above a chapter's first cell of code: where this comes from, and the cells that get what it needs."""
    title = page.book.title(page.name)
    words = (
        f"This is the chapter [{title}]({page.book.page(page.name)}) of *Recurrent Networks, Twice*, as a notebook to "
        "run. The next cell gets the book's package, `companion`, where it is missing."
    )
    cells = [new_markdown_cell(words, id="about-this-copy")]
    cells.append(new_code_cell(FIRST_CELL.format(wheel=wheel), id="get-companion"))
    needed = [module for module in EXTRAS if module in imported_modules(notebook)]
    if needed:
        pins = pinned_versions()
        packages = " and ".join(f"`{module}`" for module in needed)
        sentence = (
            f"Some cells of this chapter need {packages}, which Colab may lack. Without that they do nothing, and all "
            "others run. To run those too, run the next cell."
        )
        cells.append(new_markdown_cell(sentence, id="about-the-rest"))
        wanted = [pins[package] for module in needed for package in [*ALSO.get(module, []), module]]
        cells.append(new_code_cell(EXTRA_CELL.format(packages=wanted), id="get-the-rest"))
    return cells


def pinned_versions() -> dict[str, str]:
    """The pin of each package of the book's own environment, by its name: {"d2l": "d2l==1.0.3"}."""
    files = [ROOT / name for name in FOR_BINDER if name.endswith(".txt")]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return {line.partition("==")[0]: line for line in lines if "==" in line and not line.startswith("#")}


def imported_modules(notebook: NotebookNode) -> set[str]:
    """The packages that a notebook's code imports anywhere, by their first name."""
    found = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return found


if __name__ == "__main__":
    main()
