"""Every exercise of the book has a folded solution, and its code runs where a reader runs it: after the chapter."""

import importlib
import os
from unittest import mock

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.solutions import NOTEBOOKS, ROOT, chapter_code, checks_called, exercise_labels, exercises, solutions

each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "book").as_posix()
)


def run_after_chapter(path):
    """Run a chapter's cells and then its solutions in the same kernel; return what each solution printed or raised."""
    notebook = nbformat.read(path, as_version=4)
    programs = [solution for solution in solutions(path) if solution.code]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    cells = [new_code_cell(source) for source in (*code, *(solution.code for solution in programs))]
    client = NotebookClient(
        new_notebook(cells=cells),
        kernel_name="python3",
        timeout=300,
        allow_errors=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    with mock.patch.dict(os.environ, TQDM_DISABLE="1"):
        done = client.execute().cells[len(code) :]
    return {solution.label: (solution.code, *read_outputs(cell)) for solution, cell in zip(programs, done, strict=True)}


def read_outputs(cell):
    """Return what a cell printed, and the error it raised ("" if none)."""
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    raised = [f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"]
    return printed, "".join(raised)


@each_notebook
def test_every_exercise_has_one_folded_solution(path):
    labels = exercise_labels(path)
    assert labels and all(labels) and len(set(labels)) == len(labels)
    assert sorted(labels) == sorted(solution.label for solution in solutions(path))
    assert [solution.label for solution in solutions(path) if not solution.folded] == []


@each_notebook
def test_every_exercise_that_asks_for_code_has_a_check(path):
    """The exercise names one that its solution calls; the test below sees it pass. There is no exception."""
    texts, before = dict(exercises(path)), chapter_code(path)
    lacking = {}
    for solution in solutions(path):
        names = {name for _, name in checks_called(solution.code, before)}
        if solution.code and not any(f"{name}(" in texts[solution.label] for name in names):
            lacking[solution.label] = names
    assert lacking == {}


@each_notebook
def test_every_check_of_a_chapter_is_used_in_it(path):
    before = chapter_code(path)
    called = checks_called(before).union(*(checks_called(solution.code, before) for solution in solutions(path)))
    for module in {module for module, _ in called}:
        names = set(importlib.import_module(f"companion.checks.{module}").__all__)
        assert names == {name for of, name in called if of == module}


@each_notebook
def test_solutions_run_and_pass_their_checks(path):
    faults = {}
    for label, (code, printed, raised) in run_after_chapter(path).items():
        wrong = "Not yet" in printed or ("check_" in code and "Right" not in printed)
        if raised or wrong:
            faults[label] = raised or printed
    assert faults == {}


# The reader of notebooks itself

TEXT = """```{exercise} Double it
:label: ex-double
:class: easy
Write `double`.
```

````{solution} ex-double
:class: dropdown
Add it to itself.
```python
def double(x):
    return x + x
```
Then:
```python
print(double(torch.ones(2)).tolist())
```
```text
not code
```
````

:::{exercise} Think
:label: ex-think
:::

:::{solution} ex-think
Thought.
:::"""


def test_solutions_are_found(tmp_path):
    path = tmp_path / "chapter.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("raise SystemExit"), new_markdown_cell(TEXT)]), path)
    assert exercise_labels(path) == ["ex-double", "ex-think"]
    double, think = solutions(path)
    assert (double.label, double.folded, think.label, think.folded) == ("ex-double", True, "ex-think", False)
    assert "double(torch.ones(2))" in double.code and "not code" not in double.code
    assert think.code == ""


@pytest.mark.parametrize(
    "before, code, called",
    [
        ("", "from companion.checks import lstm\nlstm.check_cell_states(f)", {("lstm", "check_cell_states")}),
        ("", "from companion.checks import gru as checks\nchecks.check_half_life(f)", {("gru", "check_half_life")}),
        ("", "from companion.checks.gru import check_half_life\ncheck_half_life(f)", {("gru", "check_half_life")}),
        ("from companion.checks import gru", "gru.check_half_life(f)", {("gru", "check_half_life")}),
        ("from companion.checks import gru\ngru.check_half_life(f)", "assert f(3) == 4", set()),
        ("", "from companion.checks import lstm\nlstm.check_cell_states", set()),
        ("", "def check_it(f): ...\ncheck_it(f)", set()),
        ("", "", set()),
    ],
)
def test_checks_are_found(before, code, called):
    assert checks_called(code, before) == called


def test_a_solution_sees_the_chapter_and_a_wrong_one_is_caught(tmp_path):
    path = tmp_path / "chapter.ipynb"
    imports = new_code_cell("import torch")
    nbformat.write(new_notebook(cells=[imports, new_markdown_cell(TEXT)]), path)
    assert [outcome[1:] for outcome in run_after_chapter(path).values()] == [("[2.0, 2.0]\n", "")]
    nbformat.write(new_notebook(cells=[imports, new_markdown_cell(TEXT.replace("x + x", "x + y"))]), path)
    assert [outcome[1:] for outcome in run_after_chapter(path).values()] == [("", "NameError: name 'y' is not defined")]
