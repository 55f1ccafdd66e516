"""The spectrogram: frame by frame the Fourier transform of the windowed samples, and what normalization takes away."""

import pytest
import torch

from companion.spectrogram import log_spectrogram, standardize


@pytest.mark.parametrize("n_fft, hop_length, samples", [(256, 128, 4000), (64, 20, 64), (100, 100, 1234)])
def test_every_frame_is_a_fourier_transform(n_fft, hop_length, samples):
    torch.manual_seed(0)
    wave = torch.randn(samples, dtype=torch.double)
    found = log_spectrogram(wave, n_fft, hop_length)
    assert found.shape == (1 + (samples - n_fft) // hop_length, n_fft // 2 + 1)
    window = torch.hann_window(n_fft, dtype=torch.double)
    for number, frame in enumerate(found):
        part = wave[number * hop_length : number * hop_length + n_fft]
        torch.testing.assert_close(frame, (torch.fft.rfft(part * window).abs() ** 2 + 1e-6).log())


def test_a_batch_is_each_by_itself():
    waves = torch.randn(3, 2000)
    found = log_spectrogram(waves)
    for wave, one in zip(waves, found, strict=True):
        torch.testing.assert_close(log_spectrogram(wave), one)


@pytest.mark.parametrize("arguments", [(torch.zeros(255),), (torch.zeros(999), 0), (torch.zeros(999), 256, 0)])
def test_what_gives_no_frame_is_refused(arguments):
    with pytest.raises(ValueError, match="wave should have at least n_fft="):
        log_spectrogram(*arguments)


def test_neither_loudness_nor_a_steady_color_matters():
    torch.manual_seed(0)
    features = torch.randn(60, 9)
    expected = standardize(features)
    torch.testing.assert_close(standardize(5 * features + torch.randn(9)), expected)
    torch.testing.assert_close(expected.mean(0), torch.zeros(9), atol=1e-6, rtol=0)
    assert torch.equal(standardize(torch.full((5, 3), 7.0)), torch.zeros(5, 3))  # silence: no nan
