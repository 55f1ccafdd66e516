"""Checks for the exercises of *Sequence to sequence*."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.batching import length_mask
from companion.checks.compare import compare
from companion.checks.inputs import random_numbers
from companion.encoder_decoder import shift_right
from companion.tasks.dates import NUMBER_FORMS

__all__ = ["check_attention_entropy", "check_mix_reads", "check_read_elided", "check_two_heads"]


def check_attention_entropy(answer: Callable) -> bool:
    """Check ``attention_entropy(weights)``: the entropy of each row of weights, in bits, shape (U, B)."""

    def reference(weights: Tensor) -> Tensor:
        return torch.special.entr(weights).sum(-1) / torch.log(torch.tensor(2.0))

    scores = random_numbers(2, 3, 5)
    masked = scores.masked_fill(~length_mask(torch.tensor([5, 2, 3])).T, -torch.inf)
    cases = {
        "even weights": (torch.full((1, 2, 4), 0.25),),
        "random weights": (scores.softmax(-1),),
        "weights with padding": (masked.softmax(-1),),
        "all weight on one place": (torch.eye(3).unsqueeze(0),),
    }
    hint = "Minus the sum of w log w, over T, with the logarithm to base 2. What is 0 times log 0 here?"
    return compare(answer, reference, cases, hint)


def check_read_elided(answer: Callable) -> bool:
    """Check ``read_elided(text)``: the number of 三万五 and its like, and None for all other texts."""
    write = NUMBER_FORMS["三万五"]
    values = {text: str(number) for number in range(100, 100_000) if (text := write(number)) is not None}

    def reference(text: str) -> int | None:
        return int(values[text]) if text in values else None

    cases = {
        "三万五": ("三万五",),
        "两百五": ("两百五",),
        "四千三百二": ("四千三百二",),
        "一万两千三": ("一万两千三",),
        "一百一": ("一百一",),
        "三万零五, which means what it says": ("三万零五",),
        "三万五千, where nothing is left out": ("三万五千",),
        "五": ("五",),
        "forty": ("forty",),
    }
    hint = "The last sign is a digit, and a unit stands right before it: the digit's own unit is a tenth of that one."
    return compare(answer, reference, cases, hint)


def check_mix_reads(answer: Callable) -> bool:
    """Check ``mix_reads(targets, guesses, coin, start)``: what the decoder reads under scheduled sampling."""

    def reference(targets: Tensor, guesses: Tensor, coin: Tensor, start: int) -> Tensor:
        return shift_right(torch.where(coin, guesses, targets), start)

    targets, guesses = torch.arange(8).view(4, 2) + 2, torch.arange(8).view(4, 2) + 20
    coin = torch.tensor([[True, False], [False, False], [True, True], [False, True]])
    cases = {
        "a coin that never falls on its own guess": (targets, guesses, torch.zeros_like(coin), 1),
        "a coin that always does": (targets, guesses, torch.ones_like(coin), 1),
        "a mixed coin": (targets, guesses, coin, 1),
        "U = B = 2, another start": (targets[:2], guesses[:2], coin[:2], 7),
    }
    hint = (
        "First choose, place by place, between the target and the guess at that place. Then shift, once: the decoder "
        "reads a step later what was written."
    )
    return compare(answer, reference, cases, hint)


def check_two_heads(answer: Callable) -> bool:
    """Check ``two_heads(query, keys, mask)``: dot-product attention on each half of the features, side by side."""

    def reference(query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        def heads(part: Tensor) -> Tensor:  # (U, B, D) to (B, 2, U, D / 2)
            return part.view(*part.shape[:2], 2, -1).permute(1, 2, 0, 3)

        found = F.scaled_dot_product_attention(heads(query), heads(keys), heads(keys), mask.T[:, None, None])
        return found.permute(2, 0, 1, 3).flatten(2)

    def case(steps: int, lengths: list[int], features: int) -> tuple[Tensor, Tensor, Tensor]:
        size = len(lengths)
        query, keys = random_numbers(steps, size, features), random_numbers(max(lengths), size, features, seed=1)
        return 3 * query, keys, length_mask(torch.tensor(lengths))

    cases = {
        "no padding": case(2, [4, 4], 6),
        "lengths 5, 2 and 3": case(3, [5, 2, 3], 4),
        "U = T = B = D = 4": case(4, [4, 2, 4, 1], 4),
        "a batch of one": case(1, [3], 8),
    }
    hint = (
        "Each head is DotProductAttention on its own half of query and keys. The scale is then the root of half the "
        "features, and the contexts stand side by side again."
    )
    return compare(answer, reference, cases, hint)
