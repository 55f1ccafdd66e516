"""Checks of the exercises of *More than one machine*."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import random_numbers, with_random_weights

__all__ = [
    "check_accumulated_gradient",
    "check_all_reduce_seconds",
    "check_best_number",
    "check_whole_loss",
]


def check_whole_loss(answer: Callable) -> bool:
    """Check ``whole_loss(losses, counts)``: the mean loss of a batch, from the means of its parts."""

    def reference(losses: list[float], counts: list[int]) -> float:
        return sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)

    cases = {
        "parts of equal size": ([1.0, 3.0], [10, 10]),
        "parts of 1 and 3 targets": ([2.0, 6.0], [1, 3]),
        "a part without a target, whose mean is not a number": ([2.0, float("nan"), 4.0], [3, 0, 1]),
    }

    def careful(losses: list[float], counts: list[int]) -> float:
        known = [(loss, count) for loss, count in zip(losses, counts, strict=True) if count]
        return reference(*map(list, zip(*known, strict=True)))

    hint = "Each target counts once. How much does a part with three of them weigh? And one with none?"
    return compare(answer, careful, cases, hint)


def _seconds(n: int, gradient_bytes: float, bandwidth: float, latency: float) -> float:
    return 2 * (n - 1) / n * gradient_bytes / bandwidth + 2 * (n - 1) * latency


def check_all_reduce_seconds(answer: Callable) -> bool:
    """Check ``all_reduce_seconds(n, gradient_bytes, bandwidth, latency)``: how long the ring takes."""
    cases = {
        "one process, which sends nothing": (1, 4e7, 1e9, 1e-4),
        "two processes, no latency": (2, 4e7, 1e9, 0.0),
        "eight processes, no latency": (8, 4e7, 1.25e8, 0.0),
        "eight processes, a tiny gradient and a latency of 1 ms": (8, 8.0, 1e9, 1e-3),
        "64 processes, with both": (64, 4e7, 1.25e9, 5e-5),
    }
    hint = (
        "The ring has 2 (n - 1) turns. In each a process sends one n-th of the gradient, and each turn waits for the "
        "latency once."
    )
    return compare(answer, _seconds, cases, hint)


def check_best_number(answer: Callable) -> bool:
    """Check ``best_number(compute, gradient_bytes, bandwidth, latency, most)``: with how many a step is shortest."""

    def reference(compute: float, gradient_bytes: float, bandwidth: float, latency: float, most: int) -> int:
        return min(range(1, most + 1), key=lambda n: compute / n + _seconds(n, gradient_bytes, bandwidth, latency))

    cases = {
        "a long step and a fast network: all 16": (10.0, 4e7, 1e11, 1e-6, 16),
        "a slow network: better alone": (0.05, 4e7, 1.25e8, 1e-4, 16),
        "a large latency: some of 64": (1.0, 4e6, 1e9, 5e-3, 64),
        "all 64 would be too many": (0.5, 4e7, 1.25e9, 1e-3, 64),
    }
    hint = "The computation takes compute / n, the ring what you know. Try every n from 1 to most: it is quickly done."
    return compare(answer, reference, cases, hint)


class _Tagger(nn.Module):
    """A small model of the form that next_token_loss calls."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer, self.output = nn.Embedding(6, 4), nn.GRU(4, 5), nn.Linear(5, 6)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        outputs, state = self.layer(self.embedding(tokens), state)
        return self.output(outputs), state


def _call_accumulated(answer: Callable, batch: tuple[Tensor, Tensor], parts: int) -> dict[str, Any]:
    """What is left in the gradients of a model, and what the answer returned."""
    model = with_random_weights(_Tagger)
    answer(model, batch, parts)
    return {
        f"the gradient of {name}": torch.zeros(0) if weight.grad is None else weight.grad
        for name, weight in model.named_parameters()
    }


def check_accumulated_gradient(answer: Callable) -> bool:
    """Check ``accumulated_gradient(model, batch, parts)``: leaves the batch's gradient in the weights' ``grad``."""

    def reference(model: nn.Module, batch: tuple[Tensor, Tensor], parts: int) -> None:
        inputs, targets = batch
        logits, _ = model(inputs)
        F.cross_entropy(logits.flatten(0, -2), targets.flatten()).backward()

    def case(sequences: int, parts: int, masked: int = 0) -> tuple[tuple[Tensor, Tensor], int]:
        tokens = random_numbers(6, sequences, 6).argmax(-1)
        targets = random_numbers(6, sequences, 6, seed=1).argmax(-1)
        targets[:5, :masked] = -100
        return (tokens, targets), parts

    cases = {
        "one part": case(4, 1),
        "four sequences in two parts": case(4, 2),
        "five sequences in two parts": case(5, 2),
        "targets of -100 in the first part": case(4, 2, masked=2),
    }
    hint = (
        "backward() adds to the gradients that are there. Each part's loss has to count by its share of the targets "
        "before you call it; count_targets leaves out what cross-entropy leaves out."
    )
    return compare(answer, reference, cases, hint, call=_call_accumulated)
