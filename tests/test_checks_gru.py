"""The checks of *The GRU, twice* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch
from torch import nn

from companion import GRU
from companion.checks import gru

# Right answers, each in another way than the check's own


def gru_from_rnn(rnn, reset=60.0, update=-60.0, quiet=0.0):
    H = rnn.hidden_size
    layer = nn.GRU(rnn.input_size, H)
    weights = {name: torch.cat([quiet * w, quiet * w, w]) for name, w in rnn.state_dict().items()}
    weights["bias_hh_l0"][:H], weights["bias_hh_l0"][H : 2 * H] = reset, update
    layer.load_state_dict(weights)
    return layer


def half_life(z):
    return -math.log(2) / math.log(z)


def equal_bias_gradients(layer, inputs, h_0):
    layer(inputs, h_0)[0].pow(2).sum().backward()
    gaps = (layer.bias_ih_l0.grad - layer.bias_hh_l0.grad).abs().view(3, -1).amax(1)
    return [gap < 1e-3 for gap in gaps.tolist()]


def from_colleague(weights):
    converted = {}
    for name, weight in weights.items():
        H = len(weight) // 3
        converted[name] = torch.cat([weight[H : 2 * H], -weight[:H], weight[2 * H :]])
    return converted


class NoReset(GRU):
    def step(self, x, state, weight_hh, bias_hh):
        x_r, x_z, x_n = x.chunk(3, -1)
        return super().step(torch.cat([x_r + 1000, x_z, x_n], -1), state, weight_hh, bias_hh)


class NoUpdate(GRU):
    def step(self, x, state, weight_hh, bias_hh):
        x_r, x_z, x_n = x.chunk(3, -1)
        return super().step(torch.cat([x_r, x_z - 1000, x_n], -1), state, weight_hh, bias_hh)


RIGHT = {
    "gru_from_rnn": [gru_from_rnn],
    "half_life": [half_life, lambda z: torch.log(torch.tensor(0.5)) / torch.log(torch.tensor(z))],
    "equal_bias_gradients": [equal_bias_gradients],
    "from_colleague": [from_colleague],
    "no_reset": [NoReset],
    "no_update": [NoUpdate],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(gru, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(gru.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(gru.__all__)


def test_the_colleagues_weights_mean_what_the_exercise_says():
    """Her GRU, run by its own equations, gives the outputs of nn.GRU with the converted weights."""
    torch.manual_seed(0)
    layer = nn.GRU(8, 16)
    weights = {name: torch.randn_like(weight) / 2 for name, weight in layer.state_dict().items()}
    layer.load_state_dict(from_colleague(weights))
    inputs, h_0 = torch.randn(35, 4, 8), torch.randn(1, 4, 16)
    h = h_0[0]
    for x in inputs @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]:
        x_z, x_r, x_n = x.chunk(3, -1)
        h_z, h_r, h_n = (h @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]).chunk(3, -1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        z = torch.sigmoid(x_z + h_z)
        h = (1 - z) * h + z * n  # z admits
    assert torch.allclose(layer(inputs, h_0)[1][0], h, atol=1e-5)


# Wrong answers, as people give them


def without_reordering(weights):
    converted = {name: weight.clone() for name, weight in weights.items()}
    for weight in converted.values():
        weight[: len(weight) // 3] *= -1
    return converted


def without_the_biases(weights):
    plain = {name: torch.cat([weight.chunk(3)[i] for i in (1, 0, 2)]) for name, weight in weights.items()}
    return plain | {name: weight for name, weight in from_colleague(weights).items() if name.startswith("weight")}


def gradients_of_one_bias(layer, inputs, h_0):
    layer(inputs, h_0)[0].square().sum().backward()
    return [bool(block.norm() > 0) for block in layer.bias_ih_l0.grad.chunk(3)]


class ResetShut(GRU):
    def step(self, x, state, weight_hh, bias_hh):
        x_r, x_z, x_n = x.chunk(3, -1)
        return super().step(torch.cat([x_r - 50, x_z, x_n], -1), state, weight_hh, bias_hh)


class UpdateOpen(GRU):
    def step(self, x, state, weight_hh, bias_hh):
        x_r, x_z, x_n = x.chunk(3, -1)
        return super().step(torch.cat([x_r, x_z + 50, x_n], -1), state, weight_hh, bias_hh)


class NoTuple(NoUpdate):
    def step(self, *arguments):
        return super().step(*arguments)[0]


class BiasOnly(GRU):
    """Takes the input out of the reset gate, but not the state."""

    def step(self, x, state, weight_hh, bias_hh):
        x_r, x_z, x_n = x.chunk(3, -1)
        return super().step(torch.cat([0 * x_r + 1, x_z, x_n], -1), state, weight_hh, bias_hh)


WRONG = [
    ("gru_from_rnn", lambda rnn: gru_from_rnn(rnn, reset=-60.0), "8 features, 16 units, 35 steps", "numbers are off"),
    ("gru_from_rnn", lambda rnn: gru_from_rnn(rnn, update=60.0), "8 features, 16 units, 35 steps", "numbers are off"),
    ("gru_from_rnn", lambda rnn: gru_from_rnn(rnn, update=-3.0), "8 features, 16 units, 35 steps", "numbers are off"),
    ("gru_from_rnn", lambda rnn: gru_from_rnn(rnn, quiet=1.0), "a first state of very large", "numbers are off"),
    ("gru_from_rnn", lambda rnn: nn.GRU(8, 16), "8 features, 16 units, 35 steps", "numbers are off"),
    ("gru_from_rnn", lambda rnn: nn.GRU(8, 32)(torch.zeros(1, 8)), "8 features", "raised TypeError"),
    ("half_life", lambda z: 0.5 / (1 - z), "an update gate of 0.9", "numbers are off"),
    ("half_life", lambda z: 0.5 ** (1 / z), "an update gate of 0.5", "numbers are off"),
    ("half_life", lambda z: math.ceil(half_life(z)), "an update gate of 0.9", "numbers are off"),
    ("half_life", lambda z: half_life(1 - z), "an update gate of 0.9", "numbers are off"),
    ("half_life", lambda z: "6.6", "an update gate of 0.5", "a number, got a str"),
    ("equal_bias_gradients", lambda *arguments: [True] * 3, "35 steps from a random state", "result number 3 of 3"),
    ("equal_bias_gradients", lambda *arguments: [True, True, False], "a reset gate that is always 1", "number 3 of 3"),
    ("equal_bias_gradients", gradients_of_one_bias, "35 steps from a random state", "result number 3 of 3"),
    ("equal_bias_gradients", lambda *arguments: [True, False], "35 steps from a random state", "a list of 2"),
    ("from_colleague", dict, "8 features, 16 units, biases of zero", "numbers are off"),
    ("from_colleague", without_reordering, "8 features, 16 units, biases of zero", "numbers are off"),
    ("from_colleague", without_the_biases, "8 features, 16 units, with biases", "numbers are off"),
    (
        "from_colleague",
        lambda weights: {name: from_colleague(weights)[name] for name in ("weight_ih_l0", "weight_hh_l0")},
        "8 features, 16 units, biases of zero",
        "Missing key(s) in state_dict",
    ),
    ("no_reset", GRU, "a single step from a random state", "numbers are off"),
    ("no_reset", ResetShut, "a single step from a random state", "numbers are off"),
    ("no_reset", BiasOnly, "a single step from a random state", "numbers are off"),
    ("no_reset", GRU(3, 5), "a single step from a random state", "raised"),
    ("no_update", GRU, "a single step from a random state", "numbers are off"),
    ("no_update", UpdateOpen, "a single step from a random state", "numbers are off"),
    ("no_update", NoTuple, "a single step from a random state", "shape (1, 2, 5), got (1, 5)"),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "gru_from_rnn": ["50", "r = 1", "z = 0", "r is 1", "z is 0"],
    "half_life": ["log", "ln"],
    "equal_bias_gradients": ["sum", "product", "n differs", "True", "False"],
    "from_colleague": ["negate", "-z", "torch.cat", "r, z, n"],
    "no_reset": ["+ 50", "torch.cat", "x_r"],
    "no_update": ["- 50", "torch.cat", "x_z"],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(gru, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []
