"""From scores to text: how the next token is chosen, and how a model writes on."""

import math

import torch
from torch import Tensor

from companion.modes import evaluation_mode

__all__ = ["generate", "keep_nucleus", "keep_top_k", "sample_token"]


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Rule out all but the k likeliest tokens.

    Args:
        logits: scores, shape (..., V).
        k: how many tokens stay, at least 1; more than V keeps all.

    Returns:
        The logits with minus infinity for every token ruled out. Ties with the k-th stay.

    Raises:
        ValueError: ``k`` is less than 1.

    Examples:
        >>> companion.keep_top_k(torch.tensor([1.0, 3.0, 2.0]), k=2)
        tensor([-inf, 3., 2.])

    Source: :cite:t:`fan2018`. Taught in *The simple RNN, twice*.
    """
    if k < 1:
        raise ValueError(f"top_k should be at least 1, got {k}")
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]  # (..., 1)
    return logits.masked_fill(logits < least, -math.inf)


def keep_nucleus(logits: Tensor, p: float) -> Tensor:
    """Rule out all but the smallest set of likeliest tokens whose probabilities reach p together.

    Args:
        logits: scores, shape (..., V).
        p: the probability to cover, 0 < p <= 1.

    Returns:
        The logits with minus infinity for every token ruled out; the likeliest token always stays.

    Raises:
        ValueError: ``p`` is not in (0, 1].

    Examples:
        >>> logits = torch.tensor([0.6, 0.3, 0.1]).log()
        >>> companion.keep_nucleus(logits, p=0.8).softmax(-1)  # 0.6 does not reach 0.8, 0.6 + 0.3 does
        tensor([0.6667, 0.3333, 0.0000])

    Source: :cite:t:`holtzman2020`. Taught in *The simple RNN, twice*.
    """
    if not 0 < p <= 1:
        raise ValueError(f"top_p should be in (0, 1], got {p}")
    ordered, order = logits.sort(descending=True)  # (..., V)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # the probability of all likelier tokens
    ruled_out = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= p)
    return logits.masked_fill(ruled_out, -math.inf)


def sample_token(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose the next token.

    Args:
        logits: scores, shape (..., V).
        temperature: what the scores are divided by: below 1 bolder, above 1 wilder; 0 takes the likeliest (greedy).
        top_k: keep only that many tokens, see :func:`keep_top_k`.
        top_p: keep only the nucleus of that probability, see :func:`keep_nucleus`.
        generator: where the random numbers come from, a CPU generator.

    Returns:
        Token numbers, shape (...), on the CPU: the choice is made there, so that a seed means the same everywhere.

    Raises:
        ValueError: ``temperature`` is negative, or an argument is out of its range.

    Examples:
        >>> logits = torch.tensor([1.0, 3.0, 2.0])
        >>> companion.sample_token(logits, temperature=0)  # greedy
        tensor(1)
        >>> generator = torch.Generator().manual_seed(0)
        >>> companion.sample_token(logits.expand(1000, 3), top_k=2, generator=generator).unique()
        tensor([1, 2])

    Taught in *The simple RNN, twice*.
    """
    if temperature < 0:
        raise ValueError(f"temperature should be 0 (greedy) or more, got {temperature}")
    logits = logits.detach().cpu().double()
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_nucleus(logits, top_p)
    probabilities = logits.softmax(-1)
    rows = probabilities.reshape(-1, probabilities.shape[-1])
    return rows.multinomial(1, generator=generator).view(logits.shape[:-1])


def generate(model, vocabulary, prompt, num_tokens, temperature=1.0, top_k=None, top_p=None, seed=None):
    """Let a language model write on from a prompt, one token at a time.

    Args:
        model: a :class:`~companion.language_model.LanguageModel`, or anything called like one.
        vocabulary: the :class:`~companion.text.Vocabulary` it was trained with.
        prompt: the text to go on from, at least one token.
        num_tokens: how many tokens to write.
        temperature, top_k, top_p: see :func:`sample_token`.
        seed: makes the sample repeatable; None draws a new one each time.

    Returns:
        The prompt and what follows it, one string.

    Raises:
        ValueError: the prompt is empty, or another argument is out of its range.

    Examples:
        >>> vocabulary = companion.Vocabulary("the gate keeps what it has")
        >>> model = companion.LanguageModel(nn.GRU(8, 16), len(vocabulary))
        >>> text = companion.generate(model, vocabulary, "the", num_tokens=10, top_k=3, seed=0)
        >>> text.startswith("the"), text == companion.generate(model, vocabulary, "the", 10, top_k=3, seed=0)
        (True, True)

    Taught in *The simple RNN, twice*.
    """
    fresh = vocabulary.encode(prompt)  # tokens the model has not read yet, (T)
    if len(fresh) == 0:
        raise ValueError("prompt should hold at least one token, got an empty one")
    if num_tokens < 0:
        raise ValueError(f"num_tokens should be 0 or more, got {num_tokens}")
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    device = next(model.parameters()).device
    written, state = [], None
    with evaluation_mode(model):
        for _ in range(num_tokens):
            logits, state = model(fresh.to(device), state)  # (T, V)
            fresh = sample_token(logits[-1:], temperature, top_k, top_p, generator)  # (1)
            written.append(int(fresh))
    return prompt + vocabulary.separator + vocabulary.decode(written)
