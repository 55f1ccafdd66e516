"""The page on the checks tells of every one, and its example prints what the page says."""

import importlib
import re
from pathlib import Path

import pytest

from companion.batching import length_mask
from companion.checks import variable_lengths

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "reference" / "checks.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| \*(?P<chapter>[^|*]+)\* \| `(?P<module>\w+)` \| (?P<checks>.+) \|$", re.MULTILINE)

SHARED = {"__init__", "compare", "inputs"}  # what the chapters' modules build on
MODULES = sorted({path.stem for path in (ROOT / "companion" / "checks").glob("*.py")} - SHARED)


def rows():
    return {row["module"]: row for row in ROW.finditer(PAGE)}


def test_every_row_is_of_a_module():
    assert sorted(rows()) == MODULES
    assert len(ROW.findall(PAGE)) == len(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_the_page_lists_every_check_of_a_module(name):
    module, row = importlib.import_module(f"companion.checks.{name}"), rows()[name]
    assert sorted(re.findall(r"`(check_\w+)`", row["checks"])) == sorted(module.__all__)
    assert f"*{row['chapter']}*" in module.__doc__.partition("\n")[0]


def block(kind):
    (text,) = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return text


def test_the_example_prints_what_the_page_says(capsys):
    exec(block("python"), {})
    assert capsys.readouterr().out == block("text")


def test_a_right_answer_prints_what_the_page_says(capsys):
    def mean_over_time(outputs, lengths):
        return outputs.masked_fill(~length_mask(lengths, len(outputs)).unsqueeze(-1), 0).sum(0) / lengths.unsqueeze(-1)

    assert variable_lengths.check_mean_over_time(mean_over_time) is True
    assert f"`{capsys.readouterr().out.strip()}`" in PAGE
