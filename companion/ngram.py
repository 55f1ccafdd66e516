"""Language models by counting: the baselines that every network in the book has to beat."""

import math
from collections import Counter
from statistics import fmean

import torch
from torch import Tensor

from companion.text import token_list

__all__ = ["NGramModel", "ngrams"]


def check_counting(tokens: Tensor, vocabulary_size: int, order: int, strength: float) -> None:
    """Raise TypeError or ValueError, naming the argument, unless an n-gram model can be made of these."""
    for name, value in [("vocabulary_size", vocabulary_size), ("order", order)]:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} should be an int, got {value!r} of type {type(value).__name__}")
    if order < 0:
        raise ValueError(f"order should be 0 (uniform), 1 (unigram), 2 (bigram) or more, got {order}")
    if not isinstance(strength, (int, float)):
        raise TypeError(f"strength should be a number, got {strength!r} of type {type(strength).__name__}")
    if not 0 < strength < math.inf:
        raise ValueError(f"strength should be above zero and finite, got {strength}")
    token_list(tokens, vocabulary_size)


def ngrams(tokens: Tensor, length: int) -> list[tuple[int, ...]]:
    """Every run of so many tokens, in reading order; neighbors overlap.

    Args:
        tokens: the token numbers of a text, shape (N).
        length: number n of tokens in a run, at least 1.

    Returns:
        N - n + 1 tuples of n token numbers; none if the text is shorter than that.

    Raises:
        TypeError: ``tokens`` is no 1-D tensor of integers.
        ValueError: ``length`` is less than 1.

    Examples:
        >>> companion.ngrams(torch.tensor([4, 1, 2, 1]), length=2)
        [(4, 1), (1, 2), (2, 1)]

    Taught in *Sequences and language models*.
    """
    if length < 1:
        raise ValueError(f"length should be at least 1, got {length}")
    numbers = token_list(tokens)
    return [tuple(numbers[start : start + length]) for start in range(len(numbers) - length + 1)]


class NGramModel:
    r"""Guesses the next token from the last few, by counting what followed them in a text.

    Counts of long contexts are few, so they are smoothed by the guess that the context without its oldest token would
    give. That guess has the weight of ``strength`` observations, call it s:

    .. math:: p(x \mid c) = \frac{\text{count}(c\,x) + s\,p(x \mid c')}{\text{count}(c) + s}

    where c' is c without its oldest token. Below the empty context lies the uniform guess 1 / V.

    Args:
        tokens: the token numbers of the text to count, shape (N).
        vocabulary_size: number V of tokens there are.
        order: number n of tokens in an n-gram: 0 uniform, 1 unigram, 2 bigram, 3 trigram; a guess looks back at
            n - 1 tokens.
        strength: how many observations the shorter context's guess weighs, above zero. It can be changed afterwards:
            the counts stay the same.

    Raises:
        TypeError: ``tokens`` is no 1-D tensor of integers, or ``vocabulary_size`` or ``order`` is no int,
            or ``strength`` no number.
        ValueError: a token number is not below ``vocabulary_size``, or ``order`` or ``strength`` is out of its range.

    Examples:
        >>> vocabulary = companion.Vocabulary("banana")
        >>> model = companion.NGramModel(vocabulary.encode("banana"), len(vocabulary), order=2)
        >>> probabilities = model.probabilities(vocabulary.encode("n"))
        >>> vocabulary.tokens[probabilities.argmax()], round(float(probabilities.sum()), 6)
        ('a', 1.0)

    Source: :cite:t:`mackay1995`, with one strength for all contexts. Taught in *Sequences and language models*.
    """

    def __init__(self, tokens: Tensor, vocabulary_size: int, order: int, strength: float = 5.0):
        check_counting(tokens, vocabulary_size, order, strength)
        self.vocabulary_size, self.order, self.strength = vocabulary_size, order, strength
        self.counts, self.totals = Counter(), Counter()
        for length in range(1, order + 1):
            for gram in ngrams(tokens, length):
                self.counts[gram] += 1
                self.totals[gram[:-1]] += 1  # the context, whatever followed it

    def probability(self, gram: tuple[int, ...]) -> float:
        """The probability of an n-gram's last token after the ones before it.

        Args:
            gram: at most ``order`` token numbers; an empty one stands for any token at all, 1 / V.
        """
        if not gram:
            return 1 / self.vocabulary_size
        shorter = self.strength * self.probability(gram[1:])
        return (self.counts[gram] + shorter) / (self.totals[gram[:-1]] + self.strength)

    def probabilities(self, context: Tensor) -> Tensor:
        """The probability of every token to come next.

        Args:
            context: the token numbers so far, shape (T), T >= 0; only the last ``order`` - 1 matter.

        Returns:
            Probabilities, shape (V), which sum to 1.

        Raises:
            TypeError: ``context`` is no 1-D tensor of integers.
            ValueError: a token number is not below ``vocabulary_size``.
        """
        kept = token_list(context, self.vocabulary_size)[max(0, len(context) - self.order + 1) :]
        return torch.tensor([self.probability((*kept, token)) for token in range(self.vocabulary_size)])

    def loss(self, tokens: Tensor) -> float:
        """The mean negative log-likelihood of a text, in nats a token.

        Every token but the first is guessed from those before it, as a network that reads the text would guess them.
        So near the start the context is shorter than ``order`` - 1.

        Args:
            tokens: the token numbers of a text, shape (N), N >= 2.

        Raises:
            TypeError: ``tokens`` is no 1-D tensor of integers.
            ValueError: ``tokens`` is shorter than 2, or a token number is not below ``vocabulary_size``.
        """
        numbers = token_list(tokens, self.vocabulary_size, least=2)
        grams = (tuple(numbers[max(0, end - self.order) : end]) for end in range(2, len(numbers) + 1))
        return fmean(-math.log(self.probability(gram)) for gram in grams)
