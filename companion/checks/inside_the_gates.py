"""Checks of the exercises of *Inside the gates*."""

import copy
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.probes import correlate_with, record_gates

__all__ = [
    "check_chance_levels",
    "check_held",
    "check_keeping_gate",
    "check_letters_so_far",
    "check_lstm_ledger",
]


def _random(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def _random_lstm(input_size: int, hidden_size: int) -> nn.LSTM:
    """An nn.LSTM with random weights and biases, drawn without touching the reader's random numbers."""
    layer = nn.LSTM(input_size, hidden_size, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for seed, weight in enumerate(layer.parameters()):
            weight.copy_(_random(*weight.shape, seed=seed) / 2)
    return layer


def check_keeping_gate(answer: Callable) -> bool:
    """Check ``keeping_gate(steps)``: the value at which a gate's time constant is so many steps."""

    def reference(steps: float) -> float:
        return math.exp(-1 / steps)

    cases = {f"{steps:g} step{'s' * (steps != 1)}": (steps,) for steps in (1, 10, 100, 2.5)}
    hint = "After t steps z to the power t is left. After its time constant 1/e is left."
    return compare(answer, reference, cases, hint)


def check_letters_so_far(answer: Callable) -> bool:
    """Check ``letters_so_far(text)``: each letter's place in its row of letters, 0 for everything else."""

    def reference(text: str) -> Tensor:
        is_letter = torch.tensor([character.isalpha() for character in text])
        places = torch.arange(1, len(text) + 1)
        last_other = torch.where(is_letter, 0, places).cummax(0).values
        return (places - last_other).float()

    cases = {
        "'so I'": ("so I",),
        "a text that begins with a space": (" gate",),
        "two spaces in a row": ("a  bc",),
        "a word with an apostrophe": ("hand's",),
        "capitals and digits": ("The 12 Gates",),
    }
    hint = "Keep a count while you go through the text. What does it become at a letter, and what at anything else?"
    return compare(answer, reference, cases, hint)


def check_lstm_ledger(answer: Callable) -> bool:
    """Check ``lstm_ledger(layer, inputs, state)``: i, f, g, o, c and h of an nn.LSTM at every step, by name."""

    def reference(layer: nn.LSTM, inputs: Tensor, state: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        recorded = record_gates(layer, inputs, state)["l0"]
        return {name: recorded[name] for name in "ifgoch"}

    def call(answer: Callable, *arguments: object) -> dict[str, Tensor]:
        found = answer(*arguments)
        if not isinstance(found, dict):
            raise TypeError(f"it should return a dict, got a {type(found).__name__}")
        return {name: found[name] for name in "ifgoch"}

    def case(T: int, B: int, H: int) -> tuple:
        return _random_lstm(3, H), _random(T, B, 3), (_random(1, B, H), _random(1, B, H, seed=1))

    cases = {
        "7 steps of 2 sequences": case(7, 2, 4),
        "a single step": case(1, 2, 4),
        "a batch of one, one unit": case(5, 1, 1),
        "a zero state": (_random_lstm(3, 4), _random(5, 2, 3), (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))),
    }
    hint = (
        "Four blocks of rows, i, f, g, o, and two biases. Three blocks pass a sigmoid, one a tanh. The output gate "
        "shows the new cell."
    )
    return compare(answer, reference, cases, hint, call=call)


def check_chance_levels(answer: Callable) -> bool:
    """Check ``chance_levels(values, where, shifts)``: the strongest correlation with marks rolled by each shift."""

    def reference(values: Tensor, where: Tensor, shifts: Iterable[int]) -> Tensor:
        return torch.stack([correlate_with(values, where.roll(shift)).abs().max() for shift in shifts])

    def case(T: int, H: int, shifts: Iterable[int]) -> tuple:
        return _random(T, H), _random(T, seed=1) > 0.5, shifts

    aligned = _random(40, 3, seed=2)
    against = aligned.clone()
    against[:, 1] = -(against[:, 0].roll(7) > 0).float()  # a unit that goes against the marks when they are rolled by 7
    cases = {
        "three shifts of 50 characters": case(50, 4, [5, 20, 33]),
        "a single shift": case(30, 2, [11]),
        "a unit that goes along in the opposite direction": (against, aligned[:, 0] > 0, [7, 9]),
    }
    hint = "Roll the marks and leave the values. A correlation of -0.9 is as strong as one of 0.9."
    return compare(answer, reference, cases, hint)


def _held(layer: nn.LSTM, unit: int) -> nn.LSTM:
    layer, H = copy.deepcopy(layer), layer.hidden_size
    with torch.no_grad():
        for row, bias in ((unit, -1e4), (H + unit, 1e4)):
            layer.bias_ih_l0[row] = bias
    return layer


def _with_one_held(answer: Callable, layer: nn.LSTM, unit: int, inputs: Tensor, c: Tensor) -> dict[str, Tensor]:
    """What the copy computes, and what the layer that was given computes afterwards."""
    state = (torch.zeros_like(c), c)
    kept = answer(layer, unit)
    if not isinstance(kept, nn.LSTM):
        raise TypeError(f"it should return an nn.LSTM, got a {type(kept).__name__}")
    with torch.no_grad():
        values = record_gates(kept, inputs, state)["l0"]
        return {
            "the held unit's cell": values["c"][..., unit],
            "the cells": values["c"],
            "the outputs": values["h"],
            "the outputs of the layer that was given": layer(inputs, state)[0],
        }


def check_held(answer: Callable) -> bool:
    """Check ``held(layer, unit)``: a copy of an nn.LSTM in which one unit's cell keeps the value it starts with."""

    def case(H: int, unit: int, scale: float = 1.0) -> tuple:
        return _random_lstm(3, H), unit, scale * _random(20, 2, 3), _random(1, 2, H, seed=4)

    cases = {
        "4 units, the first held": case(4, 0),
        "4 units, the last held": case(4, 3),
        "a layer of one unit": case(1, 0),
        "large inputs": case(5, 2, scale=10.0),
    }
    hint = (
        "c = f * c + i * g. What must f and i be, so that c stays? The rows are i, f, g, o, H of each, and there are "
        "two biases. Copy the layer before you write into it."
    )
    return compare(answer, _held, cases, hint, tolerance=1e-4, call=_with_one_held)
