"""The examples in the docstrings: they run, and print what they say; and every public name has some.

An example starts where the reference's first page says it does, from `import torch`, `from torch import nn` and
`import companion`. What it draws at random starts from a seed, and what it prints is the same on every machine.
"""

import doctest
import importlib
import inspect
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

import companion

ROOT = Path(__file__).resolve().parents[1]
TIME_MACHINE = ROOT.parent / "shared" / "data" / "timemachine.txt"
OUTSIDE = {"__main__", "kernels"}  # commands, and code that only the SRU calls


def modules():
    """Every module of the package whose docstrings a reader meets."""
    for path in sorted((ROOT / "companion").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not OUTSIDE & set(parts):
            yield importlib.import_module(".".join(part for part in parts if part != "__init__"))


def examples():
    """Every docstring that holds examples, by the name of what it describes."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    return {test.name: test for module in modules() for test in finder.find(module) if test.examples}


EXAMPLES = examples()
LISTED = [name for name in companion.__all__ if callable(getattr(companion, name))]


def allow_the_time_machine(test, monkeypatch):
    """Run, too, what is skipped because it would download, where the text lies beside the repository."""
    if test.name.endswith("load_time_machine") and TIME_MACHINE.is_file():
        monkeypatch.setenv("RECURRENT_COMPANION_DATA", str(TIME_MACHINE.parent))
        for example in test.examples:
            example.options.pop(doctest.SKIP, None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_print_what_they_say(name, monkeypatch, capsys):
    test = EXAMPLES[name]
    monkeypatch.setattr(plt, "show", lambda *arguments: None)
    allow_the_time_machine(test, monkeypatch)
    test.globs = {"torch": torch, "nn": nn, "companion": companion}
    torch.manual_seed(0)
    found = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test)
    plt.close("all")
    assert found.failed == 0, capsys.readouterr().out
    assert found.attempted > 0 or doctest.SKIP in test.examples[0].options


@pytest.mark.parametrize("name", LISTED)
def test_every_public_name_has_an_example(name):
    thing = getattr(companion, name)
    test = EXAMPLES.get(f"{thing.__module__}.{thing.__qualname__}")
    assert test is not None, f"{thing.__module__}.{name} has no example"
    assert any(f"companion.{name}" in example.source for example in test.examples), "the example does not use it"
    assert any(example.want for example in test.examples), "the example shows no result"


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short_and_stand_in_their_section(name):
    """Two to eight lines of input, below the heading that napoleon knows."""
    test = EXAMPLES[name]
    assert 1 <= sum(len(example.source.splitlines()) for example in test.examples) <= 8
    assert test.docstring.count("Examples:\n") == 1
    assert test.docstring.index("Examples:\n") < test.docstring.index(">>>")


def test_examples_fit_the_page_and_name_no_place_of_one_machine():
    for name, test in EXAMPLES.items():
        lines = inspect.cleandoc(test.docstring).splitlines()
        shown = [line.strip() for line in lines if line.lstrip().startswith((">>>", "..."))]
        assert all(len(line) <= 116 and "/tmp" not in line for line in shown), name


def test_a_wrong_example_would_be_found():
    """The runner above is strict: what an example prints is compared to the letter."""
    wrong = doctest.DocTestParser().get_doctest(">>> companion.perplexity(0.0)\n2.0\n", {}, "wrong", None, 0)
    wrong.globs = {"companion": companion}
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
