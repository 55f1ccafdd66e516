"""Checks of the exercises of *The other switches*."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from companion.anatomy import count_parameters
from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights

__all__ = [
    "check_initial_state",
    "check_largest_hidden",
    "check_run_with_dropout",
    "check_saved_by_no_bias",
    "check_summed",
    "check_weight_dropped",
]


def _build(kind: type, *arguments: int, **options: Any) -> nn.Module:
    """A layer with random weights, drawn without touching the reader's own random numbers."""
    return with_random_weights(lambda: kind(*arguments, **options))


def check_saved_by_no_bias(answer: Callable) -> bool:
    """Check ``saved_by_no_bias(layer)``: how many weights fewer the layer would have with ``bias=False``."""

    def reference(layer: nn.Module) -> int:
        return sum(weight.numel() for name, weight in layer.named_parameters() if name.startswith("bias"))

    cases = {
        "an nn.RNN": (nn.RNN(3, 4, device="meta"),),
        "an nn.LSTM": (nn.LSTM(3, 4, device="meta"),),
        "an nn.GRU with three layers": (nn.GRU(3, 4, 3, device="meta"),),
        "a bidirectional nn.LSTM with two layers": (nn.LSTM(7, 5, 2, bidirectional=True, device="meta"),),
        "a bidirectional nn.RNN": (nn.RNN(2, 6, bidirectional=True, device="meta"),),
        "an nn.GRU that has no biases": (nn.GRU(3, 4, bias=False, device="meta"),),
    }
    hint = (
        "How many blocks of H rows does the kind of layer have? How many biases does each block have, and how many "
        "directions of how many layers are there? A layer cannot save what it does not have."
    )
    return compare(answer, reference, cases, hint)


def check_summed(answer: Callable) -> bool:
    """Check ``summed(layer, x)``: the outputs of the layer, those of its directions added, H features wide."""

    def reference(layer: nn.Module, x: Tensor) -> Tensor:
        output, _ = layer(x)
        return sum(output.split(layer.hidden_size, -1))

    def case(kind: type, *shape: int, **options: Any) -> tuple:
        return _build(kind, 3, 4, **options), random_numbers(*shape)

    cases = {
        "a bidirectional GRU": case(nn.GRU, 7, 5, 3, bidirectional=True),
        "one direction": case(nn.GRU, 7, 5, 3),
        "a bidirectional LSTM with two layers": case(nn.LSTM, 7, 5, 3, num_layers=2, bidirectional=True),
        "a bidirectional RNN with batch_first": case(nn.RNN, 5, 7, 3, bidirectional=True, batch_first=True),
        "one sequence without a batch": case(nn.GRU, 7, 3, bidirectional=True),
    }
    hint = (
        "The last axis holds the forward units, and after them the reverse ones. Which way of cutting it keeps unit 0 "
        "of one direction beside unit 0 of the other? A layer of one direction has nothing to add."
    )
    return compare(answer, reference, cases, hint)


def _describe_state(answer: Callable, layer: nn.Module, x: Tensor) -> dict[str, Any]:
    """What an initial state should be like, by words that name it. A tensor on the meta device holds no numbers."""
    h_0 = answer(layer, x)
    if not isinstance(h_0, Tensor):
        return {"its type": type(h_0).__name__, "its dtype": "", "its device": "", "its shape": (), "all zeros": False}
    return {
        "its type": "Tensor",
        "its dtype": str(h_0.dtype),
        "its device": h_0.device.type,
        "its shape": tuple(h_0.shape),
        "all zeros": h_0.is_meta or not h_0.any(),
    }


def check_initial_state(answer: Callable) -> bool:
    """Check ``initial_state(layer, x)``: the zeros that a GRU of ``nn`` begins with if it is given no state."""

    def reference(layer: nn.GRU, x: Tensor) -> Tensor:
        batch = [] if x.dim() == 2 else [x.shape[0 if layer.batch_first else 1]]
        return x.new_zeros(layer.num_layers * (2 if layer.bidirectional else 1), *batch, layer.hidden_size)

    def case(*shape: int, dtype: Any = None, device: Any = None, **options: Any) -> tuple:
        layer = build_quietly(lambda: nn.GRU(3, 4, dtype=dtype, device=device, **options))
        return layer, random_numbers(*shape).to(next(layer.parameters()))

    cases = {
        "a layer as it comes": case(7, 5, 3),
        "a layer of float64": case(7, 5, 3, dtype=torch.float64),
        "a layer of bfloat16": case(7, 5, 3, dtype=torch.bfloat16),
        "a layer on another device, meta": case(7, 5, 3, device="meta"),
        "two layers, two directions": case(7, 5, 3, num_layers=2, bidirectional=True),
        "batch_first": case(5, 7, 3, batch_first=True),
        "one sequence without a batch": case(7, 3, batch_first=True),
    }
    hint = (
        "The state goes where the input is and has the input's dtype: a tensor can make zeros of its own kind. For the "
        "shape: which axis of x counts the sequences, and is there one at all?"
    )
    return compare(answer, reference, cases, hint, call=_describe_state)


def _properties_of_run(answer: Callable, layer: nn.Module, x: Tensor, p: float) -> dict[str, Any]:
    """What a run with a mask on its outputs must be like, by words that name it."""
    plain, _ = layer(x)
    with torch.random.fork_rng(devices=[]):  # the answer draws numbers: the reader's own go on as if it had not
        torch.manual_seed(0)
        idle, _ = answer(layer.eval(), x, p)
        first, h_n = answer(layer.train(), x, p)
        second, _ = answer(layer, x, p)
    kept = first != 0  # a GRU's outputs are hardly ever exactly 0
    return {
        "the outputs of a layer in eval mode": idle,
        "h_n in training": h_n,
        "in training, is every output 0, or output / (1 - p)": torch.allclose(first, plain * kept / (1 - p), atol=1e-5),
        "in training, is the share of zeros near p": abs(float((~kept).float().mean()) - p) < 0.05,
        "does each step have a mask of its own": not torch.equal(kept[0], kept[1]),
        "does each call have a mask of its own": not torch.equal(kept, second != 0),
        "is the layer still in training mode": layer.training,
    }


def check_run_with_dropout(answer: Callable) -> bool:
    """Check ``run_with_dropout(layer, x, p)``: output and h_n, with dropout after the last layer, in training only."""

    def reference(layer: nn.Module, x: Tensor, p: float) -> tuple[Tensor, Tensor]:
        output, h_n = layer(x)
        return F.dropout(output, p, layer.training), h_n

    cases = {
        "one layer, p = 0.5": (_build(nn.GRU, 3, 20), random_numbers(30, 5, 3), 0.5),
        "one layer, p = 0.2": (_build(nn.GRU, 3, 20), random_numbers(30, 5, 3), 0.2),
        "two layers": (_build(nn.GRU, 3, 20, num_layers=2), random_numbers(30, 5, 3), 0.3),
        "two directions": (_build(nn.GRU, 3, 10, bidirectional=True), random_numbers(30, 5, 3), 0.5),
    }
    hint = (
        "Let the layer run as it is, and put the mask on what comes out. Who knows whether it is training: you, or the "
        "layer? The state that the next window begins with must stay whole."
    )
    return compare(answer, reference, cases, hint, call=_properties_of_run)


def check_largest_hidden(answer: Callable) -> bool:
    """Check ``largest_hidden(kind, input_size, limit, **options)``: the largest H whose weights fit into the limit."""

    def reference(kind: type, input_size: int, limit: int, dtype: torch.dtype | None = None, **options: Any) -> int:
        size, H = torch.empty(0, dtype=dtype).element_size(), 1
        while count_parameters(kind, input_size, H + 1, **options) * size <= limit:
            H += 1
        return H

    def call(find: Callable, *arguments: Any) -> int:
        *positional, options = arguments
        return int(find(*positional, **options))

    cases = {
        "an nn.GRU in 100,000 bytes": (nn.GRU, 20, 100_000, {}),
        "an nn.LSTM in 100,000 bytes": (nn.LSTM, 20, 100_000, {}),
        "an nn.LSTM in float64": (nn.LSTM, 20, 100_000, {"dtype": torch.float64}),
        "an nn.RNN in bfloat16, two directions": (nn.RNN, 3, 61_000, {"dtype": torch.bfloat16, "bidirectional": True}),
        "an nn.GRU that fits exactly": (nn.GRU, 10, 4 * count_parameters(nn.GRU, 10, 32), {}),
        "an nn.LSTM with four layers": (nn.LSTM, 50, 1_000_000, {"num_layers": 4}),
    }
    hint = (
        "On the meta device a layer of any size costs no memory, so you can ask one after the other how many bytes its "
        "weights would need: numel() times element_size(). The limit itself still fits."
    )
    return compare(answer, reference, cases, hint, call=call)


def _counting_layer(units: int, bidirectional: bool) -> nn.RNN:
    """A ReLU RNN that copies: h_t = x_t + h_(t-1), unit by unit, so that its outputs show what its weight_hh lost."""
    layer = build_quietly(lambda: nn.RNN(units, units, nonlinearity="relu", bidirectional=bidirectional))
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_(torch.zeros(units) if name.startswith("bias") else torch.eye(units))
    return layer


def _properties_of_weight_drop(answer: Callable, layer: nn.RNN, p: float) -> dict[str, Any]:
    """Let it read 1, 0, 0, 1: one step before its last, each direction shows the square of its mask."""
    units = layer.hidden_size
    x = torch.zeros(4, 3, units)
    x[0] = x[-1] = 1
    before = {name: weight.detach().clone() for name, weight in layer.named_parameters()}

    def squares(output: Tensor) -> Tensor:
        forward, *reverse = output.detach().split(units, -1)
        return torch.cat([forward[2], *(part[1] for part in reverse)], -1)  # (B, S * H)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        idle, _ = answer(layer.eval(), x, p)
        first, _ = answer(layer.train(), x, p)
        if first.requires_grad:
            first.sum().backward()
        second, _ = answer(layer.train(), x, p)
    found, scale = squares(first), 1 / (1 - p)
    return {
        "the outputs of a layer in eval mode": idle,
        "in training, is what is read left whole": torch.equal(first[0, :, :units], x[0]),
        "is a weight 0 or scaled by 1 / (1 - p), and the same at every step": torch.allclose(
            found, scale**2 * (found > 0)
        ),
        "is the share of lost weights near p": abs(float((found == 0).float().mean()) - p) < 0.1,
        "do all sequences have the same mask": torch.equal(found, found[:1].expand_as(found)),
        "does each call have a mask of its own": not torch.equal(found, squares(second)),
        "does a gradient reach weight_hh_l0": layer.weight_hh_l0.grad is not None,
        "are the layer's own weights as they were": all(
            torch.equal(weight, before[name]) for name, weight in layer.named_parameters()
        ),
    }


def check_weight_dropped(answer: Callable) -> bool:
    """Check ``weight_dropped(layer, x, p)``: a run of the layer with dropout on the entries of its ``weight_hh``."""

    def reference(layer: nn.Module, x: Tensor, p: float) -> tuple[Tensor, Tensor]:
        dropped = {
            name: F.dropout(weight, p, layer.training)
            for name, weight in layer.named_parameters()
            if name.startswith("weight_hh")
        }
        return functional_call(layer, dropped, (x,))

    cases = {
        "one direction, p = 0.5": (_counting_layer(200, False), 0.5),
        "one direction, p = 0.2": (_counting_layer(200, False), 0.2),
        "two directions": (_counting_layer(200, True), 0.5),
    }
    hint = (
        "Draw the masks once, before the run, on the matrices and not on the states. `torch.func.functional_call` runs "
        "a module with other weights than its own, by name. Mind the reverse direction's matrix, and the layer's mode."
    )
    return compare(answer, reference, cases, hint, call=_properties_of_weight_drop)
