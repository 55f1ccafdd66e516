"""Final states by layer and direction, and the last valid step, against layers that run alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import companion
from companion.layers import GRU, LSTM, RNN
from companion.sru import SRU
from companion.states import Directions, last_valid, split_states
from tests.strategies import cases, make_input, make_state, make_twins, pack, run

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


# Split by layer and direction


@settings(max_examples=200)
@given(cases())
def test_every_part_is_where_torch_says(case):
    """h_n.view(num_layers, D, B, H), as nn documents it."""
    L, S = case.arguments["num_layers"], 2 if case.arguments["bidirectional"] else 1
    for layer in make_twins(case):
        _, final = run(layer, case, make_input(case), make_state(case))
        views = [part.view(L, S, *part.shape[1:]) for part in final]
        states = split_states(final if case.kind == "LSTM" else final[0], layer)
        assert len(states) == L
        for number, state in enumerate(states):
            for direction, part in enumerate(state[:S]):
                parts = part if case.kind == "LSTM" else (part,)
                for found, view in zip(parts, views, strict=True):
                    assert torch.equal(found, view[number, direction])
            assert S == 2 or state.reverse is None


@pytest.mark.parametrize("library", [nn, companion], ids=["nn", "companion"])
def test_the_top_states_are_outputs(library):
    layer, H = library.GRU(3, 4, 2, bidirectional=True), 4
    output, h_n = layer(torch.randn(5, 2, 3))
    top = split_states(h_n, layer)[1]
    assert torch.equal(top.forward, output[-1, :, :H]) and torch.equal(top.reverse, output[0, :, H:])
    assert torch.equal(torch.cat(top, -1), torch.cat([*h_n[-2:]], -1))


def test_a_pair_goes_into_a_cell():
    layer = LSTM(3, 4, 2)
    cell, x = nn.LSTMCell(3, 4), torch.randn(6, 2, 3)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in layer.state_dict().items() if name.endswith("l0")})
    _, final = layer(x[:5])
    h, c = cell(x[5], split_states(final, layer)[0].forward)
    _, (h_n, c_n) = layer(x)
    torch.testing.assert_close((h, c), (h_n[0], c_n[0]))


def test_one_part_of_a_pair_and_the_state_of_an_sru():
    layer = nn.LSTM(3, 4, 2, proj_size=2)
    _, (h_n, c_n) = layer(torch.randn(5, 3))
    assert [state.forward.shape for state in split_states(h_n, layer)] == [(2,), (2,)]
    assert [state.forward.shape for state in split_states(c_n, layer)] == [(4,), (4,)]
    layer = SRU(3, 4, 2, bidirectional=True)
    _, c_n = layer(torch.randn(5, 2, 3))
    assert torch.equal(split_states(c_n, layer)[1].forward, c_n[2])


def test_gradients_flow_to_one_direction_only():
    layer = GRU(3, 4, bidirectional=True)
    _, h_n = layer(torch.randn(5, 2, 3))
    split_states(h_n, layer)[0].reverse.sum().backward()
    assert layer.weight_hh_l0_reverse.grad.any() and not layer.weight_hh_l0.grad.any()


def test_directions_read_well():
    assert Directions(1).reverse is None and Directions(1, 2) == (1, 2)


@pytest.mark.parametrize(
    "wrong, error",
    [
        (torch.zeros(3, 2, 4), ValueError),
        (torch.zeros(2, 2, 5), ValueError),
        (torch.zeros(4), ValueError),
        (torch.zeros(2, 1, 2, 4), ValueError),
        ((torch.zeros(2, 2, 4),) * 2, ValueError),
        ((torch.zeros(2, 2, 4),), ValueError),
        ([1, 2], TypeError),
        (None, TypeError),
    ],
)
def test_wrong_states(wrong, error):
    with pytest.raises(error, match="h_n"):
        split_states(wrong, nn.GRU(3, 4, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        (torch.zeros(1, 2, 2),),
        (torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)),
        (torch.zeros(1, 2, 4), torch.zeros(1, 2, 2)),
        (torch.zeros(1, 2, 2), torch.zeros(1, 3, 4)),
        (torch.zeros(1, 2, 2), torch.zeros(1, 4)),
    ],
)
def test_wrong_pairs(wrong):
    with pytest.raises(ValueError, match="h_n"):
        split_states(wrong, LSTM(3, 4, proj_size=2))


def test_a_cell_has_nothing_to_split():
    with pytest.raises(TypeError, match=r"recurrent layer of companion or torch\.nn, got a GRUCell"):
        split_states(torch.zeros(2, 4), nn.GRUCell(3, 4))


# The last valid step


@settings(max_examples=100)
@given(cases(forms=("packed",)))
def test_it_is_the_final_state_of_the_forward_direction(case):
    """A packed run ends every sequence at its own last step: h_n is right by construction."""
    for layer in make_twins(case):
        packed, final = layer(pack(case, make_input(case)))
        output, lengths = pad_packed_sequence(packed, case.batch_first)
        last = last_valid(output, lengths, case.batch_first)
        h_n = final[0] if case.kind == "LSTM" else final
        S = 2 if case.arguments["bidirectional"] else 1
        assert torch.equal(last[:, : h_n.shape[-1]], h_n[-S])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans(), st.sampled_from([torch.int32, torch.int64]))
def test_it_is_each_sequence_run_alone(lengths, batch_first, dtype):
    layer, x = RNN(3, 4), torch.randn(6, len(lengths), 3)
    output, _ = layer(x)
    padded = output.transpose(0, 1) if batch_first else output
    found = last_valid(padded, torch.tensor(lengths, dtype=dtype), batch_first)
    alone = [layer(x[:length, number])[0][-1] for number, length in enumerate(lengths)]
    torch.testing.assert_close(found, torch.stack(alone))


def test_gradients_flow_to_the_last_valid_steps_only():
    output = torch.randn(5, 3, 4, requires_grad=True)
    last_valid(output, torch.tensor([5, 1, 3])).sum().backward()
    reached = output.grad.any(-1)
    assert reached.nonzero().tolist() == [[0, 1], [2, 2], [4, 0]]


def test_scores_without_features():
    assert last_valid(torch.arange(6.0).view(3, 2), torch.tensor([3, 1])).tolist() == [4.0, 1.0]


@pytest.mark.parametrize(
    "lengths, error",
    [
        (torch.tensor([5, 0]), ValueError),
        (torch.tensor([6, 1]), ValueError),
        (torch.tensor([-1, 1]), ValueError),
        (torch.tensor([5, 5, 5]), ValueError),
        (torch.tensor([5]), ValueError),
        (torch.tensor([], dtype=torch.long), ValueError),
        (torch.tensor([5.0, 1.0]), TypeError),
        (torch.tensor([[5, 1]]), TypeError),
        ([5, 1], TypeError),
    ],
)
def test_wrong_lengths(lengths, error):
    with pytest.raises(error, match="lengths should"):
        last_valid(torch.zeros(5, 2, 3), lengths)


def test_wrong_outputs():
    lengths = torch.tensor([2, 1])
    with pytest.raises(ValueError, match="output should have time and batch"):
        last_valid(torch.zeros(5), lengths)
    packed = pack_padded_sequence(torch.zeros(2, 2, 3), lengths)
    for wrong in (packed, [[1.0]]):
        with pytest.raises(TypeError, match="output should be a padded tensor"):
            last_valid(wrong, lengths)
