"""The experiment of *Sequence to sequence* runs on a small scale, and its stored weights do what its record says."""

from statistics import mean

import pytest
import torch

from companion.runs import load_run
from companion.tasks.dates import dates_and_numbers
from experiments import sequence_to_sequence as experiment

SMALL = dates_and_numbers(count=60, held_out=20, seed=1)


@pytest.mark.parametrize("kind", experiment.KINDS)
def test_a_kind_is_trained_and_repeats(kind):
    models = [experiment.train_model(kind, 0, SMALL[0], epochs=1) for _ in range(2)]
    for one, other in zip(*(model.state_dict().values() for model in models), strict=True):
        assert torch.equal(one, other) and torch.equal(one, one.half().float())
    assert 0.0 <= experiment.exact_match(models[0], SMALL[1]) <= 1.0


def test_all_jobs_are_written(monkeypatch, tmp_path):
    monkeypatch.setattr(experiment, "dates_and_numbers", lambda **sizes: SMALL)
    monkeypatch.setattr(experiment, "KINDS", {kind: (build, 1) for kind, (build, _) in experiment.KINDS.items()})
    monkeypatch.setattr(experiment, "SEEDS", (0, 1))
    save = experiment.save_run
    monkeypatch.setattr(experiment, "save_run", lambda *parts, **made: save(*parts, **made, folder=tmp_path))
    experiment.main()
    run = load_run(experiment.NAME, tmp_path)
    assert {kind: len(shares) for kind, shares in run.results["greedy"].items()} == dict.fromkeys(experiment.KINDS, 2)
    assert set(run.results["beam of 5"]) == {"dot product"}
    assert {name.partition(".")[0] for name in run.weights} == set(experiment.STORED.values())


@pytest.fixture(scope="module")
def data():
    return dates_and_numbers(count=6000, held_out=1000, seed=0)


@pytest.mark.parametrize("kind, prefix", experiment.STORED.items())
def test_the_stored_weights_do_what_the_record_says(data, kind, prefix):
    run, model = load_run(experiment.NAME), experiment.build(kind, data[0])
    start = f"{prefix}."
    model.load_state_dict({name[len(start) :]: w for name, w in run.weights.items() if name.startswith(start)})
    assert experiment.exact_match(model, data[1]) == pytest.approx(run.results["greedy"][kind][0], abs=0.003)


def test_the_record_says_what_the_chapter_says():
    greedy = load_run(experiment.NAME).results["greedy"]
    assert {kind: len(shares) for kind, shares in greedy.items()} == dict.fromkeys(experiment.KINDS, 3)
    assert min(greedy["dot product"] + greedy["additive"]) > 0.9 and max(greedy["none"]) < 0.7
    assert 0.94 < mean(greedy["dot product"]) < 0.96
