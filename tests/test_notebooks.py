"""The book's notebooks are stored executed, described, short and small, and nbval checks every one of their cells."""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
PATHS = sorted(path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
NBVAL = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env"]
NBVAL += ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:tests.run_record"]

IMAGES = {"image/png", "image/jpeg", "image/svg+xml"}
SKIPPING = {"skip-execution", "nbval-skip", "raises-exception", "nbval-raises-exception"}
PRIVATE_PATH = re.compile(r"(?<![\w.])/(home|Users|root|tmp|private|var/folders)/|[A-Z]:\\Users\\")
MARKDOWN_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(")
HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
FIGURE = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(figure|image|diagram)\}.*?^(?P=fence)", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"\.(png|svg|jpe?g)\b|[0-9a-f]{16}")

each_notebook = pytest.mark.parametrize(
    "notebook",
    [pytest.param(nbformat.read(path, as_version=4), id=path.relative_to(BOOK).as_posix()) for path in PATHS],
)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    """Yield (number of the code cell, output) for every stored output."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            yield number, output


def numbers_where(notebook, holds):
    """Return the numbers of the code cells for which this holds, counted from 1 as Jupyter counts them."""
    return [number for number, cell in enumerate(code_cells(notebook), start=1) if holds(cell)]


def test_the_book_has_notebooks():
    assert len(PATHS) >= 3, f"The book has at least three chapters, but book/ holds {len(PATHS)} notebooks."


@each_notebook
def test_ran_once_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_no_cell_is_empty_or_long(notebook):
    lengths = [len(cell.source.strip().splitlines()) for cell in code_cells(notebook)]
    assert lengths and min(lengths) > 0 and max(lengths) <= 25


@each_notebook
def test_no_cell_is_skipped(notebook):
    def skips(cell):
        return "NBVAL_SKIP" in cell.source or SKIPPING & set(cell.metadata.get("tags", []))

    assert numbers_where(notebook, skips) == []


@each_notebook
def test_most_outputs_are_compared(notebook):
    def ignores(cell):
        return "NBVAL_IGNORE_OUTPUT" in cell.source or "nbval-ignore-output" in cell.metadata.get("tags", [])

    assert len(numbers_where(notebook, ignores)) <= len(code_cells(notebook)) / 3


@each_notebook
def test_no_errors_or_warnings_are_stored(notebook):
    noise = [
        (number, output.get("text") or output.get("evalue"))
        for number, output in outputs(notebook)
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert noise == []


@each_notebook
def test_outputs_name_no_private_path(notebook):
    assert [number for number, output in outputs(notebook) if PRIVATE_PATH.search(str(output))] == []


@each_notebook
def test_every_figure_is_described(notebook):
    """Alt text in the cell's metadata, for those who cannot see the figure."""

    def lacks_alt(cell):
        shows_image = any(IMAGES & set(output.get("data", {})) for output in cell.outputs)
        return shows_image and not is_description(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))

    assert numbers_where(notebook, lacks_alt) == []


@each_notebook
def test_every_image_in_the_text_is_described(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert images_without_alt(text) == []


def is_description(alt):
    return len(alt) >= 40 and not FILE_NAME.search(alt)


def images_without_alt(text):
    """Return the images of a Markdown text that have no alt text, in any of the three ways to write one."""
    links = [match[0] for match in MARKDOWN_IMAGE.finditer(text) if not match["alt"].strip()]
    tags = [tag for tag in HTML_IMAGE.findall(text) if not re.search(r"""alt=(["']).+?\1""", tag)]
    figures = [match[0] for match in FIGURE.finditer(text) if not re.search(r"^:alt: *\S", match[0], re.MULTILINE)]
    return links + tags + figures


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(BOOK).as_posix())
def test_file_is_small(path):
    assert path.stat().st_size < 300_000


def test_nbval_collects_every_cell():
    """A settings file in the wrong place, or colliding names, would make nbval leave cells out without a word."""
    listing = subprocess.run([*NBVAL, "--collect-only", "book"], cwd=ROOT, capture_output=True, text=True).stdout
    collected = Counter(re.findall(r"^(book/.+\.ipynb)::Cell \d+$", listing, re.MULTILINE))
    expected = {
        path.relative_to(ROOT).as_posix(): len(code_cells(nbformat.read(path, as_version=4))) for path in PATHS
    }
    assert collected == expected


@pytest.mark.parametrize("stored, outcome", [("42\n", "2 passed"), ("41\n", "1 failed, 1 passed")])
def test_nbval_compares_outputs(stored, outcome):
    """A notebook that stores what its cells give passes; the same notebook with one output altered fails."""
    notebook = new_notebook(
        cells=[
            new_code_cell("answer = 6 * 7", execution_count=1),
            new_code_cell("print(answer)", execution_count=2, outputs=[new_output("stream", text=stored)]),
        ]
    )
    (ROOT / "_build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "_build", prefix="nbval-") as folder:
        nbformat.write(notebook, Path(folder) / "answer.ipynb")
        run = subprocess.run([*NBVAL, folder], cwd=ROOT, capture_output=True, text=True)
    assert f"\n{outcome} in" in run.stdout, run.stdout
    assert run.returncode == ("failed" in outcome)


@pytest.mark.parametrize(
    "text",
    [
        "![](unrolled.svg)",
        '<img src="unrolled.svg">',
        "```{figure} unrolled.svg\n:name: unrolled\n\nA caption.\n```",
        ":::{diagram} unrolled.svg\nA caption.\n:::",
    ],
)
def test_an_image_without_alt_is_found(text):
    assert len(images_without_alt(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "![One cell, drawn once for each step.](unrolled.svg)",
        '<img src="unrolled.svg" alt="One cell, drawn once for each step.">',
        "```{figure} unrolled.svg\n:alt: One cell, drawn once for each step.\n\nA caption.\n```",
    ],
)
def test_an_image_with_alt_is_let_pass(text):
    assert images_without_alt(text) == []


def test_a_file_name_is_no_description():
    cell = new_code_cell(metadata={"mystnb": {"image": {"alt": "_images/" + "0123456789abcdef" * 4 + ".png"}}})
    assert not is_description(cell.metadata["mystnb"]["image"]["alt"])
    assert is_description("Perplexity falls for both models; the two curves lie on each other.")
