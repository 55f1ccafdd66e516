# ruff: noqa: B904, RUF005, UP010, UP024, UP031
"""Set up what the book needs: .venv with the pinned packages, node_modules with KaTeX's files.

Every target of the Makefile calls this first. When nothing has changed it returns at once; a changed
requirements file is installed on top; a set-up that was broken off is begun anew.

It uses the standard library only, in the syntax of any Python since 2.7, so that even a Python that
is too old for the book can say so.
"""

from __future__ import print_function

import glob
import hashlib
import os
import re
import subprocess
import sys
import time

OLDEST_PYTHON = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV_BIN = os.path.join(ROOT, ".venv", "bin")
VENV_PYTHON = os.path.join(VENV_BIN, "python")
VENV_READY = os.path.join(ROOT, ".venv", "ready")
NODE_READY = os.path.join(ROOT, "node_modules", ".ready")
PYTHON_FILES = ("requirements.txt", "requirements-d2l.txt", "requirements-triton.txt", "pyproject.toml")
NODE_FILES = ("package.json", "package-lock.json")

NO_CONNECTION = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out|Max retries exceeded|"
    "ProxyError|Cannot connect to proxy|ConnectionResetError|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN"
)


class Trouble(Exception):
    """Something the reader can mend, put as a sentence."""


def main():
    try:
        set_up_python()
        set_up_node()
    except Trouble as trouble:
        sys.exit("\n%s" % trouble)
    except KeyboardInterrupt:
        sys.exit("\nStopped. The next call of make begins the set-up again.")
    except (IOError, OSError) as error:
        sys.exit("\n%s" % (explain(str(error)) or "The set-up failed: %s" % error))


def set_up_python():
    """Bring .venv up to date; the file .venv/ready says for which folder and which files it is."""
    place_and_state = "%s\n%s" % (ROOT, fingerprint(PYTHON_FILES))
    before = read(VENV_READY) if os.path.exists(VENV_PYTHON) else ""
    if before == place_and_state:
        return
    begun = time.time()
    if before.startswith(ROOT + "\n"):  # complete, in this place: only the pinned versions have changed
        say("Updating .venv.")
        os.remove(VENV_READY)
    else:
        check_python(sys.version_info[:3])
        check_modules()
        say("Setting up .venv with Python %s: once, some minutes and some gigabytes." % dotted(sys.version_info[:3]))
        run([sys.executable, "-m", "venv", "--clear", ".venv"])
    try:
        pip = [VENV_PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        run(pip + ["-r", "requirements.txt"])
        run(pip + ["--no-deps", "-r", "requirements-d2l.txt", "-e", "."])
        if not torch_brings_triton():
            run(pip + ["--no-deps", "-r", "requirements-triton.txt"])
    except Trouble:
        if before.startswith(ROOT + "\n"):
            write(VENV_READY, before)  # pip changes nothing before it has everything: the old state still holds
        raise
    write(VENV_READY, place_and_state)
    say("The Python packages are in place (%d s)." % (time.time() - begun))


def torch_brings_triton():
    """Whether the PyTorch in .venv is a build for GPUs, which needs one certain version of Triton."""
    packages = os.path.join(ROOT, ".venv", "lib", "python*", "site-packages")
    metadata = glob.glob(os.path.join(packages, "torch-*.dist-info", "METADATA"))
    return any(re.search(r"^Requires-Dist: triton\b", read(path), re.MULTILINE) for path in metadata)


def set_up_node():
    """Install KaTeX and the other npm packages with the node that lies in .venv."""
    state = fingerprint(NODE_FILES)
    if read(NODE_READY) == state:
        return
    begun = time.time()
    patience = ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=4000"]  # milliseconds between tries
    run([os.path.join(VENV_BIN, "npm"), "ci", "--no-audit", "--no-fund"] + patience)
    write(NODE_READY, state)
    say("KaTeX and the other npm packages are in place (%d s)." % (time.time() - begun))


def check_python(version):
    """Raise Trouble if this Python (a tuple such as (3, 8, 18)) is too old."""
    if tuple(version) < OLDEST_PYTHON:
        raise Trouble(
            "The book needs Python %s or later; this is %s. Name a newer one, for example: make book PYTHON=python3.12"
            % (dotted(OLDEST_PYTHON), dotted(version))
        )


def check_modules():
    """Raise Trouble if Python came without venv or ensurepip, as Debian's and Ubuntu's does."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise Trouble(
            "This Python cannot make a virtual environment (%s). On Debian and Ubuntu, run: "
            "sudo apt install python%d.%d-venv. Then call make again." % ((error,) + tuple(sys.version_info[:2]))
        )


def run(command):
    """Run a command in the project's folder, showing its progress on one line; raise Trouble if it fails."""
    environment = dict(os.environ, PIP_USER="0", PATH=VENV_BIN + os.pathsep + os.environ.get("PATH", ""))
    environment.pop("PYTHONHOME", None)
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = []
    for line in iter(process.stdout.readline, b""):
        lines.append(line.decode("utf-8", "replace").rstrip())
        show(lines[-1])
    show("")
    if process.wait() != 0:
        output = "\n".join(lines)
        raise Trouble(
            explain(output)
            or "%s failed:\n\n%s" % (" ".join(command).replace(ROOT + os.sep, ""), "\n".join(lines[-15:]))
        )


def explain(output):
    """Say in a sentence what stopped pip or npm, from what it printed; None if it is nothing we know."""
    if re.search("No space left on device|ENOSPC|Disk quota exceeded", output):
        return "The disk is full. The book's environment needs some gigabytes in %s." % ROOT
    if re.search("Permission denied|EACCES|Read-only file system|EROFS", output):
        return "No permission to write in %s. Move the book to a folder of your own, or change its owner." % ROOT
    if re.search("CERTIFICATE_VERIFY_FAILED|SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT", output):
        return (
            "The package index answers with a certificate that is not trusted here, often a company's proxy. "
            "Ask for its certificate and name the file in PIP_CERT and NODE_EXTRA_CA_CERTS, then call make again."
        )
    if "ResolutionImpossible" in output:
        return "The pinned versions contradict each other:\n\n%s" % "\n".join(output.splitlines()[-25:])
    no_connection = NO_CONNECTION.search(output)
    given_up = re.search(r"Retry\(total=0|from versions: none", output)  # pip asks several times before it gives up
    missing = re.search("No matching distribution found for ([^ \n]+)", output)
    if missing and not (no_connection and given_up):
        return (
            "The package index has no %s for this Python and this machine. "
            "Another Python may do, for example: make clean-all, then make book PYTHON=python3.12" % missing.group(1)
        )
    if no_connection:
        return (
            "No connection to the package index. The first call of make needs the network, the later ones do not. "
            "Connect (behind a proxy, set HTTPS_PROXY), then call make again."
        )
    return None


def fingerprint(names):
    """Return a hash of these files and of this script."""
    digest = hashlib.sha256()
    for name in names + (os.path.join("tools", "setup_environment.py"),):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def read(path):
    """Return a file's text, or nothing if there is no such file."""
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def say(sentence):
    print(sentence)
    sys.stdout.flush()


def show(line):
    """On a terminal, show what pip is doing (Collecting, Downloading, Installing) in place of what it did before."""
    if sys.stdout.isatty() and re.match(r"\s*[A-Z][a-z]+ing |$", line):
        sys.stdout.write("\r\033[K" + line.strip()[:79])
        sys.stdout.flush()


def dotted(version):
    return ".".join(str(part) for part in version)


if __name__ == "__main__":
    main()
