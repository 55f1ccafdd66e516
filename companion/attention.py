"""Attention: at every step of an output, a look at all steps of an input, with weights that say how much of each.

Shapes: B batch, T steps that are looked at, U steps that look, D features.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from companion.validation import check_positive_int, check_tensor

__all__ = ["AdditiveAttention", "Attention", "DotProductAttention", "masked_softmax"]


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weights that sum to one over the last dimension, none of it where the mask is False.

    Args:
        scores: any numbers, shape (U, B, T).
        mask: booleans of shape (T, B), True where there is something to look at, as
            :func:`~companion.batching.length_mask` gives them; None masks nothing.

    Returns:
        Weights of the shape of ``scores``, exactly 0 where the mask is False.

    Raises:
        TypeError: the mask holds no booleans.
        RuntimeError: it does not fit the scores.
        ValueError: it leaves a sequence nothing to look at.

    Examples:
        >>> from companion.attention import masked_softmax
        >>> mask = torch.tensor([[True], [True], [False]])  # (T, B): the third place is padding
        >>> masked_softmax(torch.tensor([[[1.0, 1.0, 9.0]]]), mask)
        tensor([[[0.5000, 0.5000, 0.0000]]])

    Taught in *Sequence to sequence*.
    """
    if mask is not None:
        check_mask(mask, scores)
        scores = scores.masked_fill(~mask.T, -math.inf)  # (B, T), the same for all U
    return scores.softmax(-1)


class Attention(nn.Module):
    """What all kinds of attention share: scores become weights, and the weights mix the values.

    A kind of its own is a subclass with one method, ``scores(query, keys)``, see :class:`DotProductAttention`.

    Args:
        batch_first: whether the batch is the first dimension of query, keys, values and mask, and of what comes back.

    Raises:
        NotImplementedError: at the call, in a class without a method ``scores``.

    Examples:
        >>> from companion.attention import Attention
        >>> class EvenAttention(Attention):
        ...     def scores(self, query, keys):
        ...         return query.new_zeros(*query.shape[:2], len(keys))  # (U, B, T)
        >>> context, weights = EvenAttention()(torch.randn(2, 3, 8), torch.randn(4, 3, 8))
        >>> context.shape, weights[0, 0]
        (torch.Size([2, 3, 8]), tensor([0.2500, 0.2500, 0.2500, 0.2500]))

    Source: :cite:t:`bahdanau2015`. Taught in *Sequence to sequence*.
    """

    def __init__(self, batch_first: bool = False):
        super().__init__()
        self.batch_first = batch_first

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """How well every key fits every query: (U, B, D) and (T, B, D) give (U, B, T), whatever ``batch_first`` is."""
        raise NotImplementedError(f"{type(self).__name__} should have a method scores(query, keys)")

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Look at the values, where the keys fit the query.

        Args:
            query: what is looked for, shape (U, B, D), or (B, U, D) if ``batch_first``; so for the others.
            keys: what it is compared with, shape (T, B, D).
            values: what is mixed, shape (T, B, D'); by default the keys themselves.
            mask: booleans of shape (T, B), True where there is something to look at; None masks nothing.

        Returns:
            The contexts, shape (U, B, D'), and the weights, shape (U, B, T): they sum to one over T. With
            ``batch_first`` (B, U, D') and (B, U, T).
        """
        values = keys if values is None else values
        check_inputs(query, keys, values, self.batch_first)
        if self.batch_first:
            query, keys, values = (part.transpose(0, 1) for part in (query, keys, values))
            mask = None if mask is None else mask.transpose(0, 1)
        weights = masked_softmax(self.scores(query, keys), mask)  # (U, B, T)
        context = torch.einsum("ubt,tbd->ubd", weights, values)
        if self.batch_first:
            context, weights = context.transpose(0, 1), weights.transpose(0, 1)
        return context, weights


class DotProductAttention(Attention):
    r"""A key fits a query as well as their dot product says, :math:`q \cdot k / \sqrt{D}`; nothing to learn.

    The same as ``torch.nn.functional.scaled_dot_product_attention``, which keeps its weights to itself.

    Args:
        batch_first: see :class:`Attention`.

    Raises:
        RuntimeError: at the call: shapes do not fit together.
        TypeError: at the call: the mask holds no booleans.

    Examples:
        >>> keys = torch.eye(2).unsqueeze(1)  # (T, B, D): two keys, at right angles
        >>> context, weights = companion.DotProductAttention()(torch.tensor([[[9.0, 0.0]]]), keys)
        >>> weights  # the query is like the first key
        tensor([[[0.9983, 0.0017]]])

    Source: :cite:t:`luong2015`; the scale: :cite:t:`vaswani2017`. Taught in *Sequence to sequence*.
    """

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Dot products over the root of D, shape (U, B, T)."""
        check_same_width(query, keys)
        return torch.einsum("ubd,tbd->ubt", query, keys) / math.sqrt(query.shape[-1])


class AdditiveAttention(Attention):
    r"""A small network says how well a key fits a query: :math:`v \cdot \tanh(W q + U k)`.

    Args:
        query_size: number of features of a query.
        key_size: number of features of a key; it may be another.
        hidden_size: number H of units in between.
        batch_first: see :class:`Attention`.

    Raises:
        TypeError: a size is no int. At the call also: the mask holds no booleans.
        ValueError: a size is less than 1.
        RuntimeError: at the call: shapes do not fit together.

    Examples:
        >>> attention = companion.AdditiveAttention(query_size=8, key_size=6, hidden_size=5)
        >>> context, weights = attention(torch.randn(2, 3, 8), torch.randn(4, 3, 6))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 6]), torch.Size([2, 3, 4]))

    Source: :cite:t:`bahdanau2015`, section A.1.2. Taught in *Sequence to sequence*.
    """

    def __init__(self, query_size: int, key_size: int, hidden_size: int, batch_first: bool = False):
        super().__init__(batch_first)
        sizes = {"query_size": query_size, "key_size": key_size, "hidden_size": hidden_size}
        for name, size in sizes.items():
            check_positive_int(name, size)
        self.query = nn.Linear(query_size, hidden_size, bias=False)
        self.key = nn.Linear(key_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """The small network on every pair of a query and a key, shape (U, B, T)."""
        pairs = self.query(query).unsqueeze(1) + self.key(keys)  # (U, 1, B, H) + (T, B, H)
        scores = self.score(torch.tanh(pairs))  # (U, T, B, 1)
        return scores.squeeze(-1).transpose(1, 2)  # (U, B, T)


def check_mask(mask: Any, scores: Tensor) -> None:
    """Raise unless the mask is of booleans, fits the scores, and leaves every sequence something to look at."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise TypeError(f"mask should be a tensor of booleans, True where there is something to look at, got {found}")
    _, B, T = scores.shape
    if mask.shape != (T, B):
        raise RuntimeError(f"mask should have T = {T} steps and B = {B} sequences, (T, B), got {tuple(mask.shape)}")
    if not mask.any(0).all():
        raise ValueError("mask should leave every sequence at least one step to look at, got one with none")


def check_inputs(query: Any, keys: Any, values: Any, batch_first: bool) -> None:
    """Raise unless these are three tensors of one batch, and there is a value for every key."""
    for name, tensor in (("query", query), ("keys", keys), ("values", values)):
        check_tensor(name, tensor, "a tensor with time, batch and features")
        if tensor.dim() != 3:
            raise RuntimeError(f"{name} should have 3 dimensions, got shape {tuple(tensor.shape)}")
    batch = 0 if batch_first else 1
    if query.shape[batch] != keys.shape[batch]:
        sizes = f"{query.shape[batch]} and {keys.shape[batch]}"
        raise RuntimeError(f"query and keys should have one batch size in dimension {batch}, got {sizes}")
    if keys.shape[:2] != values.shape[:2]:
        shapes = f"shapes {tuple(keys.shape)} and {tuple(values.shape)}"
        raise RuntimeError(f"values should be one for every key, got {shapes}")


def check_same_width(query: Tensor, keys: Tensor) -> None:
    """Raise RuntimeError unless a query has as many features as a key."""
    if query.shape[-1] != keys.shape[-1]:
        raise RuntimeError(
            f"query should have the {keys.shape[-1]} features of a key, got {query.shape[-1]}: project one of them"
        )
