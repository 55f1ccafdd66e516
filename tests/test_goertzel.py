"""Goertzel's recurrence is the Fourier sum, and the detector reads what a machine dials."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion.goertzel import GoertzelDetector, goertzel_power, runs_to_digits, tone_shares
from companion.tasks.tones import add_noise, dial, tone_strings
from tests import strategies  # noqa: F401  loads the settings of hypothesis


@given(st.lists(st.floats(1, 3999), min_size=1, max_size=4), st.integers(2, 80))
def test_the_recurrence_is_the_fourier_sum(frequencies, samples):
    block = torch.randn(2, samples, dtype=torch.double, generator=torch.Generator().manual_seed(samples))
    frequencies = torch.tensor(frequencies, dtype=torch.double)
    angles = 2 * math.pi * frequencies[:, None] / 8000 * torch.arange(samples)  # (K, N)
    expected = (block @ angles.cos().T).square() + (block @ angles.sin().T).square()
    torch.testing.assert_close(goertzel_power(block, frequencies), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("digit", range(10))
def test_every_digit_is_heard(digit):
    string = dial([digit, digit])
    assert GoertzelDetector()(string.wave) == [digit, digit]
    shares = tone_shares(string.wave)
    assert shares.min() >= 0 and 0.9 < float(shares.sort(-1).values[:, -2:].sum(-1).max()) < 1.1


def test_silence_and_noise_say_nothing():
    assert GoertzelDetector()(torch.zeros(4000)) == []
    assert GoertzelDetector()(torch.randn(8000, generator=torch.Generator().manual_seed(0))) == []


def test_a_little_noise_does_not_matter():
    strings = tone_strings(20, snr=15.0, seed=0)
    right = sum(GoertzelDetector(160, 0.15, 0.0, 3, 1)(string.wave) == string.digits for string in strings)
    assert right >= 18


def test_each_threshold_does_what_it_says():
    string = add_noise(dial([5], tone=0.1), 0.0, torch.Generator().manual_seed(0))
    assert GoertzelDetector(share=0.3)(string.wave) == [5]
    assert GoertzelDetector(share=0.99)(string.wave) == []
    assert GoertzelDetector(share=0.3, dominance=60.0)(string.wave) == []
    assert GoertzelDetector(share=0.3, min_tone=20)(string.wave) == []


def literally(labels, min_tone, min_gap):
    """The same rule, block by block."""
    digits, last, gap = [], None, 0
    for label, run in ((label, list(run)) for label, run in itertools.groupby(labels)):
        for place, _ in enumerate(run):
            if label == -1 or len(run) < min_tone:
                gap += 1
            elif place == 0 and (label != last or gap >= min_gap):
                digits.append(label)
        if label != -1 and len(run) >= min_tone:
            last, gap = label, 0
    return digits


@given(st.lists(st.integers(-1, 2), max_size=20), st.integers(1, 4), st.integers(1, 4))
def test_runs(labels, min_tone, min_gap):
    assert runs_to_digits(labels, min_tone, min_gap) == literally(labels, min_tone, min_gap)


def test_too_short_a_sound_is_refused():
    with pytest.raises(ValueError, match="wave should be at least one block of 205 samples"):
        tone_shares(torch.zeros(204))
