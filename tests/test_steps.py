"""The step functions against their equations, computed one hidden unit at a time."""

import math

import pytest
import torch

from companion import gru_step, lstm_step, rnn_step

B, H, P = 3, 4, 2


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64)


def every_unit(function):
    """The (B, H) tensor of function(row of the batch, number of the unit)."""
    return torch.tensor([[function(b, k) for k in range(H)] for b in range(B)], dtype=torch.float64)


def product(b, row, h, weight_hh, bias_hh):
    return float(weight_hh[row] @ h[b] + bias_hh[row])


@pytest.mark.parametrize("nonlinearity, function", [("tanh", math.tanh), ("relu", lambda value: max(value, 0))])
def test_rnn_step(nonlinearity, function):
    x, h, weights = random(B, H), random(B, H, seed=1), (random(H, H), random(H))
    expected = every_unit(lambda b, k: function(float(x[b, k]) + product(b, k, h, *weights)))
    torch.testing.assert_close(rnn_step(x, h, *weights, nonlinearity), expected)


def test_gru_step():
    x, h, weights = random(B, 3 * H), random(B, H), (random(3 * H, H), random(3 * H))

    def unit(b, k):
        r = sigmoid(x[b, k] + product(b, k, h, *weights))
        z = sigmoid(x[b, H + k] + product(b, H + k, h, *weights))
        n = math.tanh(x[b, 2 * H + k] + r * product(b, 2 * H + k, h, *weights))
        return (1 - z) * n + z * float(h[b, k])

    torch.testing.assert_close(gru_step(x, h, *weights), every_unit(unit))


@pytest.mark.parametrize("width, weight_hr", [(H, None), (P, random(P, H))], ids=["plain", "projected"])
def test_lstm_step(width, weight_hr):
    x, h, c, weights = random(B, 4 * H), random(B, width), random(B, H), (random(4 * H, width), random(4 * H))

    def gate(b, k, number):
        return float(x[b, number * H + k]) + product(b, number * H + k, h, *weights)

    def cell(b, k):
        return sigmoid(gate(b, k, 1)) * float(c[b, k]) + sigmoid(gate(b, k, 0)) * math.tanh(gate(b, k, 2))

    def hidden(b, k):
        return sigmoid(gate(b, k, 3)) * math.tanh(cell(b, k))

    expected_h = every_unit(hidden) if weight_hr is None else every_unit(hidden) @ weight_hr.T
    torch.testing.assert_close(lstm_step(x, (h, c), *weights, weight_hr), (expected_h, every_unit(cell)))


def test_an_update_gate_near_1_keeps_the_old_state():
    h = random(B, H)
    open_gate = torch.tensor([0.0] * H + [50.0] * H + [0.0] * H, dtype=torch.float64)
    torch.testing.assert_close(gru_step(random(B, 3 * H), h, torch.zeros(3 * H, H).double(), open_gate), h)


def test_a_forget_gate_near_1_and_an_input_gate_near_0_keep_the_old_cell():
    h, c = random(B, H), random(B, H, seed=1)
    gates = torch.tensor([-50.0] * H + [50.0] * H + [0.0] * 2 * H, dtype=torch.float64)
    torch.testing.assert_close(lstm_step(gates.expand(B, -1), (h, c), torch.zeros(4 * H, H).double())[1], c)


@pytest.mark.parametrize("shape", [(H,), (5, B, H)], ids=["one sequence", "more dimensions"])
@pytest.mark.parametrize("step, blocks", [(rnn_step, 1), (gru_step, 3)])
def test_any_number_of_leading_dimensions(step, blocks, shape):
    x, h = random(*shape[:-1], blocks * H), random(*shape)
    weight_hh = random(blocks * H, H)
    by_row = [step(*row, weight_hh) for row in zip(x.reshape(-1, blocks * H), h.reshape(-1, H), strict=True)]
    torch.testing.assert_close(step(x, h, weight_hh), torch.stack(by_row).view(shape))


@pytest.mark.parametrize("step, blocks", [(rnn_step, 1), (gru_step, 3), (lstm_step, 4)])
def test_a_missing_bias_is_a_zero_bias(step, blocks):
    x, h, weight_hh = random(B, blocks * H), random(B, H), random(blocks * H, H)
    state = (h, h) if step is lstm_step else h
    with_zeros = step(x, state, weight_hh, torch.zeros(blocks * H, dtype=torch.float64))
    torch.testing.assert_close(step(x, state, weight_hh), with_zeros)
