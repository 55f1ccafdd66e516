"""Saying clearly what is wrong with an argument, before any work is done.

Each check raises the type of exception that the layer of the same name in :mod:`torch.nn` raises, with a message that
names the argument, what came and what was expected.
"""

import numbers
import warnings
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "DtypeMismatchError",
    "NotATensorError",
    "StateError",
    "check_bool",
    "check_cell_size",
    "check_dropout",
    "check_features",
    "check_pair",
    "check_positive_int",
    "check_proj_size",
    "check_state",
    "check_tensor",
]


class DtypeMismatchError(ValueError, RuntimeError):
    """Input and weights differ in dtype. nn raises ValueError or RuntimeError, by input form; this is both."""


class NotATensorError(AttributeError, TypeError):
    """What should be a tensor is none. nn raises AttributeError or, where C++ is first to notice, TypeError."""


class StateError(RuntimeError, IndexError, TypeError):
    """An initial state of the wrong form. nn raises one of the three, by layer and input form; this is all."""


def check_positive_int(name: str, value: Any) -> None:
    """Raise TypeError if ``value`` is no int, ValueError if it is less than 1."""
    if not isinstance(value, int):
        raise TypeError(f"{name} should be an int, got {value!r} of type {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name} should be greater than zero, got {value}")


def check_bool(name: str, value: Any) -> None:
    """Raise TypeError if ``value`` is no bool: 0 and 1 are likelier to be a misplaced argument."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} should be a bool, got {value!r} of type {type(value).__name__}")


def check_dropout(dropout: Any, num_layers: int, stacklevel: int) -> None:
    """Raise ValueError if ``dropout`` is no probability; warn the caller at ``stacklevel`` if it would act nowhere."""
    if dropout is None:
        raise TypeError("dropout should be a number in [0, 1], got None")
    if isinstance(dropout, bool) or not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout should be a number in [0, 1], the probability to zero an element, got {dropout!r}")
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            f"dropout={dropout} does nothing with num_layers=1: it acts between layers, never after the last one",
            stacklevel=stacklevel,
        )


def check_proj_size(proj_size: Any, hidden_size: int) -> None:
    """Raise unless ``proj_size`` is an int with 0 <= proj_size < hidden_size."""
    if not isinstance(proj_size, int):
        raise TypeError(f"proj_size should be an int, got {proj_size!r} of type {type(proj_size).__name__}")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(f"proj_size should be 0 (none) or less than hidden_size={hidden_size}, got {proj_size}")


def check_tensor(name: str, value: Any, expected: str) -> None:
    """Raise NotATensorError if ``value`` is no tensor."""
    if not isinstance(value, Tensor):
        raise NotATensorError(f"{name} should be {expected}, got a {type(value).__name__}")


def check_features(input: Tensor, input_size: int, weight: Tensor) -> None:
    """Raise if the input's dtype or device is not the weights', or its last dimension not ``input_size``."""
    if input.dtype != weight.dtype and not torch.is_autocast_enabled(input.device.type):
        raise DtypeMismatchError(
            f"input has dtype {input.dtype}, the weights have {weight.dtype}: "
            f"convert one, input.to({weight.dtype}) or layer.to({input.dtype})"
        )
    if input.shape[-1] != input_size:
        raise RuntimeError(
            f"input should have input_size={input_size} features in its last dimension, got shape {tuple(input.shape)}"
        )
    _check_device("input", input, weight)


def check_pair(name: str, value: Any, parts: str) -> tuple[Any, Any]:
    """Return the two parts of an LSTM's state; raise StateError, or NotATensorError, if it is no pair."""
    if isinstance(value, Tensor):
        raise StateError(f"{name} should be the pair {parts}, got one tensor of shape {tuple(value.shape)}")
    if not isinstance(value, tuple | list):
        raise NotATensorError(f"{name} should be the pair {parts}, got a {type(value).__name__}")
    if len(value) != 2:
        raise StateError(f"{name} should be the pair {parts}, got a {type(value).__name__} of {len(value)}")
    return tuple(value)


def check_state(name: str, state: Any, expected: tuple[int, ...], weight: Tensor) -> None:
    """Raise StateError unless the initial state has the expected shape, and the weights' dtype and device."""
    check_tensor(name, state, f"a tensor of shape {expected}")
    if tuple(state.shape) != expected:
        raise StateError(f"{name} should have shape {expected}, got {tuple(state.shape)}")
    if state.dtype != weight.dtype and not torch.is_autocast_enabled(state.device.type):
        raise StateError(f"{name} should have the weights' dtype {weight.dtype}, got {state.dtype}")
    _check_device(name, state, weight)


def _check_device(name: str, tensor: Tensor, weight: Tensor) -> None:
    if tensor.device != weight.device:
        raise RuntimeError(f"{name} should be on the weights' device {weight.device}, got {tensor.device}")


def check_cell_size(name: str, value: Any) -> None:
    """As nn's cells: TypeError for no int, RuntimeError below zero. Zero is an empty tensor, and allowed."""
    if not isinstance(value, int):
        raise TypeError(f"{name} should be an int, got {value!r} of type {type(value).__name__}")
    if value < 0:
        raise RuntimeError(f"{name} should not be negative, got {value}")
