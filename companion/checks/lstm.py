"""Checks of the exercises of *The LSTM, twice*."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.steps import lstm_step

__all__ = [
    "check_bracket_weights",
    "check_cell_states",
    "check_count_weights",
    "check_coupled_step",
    "check_forget_bias",
    "check_step_backward",
]


def _random(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def _random_layer(input_size: int, hidden_size: int) -> nn.LSTM:
    """An nn.LSTM with random weights and biases, drawn without touching the reader's random numbers."""
    layer = nn.LSTM(input_size, hidden_size, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for seed, weight in enumerate(layer.parameters()):
            weight.copy_(_random(*weight.shape, seed=seed) / 2)
    return layer


def check_count_weights(answer: Callable) -> bool:
    """Check ``count_weights(D, H, P=0)``: how many weights and biases an LSTM of one layer has."""

    def reference(D: int, H: int, P: int = 0) -> int:
        return sum(weight.numel() for weight in nn.LSTM(D, H, proj_size=P, device="meta").parameters())

    cases = {
        "D = H = 1": (1, 1),
        "D = 28, H = 64": (28, 64),
        "D = H = 128, with a projection to 120": (128, 128, 120),
        "D = 5, H = 7, with a projection to 2": (5, 7, 2),
    }
    hint = (
        "Four blocks of rows, and two biases. With a projection, what the gates read of the past has P numbers, and "
        "one more matrix makes these P numbers out of H."
    )
    return compare(answer, reference, cases, hint)


def _cell_after_each(weights: Callable, letters: str) -> dict[str, list[Tensor]]:
    """The cell state after each letter, by words that name it. The alphabet is ``(a)``, one-hot in this order."""
    weight_ih, weight_hh, bias = weights()
    state, cells = (torch.zeros(1), torch.zeros(1)), []
    for letter in letters:
        x = F.one_hot(torch.tensor("(a)".index(letter)), 3).float()
        state = lstm_step(F.linear(x, weight_ih, bias), state, weight_hh)
        cells.append(state[1])
    return {f"c after {letters[: end + 1]!r}": cell for end, cell in enumerate(cells)}


def _bracket_weights() -> tuple[Tensor, Tensor, Tensor]:
    #                           (      a      )
    weight_ih = torch.tensor([[20.0, -20.0, 20.0], [20.0, 20.0, 20.0], [20.0, 0.0, -20.0], [0.0, 0.0, 0.0]])
    return weight_ih, torch.zeros(4, 1), torch.zeros(4)


def check_bracket_weights(answer: Callable) -> bool:
    """Check ``bracket_weights()``: weights with which the cell of one unit counts the brackets that are open."""
    cases = {
        "one pair": ("(a)",),
        "brackets in brackets": ("((a)a)",),
        "no brackets": ("aaa",),
        "one that was closed before it was opened": ("a)(",),
        "40 that are never closed": ("(a" * 40,),
    }
    hint = (
        "The opening bracket writes 1, the closing one writes -1, and `a` writes nothing. Which block decides what is "
        "written, which one whether? Rows are i, f, g, o, columns ( a ). And a gate of 0.99 loses a third in 40 steps."
    )
    return compare(answer, _bracket_weights, cases, hint, tolerance=1e-2, call=_cell_after_each)


def check_forget_bias(answer: Callable) -> bool:
    """Check ``forget_bias(half_life)``: the bias at which a forget gate halves the cell in so many steps."""

    def reference(half_life: int) -> float:
        share = 0.5 ** (1 / half_life)
        return math.log(share / (1 - share))

    cases = {f"a half-life of {n:,} step{'s' * (n > 1)}": (n,) for n in (1, 5, 30, 1000)}
    hint = "What share must be kept at each step, so that n steps keep a half? The gate is the sigmoid of its bias."
    return compare(answer, reference, cases, hint, tolerance=1e-4)


def check_cell_states(answer: Callable) -> bool:
    """Check ``cell_states(layer, inputs, state)``: c after every step of an nn.LSTM of one layer, shape (T, B, H)."""

    def reference(layer: nn.LSTM, inputs: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        cells = []
        for x in inputs.split(1):
            _, state = layer(x, state)
            cells.append(state[1][0])
        return torch.stack(cells)

    def case(T: int, B: int, H: int) -> tuple:
        return _random_layer(3, H), _random(T, B, 3), (_random(1, B, H), _random(1, B, H, seed=1))

    cases = {
        "7 steps of 2 sequences": case(7, 2, 4),
        "a single step": case(1, 2, 4),
        "a batch of one": case(5, 1, 3),
        "a zero state": (_random_layer(3, 4), _random(5, 2, 3), (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))),
    }
    hint = (
        "The layer returns c after the last step only. What is the last step of a sequence of one? Its state has a "
        "first dimension for layers, and the outputs hold h."
    )
    return compare(answer, reference, cases, hint)


def check_coupled_step(answer: Callable) -> bool:
    """Check ``coupled_step(x, state, weight_hh, bias_hh)``: an LSTM step with i = 1 - f, rows f, g, o."""

    def reference(x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor) -> tuple[Tensor, Tensor]:
        h, c = state
        f, g, o = (x + F.linear(h, weight_hh, bias_hh)).chunk(3, -1)
        c = torch.lerp(torch.tanh(g), c, torch.sigmoid(f))
        return torch.sigmoid(o) * torch.tanh(c), c

    def case(B: int, H: int, scale: float = 1.0) -> tuple:
        state = (torch.tanh(_random(B, H)), scale * _random(B, H, seed=1))
        return _random(B, 3 * H), state, _random(3 * H, H), _random(3 * H)

    cases = {
        "4 sequences, 3 units": case(4, 3),
        "one sequence, one unit": case(1, 1),
        "a large cell state": case(2, 5, scale=10.0),
    }
    hint = "Three blocks of rows are left: f, g, o. What the gate keeps of c and what it admits of g sum to 1."
    return compare(answer, reference, cases, hint)


def check_step_backward(answer: Callable) -> bool:
    """Check ``step_backward(blocks, c, dh, dc)``: the gradients of a step's four blocks and of its old cell state."""

    def reference(blocks: Tensor, c: Tensor, dh: Tensor, dc: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            blocks, c = blocks.requires_grad_(), c.requires_grad_()
            i, f, g, o = blocks.chunk(4, -1)
            c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h_new = torch.sigmoid(o) * torch.tanh(c_new)
            return torch.autograd.grad((h_new, c_new), (blocks, c), (dh, dc))

    def case(B: int, H: int, h_share: float = 1.0, c_share: float = 1.0) -> tuple:
        blocks, (c, dh, dc) = _random(B, 4 * H).double(), _random(3, B, H).double()
        return blocks, c, h_share * dh, c_share * dc

    cases = {
        "a gradient that comes through c only": case(2, 3, h_share=0.0),
        "a gradient that comes through h only": case(2, 3, c_share=0.0),
        "both": case(4, 5),
        "one sequence, one unit": case(1, 1),
    }
    hint = (
        "Two paths lead back to the new cell state: dc itself, and dh through the output gate and tanh. Sum them "
        "first. Then every factor of every product gets its turn."
    )
    return compare(answer, reference, cases, hint)
