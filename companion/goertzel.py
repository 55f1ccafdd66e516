"""Which keys of a telephone sound, without anything learned: the detector to beat in *From sound to digits*."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from companion.tasks.tones import COLUMN_FREQUENCIES, DIGIT_KEYS, ROW_FREQUENCIES, SAMPLE_RATE

__all__ = ["GoertzelDetector", "goertzel_power", "runs_to_digits", "tone_shares"]

HOP_LENGTH = 64  # samples between two blocks, 8 ms


def goertzel_power(blocks: Tensor, frequencies: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """The power of a few frequencies in blocks of samples, by a recurrence of two numbers for each frequency.

    Args:
        blocks: samples, shape (..., N).
        frequencies: K frequencies, in hertz.
        sample_rate: samples a second.

    Returns:
        The squared magnitude of the Fourier sum at each frequency, shape (..., K).

    Examples:
        >>> from companion.goertzel import goertzel_power
        >>> block = torch.sin(2 * torch.pi * 1000 * torch.arange(80) / 8000)
        >>> goertzel_power(block, torch.tensor([1000.0, 1100.0])).round()  # (80 / 2) squared, and nothing
        tensor([1600.,    0.])

    Source: :cite:t:`goertzel1958`. Taught in *From sound to digits*.
    """
    coefficient = 2 * torch.cos(2 * math.pi * frequencies / sample_rate)    # (K)
    last = before = torch.zeros(*blocks.shape[:-1], len(frequencies))       # (..., K)
    for sample in blocks.unbind(-1):
        last, before = sample.unsqueeze(-1) + coefficient * last - before, last
    return last.square() + before.square() - coefficient * last * before


def tone_shares(wave: Tensor, block_length: int = 205) -> Tensor:
    """Which share of a sound's energy lies at each of the seven frequencies of a telephone's digits, block by block.

    Args:
        wave: samples, shape (N).
        block_length: samples in a block; a block begins every 64 samples, 8 ms.

    Returns:
        Shares of shape (number of blocks, 7), the four rows first. Of a tone without noise the best row and the best
        column together come near 1.

    Raises:
        ValueError: the sound is shorter than a block.

    Examples:
        >>> from companion.goertzel import tone_shares
        >>> from companion.tasks.tones import dial
        >>> shares = tone_shares(dial([5], tone=0.2).wave)
        >>> shares[len(shares) // 2].argsort(descending=True)[:2].tolist()  # the second row, the second column
        [1, 5]

    Taught in *From sound to digits*.
    """
    if wave.dim() != 1 or len(wave) < block_length:
        raise ValueError(f"wave should be at least one block of {block_length} samples, got {tuple(wave.shape)}")
    blocks = wave.unfold(0, block_length, HOP_LENGTH)  # (blocks, block_length)
    frequencies = torch.tensor(ROW_FREQUENCIES + COLUMN_FREQUENCIES, dtype=wave.dtype)
    energy = blocks.square().sum(-1, keepdim=True) * block_length / 2
    return goertzel_power(blocks, frequencies) / (energy + 1e-9)


def runs_to_digits(labels: Iterable[int], min_tone: int, min_gap: int) -> list[int]:
    """From a decision about every block to digits: a tone has to last, and so does the gap before the same digit.

    Args:
        labels: a digit for each block, or -1 for none.
        min_tone: blocks in a row that make a digit; shorter runs count as gap.
        min_gap: blocks between two runs of one digit that make it two digits.

    Returns:
        The digits.

    Examples:
        >>> from companion.goertzel import runs_to_digits
        >>> runs_to_digits([7, 7, -1, 7, 7, -1, -1, 7, 7, 2], min_tone=2, min_gap=2)
        [7, 7]

    Taught in *From sound to digits*.
    """
    digits, last, gap = [], None, 0
    for label, run in groupby(labels):
        length = len(list(run))
        if label < 0 or length < min_tone:
            gap += length
        else:
            if label != last or gap >= min_gap:
                digits.append(label)
            last, gap = label, 0
    return digits


@dataclass(frozen=True)
class GoertzelDetector:
    """A detector of telephone digits with four thresholds and the length of a block; call it with the samples.

    A block holds a digit where its best row and its best column together have enough of the energy, and each stands
    out from the second best.

    Attributes:
        block_length: samples in a block.
        share: the least share of the energy that the best row and the best column have together, 0 to 1.
        dominance: the least difference between the best and the second best row, and column, in decibels.
        min_tone: blocks in a row that make a digit.
        min_gap: blocks between two tones of one digit that make it two digits.

    Examples:
        >>> from companion.goertzel import GoertzelDetector
        >>> from companion.tasks.tones import dial
        >>> GoertzelDetector()(dial([3, 1, 4, 4]).wave)
        [3, 1, 4, 4]

    Taught in *From sound to digits*.
    """

    block_length: int = 205
    share: float = 0.5
    dominance: float = 6.0
    min_tone: int = 2
    min_gap: int = 2

    def __call__(self, wave: Tensor) -> list[int]:
        return self.read(tone_shares(wave, self.block_length))

    def read(self, shares: Tensor) -> list[int]:
        """The digits, given the shares that :func:`tone_shares` measured in blocks of this length.

        Args:
            shares: shape (number of blocks, 7).

        Returns:
            The digits.
        """
        (row, second_row), rows = _best_two(shares[:, :4])
        (column, second_column), columns = _best_two(shares[:, 4:])
        ratio = 10 ** (self.dominance / 10)
        clear = (row >= ratio * second_row) & (column >= ratio * second_column)
        heard = clear & (row + column >= self.share)
        labels = torch.where(heard, _DIGITS[rows, columns], -1)  # (blocks)
        return runs_to_digits(labels.tolist(), self.min_tone, self.min_gap)


def _best_two(shares: Tensor) -> tuple[Tensor, Tensor]:
    best = shares.topk(2, -1)
    return best.values.unbind(-1), best.indices[:, 0]


_DIGITS = torch.full((4, 3), -1)
for _digit, (_row, _column) in enumerate(DIGIT_KEYS):
    _DIGITS[_row, _column] = _digit
