"""The checks of *Tagging* pass right answers, and tell wrong ones what is wrong."""

from itertools import pairwise

import pytest
import torch

from companion.checks import tagging
from companion.crf import log_partition

# Right answers, each in another way than the check's own


def is_legal(tags):
    return all(
        not tag.startswith("I") or (before != "O" and before[2:] == tag[2:])
        for before, tag in zip(["O", *tags], tags, strict=False)
    )


def repair(tags):
    legal = []
    for tag in tags:
        fits = legal and legal[-1] != "O" and legal[-1][2:] == tag[2:]
        legal.append("B" + tag[1:] if tag.startswith("I") and not fits else tag)
    return legal


def count_paths(allowed, allowed_start, length):
    zeros = torch.zeros(len(allowed), dtype=torch.float64)
    transitions = torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(~allowed, -1e4)
    emissions = torch.zeros(length, 1, len(allowed), dtype=torch.float64)
    start = zeros.masked_fill(~allowed_start, -1e4)
    return round(log_partition(emissions, transitions, start, zeros).exp().item())


def expected_transitions(emissions, transitions, start, end):
    transitions = transitions.clone().requires_grad_()
    total = log_partition(emissions, transitions, start, end).sum()
    return torch.autograd.grad(total, transitions)[0]


def beta(emissions, transitions, end):
    rows = [end]
    for emission in emissions[1:].flip(0):
        rows.append(torch.logsumexp(transitions + emission + rows[-1], dim=1))
    return torch.stack(rows[::-1])


RIGHT = {
    tagging.check_is_legal: is_legal,
    tagging.check_repair: repair,
    tagging.check_count_paths: count_paths,
    tagging.check_expected_transitions: expected_transitions,
    tagging.check_beta: beta,
}


@pytest.mark.parametrize("check, answer", RIGHT.items(), ids=lambda thing: thing.__name__)
def test_right_answers_pass(check, answer, capsys):
    assert check(answer)
    assert "Right" in capsys.readouterr().out


# Wrong ones


def legal_but_for_labels(tags):
    return all(not tag.startswith("I") or before != "O" for before, tag in zip(["O", *tags], tags, strict=False))


def legal_but_for_the_start(tags):
    return all(not b.startswith("I") or (a != "O" and a[2:] == b[2:]) for a, b in pairwise(tags))


def repair_against_the_old_tags(tags):
    return ["B" + tag[1:] if tag.startswith("I") else tag for tag in tags]


def count_all(allowed, allowed_start, length):
    return len(allowed) ** length


def count_any_start(allowed, allowed_start, length):
    return count_paths(allowed, torch.ones_like(allowed_start), length)


def transposed(*scores):
    return expected_transitions(*scores).T


def beta_without_end(emissions, transitions, end):
    return beta(emissions, transitions, end * 0)


def beta_over_the_wrong_axis(emissions, transitions, end):
    rows = [end]
    for emission in emissions[1:].flip(0):
        rows.append(torch.logsumexp(transitions + emission + rows[-1], dim=0))
    return torch.stack(rows[::-1])


def beta_without_logs(emissions, transitions, end):
    rows = [end.exp()]
    for emission in emissions[1:].flip(0):
        rows.append((transitions + emission).exp() @ rows[-1])
    return torch.stack(rows[::-1]).log()


WRONG = [
    (tagging.check_is_legal, legal_but_for_labels, "an I after a B of another label", "What has to stand before it"),
    (tagging.check_is_legal, legal_but_for_the_start, "an I at the very start", "before the first word"),
    (tagging.check_repair, repair_against_the_old_tags, "a legal sentence", "from left to right"),
    (tagging.check_count_paths, count_all, "one label and four words", "each other path 0"),
    (tagging.check_count_paths, count_any_start, "one label and four words", "Z adds up"),
    (tagging.check_expected_transitions, transposed, "T = 4, K = 3", "gradient of log Z"),
    (tagging.check_beta, beta_without_end, "T = 5, K = 3", "only end is left"),
    (tagging.check_beta, beta_over_the_wrong_axis, "T = 5, K = 3", "the tag that comes next"),
    (tagging.check_beta, beta_without_logs, "large scores", "logsumexp"),
]


@pytest.mark.parametrize("check, answer, case, hint", WRONG, ids=lambda thing: getattr(thing, "__name__", None))
def test_wrong_answers_are_told_where_and_get_a_hint(check, answer, case, hint, capsys):
    assert not check(answer)
    printed = capsys.readouterr().out
    assert f"On {case}:" in printed and hint in printed


def test_the_readers_random_numbers_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    for check, answer in RIGHT.items():
        check(answer)
    assert torch.equal(torch.rand(3), expected)
