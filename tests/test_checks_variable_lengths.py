"""The checks of *Variable lengths* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_packed_sequence, unpack_sequence

from companion.checks import variable_lengths

# Right answers, each in another way than the check's own


def real_steps(outputs, lengths):
    return (torch.arange(len(outputs))[:, None] < lengths)[..., None]


def mean_over_time(outputs, lengths):
    return (outputs * real_steps(outputs, lengths)).sum(0) / lengths[:, None]


def mean_by_weights(outputs, lengths):
    weights = real_steps(outputs, lengths)[..., 0] / lengths
    return torch.einsum("tb,tbh->bh", weights, outputs)


def max_over_time(outputs, lengths):
    return torch.where(real_steps(outputs, lengths), outputs, -torch.inf).amax(0)


def sentence_losses(logits, targets):
    losses = F.cross_entropy(logits.permute(1, 2, 0), targets.T, reduction="none")  # (B, V, T) and (B, T)
    return losses.sum(1) / (targets.T >= 0).sum(1)


def reverse_each(x, lengths):
    steps = torch.arange(len(x))[:, None]
    return x[torch.where(steps < lengths, lengths - 1 - steps, steps), torch.arange(len(lengths))]


def reverse_by_copies(x, lengths):
    return torch.stack([torch.cat([row[:n].flip(0), row[n:]]) for row, n in zip(x.unbind(1), lengths, strict=True)], 1)


def last_outputs(packed):
    sizes = packed.batch_sizes
    ends = torch.arange(int(sizes[0]))
    for step, size in enumerate(sizes.tolist()):
        ends[:size] = int(sizes[:step].sum()) + torch.arange(size)
    last = packed.data[ends]
    return last if packed.unsorted_indices is None else last[packed.unsorted_indices]


def token_batches(lengths, budget):
    batches, current = [], []
    for index in lengths.argsort(descending=True):
        if current and int(lengths[current[0]]) * (len(current) + 1) > budget:
            batches.append(current)
            current = []
        current = [*current, index]
    return [*batches, current]


RIGHT = {
    "mean_over_time": [mean_over_time, mean_by_weights],
    "max_over_time": [max_over_time],
    "sentence_losses": [sentence_losses],
    "reverse_each": [reverse_each, reverse_by_copies],
    "last_outputs": [last_outputs, lambda packed: torch.stack([one[-1] for one in unpack_sequence(packed)])],
    "token_batches": [token_batches],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(variable_lengths, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(variable_lengths.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(variable_lengths.__all__)


# Wrong answers, as people give them


def max_of_zeros(outputs, lengths):
    return (outputs * real_steps(outputs, lengths)).amax(0)


def max_of_minus_a_thousand(outputs, lengths):
    return outputs.masked_fill(~real_steps(outputs, lengths), -1000.0).amax(0)


def losses_over_all_steps(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets).mean(0)


def last_without_the_way_back(packed):
    padded, lengths = pad_packed_sequence(packed._replace(unsorted_indices=None))
    return padded[lengths - 1, torch.arange(len(lengths))]


def last_of_the_block(packed):
    return pad_packed_sequence(packed)[0][-1]


def batches_by_own_length(lengths, budget):
    batches, used = [[]], 0
    for index in lengths.argsort(descending=True).tolist():
        if used + int(lengths[index]) > budget:
            batches.append([])
            used = 0
        batches[-1].append(index)
        used += int(lengths[index])
    return batches


def batches_in_reading_order(lengths, budget):
    return [[index] for index in range(len(lengths))]


WRONG = [
    ("mean_over_time", lambda outputs, lengths: outputs.mean(0), "lengths 5, 2 and 3", "numbers are off"),
    ("mean_over_time", lambda o, n: o.sum(0) / n[:, None], "padding that holds 7", "numbers are off"),
    ("mean_over_time", lambda o, n: (o * real_steps(o, n)).mean(0), "lengths 5, 2 and 3", "numbers are off"),
    ("max_over_time", lambda outputs, lengths: outputs.amax(0), "padding that holds 7", "numbers are off"),
    ("max_over_time", max_of_zeros, "outputs that are all below zero", "numbers are off"),
    ("max_over_time", max_of_minus_a_thousand, "outputs that are all below -1000", "numbers are off"),
    ("sentence_losses", losses_over_all_steps, "lengths 5, 2 and 3", "numbers are off"),
    (
        "sentence_losses",
        lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten()),
        "lengths all 3",
        "shape (2,), got ()",
    ),
    ("reverse_each", lambda x, lengths: x.flip(0), "lengths 5, 2 and 3", "numbers are off"),
    ("reverse_each", lambda x, n: reverse_each(x, n) * real_steps(x, n), "padding that holds 7", "numbers are off"),
    ("last_outputs", last_of_the_block, "sorted lengths 5, 3 and 2", "numbers are off"),
    ("last_outputs", last_without_the_way_back, "lengths 2, 5, 4 and 1", "numbers are off"),
    (
        "last_outputs",
        lambda packed: last_without_the_way_back(packed)[packed.unsorted_indices + 0],
        "sorted lengths 5, 3 and 2",
        "raised TypeError",
    ),
    ("token_batches", batches_by_own_length, "a budget that the longest sequence fills", "keeps to the budget"),
    ("token_batches", batches_in_reading_order, "lengths 2, 5, 4, 1", "the number of batches"),
    ("token_batches", lambda lengths, budget: [[0]], "lengths 2, 5, 4, 1", "the sequences in all batches"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(variable_lengths, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
