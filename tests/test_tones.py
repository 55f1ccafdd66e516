"""The telephone tones: the right frequencies at the right times, noise of the right power, seeds that repeat."""

import pytest
import torch

from companion.tasks.tones import (
    COLUMN_FREQUENCIES,
    DIGIT_KEYS,
    ROW_FREQUENCIES,
    SAMPLE_RATE,
    NoisyTones,
    add_noise,
    dial,
    tone_strings,
)

KEYPAD = ["123", "456", "789", "*0#"]


def test_the_keys_lie_where_they_lie_on_a_telephone():
    assert [KEYPAD[row][column] for row, column in DIGIT_KEYS] == list("0123456789")


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_is_two_sines(digit):
    string = dial([digit], tone=0.5, gap=0.1)
    ((begin, end),) = string.spans
    assert (begin, end) == (800, 4800)
    power = torch.fft.rfft(string.wave[begin:end]).abs().square()
    heard = power.topk(2).indices * SAMPLE_RATE / (end - begin)
    row, column = DIGIT_KEYS[digit]
    assert sorted(heard.tolist()) == pytest.approx([ROW_FREQUENCIES[row], COLUMN_FREQUENCIES[column]], abs=2)
    assert string.wave[:begin].abs().max() == 0 == string.wave[end:].abs().max()


def test_the_tones_have_a_mean_power_of_one():
    for string in tone_strings(10, seed=0):
        tones = torch.cat([string.wave[begin:end] for begin, end in string.spans])
        assert tones.square().mean().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("snr", [-12.0, 0.0, 20.0])
def test_the_noise_has_its_power(snr):
    string = dial([1, 2, 3, 4], tone=0.5)
    noise = add_noise(string, snr, torch.Generator().manual_seed(0)).wave - string.wave
    assert -10 * noise.square().mean().log10().item() == pytest.approx(snr, abs=0.3)


def test_durations_lengths_and_repeats_are_as_stated():
    strings = tone_strings(400, 2, 5, seed=1)
    assert {len(string.digits) for string in strings} == {2, 3, 4, 5}
    assert {digit for string in strings for digit in string.digits} == set(range(10))
    tones = [end - begin for string in strings for begin, end in string.spans]
    assert 0.042 * 8000 - 1 <= min(tones) < 0.05 * 8000 and 0.18 * 8000 < max(tones) <= 0.196 * 8000 + 1
    gaps, pairs = [], []
    for string in strings:
        gaps += [b[0] - a[1] for a, b in zip(string.spans, string.spans[1:], strict=False)]
        pairs += list(zip(string.digits, string.digits[1:], strict=False))
    assert min(gaps) >= 0.021 * 8000 - 1 and max(gaps) <= 0.168 * 8000 + 1
    assert 0.32 < sum(a == b for a, b in pairs) / len(pairs) < 0.42  # 0.3, and a tenth of the rest by chance
    edges = [string.spans[0][0] for string in strings] + [len(s.wave) - s.spans[-1][1] for s in strings]
    assert min(edges) >= 0.05 * 8000 - 1 and max(edges) <= 0.25 * 8000 + 1


def test_seeds_repeat_and_differ():
    first, again, other = (tone_strings(3, snr=(-5.0, 5.0), seed=seed) for seed in (4, 4, 5))
    assert all(torch.equal(a.wave, b.wave) and a.digits == b.digits for a, b in zip(first, again, strict=True))
    assert [a.wave.shape for a in first] != [b.wave.shape for b in other]
    torch.manual_seed(0)
    one = tone_strings(1)[0]
    torch.manual_seed(0)
    assert torch.equal(one.wave, tone_strings(1)[0].wave)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(count=0), "count should be at least 1, got 0"),
        (dict(count=1, min_digits=4, max_digits=3), "max_digits should be at least min_digits=4, got 3"),
        (dict(count=1, repeats=1.5), "repeats should be a probability"),
        (dict(count=1, snr=(3.0, -3.0)), r"snr should be a number or a pair \(low, high\)"),
    ],
)
def test_bad_sizes_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        tone_strings(**arguments)


def test_no_int_is_refused():
    with pytest.raises(TypeError, match="count should be an int"):
        tone_strings(2.0)
    with pytest.raises(TypeError, match="seed should be an int or None"):
        tone_strings(1, seed="one")


@pytest.mark.parametrize("digits, tone", [([], 0.1), ([10], 0.1), ([1], 0.0)])
def test_what_cannot_be_dialed_is_refused(digits, tone):
    with pytest.raises(ValueError, match="should be"):
        dial(digits, tone)


def test_noise_is_new_each_time():
    torch.manual_seed(0)
    examples = NoisyTones(tone_strings(2, 3, 3, seed=0), snr=(0.0, 10.0))
    (first, labels), (second, _) = examples[1], examples[1]
    assert len(examples) == 2 and len(first) == examples.lengths[1]
    assert first.shape == second.shape and not torch.equal(first, second)
    assert labels == [digit + 1 for digit in examples.strings[1].digits]
