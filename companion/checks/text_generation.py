"""Checks of the exercises of *Text generation*."""

import math
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import torch
from torch import Tensor

from companion.checks.compare import compare

__all__ = [
    "check_beam_by_hand",
    "check_best_of_all",
    "check_copied_share",
    "check_keep_likely",
    "check_rule_out_repeats",
]


def _random(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def check_beam_by_hand(texts: Iterable[str], chances: Iterable[float]) -> bool:
    """Check the two texts that a beam of width 2 keeps after three letters of the drawing, and their chances."""
    expected = {
        "the two texts, the likelier one first": "bca bcb",
        "their chances, to two decimals": "0.18 0.11",
    }
    answers = {
        "the two texts, the likelier one first": lambda: " ".join(texts),
        "their chances, to two decimals": lambda: " ".join(f"{chance:.2f}" for chance in chances),
    }
    hint = (
        "Three continuations for each text in hand, so there are six products to compare, and no rule that each text "
        "in hand must have a child."
    )
    cases = {name: (name,) for name in expected}
    return compare(lambda name: answers[name](), lambda name: expected[name], cases, hint)


def check_keep_likely(answer: Callable) -> bool:
    """Check ``keep_likely(logits, share)``: minus infinity for tokens below that share of the likeliest's chance."""

    def reference(logits: Tensor, share: float) -> Tensor:
        probabilities = logits.softmax(-1)
        return logits.masked_fill(probabilities < share * probabilities.amax(-1, keepdim=True), -math.inf)

    def chances(keep: Callable, *arguments: Any) -> tuple[Tensor, Tensor]:
        kept = keep(*arguments)
        return torch.isfinite(kept), kept.softmax(-1)

    cases = {
        "a share of 0.1": (_random(7), 0.1),
        "a sure row and an unsure one": (torch.tensor([[6.0, 1.0, 0.0, -1.0], [0.3, 0.2, 0.1, 0.0]]), 0.3),
        "logits below zero": (_random(3, 5) - 9, 0.2),
        "a share of 1": (torch.tensor([0.5, 2.0, 2.0, -1.0]), 1.0),
    }
    hint = "The bar is another one for every row: a share of that row's highest probability. How far is that in logits?"
    return compare(answer, reference, cases, hint, call=chances)


def check_copied_share(answer: Callable) -> bool:
    """Check ``copied_share(text, source, length)``: the share of characters inside copied runs of that length."""

    def reference(text: str, source: str, length: int) -> float:
        inside = [False] * len(text)
        for start in range(len(text) - length + 1):
            if text[start : start + length] in source:
                inside[start : start + length] = [True] * length
        return sum(inside) / len(text)

    cases = {
        "a text of which nothing is copied": ("abcabc", "xyz" * 9, 3),
        "one run in the middle": ("xxxx the lock xxxx", "at the lock again", 10),
        "two runs that overlap": ("abcdefgh", "abcde fghij cdefg", 5),
        "a text copied whole": ("the gate", "by the gate of", 4),
        "a run one character too short": ("-1234-", "1234567", 5),
    }
    hint = "Two copied runs may overlap, and a character that lies in both counts once. Mark characters, then count."
    return compare(answer, reference, cases, hint)


def check_rule_out_repeats(answer: Callable) -> bool:
    """Check ``rule_out_repeats(logits, written, length)``: no n-gram of that length is completed a second time."""

    def reference(logits: Tensor, written: list[int], length: int) -> Tensor:
        logits = logits.clone()
        for token in range(len(logits)):
            longer = [*written, token]
            grams = [tuple(longer[start : start + length]) for start in range(len(longer) - length + 1)]
            if grams and grams[-1] in grams[:-1]:
                logits[token] = -math.inf
        return logits

    def kept(rule_out: Callable, logits: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
        result = rule_out(logits, *arguments)
        return torch.isfinite(result), result.softmax(-1)

    cases = {
        "pairs, 0 1 0": (_random(4), [0, 1, 0], 2),
        "triples": (_random(5), [3, 1, 4, 1, 3, 1], 3),
        "nothing written yet": (_random(4), [], 3),
        "fewer tokens than one n-gram has": (_random(4), [2, 2], 4),
        "one token again and again": (_random(4), [2, 2, 2], 2),
        "single tokens": (_random(6), [0, 5, 3], 1),
    }
    hint = (
        "The next token completes the n-gram whose beginning are the last length - 1 tokens written. "
        "After which earlier places do the same tokens stand, and what came next there? And if length is 1?"
    )
    return compare(answer, reference, cases, hint, call=kept)


def _toy_step(V: int, seed: int) -> Callable:
    weights = _random(V, V, seed=seed) * 2

    def step(tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.tanh(state + weights[tokens])  # (1, N, V)
        return (2 * state[0]).log_softmax(-1), state

    return step


def check_best_of_all(answer: Callable) -> bool:
    """Check ``best_of_all(step, state, start, length)``: the likeliest tokens of all, and their log-probability."""

    def reference(step: Callable, state: Tensor, start: int, length: int, V: int) -> tuple[tuple, float]:
        best = ((), -math.inf)
        for tokens in product(range(V), repeat=length):
            total, before, carried = 0.0, start, state
            for token in tokens:
                scores, carried = step(torch.tensor([before]), carried)
                total, before = total + scores[0, token].item(), token
            best = max(best, (tokens, total), key=lambda pair: pair[1])
        return best

    def call(search: Callable, V: int, seed: int, length: int) -> tuple[list[int], float]:
        arguments = (_toy_step(V, seed), torch.zeros(1, 1, V), 0, length)
        tokens, total = search(*arguments, V) if search is reference else search(*arguments)
        return [int(token) for token in tokens], float(total)

    cases = {
        "3 tokens, length 1": (3, 1, 1),
        "3 tokens, length 4": (3, 4, 4),
        "4 tokens, length 4": (4, 6, 4),
        "2 tokens, length 7": (2, 6, 7),
    }
    hint = (
        "For each first token, what remains is the same question, one shorter, from the state after it. The answer's "
        "log-probability is the first token's plus that of the rest."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=call)
