"""The checks of *More than one machine* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch

from companion import next_token_loss
from companion.checks import more_than_one_machine
from companion.distributed import count_targets, shard

# Right answers, each in another way than the check's own


def whole_loss(losses, counts):
    total = 0.0
    for loss, count in zip(losses, counts, strict=True):
        if count > 0:
            total += loss * count
    return total / sum(counts)


def all_reduce_seconds(n, gradient_bytes, bandwidth, latency):
    turns = 2 * n - 2
    return turns * (gradient_bytes / (n * bandwidth) + latency)


def best_number(compute, gradient_bytes, bandwidth, latency, most):
    seconds = [compute / n + all_reduce_seconds(n, gradient_bytes, bandwidth, latency) for n in range(1, most + 1)]
    return 1 + seconds.index(min(seconds))


def accumulated_gradient(model, batch, parts, weigh=True, count=count_targets):
    model.zero_grad()
    for rank in range(parts):
        part = shard(batch, rank, parts)
        share = count(part) / count(batch) if weigh else 1 / parts
        (share * next_token_loss(model, part)[0]).backward()


RIGHT = {
    "whole_loss": whole_loss,
    "all_reduce_seconds": all_reduce_seconds,
    "best_number": best_number,
    "accumulated_gradient": accumulated_gradient,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(more_than_one_machine, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert {f"check_{name}" for name in RIGHT} == set(more_than_one_machine.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(more_than_one_machine.__all__)


# Wrong answers, as people give them


def mean_of_means(losses, counts):
    return sum(losses) / len(losses)


def not_careful(losses, counts):
    return sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)


def everything_to_everyone(n, gradient_bytes, bandwidth, latency):
    return (n - 1) * gradient_bytes / bandwidth + (n - 1) * latency


def latency_once(n, gradient_bytes, bandwidth, latency):
    return 2 * (n - 1) / n * gradient_bytes / bandwidth + latency * (n > 1)


def the_most(compute, gradient_bytes, bandwidth, latency, most):
    return most


def counted_from_0(*arguments):
    return best_number(*arguments) - 1


def last_part(model, batch, parts):
    for rank in range(parts):
        model.zero_grad()
        next_token_loss(model, shard(batch, rank, parts))[0].backward()


def summed(model, batch, parts):
    for rank in range(parts):
        next_token_loss(model, shard(batch, rank, parts))[0].backward()


WRONG = [
    ("whole_loss", mean_of_means, "On parts of 1 and 3 targets", "Each target counts once"),
    ("whole_loss", not_careful, "a part without a target", "one with none"),
    ("all_reduce_seconds", everything_to_everyone, "On eight processes, no latency", "2 (n - 1) turns"),
    ("all_reduce_seconds", latency_once, "a latency of 1 ms", "each turn waits"),
    ("best_number", the_most, "On a slow network: better alone", "Try every n"),
    ("best_number", counted_from_0, "On a long step", "from 1 to most"),
    ("accumulated_gradient", last_part, "On four sequences in two parts: the gradient of", "adds to the gradients"),
    ("accumulated_gradient", summed, "On four sequences in two parts", "its share of the targets"),
    (
        "accumulated_gradient",
        lambda *arguments: accumulated_gradient(*arguments, weigh=False),
        "On five sequences in two parts",
        "its share of the targets",
    ),
    (
        "accumulated_gradient",
        lambda *arguments: accumulated_gradient(*arguments, count=lambda batch: batch[-1].numel()),
        "On targets of -100 in the first part",
        "count_targets leaves out",
    ),
]


@pytest.mark.parametrize("name, answer, where, hint", WRONG)
def test_a_wrong_answer_learns_where_and_gets_a_hint(name, answer, where, hint, capsys):
    assert getattr(more_than_one_machine, f"check_{name}")(answer) is False
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("Not yet. ") and where in first, first
    assert hint in " ".join(rest)


def test_the_cases_ask_for_different_numbers():
    answers = []

    def note(*arguments):
        answers.append(best_number(*arguments))
        return answers[-1]

    more_than_one_machine.check_best_number(note)
    assert answers[:2] == [16, 1] and 1 < answers[2] < 64 and 1 < answers[3] < 64
    assert math.isclose(all_reduce_seconds(2, 8.0, 1.0, 0.0), 8.0)
