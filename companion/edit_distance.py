"""How far a guessed sequence is from the right one: substitutions, deletions and insertions."""

from collections.abc import Sequence
from typing import Any

__all__ = ["edit_distance", "edit_steps", "error_rate"]


def edit_distance(guess: Sequence[Any], truth: Sequence[Any]) -> int:
    """The fewest single changes that turn one sequence into the other: replace, leave out, or put in one element.

    Args:
        guess: a sequence of length M.
        truth: a sequence of length N.

    Returns:
        The number of changes, in time M * N.

    Examples:
        >>> from companion.edit_distance import edit_distance
        >>> edit_distance("kitten", "sitting"), edit_distance([1, 2], [1, 2, 2])
        (3, 1)

    Source: :cite:t:`levenshtein1966`. Taught in *From sound to digits*.
    """
    row = list(range(len(truth) + 1))               # from nothing to the first n of the truth
    for m, found in enumerate(guess, start=1):
        above, row = row, [m]
        for n, right in enumerate(truth, start=1):
            replaced = above[n - 1] + (found != right)
            row.append(min(replaced, above[n] + 1, row[n - 1] + 1))
    return row[-1]


def error_rate(guesses: Sequence[Sequence[Any]], truths: Sequence[Sequence[Any]]) -> float:
    """All edit distances together over all lengths together: the digit, character or word error rate.

    Args:
        guesses: guessed sequences.
        truths: the right ones, in the same order.

    Returns:
        The rate: 0 is perfect, guessing nothing gives 1, and guessing too much may give more.

    Raises:
        ValueError: there are not as many guesses as truths, or the truths hold nothing.

    Examples:
        >>> from companion.edit_distance import error_rate
        >>> error_rate([[1, 2], [3]], [[1, 2, 2], [4]])
        0.5

    Taught in *From sound to digits*.
    """
    if len(guesses) != len(truths):
        raise ValueError(f"guesses should be one for each of {len(truths)} truths, got {len(guesses)}")
    total = sum(len(truth) for truth in truths)
    if total == 0:
        raise ValueError("truths should hold at least one element, got none")
    return sum(edit_distance(*pair) for pair in zip(guesses, truths, strict=True)) / total


def edit_steps(guess: Sequence[Any], truth: Sequence[Any]) -> list[tuple[Any, Any]]:
    """One shortest way to pair two sequences, to see where they part.

    Args:
        guess: a sequence.
        truth: the right one.

    Returns:
        Pairs (guessed, right), in order: equal, or unequal where one was replaced; (None, right) where one is missing,
        (guessed, None) where there is one too many.

    Examples:
        >>> from companion.edit_distance import edit_steps
        >>> edit_steps("74", "774")
        [(None, '7'), ('7', '7'), ('4', '4')]

    Taught in *From sound to digits*.
    """
    M, N = len(guess), len(truth)
    cost = [[edit_distance(guess[:m], truth[:n]) for n in range(N + 1)] for m in range(M + 1)]
    steps: list[tuple[Any, Any]] = []
    m, n = M, N
    while m or n:
        if m and n and cost[m][n] == cost[m - 1][n - 1] + (guess[m - 1] != truth[n - 1]):
            m, n = m - 1, n - 1
            steps.append((guess[m], truth[n]))
        elif n and cost[m][n] == cost[m][n - 1] + 1:
            n -= 1
            steps.append((None, truth[n]))
        else:
            m -= 1
            steps.append((guess[m], None))
    return steps[::-1]
