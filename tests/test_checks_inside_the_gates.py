"""The checks of *Inside the gates* pass right answers, and say what is wrong with typical wrong ones."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from companion.checks import inside_the_gates
from companion.probes import correlate_with

# Right answers, each in another way than the check's own


def keeping_gate(steps):
    return (1 / math.e) ** (1 / steps)


def letters_so_far(text):
    counts, count = [], 0
    for character in text:
        count = count + 1 if character.isalpha() else 0
        counts.append(float(count))
    return torch.tensor(counts)


def lstm_ledger(layer, inputs, state):
    (h, c), ledger = (part[0] for part in state), {name: [] for name in "ifgoch"}
    for x in F.linear(inputs, layer.weight_ih_l0, layer.bias_ih_l0):
        i, f, g, o = (x + F.linear(h, layer.weight_hh_l0, layer.bias_hh_l0)).chunk(4, -1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        for name, value in zip("ifgoch", (i, f, g, o, c, h), strict=True):
            ledger[name].append(value)
    return {name: torch.stack(values) for name, values in ledger.items()}


def chance_levels(values, where, shifts):
    rows = torch.stack([where.roll(shift) for shift in shifts]).double()
    together = torch.corrcoef(torch.cat([rows, values.double().T]))
    return together[: len(rows), len(rows) :].abs().amax(1)


def held(layer, unit):
    layer, H = copy.deepcopy(layer), layer.hidden_size
    with torch.no_grad():
        for row, bias in {unit: -50.0, H + unit: 50.0}.items():
            layer.weight_ih_l0[row] = layer.weight_hh_l0[row] = 0.0
            layer.bias_ih_l0[row], layer.bias_hh_l0[row] = bias, 0.0
    return layer


RIGHT = {
    "keeping_gate": keeping_gate,
    "letters_so_far": letters_so_far,
    "lstm_ledger": lstm_ledger,
    "chance_levels": chance_levels,
    "held": held,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(inside_the_gates, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(inside_the_gates.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(inside_the_gates.__all__)


# Wrong answers, as people give them


def never_starting_over(text):
    return torch.tensor([character.isalpha() for character in text]).cumsum(0).float()


def from_zero(text):
    return (letters_so_far(text) - 1).clamp(min=0)


def ledger_in_another_order(layer, inputs, state):
    found = lstm_ledger(layer, inputs, state)
    return found | {"f": found["i"], "i": found["f"]}


def ledger_without_the_state(layer, inputs, state):
    return lstm_ledger(layer, inputs, tuple(torch.zeros_like(part) for part in state))


def old_cell(layer, inputs, state):
    found = lstm_ledger(layer, inputs, state)
    return found | {"c": torch.cat([state[1], found["c"][:-1]])}


def signed(values, where, shifts):
    return torch.stack([correlate_with(values, where.roll(shift)).max() for shift in shifts])


def values_rolled_too(values, where, shifts):
    return torch.stack([correlate_with(values.roll(s, 0), where.roll(s)).abs().max() for s in shifts])


def held_in_place(layer, unit):
    kept = held(layer, unit)
    layer.load_state_dict(kept.state_dict())
    return layer


def forget_only(layer, unit):
    layer, H = copy.deepcopy(layer), layer.hidden_size
    with torch.no_grad():
        layer.bias_ih_l0[H + unit] = 1e4
    return layer


def rows_of_a_gru(layer, unit):
    layer, H = copy.deepcopy(layer), layer.hidden_size
    with torch.no_grad():
        layer.bias_ih_l0[H + unit] = -1e4
        layer.bias_ih_l0[unit] = 1e4
    return layer


def bias_too_small(layer, unit):
    layer, H = copy.deepcopy(layer), layer.hidden_size
    with torch.no_grad():
        layer.bias_ih_l0[unit], layer.bias_ih_l0[H + unit] = -5.0, 5.0
    return layer


WRONG = [
    ("keeping_gate", lambda steps: 0.5 ** (1 / steps), "1 step", "numbers are off"),
    ("keeping_gate", lambda steps: 1 - 1 / steps, "1 step", "numbers are off"),
    ("keeping_gate", lambda steps: None, "1 step", "it should return a number, got a NoneType"),
    ("letters_so_far", never_starting_over, "'so I'", "first at index (2,)"),
    ("letters_so_far", from_zero, "'so I'", "first at index (0,)"),
    ("letters_so_far", lambda text: [1.0, 2.0, 0.0, 1.0], "'so I'", "it should return a tensor"),
    ("lstm_ledger", ledger_in_another_order, "7 steps of 2 sequences", "i: "),
    ("lstm_ledger", ledger_without_the_state, "7 steps of 2 sequences", "numbers are off"),
    ("lstm_ledger", old_cell, "7 steps of 2 sequences", "c: "),
    ("lstm_ledger", lambda layer, x, state: layer(x, state), "7 steps of 2 sequences", "return a dict, got a tuple"),
    ("chance_levels", signed, "three shifts of 50 characters", "numbers are off"),
    ("chance_levels", values_rolled_too, "three shifts of 50 characters", "numbers are off"),
    ("chance_levels", lambda v, w, s: chance_levels(v, w, s).max(), "three shifts", "return shape (3,), got ()"),
    ("held", held_in_place, "4 units, the first held", "the outputs of the layer that was given"),
    ("held", forget_only, "4 units, the first held", "the held unit's cell"),
    ("held", rows_of_a_gru, "4 units, the first held", "the held unit's cell"),
    ("held", bias_too_small, "4 units, the first held", "the held unit's cell"),
    ("held", lambda layer, unit: layer.state_dict(), "4 units, the first held", "an nn.LSTM, got a"),
    ("held", lambda layer, unit: nn.GRU(3, 4), "4 units, the first held", "an nn.LSTM, got a GRU"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(inside_the_gates, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
