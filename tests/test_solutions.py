"""Every exercise of the book has a folded solution, and one that asks for code has a check.

The solutions themselves run with their chapter, see solution_cells.py.
"""

import importlib
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.solutions import NOTEBOOKS, ROOT, chapter_code, checks_called, exercise_labels, exercises, solutions

each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "book").as_posix()
)


@each_notebook
def test_every_exercise_has_one_folded_solution(path):
    labels = exercise_labels(path)
    assert labels and all(labels) and len(set(labels)) == len(labels)
    assert sorted(labels) == sorted(solution.label for solution in solutions(path))
    assert [solution.label for solution in solutions(path) if not solution.folded] == []


@each_notebook
def test_every_exercise_that_asks_for_code_has_a_check(path):
    """The exercise names one that its solution calls; the chapter's run sees it pass. There is no exception."""
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


SUM = """````{solution} ex-sum
```python
print("Right" if three == 2 + 1 else "Not yet")  # as check_sum would
```
````"""


@pytest.mark.parametrize(
    "source, text, passed, failed",
    [
        ("import torch", TEXT, 2, ""),
        ("import torch", TEXT.replace("x + x", "x + y"), 1, "name 'y' is not defined"),
        ("three = 3", SUM, 2, ""),
        ("three = 4", SUM, 1, "It printed:\nNot yet"),
        ("three = 3", SUM.replace("Right", "Done"), 1, "It printed:\nDone"),
    ],
)
def test_a_solution_runs_after_its_chapter_and_a_wrong_one_is_caught(tmp_path, source, text, passed, failed):
    cells = [new_code_cell(source, execution_count=1), new_markdown_cell(text)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "chapter.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "tests.solution_cells"]
    run = subprocess.run([*command, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert f"{passed} passed" in run.stdout and failed in run.stdout
    assert ("1 failed" in run.stdout) == bool(failed)
