"""The checks of *Hidden* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch
from torch import nn

from companion.checks import hidden

# Right answers, each in another way than the check's own


def largest_projection(H, L, S):
    states = 1 + (L - 1) * (S + 1)
    for P in range(H - 1, 0, -1):
        if 4 * states * (H - P) > L * P:
            return P
    return 0


def largest_hidden_size(budget, G, D, L=1, S=1):
    k, b = 1 + (L - 1) * (S + 1), D + 2 * L
    H = int((-b + math.sqrt(b * b + 4 * k * budget / (S * G))) / (2 * k)) + 1
    while S * G * (k * H * H + b * H) > budget:
        H -= 1
    return H


def read_sizes(weights):
    directions = 1 + any(name.endswith("_reverse") for name in weights)
    shown = weights["weight_hh_l0"].size(1)
    H = weights["weight_hr_l0"].size(1) if "weight_hr_l0" in weights else shown
    return dict(
        blocks=weights["weight_hh_l0"].size(0) // H,
        input_size=weights["weight_ih_l0"].size(1),
        hidden_size=H,
        num_layers=1 + max(int(name.removesuffix("_reverse").rpartition("_l")[2]) for name in weights),
        directions=directions,
        proj_size=shown if shown < H else 0,
    )


@torch.no_grad()
def widen(layer, hidden_size, *, clear=True, upper=True, keep_blocks=True):
    """A right answer, and with one of the switches off a wrong one."""
    H = layer.hidden_size
    wide = type(layer)(layer.input_size, hidden_size, layer.num_layers)
    for name, old in layer.named_parameters():
        new = wide.get_parameter(name)
        begin = range(0, len(old), H)
        rows = [row + unit for row in begin for unit in range(H)]
        places = [row // H * hidden_size + unit for row in begin for unit in range(H)] if keep_blocks else rows
        if old.dim() == 1:
            new[places] = old[rows]
            continue
        reads_states = name.startswith("weight_hh") or (upper and not name.endswith("_l0"))
        if clear and reads_states:
            new[places] = 0.0
        for row, place in zip(rows, places, strict=True):
            new[place, : old.size(1)] = old[row]
    return wide


RIGHT = {
    "largest_projection": largest_projection,
    "largest_hidden_size": largest_hidden_size,
    "read_sizes": read_sizes,
    "widen": widen,
}


@pytest.mark.parametrize("name, answer", RIGHT.items(), ids=RIGHT)
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(hidden, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(hidden.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(hidden.__all__)


# Wrong answers, as people give them


def one_layer_for_all(H, L, S):
    return (4 * H - 1) // 5


def equal_is_fewer(H, L, S):
    k = 1 + (L - 1) * (S + 1)
    return 4 * k * H // (4 * k + L)


def one_direction_for_all(H, L, S):
    return largest_projection(H, L, 1)


def rounded(budget, G, D, L=1, S=1):
    k, b = 1 + (L - 1) * (S + 1), D + 2 * L
    return round((-b + math.sqrt(b * b + 4 * k * budget / (S * G))) / (2 * k))


def square_root(budget, G, D, L=1, S=1):
    return math.isqrt(budget // G)


def one_layer(budget, G, D, L=1, S=1):
    return largest_hidden_size(budget, G, D)


def upper_layers_read_one_direction(budget, G, D, L=1, S=1):
    return largest_hidden_size(budget // S, G, D, L)


def at_least_one(budget, G, D, L=1, S=1):
    return max(1, largest_hidden_size(budget, G, D, L, S))


def h_is_what_is_shown(weights):
    return read_sizes(weights) | {"hidden_size": weights["weight_hh_l0"].size(1)}


def layers_by_all_weights(weights):
    return read_sizes(weights) | {"num_layers": len(weights) // 4}


def four_blocks(weights):
    return read_sizes(weights) | {"blocks": 4}


def nn_names(weights):
    return {"bidirectional": True, **{key: value for key, value in read_sizes(weights).items() if key != "directions"}}


WRONG = [
    ("largest_projection", one_layer_for_all, "four layers of 128", "got 102"),
    ("largest_projection", equal_is_fewer, "one layer of 50", "got 40"),
    ("largest_projection", one_direction_for_all, "two layers of 90, two directions", "got 77"),
    ("largest_projection", lambda H, L, S: H - 1, "one layer of 128", "got 127"),
    ("largest_hidden_size", rounded, "two layers, one weight less", "got 95"),
    ("largest_hidden_size", square_root, "a GRU with 100,000", "got 182"),
    ("largest_hidden_size", one_layer, "two layers, a budget met", "which is not it"),
    ("largest_hidden_size", upper_layers_read_one_direction, "two directions, three layers", "which is not it"),
    ("largest_hidden_size", at_least_one, "a budget too small", "got 1"),
    ("largest_hidden_size", lambda *arguments: largest_hidden_size(*arguments) - 1, "a GRU", "which is not it"),
    ("read_sizes", h_is_what_is_shown, "an LSTM with a projection", "hidden_size: got 2"),
    ("read_sizes", layers_by_all_weights, "an RNN with two directions", "num_layers: got 2"),
    ("read_sizes", four_blocks, "a GRU", "blocks: got 4"),
    ("read_sizes", nn_names, "a GRU", "directions: got None"),
    ("read_sizes", lambda weights: None, "a GRU", "raised TypeError"),
    ("widen", lambda layer, H: type(layer)(layer.input_size, H, layer.num_layers), "an RNN", "the outputs"),
    ("widen", lambda layer, H: layer, "an RNN", "raised RuntimeError"),
    ("widen", lambda *pair: widen(*pair, clear=False), "an RNN", "the outputs"),
    ("widen", lambda *pair: widen(*pair, keep_blocks=False), "a GRU, from 4", "the outputs"),
    ("widen", lambda *pair: widen(*pair, upper=False), "a GRU of two layers", "the outputs"),
    ("widen", lambda layer, H: nn.GRU(layer.input_size, H, layer.num_layers), "an RNN", "its class: got 'GRU'"),
]
HINTS = {
    "largest_projection": "Equal is not fewer",
    "largest_hidden_size": "share the budget out",
    "read_sizes": "tells H alone",
    "widen": "have to be 0",
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_is_told_where_it_is_wrong(name, answer, case, words, capsys):
    assert getattr(hidden, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}")
    assert words in printed and HINTS[name] in printed
