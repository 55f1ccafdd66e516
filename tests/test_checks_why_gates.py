"""The checks of *Why gates* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
from torch import nn

from companion.checks import why_gates

# Right answers, each in another way than the check's own


def weights_of_past(keep, T):
    return torch.tensor([(1 - keep) * keep ** (T - 1 - t) for t in range(T)])


def hold_weights():
    return torch.tensor([0.0, -50.0]), torch.tensor(30.0)


def maximum_step(x, h):
    z = torch.sigmoid(1000 * (h - x))
    return z * h + (1 - z) * x


def share_left(z):
    shares = [torch.ones_like(z[0])]
    for gate in z.flip(0)[:-1]:
        shares.insert(0, gate * shares[0])
    return torch.stack(shares)


@torch.no_grad()
def chrono(layer, longest):
    H = layer.hidden_size
    for name, bias in layer.named_parameters():
        if name.startswith("bias"):
            bias[: 2 * H] = 0
    for name, bias in layer.named_parameters():
        if name.startswith("bias_hh"):  # either of the two will do
            bias[H : 2 * H] = torch.empty(H).uniform_(1, longest - 1).log()
            bias[:H] = -bias[H : 2 * H]


RIGHT = {
    "weights_of_past": [weights_of_past, lambda keep, T: (1 - keep) * keep ** torch.arange(T - 1.0, -1.0, -1.0)],
    "hold_weights": [hold_weights, lambda: ([0.5, -60.0], 30.0)],
    "maximum_step": [maximum_step, lambda x, h: torch.lerp(x, h, (1e4 * (h - x)).sigmoid())],
    "share_left": [share_left],
    "chrono": [chrono],
    "add": [lambda inputs: inputs.prod(-1).sum(0), lambda inputs: inputs.prod(-1).sum(0) + 0.2],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(why_gates, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(why_gates.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(why_gates.__all__)


# Wrong answers, as people give them


def shares_with_their_own_gate(z):
    return z.flip(0).cumprod(0).flip(0)


def shares_by_division(z):
    return z.prod(0) / z.cumprod(0)


def first_layer_only(layer, longest):
    one = nn.LSTM(layer.input_size, layer.hidden_size)
    one.load_state_dict({name: weight for name, weight in layer.state_dict().items() if name.endswith("_l0")})
    chrono(one, longest)
    layer.load_state_dict(layer.state_dict() | one.state_dict())


@torch.no_grad()
def chrono_in_both(layer, longest):
    chrono(layer, longest)
    for name, bias in layer.named_parameters():
        if name.startswith("bias_ih"):
            bias[: 2 * layer.hidden_size] = getattr(layer, name.replace("_ih", "_hh"))[: 2 * layer.hidden_size]


@torch.no_grad()
def one_constant_for_all(layer, longest):
    chrono(layer, longest)
    for name, bias in layer.named_parameters():
        H = layer.hidden_size
        if name.startswith("bias_hh"):
            bias[H : 2 * H] = torch.tensor(longest / 2).log()
            bias[:H] = -bias[H : 2 * H]


@torch.no_grad()
def even_biases(layer, longest):
    chrono(layer, longest)
    H = layer.hidden_size
    for name, bias in layer.named_parameters():
        if name.startswith("bias_hh"):
            bias[H : 2 * H] = torch.rand(H) * torch.tensor(longest - 1.0).log()
            bias[:H] = -bias[H : 2 * H]


@torch.no_grad()
def forget_biases_only(layer, longest):
    H = layer.hidden_size
    for name, bias in layer.named_parameters():
        if name.startswith("bias"):
            drawn = torch.empty(H).uniform_(1, longest - 1).log()
            bias[H : 2 * H] = drawn if name.startswith("bias_ih") else 0


@torch.no_grad()
def whole_biases(layer, longest):
    for name, bias in layer.named_parameters():
        if name.startswith("bias_ih"):
            bias[layer.hidden_size :].zero_()
    chrono(layer, longest)


WRONG = [
    ("weights_of_past", lambda keep, T: weights_of_past(keep, T).flip(0), "keep = 0.5, T = 3", "2 of 3 numbers"),
    ("weights_of_past", lambda keep, T: weights_of_past(keep, T) / (1 - keep), "keep = 0.5, T = 3", "numbers are off"),
    ("weights_of_past", lambda keep, T: weights_of_past(1 - keep, T), "a single step", "numbers are off"),
    ("weights_of_past", lambda keep, T: weights_of_past(keep, T).tolist(), "keep = 0.5", "return a tensor, got a list"),
    ("hold_weights", lambda: (torch.tensor([0.0, -12.5]), 6.0), "100 other levels", "it still has it"),
    ("hold_weights", lambda: (torch.tensor([0.0, -20.0]), 10.0), "1,000 other levels", "it still has it"),
    ("hold_weights", lambda: (torch.tensor([0.0, 40.0]), -20.0), "one other level", "it takes the level"),
    ("hold_weights", lambda: (torch.tensor([-40.0, 0.0]), 20.0), "one other level", "it takes the level"),
    ("hold_weights", lambda: torch.tensor([0.0, -40.0, 20.0]), "one other level", "raised ValueError"),
    ("maximum_step", lambda x, h: torch.lerp(h, x, torch.sigmoid(1000 * (h - x))), "rising numbers", "numbers are off"),
    ("maximum_step", lambda x, h: torch.lerp(x, h, torch.sigmoid(h - x)), "rising numbers", "numbers are off"),
    ("maximum_step", lambda x, h: torch.lerp(x, h, torch.sigmoid(1000 * h)), "rising numbers", "numbers are off"),
    ("maximum_step", lambda x, h: torch.sigmoid(1000 * (h - x)), "rising numbers", "numbers are off"),
    ("share_left", shares_with_their_own_gate, "three steps, one unit", "3 of 3 numbers are off"),
    ("share_left", shares_by_division, "a gate that is 0 once", "numbers are off"),
    ("share_left", lambda z: z.cumprod(0), "three steps, one unit", "numbers are off"),
    ("share_left", lambda z: z[1:].flip(0).cumprod(0).flip(0), "three steps", "return shape (3, 1, 1), got (2, 1, 1)"),
    ("chrono", first_layer_only, "two layers", "l1, time constants"),
    ("chrono", chrono_in_both, "one layer", "l0, time constants between 2 and 100"),
    ("chrono", one_constant_for_all, "one layer", "l0, no two units alike"),
    ("chrono", even_biases, "one layer", "l0, time constants of 51 on average"),
    ("chrono", forget_biases_only, "one layer", "l0, input biases opposite"),
    ("chrono", whole_biases, "one layer", "l0, the other two blocks"),
    ("chrono", lambda layer, longest: nn.init.zeros_(layer.weight_hh_l0) is chrono(layer, longest), "one layer",
     "the weights as they were"),
    ("add", lambda inputs: torch.ones(inputs.shape[1]), "1,000 sequences", "a smaller error than always answering 1"),
    ("add", lambda inputs: inputs.prod(-1).sum(0) + 0.35, "1,000 sequences", "half of that error at most"),
    ("add", lambda inputs: inputs.prod(-1).sum(0).unsqueeze(1), "1,000 sequences", "sums: got '(1000, 1)'"),
    ("add", lambda inputs: inputs[..., 0].sum(0), "1,000 sequences", "a smaller error"),
]  # fmt: skip


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(why_gates, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
