"""Synthetic tasks that need a memory: made from random numbers, right or wrong beyond doubt, as long as you like.

Each function draws a list of batches, pairs (inputs, targets), that :func:`~companion.training.fit` and
:func:`~companion.training.evaluate` take as they are. Shapes: T time steps, B sequences in a batch, V tokens. Where
nothing is asked, a target is :data:`IGNORED`, which the cross-entropy leaves out. With ``seed=None`` the random
numbers are torch's own, and ``torch.manual_seed`` repeats them; with a seed the batches are the same everywhere. They
are made on the CPU, and whoever trains moves them.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.modes import evaluation_mode
from companion.tasks.arguments import check_sizes, random_source

__all__ = [
    "ADDING_BASELINE",
    "IGNORED",
    "adding_batches",
    "adding_loss",
    "copy_batches",
    "first_letter_batches",
    "parity_batches",
    "task_accuracy",
]

IGNORED = -100
"""The target of a step at which nothing is asked, torch's own ``ignore_index``."""

ADDING_BASELINE = 1 / 6
"""The adding problem's mean squared error for the guess 1, whatever is read, twice the variance 1/12 of U[0, 1)."""

Batches = list[tuple[Tensor, Tensor]]


def first_letter_batches(
    count: int, num_steps: int = 30, batch_size: int = 32, num_letters: int = 4, seed: int | None = None
) -> Batches:
    """The first letter decides: it is asked for at the last step, and everything between is noise.

    The first letter is one of 0, ..., ``num_letters`` - 1, and each letter of the noise one of as many others, so V is
    ``2 * num_letters``. Chance is 1 / ``num_letters``, a loss of ``log(num_letters)`` nats.

    Args:
        count: number of batches.
        num_steps: number T of steps, at least 2; the letter is asked for after T - 1 of them.
        batch_size: number B of sequences in a batch.
        num_letters: how many letters the first may be, at least 2.
        seed: repeats the batches; None goes on with torch's own random numbers.

    Returns:
        Pairs (letters, targets), both of shape (T, B). Targets are :data:`IGNORED` but for the last step.

    Raises:
        TypeError: a size or the seed is no int.
        ValueError: a size is too small.

    Examples:
        >>> letters, targets = companion.first_letter_batches(count=1, num_steps=4, batch_size=3, seed=0)[0]
        >>> letters.shape, torch.equal(targets[-1], letters[0])
        (torch.Size([4, 3]), True)
        >>> targets[:-1].unique()  # nothing is asked before the last step
        tensor([-100])

    Source: the first two tasks of :cite:t:`hochreiter1997` ask for an early symbol in this way. Taught in *Why gates*.
    """
    check_sizes(1, count=count, batch_size=batch_size)
    check_sizes(2, num_steps=num_steps, num_letters=num_letters)
    source, batches = random_source(seed), []
    for _ in range(count):
        letters = torch.randint(num_letters, 2 * num_letters, (num_steps, batch_size), generator=source)
        letters[0] = torch.randint(num_letters, (batch_size,), generator=source)
        targets = torch.full((num_steps, batch_size), IGNORED)
        targets[-1] = letters[0]
        batches.append((letters, targets))
    return batches


def copy_batches(
    count: int, delay: int = 20, length: int = 10, batch_size: int = 32, num_symbols: int = 8, seed: int | None = None
) -> Batches:
    """The copy task: symbols, a delay of blanks that ends in a marker, and then the symbols are asked for, in order.

    The symbols are 0, ..., ``num_symbols`` - 1, the blank is ``num_symbols``, the marker ``num_symbols + 1``, so V is
    ``num_symbols + 2``, and T is ``delay + 2 * length``. A symbol is asked for ``delay + length`` steps after it was
    read. Chance is 1 / ``num_symbols``, a loss of ``log(num_symbols)`` nats.

    The paper asks for blanks before the marker as well: set ``targets[targets == IGNORED] = num_symbols``. Whoever
    remembers nothing then has a loss of ``length * log(num_symbols) / T``.

    Args:
        count: number of batches.
        delay: steps from the last symbol to the marker.
        length: how many symbols there are to copy.
        batch_size: number B of sequences in a batch.
        num_symbols: how many different symbols there are, at least 2.
        seed: repeats the batches; None goes on with torch's own random numbers.

    Returns:
        Pairs (tokens, targets), both of shape (T, B). Targets are :data:`IGNORED` but for the last ``length`` steps.

    Raises:
        TypeError: a size or the seed is no int.
        ValueError: a size is too small.

    Examples:
        >>> tokens, targets = companion.copy_batches(count=1, delay=2, length=3, batch_size=1, seed=0)[0]
        >>> tokens.flatten().tolist()  # symbols, blank (8), marker (9), blanks
        [4, 7, 5, 8, 9, 8, 8, 8]
        >>> targets.flatten().tolist()
        [-100, -100, -100, -100, -100, 4, 7, 5]

    Source: :cite:t:`arjovsky2016`, after the tasks of :cite:t:`hochreiter1997`. Taught in *Why gates*.
    """
    check_sizes(1, count=count, delay=delay, length=length, batch_size=batch_size)
    check_sizes(2, num_symbols=num_symbols)
    source, batches = random_source(seed), []
    for _ in range(count):
        symbols = torch.randint(num_symbols, (length, batch_size), generator=source)
        tokens = torch.full((delay + 2 * length, batch_size), num_symbols)  # blanks
        tokens[:length] = symbols
        tokens[length + delay - 1] = num_symbols + 1  # the marker: from the next step on
        targets = torch.full_like(tokens, IGNORED)
        targets[-length:] = symbols
        batches.append((tokens, targets))
    return batches


def parity_batches(count: int, num_steps: int = 30, batch_size: int = 32, seed: int | None = None) -> Batches:
    """Running parity: whether the number of ones so far is odd, at every step.

    There are two tokens, 0 and 1, so V is 2, and the targets are 0 for even and 1 for odd. Every bit counts for every
    later answer. Chance is 1/2, a loss of ``log(2)`` nats; knowing all bits but one is no better. To ask after the last
    step alone, set ``targets[:-1] = IGNORED``.

    Args:
        count: number of batches.
        num_steps: number T of steps.
        batch_size: number B of sequences in a batch.
        seed: repeats the batches; None goes on with torch's own random numbers.

    Returns:
        Pairs (bits, targets), both of shape (T, B).

    Raises:
        TypeError: a size or the seed is no int.
        ValueError: a size is less than 1.

    Examples:
        >>> bits, targets = companion.parity_batches(count=1, num_steps=6, batch_size=1, seed=0)[0]
        >>> bits.flatten().tolist(), targets.flatten().tolist()
        ([0, 1, 1, 0, 1, 1], [0, 1, 0, 0, 1, 0])

    Source: :cite:t:`hochreiter1997` name it as a task at which training is slower than guessing weights. Taught in
    *Why gates*.
    """
    check_sizes(1, count=count, num_steps=num_steps, batch_size=batch_size)
    source = random_source(seed)
    bits = [torch.randint(2, (num_steps, batch_size), generator=source) for _ in range(count)]
    return [(batch, batch.cumsum(0) % 2) for batch in bits]


def adding_batches(count: int, num_steps: int = 50, batch_size: int = 32, seed: int | None = None) -> Batches:
    """The adding problem: of many random numbers two are marked, and at the end their sum is asked for.

    One mark is in the first half of the sequence, the other in the second. Whoever always answers 1 has a mean squared
    error of :data:`ADDING_BASELINE`, 1/6.

    Args:
        count: number of batches.
        num_steps: number T of steps, at least 2.
        batch_size: number B of sequences in a batch.
        seed: repeats the batches; None goes on with torch's own random numbers.

    Returns:
        Pairs (inputs, sums) of shapes (T, B, 2) and (B). The features of an input are a number from U[0, 1), and its
        mark, 1 or 0. Train with :func:`adding_loss`.

    Raises:
        TypeError: a size or the seed is no int.
        ValueError: a size is too small.

    Examples:
        >>> inputs, sums = companion.adding_batches(count=1, num_steps=10, batch_size=2, seed=0)[0]
        >>> inputs.shape, inputs[..., 1].sum(0)  # two marks in each sequence
        (torch.Size([10, 2, 2]), tensor([2., 2.]))
        >>> torch.allclose(inputs.prod(-1).sum(0), sums)
        True

    Source: :cite:t:`hochreiter1997`, in the form of :cite:t:`arjovsky2016`. Taught in *Why gates*.
    """
    check_sizes(1, count=count, batch_size=batch_size)
    check_sizes(2, num_steps=num_steps)
    source, batches, half = random_source(seed), [], num_steps // 2
    for _ in range(count):
        numbers = torch.rand(num_steps, batch_size, generator=source)
        first = torch.randint(half, (1, batch_size), generator=source)
        second = torch.randint(half, num_steps, (1, batch_size), generator=source)
        marks = torch.zeros(num_steps, batch_size).scatter_(0, torch.cat([first, second]), 1.0)  # (T, B)
        batches.append((torch.stack([numbers, marks], -1), (numbers * marks).sum(0)))
    return batches


def adding_loss(model: nn.Module, batch: tuple[Tensor, Tensor], state: Any = None) -> tuple[Tensor, Any]:
    """The mean squared error of a model's last output on the adding problem; a ``loss`` for ``fit`` and ``evaluate``.

    Args:
        model: called as ``model(inputs, state)`` with inputs of shape (T, B, 2), returns outputs of shape (T, B, 1) and
            the new state. ``LanguageModel(layer, 1, embedding=nn.Identity())`` is one, for a layer of ``input_size`` 2.
        batch: a pair of :func:`adding_batches`.
        state: the state before the batch, or None.

    Returns:
        The loss, a scalar tensor, to be compared with :data:`ADDING_BASELINE`, and the state after the batch.

    Raises:
        ValueError: the outputs have another shape than (T, B, 1).

    Examples:
        >>> model = companion.LanguageModel(nn.GRU(2, 8), 1, embedding=nn.Identity())
        >>> batch = companion.adding_batches(count=1, seed=0)[0]
        >>> loss, state = companion.adding_loss(model, batch)
        >>> loss.shape, state.shape
        (torch.Size([]), torch.Size([1, 32, 8]))

    Taught in *Why gates*.
    """
    inputs, sums = batch
    outputs, state = model(inputs, state)
    expected = (*inputs.shape[:2], 1)
    if outputs.shape != expected:  # broadcasting would compare every answer with every sum, and say nothing
        raise ValueError(f"model should give one number a step, shape {expected}, got {tuple(outputs.shape)}")
    return F.mse_loss(outputs[-1, :, 0], sums), state


def task_accuracy(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The share of right answers where something is asked, in evaluation mode, on the device of the model.

    Args:
        model: called as ``model(tokens)``, returns logits of shape (T, B, V), and a state.
        batches: pairs (tokens, targets), as the tasks with tokens give them.

    Returns:
        The share, 0 to 1. Guessing gives the chance that stands with each task.

    Raises:
        TypeError: the targets are no integers: the adding problem has a loss and no accuracy.
        ValueError: nothing is asked.

    Examples:
        >>> model = companion.LanguageModel(nn.GRU(4, 8), 2)
        >>> accuracy = companion.task_accuracy(model, companion.parity_batches(count=2, seed=0))
        >>> 0.0 <= accuracy <= 1.0
        True

    Taught in *Why gates*.
    """
    device, right, asked = next(model.parameters()).device, 0, 0
    with evaluation_mode(model):
        for tokens, targets in batches:
            if targets.is_floating_point():
                raise TypeError(f"targets should be token numbers, got {targets.dtype}: use evaluate with adding_loss")
            logits, _ = model(tokens.to(device))  # (T, B, V)
            targets = targets.to(device)
            right += int((logits.argmax(-1) == targets).sum())  # no token is IGNORED
            asked += int((targets != IGNORED).sum())
    if asked == 0:
        raise ValueError(f"batches should ask for something: every target is {IGNORED}, or there is no batch")
    return right / asked
