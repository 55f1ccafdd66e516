"""Checks of the exercises of *The GRU, twice*."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights
from companion.layers import GRU

__all__ = [
    "check_equal_bias_gradients",
    "check_from_colleague",
    "check_gru_from_rnn",
    "check_half_life",
    "check_no_reset",
    "check_no_update",
]


def check_gru_from_rnn(answer: Callable) -> bool:
    """Check ``gru_from_rnn(rnn)``: an nn.GRU that gives the outputs of an nn.RNN from any first state."""

    def case(D: int, H: int, scale: float = 1.0, T: int = 35) -> tuple:
        return with_random_weights(nn.RNN, D, H), random_numbers(T, 4, D), scale * random_numbers(1, 4, H)

    def outputs(convert: Callable, rnn: nn.RNN, x: Tensor, h: Tensor) -> Tensor:
        return build_quietly(convert, rnn)(x, h)[0]

    cases = {
        "8 features, 16 units, 35 steps": case(8, 16),
        "one feature, one unit": case(1, 1),
        "a single step from a zero state": case(3, 5, scale=0.0, T=1),
        "a first state of very large numbers": case(3, 5, scale=100.0),
    }
    hint = (
        "For which r is the candidate that of the simple RNN, and for which z is the candidate all that goes on? A "
        "large bias holds a gate at an end, if nothing that the gate reads can outweigh it."
    )
    return compare(answer, lambda rnn: rnn, cases, hint, tolerance=1e-4, call=outputs)


def check_half_life(answer: Callable) -> bool:
    """Check ``half_life(z)``: the steps after which half of a state is left if the update gate stays at z."""

    def reference(z: float) -> float:
        return math.log2(0.5) / math.log2(z)

    cases = {f"an update gate of {z}": (z,) for z in (0.5, 0.9, 0.1, 0.999)}
    hint = (
        "With a candidate of 0, what does one step make of the state? Write down what t steps make of it, and solve "
        "for t. It need not be a whole number."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-3)


def check_equal_bias_gradients(answer: Callable) -> bool:
    """Check ``equal_bias_gradients(layer, inputs, h_0)``: in which of r, z, n both biases get the same gradient."""

    def reference(layer: nn.GRU, inputs: Tensor, h_0: Tensor) -> list[bool]:
        with torch.enable_grad():
            loss = layer(inputs, h_0)[0].square().sum()
            pair = torch.autograd.grad(loss, (layer.bias_ih_l0, layer.bias_hh_l0))
        blocks = zip(*(gradient.chunk(3) for gradient in pair), strict=True)
        return [torch.allclose(first, second, rtol=1e-3, atol=1e-3) for first, second in blocks]

    def case(reset_bias: float, D: int = 8, H: int = 16, T: int = 35) -> tuple:
        layer = with_random_weights(nn.GRU, D, H)
        with torch.no_grad():
            layer.bias_ih_l0[:H] += reset_bias
        return layer, random_numbers(T, 4, D), random_numbers(1, 4, H)

    def answers(function: Callable, *arguments: Any) -> list[bool]:
        return [bool(one) for one in function(*arguments)]

    cases = {
        "35 steps from a random state": case(0.0),
        "a single step": case(0.0, T=1),
        "a reset gate that is always 1": case(100.0),
        "a reset gate that is always 0": case(-100.0),
    }
    hint = (
        "After `backward`, cut the gradients of `bias_ih_l0` and `bias_hh_l0` into blocks and compare them, for the "
        "layer that is given. Gradients are rounded: allow a small difference."
    )
    return compare(answer, reference, cases, hint, call=answers)


def check_from_colleague(answer: Callable) -> bool:
    """Check ``from_colleague(weights)``: rows z, r, n of a GRU whose z admits the new state, converted for nn.GRU."""

    def reference(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        blocks = {name: weight.chunk(3) for name, weight in weights.items()}
        return {name: torch.cat([r, -z, n]) for name, (z, r, n) in blocks.items()}

    def case(D: int, H: int, biases: bool = True) -> tuple:
        weights = with_random_weights(nn.GRU, D, H).state_dict()
        for name in weights:
            weights[name] *= biases or name.startswith("weight")
        return weights, random_numbers(35, 4, D), random_numbers(1, 4, H)

    def outputs(convert: Callable, weights: dict[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        layer = build_quietly(nn.GRU, x.shape[-1], h.shape[-1])
        layer.load_state_dict(convert(weights))
        return layer(x, h)[0]

    cases = {
        "8 features, 16 units, biases of zero": case(8, 16, biases=False),
        "8 features, 16 units, with biases": case(8, 16),
        "one feature, one unit": case(1, 1),
    }
    hint = (
        "Every tensor has three blocks of rows, biases too. Two things change: the order of the blocks, and the sense "
        "of one gate. How does the sigmoid of a number go with the sigmoid of its negative?"
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=outputs)


class _NoReset(GRU):
    def step(self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor) -> tuple:
        (_, x_z, x_n), (_, h_z, h_n) = x.chunk(3, -1), F.linear(state[0], weight_hh, bias_hh).chunk(3, -1)
        return (torch.lerp(torch.tanh(x_n + h_n), state[0], torch.sigmoid(x_z + h_z)),)


class _NoUpdate(GRU):
    def step(self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor) -> tuple:
        (x_r, _, x_n), (h_r, _, h_n) = x.chunk(3, -1), F.linear(state[0], weight_hh, bias_hh).chunk(3, -1)
        return (torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n),)


def _compare_layers(answer: Callable, reference: Callable, hint: str) -> bool:
    def outputs(layer_class: Callable, D: int, H: int, x: Tensor, h: Tensor | None) -> Tensor:
        return with_random_weights(layer_class, D, H)(x, h)[0]

    cases = {
        "a single step from a random state": (3, 5, random_numbers(1, 2, 3), random_numbers(1, 2, 5)),
        "35 steps from a zero state": (3, 5, random_numbers(35, 2, 3), None),
        "one feature, one unit": (1, 1, random_numbers(10, 2, 1), random_numbers(1, 2, 1)),
    }
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=outputs)


def check_no_reset(answer: Callable) -> bool:
    """Check the class ``NoReset``: a GRU without its reset gate."""
    hint = (
        "Write the step's four lines down with r = 1, or let GRU's own step do the work, and see to it that its reset "
        "gate can only be open. `state` is a tuple of one tensor, and so is what `step` returns."
    )
    return _compare_layers(answer, _NoReset, hint)


def check_no_update(answer: Callable) -> bool:
    """Check the class ``NoUpdate``: a GRU without its update gate."""
    hint = (
        "Write the step's four lines down with z = 0: what is left of the old state in the last one? `state` is a "
        "tuple of one tensor, and so is what `step` returns."
    )
    return _compare_layers(answer, _NoUpdate, hint)
