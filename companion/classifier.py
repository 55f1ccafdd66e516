"""A classifier of sequences around any recurrent layer: read everything, sum it up in one vector, decide.

What sums up the outputs of all steps is called pooling: the last one, their mean, or their maximum. Each is correct in
a padded batch: a sequence gets the same vector in any company.

Shapes: B batch, T time, F output features (S * H, with S = 2 directions if bidirectional, else 1), C classes.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from companion.batching import check_lengths, length_mask
from companion.language_model import check_widths, output_width
from companion.modes import evaluation_mode
from companion.states import last_valid
from companion.validation import check_positive_int, check_tensor

__all__ = [
    "NoRecurrence",
    "POOLINGS",
    "SequenceClassifier",
    "class_probabilities",
    "classification_loss",
    "last_pool",
    "max_pool",
    "mean_pool",
]

POOLINGS = ("last", "mean", "max")
"""The ways to sum up the outputs of all steps."""


def check_output(output: Tensor, lengths: Tensor) -> Tensor:
    """The lengths on the output's device; TypeError or ValueError unless they fit an output of shape (T, B, F)."""
    check_tensor("output", output, "a padded tensor; unpack a PackedSequence with pad_packed_sequence")
    check_lengths(lengths)
    if output.dim() != 3:
        raise ValueError(f"output should have shape (T, B, F), got shape {tuple(output.shape)}")
    T, B = output.shape[:2]
    if len(lengths) != B:
        raise ValueError(f"lengths should be one for each of {B} sequences, got {len(lengths)}")
    if int(lengths.max()) > T:
        raise ValueError(f"lengths should be at most the {T} steps of output, got {int(lengths.max())}")
    return lengths.to(output.device)


def last_pool(output: Tensor, lengths: Tensor, bidirectional: bool = False) -> Tensor:
    """The final output of each sequence, in each direction: the forward one's last, the reverse one's first.

    Args:
        output: a layer's padded output of shape (T, B, F); of a bidirectional layer, one that read a packed sequence.
        lengths: the number of steps of each sequence, integers of shape (B).
        bidirectional: whether the second half of the features belongs to a reverse direction.

    Returns:
        Shape (B, F).

    Raises:
        TypeError: ``output`` is no tensor, or ``lengths`` is no 1-D tensor of integers.
        ValueError: the output is not 3-D, or the lengths do not fit it.

    Examples:
        >>> from companion.classifier import last_pool
        >>> output = torch.tensor([[[1.0, 5.0]], [[2.0, 6.0]], [[0.0, 0.0]]])  # (T, B, F), the last step is padding
        >>> last_pool(output, torch.tensor([2])), last_pool(output, torch.tensor([2]), bidirectional=True)
        (tensor([[2., 6.]]), tensor([[2., 5.]]))

    Taught in *Text classification*.
    """
    lengths = check_output(output, lengths)
    last = last_valid(output, lengths)  # (B, F)
    if not bidirectional:
        return last
    half = output.shape[-1] // 2
    return torch.cat([last[:, :half], output[0, :, half:]], dim=-1)  # the reverse direction ends at step 0


def mean_pool(output: Tensor, lengths: Tensor) -> Tensor:
    """The mean of each sequence's own outputs; whatever stands in the padding is left out.

    Args:
        output: a layer's padded output of shape (T, B, F).
        lengths: the number of steps of each sequence, integers of shape (B).

    Returns:
        Shape (B, F).

    Raises:
        TypeError: ``output`` is no tensor, or ``lengths`` is no 1-D tensor of integers.
        ValueError: the output is not 3-D, or the lengths do not fit it.

    Examples:
        >>> from companion.classifier import mean_pool
        >>> mean_pool(torch.tensor([[[1.0]], [[2.0]], [[9.0]]]), torch.tensor([2]))  # the third step is padding
        tensor([[1.5000]])

    Taught in *Text classification*.
    """
    lengths = check_output(output, lengths)
    padding = ~length_mask(lengths, len(output)).unsqueeze(-1)  # (T, B, 1)
    return output.masked_fill(padding, 0).sum(0) / lengths.unsqueeze(-1)  # (B, F)


def max_pool(output: Tensor, lengths: Tensor) -> Tensor:
    """The largest of each sequence's own outputs, feature by feature; whatever stands in the padding is left out.

    Args:
        output: a layer's padded output of shape (T, B, F).
        lengths: the number of steps of each sequence, integers of shape (B).

    Returns:
        Shape (B, F). The gradient of a feature flows to the step where it was largest.

    Raises:
        TypeError: ``output`` is no tensor, or ``lengths`` is no 1-D tensor of integers.
        ValueError: the output is not 3-D, or the lengths do not fit it.

    Examples:
        >>> from companion.classifier import max_pool
        >>> max_pool(torch.tensor([[[-1.0]], [[-2.0]], [[0.0]]]), torch.tensor([2]))  # the third step is padding
        tensor([[-1.]])

    Source: :cite:t:`conneau2017`. Taught in *Text classification*.
    """
    lengths = check_output(output, lengths)
    padding = ~length_mask(lengths, len(output)).unsqueeze(-1)  # (T, B, 1)
    return output.masked_fill(padding, float("-inf")).amax(0)  # (B, F)


class NoRecurrence(nn.Module):
    """Stands where a recurrent layer could, and hands its input on: what can be done without one.

    A :class:`SequenceClassifier` around it that pools by the mean sees the mean of the embeddings, no order at all.

    Args:
        features: number of features of the input, and of the output.

    Raises:
        TypeError: ``features`` is no int.
        ValueError: ``features`` is less than 1.

    Examples:
        >>> from companion.classifier import NoRecurrence
        >>> NoRecurrence(3)(torch.ones(1, 1, 3))
        (tensor([[[1., 1., 1.]]]), None)

    Source: :cite:t:`iyyer2015`, whose network has further layers above. Taught in *Text classification*.
    """

    def __init__(self, features: int):
        check_positive_int("features", features)
        super().__init__()
        self.input_size = self.hidden_size = features

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Tensor | PackedSequence, None]:
        """Return the input, and no state."""
        return input, None


class SequenceClassifier(nn.Module):
    """Embedding, recurrent layer, pooling, linear output: the probability of each class for a sequence, as logits.

    Every batch is packed, so that padding is never read and no answer depends on the other sequences of the batch.

    Args:
        layer: any recurrent layer that takes a packed sequence: ours, :mod:`torch.nn`'s, or your own.
        vocabulary_size: number V of tokens.
        num_classes: number C of classes.
        pooling: ``"last"``, ``"mean"`` or ``"max"``: what sums up the outputs of all steps, see :func:`last_pool`,
            :func:`mean_pool` and :func:`max_pool`.
        embedding: a module from token numbers to ``layer.input_size`` features; by default a new
            :class:`torch.nn.Embedding` that is trained.
        dropout: probability to zero an element of the layer's input and of the pooled output, in training.
        word_dropout: probability to replace a token by number 0, the unknown one, in training: the model gets used to
            words that it does not know. Source: :cite:t:`bowman2016`.

    Raises:
        TypeError: a size is no int.
        ValueError: a size is less than 1, there is no such pooling, ``word_dropout`` is no probability, or the
            embedding is for another number of tokens or features.

    Examples:
        >>> model = companion.SequenceClassifier(nn.GRU(8, 16, bidirectional=True), 30, num_classes=2, pooling="max")
        >>> tokens, lengths = torch.randint(30, (7, 3)), torch.tensor([7, 2, 4])  # (T, B), (B)
        >>> model(tokens, lengths).shape
        torch.Size([3, 2])

    Taught in *Text classification*.
    """

    def __init__(
        self,
        layer: nn.Module,
        vocabulary_size: int,
        num_classes: int,
        pooling: str = "last",
        embedding: nn.Module | None = None,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ):
        check_positive_int("num_classes", num_classes)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling should be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}")
        if not isinstance(word_dropout, int | float) or not 0 <= word_dropout <= 1:
            raise ValueError(f"word_dropout should be a probability from 0 to 1, got {word_dropout!r}")
        check_widths(layer, vocabulary_size, embedding, tie_weights=False)
        super().__init__()
        if embedding is None:
            embedding = nn.Embedding(vocabulary_size, layer.input_size)
        self.embedding = embedding
        self.layer = layer
        self.output = nn.Linear(output_width(layer), num_classes)
        self.dropout = nn.Dropout(dropout)
        self.pooling = pooling
        self.word_dropout = float(word_dropout)

    def forward(self, tokens: Tensor | PackedSequence, lengths: Tensor | None = None) -> Tensor:
        """Score every class.

        Args:
            tokens: token numbers, padded, shape (T, B), or (B, T) if the layer is ``batch_first``; or a packed sequence
                of token numbers.
            lengths: the number of tokens of each sequence, integers of shape (B), on any device; None if nothing is
                padding, and with a packed sequence, which knows its own.

        Returns:
            Logits of shape (B, C).

        Raises:
            TypeError: ``tokens`` or ``lengths`` are no tensors of integers.
            ValueError: a shape or a length does not fit, or lengths came with a packed sequence.
        """
        return self.output(self.dropout(self.pool(*self.read(tokens, lengths))))

    def read(self, tokens: Tensor | PackedSequence, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The layer's outputs of all steps, before the pooling.

        Args:
            tokens: as for :meth:`forward`.
            lengths: as for :meth:`forward`.

        Returns:
            The padded output of shape (T, B, F), time first, and the lengths, shape (B), on the CPU.
        """
        packed = self._pack(tokens, lengths)
        x = self.dropout(self.embedding(self._drop_words(packed.data)))  # (tokens of all sequences, D)
        output, _ = self.layer(packed._replace(data=x))
        return pad_packed_sequence(output)

    def pool(self, output: Tensor, lengths: Tensor) -> Tensor:
        """Sum up the outputs of :meth:`read`: from (T, B, F) to (B, F)."""
        if self.pooling == "last":
            return last_pool(output, lengths, getattr(self.layer, "bidirectional", False))
        return {"mean": mean_pool, "max": max_pool}[self.pooling](output, lengths)

    def _pack(self, tokens: Tensor | PackedSequence, lengths: Tensor | None) -> PackedSequence:
        if isinstance(tokens, PackedSequence):
            if lengths is not None:
                raise ValueError("lengths should be None with a PackedSequence, which knows its own, got lengths")
            _check_token_numbers("tokens.data", tokens.data, 1, "one number for each token")
            return tokens
        batch_first = getattr(self.layer, "batch_first", False)
        _check_token_numbers("tokens", tokens, 2, "(B, T)" if batch_first else "(T, B)")
        B, T = tokens.shape if batch_first else tokens.shape[::-1]
        lengths = torch.full((B,), T) if lengths is None else lengths
        check_lengths(lengths)
        if len(lengths) != B or int(lengths.max()) > T:
            found = f"{len(lengths)} lengths up to {int(lengths.max())}"
            raise ValueError(f"lengths should be one for each of {B} sequences and at most {T}, got {found}")
        return pack_padded_sequence(tokens, lengths.cpu(), batch_first, enforce_sorted=False)

    def _drop_words(self, tokens: Tensor) -> Tensor:
        if not self.training or self.word_dropout == 0:
            return tokens
        return tokens.masked_fill(torch.rand(tokens.shape, device=tokens.device) < self.word_dropout, 0)

    def extra_repr(self) -> str:
        """The pooling."""
        return f"pooling={self.pooling!r}"


def _check_token_numbers(name: str, tokens: Any, dimensions: int, shape: str) -> None:
    if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int64, torch.int32):
        found = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
        raise TypeError(f"{name} should be a tensor of token numbers, or a PackedSequence of them, got {found}")
    if tokens.dim() != dimensions:
        raise ValueError(f"{name} should have shape {shape}, got shape {tuple(tokens.shape)}")


def classification_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor, Tensor], state: Any = None
) -> tuple[Tensor, None]:
    """The mean cross-entropy of a classifier's guesses for one batch, in nats a sequence; for ``fit(loss=...)``.

    Args:
        model: called as ``model(tokens, lengths)``, returns logits of shape (B, C).
        batch: token numbers (T, B), lengths (B) and class numbers (B), as :func:`~companion.batching.pad_batch` gives.
        state: not used: every sequence begins afresh.

    Returns:
        The loss, a scalar tensor, and None.

    Examples:
        >>> from companion.classifier import SequenceClassifier, classification_loss
        >>> model = SequenceClassifier(nn.GRU(8, 16), vocabulary_size=30, num_classes=2)
        >>> batch = torch.randint(30, (7, 3)), torch.tensor([7, 2, 4]), torch.tensor([1, 0, 1])
        >>> loss, state = classification_loss(model, batch)
        >>> loss.shape, state is None
        (torch.Size([]), True)

    Taught in *Text classification*.
    """
    tokens, lengths, classes = batch
    return F.cross_entropy(model(tokens, lengths), classes), None


def class_probabilities(model: nn.Module, batches: Iterable) -> Tensor:
    """The probability of each class for every sequence, in evaluation mode, in the order of the batches.

    Args:
        model: called as ``model(tokens, lengths)``, returns logits of shape (B, C).
        batches: batches as :func:`classification_loss` takes; their classes are not looked at. Not shuffled, if you
            want to know which row belongs to which sequence.

    Returns:
        Shape (N, C), on the CPU; ``.argmax(-1)`` gives the classes.

    Raises:
        ValueError: there are no batches.

    Examples:
        >>> from companion.classifier import SequenceClassifier, class_probabilities
        >>> model = SequenceClassifier(nn.GRU(8, 16), vocabulary_size=30, num_classes=2)
        >>> batch = torch.randint(30, (7, 3)), torch.tensor([7, 2, 4]), torch.tensor([1, 0, 1])
        >>> class_probabilities(model, [batch, batch]).shape
        torch.Size([6, 2])

    Taught in *Text classification*.
    """
    device = next(model.parameters()).device
    with evaluation_mode(model):
        logits = [model(tokens.to(device), lengths).cpu() for tokens, lengths, _ in batches]
    if not logits:
        raise ValueError("batches should hold at least one batch, got none")
    return torch.cat(logits).softmax(-1)
