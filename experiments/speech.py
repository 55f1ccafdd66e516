"""Digits from telephone tones: a bidirectional GRU trained by CTC, and the detector it has to beat, against the noise.

    python -m experiments.speech

Three networks, from three seeds, learn from the same strings with new noise in every epoch. The detector's thresholds
are chosen on strings that are neither trained on nor tested on: once for all levels of noise, as the network has one
set of weights, and once more for each level by itself, which only somebody who knows the noise could do.
"""

import itertools
import statistics
import time
from dataclasses import asdict

import torch
from torch.utils.data import DataLoader

from companion.batching import BucketSampler
from companion.ctc import CTCModel, ctc_batch, transcribe, transcription_loss
from companion.edit_distance import error_rate
from companion.goertzel import GoertzelDetector, tone_shares
from companion.layers import GRU
from companion.runs import save_run
from companion.spectrogram import log_spectrogram, standardize
from companion.tasks.tones import NoisyTones, ToneString, tone_strings
from companion.training import fit

COMMAND = "python -m experiments.speech"
SNRS = (-12, -9, -6, -3, 0, 5, 10, 20)  # decibels
SEEDS = (0, 1, 2)
HIDDEN = 48
GRID = dict(
    share=(0.05, 0.1, 0.15, 0.2, 0.3, 0.45),
    dominance=(0.0, 2.0, 4.0),
    min_tone=(2, 3, 4, 5),
    min_gap=(1, 2, 3),
)
Strings = dict[int, list[ToneString]]


def strings_by_snr(count: int, first_seed: int) -> Strings:
    """Strings of their own at every level of noise."""
    return {snr: tone_strings(count, snr=float(snr), seed=first_seed + snr) for snr in SNRS}


def train(seed: int, count: int = 2000, epochs: int = 14) -> CTCModel:
    """A network that learns from ``count`` strings, their noise drawn anew in each epoch."""
    torch.manual_seed(seed)
    examples = NoisyTones(tone_strings(count, seed=1), snr=(-12.0, 20.0))
    sampler = BucketSampler(examples.lengths, batch_size=32)
    batches = DataLoader(examples, batch_sampler=sampler, collate_fn=ctc_batch)
    model = CTCModel(GRU(129, HIDDEN, bidirectional=True), num_classes=11)
    fit(model, batches, epochs=epochs, learning_rate=1e-2, loss=transcription_loss, progress=False)
    return model.half().float()  # as it will be stored


def network_errors(model: CTCModel, strings: Strings) -> list[float]:
    """The digit error rate at every level of noise."""
    rates = []
    for some in strings.values():
        heard = transcribe(model, [standardize(log_spectrogram(string.wave)) for string in some])
        guesses = [[label - 1 for label in labels] for labels in heard]  # 0 is the blank
        rates.append(round(error_rate(guesses, [string.digits for string in some]), 4))
    return rates


def detector_errors(detectors: list[GoertzelDetector], strings: Strings) -> list[float]:
    """The digit error rate at every level of noise, each level with a detector of its own."""
    rates = []
    for detector, some in zip(detectors, strings.values(), strict=True):
        guesses = [detector(string.wave) for string in some]
        rates.append(round(error_rate(guesses, [string.digits for string in some]), 4))
    return rates


def tune(strings: Strings, block_lengths: tuple[int, ...] = (160, 205, 256), **grid: tuple) -> list[GoertzelDetector]:
    """The detector with the least mean error over all levels, and after it the best one at each level."""
    grid = grid or GRID
    tried: dict[GoertzelDetector, list[float]] = {}
    for block_length in block_lengths:
        shares = [[tone_shares(string.wave, block_length) for string in some] for some in strings.values()]
        truths = [[string.digits for string in some] for some in strings.values()]
        for values in itertools.product(*grid.values()):
            detector = GoertzelDetector(block_length, **dict(zip(grid, values, strict=True)))
            guesses = [[detector.read(each) for each in some] for some in shares]
            tried[detector] = [error_rate(*pair) for pair in zip(guesses, truths, strict=True)]
    best = min(tried, key=lambda detector: sum(tried[detector]))
    return [best, *(min(tried, key=lambda detector: tried[detector][place]) for place in range(len(strings)))]


def main() -> None:
    torch.set_num_threads(1)
    begun = time.process_time()
    test = strings_by_snr(150, first_seed=3000)
    one, *each = tune(strings_by_snr(40, first_seed=2000))
    results = {
        "snr": list(SNRS),
        "detector": detector_errors([one] * len(SNRS), test),
        "detector_settings": asdict(one),
        "detector_tuned_at_each_snr": detector_errors(each, test),
        "network": {},
    }
    print("detector", one, results["detector"], results["detector_tuned_at_each_snr"], sep="\n", flush=True)
    weights = {}
    for seed in SEEDS:
        model = train(seed)
        results["network"][str(seed)] = network_errors(model, test)
        print("network, seed", seed, results["network"][str(seed)], flush=True)
        weights = weights or dict(model.state_dict())
    columns = list(zip(*results["network"].values(), strict=True))
    for snr, rates, detector in zip(SNRS, columns, results["detector"], strict=True):
        mean, spread = statistics.mean(rates), statistics.stdev(rates)
        print(f"{snr:4} dB  network {mean:6.1%} ± {spread:5.1%}   detector {detector:6.1%}")
    save_run("speech", weights, results, command=COMMAND, seconds=time.process_time() - begun)


if __name__ == "__main__":
    main()
