"""From scores to text: how the next token is chosen, and how a model writes on."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.modes import evaluation_mode
from companion.validation import check_positive_int

__all__ = [
    "beam_search",
    "generate",
    "generate_with_beam",
    "Hypothesis",
    "keep_nucleus",
    "keep_top_k",
    "next_token_step",
    "sample_token",
    "select_sequences",
]


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


class Hypothesis(NamedTuple):
    """One of the texts that :func:`beam_search` has in hand.

    ``tokens`` are the token numbers written, without ``start``; with ``end``, if it has come to that.
    ``log_probability`` is the sum of its tokens' log-probabilities, in nats. ``score`` is what hypotheses are ranked
    by: that sum over the number of tokens to the power ``length_penalty``.

    Examples:
        >>> companion.decoding.Hypothesis(tokens=(2, 0), log_probability=-1.5, score=-0.75).tokens
        (2, 0)

    Taught in *Text generation*.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float

    def followed_by(self, token: int, log_probability: float, length_penalty: float) -> "Hypothesis":
        """The hypothesis with one more token, whose log-probability as a whole is then the one given."""
        tokens = (*self.tokens, token)
        score = log_probability / len(tokens) ** length_penalty
        return Hypothesis(tokens, log_probability, score)


def select_sequences(state: Any, chosen: Tensor) -> Any:
    """The state of some sequences of a batch, in the order asked for; a sequence may be asked for more than once.

    Args:
        state: a tensor whose batch axis is 1, such as h_n of shape (layers, B, H); a tuple of such states; or None.
        chosen: the numbers of the sequences, int64 of shape (N).

    Returns:
        The state in the same form, N in the place of B. None stays None.

    Examples:
        >>> output, (h_n, c_n) = nn.LSTM(3, 4)(torch.randn(5, 2, 3))
        >>> h, c = companion.decoding.select_sequences((h_n, c_n), torch.tensor([1, 1, 0]))
        >>> h.shape, torch.equal(c[:, 0], c_n[:, 1])
        (torch.Size([1, 3, 4]), True)

    Taught in *Text generation*.
    """
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.index_select(1, chosen.to(state.device))
    return tuple(select_sequences(part, chosen) for part in state)


def check_beam(width: int, max_length: int, length_penalty: float) -> None:
    """Raise TypeError or ValueError, naming the argument, unless a beam can be searched with these."""
    check_positive_int("width", width)
    check_positive_int("max_length", max_length)
    if not isinstance(length_penalty, Real) or not 0 <= length_penalty < math.inf:
        raise ValueError(f"length_penalty should be a number of 0 or more, got {length_penalty!r}")


def check_log_probabilities(log_probabilities: Tensor, sequences: int) -> None:
    """Raise ValueError unless these are log-probabilities (N, V) of the next token, a row for every sequence."""
    shape = tuple(log_probabilities.shape)
    if len(shape) != 2 or shape[0] != sequences or shape[1] == 0:
        raise ValueError(f"step should return log-probabilities of shape ({sequences}, V), got {shape}")
    highest = float(log_probabilities.max())
    if not highest <= 1e-3:  # also false for NaN; a rounded probability of 1 may be a little above 0
        raise ValueError(f"step should return log-probabilities, 0 at most, got {highest}: is a log_softmax missing?")


@torch.no_grad()
def beam_search(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]],
    state: Any,
    start: int | Tensor,
    *,
    width: int,
    max_length: int,
    end: int | None = None,
    length_penalty: float = 0.0,
) -> list[Hypothesis]:
    r"""Look for the most probable continuations, with the ``width`` best beginnings in hand at every step.

    Of all beginnings of one length, longer by one token than those in hand, the ``width`` most probable stay. One that
    has come to ``end`` is set aside, finished. With a width of 1 this is greedy; with :math:`V^{\text{max\_length}}`
    or more nothing is ever dropped, and the search is exact.

    Args:
        step: reads one token of each of N sequences: a function from (tokens of shape (N), state) to
            (log-probabilities of the next token, shape (N, V), and the new state). A token whose log-probability is
            minus infinity is never written. See :func:`next_token_step` for a language model's.
        state: what ``step`` takes with the first token, for one sequence: a tensor whose batch axis is 1, such as h_n
            of shape (layers, 1, H), a tuple of such states, or None.
        start: the number of the token that is read first; as a tensor of one element it may lie on a GPU.
        width: how many hypotheses are kept, at least 1.
        max_length: how many tokens are written at most, ``end`` among them.
        end: the token that ends a sequence; None if nothing does.
        length_penalty: a hypothesis of n tokens is ranked by its log-probability over n to this power: 0 ranks by
            probability, which favors the short; 1 by the mean for each token.

    Returns:
        At most ``width`` of :class:`Hypothesis`, best score first. One that has not ended within ``max_length``
        tokens is among them as it is.

    Raises:
        TypeError: ``width`` or ``max_length`` is no int.
        ValueError: an argument is out of its range, or what ``step`` returns is no log-probabilities (N, V).

    Examples:
        >>> chances = torch.tensor([[0.0, 0.6, 0.4], [0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])  # row: read, column: next
        >>> step = lambda tokens, state: (chances[tokens].log(), state)
        >>> for hypothesis in companion.beam_search(step, None, start=0, width=2, max_length=2):
        ...     print(hypothesis.tokens, round(hypothesis.log_probability, 3))
        (2, 0) -1.022
        (1, 0) -1.204

    Source: :cite:t:`graves2012sequence`; the division by the length: :cite:t:`wu2016`. Taught in *Text generation*.
    """
    check_beam(width, max_length, length_penalty)
    live, finished = [Hypothesis((), 0.0, 0.0)], []
    tokens = torch.as_tensor(start).reshape(1)
    for _ in range(max_length):
        log_probabilities, state = step(tokens, state)  # (N, V)
        check_log_probabilities(log_probabilities, len(live))
        so_far = torch.tensor([[x.log_probability] for x in live], dtype=torch.double)  # (N, 1)
        totals = so_far + log_probabilities.cpu().double()  # (N, V): every beginning with every next token
        possible = int(totals.isfinite().sum())
        best = totals.flatten().topk(min(width, possible))
        parents, last = best.indices // totals.shape[1], best.indices % totals.shape[1]
        children = zip(parents.tolist(), last.tolist(), best.values.tolist(), strict=True)
        longer = [live[p].followed_by(k, total, length_penalty) for p, k, total in children]
        finished += [x for x in longer if x.tokens[-1] == end]
        kept = [place for place, x in enumerate(longer) if x.tokens[-1] != end]
        live = [longer[place] for place in kept]
        if not live:
            break
        tokens, state = last[kept].to(tokens.device), select_sequences(state, parents[kept])
    return sorted(finished + live, key=lambda hypothesis: -hypothesis.score)[:width]


def next_token_step(model: nn.Module) -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
    """A language model as :func:`beam_search` calls it.

    Args:
        model: a :class:`~companion.language_model.LanguageModel`, or anything called like one. It is used in the mode
            it is in: turn dropout off first, by ``model.eval()``.

    Returns:
        A function from (tokens of shape (N), state) to (log-probabilities of shape (N, V), new state).

    Examples:
        >>> model = companion.LanguageModel(nn.GRU(8, 16), vocabulary_size=30).eval()
        >>> step = companion.next_token_step(model)
        >>> log_probabilities, state = step(torch.tensor([3, 1, 4]), None)
        >>> log_probabilities.shape, state.shape
        (torch.Size([3, 30]), torch.Size([1, 3, 16]))

    Taught in *Text generation*.
    """
    time = _time_axis(model)

    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = model(tokens.unsqueeze(time), state)  # a time axis of length 1
        return logits.squeeze(time).log_softmax(-1), state

    return step


def generate_with_beam(model, vocabulary, prompt, num_tokens, width=5):
    """Let a language model write on from a prompt, with the most probable text that a beam finds.

    Args:
        model: a :class:`~companion.language_model.LanguageModel`, or anything called like one.
        vocabulary: the :class:`~companion.text.Vocabulary` it was trained with.
        prompt: the text to go on from, at least one token.
        num_tokens: how many tokens to write, at least 1.
        width: how many beginnings are in hand, see :func:`beam_search`; 1 is greedy.

    Returns:
        The prompt and what follows it, one string; nothing in it is drawn at random.

    Raises:
        TypeError: ``num_tokens`` or ``width`` is no int.
        ValueError: the prompt is empty, or ``num_tokens`` or ``width`` is less than 1.

    Examples:
        >>> vocabulary = companion.Vocabulary("the gate keeps what it has")
        >>> model = companion.LanguageModel(nn.GRU(8, 16), len(vocabulary))
        >>> text = companion.generate_with_beam(model, vocabulary, "the", num_tokens=10, width=3)
        >>> text.startswith("the"), text == companion.generate_with_beam(model, vocabulary, "the", 10, width=3)
        (True, True)

    Taught in *Text generation*.
    """
    tokens = vocabulary.encode(prompt).to(next(model.parameters()).device)  # (T)
    if len(tokens) == 0:
        raise ValueError("prompt should hold at least one token, got an empty one")
    check_positive_int("num_tokens", num_tokens)
    with evaluation_mode(model):
        state = model(tokens[:-1].unsqueeze(1 - _time_axis(model)))[1] if len(tokens) > 1 else None
        found = beam_search(next_token_step(model), state, tokens[-1], width=width, max_length=num_tokens)
    return prompt + vocabulary.separator + vocabulary.decode(found[0].tokens)


def _time_axis(model: nn.Module) -> int:
    """Where a model's tokens have their time axis: first in (T, B), or second if its layer is ``batch_first``."""
    return 1 if getattr(getattr(model, "layer", None), "batch_first", False) else 0
