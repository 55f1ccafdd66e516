"""Checks of the exercises of *Hidden*."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.anatomy import count_parameters
from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights

__all__ = [
    "check_largest_hidden_size",
    "check_largest_projection",
    "check_read_sizes",
    "check_widen",
]


def check_largest_projection(answer: Callable) -> bool:
    """Check ``largest_projection(H, L, S)``: the largest proj_size with which an LSTM has fewer weights, or 0."""

    def reference(H: int, L: int, S: int) -> int:
        def count(P: int) -> int:
            return count_parameters("LSTM", 1, H, L, bidirectional=S == 2, proj_size=P)

        return bisect_left(range(1, H), count(0), key=count)  # the count grows with P

    cases = {
        "one layer of 128": (128, 1, 1),
        "one layer of 50, where 40 makes it equal": (50, 1, 1),
        "four layers of 128, where 112 makes it equal": (128, 4, 1),
        "one layer of 128, two directions": (128, 1, 2),
        "two layers of 90, two directions": (90, 2, 2),
        "eight layers of 1,000": (1000, 8, 1),
        "a single unit": (1, 2, 2),
    }
    hint = (
        "In how many places does one direction read a state, through all layers? Each place saves 4 H (H - P), each "
        "layer spends P H. Equal is not fewer."
    )
    return compare(answer, reference, cases, hint)


def check_largest_hidden_size(answer: Callable) -> bool:
    """Check ``largest_hidden_size(budget, G, D, L=1, S=1)``: the largest H with at most so many weights, or 0."""

    def reference(budget: int, G: int, D: int, L: int = 1, S: int = 1) -> int:
        def count(H: int) -> int:
            return count_parameters({1: "RNN", 3: "GRU", 4: "LSTM"}[G], D, H, L, bidirectional=S == 2)

        return bisect_right(range(1, math.isqrt(budget) + 1), budget, key=count)  # no layer has fewer than H * H

    met = count_parameters("GRU", 32, 95, 2)
    cases = {
        "a GRU with 100,000 weights": (100_000, 3, 32),
        "an RNN with 5,000": (5_000, 1, 28),
        "two layers, a budget met to the last weight": (met, 3, 32, 2),
        "two layers, one weight less than that": (met - 1, 3, 32, 2),
        "an LSTM of four layers": (1_000_000, 4, 64, 4),
        "two directions, three layers": (300_000, 3, 10, 3, 2),
        "a budget too small for one unit": (11, 3, 5),
        "ten billion weights": (10**10, 4, 512, 2),
    }
    hint = (
        "All blocks and directions have the same count: share the budget out first. A share has room for k H^2 + "
        "(D + 2 L) H. In how many places k does a direction read a state? Round down, and never up."
    )
    return compare(answer, reference, cases, hint)


def _sizes(answer: Callable, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Every size by the name that the exercise gives it, None where the answer has none."""
    found = dict(answer(weights))
    names = ("blocks", "input_size", "hidden_size", "num_layers", "directions", "proj_size")
    return {name: found.get(name) for name in names}


def check_read_sizes(answer: Callable) -> bool:
    """Check ``read_sizes(weights)``: the sizes of a layer of nn, read from its state_dict."""

    def reference(weights: Mapping[str, Tensor]) -> dict[str, int]:
        reverse = sum("_reverse" in name for name in weights)
        num_layers = sum(name.startswith("weight_ih") for name in weights) // (2 if reverse else 1)
        H = weights["weight_hr_l0"].shape[1] if "weight_hr_l0" in weights else weights["weight_hh_l0"].shape[1]
        return {
            "blocks": len(weights["weight_ih_l0"]) // H,
            "input_size": weights["weight_ih_l0"].shape[1],
            "hidden_size": H,
            "num_layers": num_layers,
            "directions": 2 if reverse else 1,
            "proj_size": weights["weight_hh_l0"].shape[1] if "weight_hr_l0" in weights else 0,
        }

    def case(kind: type, D: int, H: int, **options: Any) -> tuple:
        return (build_quietly(partial(kind, **options), D, H).state_dict(),)

    cases = {
        "a GRU": case(nn.GRU, 3, 5),
        "an RNN with two directions": case(nn.RNN, 7, 4, bidirectional=True),
        "an LSTM of three layers, D = H": case(nn.LSTM, 6, 6, num_layers=3),
        "an LSTM with a projection": case(nn.LSTM, 3, 8, proj_size=2),
        "an LSTM with everything": case(nn.LSTM, 3, 8, proj_size=4, num_layers=2, bidirectional=True),
        "a GRU of 11 layers without biases": case(nn.GRU, 2, 3, num_layers=11, bias=False),
    }
    hint = (
        "Which one of the shapes tells H alone, without a projection and with one? weight_hh has G H rows. Layers: how "
        "many weight_hh are there for one direction?"
    )
    return compare(answer, reference, cases, hint, call=_sizes)


def _run_widened(widen: Callable, layer: nn.RNNBase, hidden_size: int, x: Tensor, *states: Tensor) -> dict[str, Any]:
    """What the wider layer is, and what its first units do while the new ones begin somewhere."""
    wide, H = build_quietly(widen, layer, hidden_size), layer.hidden_size
    begun = tuple(torch.cat([old, random_numbers(*old.shape[:2], hidden_size - H)], -1) for old in states)
    with torch.no_grad():
        outputs, finals = wide(x, begun if len(begun) == 2 else begun[0])
    finals = finals if isinstance(finals, tuple) else (finals,)
    return {
        "its class": type(wide).__name__,
        "its hidden_size": wide.hidden_size,
        "its num_layers": wide.num_layers,
        "the outputs of the first units": outputs[..., :H],
        "their final states": tuple(final[..., :H] for final in finals),
    }


def check_widen(answer: Callable) -> bool:
    """Check ``widen(layer, hidden_size)``: a wider layer of nn whose first units do what the layer's units do."""

    @torch.no_grad()
    def reference(layer: nn.RNNBase, hidden_size: int) -> nn.RNNBase:
        wide, H = type(layer)(layer.input_size, hidden_size, layer.num_layers), layer.hidden_size
        for name, weight in wide.named_parameters():
            old = layer.get_parameter(name)
            old = F.pad(old, (0, weight.shape[-1] - old.shape[-1])) if old.dim() == 2 else old
            blocks = weight.view(-1, hidden_size, *weight.shape[1:])  # (G, hidden_size, ...)
            blocks[:, :H] = old.view(-1, H, *old.shape[1:])
        return wide

    def case(kind: type, D: int, H: int, wider: int, L: int = 1) -> tuple:
        layer = with_random_weights(kind, D, H, L)
        states = [random_numbers(L, 2, H, seed=part) for part in range(2 if kind is nn.LSTM else 1)]
        return layer, wider, random_numbers(6, 2, D), *states

    cases = {
        "an RNN, from 4 units to 6": case(nn.RNN, 3, 4, 6),
        "a GRU, from 4 units to 7": case(nn.GRU, 3, 4, 7),
        "an LSTM, from 3 units to 9": case(nn.LSTM, 2, 3, 9),
        "a GRU of two layers": case(nn.GRU, 3, 4, 5, 2),
        "an LSTM of three layers": case(nn.LSTM, 2, 3, 4, 3),
    }
    hint = (
        "Where does block g begin in the old weight, and where in the new one? Which columns of an old unit's row meet "
        "new units, in weight_hh, and in weight_ih above layer 0? They have to be 0."
    )
    return compare(answer, reference, cases, hint, call=_run_widened)
