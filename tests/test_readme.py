"""The code that README.md and the opening page show does what they say."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("page", ["README.md", "book/index.md"])
def test_python_blocks_print_what_their_comments_say(page):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks, f"{page} shows no code"
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, page, "exec"), {})
        expected = re.findall(r"^print\(.*\)\s*# (.*)$", block, re.MULTILINE)
        assert expected and printed.getvalue().splitlines() == expected


def test_readme_names_commands_and_files_that_exist():
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", text)) <= targets
    named = re.findall(r"`(companion/\w+\.py|\w+\.py|\w+/)`", text)
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / "companion" / name).exists()]
    assert named and not missing
