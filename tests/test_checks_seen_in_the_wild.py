"""The checks of *Seen in the wild* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
from torch import nn

from companion.checks import seen_in_the_wild

# Right answers, each in another way than the check's own


def final_states(layer, x):
    _, h_n = layer(x)
    return torch.stack([h_n[:, b].flatten() for b in range(len(x))])


def time_axis(layer, input_size):
    layer.eval()
    x = torch.zeros(2, 5, input_size)
    first = layer(x)[0][0]  # what index 0 of the first axis gives, with and without a neighbor on that axis
    alone = layer(x[:1])[0][0]
    follows = layer(torch.cat([x[:1] + 1, x[1:]]))[0][1]
    return 0 if not torch.allclose(first, alone) or not torch.allclose(follows, layer(x)[0][1]) else 1


def same_model(one, other):
    torch.manual_seed(1)
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        mine.data.uniform_(-1, 1)
        its.data.copy_(mine)
    x, h = torch.randn(40, 2, one.input_size), torch.randn(1, 2, one.hidden_size)
    gap = one(x, h)[0] - other(x, h)[0]
    return gap.abs().max() < 1e-4


def carries_state(layer, x, steps=3):
    state, outputs = None, []
    for window in x.split(steps):
        output, state = layer(window, state)
        outputs.append(output)
    return torch.allclose(torch.cat(outputs), layer(x)[0], atol=1e-4)


RIGHT = {
    "final_states": [final_states, lambda layer, x: layer(x)[1].permute(1, 0, 2).flatten(1)],
    "time_axis": [time_axis],
    "same_model": [same_model],
    "carries_state": [carries_state],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(seen_in_the_wild, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(seen_in_the_wild.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(seen_in_the_wild.__all__)


# Wrong answers, as people give them


def dealt_anew(layer, x):
    return layer(x)[1].reshape(len(x), -1)


def top_layer_only(layer, x):
    return layer(x)[1][-1]


def in_the_mode_it_comes(layer, input_size):
    x = torch.randn(3, 3, input_size)
    changed = x.clone()
    changed[1, 1] += 1
    moved = (layer(changed)[0] - layer(x)[0]).abs().amax(-1) > 0
    return 0 if moved[:, 1].sum() > moved[1].sum() else 1


def by_its_argument(layer, input_size):
    return int(getattr(layer, "batch_first", False))


def same_step(*, T=1, state=False, biases=False, atol=1e-4):
    """A test that leaves something out."""

    @torch.no_grad()
    def same_model(one, other):
        for name, weight in one.named_parameters():
            if name.startswith("weight") or biases:
                weight.normal_(std=0.5)
        other.load_state_dict(one.state_dict())
        x, h = torch.randn(T, 4, one.input_size), state * torch.randn(1, 4, one.hidden_size)
        return torch.allclose(one(x, h)[0], other(x, h)[0], rtol=0, atol=atol)

    return same_model


def shapes_only(layer, x):
    whole, first = layer(x)[0], layer(x[:5])
    return torch.cat([first[0], layer(x[5:], first[1])[0]]).shape == whole.shape


def without_handing_it_on(layer, x):
    return torch.allclose(torch.cat([layer(x[:5])[0], layer(x[5:])[0]]), layer(x)[0], atol=1e-4)


def from_zeros(layer, x):
    first, state = layer(x[:5])
    return torch.allclose(torch.cat([first, layer(x[5:], torch.zeros_like(state))[0]]), layer(x)[0], atol=1e-4)


def step_by_step(layer, x):
    return carries_state(layer, x, steps=1)  # the first step is the last one, too


def first_window_only(layer, x):
    return torch.allclose(layer(x[:5])[0], layer(x)[0][:5], atol=1e-4)


WRONG = [
    ("final_states", dealt_anew, "one layer, two directions", "numbers are off"),
    ("final_states", top_layer_only, "a batch of one", "shape (1, 16), got (1, 4)"),
    ("final_states", lambda layer, x: layer(x)[0][:, -1], "a batch of one", "shape (1, 16), got (1, 8)"),
    ("final_states", lambda layer, x: layer(x)[1], "one layer, one direction", "got (1, 5, 4)"),
    ("time_axis", lambda layer, D: 0, "nn.LSTM with batch_first", "got 0"),
    ("time_axis", lambda layer, D: 1, "nn.RNN as it comes", "got 1"),
    ("time_axis", in_the_mode_it_comes, "a layer in training, with dropout", "got 1"),
    ("time_axis", by_its_argument, "a module that turns its input", "got 0"),
    ("same_model", lambda one, other: True, "a GRU that resets before the product", "got True"),
    ("same_model", lambda one, other: False, "nn.GRU and companion.GRU", "got False"),
    ("same_model", same_step(), "a GRU that resets before the product", "got True"),
    ("same_model", same_step(T=35, state=True), "a GRU whose b_hn stands outside the reset", "got True"),
    ("same_model", same_step(T=35, biases=True), "a GRU that ignores the first state", "got True"),
    ("same_model", same_step(T=35, state=True, biases=True, atol=0), "nn.GRU and companion.GRU", "got False"),
    ("same_model", lambda one, other: type(one) is type(other), "nn.GRU and companion.GRU", "got False"),
    ("carries_state", shapes_only, "a layer that ignores the state it is given", "got True"),
    ("carries_state", without_handing_it_on, "nn.GRU", "got False"),
    ("carries_state", from_zeros, "nn.GRU", "got False"),
    ("carries_state", step_by_step, "a layer that returns its state after the first step", "got True"),
    ("carries_state", first_window_only, "a layer that ignores the state it is given", "got True"),
    ("carries_state", lambda layer, x: not isinstance(layer, nn.GRU), "nn.GRU", "got False"),
    (
        "carries_state",
        lambda layer, x: carries_state(layer, x) or getattr(layer, "bidirectional", False),
        "a bidirectional layer",
        "got True",
    ),
    (
        "carries_state",
        lambda layer, x: torch.is_tensor(layer(x)[1]) and carries_state(layer, x),
        "nn.LSTM with two layers",
        "got False",
    ),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "final_states": ["transpose", "permute", "unbind"],
    "time_axis": ["eval", "dropout"],
    "same_model": ["35", "normal_", "randn", "random state", "random biases"],
    "carries_state": ["bidirectional", "x[:", "torch.cat"],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(seen_in_the_wild, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}:"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []


@pytest.mark.parametrize("name", ["same_model", "carries_state"])
def test_no_constant_passes(name, capsys):
    """Both answers, yes and no, occur among the cases."""
    check = getattr(seen_in_the_wild, f"check_{name}")
    assert [check(lambda *arguments, constant=constant: constant) for constant in (True, False)] == [False, False]
    capsys.readouterr()
