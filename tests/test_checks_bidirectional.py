"""The checks of *Bidirectional networks, twice* pass right answers, and tell wrong ones what is wrong."""

import pytest
import torch
import torch.nn.functional as F

from companion.checks import bidirectional

# Right answers, each in another way than the check's own


def final_states(outputs, hidden_size):
    return torch.cat([outputs[-1, :, :hidden_size], outputs[0, :, hidden_size:]], -1)


def final_states_by_views(outputs, hidden_size):
    forward, reverse = outputs.view(*outputs.shape[:2], 2, hidden_size).unbind(2)
    return torch.cat([forward[-1], reverse[0]], 1)


def count_parameters(input_size, hidden_size, num_layers, bidirectional):
    directions = 1 + bidirectional
    widths = [input_size] + [directions * hidden_size] * (num_layers - 1)
    return sum(directions * 3 * hidden_size * (width + hidden_size + 2) for width in widths)


def top_states(h_n, num_layers):
    return torch.cat(list(h_n.view(num_layers, -1, *h_n.shape[1:])[-1]), -1)


def top_states_by_axes(h_n, num_layers):
    return h_n.unflatten(0, (num_layers, -1))[-1].transpose(0, 1).flatten(1)


def late_targets(targets, delay):
    late = torch.full_like(targets, -100)
    late[delay:] = targets[: max(len(targets) - delay, 0)]
    return late


def late_by_cat(targets, delay):
    return torch.cat([torch.full_like(targets, -100)[:delay], targets])[: len(targets)]


def reads_ahead(run, x):
    x = x.clone().requires_grad_()
    farthest = 0
    for step, output in enumerate(run(x)):
        (gradient,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
        farthest = max(farthest, *(gradient.abs().sum((1, 2)).nonzero().flatten() - step).tolist(), 0)
    return farthest


def reads_ahead_by_change(run, x):
    farthest = 0
    for step in range(len(x)):
        changed = x.clone()
        changed[step] += 1
        moved = (run(changed) != run(x)).flatten(1).any(1).nonzero().flatten()
        farthest = max(farthest, *(step - moved).tolist(), 0)
    return farthest


def deep_bidirectional(pairs, x):
    for forward, reverse in pairs:
        there, back = forward(x)[0], reverse(x.flip(0))[0]
        x = torch.cat([there, back.flip(0)], -1)
    return x


RIGHT = {
    "final_states": [final_states, final_states_by_views],
    "count_parameters": [count_parameters],
    "top_states": [top_states, top_states_by_axes],
    "late_targets": [late_targets, late_by_cat],
    "reads_ahead": [reads_ahead, reads_ahead_by_change],
    "deep_bidirectional": [deep_bidirectional],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(bidirectional, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(bidirectional.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(bidirectional.__all__)


# Wrong answers, as people give them


def count_as_if_doubled(input_size, hidden_size, num_layers, bidirectional):
    return (1 + bidirectional) * count_parameters(input_size, hidden_size, num_layers, False)


def count_one_bias(input_size, hidden_size, num_layers, bidirectional):
    return 3 * hidden_size * (input_size + hidden_size + 1)


def late_with_minus_delay(targets, delay):
    return F.pad(targets[:-delay], (0, 0) * (targets.dim() - 1) + (delay, 0), value=-100)


def stack_each_direction(pairs, x):
    there, back = x, x.flip(0)
    for forward, reverse in pairs:
        there, back = forward(there)[0], reverse(back)[0]
    return torch.cat([there, back.flip(0)], -1)


def forget_to_flip_back(pairs, x):
    for forward, reverse in pairs:
        x = torch.cat([forward(x)[0], reverse(x.flip(0))[0]], -1)
    return x


def swap_the_pair(pairs, x):
    return deep_bidirectional([(reverse, forward) for forward, reverse in pairs], x)


def add_the_directions(pairs, x):
    ((forward, reverse),) = pairs[:1]
    return forward(x)[0] + reverse(x.flip(0))[0].flip(0)


WRONG = [
    ("final_states", lambda outputs, hidden_size: outputs[-1], "T = 5, B = 3, H = 2", "numbers are off"),
    ("final_states", lambda outputs, hidden_size: outputs[0], "T = 5, B = 3, H = 2", "numbers are off"),
    ("final_states", lambda o, h: torch.stack([o[-1, :, :h], o[0, :, h:]]), "T = 5", "got (2, 3, 2)"),
    ("count_parameters", count_as_if_doubled, "two layers, two directions", "is not it"),
    ("count_parameters", count_one_bias, "one layer, one direction", "is not it"),
    ("top_states", lambda h_n, num_layers: h_n[-1], "one layer, two directions", "shape (3, 10), got (3, 5)"),
    (
        "top_states",
        lambda h_n, num_layers: h_n.view(num_layers, -1, *h_n.shape[1:])[-1].reshape(h_n.shape[1], -1),
        "one layer, two directions",
        "numbers are off",
    ),
    ("top_states", lambda h_n, L: torch.cat([h_n[-2], h_n[-1]], -1), "two layers, one direction", "shape"),
    ("late_targets", late_with_minus_delay, "no delay", "shape"),
    ("late_targets", lambda targets, delay: targets.roll(delay, 0), "a delay of 2", "numbers are off"),
    ("reads_ahead", lambda run, x: len(x) - 1, "a GRU", "got 6"),
    ("reads_ahead", lambda run, x: 0, "a running mean", "got 0"),
    ("deep_bidirectional", stack_each_direction, "two layers of GRUs", "raised RuntimeError"),
    ("deep_bidirectional", forget_to_flip_back, "one layer of GRUs", "numbers are off"),
    ("deep_bidirectional", swap_the_pair, "a pair whose layers differ", "numbers are off"),
    ("deep_bidirectional", add_the_directions, "one layer of GRUs", "shape"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(bidirectional, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
