"""The checks of *Choosing a layer* pass right answers, and say what is wrong with typical wrong ones."""

import math
from itertools import permutations
from statistics import fmean

import pytest
import torch

from companion.checks import choosing_a_layer

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}

# Right answers, each in another way than the check's own


def hidden_for(kind, input_size, budget):
    half = (input_size + 2) / 2
    return math.floor(math.sqrt(half**2 + budget / GATES[kind]) - half + 1e-9)


def stream_bytes(kind, hidden_size, num_layers, streams):
    return hidden_size * num_layers * streams * (8 if kind == "LSTM" else 4)


def skill(value, baseline, perfect):
    return (baseline - value) / (baseline - perfect)


def side_by_side(weights, hidden_size):
    gates = zip(*(weight.split(hidden_size) for weight in weights), strict=True)
    return torch.cat([torch.block_diag(*blocks) for blocks in gates])


def deals(first, second):
    """Every order of all scores, cut in two: each hand comes equally often."""
    for order in permutations([*first, *second]):
        yield fmean(order[: len(first)]) - fmean(order[len(first) :])


def luck(first, second):
    if len(first) + len(second) > 6:  # ten scores have millions of orders
        hands = [h for h in range(2**10) if h.bit_count() == 5]
        scores = [*first, *second]
        sums = [sum(score for place, score in enumerate(scores) if hand >> place & 1) for hand in hands]
        return fmean(value > sum(first) - 1e-7 for value in sums)
    found = fmean(first) - fmean(second)
    return fmean(lead > found - 1e-7 for lead in deals(first, second))


RIGHT = {
    "hidden_for": hidden_for,
    "stream_bytes": stream_bytes,
    "skill": skill,
    "side_by_side": side_by_side,
    "luck": luck,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(choosing_a_layer, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right")
    assert torch.equal(torch.get_rng_state(), before)


# Wrong answers


def one_bias(kind, input_size, budget):
    half = (input_size + 1) / 2
    return math.floor(math.sqrt(half**2 + budget / GATES[kind]) - half + 1e-9)


def below_the_budget(kind, input_size, budget):
    return hidden_for(kind, input_size, budget - 1)


def strict_luck(first, second):
    found = fmean(first) - fmean(second)
    return fmean(lead > found + 1e-7 for lead in deals(first[:3], second[:3]))


def two_sided(first, second):
    if len(first) > 3:
        return luck(first, second)
    found = abs(fmean(first) - fmean(second))
    return fmean(abs(lead) > found - 1e-7 for lead in deals(first, second))


WRONG = {
    "one bias": ("hidden_for", one_bias, "an RNN with one feature", "two biases"),
    "always less than the budget": ("hidden_for", below_the_budget, "to the last weight", "round down"),
    "at least one unit": (
        "hidden_for",
        lambda *case: max(1, hidden_for(*case)),
        "too small for one unit",
        "round down",
    ),
    "one state for all": (
        "stream_bytes",
        lambda kind, hidden_size, num_layers, streams: 4 * hidden_size * num_layers * streams,
        "an LSTM, which keeps two states",
        "second part",
    ),
    "the top layer's state": (
        "stream_bytes",
        lambda kind, hidden_size, num_layers, streams: stream_bytes(kind, hidden_size, 1, streams),
        "three layers of an LSTM",
        "Every layer",
    ),
    "two states for the SRU": (
        "stream_bytes",
        lambda kind, *sizes: stream_bytes("LSTM" if kind == "SRU" else kind, *sizes),
        "an SRU",
        "hidden_size numbers",
    ),
    "a share of the perfect value": (
        "skill",
        lambda value, baseline, perfect: value / perfect if perfect else 1 - value,
        "halfway from chance",
        "share of the way",
    ),
    "no score below zero": (
        "skill",
        lambda *case: max(0.0, skill(*case)),
        "worse than guessing",
        "share of the way",
    ),
    "perfect is zero": (
        "skill",
        lambda value, baseline, perfect: skill(value, baseline, 1.0 if perfect == 1 and baseline < 1 else 0.0),
        "perfect at 1",
        "what is perfect",
    ),
    "whole weights on the diagonal": (
        "side_by_side",
        lambda weights, hidden_size: torch.block_diag(*weights),
        "five GRUs",
        "Take each weight apart",
    ),
    "no diagonal": (
        "side_by_side",
        lambda weights, hidden_size: torch.cat(weights),
        "two simple RNNs",
        "diagonal",
    ),
    "more than, not at least": ("luck", strict_luck, "three clear wins", "at least"),
    "either side": ("luck", two_sided, "three clear wins", "at least"),
    "own deal left out": (
        "luck",
        lambda first, second: luck(first, second) - 1 / math.comb(len(first) + len(second), len(first)),
        "three clear wins",
        "at least",
    ),
}


@pytest.mark.parametrize("check, answer, where, hint", WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_told_where_and_how(check, answer, where, hint, capsys):
    assert getattr(choosing_a_layer, f"check_{check}")(answer) is False
    told = capsys.readouterr().out
    assert where in told and hint in told
