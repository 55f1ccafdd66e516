"""A language model around any recurrent layer: tokens in, a score for every possible next token out."""

from typing import Any

import torch
from torch import Tensor, nn

from companion.validation import check_positive_int

__all__ = ["LanguageModel", "one_hot", "output_width"]


def output_width(layer: nn.Module) -> int:
    """The number of features a recurrent layer outputs.

    Args:
        layer: any recurrent layer with nn's attributes.

    Returns:
        S * H, or S * P with a projection, with S = 2 directions if bidirectional, else 1.

    Examples:
        >>> from companion.language_model import output_width
        >>> output_width(nn.GRU(3, 4, bidirectional=True)), output_width(nn.LSTM(3, 4, proj_size=2))
        (8, 2)
    """
    directions = 2 if getattr(layer, "bidirectional", False) else 1
    return directions * (getattr(layer, "proj_size", 0) or layer.hidden_size)


def one_hot(vocabulary_size: int) -> nn.Embedding:
    """An embedding that is never trained: token k becomes the unit vector with a 1 at place k.

    Args:
        vocabulary_size: number V of tokens.

    Returns:
        A frozen :class:`torch.nn.Embedding` with the identity as its weight, shape (V, V).

    Examples:
        >>> companion.one_hot(3)(torch.tensor([2, 0]))
        tensor([[0., 0., 1.],
                [1., 0., 0.]])

    Taught in *The simple RNN, twice*.
    """
    return nn.Embedding.from_pretrained(torch.eye(vocabulary_size), freeze=True)


def check_widths(layer: nn.Module, vocabulary_size: int, embedding: nn.Module | None, tie_weights: bool) -> None:
    """Raise unless the embedding takes every token and gives what the layer reads, and tied weights have one shape."""
    check_positive_int("vocabulary_size", vocabulary_size)
    tokens = getattr(embedding, "num_embeddings", vocabulary_size)
    if tokens != vocabulary_size:
        raise ValueError(f"embedding should take vocabulary_size={vocabulary_size} tokens, got one for {tokens}")
    width = getattr(embedding, "embedding_dim", layer.input_size)
    if width != layer.input_size:
        raise ValueError(f"embedding should give layer.input_size={layer.input_size} features, got {width}")
    if tie_weights and output_width(layer) != width:
        raise ValueError(
            f"tie_weights needs a layer whose output is as wide as its input, "
            f"got {output_width(layer)} features out of input_size={width}"
        )


class LanguageModel(nn.Module):
    """Embedding, recurrent layer, linear output: the probability of every next token, as logits.

    Args:
        layer: any recurrent layer with nn's interface: ours, :mod:`torch.nn`'s, or your own.
        vocabulary_size: number V of tokens.
        embedding: a module from token numbers to ``layer.input_size`` features; by default a new
            :class:`torch.nn.Embedding` that is trained. :func:`one_hot` gives one that is not.
        dropout: probability to zero an element of the layer's input and of its output, in training.
        tie_weights: use the embedding's matrix as the output's as well. Source: :cite:t:`press2017`.

    Raises:
        TypeError: ``vocabulary_size`` is no int.
        ValueError: ``vocabulary_size`` is less than 1; or the embedding is for another number of tokens, or its width
            is not ``layer.input_size``; or weights are tied and the layer's output is not as wide as its input.

    Examples:
        >>> model = companion.LanguageModel(nn.LSTM(8, 16), vocabulary_size=30)
        >>> logits, (h_n, c_n) = model(torch.randint(30, (35, 4)))  # (T, B)
        >>> logits.shape, h_n.shape
        (torch.Size([35, 4, 30]), torch.Size([1, 4, 16]))

    Taught in *The simple RNN, twice*.
    """

    def __init__(self, layer, vocabulary_size, embedding=None, dropout=0.0, tie_weights=False):
        super().__init__()
        check_widths(layer, vocabulary_size, embedding, tie_weights)
        if embedding is None:
            embedding = nn.Embedding(vocabulary_size, layer.input_size)
        self.embedding = embedding
        self.layer = layer
        self.output = nn.Linear(output_width(layer), vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        if tie_weights:
            self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Score every next token.

        Args:
            tokens: token numbers, shape (T, B), or (B, T) if the layer is ``batch_first``, or (T).
            state: the layer's state before the first token; zeros if None.

        Returns:
            Logits with one more dimension, V, than the tokens; and the layer's state after the last token.
        """
        outputs, state = self.layer(self.dropout(self.embedding(tokens)), state)  # (T, B, H)
        return self.output(self.dropout(outputs)), state  # (T, B, V)
