"""A pytest plugin that says which device the notebooks run on, and writes a record of the run.

The record goes to _build/records/<kind of device>.json, also when something failed. `make record` keeps a
green one for the page "Tested on".
"""

import json
import platform
import subprocess
from collections import Counter, defaultdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest
import torch

import companion
from tools.device import describe_device, missing_gpu
from tools.record import count_code_cells

PACKAGES = ("torch", "numpy", "matplotlib", "d2l")


def pytest_addoption(parser):
    parser.addoption("--require-gpu", action="store_true", help="fail at once where there is no GPU")


def pytest_configure(config):
    if config.option.require_gpu and (sentence := missing_gpu()):
        pytest.exit(sentence, returncode=1)
    if not hasattr(config, "workerinput"):  # under xdist the controller sees every report
        config.pluginmanager.register(RunRecord(config), "run_record")


class RunRecord:
    """Counts the tests and times the notebooks of one run."""

    def __init__(self, config):
        self.root = config.rootpath
        self.whole_notebooks = not (config.option.keyword or config.option.markexpr or "::" in str(config.args))
        self.kind, self.device = describe_device()
        self.tests = Counter(passed=0, failed=0, skipped=0)
        self.seconds = Counter()
        self.cells = defaultdict(Counter)

    def pytest_report_header(self, config):
        if self.kind != "cpu":
            return f"notebooks run on: {self.kind}, {self.device}"
        workers = getattr(config.option, "numprocesses", None) or 1
        return f"notebooks run on: cpu, {self.device} (workers: {workers}, threads each: {torch.get_num_threads()})"

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            self.tests[report.outcome] += 1
        path, _, name = report.nodeid.partition("::")
        if path.startswith("book/") and path.endswith(".ipynb") and name.startswith("Cell"):  # no solution
            self.seconds[path] += report.duration
            if report.when == "call" or not report.passed:
                self.cells[path][report.outcome] += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session, exitstatus):
        notebooks = [self.describe_notebook(path) for path in sorted(self.cells)]
        if not notebooks:
            return
        self.incomplete = [notebook["path"] for notebook in notebooks if not notebook["passed"]]
        if exitstatus == 0 and self.incomplete and self.whole_notebooks:
            session.exitstatus = exitstatus = pytest.ExitCode.TESTS_FAILED
        self.record = {
            "kind": self.kind,
            "device": self.device,
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit(self.root),
            "versions": versions(),
            "tests": dict(self.tests),
            "passed": exitstatus == 0 and not self.incomplete,
            "notebooks": notebooks,
        }
        self.path = self.root / "_build" / "records" / f"{self.kind}.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")

    def describe_notebook(self, path):
        cells = self.cells[path]
        run = cells["passed"] + cells["failed"]
        return {
            "path": path.removeprefix("book/"),
            "seconds": round(self.seconds[path], 1),
            "cells": run,
            "passed": cells["passed"] == count_code_cells(self.root / path),
        }

    def pytest_terminal_summary(self, terminalreporter):
        if not self.cells:
            return
        terminalreporter.section("notebooks")
        for notebook in self.record["notebooks"]:
            outcome = "as stored" if notebook["passed"] else "NOT every cell ran and gave what is stored"
            line = f"{notebook['path']}: {notebook['cells']} cells, {notebook['seconds']} s, {outcome}"
            terminalreporter.line(line, red=not notebook["passed"])
        place = self.path.relative_to(self.root).as_posix()
        terminalreporter.line(f"They ran on: {self.kind}, {self.device}. Run record: {place}")


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and those whose version a result may depend on."""
    found = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "companion": companion.__version__} | found


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def commit(root: Path) -> str:
    """Return git's name for the commit that is checked out, marked if files differ from it; nothing without git."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=10", "--dirty"]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
