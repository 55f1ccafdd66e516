"""What anatomy says of a layer is what torch has: names, shapes, counts, rows, operations, over a grid of settings."""

import functools
import itertools
import json
import warnings
from html.parser import HTMLParser
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import companion
from companion.anatomy import KINDS, blueprint, count_parameters, explain, flops_per_step, shapes
from companion.layers import GRU, LSTM, RNN, RecurrentLayer
from companion.probes import record_gates
from companion.sru import SRU, SRUCell
from tests.strategies import cases, make_input, make_state, make_twins, run, unpack_state
from tests.test_bad_input import CONSTRUCTIONS, rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN", "ignore:dropout option adds dropout"
)

INPUT_SIZES, HIDDEN_SIZES, NUM_LAYERS = (1, 2, 4, 5), (1, 2, 4, 5), (1, 2, 3, 4)
FLAGS = [
    {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    for bias, batch_first, bidirectional in itertools.product([True, False], repeat=3)
]
OWN = {
    "RNN": lambda H: [{"nonlinearity": "tanh"}, {"nonlinearity": "relu"}],
    "GRU": lambda H: [{}],
    "LSTM": lambda H: [{"proj_size": P} for P in sorted({0, 1, H - 1}) if P < H],
}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def grid(kind, num_layers):
    """Every setting of the grid: the two sizes, and the other arguments."""
    for D, H, flags in itertools.product(INPUT_SIZES, HIDDEN_SIZES, FLAGS):
        for own in OWN[kind](H):
            yield (D, H), {"num_layers": num_layers, **flags, **own}


def a_shape(setting, D):
    """An input shape for the setting, with and without a batch in turns, T and B unlike each other and the rest."""
    T, B = 2, 3
    if (D + setting["num_layers"]) % 2:
        return (T, D)
    return (B, T, D) if setting["batch_first"] else (T, B, D)


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def assert_true_of(explanation, layer, input_shape):
    """The explanation agrees with the layer's weights, and with what it gives for such an input."""
    assert {weight.name: weight.shape for weight in explanation.weights} == shapes_of(layer.state_dict())
    assert [weight.name for weight in explanation.weights] == list(layer.state_dict())
    assert [weight.count for weight in explanation.weights] == [weight.numel() for weight in layer.parameters()]
    assert explanation.count == sum(weight.numel() for weight in layer.parameters())
    with torch.no_grad():
        output, final = layer(torch.zeros(input_shape))
    assert explanation.input == input_shape
    assert explanation.output == tuple(output.shape)
    assert list(explanation.states.values()) == [tuple(part.shape) for part in unpack_state(final)]


# The grid


@pytest.mark.parametrize("num_layers", NUM_LAYERS)
@pytest.mark.parametrize("kind", OWN)
def test_every_setting_agrees_with_torch(kind, num_layers):
    for sizes, setting in grid(kind, num_layers):
        layer, input_shape = getattr(nn, kind)(*sizes, **setting), a_shape(setting, sizes[0])
        explanation = explain(layer, input_shape)
        assert_true_of(explanation, layer, input_shape)
        names = ["h_n", "c_n"] if kind == "LSTM" else ["h_n"]
        assert list(explanation.states) == names
        found = shapes(kind, *sizes, input_shape=input_shape, **setting)
        assert found.weights == shapes_of(layer.state_dict())
        assert found[1:] == (explanation.input, explanation.output, explanation.states)
        for weight in explanation.weights:
            stops = [block.stop for block in weight.blocks]
            assert [block.start for block in weight.blocks] == [0, *stops[:-1]] and stops[-1] == weight.shape[0]
            assert len(stops) == (1 if "weight_hr" in weight.name else GATES[kind])
        assert repr(blueprint(kind, *sizes, **setting)) == repr(layer)


@pytest.mark.parametrize("num_layers", NUM_LAYERS)
@pytest.mark.parametrize("kind", OWN)
def test_counts_are_torchs_and_those_of_the_formulas(kind, num_layers):
    for (D, H), setting in grid(kind, num_layers):
        layer = getattr(nn, kind)(D, H, device="meta", **setting)
        G, S, P = GATES[kind], 2 if setting["bidirectional"] else 1, setting.get("proj_size", 0)
        width = P or H
        features = [D] + [S * width] * (num_layers - 1)
        matrices = sum(S * (G * H * (read + width) + P * H) for read in features)
        biases = num_layers * S * 2 * G * H if setting["bias"] else 0
        count = count_parameters(kind, D, H, **setting)
        assert count == sum(weight.numel() for weight in layer.parameters()) == matrices + biases
        assert flops_per_step(kind, D, H, **setting) == 2 * matrices


def test_the_grid_holds_2000_settings():
    assert sum(1 for kind in OWN for num_layers in NUM_LAYERS for _ in grid(kind, num_layers)) >= 2000


SRU_GRID = [
    {"num_layers": L, "bias": bias, "bidirectional": both, "layer_norm": norm, "projection_size": P}
    for L, bias, both, norm, P in itertools.product((1, 2, 3), (True, False), (True, False), (True, False), (0, 1, 2))
]


@pytest.mark.parametrize("sizes", [(3, 3), (6, 3), (4, 5)])
def test_every_sru_of_a_grid_is_explained(sizes):
    for setting in SRU_GRID:
        layer, input_shape = SRU(*sizes, **setting), (2, 7, sizes[0])
        explanation = explain(layer, input_shape)
        assert_true_of(explanation, layer, input_shape)
        assert list(explanation.states) == ["c_n"]
        assert count_parameters("SRU", *sizes, **setting) == explanation.count
        for weight in explanation.weights:
            assert weight.blocks[0].start == 0 and weight.blocks[-1].stop == weight.shape[0]


@settings(max_examples=200)
@given(cases())
def test_drawn_layers_give_the_shapes_foretold(case):
    for layer in make_twins(case):
        x = make_input(case)
        output, final = run(layer, case, x, make_state(case))
        explanation = explain(layer, tuple(x.shape))
        assert explanation.output == tuple(output.shape)
        assert list(explanation.states.values()) == [tuple(part.shape) for part in final]
        assert explanation.count == sum(weight.numel() for weight in layer.parameters())


@given(st.sampled_from(["RNNCell", "GRUCell", "LSTMCell"]), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_cells_are_explained(kind, D, H, bias):
    for library in (nn, companion):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights without elements
            cell = getattr(library, kind)(D, H, bias)
        for input_shape in ((D,), (3, D)):
            state = unpack_state(cell(torch.zeros(input_shape)))
            explanation = explain(cell, input_shape)
            assert {weight.name: weight.shape for weight in explanation.weights} == shapes_of(cell.state_dict())
            assert explanation.output == tuple(state[0].shape)
            assert explanation.states == {name: tuple(part.shape) for name, part in zip("hc", state, strict=False)}
        assert count_parameters(kind, D, H, bias) == sum(weight.numel() for weight in cell.parameters())


@pytest.mark.parametrize("sizes", [(4, 4), (3, 4)])
def test_an_sru_cell_is_explained(sizes):
    cell = SRUCell(*sizes)
    output, state = cell(torch.zeros(2, sizes[0]))
    explanation = explain(cell, (2, sizes[0]))
    assert explanation.output == tuple(output.shape) and explanation.states == {"c": tuple(state.shape)}
    assert len(explanation.weights[0].blocks) == (3 if sizes == (4, 4) else 4)


def test_sizes_that_are_not_known_stay_letters():
    explanation = explain(nn.LSTM(3, 4, batch_first=True, bidirectional=True))
    assert explanation.input == ("B", "T", 3) and explanation.output == ("B", "T", 8)
    assert explanation.states == {"h_n": (2, "B", 4), "c_n": (2, "B", 4)}
    assert explanation.axes["output"] == "(B, T, S * H)"
    assert explain(nn.GRUCell(3, 4)).states == {"h": ("B", 4)}


@pytest.mark.parametrize(
    "kind, options",
    [
        ("RNN", {}),
        ("GRU", {"num_layers": 2, "bidirectional": True}),
        ("LSTM", {"num_layers": 3, "bias": False}),
        ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
        ("SRU", {"num_layers": 2}),
        ("SRU", {"num_layers": 2, "bidirectional": True, "projection_size": 2}),
    ],
)
def test_operations_are_those_that_torch_counts(kind, options):
    layer, (T, B) = KINDS[kind](3, 4, **options), (5, 2)
    layer.by_hand = None  # its products write into memory it has, and torch's counter passes over those
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(T, B, 3))
    assert counter.get_total_flops() == T * B * flops_per_step(kind, 3, 4, **options)
    assert explain(layer).flops_per_step == flops_per_step(kind, 3, 4, **options)


# From arguments alone


def test_a_plan_needs_no_memory_and_no_random_numbers():
    state = torch.random.get_rng_state()
    assert count_parameters("LSTM", 10**6, 10**6) == 8 * 10**12 + 8 * 10**6
    assert all(weight.is_meta for weight in blueprint(nn.GRU, 3, 4, device="cpu").parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_kinds_are_names_or_classes():
    for kind in ("GRU", GRU, nn.GRU):
        assert count_parameters(kind, 3, 4) == 3 * 4 * (3 + 4 + 2)
    with pytest.raises(ValueError, match="kind should be one of RNN, LSTM"):
        count_parameters("gru", 3, 4)
    for wrong in (nn.Linear, nn.GRU(3, 4), 3):
        with pytest.raises(TypeError, match="kind should be a recurrent layer"):
            count_parameters(wrong, 3, 4)


@rows(CONSTRUCTIONS)
@pytest.mark.parametrize("function", [count_parameters, shapes, flops_per_step])
def test_wrong_arguments_raise_what_nn_raises(function, kind, act, name):
    with pytest.raises(Exception) as theirs:
        act(getattr(nn, kind), kind)
    with pytest.raises(theirs.type, match=name):
        act(functools.partial(function, kind), kind)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("wrong", [(5, 2, 4), (5, 2, 0), (2,), (3,), (2, 2, 2, 3), (), (0, 3), (0, 2, 3), (2, 0, 3)])
def test_wrong_input_shapes_raise_what_nn_raises(kind, batch_first, wrong):
    layer = getattr(nn, kind)(3, 4, batch_first=batch_first)
    try:
        output, _ = layer(torch.zeros(wrong))
    except Exception as error:
        with pytest.raises(type(error), match="input_shape"):
            explain(layer, wrong)
    else:
        assert explain(layer, wrong).output == tuple(output.shape)


@pytest.mark.parametrize("wrong", [(2, 4), (2, 2, 3), ()])
def test_wrong_input_shapes_of_a_cell(wrong):
    with pytest.raises(Exception) as theirs:
        nn.GRUCell(3, 4)(torch.zeros(wrong))
    with pytest.raises(theirs.type, match="input_shape"):
        explain(nn.GRUCell(3, 4), wrong)


def test_what_is_no_shape_and_no_layer():
    for wrong in (5, (5.0, 3), "5,3", torch.zeros(5, 3)):
        with pytest.raises(TypeError, match="input_shape should be a sequence of ints"):
            explain(nn.GRU(3, 4), wrong)
    with pytest.raises(ValueError, match="below zero"):
        explain(nn.GRU(3, 4), (-1, 3))
    with pytest.raises(TypeError, match=r"layer or cell .* got a LanguageModel \(try its layer\)"):
        explain(companion.LanguageModel(GRU(3, 4), 5))
    for wrong in (nn.Linear(3, 4), nn.GRU, "GRU"):
        with pytest.raises(TypeError, match="layer should be a recurrent layer or cell"):
            explain(wrong)


# The rows are what they are called


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_a_block_of_rows_moves_its_own_gate_only(kind):
    torch.manual_seed(0)
    layer = kind(3, 4)
    nn.init.zeros_(layer.bias_hh_l0)  # from a state of zeros, a GRU's candidate then does not feel its reset gate
    x = torch.randn(1, 2, 3)
    before = record_gates(layer, x)["l0"]
    gates = before.keys() - {"h", "c"}
    blocks = {weight.name: weight.blocks for weight in explain(layer).weights}["weight_ih_l0"]
    assert {block.name for block in blocks} == gates
    for block in blocks:
        with torch.no_grad():
            layer.weight_ih_l0[block.start : block.stop] += 1
        after = record_gates(layer, x)["l0"]
        assert {gate for gate in gates if not torch.equal(before[gate], after[gate])} == {block.name}
        before = after


@pytest.mark.parametrize("D", [4, 3])
def test_the_rows_of_an_sru(D):
    """An open forget gate keeps the state; else the candidate is written; a shut reset gate shows the highway."""
    torch.manual_seed(0)
    layer, x, c_0 = SRU(D, 4), torch.randn(1, 2, D), torch.rand(1, 2, 4) + 1
    rows_of = {
        (weight.name, block.name): layer.get_parameter(weight.name).detach()[block.start : block.stop]
        for weight in explain(layer).weights
        for block in weight.blocks
    }
    for gate in ("forget", "reset"):
        rows_of["weight_ih_l0", gate].zero_()
        rows_of["weight_c_l0", gate].zero_()
    rows_of["bias_ih_l0", "forget"].fill_(100)
    torch.testing.assert_close(layer(x, c_0)[1], c_0)
    rows_of["bias_ih_l0", "forget"].fill_(-100)
    torch.testing.assert_close(layer(x, c_0)[1], x @ rows_of["weight_ih_l0", "candidate"].T)
    rows_of["weight_c_l0", "forget"].fill_(200)  # times a state of 1 or more
    torch.testing.assert_close(layer(x, c_0)[1], c_0)
    rows_of["bias_ih_l0", "reset"].fill_(-100)
    highway = x if D == 4 else x @ rows_of["weight_ih_l0", "highway"].T
    torch.testing.assert_close(layer(x, c_0)[0], highway)
    rows_of["weight_c_l0", "reset"].fill_(200)
    torch.testing.assert_close(*layer(x, c_0))


def test_the_reset_rows_of_an_sru_read_the_input_for_the_output_only():
    torch.manual_seed(0)
    layer, x, c_0 = SRU(3, 4), torch.randn(1, 2, 3), torch.randn(1, 2, 4)
    blocks = {block.name: slice(block.start, block.stop) for block in explain(layer).weights[0].blocks}
    before = layer(x, c_0)
    for gate, moves_the_state in (("reset", False), ("forget", True)):
        with torch.no_grad():
            layer.weight_ih_l0[blocks[gate]] += 1
        after = layer(x, c_0)
        assert not torch.equal(before[0], after[0])
        assert torch.equal(before[1], after[1]) != moves_the_state


# A layer of your own


class Own(RecurrentLayer):
    num_gates = 2

    def step(self, x, state, weight_hh, bias_hh, *rest):
        return (torch.tanh(x + state[0] @ weight_hh.T).chunk(2, -1)[0],)


class Named(Own):
    row_names = ("keep", "n")


class Extra(Own):
    row_names: ClassVar = {"weight_ih": ("keep", "n"), "weight_peephole": ("keep",)}

    @property
    def extra_weights(self):
        return {"weight_peephole": (self.hidden_size,), "weight_mix": (7, 2)}


def block_names(layer):
    return {weight.name: [block.name for block in weight.blocks] for weight in explain(layer).weights}


def test_a_layer_of_your_own_is_explained():
    layer = Own(3, 4)
    assert block_names(layer) == {name: ["block 1", "block 2"] for name in layer.state_dict()}
    layer = Named(3, 4, num_layers=2, bidirectional=True)
    assert block_names(layer) == {name: ["keep", "n"] for name in layer.state_dict()}
    assert_true_of(explain(layer, (5, 2, 3)), layer, (5, 2, 3))
    assert count_parameters(Named, 3, 4) == explain(Named(3, 4)).count
    assert "keep keep" not in repr(explain(layer)) and "n candidate" in repr(explain(layer))


def test_weights_that_nn_lacks_are_explained():
    layer = Extra(3, 4, bias=False)
    expected = {"weight_ih_l0": ["keep", "n"], "weight_hh_l0": [], "weight_peephole_l0": ["keep"], "weight_mix_l0": []}
    assert block_names(layer) == expected
    assert_true_of(explain(layer, (5, 2, 3)), layer, (5, 2, 3))
    assert flops_per_step(Extra, 3, 4, bias=False) == 2 * (8 * 3 + 8 * 4 + 7 * 2)


def test_names_that_do_not_fit_are_not_used():
    class Coupled(LSTM):
        num_gates = 3

    assert block_names(Coupled(3, 4))["weight_ih_l0"] == ["block 1", "block 2", "block 3"]
    assert block_names(type("Mine", (LSTM,), {})(3, 4))["weight_ih_l0"] == ["i", "f", "g", "o"]


# What it looks like

TABLE = """GRU(2, 3)

weight        shape   count  rows
------------------------------------------------
weight_ih_l0  (9, 2)     18  r 0:3, z 3:6, n 6:9
weight_hh_l0  (9, 3)     27  r 0:3, z 3:6, n 6:9
bias_ih_l0    (9,)        9  r 0:3, z 3:6, n 6:9
bias_hh_l0    (9,)        9  r 0:3, z 3:6, n 6:9
all weights              63

tensor  shape      axes
--------------------------------
input   (5, 7, 2)  (T, B, D)
output  (5, 7, 3)  (T, B, S * H)
h_n     (1, 7, 3)  (S * L, B, H)

Rows: r reset gate, z update gate, n candidate.
Axes: T time steps, B batch, D input_size, H hidden_size, S directions, L num_layers.
One time step of one sequence: 90 operations in products with a matrix."""


def test_the_table_in_a_terminal():
    found, expected = repr(explain(nn.GRU(2, 3), (5, 7, 2))).splitlines(), TABLE.splitlines()
    assert found == expected
    assert str(explain(GRU(2, 3), (5, 7, 2))) == "\n".join(found)


class Reader(HTMLParser):
    """Takes the tables of a page apart: captions, and rows of (tag, scope, text)."""

    def __init__(self, html):
        super().__init__()
        self.captions, self.rows, self.open, self.tags = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append([tag, dict(attributes).get("scope"), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == "caption":
            self.captions.append(text)
        elif self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1][2] += text


def test_the_table_in_a_notebook():
    explanation = explain(LSTM(20, 40, 2, bidirectional=True), (5, 10, 20))
    html = explanation._repr_html_()
    page = Reader(html)
    assert page.open == [] and page.captions[0].startswith("Weights of LSTM(20, 40") and len(page.captions) == 2
    heads = [row for row in page.rows if row[1][0] == "th"]
    bodies = [row for row in page.rows if row[1][0] == "td"]
    assert len(heads) == 2 and len(bodies) == 16 + 1 + 4
    assert all(scope == "col" and text for row in heads for _, scope, text in row)
    assert all(row[0][:2] == ["th", "row"] and row[0][2] for row in bodies)
    texts = [[cell[2] for cell in row] for row in bodies]
    assert texts[0] == ["weight_ih_l0", "(160, 20)", "3,200", "i 0:40, f 40:80, g 80:120, o 120:160"]
    assert texts[16][2] == f"{explanation.count:,}" and texts[-1] == ["c_n", "(4, 10, 40)", "(S * L, B, H)"]
    assert {style for _, attributes in page.tags if (style := attributes.get("style"))} == {
        "text-align: left",
        "text-align: right",
    }


def test_names_are_escaped():
    class Odd(Own):
        row_names = ("<b>", "a & b")

        def extra_repr(self):
            return "<script>"

    html = explain(Odd(3, 4))._repr_html_()
    assert "<script>" not in html and "<b>" not in html and "&lt;b&gt; 0:4, a &amp; b 4:8" in html


def test_the_dict_is_for_programs():
    explanation = explain(nn.LSTM(3, 4, proj_size=2), (5, 2, 3))
    plain = explanation.to_dict()
    assert plain == explain(LSTM(3, 4, proj_size=2), (5, 2, 3)).to_dict()
    assert json.loads(json.dumps(plain))["states"] == {"h_n": [1, 2, 2], "c_n": [1, 2, 4]}
    assert plain["count"] == explanation.count and plain["output"] == (5, 2, 2)
    assert plain["states"] == {"h_n": (1, 2, 2), "c_n": (1, 2, 4)}
    first = plain["weights"][0]
    assert (first["name"], first["shape"], first["count"]) == ("weight_ih_l0", (16, 3), 48)
    assert first["blocks"][1] == {"name": "f", "meaning": "forget gate", "start": 4, "stop": 8}
    plain["states"].clear()
    assert explanation.states


def test_explaining_leaves_the_layer_alone():
    layer = RNN(3, 4)
    before, attributes = {name: weight.clone() for name, weight in layer.state_dict().items()}, set(vars(layer))
    explain(layer, (5, 2, 3))
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)
    assert set(vars(layer)) == attributes
