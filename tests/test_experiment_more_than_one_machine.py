"""The experiment of *More than one machine*: it runs in small, and its stored models reach what its record says."""

import json
from statistics import fmean, stdev

import pytest
import torch

from companion import evaluate, load_run, perplexity
from companion.checkpoints import strip_prefix
from experiments import more_than_one_machine as experiment

SMALL = dict(epochs=1, characters=1500, hidden_size=8)


@pytest.fixture(scope="module")
def stored():
    return load_run(experiment.NAME)


def test_it_runs_in_small():
    model, value = experiment.train(0, 4, 0.01, **SMALL)
    again, same = experiment.train(0, 4, 0.01, **SMALL)
    assert value == same and 5 < value < 100
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_what_the_processes_do_runs_in_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "SEEDS", (0, 1))
    experiment.train_together(tmp_path, **SMALL)
    reached = json.loads((tmp_path / "reached.json").read_text())
    assert reached.keys() == experiment.TOGETHER.keys()
    assert all(len(values) == 2 for values in reached.values())
    weights = torch.load(tmp_path / "weights.pt")
    assert weights.keys() == experiment.build_model(experiment.read_story()[0], 0, 8).state_dict().keys()


@pytest.mark.parametrize("prefix, name", [("one", experiment.ONE), ("two", experiment.TWO)])
def test_the_stored_models_reach_what_the_record_says(prefix, name, stored):
    vocabulary, _, held_out = experiment.read_story()
    model = experiment.build_model(vocabulary, seed=9)
    model.load_state_dict(strip_prefix(stored.weights, f"{prefix}."))
    value = perplexity(evaluate(model, experiment.held_out_batches(held_out)))
    assert value == pytest.approx(stored.results["held-out perplexity"][name][0], abs=5e-3)


def test_the_record_says_what_the_chapter_says(stored):
    """Two processes with one batch are one process; twice the batch is worse, and twice the rate mends most of it."""
    reached = stored.results["held-out perplexity"]
    assert reached.keys() == {experiment.ONE, *experiment.TOGETHER}
    assert all(len(values) == len(stored.results["seeds"]) >= 3 for values in reached.values())
    assert reached[experiment.TWO] == pytest.approx(reached[experiment.ONE], abs=0.01)
    one, _, twice, rate = (fmean(values) for values in reached.values())
    assert one < rate < twice and twice - rate > rate - one
    assert twice - one > 5 * max(stdev(values) for values in reached.values())
