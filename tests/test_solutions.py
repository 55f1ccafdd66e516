"""Every exercise of the book has a folded solution, whose code runs by itself: what it needs, it imports."""

import contextlib
import io

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import companion
from tests.solutions import BOOK, NOTEBOOKS, exercise_labels, solutions

each_solution = pytest.mark.parametrize(
    "solution",
    [
        pytest.param(solution, id=f"{path.relative_to(BOOK).as_posix()}-{solution.label}")
        for path in NOTEBOOKS
        for solution in solutions(path)
        if solution.code
    ],
)


def run(code):
    """Run a solution in a namespace that holds torch and companion only; return what it printed."""
    printed = io.StringIO()
    namespace = {"__name__": "solution", "torch": torch, "companion": companion}
    torch.manual_seed(0)
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "solution", "exec"), namespace)
    return printed.getvalue()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(BOOK).as_posix())
def test_every_exercise_has_one_folded_solution(path):
    labels = exercise_labels(path)
    assert all(labels) and len(set(labels)) == len(labels)
    assert sorted(labels) == sorted(solution.label for solution in solutions(path))
    assert [solution.label for solution in solutions(path) if not solution.folded] == []


@each_solution
def test_solution_runs_and_passes_its_check(solution):
    printed = run(solution.code)
    assert "Not yet" not in printed, printed
    if "check_" in solution.code:
        assert printed.splitlines()[-1].startswith("Right"), printed


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
    assert run(double.code) == "[2.0, 2.0]\n"
    assert think.code == ""


def test_a_solution_must_import_what_it_uses():
    with pytest.raises(NameError, match="'nn' is not defined"):
        run("nn.Linear(1, 1)")
