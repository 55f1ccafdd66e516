"""The experiment behind *From sound to digits*: it runs on tiny sizes, and its network is what the record says."""

import torch

from companion.ctc import CTCModel
from companion.goertzel import GoertzelDetector
from companion.layers import GRU
from companion.runs import load_run
from experiments import speech


def test_it_trains_tunes_and_measures():
    torch.set_num_threads(1)
    strings = speech.strings_by_snr(2, first_seed=100)
    assert list(strings) == list(speech.SNRS) and all(len(some) == 2 for some in strings.values())
    rates = speech.network_errors(speech.train(0, count=4, epochs=1), strings)
    assert len(rates) == len(speech.SNRS) and min(rates) >= 0
    grid = dict(share=(0.1, 0.99), dominance=(0.0,), min_tone=(3,), min_gap=(2,))
    one, *each = speech.tune(strings, (160,), **grid)
    assert one.share == 0.1 and len(each) == len(speech.SNRS)
    assert speech.detector_errors([one] * len(strings), strings)[-1] < 0.5


def test_the_stored_network_and_detector_measure_what_the_record_says():
    run = load_run("speech")
    assert run.command == speech.COMMAND and list(run.results["network"]) == [str(seed) for seed in speech.SEEDS]
    model = CTCModel(GRU(129, speech.HIDDEN, bidirectional=True), 11)
    model.load_state_dict(run.weights)
    snrs = {snr: place for place, snr in enumerate(run.results["snr"])}
    few = {snr: some for snr, some in speech.strings_by_snr(150, first_seed=3000).items() if snr in (-6, 0)}
    for snr, rate in zip(few, speech.network_errors(model, few), strict=True):
        assert abs(rate - run.results["network"]["0"][snrs[snr]]) < 0.005
    detector = GoertzelDetector(**run.results["detector_settings"])
    (rate,) = speech.detector_errors([detector], {0: few[0]})
    assert abs(rate - run.results["detector"][snrs[0]]) < 0.005
