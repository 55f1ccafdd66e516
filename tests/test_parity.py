"""Our layers against nn's over 40 steps in single precision, from a random state and with random biases.

Over a single step from a zero state a wrong GRU passes: see the last tests.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

import companion
from tests.strategies import FORMS, Case, assert_same, compute, make_input, make_state, make_twins, pack_state

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
STACKED = {"num_layers": 2, "bidirectional": True}
LAYERS = {
    "RNN": ("RNN", {}),
    "RNN relu": ("RNN", {"nonlinearity": "relu", "batch_first": True}),
    "RNN stacked": ("RNN", STACKED),
    "GRU": ("GRU", {}),
    "GRU without bias": ("GRU", {"bias": False, "batch_first": True}),
    "GRU stacked": ("GRU", STACKED),
    "LSTM": ("LSTM", {}),
    "LSTM without bias": ("LSTM", {"bias": False, "batch_first": True}),
    "LSTM stacked": ("LSTM", STACKED),
    "LSTM projected": ("LSTM", {"proj_size": 5}),
    "LSTM projected and stacked": ("LSTM", STACKED | {"proj_size": 5}),
}
LENGTHS = {"2-D": (40,), "3-D": (40,) * 6, "packed": (37, 12, 40, 1, 40, 25)}

each_layer = pytest.mark.parametrize("kind, arguments", LAYERS.values(), ids=LAYERS)
each_form = pytest.mark.parametrize("form", FORMS)


def make_case(kind, arguments, form="3-D", **choices):
    return Case(kind, arguments, input_size=10, hidden_size=16, form=form, lengths=LENGTHS[form], **choices)


@each_layer
@each_form
def test_40_steps_in_single_precision(kind, arguments, form):
    case = make_case(kind, arguments, form, dtype=torch.float32)
    theirs, ours = make_twins(case)
    assert_same(compute(ours, case), compute(theirs, case), tolerance=1e-5)


@each_layer
@each_form
@pytest.mark.parametrize("device", DEVICES)
def test_40_steps_in_double_precision(kind, arguments, form, device):
    case = make_case(kind, arguments, form, device=device)
    theirs, ours = make_twins(case)
    assert_same(compute(ours, case), compute(theirs, case), tolerance=1e-11)


@each_layer
def test_inference(kind, arguments):
    """nn takes other paths where nothing needs a gradient."""
    case = make_case(kind, arguments, dtype=torch.float32, training=False)
    theirs, ours = make_twins(case)
    with torch.inference_mode():
        expected = theirs(make_input(case), pack_state(make_state(case)))
        torch.testing.assert_close(ours(make_input(case), pack_state(make_state(case))), expected, atol=1e-5, rtol=0)


@each_layer
def test_ours_load_into_nn(kind, arguments):
    theirs, ours = make_twins(make_case(kind, arguments))
    ours.reset_parameters()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_input_and_state_need_not_be_contiguous(kind):
    case = make_case(kind, {}, dtype=torch.float32)
    theirs, ours = make_twins(case)
    x = torch.randn(6, 10, 40).permute(2, 0, 1)  # (T, B, D)
    state = pack_state(tuple(part[:, :1].expand(-1, 6, -1) for part in make_state(case)))
    torch.testing.assert_close(ours(x, state), theirs(x, state), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_an_empty_batch_gives_an_empty_output(kind):
    theirs, ours = make_twins(make_case(kind, STACKED, dtype=torch.float32))
    torch.testing.assert_close(ours(torch.zeros(3, 0, 10)), theirs(torch.zeros(3, 0, 10)))


# These tests are no weaker than they look: mistakes are caught.


class ResetBefore(companion.GRU):
    """The GRU of many textbooks, which resets the state before the product, not after."""

    def step(self, x, state, weight_hh, bias_hh):
        (h,) = state
        x_r, x_z, x_n = x.chunk(3, -1)
        (w_r, w_z, w_n), (b_r, b_z, b_n) = weight_hh.chunk(3), bias_hh.chunk(3)
        r = torch.sigmoid(x_r + h @ w_r.T + b_r)
        z = torch.sigmoid(x_z + h @ w_z.T + b_z)
        n = torch.tanh(x_n + (r * h) @ w_n.T + b_n)
        return (torch.lerp(n, h, z),)


def test_a_wrong_gru_passes_one_step_from_zero_and_is_caught_over_40():
    case = make_case("GRU", {}, dtype=torch.float32)
    theirs, _ = make_twins(case)
    nn.init.zeros_(theirs.bias_hh_l0)
    wrong = ResetBefore(10, 16)
    wrong.load_state_dict(theirs.state_dict())
    one_step = replace(case, lengths=(1,) * 6, with_state=False)
    torch.testing.assert_close(wrong(make_input(one_step)), theirs(make_input(one_step)))
    with pytest.raises(AssertionError, match="differs by 0"):
        assert_same(compute(wrong, case), compute(theirs, case), tolerance=1e-5)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_small_change_of_any_weight_is_caught(kind):
    case = make_case(kind, STACKED, dtype=torch.float32)
    theirs, ours = make_twins(case)
    expected = compute(theirs, case)
    for weight in ours.parameters():
        weight.data.view(-1)[-1] += 0.01
        with pytest.raises(AssertionError, match="differs by"):
            assert_same(compute(ours, case), expected, tolerance=1e-5)
        weight.data.view(-1)[-1] -= 0.01
