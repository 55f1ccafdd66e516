"""Wrong arguments and wrong calls: where nn raises we raise the same type, and our message names the argument.

A row of a table is what is wrong, the layers it is wrong for, a function that does it with a library (torch.nn or
companion), and the argument that our message has to name.
"""

import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import companion

RNN, GRU, LSTM = ("RNN",), ("GRU",), ("LSTM",)
ONE_STATE, ALL = RNN + GRU, RNN + GRU + LSTM
CELL_RNN, CELL_GRU, CELL_LSTM = ("RNNCell",), ("GRUCell",), ("LSTMCell",)
CELLS_ONE_STATE, CELLS = CELL_RNN + CELL_GRU, CELL_RNN + CELL_GRU + CELL_LSTM

X = torch.zeros(5, 2, 3)  # (T, B, D)
PACKED = pack_sequence([torch.zeros(3, 3), torch.zeros(2, 3)])
UNSORTED = pack_sequence([torch.zeros(2, 3), torch.zeros(3, 3)], enforce_sorted=False)


def state_for(kind, *shape, **options):
    """A state of this shape: a tensor, or for an LSTM a pair of them."""
    state = torch.zeros(*shape, **options)
    return (state, state) if kind.startswith("LSTM") else state


CONSTRUCTIONS = [
    ("no hidden_size", ALL + CELLS, lambda layer, kind: layer(3), "hidden_size"),
    ("input_size zero", ALL, lambda layer, kind: layer(0, 4), "input_size"),
    ("input_size negative", ALL + CELLS, lambda layer, kind: layer(-1, 4), "input_size"),
    ("input_size a float", ALL + CELLS, lambda layer, kind: layer(3.0, 4), "input_size"),
    ("input_size a string", ALL + CELLS, lambda layer, kind: layer("3", 4), "input_size"),
    ("input_size None", ALL + CELLS, lambda layer, kind: layer(None, 4), "input_size"),
    ("hidden_size zero", ALL, lambda layer, kind: layer(3, 0), "hidden_size"),
    ("hidden_size negative", ALL + CELLS, lambda layer, kind: layer(3, -1), "hidden_size"),
    ("hidden_size a float", ALL + CELLS, lambda layer, kind: layer(3, 4.0), "hidden_size"),
    ("hidden_size None", ALL + CELLS, lambda layer, kind: layer(3, None), "hidden_size"),
    ("num_layers zero", ALL, lambda layer, kind: layer(3, 4, 0), "num_layers"),
    ("num_layers negative", ALL, lambda layer, kind: layer(3, 4, -1), "num_layers"),
    ("num_layers a float", ALL, lambda layer, kind: layer(3, 4, 1.5), "num_layers"),
    ("num_layers a string", ALL, lambda layer, kind: layer(3, 4, "2"), "num_layers"),
    ("bias an int", ALL, lambda layer, kind: layer(3, 4, bias=1), "bias"),
    ("bias None", ALL, lambda layer, kind: layer(3, 4, bias=None), "bias"),
    ("batch_first an int", ALL, lambda layer, kind: layer(3, 4, batch_first=1), "batch_first"),
    ("bidirectional an int", ALL, lambda layer, kind: layer(3, 4, bidirectional=1)(X), "bidirectional"),
    ("bidirectional None", ALL, lambda layer, kind: layer(3, 4, bidirectional=None)(X), "bidirectional"),
    ("dropout None", ALL, lambda layer, kind: layer(3, 4, 2, dropout=None), "dropout"),
    ("dropout a string", ALL, lambda layer, kind: layer(3, 4, 2, dropout="a"), "dropout"),
    ("dropout a bool", ALL, lambda layer, kind: layer(3, 4, 2, dropout=True), "dropout"),
    ("dropout negative", ALL, lambda layer, kind: layer(3, 4, 2, dropout=-0.1), "dropout"),
    ("dropout above 1", ALL, lambda layer, kind: layer(3, 4, 2, dropout=1.5), "dropout"),
    ("dropout not a number", ALL, lambda layer, kind: layer(3, 4, 2, dropout=float("nan")), "dropout"),
    ("dropout a tensor", ALL, lambda layer, kind: layer(3, 4, 2, dropout=torch.tensor(0.5)), "dropout"),
    ("proj_size of a layer without", ONE_STATE, lambda layer, kind: layer(3, 4, proj_size=2), "proj_size"),
    ("proj_size zero, without", ONE_STATE, lambda layer, kind: layer(3, 4, proj_size=0), "proj_size"),
    ("proj_size negative", LSTM, lambda layer, kind: layer(3, 4, proj_size=-1), "proj_size"),
    ("proj_size as large as hidden_size", LSTM, lambda layer, kind: layer(3, 4, proj_size=4), "proj_size"),
    ("proj_size a float", LSTM, lambda layer, kind: layer(3, 4, proj_size=2.0), "proj_size"),
    ("proj_size a string", LSTM, lambda layer, kind: layer(3, 4, proj_size="2"), "proj_size"),
    ("nonlinearity unknown", RNN, lambda layer, kind: layer(3, 4, nonlinearity="gelu"), "nonlinearity"),
    ("nonlinearity None", RNN, lambda layer, kind: layer(3, 4, nonlinearity=None), "nonlinearity"),
    ("nonlinearity unknown", CELL_RNN, lambda cell, kind: cell(3, 4, nonlinearity="gelu")(X[0]), "nonlinearity"),
    ("nonlinearity of a gated layer", GRU + LSTM, lambda layer, kind: layer(3, 4, nonlinearity="tanh"), "nonlinearity"),
    ("nonlinearity of a gated cell", CELL_GRU, lambda cell, kind: cell(3, 4, nonlinearity="tanh"), "nonlinearity"),
    ("an unknown argument", ALL + CELLS, lambda layer, kind: layer(3, 4, hidden_units=4), "hidden_units"),
    ("dtype without gradients", ALL + CELLS, lambda layer, kind: layer(3, 4, dtype=torch.long), "dtype"),
    ("dtype a string", ALL + CELLS, lambda layer, kind: layer(3, 4, dtype="float32"), "dtype"),
    ("device unknown", ALL + CELLS, lambda layer, kind: layer(3, 4, device="abacus"), "device"),
]

LAYER_CALLS = [
    ("input a list", ALL, lambda layer, kind: layer([1.0, 2.0]), "input"),
    ("input None", ALL, lambda layer, kind: layer(None), "input"),
    ("input 1-D", ALL, lambda layer, kind: layer(X[0, 0]), "input"),
    ("input 4-D", ALL, lambda layer, kind: layer(X[None]), "input"),
    ("input without time steps", ALL, lambda layer, kind: layer(X[:0]), "input"),
    ("input too narrow", ALL, lambda layer, kind: layer(X[..., :2]), "input"),
    ("input too wide", ALL, lambda layer, kind: layer(torch.zeros(5, 2, 4)), "input"),
    ("input 2-D, too narrow", ALL, lambda layer, kind: layer(X[:, 0, :2]), "input"),
    ("input double", ALL, lambda layer, kind: layer(X.double()), "input"),
    ("input of ints", ALL, lambda layer, kind: layer(X.long()), "input"),
    ("input packed, double", ALL, lambda layer, kind: layer(pack_sequence([torch.zeros(3, 3).double()])), "input"),
    ("input packed, of ints", ALL, lambda layer, kind: layer(pack_sequence([torch.zeros(3, 3).long()])), "input"),
    ("input packed, of scalars", ALL, lambda layer, kind: layer(pack_sequence([torch.zeros(3)])), "input"),
    ("input packed, of matrices", ALL, lambda layer, kind: layer(pack_sequence([torch.zeros(3, 2, 3)])), "input"),
    ("input packed, too narrow", ONE_STATE, lambda layer, kind: layer(pack_sequence([torch.zeros(3, 2)])), "input"),
    ("hx of another hidden_size", ALL, lambda layer, kind: layer(X, state_for(kind, 1, 2, 5)), "hx"),
    ("hx of another batch", ALL, lambda layer, kind: layer(X, state_for(kind, 1, 3, 4)), "hx"),
    ("hx of another num_layers", ALL, lambda layer, kind: layer(X, state_for(kind, 2, 2, 4)), "hx"),
    ("hx with the batch first", ALL, lambda layer, kind: layer(X, state_for(kind, 2, 1, 4)), "hx"),
    ("hx 2-D for a batch", ALL, lambda layer, kind: layer(X, state_for(kind, 1, 4)), "hx"),
    ("hx 3-D for one sequence", ALL, lambda layer, kind: layer(X[:, 0], state_for(kind, 1, 1, 4)), "hx"),
    ("hx double", ALL, lambda layer, kind: layer(X, state_for(kind, 1, 2, 4, dtype=torch.float64)), "hx"),
    ("hx of ints", ALL, lambda layer, kind: layer(X, state_for(kind, 1, 2, 4, dtype=torch.long)), "hx"),
    ("hx of another batch, packed", ALL, lambda layer, kind: layer(PACKED, state_for(kind, 1, 3, 4)), "hx"),
    ("hx of a smaller batch, unsorted", ALL, lambda layer, kind: layer(UNSORTED, state_for(kind, 1, 1, 4)), "hx"),
    ("hx 2-D, packed", ALL, lambda layer, kind: layer(PACKED, state_for(kind, 2, 4)), "hx"),
    ("hx 1-D, unsorted", ALL, lambda layer, kind: layer(UNSORTED, state_for(kind, 4)), "hx"),
    ("input of another device", ALL, lambda layer, kind: layer(X.to("meta")), "input should be on"),
    ("input packed, of ints", ALL, lambda layer, kind: layer(pack_sequence([X[:, 0, 0].long()])), "input"),
    ("hx of another device", ALL, lambda layer, kind: layer(X, state_for(kind, 1, 2, 4, device="meta")), "hx"),
    ("hx a string", ALL, lambda layer, kind: layer(X, "zeros"), "hx"),
    ("hx an array", ALL, lambda layer, kind: layer(X, torch.zeros(1, 2, 4).numpy()), "hx"),
    ("hx a pair", ONE_STATE, lambda layer, kind: layer(X, (torch.zeros(1, 2, 4),) * 2), "hx"),
    ("hx a tensor", LSTM, lambda layer, kind: layer(X, torch.zeros(1, 2, 4)), "hx"),
    ("hx a tensor of two states", LSTM, lambda layer, kind: layer(X, torch.zeros(2, 1, 2, 4)), "hx"),
    ("hx a tensor, packed", LSTM, lambda layer, kind: layer(PACKED, torch.zeros(1, 2, 4)), "hx"),
    ("hx a scalar", LSTM, lambda layer, kind: layer(X, torch.tensor(0.0)), "hx"),
    ("hx one of the two", LSTM, lambda layer, kind: layer(X, (torch.zeros(1, 2, 4),)), "hx"),
    ("hx three", LSTM, lambda layer, kind: layer(X, (torch.zeros(1, 2, 4),) * 3), "hx"),
    ("hx with c_0 None", LSTM, lambda layer, kind: layer(X, (torch.zeros(1, 2, 4), None)), "c_0 in hx"),
    ("hx with c_0 too wide", LSTM, lambda layer, kind: layer(X, (torch.zeros(1, 2, 4), torch.zeros(1, 2, 5))), "c_0"),
    ("hx with h_0 too wide", LSTM, lambda layer, kind: layer(X, (torch.zeros(1, 2, 5), torch.zeros(1, 2, 4))), "h_0"),
]

CELL_CALLS = [
    ("input a list", CELLS, lambda cell, kind: cell([1.0]), "input"),
    ("input 3-D", CELLS, lambda cell, kind: cell(X), "input"),
    ("input 0-D", CELLS, lambda cell, kind: cell(torch.tensor(0.0)), "input"),
    ("input too narrow", CELLS, lambda cell, kind: cell(X[0, :, :2]), "input"),
    ("input double", CELLS, lambda cell, kind: cell(X[0].double()), "input"),
    ("input of ints", CELLS, lambda cell, kind: cell(X[0].long()), "input"),
    ("hx of another batch", CELLS, lambda cell, kind: cell(X[0], state_for(kind, 3, 4)), "hx"),
    ("hx of another hidden_size", CELLS, lambda cell, kind: cell(X[0], state_for(kind, 2, 5)), "hx"),
    ("hx 3-D", CELLS, lambda cell, kind: cell(X[0], state_for(kind, 1, 2, 4)), "hx"),
    ("hx 1-D for a batch", CELLS, lambda cell, kind: cell(X[0], state_for(kind, 4)), "hx"),
    ("hx 1-D, short, for a batch", CELLS, lambda cell, kind: cell(X[0], state_for(kind, 2)), "hx"),
    ("hx 2-D for one input", CELLS, lambda cell, kind: cell(X[0, 0], state_for(kind, 1, 4)), "hx"),
    ("hx double", CELLS, lambda cell, kind: cell(X[0], state_for(kind, 2, 4, dtype=torch.float64)), "hx"),
    ("input of another device", CELLS, lambda cell, kind: cell(X[0].to("meta")), "input should be on"),
    ("hx of another device", CELLS, lambda cell, kind: cell(X[0], state_for(kind, 2, 4, device="meta")), "hx"),
    ("hx a string", CELLS, lambda cell, kind: cell(X[0], "zeros"), "hx"),
    ("hx a list", CELLS_ONE_STATE, lambda cell, kind: cell(X[0], [torch.zeros(2, 4)] * 2), "hx"),
    ("hx a tensor", CELL_LSTM, lambda cell, kind: cell(X[0], torch.zeros(2, 4)), "hx"),
    ("hx a tensor of two states", CELL_LSTM, lambda cell, kind: cell(X[0], torch.zeros(2, 2, 4)), "hx"),
    ("hx one of the two", CELL_LSTM, lambda cell, kind: cell(X[0], (torch.zeros(2, 4),)), "hx"),
    ("hx three", CELL_LSTM, lambda cell, kind: cell(X[0], (torch.zeros(2, 4),) * 3), "hx"),
]

# nn lets these pass and computes something; a little worse a shape, and some of them end the whole process.
ONLY_OURS = [
    # never looks at how wide the packed vectors are
    ("input packed, too narrow", LSTM, lambda layer, kind: layer(pack_sequence([torch.zeros(3, 2)])), "input"),
    # takes two of the three states
    ("hx of a larger batch, unsorted", ALL, lambda layer, kind: layer(UNSORTED, state_for(kind, 1, 3, 4)), "hx"),
    # gives both sequences the c_0 of one
    (
        "hx with c_0 of a smaller batch, packed",
        LSTM,
        lambda layer, kind: layer(PACKED, (torch.zeros(1, 2, 4), torch.zeros(1, 1, 4))),
        "c_0 in hx",
    ),
    # drops c_0's second layer
    (
        "hx with c_0 of another num_layers, packed",
        LSTM,
        lambda layer, kind: layer(PACKED, (torch.zeros(1, 2, 4), torch.zeros(2, 2, 4))),
        "c_0 in hx",
    ),
]


def rows(table):
    return pytest.mark.parametrize(
        "kind, act, name",
        [pytest.param(kind, act, name, id=f"{kind}: {what}") for what, kinds, act, name in table for kind in kinds],
    )


def build(kind):
    torch.manual_seed(0)
    return getattr(companion, kind)(3, 4)


def test_the_tables_are_long():
    assert len(CONSTRUCTIONS) >= 40
    assert len(LAYER_CALLS) + len(CELL_CALLS) >= 40


@rows(CONSTRUCTIONS)
def test_wrong_construction(kind, act, name):
    with pytest.raises(Exception) as theirs:
        act(getattr(nn, kind), kind)
    with warnings.catch_warnings(), pytest.raises(theirs.type, match=name):
        warnings.simplefilter("error")
        act(getattr(companion, kind), kind)


@rows(LAYER_CALLS + CELL_CALLS)
def test_wrong_call(kind, act, name):
    with pytest.raises(Exception) as theirs:
        act(getattr(nn, kind)(3, 4), kind)
    check_refusal(kind, act, theirs.type, name)


@rows(ONLY_OURS)
def test_call_that_nn_lets_pass(kind, act, name):
    act(getattr(nn, kind)(3, 4), kind)
    check_refusal(kind, act, RuntimeError, name)


def check_refusal(kind, act, error, name):
    """The call raises this type and names the argument, warns of nothing, and leaves the layer as it was."""
    layer = build(kind)
    with warnings.catch_warnings(), pytest.raises(error, match=name):
        warnings.simplefilter("error")
        act(layer, kind)
    torch.testing.assert_close(layer.state_dict(), build(kind).state_dict(), rtol=0, atol=0)
    assert vars(layer).keys() == vars(build(kind)).keys()


def test_a_layer_without_a_step_says_so():
    with pytest.raises(TypeError, match="RecurrentLayer should define step"):
        companion.RecurrentLayer(3, 4)(X)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "SRU", "MinGRU", "MinLSTM"])
@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4)])
def test_the_shape_named_is_the_one_that_came(kind, shape):
    layer = getattr(companion, kind)(3, 4, batch_first=True)
    with pytest.raises(RuntimeError, match=r"input_size=3 features.* got shape " + re.escape(str(shape))):
        layer(torch.zeros(shape))
