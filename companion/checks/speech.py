"""Checks of the exercises of *From sound to digits*."""

from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from companion.checks.compare import compare
from companion.ctc import collapse, greedy_decode

__all__ = ["check_best_alignment", "check_bold_decode", "check_count_paths", "check_least_steps", "check_snr"]


def check_snr(answer: Callable) -> bool:
    """Check ``snr(tones, noise)``: the ratio of their mean powers, in decibels."""

    def reference(tones: Tensor, noise: Tensor) -> float:
        return float(10 * torch.log10(tones.square().mean() / noise.square().mean()))

    source = torch.Generator().manual_seed(0)
    wave, noise = torch.randn(800, generator=source), torch.randn(800, generator=source)
    cases = {
        "two sounds of one power": (torch.ones(8), -torch.ones(8)),
        "noise of a tenth of the amplitude": (wave, 0.1 * wave),
        "noise louder than the tones": (0.3 * wave, noise),
        "sounds of different lengths": (wave[:100], noise),
    }
    hint = "Power is the mean of the squares. Ten times the power are 10 dB; ten times the amplitude are 20."
    return compare(answer, reference, cases, hint)


def check_least_steps(answer: Callable) -> bool:
    """Check ``least_steps(labels)``: the fewest steps in which a path can say these labels."""

    def reference(labels: list[int]) -> int:
        return len(labels) + sum(first == second for first, second in pairwise(labels))

    cases = {
        "1 2 3": ([1, 2, 3],),
        "a label said twice, 7 7": ([7, 7],),
        "the same label three times": ([4, 4, 4],),
        "equal labels that are not neighbors, 1 2 1": ([1, 2, 1],),
        "nothing to say": ([],),
    }
    return compare(answer, reference, cases, "Where must a blank stand, and where may it be left out?")


def check_count_paths(answer: Callable) -> bool:
    """Check ``count_paths(num_steps, labels)``: how many paths of so many steps say these labels."""

    def reference(num_steps: int, labels: list[int]) -> int:
        classes = range(max(labels, default=0) + 1)
        return sum(collapse(path) == labels for path in product(classes, repeat=num_steps))

    cases = {
        "two steps for one label": (2, [1]),
        "as many steps as labels": (3, [1, 2, 3]),
        "a repeated label": (5, [1, 1]),
        "too few steps": (2, [2, 2]),
        "nothing to say": (4, []),
        "seven steps for 1 2 1": (7, [1, 2, 1]),
    }
    hint = (
        "It is the forward recursion with counts in place of probabilities: every state counts the paths that reach "
        "it. When may a path skip a blank?"
    )
    return compare(answer, reference, cases, hint)


def check_best_alignment(answer: Callable) -> bool:
    """Check ``best_alignment(log_probs, labels)``: the most likely path that says these labels."""

    def reference(log_probs: Tensor, labels: list[int]) -> list[int]:
        T, C = log_probs.shape
        paths = [list(path) for path in product(range(C), repeat=T) if collapse(path) == labels]
        scores = [log_probs[torch.arange(T), torch.tensor(path)].sum() for path in paths]
        return paths[int(torch.stack(scores).argmax())]

    def case(steps: int, labels: list[int]) -> tuple[Tensor, list[int]]:
        source = torch.Generator().manual_seed(steps)
        return (2 * torch.randn(steps, max(labels, default=0) + 1, generator=source)).log_softmax(-1), labels

    even = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9]]).log()
    cases = {
        "one label in four steps": case(4, [1]),
        "two labels in six steps": case(6, [1, 2]),
        "a repeated label that wants no blank": (even, [1, 1]),
        "as many steps as labels": case(3, [1, 2, 1]),
        "nothing to say": case(3, []),
    }
    hint = (
        "Where the recursion sums over the three ways into a state, take the best, and remember which it was. "
        "Then walk back from the better of the two last states."
    )
    return compare(answer, reference, cases, hint, call=_as_list)


def check_bold_decode(answer: Callable) -> bool:
    """Check ``bold_decode(log_probs, input_lengths, penalty)``: greedy decoding with the blank made less likely."""

    def reference(log_probs: Tensor, input_lengths: Tensor, penalty: float) -> list[list[int]]:
        offset = torch.zeros(log_probs.shape[-1])
        offset[0] = penalty
        return greedy_decode(log_probs - offset, input_lengths)

    log_probs = torch.randn(12, 3, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    lengths = torch.tensor([12, 7, 3])
    cases = {
        "no penalty": (log_probs, lengths, 0.0),
        "a penalty of 1": (log_probs, lengths, 1.0),
        "a penalty that no blank survives": (log_probs, lengths, 100.0),
        "a negative penalty": (log_probs, lengths, -1.5),
    }
    hint = "Only class 0 is touched, at every step of every sequence, and before the best class is chosen."
    return compare(answer, reference, cases, hint, call=_leaving_the_input)


def _leaving_the_input(answer: Callable, log_probs: Tensor, *arguments: Any) -> dict[str, Any]:
    before = log_probs.clone()
    labels = answer(log_probs, *arguments)
    return {"the labels": labels, "log_probs afterwards": bool(torch.equal(log_probs, before))}


def _as_list(answer: Callable, log_probs: Tensor, labels: list[int]) -> list[int]:
    return [int(label) for label in answer(log_probs, labels)]
