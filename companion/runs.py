"""Results of trainings that take longer than a chapter may: a record of each, and its weights, beside the package.

A run is two files in ``companion/data/runs``: ``NAME.json`` says which command made it, with which versions, and what
came out; ``NAME.safetensors`` holds the weights, so that a chapter can measure them again. The record names the hash of
the weights, and :func:`load_run` compares it: figures and weights cannot drift apart.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from companion.checkpoints import load_checkpoint, save_checkpoint

__all__ = ["load_run", "Run", "save_run"]


@dataclass(frozen=True)
class Run:
    """A stored run.

    Attributes:
        command: what was typed at the repository's root to make it.
        results: what was measured then, by name.
        made_with: the versions and the processor, and how long it took, in seconds.
        sha256: the hash of the file of weights.
        weights: tensors by name, in float32, on the CPU.

    Examples:
        >>> run = companion.Run("python -m experiments.example", {"perplexity": 3.5}, {}, "ab12", {})
        >>> run.results["perplexity"]
        3.5
    """

    command: str
    results: dict[str, Any]
    made_with: dict[str, Any]
    sha256: str
    weights: dict[str, Tensor]


def save_run(
    name: str,
    weights: Mapping[str, Tensor],
    results: Mapping[str, Any],
    *,
    command: str,
    seconds: float,
    folder: str | Path | None = None,
) -> None:
    """Write a run: its weights, floats among them as float16, and its record.

    Measure what goes into ``results`` with the weights as float16 can hold them, ``model.half().float()``: these are
    the weights that will be read back.

    Args:
        name: the files' name, such as ``"text-generation"``.
        weights: tensors by name; those of several models have a prefix each.
        results: whatever was measured, as JSON can hold it.
        command: what makes this run again, typed at the repository's root.
        seconds: how long the run took.
        folder: where to write; by default where :func:`load_run` looks.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     made = dict(command="python -m experiments.example", seconds=1.5)
        ...     companion.save_run("example", {"h": torch.ones(2)}, {"loss": 0.5}, **made, folder=folder)
        ...     run = companion.load_run("example", folder=folder)
        >>> run.results, run.weights
        ({'loss': 0.5}, {'h': tensor([1., 1.])})
    """
    place = Path(folder or _folder())
    small = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    save_checkpoint(place / f"{name}.safetensors", small, {"run": name})
    record = {
        "command": command,
        "results": dict(results),
        "made_with": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "machine": platform.machine(),
            "seconds": round(seconds, 1),
        },
        "sha256": _hash(place / f"{name}.safetensors"),
    }
    (place / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def load_run(name: str, folder: str | Path | None = None) -> Run:
    """Read a stored run, and make sure that its weights are those that were measured.

    Args:
        name: the run's name, such as ``"text-generation"``.
        folder: where it lies; by default among the package's own runs.

    Returns:
        The :class:`Run`.

    Raises:
        FileNotFoundError: there is no such run; the message lists those that there are.
        ValueError: the weights are not those of the record.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     made = dict(command="python -m experiments.example", seconds=1.5)
        ...     companion.save_run("example", {"h": torch.ones(2)}, {"loss": 0.5}, **made, folder=folder)
        ...     companion.load_run("example", folder=folder).command
        'python -m experiments.example'
    """
    place = Path(folder or _folder())
    if not (place / f"{name}.json").is_file():
        there_are = ", ".join(sorted(path.stem for path in place.glob("*.json"))) or "there are none"
        raise FileNotFoundError(f"name should be one of the stored runs, got {name!r}: {there_are}")
    record = json.loads((place / f"{name}.json").read_text(encoding="utf-8"))
    weights = place / f"{name}.safetensors"
    if _hash(weights) != record["sha256"]:
        raise ValueError(f"{weights.name} should be the file of its record, got one with another hash: run it again")
    stored, _ = load_checkpoint(weights)
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in stored.items()}
    return Run(record["command"], record["results"], record["made_with"], record["sha256"], tensors)


def _folder() -> Path:
    return Path(str(resources.files("companion").joinpath("data/runs")))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
