"""What a language model's mean loss means, in units a person can picture."""

import math

__all__ = ["perplexity", "bits_per_character"]


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
