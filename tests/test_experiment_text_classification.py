"""The experiment behind *Text classification*: its functions with tiny sizes, its weights against its record."""

import pytest
import torch

from companion.runs import load_run
from companion.tasks.remarks import REMARK_KINDS, remarks
from experiments import text_classification as experiment

MEASURES = {"all", *REMARK_KINDS, "pairs"}


@pytest.mark.parametrize("name", experiment.MODELS)
def test_a_model_is_trained_and_measured(name):
    scores, weights = experiment.train_on_remarks(name, seed=0, count=60, epochs=1)
    assert set(scores) == MEASURES and all(0 <= score <= 100 for score in scores.values())
    assert all(torch.equal(weight, weight.half().float()) for weight in weights.values())


def test_a_seed_repeats():
    runs = [experiment.train_on_remarks("one way, last", seed, count=60, epochs=1)[1] for seed in (0, 0, 1)]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["output.weight"], runs[2]["output.weight"])


def test_without_recurrence_no_pair_is_right():
    """The same words in another order are the same to it, but for the rounding of a sum."""
    scores, _ = experiment.train_on_remarks("no recurrence, mean", seed=0, count=60, epochs=1)
    assert scores["pairs"] < 1


def test_every_line_is_held_out_once_with_its_chapter():
    folds = experiment.lines_in_folds()
    chapters = [{line.chapter for line in fold} for fold in folds]
    assert len(folds) == experiment.FOLDS and all(folds)
    assert sum(map(len, chapters)) == len(set().union(*chapters)) == 18
    score, _ = experiment.train_on_lines("no recurrence, mean", seed=0, epochs=1)
    assert 0 <= score <= 100


def test_the_stored_weights_reach_their_record():
    run = load_run("text-classification")
    assert run.command == experiment.COMMAND and run.results["sizes"] == experiment.SIZES
    vocabulary = experiment.remark_vocabulary()
    model = experiment.make_model(run.results["kept"], len(vocabulary), 2)
    model.load_state_dict(run.weights)
    measured, record = experiment.measure_remarks(model, vocabulary), run.results["remarks"][run.results["kept"]][0]
    assert set(measured) == set(record) == MEASURES
    for name, score in measured.items():
        assert abs(score - record[name]) < 0.5, name


def test_the_record_holds_every_model_and_seed():
    results = load_run("text-classification").results
    assert list(results["remarks"]) == list(experiment.MODELS)
    assert list(results["lines"]) == list(experiment.LINE_MODELS)
    assert all(len(seeds) == len(experiment.SEEDS) for part in ("remarks", "lines") for seeds in results[part].values())


def test_no_training_remark_is_held_out():
    known = {remark.text for remark in remarks(experiment.SIZES["train"], "train", seed=0)}
    assert not known & {remark.text for remark in remarks(experiment.SIZES["held out"], "held out", seed=2)}
