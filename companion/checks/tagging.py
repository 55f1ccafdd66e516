"""Checks of the exercises of *Tagging*."""

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor

from companion.checks.compare import compare
from companion.spans import bio_tags, bio_transitions, count_illegal, spans_to_tags, tags_to_spans

__all__ = ["check_beta", "check_count_paths", "check_expected_transitions", "check_is_legal", "check_repair"]

Scores = tuple[Tensor, Tensor, Tensor, Tensor]

SEQUENCES = {
    "a legal sentence": (["B-person", "I-person", "O", "B-place"],),
    "no name at all": (["O", "O"],),
    "an I at the very start": (["I-person", "O"],),
    "an I after O": (["O", "I-date", "O"],),
    "an I after a B of another label": (["B-person", "I-place"],),
    "an I after an I of another label": (["B-place", "I-place", "I-person", "I-person"],),
    "two names side by side": (["B-place", "B-place", "I-place"],),
}


def _scores(*shape: int) -> Scores:
    """Emissions (T, K), transitions, start and end that do not touch the reader's own random numbers."""
    T, K = shape
    source = torch.Generator().manual_seed(100 * T + K)
    return tuple(torch.randn(*size, generator=source) for size in ((T, K), (K, K), (K,), (K,)))


def _all_paths(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Every path, shape (N, T), and its score, shape (N)."""
    T, K = emissions.shape
    paths = torch.tensor(list(product(range(K), repeat=T)))
    scores = start[paths[:, 0]] + end[paths[:, -1]] + emissions[torch.arange(T), paths].sum(1)
    return paths, scores + transitions[paths[:, :-1], paths[:, 1:]].sum(1)


def check_is_legal(answer: Callable) -> bool:
    """Check ``is_legal(tags)``: whether every I follows a B or an I of its own label."""

    def reference(tags: Sequence[str]) -> bool:
        return count_illegal(tags) == 0

    hint = "Only an I can be illegal. What has to stand before it, and what stands before the first word?"
    return compare(answer, reference, SEQUENCES, hint)


def check_repair(answer: Callable) -> bool:
    """Check ``repair(tags)``: the same tags, where an illegal I-x has become B-x."""

    def reference(tags: Sequence[str]) -> list[str]:
        return spans_to_tags(tags_to_spans(tags), len(tags))

    hint = "Go from left to right, and compare each I with the tag before it. A B-x and an I-x both let an I-x follow."
    return compare(answer, reference, SEQUENCES, hint)


def check_count_paths(answer: Callable) -> bool:
    """Check ``count_paths(allowed, allowed_start, length)``: how many sequences of tags are legal."""

    def reference(allowed: Tensor, allowed_start: Tensor, length: int) -> int:
        paths = allowed_start.long()
        for _ in range(length - 1):
            paths = paths @ allowed.long()
        return int(paths.sum())

    one, three = (bio_transitions(bio_tags(labels)) for labels in (["date"], ["person", "place", "date"]))
    everything = torch.ones(3, 3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    cases = {
        "one label and four words": (*one, 4),
        "one word": (*three, 1),
        "three labels and six words": (*three, 6),
        "nothing forbidden": (*everything, 5),
    }
    hint = "Z adds up exp(score) over all paths. Which scores make each legal path count 1, and each other path 0?"
    return compare(answer, reference, cases, hint)


def check_expected_transitions(answer: Callable) -> bool:
    """Check ``expected_transitions(emissions, transitions, start, end)``: how often each is taken, on average."""

    def reference(*scores: Tensor) -> Tensor:
        paths, values = _all_paths(scores[0][:, 0], *scores[1:])
        counts = torch.zeros(len(paths), *scores[1].shape)
        for before, after in zip(paths.T[:-1], paths.T[1:], strict=True):
            counts[torch.arange(len(paths)), before, after] += 1
        return torch.einsum("n,nij->ij", values.softmax(0), counts)

    def case(*shape: int) -> Scores:
        emissions, *others = _scores(*shape)
        return emissions.unsqueeze(1), *others

    cases = {"T = 4, K = 3": case(4, 3), "T = 2, K = 4": case(2, 4), "T = K = 3": case(3, 3)}
    hint = "The gradient of log Z by an emission is how probable that tag is. By what do you differentiate here?"
    return compare(answer, reference, cases, hint)


def check_beta(answer: Callable) -> bool:
    """Check ``beta(emissions, transitions, end)``: for every step and tag, log of the sum over all that may follow."""

    def reference(emissions: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
        rows = [end]
        for step in range(len(emissions) - 1, 0, -1):
            ways = [row + emissions[step] + rows[-1] for row in transitions]
            rows.append(torch.stack([torch.logsumexp(way, 0) for way in ways]))
        return torch.stack(rows[::-1])

    def case(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
        emissions, transitions, _, end = _scores(*shape)
        return emissions, transitions, end

    cases = {
        "T = 5, K = 3": case(5, 3),
        "one step": case(1, 4),
        "T = K = 4": case(4, 4),
        "large scores": tuple(200 * part for part in case(6, 3)),
    }
    hint = (
        "Start from the last step, where only end is left. One step earlier add, for each tag that may come next, its "
        "transition, its emission and its own beta, and take logsumexp over the tag that comes next."
    )
    return compare(answer, reference, cases, hint)
