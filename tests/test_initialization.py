"""First values: forget gates opened in every layer and direction, orthogonal and identity blocks."""

import pytest
import torch
from torch import nn

import companion
from companion.initialization import identity_, orthogonal_, set_forget_bias
from companion.layers import GRU, LSTM, RNN, RecurrentLayer
from companion.probes import record_gates
from companion.sru import SRU, SRUCell

STACKED = {"num_layers": 3, "bidirectional": True}
FUNCTIONS = pytest.mark.parametrize("function", [set_forget_bias, orthogonal_, identity_])


class OneBias(RecurrentLayer):
    """A layer whose weights are named otherwise: no second bias, and a forget gate in the last block of rows."""

    num_gates = 2
    row_names = ("n", "f")

    def _kinds(self, features):
        return {name: shape for name, shape in super()._kinds(features).items() if name != "bias_ih"}


def others(layer, changed):
    return {name: weight.clone() for name, weight in layer.state_dict().items() if not name.startswith(changed)}


# The forget bias


@pytest.mark.parametrize("library", [nn, companion], ids=["nn", "companion"])
@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("value", [1.0, 0, -2.5, 3])
def test_both_biases_add_up_to_the_value_everywhere(library, proj_size, value):
    layer, H = library.LSTM(3, 4, proj_size=proj_size, **STACKED), 4
    before = {name: weight.clone() for name, weight in layer.state_dict().items()}
    assert set_forget_bias(layer, value) is layer
    assert len(layer.all_weights) == 6
    for _, _, bias_ih, bias_hh, *_ in layer.all_weights:
        assert ((bias_ih + bias_hh)[H : 2 * H] == value).all()
    for name, weight in layer.state_dict().items():
        kept = torch.ones(len(weight), dtype=torch.bool)
        if name.startswith("bias"):
            kept[H : 2 * H] = False
        assert torch.equal(weight[kept], before[name][kept]), name


def test_the_gates_stand_where_the_value_says():
    """Read zeros from a state of zeros: what is left is the bias."""
    layer = set_forget_bias(nn.LSTM(3, 4, bidirectional=True), 3.0)
    for place in record_gates(layer, torch.zeros(1, 2, 3)).values():
        torch.testing.assert_close(place["f"], torch.full((1, 2, 4), 3.0).sigmoid())


@pytest.mark.parametrize("cell", [nn.LSTMCell(3, 4), companion.LSTMCell(3, 4)])
def test_the_forget_bias_of_a_cell(cell):
    set_forget_bias(cell, 2.0)
    assert ((cell.bias_ih + cell.bias_hh)[4:8] == 2).all() and cell.bias_ih[4:8].tolist() == [2.0] * 4


def test_the_forget_bias_of_an_sru():
    layer = set_forget_bias(SRU(3, 4, highway_bias=-1.0, **STACKED), 2.0)
    biases = [weight for name, weight in layer.named_parameters() if name.startswith("bias")]
    assert len(biases) == 6 and all(bias.tolist() == [2.0] * 4 + [-1.0] * 4 for bias in biases)
    assert set_forget_bias(SRUCell(3, 4)).bias_ih.tolist() == [1.0] * 4 + [0.0] * 4


def test_a_layer_with_one_bias():
    layer = set_forget_bias(OneBias(3, 4, 2), 1.5)
    for bias in (layer.bias_hh_l0, layer.bias_hh_l1):
        assert (bias[4:] == 1.5).all() and not (bias[:4] == 1.5).any()


@pytest.mark.parametrize("layer", [nn.GRU(3, 4), GRU(3, 4), RNN(3, 4), nn.GRUCell(3, 4)])
def test_no_forget_gate(layer):
    with pytest.raises(TypeError, match=r"layer should have a forget gate, .* got a \w*(GRU|RNN)"):
        set_forget_bias(layer)


@pytest.mark.parametrize("layer", [nn.LSTM(3, 4, bias=False), SRU(3, 4, bias=False), companion.LSTMCell(3, 4, False)])
def test_no_bias(layer):
    with pytest.raises(ValueError, match="layer should have biases"):
        set_forget_bias(layer)


# The recurrent weights


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM, RNN, GRU, LSTM])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_every_block_is_orthogonal(make, gain):
    layer, H = make(3, 4, **STACKED), 4
    before = others(layer, "weight_hh")
    assert orthogonal_(layer, gain) is layer
    blocks = [block for _, weight_hh, *_ in layer.all_weights for block in weight_hh.split(H)]
    assert len(blocks) == 6 * layer.weight_hh_l0.shape[0] // H
    for block in blocks:
        torch.testing.assert_close(block.T @ block, gain**2 * torch.eye(H))
    assert len({tuple(block.flatten().tolist()) for block in blocks}) == len(blocks)
    torch.testing.assert_close(others(layer, "weight_hh"), before, rtol=0, atol=0)


@pytest.mark.parametrize("make", [nn.LSTM, LSTM])
def test_blocks_of_a_projection_have_orthonormal_columns(make):
    layer = orthogonal_(make(3, 4, proj_size=2))
    assert layer.weight_hh_l0.shape == (16, 2)
    for block in layer.weight_hh_l0.split(4):
        torch.testing.assert_close(block.T @ block, torch.eye(2))


def test_what_a_whole_orthogonal_matrix_does_to_its_blocks():
    """Its columns have length 1 over all four blocks, so that a block keeps about half of a state's length."""
    torch.manual_seed(0)
    whole, h = nn.init.orthogonal_(torch.empty(400, 100)), torch.randn(100)
    for block in whole.split(100):
        assert 0.4 < (block @ h).norm() / h.norm() < 0.6
    for block in orthogonal_(nn.LSTM(3, 100)).weight_hh_l0.split(100):
        torch.testing.assert_close((block @ h).norm(), h.norm())


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM, RNN, GRU, LSTM])
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_every_block_is_the_identity(make, gain):
    layer = make(3, 4, **STACKED)
    before = others(layer, "weight_hh")
    assert identity_(layer, gain) is layer
    for _, weight_hh, *_ in layer.all_weights:
        assert all(torch.equal(block, gain * torch.eye(4)) for block in weight_hh.split(4))
    torch.testing.assert_close(others(layer, "weight_hh"), before, rtol=0, atol=0)


def test_an_irnn_keeps_its_state():
    layer = identity_(nn.RNN(3, 4, nonlinearity="relu", bias=False))
    h_0 = torch.rand(1, 2, 4)
    assert torch.equal(layer(torch.zeros(50, 2, 3), h_0)[1], h_0)


def test_the_identity_of_a_projection_is_refused():
    layer = LSTM(3, 4, proj_size=2)
    before = layer.weight_hh_l0.clone()
    with pytest.raises(ValueError, match=r"square blocks in weight_hh, got .* \(4, 2\)"):
        identity_(layer)
    assert torch.equal(layer.weight_hh_l0, before)


@pytest.mark.parametrize("function", [orthogonal_, identity_])
def test_cells_half_precision_and_layers_without_a_matrix(function):
    assert function(nn.GRUCell(3, 4)).weight_hh.shape == (12, 4)
    layer = function(nn.LSTM(3, 4, dtype=torch.bfloat16))
    block = layer.weight_hh_l0[:4].float()
    torch.testing.assert_close(block.T @ block, torch.eye(4), atol=2e-2, rtol=0)
    for without in (SRU(3, 4), SRUCell(3, 4)):
        with pytest.raises(TypeError, match="layer should have a recurrent matrix weight_hh, got a SRU"):
            function(without)


# All three


@FUNCTIONS
def test_weights_stay_parameters_that_learn(function):
    layer = function(nn.LSTM(3, 4))
    assert all(weight.is_leaf and weight.requires_grad for weight in layer.parameters())
    layer(torch.randn(5, 2, 3))[0].sum().backward()
    assert all(weight.grad is not None for weight in layer.parameters())


@FUNCTIONS
@pytest.mark.parametrize("wrong, error", [("1", TypeError), (True, TypeError), (None, TypeError), (1e400, ValueError)])
def test_wrong_numbers(function, wrong, error):
    layer = LSTM(3, 4)
    before = others(layer, "none")
    with pytest.raises(error, match=r"(value|gain) should be"):
        function(layer, wrong)
    torch.testing.assert_close(others(layer, "none"), before, rtol=0, atol=0)


@FUNCTIONS
def test_wrong_layers(function):
    with pytest.raises(TypeError, match=r"layer should be a recurrent layer or cell .* got a Linear"):
        function(nn.Linear(3, 4))


def test_rows_named_so_are_opened_and_others_are_not():
    class Unnamed(OneBias):
        row_names = ()

    with pytest.raises(TypeError, match=r"rows named 'f' in its row_names, got a Unnamed"):
        set_forget_bias(Unnamed(3, 4))
    assert (set_forget_bias(OneBias(3, 4)).bias_hh_l0[4:] == 1).all()
