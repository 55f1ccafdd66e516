"""The cells: twins of nn's, and in a loop written by hand the same as a layer."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import companion
from tests.strategies import (
    assert_same,
    cases,
    make_input,
    make_state,
    make_twins,
    pack_state,
    randomize,
    unpack_state,
    weighted_sum,
    with_arguments,
)

CELLS = {
    "RNNCell": {},
    "RNNCell relu": {"nonlinearity": "relu"},
    "GRUCell": {},
    "LSTMCell": {},
    "RNNCell without bias": {"bias": False, "nonlinearity": "relu"},
    "GRUCell without bias": {"bias": False},
    "LSTMCell without bias": {"bias": False},
}

each_cell = pytest.mark.parametrize(
    "kind, arguments", [(name.split()[0], arguments) for name, arguments in CELLS.items()], ids=CELLS
)


def make_cells(kind, arguments):
    """nn's cell with random weights, and ours with the same ones."""
    theirs, ours = (getattr(library, kind)(3, 4, **arguments, dtype=torch.float64) for library in (nn, companion))
    randomize(theirs, seed=1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def make_call(kind, batch, with_state):
    """The input and the parts of the state, for 35 steps of them."""
    generator = torch.Generator().manual_seed(2)

    def leaf(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    parts = (2 if kind == "LSTMCell" else 1) * with_state
    return leaf(35, *batch, 3), tuple(leaf(*batch, 4) for _ in range(parts))


def compute(cell, x, parts):
    """The states of a loop over time, and the gradient of every input, state and weight."""
    state, states = pack_state(parts), []
    for step in x:
        state = cell(step, state)
        states += unpack_state(state)
    sources = {"input": x} | {f"state {number}": part for number, part in enumerate(parts)}
    sources |= dict(cell.named_parameters())
    gradients = torch.autograd.grad(weighted_sum(states, seed=3), list(sources.values()))
    results = {f"state {number} on the way": part.detach() for number, part in enumerate(states)}
    return results | {f"gradient of {name}": gradient for name, gradient in zip(sources, gradients, strict=True)}


@each_cell
@pytest.mark.parametrize("batch", [(2,), ()], ids=["batch", "one input"])
@pytest.mark.parametrize("with_state", [True, False], ids=["with a state", "without"])
def test_35_steps_of_a_cell_are_those_of_nn(kind, arguments, batch, with_state):
    theirs, ours = make_cells(kind, arguments)
    x, parts = make_call(kind, batch, with_state)
    assert_same(compute(ours, x, parts), compute(theirs, x, parts), tolerance=1e-11)


@each_cell
def test_names_repr_and_seed(kind, arguments):
    cells = []
    for library in (nn, companion):
        torch.manual_seed(6)
        cells.append(getattr(library, kind)(3, 4, **arguments))
    theirs, ours = cells
    assert repr(ours) == repr(theirs)
    assert (ours.input_size, ours.hidden_size, ours.bias) == (3, 4, theirs.bias)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


@each_cell
def test_ours_load_into_nn_and_copies_are_equal(kind, arguments):
    theirs, ours = make_cells(kind, arguments)
    ours.reset_parameters()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), theirs):
        torch.testing.assert_close(copied.state_dict(), ours.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("sizes", [(0, 4), (3, 0)])
def test_sizes_of_zero_are_allowed_as_in_nn(kind, sizes):
    theirs, ours = (getattr(library, kind)(*sizes) for library in (nn, companion))
    ours.load_state_dict(theirs.state_dict())
    x = torch.zeros(2, sizes[0])
    torch.testing.assert_close(ours(x), theirs(x))


@settings(max_examples=60)
@given(cases(forms=("3-D",)), st.data())
def test_a_cell_in_a_loop_is_a_layer(case, data):
    plain = dict(num_layers=1, bidirectional=False, batch_first=False, dropout=0.0)
    case = with_arguments(case, **plain, **({"proj_size": 0} if case.kind == "LSTM" else {}))
    _, layer = make_twins(case)
    choices = {name: case.arguments[name] for name in ("bias", "nonlinearity") if name in case.arguments}
    cell = getattr(companion, f"{case.kind}Cell")(case.input_size, case.hidden_size, **choices, dtype=case.dtype)
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in layer.state_dict().items()})
    x, parts = make_input(case), make_state(case)
    state, outputs = pack_state(tuple(part[0] for part in parts)), []
    for step in x:
        state = cell(step, state)
        outputs.append(unpack_state(state)[0])
    expected, final = layer(x, pack_state(parts))
    torch.testing.assert_close(torch.stack(outputs), expected)
    torch.testing.assert_close(unpack_state(state), tuple(part[0] for part in unpack_state(final)))
