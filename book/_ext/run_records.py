"""``{run-records}``: what ran, where and when, from the records that `make record` keeps.

Each file book/records/*.json tells of one run of the tests and notebooks on one kind of device. The directive
shows the newest record of each kind, and says so for a kind that has none.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RECORDS = Path(__file__).resolve().parents[1] / "records"
KINDS = {"cuda": "GPU", "mps": "Apple GPU", "cpu": "CPU"}
FIELDS = ("kind", "device", "date", "commit", "versions", "tests", "passed", "notebooks")


def read_records(folder: Path) -> dict[str, dict]:
    """The newest record of each kind.

    Raises:
        ValueError: If a file is not a record; the message names the file and what is missing.
    """
    newest: dict[str, dict] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as problem:
            raise ValueError(f"{path.name} is not JSON: {problem}") from problem
        missing = [field for field in FIELDS if field not in record]
        if missing:
            raise ValueError(f"{path.name} lacks {', '.join(missing)}")
        known = newest.get(record["kind"])
        if known is None or record["date"] >= known["date"]:
            newest[record["kind"]] = record
    return newest


def describe(record: dict | None, kind: str) -> list[str]:
    """One record as lines of MyST: a heading, what ran, a table of notebooks."""
    label = KINDS.get(kind, kind)
    if record is None:
        return [f"## {label}", "", f"No {label} run recorded yet.", ""]
    day = date.fromisoformat(record["date"][:10])
    commit = f", at commit `{record['commit']}`" if record["commit"] else ""
    outcome = "everything passed" if record["passed"] else "**something failed**"
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    tests = record["tests"]
    counts = ", ".join(f"{tests[word]:,} {word}" for word in ("passed", "failed", "skipped") if tests.get(word))
    lines = [
        f"## {label}", "",
        f"On {day.day} {day:%B %Y}, on {record['device']}{commit}: {outcome}.", "",
        "| What | Result |", "| :-- | :-- |",
        f"| Tests | {counts or 'none'} |",
        f"| Versions | {versions} |", "",
    ]
    if record["notebooks"]:
        lines += ["| Notebook | Cells run | Seconds | Outputs as stored |", "| :-- | --: | --: | :-- |"]
        lines += [describe_notebook(notebook) for notebook in record["notebooks"]]
    return [*lines, ""]


def describe_notebook(notebook: dict) -> str:
    """A notebook's row of the table."""
    page = f"{{doc}}`/{notebook['path'].removesuffix('.ipynb')}`"
    outcome = "yes" if notebook["passed"] else "**no**"
    return f"| {page} | {notebook['cells']} | {notebook['seconds']:.1f} | {outcome} |"


class RunRecords(SphinxDirective):
    """The newest record of every kind of device."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # a record may be new though the page is not
        for path in RECORDS.glob("*.json"):
            self.env.note_dependency(str(path))
        try:
            records = read_records(RECORDS)
        except ValueError as problem:
            raise self.error(f"book/records: {problem}") from problem
        lines = []
        for kind in [*KINDS, *sorted(set(records) - set(KINDS))]:
            if kind in records or kind in ("cuda", "cpu"):
                lines += describe(records.get(kind), kind)
        parent = nodes.Element()
        self.state.nested_parse(StringList(lines, source=str(RECORDS)), 0, parent, match_titles=1)
        return parent.children


def setup(app: Sphinx) -> dict:
    app.add_directive("run-records", RunRecords)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
