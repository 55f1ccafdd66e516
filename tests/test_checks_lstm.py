"""The checks of *The LSTM, twice* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from companion import LSTM, lstm_step
from companion.checks import lstm

# Right answers, each in another way than the check's own


def count_weights(D, H, P=0):
    return 4 * H * (D + (P or H) + 2) + P * H


def bracket_weights():
    weight_ih = torch.zeros(4, 3)
    weight_ih[0] = torch.tensor([0.0, -60.0, 0.0])
    weight_ih[2] = torch.tensor([30.0, 0.0, -30.0])
    return weight_ih, torch.zeros(4, 1), torch.tensor([30.0, 30.0, 0.0, 5.0])


def forget_bias(half_life):
    return -math.log(2 ** (1 / half_life) - 1)


def cell_states(layer, inputs, state):
    twin = LSTM(layer.input_size, layer.hidden_size, proj_size=layer.proj_size)
    twin.load_state_dict(layer.state_dict())
    return torch.stack([twin(inputs[: end + 1], state)[1][1].squeeze(0) for end in range(len(inputs))])


def coupled_step(x, state, weight_hh, bias_hh):
    h, c = state
    f, g, o = (x + h @ weight_hh.T + bias_hh).chunk(3, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(-f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def step_backward(blocks, c, dh, dc):
    i, f, g, o = blocks.chunk(4, -1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    t = (f * c + i * g).tanh()
    dc = dc + dh * o * (1 - t * t)
    parts = [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)]
    return torch.cat(parts, -1), dc * f


RIGHT = {
    "count_weights": [count_weights],
    "bracket_weights": [bracket_weights],
    "forget_bias": [forget_bias, lambda half_life: torch.logit(torch.tensor(0.5 ** (1 / half_life)).double())],
    "cell_states": [cell_states],
    "coupled_step": [coupled_step],
    "step_backward": [step_backward],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(lstm, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    after = torch.get_rng_state()
    assert name == "cell_states" or torch.equal(after, before)  # that answer draws weights of its own


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(lstm.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(lstm.__all__)


def test_the_checks_draw_no_random_numbers(capsys):
    before = torch.get_rng_state()
    assert lstm.check_cell_states(lambda layer, inputs, state: layer(inputs, state)[1][1]) is False
    assert torch.equal(torch.get_rng_state(), before)


# Wrong answers, as people give them


def leaky_counter():
    weight_ih, weight_hh, bias = bracket_weights()
    bias[1] = 4.0  # a forget gate of 0.98
    return weight_ih, weight_hh, bias


def counter_without_subtraction():
    weight_ih, weight_hh, bias = bracket_weights()
    weight_ih[2, 2] = 30.0
    return weight_ih, weight_hh, bias


def gates_in_another_order():
    weight_ih, weight_hh, bias = bracket_weights()
    order = [0, 2, 1, 3]  # i, g, f, o
    return weight_ih[order], weight_hh, bias[order]


def outputs_for_cells(layer, inputs, state):
    return layer(inputs, state)[0]


def always_from_the_first_state(layer, inputs, state):
    return torch.cat([layer(x, state)[1][1] for x in inputs.split(1)])


def coupled_the_other_way(x, state, weight_hh, bias_hh):
    h, c = state
    f, g, o = (x + F.linear(h, weight_hh, bias_hh)).chunk(3, -1)
    c = (1 - torch.sigmoid(f)) * c + torch.sigmoid(f) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def coupled_in_four(x, state, weight_hh, bias_hh):
    return lstm_step(x, state, weight_hh, bias_hh)


def backward_without_h(blocks, c, dh, dc):
    return step_backward(blocks, c, 0 * dh, dc)


def backward_with_the_old_cell(blocks, c, dh, dc):
    _, f, _, o = (block.sigmoid() for block in blocks.chunk(4, -1))
    return step_backward(blocks, c, dh, dc)[0], f * (dc + dh * o * (1 - c.tanh() ** 2))


WRONG = [
    ("count_weights", lambda D, H, P=0: 4 * H * (D + H + 1), "D = H = 1", "got 12, which is not it"),
    ("count_weights", lambda D, H, P=0: 4 * H * (D + (P or H) + 2), "D = H = 128, with", "got 128000"),
    ("count_weights", lambda D, H: 4 * H * (D + H + 2), "D = H = 128, with", "raised TypeError"),
    ("bracket_weights", leaky_counter, "one pair", "numbers are off"),
    ("bracket_weights", counter_without_subtraction, "one pair", "c after '(a)'"),
    ("bracket_weights", gates_in_another_order, "one pair", "c after '(a'"),
    ("bracket_weights", lambda: bracket_weights()[:2], "one pair", "raised ValueError"),
    ("forget_bias", lambda n: 0.5 ** (1 / n), "a half-life of 1 step", "numbers are off"),
    ("forget_bias", lambda n: math.log(n), "a half-life of 5 steps", "numbers are off"),
    ("cell_states", outputs_for_cells, "7 steps of 2 sequences", "numbers are off"),
    ("cell_states", always_from_the_first_state, "7 steps of 2 sequences", "first at index (1, 0, 0)"),
    ("cell_states", lambda layer, inputs, state: layer(inputs, state)[1][1], "7 steps", "got (1, 2, 4)"),
    ("coupled_step", coupled_the_other_way, "4 sequences, 3 units", "result number 1 of 2"),
    ("coupled_step", coupled_in_four, "4 sequences, 3 units", "raised ValueError: not enough values"),
    ("coupled_step", lambda *args: coupled_step(*args)[::-1], "4 sequences, 3 units", "result number 1 of 2"),
    ("step_backward", backward_without_h, "a gradient that comes through h only", "result number 1 of 2"),
    ("step_backward", backward_with_the_old_cell, "a gradient that comes through h only", "result number 2 of 2"),
    ("step_backward", lambda *args: step_backward(*args)[0], "a gradient that comes through c only", "2 things"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(lstm, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
