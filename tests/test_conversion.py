"""Weights survive every move: other layouts are run by their own published equations, or by ONNX Runtime.

Everything runs 35 steps from a random state with random biases: over one step from zeros, wrong conversions pass.
"""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import companion
from companion.conversion import cells_from_layer, layer_from_cells, reorder_gates, to_companion, to_nn
from companion.keras_layout import from_keras, to_keras
from companion.onnx_layout import export_onnx, from_onnx_weights, to_onnx_weights
from tests.strategies import KINDS, randomize

D, H, T, B = 5, 7, 35, 3
CONTROLS = {
    "one layer": {},
    "two layers": {"num_layers": 2},
    "both directions": {"bidirectional": True},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "no bias": {"num_layers": 2, "bidirectional": True, "bias": False},
    "batch first": {"num_layers": 2, "bidirectional": True, "batch_first": True},
}
LAYERS = {f"{kind}, {name}": (kind, arguments) for kind in KINDS for name, arguments in CONTROLS.items()}
LAYERS["RNN, relu"] = ("RNN", {"nonlinearity": "relu", "num_layers": 2})

each_layer = pytest.mark.parametrize("kind, arguments", LAYERS.values(), ids=LAYERS)
each_library = pytest.mark.parametrize("library", [nn, companion], ids=["nn", "companion"])


def make(library, kind, arguments, dtype=torch.float32):
    layer = getattr(library, kind)(D, H, dtype=dtype, **arguments)
    randomize(layer, seed=1)
    return layer


def random_input(layer, dtype=torch.float32):
    """An input, and the parts of a state."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(T, B, D, generator=generator, dtype=dtype)
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    states = torch.randn(len(parts(layer)), rows, B, H, generator=generator, dtype=dtype)
    return x.transpose(0, 1) if layer.batch_first else x, tuple(states)


def parts(layer):
    return ("h", "c") if isinstance(layer, nn.LSTM | companion.LSTM) else ("h",)


@torch.no_grad()
def run(layer, x, states):
    """The output and the parts of the last state."""
    output, last = layer(x, states if len(states) == 2 else states[0])
    return [output, *(last if len(states) == 2 else [last])]


def largest_difference(found, expected):
    pairs = zip(found, expected, strict=True)
    return max(float(np.abs(np.asarray(one) - np.asarray(other)).max()) for one, other in pairs)


def assert_same_numbers(one, other, tolerance=1e-5):
    x, states = random_input(one)
    assert largest_difference(run(one, x, states), run(other, x, states)) < tolerance


def other_arguments(layer):
    """What no layout of weights tells."""
    told = {"batch_first": layer.batch_first}
    return told | ({"nonlinearity": layer.nonlinearity} if hasattr(layer, "nonlinearity") else {})


def reset_argument(kind):
    return {"linear_before_reset": 1} if kind == "GRU" else {}


# Orders of gates


def test_blocks_move_as_a_whole():
    rows = torch.arange(8).view(8, 1)
    assert reorder_gates(rows, "ifgo", "iofg").flatten().tolist() == [0, 1, 6, 7, 2, 3, 4, 5]
    assert reorder_gates(torch.arange(3), "rzn", "zrn").tolist() == [1, 0, 2]


@pytest.mark.parametrize("source, target", [("ifgo", "iofg"), ("rzn", "nrz"), ("h", "h")])
def test_there_and_back_is_the_same(source, target):
    weight = torch.randn(12, 4)
    assert torch.equal(reorder_gates(reorder_gates(weight, source, target), target, source), weight)


@pytest.mark.parametrize(
    "weight, source, target, error, words",
    [
        (torch.zeros(8), "ifgo", "ifco", ValueError, "'ifgo' and 'ifco'"),
        (torch.zeros(8), "ifgo", "ifg", ValueError, "source and target"),
        (torch.zeros(8), "iigo", "iigo", ValueError, "source and target"),
        (torch.zeros(8), "", "", ValueError, "source and target"),
        (torch.zeros(10, 2), "rzn", "zrn", ValueError, "3 blocks of equal height, got shape \\(10, 2\\)"),
        (torch.tensor(1.0), "h", "h", ValueError, "weight"),
        (np.zeros(8), "ifgo", "iofg", TypeError, "weight should be a tensor, got a ndarray"),
    ],
)
def test_what_is_no_order_is_refused(weight, source, target, error, words):
    with pytest.raises(error, match=words):
        reorder_gates(weight, source, target)


# nn and companion


@each_layer
@each_library
def test_to_the_other_library_and_back(library, kind, arguments):
    layer = make(library, kind, arguments).eval()
    for convert, target in [(to_nn, nn), (to_companion, companion)]:
        moved = convert(layer)
        assert type(moved) is getattr(target, kind)
        assert moved.extra_repr() == layer.extra_repr() and not moved.training
        moved.load_state_dict(layer.state_dict(), strict=True)
        assert_same_numbers(layer, convert(layer))
        assert not {weight.data_ptr() for weight in moved.parameters()} & {w.data_ptr() for w in layer.parameters()}


@each_library
def test_a_projection_dropout_and_dtype_move_along(library):
    layer = library.LSTM(D, H, 2, dropout=0.3, proj_size=4, dtype=torch.float64)
    for convert in (to_nn, to_companion):
        moved = convert(layer)
        assert moved.extra_repr() == layer.extra_repr() and moved.weight_hr_l1.dtype == torch.float64
        assert all(torch.equal(moved.state_dict()[name], weight) for name, weight in layer.state_dict().items())


def test_the_weights_that_count_are_those_in_use():
    """With weight normalization the layer's weights are computed, and no entries of its state_dict."""
    layer = weight_norm(make(nn, "GRU", {}), "weight_hh_l0")
    for moved in (to_companion(layer), layer_from_cells(cells_from_layer(layer)), from_keras(to_keras(layer), nn.GRU)):
        assert_same_numbers(layer, moved)


def test_nothing_is_drawn_from_the_random_numbers():
    layer = make(nn, "LSTM", CONTROLS["two layers"])
    before = torch.get_rng_state()
    to_companion(layer), from_keras(to_keras(layer), nn.LSTM), layer_from_cells(cells_from_layer(layer))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_layers_on_a_gpu_move():
    layer = make(nn, "GRU", CONTROLS["two layers"]).cuda()
    assert to_companion(layer).weight_ih_l0.is_cuda and cells_from_layer(layer)[1][0].weight_hh.is_cuda
    assert from_keras(to_keras(layer), nn.GRU, device="cuda").weight_ih_l0.is_cuda
    assert_same_numbers(to_nn(layer).cpu(), from_onnx_weights(to_onnx_weights(layer), nn.GRU, linear_before_reset=1))


# Cells


@each_layer
@each_library
def test_cells_run_by_hand_are_the_layer(library, kind, arguments):
    layer = make(library, kind, arguments)
    cells = cells_from_layer(layer)
    S = 2 if layer.bidirectional else 1
    assert [len(directions) for directions in cells] == [S] * layer.num_layers
    assert {type(cell) for directions in cells for cell in directions} == {getattr(library, f"{kind}Cell")}
    x, states = random_input(layer)
    expected = run(layer, x, states)
    found = run_cells(cells, x.transpose(0, 1) if layer.batch_first else x, states)
    found[0] = found[0].transpose(0, 1) if layer.batch_first else found[0]
    assert largest_difference(found, expected) < 1e-5


@torch.no_grad()
def run_cells(cells, x, states):
    finals = []
    for i, directions in enumerate(cells):
        outputs = []
        for j, cell in enumerate(directions):
            state = tuple(part[i * len(directions) + j] for part in states)
            steps = []
            for step in x.flip(0) if j else x:
                found = cell(step, state if len(state) == 2 else state[0])
                state = found if len(state) == 2 else (found,)
                steps.append(state[0])
            outputs.append(torch.stack(steps[::-1] if j else steps))
            finals.append(state)
        x = torch.cat(outputs, -1)
    return [x, *(torch.stack(part) for part in zip(*finals, strict=True))]


@each_layer
@each_library
def test_cells_put_together_again(library, kind, arguments):
    layer = make(library, kind, arguments)
    again = layer_from_cells(cells_from_layer(layer), batch_first=layer.batch_first)
    assert type(again) is type(layer) and again.extra_repr() == layer.extra_repr()
    assert_same_numbers(layer, again, tolerance=1e-6)


def test_a_cell_and_a_list_of_cells():
    cells = [nn.GRUCell(D, H), nn.GRUCell(H, H)]
    assert layer_from_cells(cells[0]).num_layers == 1
    layer = layer_from_cells(cells, dropout=0.5)
    assert layer.num_layers == 2 and layer.dropout == 0.5 and not layer.bidirectional
    assert torch.equal(layer.weight_hh_l1, cells[1].weight_hh)


WRONG_CELLS = [
    (nn.Linear(3, 4), {}, TypeError, r"cells\[0\]\[0\] should be an RNNCell, LSTMCell or GRUCell, got a Linear"),
    (companion.SRUCell(3, 3), {}, TypeError, "got a SRUCell"),
    ([], {}, TypeError, "cells should be a list of cells, got an empty one"),
    ("GRUCell", {}, TypeError, "cells should be a list of cells, got a str"),
    ([nn.GRUCell(3, 4), nn.LSTMCell(4, 4)], {}, TypeError, r"GRUCell first and .*LSTMCell in cells\[1\]\[0\]"),
    ([nn.GRUCell(3, 4), companion.GRUCell(4, 4)], {}, TypeError, "one class"),
    ([nn.GRUCell(3, 4), nn.GRUCell(3, 4)], {}, ValueError, r"cells\[1\]\[0\] should read input_size=4 features, got 3"),
    ([nn.GRUCell(3, 4), nn.GRUCell(4, 5)], {}, ValueError, "hidden_size=4"),
    ([nn.GRUCell(3, 4), nn.GRUCell(4, 4, bias=False)], {}, ValueError, "bias=True"),
    ([nn.RNNCell(3, 4), nn.RNNCell(4, 4, nonlinearity="relu")], {}, ValueError, "nonlinearity='tanh'"),
    ([[nn.GRUCell(3, 4)] * 3], {}, ValueError, r"1 or 2 directions in every layer, the same number, got \[3\]"),
    ([[nn.GRUCell(3, 4)] * 2, nn.GRUCell(8, 4)], {}, ValueError, r"got \[2, 1\]"),
    ([[nn.GRUCell(3, 4), nn.GRUCell(3, 4).double()]], {}, ValueError, "one dtype, got torch.float32, torch.float64"),
    (nn.GRUCell(3, 4), {"num_layers": 2}, TypeError, "num_layers should not be given: cells tell it"),
    (nn.RNNCell(3, 4), {"nonlinearity": "relu"}, TypeError, "nonlinearity should not be given"),
]


@pytest.mark.parametrize("cells, arguments, error, words", WRONG_CELLS)
def test_cells_that_make_no_layer(cells, arguments, error, words):
    with pytest.raises(error, match=words):
        layer_from_cells(cells, **arguments)


# Keras, by its own equations


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_simple_rnn(activation):
    def step(x, state, kernel, recurrent_kernel, bias=0.0):
        h = activation(x @ kernel + state[0] @ recurrent_kernel + bias)
        return (h,)

    return step


def keras_lstm(x, state, kernel, recurrent_kernel, bias=0.0):
    h, c = state
    i, f, candidate, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
    return sigmoid(o) * np.tanh(c), c


def keras_gru(x, state, kernel, recurrent_kernel, bias=(0.0, 0.0)):
    (h,) = state
    x_z, x_r, x_h = np.split(x @ kernel + bias[0], 3, axis=-1)
    h_z, h_r, h_h = np.split(h @ recurrent_kernel + bias[1], 3, axis=-1)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    return (z * h + (1 - z) * np.tanh(x_h + r * h_h),)


def keras_gru_reset_before(x, state, kernel, recurrent_kernel, bias=0.0):
    (h,) = state
    x_z, x_r, x_h = np.split(x @ kernel + bias, 3, axis=-1)
    W_z, W_r, W_h = np.split(recurrent_kernel, 3, axis=-1)
    z, r = sigmoid(x_z + h @ W_z), sigmoid(x_r + h @ W_r)
    return (z * h + (1 - z) * np.tanh(x_h + (r * h) @ W_h),)


KERAS_STEPS = {"RNN": keras_simple_rnn(np.tanh), "LSTM": keras_lstm, "GRU": keras_gru}


def run_keras(step, weights, x, states, S):
    """A stack of layers with return_sequences=True, each within Bidirectional(merge_mode="concat") if S is 2."""
    finals = []
    for i, arrays in enumerate(weights):
        outputs, size = [], len(arrays) // S
        for j in range(S):
            state, steps = tuple(part[i * S + j] for part in states), []
            for x_t in x[::-1] if j else x:
                state = step(x_t, state, *arrays[j * size : (j + 1) * size])
                steps.append(state[0])
            outputs.append(np.stack(steps[::-1] if j else steps))
            finals.append(state)
        x = np.concatenate(outputs, -1)
    return [x, *(np.stack(part) for part in zip(*finals, strict=True))]


@each_layer
@each_library
def test_keras_computes_the_same_from_our_weights(library, kind, arguments):
    layer = make(library, kind, arguments)
    x, states = random_input(layer)
    expected = run(layer, x, states)
    step = KERAS_STEPS[kind]
    if getattr(layer, "nonlinearity", "tanh") == "relu":
        step = keras_simple_rnn(lambda x: np.maximum(x, 0))
    x = x.transpose(0, 1) if layer.batch_first else x
    numpy_states = [state.numpy() for state in states]
    found = run_keras(step, to_keras(layer), x.numpy(), numpy_states, 2 if layer.bidirectional else 1)
    found[0] = found[0].swapaxes(0, 1) if layer.batch_first else found[0]
    assert largest_difference(found, expected) < 1e-5


@each_layer
@each_library
def test_from_keras(library, kind, arguments):
    layer = make(library, kind, arguments)
    again = from_keras(to_keras(layer), type(layer), **other_arguments(layer))
    assert type(again) is type(layer) and again.extra_repr() == layer.extra_repr()
    assert_same_numbers(layer, again)


def keras_arrays(kind, G, S=1, bias=None, features=D, dtype=np.float32):
    """Random weights in Keras's shapes, made without our code."""
    generator = np.random.default_rng(3)
    shapes = [(features, G * H), (H, G * H), *([bias] if bias else [])] * S
    return [generator.normal(0, 0.4, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("S", [1, 2])
@pytest.mark.parametrize(
    "kind, G, bias",
    [("RNN", 1, (H,)), ("LSTM", 4, (4 * H,)), ("GRU", 3, (2, 3 * H)), ("GRU", 3, None), ("LSTM", 4, None)],
)
def test_weights_born_in_keras(kind, G, bias, S):
    weights = [keras_arrays(kind, G, S, bias), keras_arrays(kind, G, S, bias, features=S * H)]
    layer = from_keras(weights, getattr(nn, kind))
    x, states = random_input(layer)
    expected = run_keras(KERAS_STEPS[kind], weights, x.numpy(), [state.numpy() for state in states], S)
    assert largest_difference(run(layer, x, states), expected) < 1e-5
    for back, arrays in zip(to_keras(layer), weights, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(back, arrays, strict=True))


def test_layouts_are_those_that_keras_documents():
    layer = make(nn, "LSTM", CONTROLS["two layers, both directions"])
    shapes = [[array.shape for array in arrays] for arrays in to_keras(layer)]
    assert shapes == [
        [(D, 4 * H), (H, 4 * H), (4 * H,)] * 2,
        [(2 * H, 4 * H), (H, 4 * H), (4 * H,)] * 2,
    ]
    assert [array.shape for array in to_keras(make(nn, "GRU", {}))[0]] == [(D, 3 * H), (H, 3 * H), (2, 3 * H)]
    assert all(array.flags.c_contiguous for arrays in to_keras(layer) for array in arrays)


def test_one_layers_list_is_enough():
    weights = keras_arrays("GRU", 3, bias=(2, 3 * H))
    assert torch.equal(from_keras(weights, nn.GRU).weight_ih_l0, from_keras([weights], nn.GRU).weight_ih_l0)


def test_the_forget_bias_of_keras_stays_one():
    """unit_forget_bias is in the weights already: ones in the second block, once."""
    bias = np.concatenate([np.zeros(H), np.ones(H), np.zeros(2 * H)]).astype(np.float32)
    layer = from_keras([*keras_arrays("LSTM", 4), bias], nn.LSTM)
    total = (layer.bias_ih_l0 + layer.bias_hh_l0).detach()
    assert torch.equal(total, torch.from_numpy(bias)) and total[H : 2 * H].eq(1).all()


def test_a_gru_that_resets_before_is_refused():
    weights = keras_arrays("GRU", 3, bias=(3 * H,))
    with pytest.raises(ValueError, match=r"reset_after=False: .* diagonal"):
        from_keras(weights, nn.GRU, reset_after=False)
    with pytest.raises(ValueError, match=r"should have shape \(2, 21\) in this GRU with reset_after=True, got \(21,\)"):
        from_keras(weights, nn.GRU)


@pytest.mark.parametrize("bias", [(3 * H,), None])
def test_unless_it_is_the_same(bias):
    weights = keras_arrays("GRU", 3, bias=bias)
    weights[1][:, 2 * H :] *= np.eye(H, dtype=np.float32)
    layer = from_keras(weights, nn.GRU, reset_after=False)
    x, states = random_input(layer)
    expected = run_keras(keras_gru_reset_before, [weights], x.numpy(), [states[0].numpy()], 1)
    assert largest_difference(run(layer, x, states), expected) < 1e-5


WRONG_KERAS = [
    (keras_arrays("GRU", 3, bias=(2, 21)), nn.LSTM, {}, ValueError, r"kernel .*\(5, 28\) in this LSTM, got \(5, 21\)"),
    (keras_arrays("LSTM", 4, bias=(2, 28)), nn.LSTM, {}, ValueError, r"bias in weights\[0\].*\(28,\).*\(2, 28\)"),
    ([keras_arrays("LSTM", 4)] * 2, nn.LSTM, {}, ValueError, r"kernel in weights\[1\] should have shape \(7, 28\)"),
    (keras_arrays("LSTM", 4)[:1], nn.LSTM, {}, ValueError, "got 1 arrays"),
    ([keras_arrays("LSTM", 4), keras_arrays("LSTM", 4, 2)], nn.LSTM, {}, ValueError, "got 2, 4 arrays"),
    ([np.zeros(28)] * 2, nn.LSTM, {}, ValueError, r"weights\[0\]\[0\] should have 2 dimensions.*\(28,\)"),
    ([], nn.LSTM, {}, TypeError, "weights should be a list"),
    (np.zeros((5, 28)), nn.LSTM, {}, TypeError, "weights should be a list .* got a ndarray"),
    (["kernel", "recurrent"], nn.LSTM, {}, TypeError, r"weights\[0\]\[0\] should be an array of floating-point"),
    ([np.zeros((5, 28), int), np.zeros((7, 28))], nn.LSTM, {}, TypeError, r"weights\[0\]\[0\].*got int64"),
    ([np.zeros((5, 28), "f4"), np.zeros((7, 28))], nn.LSTM, {}, ValueError, "weights should have one dtype"),
    (keras_arrays("LSTM", 4), nn.LSTM, {"hidden_size": 7}, TypeError, "hidden_size should not be given: weights tell"),
    (keras_arrays("LSTM", 4), nn.LSTM, {"reset_after": False}, ValueError, "reset_after is an argument of a GRU only"),
    (keras_arrays("LSTM", 4), nn.Linear, {}, TypeError, "got Linear"),
    (keras_arrays("LSTM", 4), "LSTM", {}, TypeError, "got 'LSTM'"),
    (keras_arrays("LSTM", 4), nn.LSTMCell, {}, TypeError, "got LSTMCell"),
]


@pytest.mark.parametrize("weights, kind, arguments, error, words", WRONG_KERAS)
def test_what_keras_would_not_give(weights, kind, arguments, error, words):
    with pytest.raises(error, match=words):
        from_keras(weights, kind, **arguments)


# ONNX, run by ONNX Runtime


def run_onnx(path, x, states):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, [x.numpy(), *(state.numpy() for state in states)], strict=True)))


@each_layer
@each_library
def test_the_exported_model_computes_the_same(library, kind, arguments, tmp_path):
    layer = make(library, kind, arguments)
    x, states = random_input(layer)
    export_onnx(layer, tmp_path / "folder" / "layer.onnx")
    found = run_onnx(tmp_path / "folder" / "layer.onnx", x, states)
    assert largest_difference(found, run(layer, x, states)) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_model_takes_any_length_and_batch_and_carries_its_state(kind, tmp_path):
    layer = make(nn, kind, CONTROLS["two layers"])
    export_onnx(layer, tmp_path / "layer.onnx")
    x, states = random_input(layer)
    whole = run_onnx(tmp_path / "layer.onnx", x, states)
    first = run_onnx(tmp_path / "layer.onnx", x[:12], states)
    second = run_onnx(tmp_path / "layer.onnx", x[12:], [torch.from_numpy(state) for state in first[1:]])
    assert largest_difference([np.concatenate([first[0], second[0]]), *second[1:]], whole) < 1e-5
    one = run_onnx(tmp_path / "layer.onnx", x[:, :1], [state[:, :1].contiguous() for state in states])
    assert largest_difference([one[0]], [whole[0][:, :1]]) < 1e-5


def test_the_exported_model_says_what_it_takes_and_gives(tmp_path):
    layer = make(nn, "LSTM", CONTROLS["batch first"]).double()
    export_onnx(layer, str(tmp_path / "layer.onnx"))
    model = onnx.load(tmp_path / "layer.onnx")

    def described(values):
        types = [value.type.tensor_type for value in values]
        assert {one.elem_type for one in types} == {onnx.TensorProto.DOUBLE}
        shapes = [[dim.dim_param or dim.dim_value for dim in one.shape.dim] for one in types]
        return {value.name: shape for value, shape in zip(values, shapes, strict=True)}

    assert described(model.graph.input) == {"input": ["B", "T", D], "h_0": [4, "B", H], "c_0": [4, "B", H]}
    assert described(model.graph.output) == {"output": ["B", "T", 2 * H], "h_n": [4, "B", H], "c_n": [4, "B", H]}
    assert {node.op_type for node in model.graph.node} == {"LSTM", "Split", "Concat", "Transpose", "Reshape"}


def test_dropout_is_left_out(tmp_path):
    layer = make(nn, "GRU", {"num_layers": 2, "dropout": 0.5}).train()
    export_onnx(layer, tmp_path / "layer.onnx")
    x, states = random_input(layer)
    assert largest_difference(run_onnx(tmp_path / "layer.onnx", x, states), run(layer.eval(), x, states)) < 1e-5


def test_linear_before_reset_matters(tmp_path):
    """Without the attribute, the same file is another model, and nothing complains."""
    layer = make(nn, "GRU", {})
    export_onnx(layer, tmp_path / "layer.onnx")
    model = onnx.load(tmp_path / "layer.onnx")
    (node,) = [node for node in model.graph.node if node.op_type == "GRU"]
    (attribute,) = [one for one in node.attribute if one.name == "linear_before_reset"]
    node.attribute.remove(attribute)
    onnx.save(model, tmp_path / "other.onnx")
    x, states = random_input(layer)
    assert largest_difference(run_onnx(tmp_path / "other.onnx", x, states), run(layer, x, states)) > 0.1


@each_layer
@each_library
def test_from_onnx_weights(library, kind, arguments):
    layer = make(library, kind, arguments)
    weights = to_onnx_weights(layer)
    again = from_onnx_weights(weights, type(layer), **reset_argument(kind), **other_arguments(layer))
    assert type(again) is type(layer) and again.extra_repr() == layer.extra_repr()
    assert all(torch.equal(again.state_dict()[name], weight) for name, weight in layer.state_dict().items())


def test_layouts_are_those_that_onnx_documents():
    layer = make(nn, "GRU", CONTROLS["two layers, both directions"])
    shapes = [{key: array.shape for key, array in node.items()} for node in to_onnx_weights(layer)]
    assert shapes == [
        {"W": (2, 3 * H, D), "R": (2, 3 * H, H), "B": (2, 6 * H)},
        {"W": (2, 3 * H, 2 * H), "R": (2, 3 * H, H), "B": (2, 6 * H)},
    ]
    one = {"W": torch.zeros(1, 28, 5), "R": torch.zeros(1, 28, 7)}
    assert from_onnx_weights(one, nn.LSTM).num_layers == 1


def onnx_gru(tmp_path, weights, x, h_0):
    """Run a GRU's node that has no attribute but its size: linear_before_reset is then 0."""
    helper = onnx.helper
    inputs = [helper.make_tensor_value_info(name, 1, None) for name in ("X", "h_0")]
    outputs = [helper.make_tensor_value_info(name, 1, None) for name in ("Y", "h_n")]
    names = ["X", "W", "R", "B" if "B" in weights else "", "", "h_0"]
    node = helper.make_node("GRU", names, ["Y", "h_n"], hidden_size=H)
    tensors = [onnx.numpy_helper.from_array(array, key) for key, array in weights.items()]
    graph = helper.make_graph([node], "graph", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)
    onnx.save(model, tmp_path / "gru.onnx")
    found, h_n = run_onnx(tmp_path / "gru.onnx", x, [h_0])
    return [found[:, 0], h_n]


@pytest.mark.parametrize("bias", [True, False])
def test_a_gru_that_resets_before_moves_only_if_it_is_the_same(bias, tmp_path):
    (weights,) = to_onnx_weights(make(nn, "GRU", {"bias": bias}))
    with pytest.raises(ValueError, match=r"linear_before_reset=0: .* diagonal"):
        from_onnx_weights(weights, nn.GRU, linear_before_reset=0)
    weights["R"][:, 2 * H :] *= np.eye(H, dtype=np.float32)
    layer = from_onnx_weights(weights, nn.GRU, linear_before_reset=0)
    x, states = random_input(layer)
    assert largest_difference(run(layer, x, states), onnx_gru(tmp_path, weights, x, states[0])) < 1e-5


W, R, W_B = np.zeros((1, 28, 5)), np.zeros((1, 28, 7)), np.zeros((1, 56))
WRONG_ONNX = [
    ({"W": W, "R": R, "P": np.zeros((1, 21))}, nn.LSTM, {}, ValueError, "peepholes P"),
    ({"W": W}, nn.LSTM, {}, ValueError, r"weights\[0\] should hold W, R and, where there is one, B, got W"),
    ({"W": W, "R": R, "bias": W_B}, nn.LSTM, {}, ValueError, "got W, R, bias"),
    ({"W": W[0], "R": R[0]}, nn.LSTM, {}, ValueError, r"W in weights\[0\] should have 3 dimensions"),
    ({"W": np.zeros((3, 28, 5)), "R": R}, nn.LSTM, {}, ValueError, "1 or 2 directions first"),
    ({"W": W, "R": R, "B": W_B[:, :28]}, nn.LSTM, {}, ValueError, r"B in weights\[0\].*\(1, 56\).*\(1, 28\)"),
    ({"W": W, "R": R}, nn.RNN, {}, ValueError, r"\(1, 7, 5\) in this RNN, got \(1, 28, 5\)"),
    ([{"W": W, "R": R}, {"W": W, "R": R}], nn.LSTM, {}, ValueError, r"W in weights\[1\].*\(1, 28, 7\)"),
    ([{"W": W, "R": R, "B": W_B}, {"W": np.zeros((1, 28, 7)), "R": R}], nn.LSTM, {}, ValueError, r"weights\[1\].*B"),
    ([], nn.LSTM, {}, TypeError, "weights should be a list of dicts"),
    ([W, R], nn.LSTM, {}, TypeError, r"weights\[0\] should be a dict of W, R and B, got a ndarray"),
    ({"W": "W", "R": R}, nn.LSTM, {}, TypeError, r"W in weights\[0\] should be an array"),
    ({"W": np.zeros((1, 21, 5)), "R": np.zeros((1, 21, 7))}, nn.GRU, {}, TypeError, "linear_before_reset .* got None"),
    ({"W": W, "R": R}, nn.LSTM, {"linear_before_reset": 1}, ValueError, "linear_before_reset is an attribute of a GRU"),
    ({"W": W, "R": R}, nn.LSTM, {"bias": False}, TypeError, "bias should not be given"),
    ({"W": W, "R": R}, companion.SRU, {}, TypeError, "got SRU"),
]


@pytest.mark.parametrize("weights, kind, arguments, error, words", WRONG_ONNX)
def test_what_onnx_would_not_give(weights, kind, arguments, error, words):
    with pytest.raises(error, match=words):
        from_onnx_weights(weights, kind, **arguments)


# What no other layout holds


class ResetBefore(companion.GRU):
    def step(self, x, state, weight_hh, bias_hh):
        raise NotImplementedError


class Logged(companion.GRU):
    """Computes what GRU computes."""


class Doubled(nn.GRU):
    def forward(self, input, hx=None):
        return super().forward(2 * input, hx)


WRITERS = [cells_from_layer, to_keras, to_onnx_weights, lambda layer: export_onnx(layer, "never.onnx")]
OTHERS = [nn.Linear(3, 4), companion.SRU(3, 4), nn.GRUCell(3, 4), ResetBefore(3, 4), Doubled(3, 4), "GRU", None]


@pytest.mark.parametrize("convert", [*WRITERS, to_nn, to_companion])
@pytest.mark.parametrize("layer", OTHERS, ids=lambda layer: type(layer).__name__)
def test_what_is_no_such_layer_is_refused(convert, layer):
    with pytest.raises(TypeError, match=f"RNN, LSTM and GRU of torch.nn and companion.*got {type(layer).__name__}"):
        convert(layer)


def test_a_subclass_that_computes_the_same_is_taken():
    assert isinstance(to_nn(Logged(3, 4)), nn.GRU)
    assert len(to_keras(Logged(3, 4))[0]) == 3


@pytest.mark.parametrize("convert", WRITERS)
@each_library
def test_a_projection_is_refused(convert, library):
    with pytest.raises(ValueError, match=r"no projection.*got proj_size=2"):
        convert(library.LSTM(3, 4, proj_size=2))


@pytest.mark.parametrize("convert", WRITERS[1:])
def test_a_dtype_that_numpy_lacks_is_refused(convert):
    with pytest.raises(TypeError, match=r"torch\.bfloat16: try layer\.float\(\)"):
        convert(nn.GRU(3, 4).bfloat16())


# What need not be installed

WITHOUT_ONNX = """
import sys
sys.modules["onnx"] = sys.modules["onnxruntime"] = None  # as if they were not installed
import torch
from companion.onnx_layout import export_onnx, from_onnx_weights, to_onnx_weights
from_onnx_weights(to_onnx_weights(torch.nn.LSTM(3, 4)), torch.nn.LSTM)
try:
    export_onnx(torch.nn.LSTM(3, 4), "never.onnx")
except ModuleNotFoundError as error:
    print(error.name, "|", error)
"""


def test_without_onnx_only_the_export_is_missing(tmp_path):
    process = subprocess.run([sys.executable, "-c", WITHOUT_ONNX], capture_output=True, text=True, cwd=tmp_path)
    assert process.stdout == "onnx | export_onnx needs the package onnx: pip install onnx\n", process.stderr
    assert list(tmp_path.iterdir()) == []
