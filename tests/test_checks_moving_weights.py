"""The checks of *Moving weights* pass right answers, and say what is wrong with typical wrong ones."""

from itertools import permutations

import pytest
import torch
from torch import nn

from companion.checks import moving_weights

# Right answers, each in another way than the check's own


def find_forget_block(bias):
    H = len(bias) // 4
    sums = [bias[k * H : (k + 1) * H].sum().item() for k in range(4)]
    return sums.index(max(sums))


def merge_biases(weights):
    r, z, n = weights["bias_hh_l0"].chunk(3)
    merged = weights["bias_ih_l0"] + torch.cat([r, z, 0 * n])
    return {**weights, "bias_ih_l0": merged, "bias_hh_l0": torch.cat([0 * r, 0 * z, n])}


def find_order(weights, inputs, outputs, tolerance=1e-4):
    for order in permutations("ifgo"):
        layer = nn.LSTM(inputs.shape[-1], outputs.shape[-1])
        with torch.no_grad():
            for name, weight in layer.named_parameters():
                blocks = dict(zip(order, weights[name].chunk(4), strict=True))
                weight.copy_(torch.cat([blocks[gate] for gate in "ifgo"]))
        if (layer(inputs)[0] - outputs).abs().max() < tolerance:
            return "".join(order)


def from_basic_cell(kernel, bias, forget_bias, order=(0, 2, 1, 3), added=1.0):
    H = len(bias) // 4

    def rows(weight):
        blocks = weight.chunk(4)
        return torch.cat([blocks[k] for k in order])

    extra = torch.zeros(4 * H)
    extra[H : 2 * H] = added * forget_bias
    D = len(kernel) - H
    W = rows(kernel.T)
    return {"weight_ih_l0": W[:, :D], "weight_hh_l0": W[:, D:], "bias_ih_l0": extra, "bias_hh_l0": rows(bias)}


@torch.no_grad()
def without_projection(layer):
    weights = layer.state_dict()
    linear = nn.Linear(layer.hidden_size, layer.proj_size, bias=False)
    linear.weight.copy_(weights.pop("weight_hr_l0"))
    weights["weight_hh_l0"] = (linear.weight.T @ weights["weight_hh_l0"].T).T
    plain = nn.LSTM(layer.input_size, layer.hidden_size)
    plain.load_state_dict(weights)
    return plain, linear


RIGHT = {
    "find_forget_block": [find_forget_block, lambda bias: bias.view(4, -1).median(1).values.argmax()],
    "merge_biases": [merge_biases],
    "find_order": [find_order],
    "from_basic_cell": [from_basic_cell],
    "without_projection": [without_projection],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    assert getattr(moving_weights, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")


@pytest.mark.parametrize("name", RIGHT)
def test_a_check_draws_nothing_from_the_readers_random_numbers(name, capsys):
    before = torch.get_rng_state()
    getattr(moving_weights, f"check_{name}")(lambda *arguments: None)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(moving_weights.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(moving_weights.__all__)


def test_the_basic_cell_means_what_the_exercise_says():
    """The cell, run by its own equations, gives the outputs of nn.LSTM with the converted weights."""
    torch.manual_seed(0)
    D, H, forget_bias = 8, 16, 1.0
    kernel, bias = torch.randn(D + H, 4 * H) / 2, torch.randn(4 * H) / 2
    x, (h, c) = torch.randn(35, 4, D), torch.randn(2, 4, H)
    layer = nn.LSTM(D, H)
    layer.load_state_dict(from_basic_cell(kernel, bias, forget_bias))
    _, (h_n, c_n) = layer(x, (h[None], c[None]))
    for step in x:
        i, j, f, o = (torch.cat([step, h], 1) @ kernel + bias).chunk(4, 1)
        c = c * torch.sigmoid(f + forget_bias) + torch.sigmoid(i) * torch.tanh(j)
        h = torch.tanh(c) * torch.sigmoid(o)
    assert torch.allclose(h_n[0], h, atol=1e-5) and torch.allclose(c_n[0], c, atol=1e-5)


# Wrong answers, as people give them


def all_biases_merged(weights):
    first, second = weights["bias_ih_l0"], weights["bias_hh_l0"]
    return weights | {"bias_ih_l0": first + second, "bias_hh_l0": 0 * second}


def biases_dropped(weights):
    r, z, n = weights["bias_hh_l0"].chunk(3)
    return weights | {"bias_hh_l0": torch.cat([0 * r, 0 * z, n])}


def kernel_reshaped(kernel, bias, forget_bias):
    right = from_basic_cell(kernel, bias, forget_bias)
    H = len(bias) // 4
    return right | {"weight_ih_l0": kernel[:-H].reshape(4 * H, -1)}


@torch.no_grad()
def projection_forgotten_inside(layer):
    plain, linear = without_projection(layer)
    H, P = layer.hidden_size, layer.proj_size
    plain.weight_hh_l0[:] = layer.weight_hh_l0.repeat(1, -(-H // P))[:, :H]
    return plain, linear


USUAL = "8 features, 16 units"
WRONG = [
    ("find_forget_block", lambda bias: 1, "a new bias, its ones in the third block", "got 1, which"),
    ("find_forget_block", lambda bias: bias.argmax() * 4 // len(bias), "a trained bias of 48 units", "not it"),
    ("find_forget_block", lambda bias: (bias.view(4, -1) == 1).all(1).nonzero()[0], "a trained bias", "IndexError"),
    ("merge_biases", dict, "8 features, 16 units", "how many numbers of bias_hh_l0 are not 0: got 48"),
    ("merge_biases", all_biases_merged, "8 features, 16 units", "the outputs: "),
    ("merge_biases", biases_dropped, "8 features, 16 units", "the outputs: "),
    ("merge_biases", lambda weights: {}, "8 features, 16 units", "raised"),
    ("find_order", lambda *arguments: "ifgo", "an unknown order", "got 'ifgo', which is not it"),
    ("find_order", lambda *arguments: find_order(*arguments, tolerance=0.0), "an unknown order", "None"),
    ("find_order", lambda *arguments: tuple(find_order(*arguments)), "an unknown order", "which is not it"),
    ("from_basic_cell", lambda *a: from_basic_cell(*a, order=(0, 1, 2, 3)), f"{USUAL}, a forget bias of 0", "are off"),
    ("from_basic_cell", lambda *a: from_basic_cell(*a, added=0.0), f"{USUAL}, a forget bias of 1", "numbers are off"),
    ("from_basic_cell", kernel_reshaped, f"{USUAL}, a forget bias of 0", "numbers are off"),
    ("from_basic_cell", lambda kernel, bias, _: {"weight_ih_l0": kernel}, "8 features", "raised RuntimeError"),
    ("without_projection", projection_forgotten_inside, "8 features, 16 units, a projection to 4", "the outputs: "),
    ("without_projection", lambda layer: (layer, nn.Identity()), USUAL, "the projection: got 4"),
    ("without_projection", lambda layer: None, "8 features", "raised TypeError"),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "find_forget_block": ["mean", "sum", "median", "average"],
    "merge_biases": ["r and z", "chunk", "candidate"],
    "find_order": ["iofg", "gofi", "fiog"],
    "from_basic_cell": ["igfo", "transpose", ".T"],
    "without_projection": ["weight_hh @", "nn.Linear"],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(moving_weights, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []
