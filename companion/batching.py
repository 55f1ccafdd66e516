"""Batches of sequences of different lengths: padded, masked, and put together so that little of them is padding."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from companion.validation import check_positive_int

__all__ = ["BucketSampler", "length_mask", "pad_batch"]


def check_lengths(lengths: Tensor, least: int = 1) -> None:
    """Raise TypeError or ValueError unless these are the lengths of at least one sequence, none below ``least``."""
    if not isinstance(lengths, Tensor) or lengths.dim() != 1 or lengths.dtype not in (torch.int64, torch.int32):
        found = type(lengths).__name__
        if isinstance(lengths, Tensor):
            found = f"shape {tuple(lengths.shape)}, {lengths.dtype}"
        raise TypeError(f"lengths should be a 1-D tensor of integers, got {found}")
    if len(lengths) == 0:
        raise ValueError("lengths should hold at least one length, got none")
    if int(lengths.min()) < least:
        raise ValueError(f"lengths should be at least {least}, got {int(lengths.min())} at {int(lengths.argmin())}")


def length_mask(lengths: Tensor, num_steps: int | None = None) -> Tensor:
    """Which places of a padded batch hold a sequence's own steps: True there, False in the padding.

    Args:
        lengths: the number of steps of each sequence, integers of shape (B).
        num_steps: number T of steps of the padded batch; by default the longest length.

    Returns:
        Booleans of shape (T, B), on the device of ``lengths``.

    Raises:
        TypeError: ``lengths`` is no 1-D tensor of integers.
        ValueError: there are no lengths, one is less than 0, or one is greater than ``num_steps``.

    Examples:
        >>> from companion.batching import length_mask
        >>> length_mask(torch.tensor([3, 1])).int()  # (T, B)
        tensor([[1, 1],
                [1, 0],
                [1, 0]], dtype=torch.int32)

    Taught in *Variable lengths*.
    """
    check_lengths(lengths, least=0)
    longest = int(lengths.max())
    num_steps = longest if num_steps is None else num_steps
    if num_steps < longest:
        raise ValueError(f"num_steps should be at least the longest length {longest}, got {num_steps}")
    steps = torch.arange(num_steps, device=lengths.device).unsqueeze(1)  # (T, 1)
    return steps < lengths  # (T, B)


def pad_batch(examples: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Put sequences of different lengths into one batch; a ``collate_fn`` for :class:`torch.utils.data.DataLoader`.

    Args:
        examples: pairs of a sequence of shape (length, ...) and its target, one number.

    Returns:
        The sequences side by side, padded with zeros, shape (T, B, ...), their lengths, shape (B), and the targets,
        shape (B).

    Raises:
        ValueError: there are no examples, or a sequence has no steps.

    Examples:
        >>> from companion.batching import pad_batch
        >>> inputs, lengths, targets = pad_batch([(torch.ones(3), 0), (torch.ones(1), 1)])
        >>> inputs.T, lengths, targets
        (tensor([[1., 1., 1.],
                [1., 0., 0.]]), tensor([3, 1]), tensor([0, 1]))

    Taught in *Variable lengths*.
    """
    sequences = [sequence for sequence, _ in examples]
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)
    check_lengths(lengths)
    targets = torch.tensor([target for _, target in examples])
    return pad_sequence(sequences), lengths, targets


class BucketSampler:
    """Batches of sequences of nearly equal length, in random order; a ``batch_sampler`` for a ``DataLoader``.

    In every pass the sequences are shuffled and dealt into pools. Each pool is sorted by length and cut into batches,
    and the batches are shuffled. The random numbers are torch's own: ``torch.manual_seed`` repeats them.

    Args:
        lengths: the number of steps of each sequence, integers of shape (N).
        batch_size: number B of sequences in a batch; the last batch of the last pool may be smaller.
        pool: how many batches are sorted together. 1 gives random batches; the more, the less padding, and the less
            random the company of a sequence.

    Yields:
        Lists of B indices into ``lengths``, the longest sequence first.

    Raises:
        TypeError: ``lengths`` is no 1-D tensor of integers, or a size is no int.
        ValueError: there are no lengths, one is less than 1, or a size is.

    Examples:
        >>> from companion.batching import BucketSampler
        >>> lengths = torch.tensor([2, 9, 3, 8])
        >>> sorted(lengths[indices].tolist() for indices in BucketSampler(lengths, batch_size=2))
        [[3, 2], [9, 8]]

    Taught in *Variable lengths*.
    """

    def __init__(self, lengths: Tensor, batch_size: int, pool: int = 20):
        check_lengths(lengths)
        check_positive_int("batch_size", batch_size)
        check_positive_int("pool", pool)
        self.lengths, self.batch_size, self.pool = lengths, batch_size, pool

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        batches = []
        shuffled = torch.randperm(len(self.lengths))
        for pool in shuffled.split(self.batch_size * self.pool):
            order = self.lengths[pool].argsort(descending=True, stable=True)
            batches += pool[order].split(self.batch_size)
        for number in torch.randperm(len(batches)).tolist():
            yield batches[number].tolist()
