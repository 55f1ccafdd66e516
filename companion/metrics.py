"""What a language model's mean loss means, in units a person can picture."""

import math

__all__ = ["perplexity", "bits_per_character"]


def perplexity(loss: float) -> float:
    r"""The number of equally likely tokens that would be as hard to guess, :math:`\exp(\text{loss})`.

    Args:
        loss: mean negative log-likelihood of a token, in nats (what cross-entropy gives).

    Returns:
        A number from 1, certain, up; the vocabulary's size means a uniform guess.

    Taught in *Sequences and language models*.
    """
    return math.exp(loss)


def bits_per_character(loss: float) -> float:
    r"""The yes/no answers needed for one character, :math:`\text{loss} / \ln 2`.

    Args:
        loss: mean negative log-likelihood of a character, in nats (what cross-entropy gives).

    Returns:
        Bits a character. Source: :cite:t:`shannon1951`. Taught in *Sequences and language models*.
    """
    return loss / math.log(2)
