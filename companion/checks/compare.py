"""How every check works: run the reader's answer beside a right one, and say where they part."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

__all__ = ["compare", "difference"]


def _pass_arguments(answer: Callable, *arguments: Any) -> Any:
    return answer(*arguments)


def compare(
    answer: Callable,
    reference: Callable,
    cases: Mapping[str, tuple],
    hint: str,
    tolerance: float = 1e-5,
    call: Callable = _pass_arguments,
) -> bool:
    """Call the answer on every case and print the first difference, or that there is none.

    Args:
        answer: the reader's function or class.
        reference: a function that is right.
        cases: arguments by a name that says what is special about them ("a batch of one", "a large state").
        hint: a nudge in the right direction that does not give the answer.
        tolerance: how far numbers may be apart, relative to numbers above 1.
        call: how a case is put to an answer and to the reference, ``call(answer, *arguments)``; by default
            the answer is called with the arguments.

    Returns:
        Whether the answer was right on all cases.
    """
    if not callable(answer):
        print(f"Give the function itself, without calling it; got a {type(answer).__name__}.")
        return False
    for name, arguments in cases.items():
        expected = call(reference, *deepcopy(arguments))
        try:
            found = call(answer, *deepcopy(arguments))  # copies: an answer may write into its input
        except Exception as error:
            found_difference = f"your answer raised {type(error).__name__}: {error}"
        else:
            found_difference = difference(found, expected, tolerance)
        if found_difference:
            print(f"Not yet. On {name}: {found_difference}.\nHint: {hint}")
            return False
    print(f"Right, on all {len(cases)} inputs." if len(cases) > 1 else "Right.")
    return True


def difference(found: Any, expected: Any, tolerance: float = 1e-5) -> str:
    """Say in words how two results differ, without giving the expected numbers; "" if they do not.

    Args:
        found: the result of the reader's answer.
        expected: the right result: a tensor, a number, a tuple or list of results, a dict of results by
            a name that the words will use ("the output"), or anything that ``==`` compares.
        tolerance: how far numbers may be apart, relative to numbers above 1.

    Returns:
        The first difference, in words.
    """
    if isinstance(expected, Tensor):
        return _tensor_difference(found, expected, tolerance)
    if isinstance(expected, tuple | list):
        return _sequence_difference(found, expected, tolerance)
    if isinstance(expected, dict):
        pairs = ((name, difference(found[name], expected[name], tolerance)) for name in expected)
        return next((f"{name}: {words}" for name, words in pairs if words), "")
    if isinstance(expected, float):
        if not isinstance(found, int | float | Tensor):
            return f"it should return a number, got a {type(found).__name__}"
        return _tensor_difference(torch.as_tensor(found), torch.tensor(expected), tolerance)
    if isinstance(found, Tensor):
        return f"it should return one {type(expected).__name__}, got a tensor of shape {tuple(found.shape)}"
    return "" if found == expected else f"got {found!r}, which is not it"


def _sequence_difference(found: Any, expected: tuple | list, tolerance: float) -> str:
    if not isinstance(found, tuple | list):
        return f"it should return {len(expected)} things, got a {type(found).__name__}"
    if len(found) != len(expected):
        return f"it should return {len(expected)} things, got a {type(found).__name__} of {len(found)}"
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        if words := difference(one, other, tolerance):
            return f"result number {index + 1} of {len(expected)}: {words}"
    return ""


def _tensor_difference(found: Any, expected: Tensor, tolerance: float) -> str:
    if not isinstance(found, Tensor):
        return f"it should return a tensor, got a {type(found).__name__}"
    if found.shape != expected.shape:
        return f"it should return shape {tuple(expected.shape)}, got {tuple(found.shape)}"
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    gap = (found - expected).abs()
    wrong = ~(gap <= tolerance * expected.abs().clamp(min=1))  # a nan is wrong, too
    if not wrong.any():
        return ""
    first = tuple(wrong.nonzero()[0].tolist())
    place = f", first at index {first}" if first else ""
    return f"{int(wrong.sum())} of {wrong.numel()} numbers are off, by up to {float(gap.max()):.2g}{place}"
