"""Checks of the exercises of *Choosing a layer*."""

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from companion.anatomy import count_parameters
from companion.checks.compare import compare
from companion.checks.inputs import random_numbers

__all__ = [
    "check_hidden_for",
    "check_luck",
    "check_side_by_side",
    "check_skill",
    "check_stream_bytes",
]


def check_hidden_for(answer: Callable) -> bool:
    """Check ``hidden_for(kind, input_size, budget)``: the largest hidden size whose layer the budget pays for."""

    def reference(kind: str, input_size: int, budget: int) -> int:
        low, high = 0, 1
        while count_parameters(kind, input_size, high) <= budget:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if count_parameters(kind, input_size, middle) <= budget else (low, middle)
        return low

    cases = {
        "an LSTM with 20 features": ("LSTM", 20, 10_000),
        "a GRU with 64 features": ("GRU", 64, 100_000),
        "an RNN with one feature": ("RNN", 1, 500),
        "a budget that is spent to the last weight": ("LSTM", 20, count_parameters("LSTM", 20, 40)),
        "one weight less than a size needs": ("GRU", 7, count_parameters("GRU", 7, 30) - 1),
        "a budget too small for one unit": ("LSTM", 20, 91),
        "a billion weights": ("RNN", 1024, 1_000_000_000),
    }
    hint = (
        "A layer has G H (D + H + 2) weights, with G = 1, 3 or 4, two biases among them. Solve the quadratic for H and "
        "round down, or double H until it is too large and halve the interval."
    )
    return compare(answer, reference, cases, hint)


def check_stream_bytes(answer: Callable) -> bool:
    """Check ``stream_bytes(kind, hidden_size, num_layers, streams)``: the bytes of all states in float32."""

    def reference(kind: str, hidden_size: int, num_layers: int, streams: int) -> int:
        return sum(4 * hidden_size * streams for _ in range(num_layers) for _ in range(1 + (kind == "LSTM")))

    cases = {
        "one GRU for one stream": ("GRU", 16, 1, 1),
        "an LSTM, which keeps two states": ("LSTM", 128, 1, 1000),
        "three layers of an LSTM": ("LSTM", 32, 3, 10),
        "two layers of an RNN": ("RNN", 50, 2, 7),
        "an SRU, which keeps c alone": ("SRU", 256, 4, 1000),
        "a minGRU": ("MinGRU", 300, 2, 1000),
    }
    hint = (
        "Every layer of the stack has a state of hidden_size numbers, the LSTM's a second part, c. Four bytes a number."
    )
    return compare(answer, reference, cases, hint)


def check_skill(answer: Callable) -> bool:
    """Check ``skill(value, baseline, perfect)``: 0 at the baseline, 1 where perfect, straight in between."""

    def reference(value: float, baseline: float, perfect: float) -> float:
        return 1 - (perfect - value) / (perfect - baseline)

    cases = {
        "an accuracy halfway from chance": (0.75, 0.5, 1.0),
        "a squared error": (1 / 24, 1 / 6, 0.0),
        "an accuracy among eight symbols": (0.3, 1 / 8, 1.0),
        "a value at the baseline": (2.0, 2.0, 0.0),
        "a loss worse than guessing": (3.0, 2.0, 0.0),
        "a perplexity, which is perfect at 1": (5.0, 29.0, 1.0),
    }
    hint = "How far is the value from the baseline, as a share of the way from the baseline to what is perfect?"
    return compare(answer, reference, cases, hint)


def check_side_by_side(answer: Callable) -> bool:
    """Check ``side_by_side(weights, hidden_size)``: K weights as one, blocks on the diagonal, sorted by gate first."""

    def reference(weights: list[Tensor], hidden_size: int) -> Tensor:
        K, H, (rows, F) = len(weights), hidden_size, weights[0].shape
        wide = torch.zeros(rows // H, K, H, K, F)
        for k, weight in enumerate(weights):
            wide[:, k, :, k] = weight.view(-1, H, F)
        return wide.reshape(K * rows, K * F)

    def case(K: int, gates: int, H: int, F: int) -> tuple:
        return [random_numbers(gates * H, F, seed=seed) for seed in range(K)], H

    cases = {
        "two simple RNNs": case(2, 1, 3, 4),
        "five GRUs": case(5, 3, 2, 3),
        "two LSTMs with one unit": case(2, 4, 1, 2),
        "one reader alone": case(1, 3, 4, 2),
    }
    hint = (
        "In the wide layer, the first K * H rows are the first gate of all readers, the next K * H the second. Take "
        "each weight apart into its gates first, and put each gate's K blocks on a diagonal of its own."
    )
    return compare(answer, reference, cases, hint)


def check_luck(answer: Callable) -> bool:
    """Check ``luck(first, second)``: the share of all deals in which the first hand leads by at least as much."""

    def reference(first: list[float], second: list[float]) -> float:
        scores, n = [*first, *second], len(first)
        found, ahead, deals = sum(first), 0, 0
        for hand in combinations(scores, n):  # the lead grows with the first hand's sum, as the total stays
            ahead += sum(hand) >= found - 1e-9
            deals += 1
        return ahead / deals

    cases = {
        "three clear wins": ([0.9, 0.8, 0.95], [0.1, 0.2, 0.3]),
        "three clear defeats": ([0.1, 0.2, 0.3], [0.9, 0.8, 0.95]),
        "five seeds, one of them unlucky": ([0.48, 0.47, 0.46, 0.49, 0.26], [0.24, 0.25, 0.24, 0.25, 0.3]),
        "all scores equal": ([0.5, 0.5], [0.5, 0.5]),
        "sums that differ in the last digit only": ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]),
        "hands of different sizes": ([0.7, 0.9], [0.2, 0.8, 0.4, 0.6]),
        "scores below zero": ([-0.1, 0.4], [-0.3, 0.2, -0.2]),
    }
    hint = (
        "itertools.combinations deals the first hand; what is left is the second. Deal places, not values, or equal "
        "scores are lost. Count a deal if its lead is at least yours, but for 1e-9 of rounding."
    )
    return compare(answer, reference, cases, hint)
