"""What a layer gives back, taken apart: final states by layer and direction, and the last valid step of each sequence.

Shapes: B batch, T time, H hidden units (``hidden_size``), P ``proj_size``, L layers (``num_layers``), and S = 2
directions if bidirectional, else 1.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.anatomy import LAYERS, check_recurrent, state_sizes
from companion.batching import check_lengths
from companion.validation import check_tensor

__all__ = ["Directions", "last_valid", "split_states"]


class Directions(NamedTuple):
    """The states of one layer, one for each direction; ``reverse`` is None in a layer that reads one way only."""

    forward: Any
    reverse: Any = None


def split_states(h_n: Any, layer: nn.Module) -> tuple[Directions, ...]:
    """Take final states apart, by layer and direction: ``split_states(h_n, layer)[1].reverse``.

    A layer stacks them in the order layer 0 forward, layer 0 reverse, layer 1 forward, and so on. The parts are views:
    gradients flow through them.

    Args:
        h_n: the final state, or an initial one, of shape (S * L, B, H), or (S * L, H) without a batch, with P in place
            of H in an LSTM's h with a projection. Of an LSTM also the pair (h_n, c_n).
        layer: the layer it belongs to, of :mod:`torch.nn`, of this package, or your own.

    Returns:
        L :class:`Directions`, the lowest layer first. In each, ``forward`` and ``reverse`` have shape (B, H), or (H)
        without a batch; given a pair, they are pairs (h, c), as a cell takes them.

    Raises:
        TypeError: ``layer`` is no recurrent layer, or ``h_n`` is no tensor and no pair of tensors.
        ValueError: the shape is not that of a state of this layer, or a pair was given for a layer with one state.

    Examples:
        >>> layer = nn.GRU(3, 4, num_layers=2, bidirectional=True)
        >>> output, h_n = layer(torch.randn(5, 2, 3))
        >>> top = companion.split_states(h_n, layer)[-1]
        >>> torch.equal(top.forward, output[-1, :, :4]), torch.equal(top.reverse, output[0, :, 4:])
        (True, True)

    Taught in *Outputs and states*.
    """
    check_recurrent(layer, LAYERS)
    S = 2 if layer.bidirectional else 1
    parts = _parts(h_n, layer, S * layer.num_layers)
    rows = [part.unbind(0) for part in parts]  # S * L tensors (B, ·) of each part
    states = rows[0] if isinstance(h_n, Tensor) else list(zip(*rows, strict=True))
    return tuple(Directions(*states[S * number : S * (number + 1)]) for number in range(layer.num_layers))


def last_valid(output: Tensor, lengths: Tensor, batch_first: bool = False) -> Tensor:
    """The output at the last valid step of every sequence of a padded batch: step ``lengths - 1``.

    For the reverse half of a bidirectional layer that step is its *first* one; its final state is in ``h_n``.

    Args:
        output: a layer's padded output of shape (T, B, ...), or (B, T, ...) if ``batch_first``.
        lengths: the number of steps of each sequence, integers of shape (B), on any device.
        batch_first: whether the batch comes first in ``output``.

    Returns:
        Shape (B, ...). Gradients flow to these steps only.

    Raises:
        TypeError: ``output`` is no tensor, or ``lengths`` is no 1-D tensor of integers.
        ValueError: ``output`` has no time and batch, there is not one length for each sequence, one is less than 1, or
            one is greater than T.

    Examples:
        >>> output = torch.arange(8.0).view(4, 2, 1)  # (T, B, H)
        >>> companion.last_valid(output, torch.tensor([4, 2])).flatten()  # step 3 of the first, step 1 of the second
        tensor([6., 3.])

    Taught in *Variable lengths*.
    """
    check_tensor("output", output, "a padded tensor; unpack a PackedSequence with pad_packed_sequence")
    check_lengths(lengths)
    if output.dim() < 2:
        raise ValueError(f"output should have time and batch, shape (T, B, ...), got shape {tuple(output.shape)}")
    steps_first = output.transpose(0, 1) if batch_first else output  # (T, B, ...)
    T, B = steps_first.shape[:2]
    if len(lengths) != B:
        raise ValueError(f"lengths should be one for each of {B} sequences, got {len(lengths)}")
    if int(lengths.max()) > T:
        raise ValueError(f"lengths should be at most the {T} steps of output, got {int(lengths.max())}")
    last = lengths.to(output.device, torch.long) - 1
    return steps_first[last, torch.arange(B, device=output.device)]


def _parts(h_n: Any, layer: nn.Module, count: int) -> tuple[Tensor, ...]:
    """The parts of the state, their shapes checked."""
    widths = state_sizes(layer)
    if isinstance(h_n, Tensor):
        _check_part("h_n", h_n, count, set(widths))
        return (h_n,)
    if not isinstance(h_n, tuple | list) or not all(isinstance(part, Tensor) for part in h_n):
        raise TypeError(f"h_n should be a tensor or a pair of tensors, got a {type(h_n).__name__}")
    if len(h_n) != len(widths) or len(widths) == 1:
        raise ValueError(f"h_n should have {len(widths)} part(s) for {type(layer).__name__}, got a tuple of {len(h_n)}")
    for number, (part, width) in enumerate(zip(h_n, widths, strict=True)):
        _check_part(f"h_n[{number}]", part, count, {width})
    if len({part.shape[:-1] for part in h_n}) > 1:
        raise ValueError(f"h_n should have parts of one batch, got shapes {[tuple(part.shape) for part in h_n]}")
    return tuple(h_n)


def _check_part(name: str, part: Tensor, count: int, widths: set[int]) -> None:
    if part.dim() not in (2, 3) or part.shape[0] != count or part.shape[-1] not in widths:
        width = " or ".join(map(str, sorted(widths)))
        expected = f"({count}, B, {width}), or ({count}, {width}) without a batch"
        raise ValueError(f"{name} should have shape {expected}, got {tuple(part.shape)}")
