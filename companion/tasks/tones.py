"""Strings of digits dialed in telephone tones, at changing tempo and level, in noise: sound whose text is known.

A key of a telephone sounds two sines at once, one of four low frequencies for its row and one of three high ones for
its column. The strings stand in for speech where nothing can be downloaded. They share with it what makes the task
hard to set up: a long recording, a short text, and no word of which stretch of the one belongs to which part of the
other. They have no talkers, no accents, no sounds that color their neighbors, and only ten "words".

Everything is made on the CPU. With ``seed=None`` the random numbers are torch's own, and ``torch.manual_seed`` repeats
them; with a seed the strings are the same everywhere, to rounding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from companion.spectrogram import log_spectrogram, standardize
from companion.tasks.arguments import check_sizes, random_source

__all__ = [
    "COLUMN_FREQUENCIES",
    "DIGIT_KEYS",
    "NoisyTones",
    "ROW_FREQUENCIES",
    "SAMPLE_RATE",
    "ToneString",
    "add_noise",
    "dial",
    "tone_strings",
]

SAMPLE_RATE = 8000
"""Samples a second, a telephone line's."""

ROW_FREQUENCIES = (697, 770, 852, 941)
"""The low frequencies, one for each row of keys, in hertz."""

COLUMN_FREQUENCIES = (1209, 1336, 1477)
"""The high frequencies, one for each column of keys, in hertz."""

DIGIT_KEYS = ((3, 1), (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2))
"""The row and the column of the digits 0 to 9 on a telephone's keys."""


@dataclass(frozen=True)
class ToneString:
    """A dialed string.

    Attributes:
        digits: the digits dialed, in order.
        wave: the samples, shape (N), float32, the mean power of its tones 1 unless noise was added.
        spans: where each tone begins and ends, in samples.
    """

    digits: list[int]
    wave: Tensor
    spans: list[tuple[int, int]]


def dial(digits: Sequence[int], tone: float = 0.1, gap: float = 0.08) -> ToneString:
    """Dial digits as a machine does: equal tones, equal gaps, equal levels, no noise.

    Args:
        digits: digits, 0 to 9.
        tone: how long each tone lasts, in seconds.
        gap: the silence before, between and after the tones, in seconds.

    Returns:
        The :class:`ToneString`.

    Raises:
        ValueError: there is no digit, one is not 0 to 9, or a duration is not positive.

    Examples:
        >>> from companion.tasks.tones import dial
        >>> string = dial([7, 7], tone=0.1, gap=0.05)
        >>> string.wave.shape, string.spans
        (torch.Size([2800]), [(400, 1200), (1600, 2400)])

    Source of the frequencies: :cite:t:`itu1988`. Taught in *From sound to digits*.
    """
    digits = list(digits)
    if not digits or not all(digit in range(10) for digit in digits):
        raise ValueError(f"digits should be at least one digit 0 to 9, got {digits}")
    if tone <= 0 or gap <= 0:
        raise ValueError(f"tone and gap should be greater than 0 seconds, got {tone} and {gap}")
    tones, gaps = [round(tone * SAMPLE_RATE)] * len(digits), [round(gap * SAMPLE_RATE)] * (len(digits) + 1)
    pairs = torch.tensor([_pair(digit) for digit in digits])
    return _sound(digits, tones, gaps, pairs, torch.ones_like(pairs), torch.zeros_like(pairs))


def tone_strings(
    count: int,
    min_digits: int = 3,
    max_digits: int = 7,
    *,
    repeats: float = 0.3,
    snr: float | tuple[float, float] | None = None,
    seed: int | None = None,
) -> list[ToneString]:
    """Dial random strings as people might: each in a tempo of its own, unevenly, on a phone that is not quite in tune.

    The tempo of a string stretches all its durations by a factor from 0.7 to 1.4. Before that a tone lasts 60 to
    140 ms and a gap 30 to 120 ms, so that the shortest tone lasts 42 ms and the shortest gap 21 ms; before and after
    the string there are 50 to 250 ms without a tone. Each tone has a level of its own, within 4 dB of the middle, and
    its two sines differ by up to 4 dB more. All frequencies of a string are up to 1.5 percent off, by one factor.

    Args:
        count: number of strings.
        min_digits: the fewest digits in a string.
        max_digits: the most.
        repeats: the probability that a digit is the one before it once more, beyond chance.
        snr: the signal-to-noise ratio, in decibels: the mean power of the tones over the power of the white noise
            added, from 0 to 4000 Hz. Of a pair (low, high) each string draws its own; None adds no noise.
        seed: repeats the strings; None goes on with torch's own random numbers.

    Returns:
        A list of :class:`ToneString`.

    Raises:
        TypeError: a size or the seed is no int.
        ValueError: a size is less than 1, ``max_digits`` is less than ``min_digits``, ``repeats`` is no probability,
            or the pair ``snr`` is not in order.

    Examples:
        >>> from companion.tasks.tones import tone_strings
        >>> string = tone_strings(1, snr=(0.0, 20.0), seed=0)[0]
        >>> 3 <= len(string.digits) <= 7, len(string.spans) == len(string.digits)
        (True, True)

    Taught in *From sound to digits*.
    """
    check_sizes(1, count=count, min_digits=min_digits, max_digits=max_digits)
    if max_digits < min_digits:
        raise ValueError(f"max_digits should be at least min_digits={min_digits}, got {max_digits}")
    if not 0 <= repeats <= 1:
        raise ValueError(f"repeats should be a probability from 0 to 1, got {repeats}")
    low, high = snr if isinstance(snr, tuple) else (snr, snr)
    if snr is not None and not low <= high:
        raise ValueError(f"snr should be a number or a pair (low, high), got {snr}")
    source, strings = random_source(seed), []
    for _ in range(count):
        string = _dial_unevenly(_random_digits(min_digits, max_digits, repeats, source), source)
        level = None if snr is None else float(_uniform(low, high, (), source))
        strings.append(string if level is None else add_noise(string, level, source))
    return strings


def add_noise(string: ToneString, snr: float, source: torch.Generator | None = None) -> ToneString:
    """The same string in white noise.

    Args:
        string: a string without noise.
        snr: the mean power of its tones over the power of the noise, in decibels.
        source: where the random numbers come from; by default torch's own.

    Returns:
        A new :class:`ToneString`.

    Examples:
        >>> from companion.tasks.tones import add_noise, dial
        >>> noisy = add_noise(dial([1, 2]), snr=-6.0)
        >>> noisy.digits, noisy.wave.shape
        ([1, 2], torch.Size([3520]))

    Taught in *From sound to digits*.
    """
    power = torch.cat([string.wave[begin:end] for begin, end in string.spans]).square().mean()
    scale = (power * 10 ** (-snr / 10)).sqrt()
    return replace(string, wave=string.wave + scale * torch.randn(string.wave.shape, generator=source))


class NoisyTones(Dataset):
    """Strings without noise that get new noise whenever they are asked for: what is learned twice is never the same.

    Args:
        strings: strings without noise.
        snr: the least and the greatest signal-to-noise ratio, in decibels; every time another is drawn between them,
            by torch's own random numbers.

    Examples:
        >>> from companion.tasks.tones import NoisyTones, tone_strings
        >>> examples = NoisyTones(tone_strings(3, seed=0), snr=(-12.0, 20.0))
        >>> features, labels = examples[0]  # log-spectrogram (T, F), and each digit plus 1: 0 is the blank
        >>> len(features) == examples.lengths[0], features.shape[1], min(labels) >= 1
        (tensor(True), 129, True)

    Taught in *From sound to digits*.
    """

    def __init__(self, strings, snr):
        self.strings, self.snr = strings, snr
        self.lengths = torch.tensor([len(log_spectrogram(string.wave)) for string in strings])

    def __len__(self) -> int:
        return len(self.strings)

    def __getitem__(self, index: int) -> tuple[Tensor, list[int]]:
        low, high = self.snr
        string = add_noise(self.strings[index], low + (high - low) * torch.rand(()).item())
        return standardize(log_spectrogram(string.wave)), [digit + 1 for digit in string.digits]


def _pair(digit: int) -> tuple[int, int]:
    """The two frequencies of a digit, in hertz."""
    row, column = DIGIT_KEYS[digit]
    return ROW_FREQUENCIES[row], COLUMN_FREQUENCIES[column]


def _uniform(low: float, high: float, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=source, dtype=torch.float64)


def _random_digits(least: int, most: int, repeats: float, source: torch.Generator) -> list[int]:
    length = int(torch.randint(least, most + 1, (), generator=source))
    digits = torch.randint(10, (length,), generator=source).tolist()
    again = (torch.rand(length, generator=source) < repeats).tolist()
    for place in range(1, length):
        digits[place] = digits[place - 1] if again[place] else digits[place]
    return digits


def _dial_unevenly(digits: list[int], source: torch.Generator) -> ToneString:
    K = len(digits)
    tempo, tune = _uniform(0.7, 1.4, (), source), _uniform(0.985, 1.015, (), source)
    tones, gaps = _uniform(0.06, 0.14, (K,), source), _uniform(0.03, 0.12, (K + 1,), source)
    gaps[[0, -1]] = _uniform(0.05, 0.25, (2,), source) / tempo  # silence around a string has no tempo
    levels = _uniform(-4, 4, (K, 1), source)
    twist = _uniform(-2, 2, (K, 1), source)
    amplitudes = 10 ** ((levels + torch.cat([twist, -twist], 1)) / 20)  # (K, 2)
    phases = _uniform(0, 2 * math.pi, (K, 2), source)
    samples = [(SAMPLE_RATE * tempo * seconds).round().int().tolist() for seconds in (tones, gaps)]
    pairs = tune * torch.tensor([_pair(digit) for digit in digits])  # (K, 2)
    return _sound(digits, *samples, pairs, amplitudes, phases)


def _sound(
    digits: list[int], tones: list[int], gaps: list[int], pairs: Tensor, amplitudes: Tensor, phases: Tensor
) -> ToneString:
    """A gap, a tone, a gap, ..., a gap; every tone fades in and out within 2 ms, so that it does not click."""
    parts, spans, begin = [torch.zeros(gaps[0])], [], gaps[0]
    for tone, gap, pair, amplitude, phase in zip(tones, gaps[1:], pairs, amplitudes, phases, strict=True):
        time = torch.arange(tone, dtype=torch.float64) / SAMPLE_RATE  # (tone)
        sines = amplitude * torch.sin(2 * math.pi * pair * time[:, None] + phase)  # (tone, 2)
        edge = torch.minimum(time, time.flip(0)) / 0.002
        parts += [(sines.sum(1) * edge.clamp(max=1)).float(), torch.zeros(gap)]
        spans.append((begin, begin + tone))
        begin += tone + gap
    wave = torch.cat(parts)
    power = torch.cat([wave[first:last] for first, last in spans]).square().mean()
    return ToneString(digits, wave / power.sqrt(), spans)
