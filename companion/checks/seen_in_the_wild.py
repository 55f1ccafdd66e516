"""Checks of the exercises of *Seen in the wild*."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights
from companion.layers import GRU
from companion.sru import SRU

__all__ = ["check_carries_state", "check_final_states", "check_same_model", "check_time_axis"]


def _seeded(answer: Callable, *arguments: Any) -> Any:
    """Call an answer that may draw random numbers: the same ones each time, and none of the reader's own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return answer(*arguments)


def _yes_or_no(answer: Callable, *arguments: Any) -> bool:
    return bool(_seeded(answer, *arguments))


def check_final_states(answer: Callable) -> bool:
    """Check ``final_states(layer, x)``: all final states of each sequence side by side, shape (B, S * L * H)."""

    def reference(layer: nn.Module, x: Tensor) -> Tensor:
        _, h_n = layer(x)
        return torch.cat(h_n.unbind(0), -1)

    def case(B: int, num_layers: int, bidirectional: bool) -> tuple:
        def build() -> nn.GRU:
            return nn.GRU(3, 4, num_layers, batch_first=True, bidirectional=bidirectional)

        return with_random_weights(build), random_numbers(B, 6, 3)

    cases = {
        "one layer, one direction": case(5, 1, False),
        "a batch of one": case(1, 2, True),
        "one layer, two directions": case(5, 1, True),
        "two layers, two directions": case(5, 2, True),
    }
    hint = (
        "If the shape is right, look at a row: does row b hold numbers of sequence b only? Change one sequence, and "
        "see which rows of the result move. Which axis of h_n counts the sequences?"
    )
    return compare(answer, reference, cases, hint, call=_seeded)


class _Turned(nn.Module):
    """Takes the batch first, although no argument of it says so."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        output, state = self.layer(x.transpose(0, 1))
        return output.transpose(0, 1), state


def check_time_axis(answer: Callable) -> bool:
    """Check ``time_axis(layer, input_size)``: 0 if the first axis of the input is time, 1 if the second one is."""

    def reference(layer: nn.Module, input_size: int) -> int:
        x = random_numbers(3, 3, input_size).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(layer.eval()(x)[0][1, 1].square().sum(), x)
        reached = gradient.abs().sum(-1) > 0  # (3, 3): where an output in the middle comes from
        return 0 if reached[:, 1].sum() > reached[1].sum() else 1

    def case(build: Callable, **options: Any) -> tuple:
        return build_quietly(lambda: build(3, 4, **options)), 3

    cases = {
        "nn.RNN as it comes": case(nn.RNN),
        "nn.LSTM with batch_first": case(nn.LSTM, batch_first=True),
        "a bidirectional GRU": case(nn.GRU, bidirectional=True),
        "an SRU with batch_first": case(SRU, batch_first=True),
        "a layer in training, with dropout": case(nn.GRU, num_layers=2, dropout=0.5),
        "the same with batch_first": case(nn.GRU, num_layers=2, dropout=0.5, batch_first=True),
        "a module that turns its input": case(lambda D, H: _Turned(nn.GRU(D, H))),
    }
    hint = (
        "Change the input at one index of an axis, and ask which outputs at *other* indices of that axis move. Two "
        "calls with the same input have to agree first: in which mode do they?"
    )
    return compare(answer, reference, cases, hint, call=_seeded)


class _ResetBefore(GRU):
    """The state is reset before the product with W_hn."""

    def step(self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor) -> tuple:
        (x_r, x_z, x_n), (W_r, W_z, W_n) = x.chunk(3, -1), weight_hh.chunk(3)
        (b_r, b_z, b_n), (h,) = bias_hh.chunk(3), state
        r, z = torch.sigmoid(x_r + F.linear(h, W_r, b_r)), torch.sigmoid(x_z + F.linear(h, W_z, b_z))
        return (torch.lerp(torch.tanh(x_n + F.linear(r * h, W_n, b_n)), h, z),)


class _BiasOutside(GRU):
    """b_hn stands outside the product with the reset gate."""

    def step(self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor) -> tuple:
        x_rz, x_n = x.split([2 * self.hidden_size, self.hidden_size], -1)
        b_rz, b_n = bias_hh.split([2 * self.hidden_size, self.hidden_size])
        inside = torch.cat([b_rz, torch.zeros_like(b_n)])
        return super().step(torch.cat([x_rz, x_n + b_n], -1), state, weight_hh, inside)


class _FromZero(GRU):
    """Begins from zeros, whatever state it is given."""

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        return super().forward(input)


def _without_biases(layer: nn.Module) -> nn.Module:
    """With biases that are there, and zero."""
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.mul_(not name.startswith("bias"))
    return layer


def check_same_model(answer: Callable) -> bool:
    """Check ``same_model(one, other)``: whether two GRUs of one layer compute the same, whatever their weights."""

    def reference(one: nn.Module, other: nn.Module) -> bool:
        weights = {name: random_numbers(*weight.shape) / 2 for name, weight in one.state_dict().items()}
        outputs = []
        for layer in (one, other):
            layer.load_state_dict(weights)
            outputs.append(layer(random_numbers(35, 4, one.input_size), random_numbers(1, 4, one.hidden_size))[0])
        return torch.allclose(*outputs, rtol=1e-4, atol=1e-4)

    def case(*kinds: type) -> tuple:
        return tuple(_without_biases(build_quietly(kind, 8, 16)) for kind in kinds)

    cases = {
        "nn.GRU and companion.GRU": case(nn.GRU, GRU),
        "a GRU that resets before the product": case(nn.GRU, _ResetBefore),
        "a GRU whose b_hn stands outside the reset": case(nn.GRU, _BiasOutside),
        "a GRU that ignores the first state": case(nn.GRU, _FromZero),
        "two GRUs that reset before the product": case(_ResetBefore, _ResetBefore),
    }
    hint = (
        "A test can only see what it moves. How many steps does yours take, from which state, and what are the biases "
        "of a layer that you are given? Numbers are rounded: allow a small difference."
    )
    return compare(answer, reference, cases, hint, call=_yes_or_no)


class _Spoiled(nn.Module):
    """A layer that spoils the state on its way in, or on its way out."""

    def __init__(self, layer: nn.Module, take: Callable | None = None, give: Callable | None = None) -> None:
        super().__init__()
        self.layer, self.take, self.give = layer, take, give

    def forward(self, x: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        output, state = self.layer(x, self.take(hx) if self.take else hx)
        return output, self.give(output, state) if self.give else state


def check_carries_state(answer: Callable) -> bool:
    """Check ``carries_state(layer, x)``: whether two windows, the state carried over, give what the whole gives."""

    def reference(layer: nn.Module, x: Tensor) -> bool:
        whole, _ = layer(x)
        first, state = layer(x[:7])
        return torch.allclose(torch.cat([first, layer(x[7:], state)[0]]), whole, rtol=1e-4, atol=1e-4)

    def layer(build: Callable, *arguments: int) -> nn.Module:
        return with_random_weights(build, 3, 4, *arguments)

    def both_ways(D: int, H: int) -> nn.GRU:
        return nn.GRU(D, H, bidirectional=True)

    layers = {
        "nn.GRU": layer(nn.GRU),
        "nn.LSTM with two layers": layer(nn.LSTM, 2),
        "an SRU": layer(SRU),
        "a layer that ignores the state it is given": _Spoiled(layer(nn.GRU), take=lambda hx: None),
        "a layer that returns its state after the first step": _Spoiled(layer(nn.GRU), give=lambda out, h: out[:1]),
        "an LSTM that returns an empty cell": _Spoiled(layer(nn.LSTM), give=lambda out, pair: (pair[0], 0 * pair[1])),
        "a bidirectional layer": layer(both_ways),
    }
    cases = {name: (module, random_numbers(20, 5, 3)) for name, module in layers.items()}
    hint = (
        "Run the whole once. Then run a first part, and the rest from the state that the first part returned. Compare "
        "all outputs of both, with a small difference allowed."
    )
    return compare(answer, reference, cases, hint, call=_yes_or_no)
