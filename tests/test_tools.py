"""The commands do what the README says, and say in a sentence what keeps them from it."""

import ast
import base64
import errno
import io
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools import device, record, serve, setup_environment
from tools.setup_environment import Trouble, check_modules, check_python, explain

ROOT = Path(__file__).resolve().parents[1]


def run(*command, cwd=ROOT, **kwargs):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **kwargs)


def write_notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells)), path)


# The Makefile and the pinned packages


def test_help_lists_the_commands():
    listing = run("make").stdout
    for command in ("book", "build", "test", "test-gpu", "execute", "record", "clean"):
        assert re.search(rf"^  make {command} +\w", listing, re.MULTILINE)


def test_ci_calls_the_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_code_is_clean():
    check = run(sys.executable, "-m", "ruff", "check", "--output-format=concise", ".")
    assert check.returncode == 0, check.stdout


REQUIREMENTS = ["requirements.txt", "requirements-d2l.txt", "requirements-triton.txt"]


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_package_is_pinned(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.match(r"[a-z0-9-]+==[\w.]+(; .+)?$", line)] == []


def test_no_package_registry_is_named():
    assert not [name for name in REQUIREMENTS if "://" in (ROOT / name).read_text()]
    assert "resolved" not in (ROOT / "package-lock.json").read_text()


# The set-up


def test_an_old_python_can_read_the_set_up():
    """No syntax younger than Python 2.7: no f-string, annotation, keyword-only argument, `nonlocal` or `raise from`."""
    tree = ast.parse((ROOT / "tools" / "setup_environment.py").read_text())
    young = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.AsyncFunctionDef, ast.Await, ast.Starred)
    for node in ast.walk(tree):
        assert not isinstance(node, young), ast.unparse(node)
        assert not (isinstance(node, ast.arg) and node.annotation), ast.unparse(node)
        assert not (isinstance(node, ast.arguments) and (node.kwonlyargs or node.posonlyargs)), ast.unparse(node)
        assert not (isinstance(node, ast.Raise) and node.cause), ast.unparse(node)


def test_an_old_python_is_told():
    with pytest.raises(Trouble, match=r"needs Python 3\.11 or later; this is 3\.8\.18"):
        check_python((3, 8, 18))
    check_python((3, 11, 0))


def test_a_python_without_venv_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(Trouble, match="sudo apt install python3"):
        check_modules()


@pytest.mark.parametrize(
    "output, sentence",
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\n"
            "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\n"
            "ERROR: No matching distribution found for torch==2.13.0",
            "No connection to the package index",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\n"
            "ERROR: No matching distribution found for torch==2.13.0",
            "The package index has no torch==2.13.0 for this Python",
        ),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError(...)'\n"
            "ERROR: Could not find a version that satisfies the requirement d2l==9 (from versions: 0.17, 1.0.3)\n"
            "ERROR: No matching distribution found for d2l==9",
            "The package index has no d2l==9",
        ),
        ("ERROR: ResolutionImpossible: for help visit ...", "contradict each other"),
        ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')", "not trusted"),
        ("npm error code ENOTFOUND\nnpm error network request failed", "No connection to the package index"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("PermissionError: [Errno 13] Permission denied: '.venv'", "No permission to write"),
    ],
)
def test_what_stopped_the_set_up_is_told(output, sentence):
    assert sentence in explain(output)


def test_what_is_not_known_is_not_explained():
    assert explain("Segmentation fault") is None


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """A project in a folder of its own whose pip is only listed, not run; returns (folder, what was run)."""
    commands = []
    for name in setup_environment.PYTHON_FILES:
        (tmp_path / name).write_text("")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "setup_environment.py").write_text("")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text("")
    monkeypatch.setattr(setup_environment, "ROOT", str(tmp_path))
    monkeypatch.setattr(setup_environment, "VENV_PYTHON", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setattr(setup_environment, "VENV_READY", str(tmp_path / ".venv" / "ready"))
    monkeypatch.setattr(setup_environment, "run", lambda command: commands.append(command[2]))
    return tmp_path, commands


def test_set_up_runs_once(set_up):
    _, commands = set_up
    setup_environment.set_up_python()
    assert commands == ["venv", "pip", "pip", "pip"]
    setup_environment.set_up_python()
    assert commands == ["venv", "pip", "pip", "pip"]


def test_set_up_follows_a_changed_file(set_up):
    folder, commands = set_up
    setup_environment.set_up_python()
    (folder / "requirements.txt").write_text("torch==2.13.0")
    setup_environment.set_up_python()
    assert commands == ["venv"] + ["pip"] * 6


def test_the_triton_that_torch_brings_along_stays(set_up):
    folder, commands = set_up
    metadata = folder / ".venv" / "lib" / "python3.11" / "site-packages" / "torch-2.13.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text('Requires-Dist: filelock\nRequires-Dist: triton==3.8.0; platform_system == "Linux"\n')
    setup_environment.set_up_python()
    assert commands == ["venv", "pip", "pip"]


def test_a_set_up_broken_off_begins_anew(set_up, monkeypatch):
    folder, commands = set_up
    setup_environment.set_up_python()
    (folder / "requirements.txt").write_text("torch==2.13.0")

    def break_off(command):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(setup_environment, "run", break_off)
        setup_environment.set_up_python()
    setup_environment.set_up_python()
    assert commands == ["venv", "pip", "pip", "pip"] * 2


def test_an_update_without_network_leaves_the_old_packages(set_up, monkeypatch):
    folder, commands = set_up
    setup_environment.set_up_python()
    (folder / "requirements.txt").write_text("torch==2.13.0")

    def find_no_network(command):
        raise Trouble("No connection")

    with monkeypatch.context() as patch, pytest.raises(Trouble):
        patch.setattr(setup_environment, "run", find_no_network)
        setup_environment.set_up_python()
    setup_environment.set_up_python()
    assert commands == ["venv"] + ["pip"] * 6


def test_a_moved_folder_is_set_up_anew(set_up):
    folder, commands = set_up
    setup_environment.set_up_python()
    ready = folder / ".venv" / "ready"
    ready.write_text("/elsewhere\n" + ready.read_text().partition("\n")[2])
    setup_environment.set_up_python()
    assert commands == ["venv", "pip", "pip", "pip"] * 2


# The server


def listen_to_interrupts():
    """In the server: a process started in the background inherits that it ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_serve_shows_the_site(tmp_path):
    (tmp_path / "index.html").write_text("A page.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "tools/serve.py", str(tmp_path), str(port)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, cwd=ROOT, **pipes, preexec_fn=listen_to_interrupts) as server:
        try:
            assert f"http://localhost:{port}" in server.stdout.readline()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                assert page.read() == b"A page."
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=10) == 0
        finally:
            server.kill()  # else a server that does not stop would be waited for without end
        assert server.stderr.read() == ""


def test_serve_names_a_port_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = run(sys.executable, "tools/serve.py", ".", str(port))
    assert server.returncode == 1
    assert server.stderr == serve.explain(OSError(errno.EADDRINUSE, ""), str(port)) + "\n"
    assert f"Port {port} is in use" in server.stderr and f"make book PORT={port + 1}" in server.stderr


@pytest.mark.parametrize("port", ["http", "99999"])
def test_serve_refuses_what_is_no_port(port):
    server = run(sys.executable, "tools/serve.py", ".", port)
    assert server.returncode == 1
    assert server.stderr == f"PORT must be a number from 1 to 65535, not {port!r}: make book PORT=8000\n"


# Executing notebooks


def test_execute_stores_outputs(tmp_path):
    path = tmp_path / "two words.ipynb"
    write_notebook(path, new_markdown_cell("# Sums"), new_code_cell("1 + 1"), new_code_cell("print(2)\nprint(3)"))
    done = run(sys.executable, "tools/execute.py", str(path))
    assert done.returncode == 0, done.stderr
    _, first, second = nbformat.read(path, as_version=4).cells
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert first.outputs[0].data["text/plain"] == "2"
    assert [output.text for output in second.outputs] == ["2\n3\n"]
    assert "execution" not in first.metadata


def test_execute_shrinks_plots_and_keeps_how_they_look(tmp_path):
    path = tmp_path / "plot.ipynb"
    drawing = "import matplotlib.pyplot as plt\n_ = plt.plot(range(50))\nplt.savefig('drawn.png', bbox_inches='tight')"
    write_notebook(path, new_code_cell(drawing))
    assert run(sys.executable, "tools/execute.py", str(path)).returncode == 0
    (output,) = nbformat.read(path, as_version=4).cells[0].outputs
    stored, drawn = base64.b64decode(output.data["image/png"]), (tmp_path / "drawn.png").read_bytes()
    assert len(stored) < len(drawn) / 2
    stored, drawn = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int) for png in (stored, drawn))
    assert stored.shape == drawn.shape and np.abs(stored - drawn).max() < 30 and np.abs(stored - drawn).mean() < 0.5


def test_execute_leaves_a_failing_notebook_as_it_was(tmp_path):
    path = tmp_path / "wrong.ipynb"
    write_notebook(path, new_code_cell("1 + 1"), new_code_cell("1 / 0"))
    before = path.read_bytes()
    done = run(sys.executable, "tools/execute.py", str(path))
    assert done.returncode == 1
    assert "left as it was" in done.stderr and "ZeroDivisionError" in done.stderr
    assert path.read_bytes() == before


def test_execute_names_a_missing_notebook():
    done = run(sys.executable, "tools/execute.py", "book/nowhere.ipynb")
    assert (done.returncode, done.stderr) == (1, "There is no notebook book/nowhere.ipynb.\n")


# The run record


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A book of two notebooks with two right cells each; returns a function that runs pytest and reads the record."""
    for name in ("gru", "lstm"):
        write_notebook(
            tmp_path / "book" / "gates" / f"{name}.ipynb",
            new_code_cell("answer = 6 * 7", execution_count=1),
            new_code_cell("print(answer)", execution_count=2, outputs=[new_output("stream", text="42\n")]),
        )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)

    def run_pytest(*arguments):
        plugins = ("-p", "tests.run_record", "-p", "no:cacheprovider")
        nbval = ("--nbval", "--nbval-current-env")
        done = run(sys.executable, "-m", "pytest", *plugins, *nbval, "book", *arguments, cwd=tmp_path)
        (path,) = (tmp_path / "_build" / "records").glob("*.json")
        return done, json.loads(path.read_text())

    return run_pytest


def alter(path, change):
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_green_run_is_recorded_and_kept(project, workers, capsys):
    done, found = project("-n", workers, "--dist", "loadscope")
    assert done.returncode == 0, done.stdout
    kind, name = device.describe_device()
    assert f"notebooks run on: {kind}, {name}" in done.stdout
    assert (found["kind"], found["device"], found["passed"]) == (kind, name, True)
    assert found["tests"] == {"passed": 4, "failed": 0, "skipped": 0}
    assert [(book["path"], book["cells"], book["passed"]) for book in found["notebooks"]] == [
        ("gates/gru.ipynb", 2, True),
        ("gates/lstm.ipynb", 2, True),
    ]
    assert found["versions"]["torch"] == torch.__version__
    record.main()
    assert json.loads(Path("book/records", f"{kind}.json").read_text()) == found


def test_a_failed_run_is_recorded_but_not_kept(project):
    alter(Path("book/gates/gru.ipynb"), lambda notebook: notebook.cells[1].outputs[0].update(text="41\n"))
    done, found = project()
    assert done.returncode == 1
    assert found["passed"] is False and found["tests"] == {"passed": 3, "failed": 1, "skipped": 0}
    assert [book["passed"] for book in found["notebooks"]] == [False, True]
    with pytest.raises(SystemExit, match=r"is not kept: that run did not pass \(1 failed\)"):
        record.main()


def test_a_cell_left_out_fails_the_run(project):
    alter(Path("book/gates/gru.ipynb"), lambda notebook: notebook.cells[1].metadata.update(tags=["nbval-skip"]))
    done, found = project()
    assert done.returncode == 1
    assert "gates/gru.ipynb: 1 cells" in done.stdout
    assert found["passed"] is False


def test_a_partial_run_is_not_kept(project):
    done, found = project("-k", "gru")
    assert done.returncode == 0 and found["passed"]
    with pytest.raises(SystemExit, match=r"is not kept: that run left out gates/lstm\.ipynb"):
        record.main()
    alter(Path("book/gates/gru.ipynb"), lambda notebook: notebook.cells.append(new_code_cell("answer")))
    Path("book/gates/lstm.ipynb").unlink()
    with pytest.raises(SystemExit, match=r"ran 2 cells of gates/gru\.ipynb, which has 3"):
        record.main()


def test_no_run_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="There is no run record yet: make test writes one"):
        record.main()


def test_a_missing_gpu_is_told(monkeypatch):
    monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))
    assert "There is no GPU" in device.missing_gpu()
    monkeypatch.setattr(device, "describe_device", lambda: ("cuda", "A GPU"))
    assert device.missing_gpu() is None
