"""The experiment behind *Images as sequences*: fair sizes, a run of a few steps, and weights as good as said."""

import pytest
import torch

from companion.images import read_pixels
from companion.runs import load_run
from experiments import images_as_sequences as experiment


@pytest.mark.parametrize("features", [8, 1])
@pytest.mark.parametrize("name", experiment.LAYERS)
def test_every_model_spends_the_budget_and_no_more(name, features):
    weights = sum(weight.numel() for weight in experiment.build(name, features, seed=0).parameters())
    assert 0.95 * experiment.BUDGET < weights <= experiment.BUDGET


def test_a_run_scores_every_seed_and_gives_the_weights():
    images, labels = experiment.load()
    found, weights = experiment.run("MinGRU, 2 layers", "rows", images, labels, epochs=1)
    assert len(found["test"]) == len(weights) == 5 and all(0 < share < 1 for share in found["test"])
    assert not torch.equal(weights[0]["output.weight"], weights[1]["output.weight"])


def test_the_stored_weights_score_what_the_record_says():
    run, (name, reading) = load_run("images-as-sequences"), experiment.KEPT
    assert run.command == experiment.COMMAND
    images, labels = experiment.load()
    model = experiment.build(name, 1, seed=0)
    model.load_state_dict(run.weights)
    share = experiment.score(model.eval(), read_pixels(images)[experiment.TRAIN :], labels[experiment.TRAIN :])
    assert share == pytest.approx(run.results[reading][name]["test"][0], abs=0.005)
