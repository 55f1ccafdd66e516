"""A sound as a sequence of vectors: which frequencies sound, frame after frame."""

import torch
from torch import Tensor

__all__ = ["log_spectrogram", "standardize"]


def log_spectrogram(wave: Tensor, n_fft: int = 256, hop_length: int = 128) -> Tensor:
    """The logarithm of a sound's power at every frequency, in overlapping frames under a Hann window.

    Args:
        wave: samples, shape (N) or (B, N).
        n_fft: samples in a frame. At 8000 samples a second 256 are 32 ms, and frequencies 31.25 Hz apart.
        hop_length: samples from the beginning of a frame to that of the next.

    Returns:
        Shape (T, F) or (B, T, F), with F = ``n_fft`` // 2 + 1 and T = 1 + (N - ``n_fft``) // ``hop_length``.

    Raises:
        ValueError: the sound is shorter than one frame, or a size is less than 1.

    Examples:
        >>> from companion.spectrogram import log_spectrogram
        >>> wave = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)  # one second of 1000 Hz
        >>> spectrogram = log_spectrogram(wave)
        >>> spectrogram.shape, spectrogram[0].argmax() * 8000 / 256
        (torch.Size([61, 129]), tensor(1000.))

    Taught in *From sound to digits*.
    """
    if n_fft < 1 or hop_length < 1 or wave.shape[-1] < n_fft:
        raise ValueError(
            f"wave should have at least n_fft={n_fft} samples, n_fft and hop_length={hop_length} "
            f"should be at least 1, got shape {tuple(wave.shape)}"
        )
    window = torch.hann_window(n_fft, dtype=wave.dtype, device=wave.device)
    spectrum = torch.stft(wave, n_fft, hop_length, window=window, center=False, return_complex=True)
    return (spectrum.abs().square() + 1e-6).log().transpose(-1, -2)  # (T, F)


def standardize(features: Tensor) -> Tensor:
    """Every frequency's mean over a recording moved to 0, and one scale for all: neither the loudness matters nor hum.

    What never changes, as a microphone's or a line's own sound, is taken away; what comes and goes stays.

    Args:
        features: of one recording, shape (T, F).

    Returns:
        The same shape; the mean over T is 0, and the mean square over all of it about 1.

    Examples:
        >>> from companion.spectrogram import standardize
        >>> features = standardize(5 + 3 * torch.randn(60, 129))
        >>> features.mean(0).abs().max() < 1e-5, round(features.std().item(), 1)
        (tensor(True), 1.0)

    Taught in *From sound to digits*.
    """
    centered = features - features.mean(0)
    return centered / (centered.std() + 1e-8)
