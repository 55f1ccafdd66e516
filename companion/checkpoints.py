"""Checkpoints in one safetensors file each, replaced in one step, so that a crash never leaves half of one."""

import copy
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

__all__ = ["load_checkpoint", "load_weights", "save_checkpoint"]


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write tensors and notes into one file, atomically: whoever opens ``path`` finds the old one or the new one.

    Args:
        path: the file, usually ``something.safetensors``; its folder is made if need be.
        tensors: by name; tensors that share memory are written one by one.
        notes: anything JSON can hold.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from pathlib import Path
        >>> with TemporaryDirectory() as folder:
        ...     companion.save_checkpoint(f"{folder}/runs/first.safetensors", {"h": torch.zeros(2)}, {"epoch": 3})
        ...     print(*(path.name for path in Path(folder, "runs").iterdir()))
        first.safetensors
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({name: _copy(tensor) for name, tensor in tensors.items()}, {"notes": json.dumps(notes)})
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the bytes before the name: a power cut must not leave an empty file
        os.chmod(temporary, _usual_permissions())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _usual_permissions() -> int:
    """Those of any new file; a temporary one begins with its owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def load_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote.

    Args:
        path: the file.

    Returns:
        The tensors by name, on the CPU, and the notes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint of this package.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     companion.save_checkpoint(f"{folder}/run.safetensors", {"h": torch.zeros(2)}, {"epoch": 3})
        ...     companion.load_checkpoint(f"{folder}/run.safetensors")
        ({'h': tensor([0., 0.])}, {'epoch': 3})
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"path should name a checkpoint, but there is no file {path}")
    try:
        with safe_open(path, "pt") as file:
            notes = json.loads((file.metadata() or {})["notes"])
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, notes
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"path should name a checkpoint written by fit, got {path} ({error})") from error


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a model's weights, strictly, from a checkpoint that :func:`companion.training.fit` wrote.

    Args:
        model: a model of the same shape as the one trained.
        path: the checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not such a checkpoint.
        RuntimeError: names or shapes of the weights differ, as ``load_state_dict`` says.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> model, other = nn.RNN(3, 4), nn.RNN(3, 4)
        >>> with TemporaryDirectory() as folder:
        ...     weights = {f"model.{name}": weight for name, weight in model.state_dict().items()}
        ...     companion.save_checkpoint(f"{folder}/a.safetensors", weights, {})
        ...     companion.load_weights(other, f"{folder}/a.safetensors")
        >>> torch.equal(model.weight_hh_l0, other.weight_hh_l0)
        True
    """
    tensors, _ = load_checkpoint(path)
    load_all_or_nothing(model, strip_prefix(tensors, "model."))


def load_all_or_nothing(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """``load_state_dict``, strictly; but where it raises it has copied the weights that fit, and here none are."""
    before = copy.deepcopy(model.state_dict())
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        model.load_state_dict(before)
        raise


def strip_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def random_states() -> dict[str, Tensor]:
    """The states of torch's random number generators: with them, going on is the same as never having stopped."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: Mapping[str, Tensor]) -> None:
    """Go on with the random numbers from there."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _copy(tensor: Tensor) -> Tensor:
    """On the CPU, in memory of its own: safetensors refuses tensors that share theirs, as tied weights do."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
