"""First and second derivatives of every layer and cell against finite differences, in double precision."""

from dataclasses import replace

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

import companion
from tests.strategies import Case, make_input, make_layer, make_state, pack, pack_state, randomize

BOTH = {"bidirectional": True}
PROJECTED = {"proj_size": 1}
LAYERS = {
    "RNN": Case("RNN"),
    "RNN relu": Case("RNN", {"nonlinearity": "relu"}),
    "RNN stacked": Case("RNN", {"num_layers": 2, "bias": False}),
    "RNN bidirectional, packed": Case("RNN", BOTH, form="packed"),
    "GRU": Case("GRU"),
    "GRU stacked": Case("GRU", {"num_layers": 2, "bias": False}),
    "GRU bidirectional, packed": Case("GRU", BOTH, form="packed"),
    "LSTM": Case("LSTM"),
    "LSTM stacked": Case("LSTM", {"num_layers": 2, "bias": False}),
    "LSTM bidirectional, packed": Case("LSTM", BOTH, form="packed"),
    "LSTM projected": Case("LSTM", PROJECTED),
    "LSTM projected, bidirectional, packed": Case("LSTM", PROJECTED | BOTH, form="packed"),
}
CELLS = {
    "RNNCell": {},
    "RNNCell relu": {"nonlinearity": "relu"},
    "GRUCell": {},
    "LSTMCell": {},
    "LSTMCell without bias": {"bias": False},
}

each_layer = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
each_cell = pytest.mark.parametrize("name, arguments", CELLS.items(), ids=CELLS)
each_check = pytest.mark.parametrize("check", [gradcheck, gradgradcheck])


def check_derivatives(check, module, prepare, x, state):
    """Derivatives by the input, by every part of the state and by every weight, all at once."""
    weights = dict(module.named_parameters())

    def outputs(x, *rest):
        parts, values = rest[: len(state)], rest[len(state) :]
        called = functional_call(module, dict(zip(weights, values, strict=True)), (prepare(x), pack_state(parts)))
        return flatten(called)

    assert check(outputs, (x, *state, *weights.values()))


def flatten(outputs):
    """Every tensor of floating point in a layer's or a cell's result, however nested."""
    if isinstance(outputs, torch.Tensor):
        return (outputs,) if outputs.is_floating_point() else ()
    return tuple(tensor for part in outputs if part is not None for tensor in flatten(part))


@each_check
@each_layer
def test_derivatives_of_a_layer(check, case):
    case = replace(case, input_size=2, hidden_size=2, lengths=(1, 3) if case.form == "packed" else (3, 3), seed=3)
    layer = make_layer(companion, case)
    randomize(layer, case.seed)
    check_derivatives(
        check, layer, lambda x: pack(case, x) if case.form == "packed" else x, make_input(case), make_state(case)
    )


@each_check
@each_cell
def test_derivatives_of_a_cell(check, name, arguments):
    cell = getattr(companion, name.split()[0])(2, 3, **arguments, dtype=torch.float64)
    randomize(cell, seed=4)
    generator = torch.Generator().manual_seed(5)
    x, *state = (
        torch.randn(2, size, generator=generator, dtype=torch.float64, requires_grad=True)
        for size in (2, 3, 3)[: 3 if name.startswith("LSTM") else 2]
    )
    check_derivatives(check, cell, lambda x: x, x, tuple(state))
