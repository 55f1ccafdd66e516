"""The browser tests themselves: they skip with a sentence where they cannot run, and they find what is wrong."""

import os
import subprocess
import sys

from tests.chromium import served
from tests.site_pages import ROOT


def run_pytest(*arguments, **environment):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )


def test_without_chromium_they_skip_with_one_sentence(tmp_path):
    run = run_pytest("-m", "browser", "tests/test_browser.py", "tests/test_use.py", PATH=str(tmp_path))
    assert run.returncode == 0, run.stdout
    assert run.stdout.count("There is no Chromium on PATH (chromium, chromium-browser, google-chrome)") == 1
    assert " passed" not in run.stdout and " failed" not in run.stdout


def test_the_mark_is_on_those_that_need_a_browser():
    listed = run_pytest("--collect-only", "-q", "-m", "browser", "tests/test_contrast.py").stdout
    assert "test_figures_stand_out[dark]" in listed and "test_contrast_is_wcags" not in listed
    assert "Unknown pytest.mark" not in listed


BAD = """<!DOCTYPE html><html lang="en" data-theme="light"><head><title>Bad</title></head><body><main><h1>Bad</h1>
<p style="color: #999; background: #fff">Too faint to read.</p> <img src="gone.png" width="9" height="9">
<details><summary>More</summary><p style="color: #aaa">Faint in a fold.</p></details>
<pre style="width: 200px; overflow-x: auto">{wide}</pre> <div style="width: 800px">Wide.</div>
<script src="http://127.0.0.1:9/other.js"></script> <script>undefinedFunction()</script>
</main></body></html>"""


def test_what_is_wrong_is_found(chromium, tmp_path):
    (tmp_path / "index.html").write_text(BAD.format(wide="wide " * 50))
    with served(tmp_path) as address:
        visits = chromium("browse.mjs", address, "index.html")
    light, dark = visits
    assert (light["colorScheme"], dark["colorScheme"], dark["theme"]) == ("light", "dark", "light")
    assert light["sideways"] == {"1280": 0, "1440": 0, "768": light["sideways"]["768"]}
    assert light["sideways"]["768"] > 0 and dark["sideways"]["360"] > 400
    for visit in visits:
        rules = [line.partition(":")[0] for line in visit["barriers"]]
        assert rules.count("color-contrast") == 2 and {"image-alt", "scrollable-region-focusable"} < set(rules)
        assert visit["outside"] == ["http://127.0.0.1:9/other.js"] and visit["serif"] is False
        assert any("undefinedFunction" in error for error in visit["errors"])
        assert any(error.startswith("404 ") for error in visit["errors"])
