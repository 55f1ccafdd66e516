"""Checks of the exercises of *Variable lengths*."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from companion.batching import length_mask
from companion.checks.compare import compare

__all__ = [
    "check_last_outputs",
    "check_max_over_time",
    "check_mean_over_time",
    "check_reverse_each",
    "check_sentence_losses",
    "check_token_batches",
]


def _random(*shape: int) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def _padded(lengths: list[int], features: int = 2, padding: float = 0.0) -> tuple[Tensor, Tensor]:
    """Random sequences side by side, (T, B, features), with this number in the padding; and their lengths."""
    x, lengths = _random(max(lengths), len(lengths), features), torch.tensor(lengths)
    return torch.where(length_mask(lengths).unsqueeze(-1), x, padding), lengths


def check_mean_over_time(answer: Callable) -> bool:
    """Check ``mean_over_time(outputs, lengths)``: the mean of each sequence's own outputs, shape (B, H)."""

    def reference(outputs: Tensor, lengths: Tensor) -> Tensor:
        return torch.stack([outputs[:length, row].mean(0) for row, length in enumerate(lengths.tolist())])

    cases = {
        "lengths all 4, no padding": _padded([4, 4, 4]),
        "lengths 5, 2 and 3": _padded([5, 2, 3]),
        "padding that holds 7, not 0": _padded([2, 4], padding=7.0),
        "a batch one step longer than its longest sequence": (_random(6, 2, 3), torch.tensor([5, 1])),
    }
    hint = "The sum runs over a sequence's own steps only. By how many steps do you have to divide it?"
    return compare(answer, reference, cases, hint)


def check_max_over_time(answer: Callable) -> bool:
    """Check ``max_over_time(outputs, lengths)``: the largest of each sequence's own outputs, shape (B, H)."""

    def reference(outputs: Tensor, lengths: Tensor) -> Tensor:
        return torch.stack([outputs[:length, row].amax(0) for row, length in enumerate(lengths.tolist())])

    positive, (below_zero, lengths) = _padded([5, 2, 3], padding=7.0), _padded([2, 4])
    cases = {
        "lengths all 4, no padding": _padded([4, 4, 4]),
        "padding that holds 7": (positive[0].abs(), positive[1]),
        "outputs that are all below zero": (-below_zero.abs(), lengths),
        "outputs that are all below -1000": (-1000 - below_zero.abs(), lengths),
    }
    hint = "Zero is a large number among negative ones. Which number can never be the largest?"
    return compare(answer, reference, cases, hint)


def check_sentence_losses(answer: Callable) -> bool:
    """Check ``sentence_losses(logits, targets)``: the mean loss of each sequence, targets of -100 left out."""

    def reference(logits: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([F.cross_entropy(logits[:, row], targets[:, row]) for row in range(targets.shape[1])])

    def case(lengths: list[int], tokens: int = 5) -> tuple[Tensor, Tensor]:
        logits = _random(max(lengths), len(lengths), tokens)
        targets = _random(max(lengths), len(lengths), tokens).argmax(-1)
        return logits, targets.masked_fill(~length_mask(torch.tensor(lengths)), -100)

    cases = {
        "lengths all 3": case([3, 3]),
        "lengths 5, 2 and 3": case([5, 2, 3]),
        "T = B = V = 4": case([4, 1, 2, 3], tokens=4),
        "a batch of one": case([6]),
    }
    hint = (
        "Ask cross_entropy for every loss (reduction='none') and give them back their shape (T, B). "
        "Each sequence is then divided by its own number of targets."
    )
    return compare(answer, reference, cases, hint)


def check_reverse_each(answer: Callable) -> bool:
    """Check ``reverse_each(x, lengths)``: every sequence backward in its own steps, its padding left where it is."""

    def reference(x: Tensor, lengths: Tensor) -> Tensor:
        x = x.clone()
        for row, length in enumerate(lengths.tolist()):
            x[:length, row] = x[:length, row].flip(0)
        return x

    cases = {
        "lengths all 4, no padding": _padded([4, 4, 4]),
        "lengths 5, 2 and 3": _padded([5, 2, 3]),
        "padding that holds 7": _padded([1, 4, 2], padding=7.0),
        "T = B = D = 3": _padded([1, 3, 2], features=3),
        "token numbers, shape (T, B)": (torch.arange(10).view(5, 2), torch.tensor([5, 3])),
    }
    hint = (
        "At step t a sequence of length n reads its step n - 1 - t; in the padding it stays at t. "
        "Which step to read, for all steps and sequences, is a table of shape (T, B)."
    )
    return compare(answer, reference, cases, hint)


def check_last_outputs(answer: Callable) -> bool:
    """Check ``last_outputs(packed)``: each sequence's output at its own last step, in the order before sorting."""

    def reference(packed: PackedSequence) -> Tensor:
        outputs, lengths = pad_packed_sequence(packed)
        return outputs[lengths - 1, torch.arange(len(lengths))]

    def case(lengths: list[int], **arguments: bool) -> tuple[PackedSequence]:
        return (pack_padded_sequence(*_padded(lengths), **arguments),)

    cases = {
        "sorted lengths 5, 3 and 2": case([5, 3, 2]),
        "lengths 2, 5, 4 and 1": case([2, 5, 4, 1], enforce_sorted=False),
        "equal lengths": case([3, 3, 3], enforce_sorted=False),
        "a batch of one": case([4]),
    }
    hint = (
        "Step t fills the rows of data from batch_sizes[:t].sum() on, the longest sequence first. So in sorted order, "
        "which row is sequence b's at its last step? Mind that unsorted_indices may be None."
    )
    return compare(answer, reference, cases, hint)


def _check_batches(answer: Callable, lengths: Tensor, budget: int) -> dict[str, Any]:
    """What can be said of batches without prescribing them, by the words that name it."""
    batches = [[int(index) for index in batch] for batch in answer(lengths, budget)]
    places = [max((int(lengths[index]) for index in batch), default=0) * len(batch) for batch in batches]
    return {
        "the sequences in all batches, sorted": sorted(index for batch in batches for index in batch),
        "whether every batch holds a sequence": all(batches),
        "whether every batch keeps to the budget": max(places, default=0) <= budget,
        "the number of batches": len(batches),
    }


def check_token_batches(answer: Callable) -> bool:
    """Check ``token_batches(lengths, budget)``: as few batches of at most so many places as sorting allows."""

    def reference(lengths: Tensor, budget: int) -> list[list[int]]:
        batches: list[list[int]] = []
        for index in lengths.argsort(descending=True).tolist():
            if not batches or int(lengths[batches[-1][0]]) * (len(batches[-1]) + 1) > budget:
                batches.append([])
            batches[-1].append(index)
        return batches

    many = torch.randint(1, 40, (200,), generator=torch.Generator().manual_seed(0))
    cases = {
        "lengths 2, 5, 4, 1 and a budget of 10": (torch.tensor([2, 5, 4, 1]), 10),
        "a budget that the longest sequence fills": (torch.tensor([3, 6, 6, 2, 1]), 6),
        "a budget for everything": (torch.tensor([3, 1, 2]), 100),
        "200 sequences": (many, 256),
    }
    hint = (
        "Go through the sequences from the longest to the shortest. The first of a batch is its longest, so one more "
        "sequence costs that many places more, not its own length."
    )
    return compare(answer, reference, cases, hint, call=_check_batches)
