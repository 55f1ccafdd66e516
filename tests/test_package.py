"""The package as a whole: documented, typed, light to import, and each module built on those below it only."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import companion

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT = REPOSITORY / "companion"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))

# From the bottom to the top: a module imports only what stands above it in this list, that is, below it in the house.
ROOMS = [
    "validation",
    "steps",
    "time_loop",
    "bptt",
    "attention",
    "layers",
    "cells",
    "kernels",
    "sru",
    "scan",
    "crf",
    "precision",
    "spectrogram",
    "edit_distance",
    "metrics",
    "text",
    "tagging",
    "spans",
    "batching",
    "anatomy",
    "states",
    "initialization",
    "conversion",
    "keras_layout",
    "onnx_layout",
    "ngram",
    "modes",
    "tasks",
    "goertzel",
    "probes",
    "language_model",
    "classifier",
    "images",
    "entities",
    "ctc",
    "decoding",
    "encoder_decoder",
    "streaming",
    "forecasting",
    "checkpoints",
    "runs",
    "progress",
    "plotting",
    "distributed",
    "training",
    "d2l_bridge",
    "checks",
    "__main__",
]
# Their names are used inside the package only, or work all alike: a sentence says enough.
BRIEFLY_DOCUMENTED = {"validation", "checks", "kernels"}

PATHS = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def module_name(path):
    """companion.checks.compare, for instance."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name):
    """Where a module stands: that of companion.checks.compare is checks."""
    return name.split(".")[1]


MODULES = [module_name(path) for path in PATHS]
PUBLIC = [
    pytest.param(name, getattr(importlib.import_module(name), public), id=f"{name}.{public}")
    for name in MODULES
    for public in getattr(importlib.import_module(name), "__all__", [])
    if callable(getattr(importlib.import_module(name), public))
]


def imported_by(path):
    """The names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module


# The house


def test_every_module_has_its_room():
    assert {room(name) for name in MODULES} == set(ROOMS)


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_modules_import_downwards_only(path):
    own = ROOMS.index(room(module_name(path)))
    for name in imported_by(path):
        if name.partition(".")[0] == "companion":
            assert name != "companion", "import the module that a name comes from"
            inside_the_room = room(name) == ROOMS[own] in {"checks", "kernels", "tasks"}
            assert ROOMS.index(room(name)) < own or inside_the_room, name


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_only_plotting_imports_matplotlib(path):
    names = {name.partition(".")[0] for name in imported_by(path)}
    assert ("matplotlib" in names) == (path.stem == "plotting")


def test_what_is_imported_is_declared():
    """Everything from outside the standard library is a dependency, or optional and imported where it is used."""
    declared = {re.match(r"\w+", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}
    optional = {"IPython", "torchvision", "numba", "triton", "onnx"}
    imported = {name.partition(".")[0] for path in PATHS for name in imported_by(path)}
    assert imported - set(sys.stdlib_module_names) - {"companion"} - optional <= declared


IMPORT = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(refuse)
import companion
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"matplotlib", "pooch", "requests", "IPython", "d2l"}))
"""


def test_the_package_tested_is_that_of_this_repository():
    assert Path(companion.__file__).resolve().parent == ROOT


def test_importing_is_light_and_downloads_nothing():
    process = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (0, "\n", "")


# What it says of itself


def test_the_version_is_that_of_the_distribution():
    assert companion.__version__ == PROJECT["project"]["version"] == metadata.version("recurrent-companion")


def test_types_and_data_are_part_of_the_distribution():
    assert resources.files("companion").joinpath("py.typed").is_file()
    assert resources.files("companion").joinpath("data/story.txt").is_file()
    assert {"py.typed", "data/*"} <= set(PROJECT["tool"]["setuptools"]["package-data"]["companion"])
    folders = {module_name(path) for path in [ROOT / "__init__.py", *PATHS] if path.name == "__init__.py"}
    assert folders == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_listed_name_exists_and_is_listed_where_it_is_defined():
    for name in MODULES:
        module = importlib.import_module(name)
        assert all(hasattr(module, public) for public in getattr(module, "__all__", []))
    assert len(set(companion.__all__)) == len(companion.__all__)
    for public in companion.__all__:
        home = importlib.import_module(getattr(companion, public).__module__)
        assert public in home.__all__


def test_no_public_name_has_two_meanings():
    homes = {}
    for name in MODULES:
        if room(name) == "checks":
            continue  # called by the name of their chapter: deep.check_top_states
        for public in getattr(importlib.import_module(name), "__all__", []):
            homes.setdefault(public, []).append(name)
    assert {public: names for public, names in homes.items() if len(names) > 1} == {}


# Its documentation


@pytest.mark.parametrize("path", [ROOT / "__init__.py", *PATHS], ids=lambda path: path.stem)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name, thing", PUBLIC)
def test_every_public_name_is_documented(name, thing):
    text = inspect.getdoc(thing) or ""
    assert text.partition("\n")[0].rstrip().endswith((".", ":")) and not text.startswith(thing.__name__ + "(")
    if room(name) not in BRIEFLY_DOCUMENTED:
        check_arguments_and_result(thing, text)


def check_arguments_and_result(thing, text):
    """Every argument has its line, and what comes back is told."""
    if inspect.isclass(thing) and issubclass(thing, tuple | Exception):
        return
    arguments = set(inspect.signature(thing).parameters)
    section = re.search(r"^(Args|Attributes):\n((?: .*\n?|\n)+)", text, re.MULTILINE)
    documented = set()
    if section:
        heads = re.findall(r"^    ([\w, ]+):", section[2], re.MULTILINE)
        documented = {argument.strip() for head in heads for argument in head.split(",")}
    assert arguments - documented == set()
    if inspect.isfunction(thing) and gives_something_back(thing):
        assert re.search(r"^Returns:\n|Returns? the ", text, re.MULTILINE)


def gives_something_back(function):
    body = ast.parse(inspect.getsource(function)).body[0]
    nested = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
    own = [node for statement in body.body if not isinstance(statement, nested) for node in ast.walk(statement)]
    return any(isinstance(node, ast.Return) and node.value is not None for node in own)


@pytest.mark.parametrize("name, thing", [case for case in PUBLIC if inspect.isclass(case.values[1])])
def test_every_public_method_is_documented(name, thing):
    own = {key: value for key, value in vars(thing).items() if not key.startswith("_")}
    methods = [key for key, value in own.items() if inspect.isfunction(value) or isinstance(value, property)]
    assert [key for key in methods if not inspect.getdoc(getattr(thing, key))] == []
