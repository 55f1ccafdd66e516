"""Checks of the exercises of *Text classification*."""

from collections.abc import Callable

import torch
from torch import Tensor

from companion.batching import length_mask
from companion.checks.compare import compare

__all__ = ["check_attention_pool", "check_confusion", "check_macro_f1", "check_where_max"]


def _random(*shape: int) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def _confusion(truth: Tensor, answers: Tensor, num_classes: int) -> Tensor:
    return torch.bincount(truth * num_classes + answers, minlength=num_classes**2).view(num_classes, num_classes)


def _classes(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


CASES = {
    "all right": (_classes(0, 1, 2, 1), _classes(0, 1, 2, 1), 3),
    "class 0 taken for class 1, twice": (_classes(0, 0, 0, 1), _classes(1, 1, 0, 1), 2),
    "a class that is never answered": (_classes(0, 1, 2, 2), _classes(0, 1, 0, 1), 3),
    "a class that never occurs": (_classes(0, 1, 1), _classes(0, 2, 1), 4),
}


def check_confusion(answer: Callable) -> bool:
    """Check ``confusion(truth, answers, num_classes)``: counts of shape (C, C), a row for each true class."""
    hint = "Row i, column j counts the texts of class i that were answered j. Every text adds 1 to one place."
    return compare(answer, _confusion, CASES, hint)


def check_macro_f1(answer: Callable) -> bool:
    """Check ``macro_f1(truth, answers, num_classes)``: the mean of F1 over all classes, 0 for one without any."""

    def reference(truth: Tensor, answers: Tensor, num_classes: int) -> float:
        counts = _confusion(truth, answers, num_classes).double()
        either = counts.sum(0) + counts.sum(1)
        return float((2 * counts.diag() / either.clamp(min=1)).mean())

    hint = (
        "F1 of a class is 2 * right / (how often it was answered + how often it is true). Every class counts the same, "
        "and one that neither occurs nor is answered counts 0."
    )
    return compare(answer, reference, CASES, hint)


def check_where_max(answer: Callable) -> bool:
    """Check ``where_max(output, lengths)``: which share of the features is largest at which step, shape (T, B)."""

    def reference(output: Tensor, lengths: Tensor) -> Tensor:
        shares = torch.zeros(output.shape[:2])
        for row, length in enumerate(lengths.tolist()):
            for step in output[:length, row].argmax(0).tolist():
                shares[step, row] += 1 / output.shape[2]
        return shares

    below_zero = -_random(5, 2, 8).abs()
    cases = {
        "no padding": (_random(4, 3, 8), torch.tensor([4, 4, 4])),
        "lengths 5 and 2": (_random(5, 2, 8), torch.tensor([5, 2])),
        "outputs below zero, zeros in the padding": (
            torch.where(length_mask(torch.tensor([5, 3])).unsqueeze(-1), below_zero, 0.0),
            torch.tensor([5, 3]),
        ),
        "T = B = F = 4": (_random(4, 4, 4), torch.tensor([1, 4, 2, 3])),
    }
    hint = "Put minus infinity into the padding, ask for argmax over time, and count how many features chose each step."
    return compare(answer, reference, cases, hint)


def check_attention_pool(answer: Callable) -> bool:
    """Check ``attention_pool(output, scores, lengths)``: a mean weighted by the softmax of the scores, (B, F)."""

    def reference(output: Tensor, scores: Tensor, lengths: Tensor) -> Tensor:
        rows = enumerate(lengths.tolist())
        return torch.stack([scores[:n, row].softmax(0) @ output[:n, row] for row, n in rows])

    cases = {
        "no padding": (_random(4, 2, 3), _random(4, 2), torch.tensor([4, 4])),
        "lengths 5 and 2": (_random(5, 2, 3), _random(5, 2), torch.tensor([5, 2])),
        "a high score in the padding": (
            _random(3, 2, 3),
            torch.tensor([[0.0, 1.0], [1.0, 9.0], [2.0, 9.0]]),
            torch.tensor([3, 1]),
        ),
        "scores of 1000": (_random(3, 2, 3), 1000 * _random(3, 2), torch.tensor([3, 2])),
        "T = B = F = 3": (_random(3, 3, 3), _random(3, 3), torch.tensor([2, 3, 1])),
    }
    hint = "Which score gets a weight of exactly 0 from softmax? And over which dimension do the weights sum to 1?"
    return compare(answer, reference, cases, hint)
