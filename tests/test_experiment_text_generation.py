"""The experiment of *Text generation* runs, and the run in the repository is what it says it is."""

from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn

from companion import evaluate, load_run, perplexity
from companion.metrics import longest_copied_run
from experiments import text_generation as experiment
from tests.test_same_code import chapter_definitions, definitions, difference

CHAPTER = Path(__file__).resolve().parents[1] / "book/put-to-work/text-generation.ipynb"


@pytest.fixture(scope="module")
def texts():
    return experiment.Texts(*experiment.story_parts())


def test_the_parts_are_the_story_and_do_not_overlap(texts):
    story = experiment.load_story()
    assert texts.train + texts.validation == story.train
    assert texts.test == story.held_out
    assert texts.validation.startswith("\nChapter Sixteen")
    assert experiment.first_chapters(texts.train, 4) == texts.train[: texts.train.index("\nChapter Five")]
    assert longest_copied_run(texts.validation, texts.train) != texts.validation


def test_the_whole_experiment_runs_with_tiny_sizes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "PIECE", 50)
    monkeypatch.setattr(experiment, "find_time_machine", lambda: None)
    small = {name: {**variant, "hidden_size": 16} for name, variant in experiment.VARIANTS.items()}
    monkeypatch.setattr(experiment, "VARIANTS", small)
    train, validation, test = experiment.story_parts()
    parts = train[:2000], validation[:600], test[:600]
    experiment.main(
        seeds=2, epochs=2, folder=tmp_path, memorization_epochs=(1, 2), pieces=2, parts=parts
    )
    run = load_run("text-generation", tmp_path)
    assert run.command == experiment.COMMAND
    assert [len(records) for records in run.results["variants"].values()] == [2, 2, 2]
    assert run.results["time_machine"] is None and "is not cached here" in capsys.readouterr().out
    memorization = run.results["memorization"]
    assert len(memorization["training"]) == len(memorization["validation"]) == 2  # the second call went on
    assert len(memorization["copied"]) == 2 and memorization["human"] > 0
    texts = experiment.Texts(*parts)
    model = experiment.build_model(len(texts.vocabulary), hidden_size=16)
    model.load_state_dict(run.weights)
    kept = run.results["checkpoint"]
    assert kept["validation"] == min(record["validation"] for record in run.results["variants"]["dropout and tying"])
    assert perplexity(evaluate(model, texts.test_batches)) == pytest.approx(kept["test"], rel=1e-5)


def test_going_on_from_the_checkpoint_is_training_without_a_stop(texts, monkeypatch):
    monkeypatch.setattr(experiment, "PIECE", 50)
    small = experiment.Texts(texts.train[:1500], texts.validation[:300], texts.test[:300])
    sizes = dict(count=1, learning_rate=5e-3, hidden_size=8)
    with_stops = experiment.follow_memorization(small, (1, 2, 4), **sizes)
    without = experiment.follow_memorization(small, (4,), **sizes)
    assert with_stops["training"] == without["training"]
    assert with_stops["validation"] == without["validation"]


def test_the_best_ngram_is_chosen_on_the_validation_part(texts):
    small = experiment.Texts(texts.train[:3000], texts.validation[:500], texts.test[:500])
    found = experiment.best_ngram(small, orders=(1, 2, 3), strengths=(1, 10))
    losses = {}
    for order in (1, 2, 3):
        for strength in (1, 10):
            table = experiment.NGramModel(small.tokens[0], len(small.vocabulary), order, strength)
            losses[table.loss(small.tokens[1])] = (order, strength)
    assert (found["order"], found["strength"]) == losses[min(losses)]
    assert found["validation"] == pytest.approx(perplexity(min(losses)))


# The run in the repository


def test_the_stored_checkpoint_scores_what_its_record_says(texts):
    run = load_run("text-generation")
    model = experiment.build_model(len(texts.vocabulary))
    model.load_state_dict(run.weights)
    kept = run.results["checkpoint"]
    assert perplexity(evaluate(model, texts.test_batches)) == pytest.approx(kept["test"], abs=1e-3)
    assert perplexity(evaluate(model, texts.validation_batches)) == pytest.approx(kept["validation"], abs=1e-3)


def test_the_record_is_complete_and_its_models_beat_the_table():
    results = load_run("text-generation").results
    assert list(results["variants"]) == list(experiment.VARIANTS)
    assert all(len(records) >= 3 for records in results["variants"].values())
    assert all(record["test"] < results["ngram"]["test"] for record in results["variants"]["dropout and tying"])
    assert results["time_machine"] is not None
    assert not any(isinstance(value, str) for value in results["time_machine"].values())  # numbers, no text


def test_the_run_holds_no_weights_but_the_storys():
    run = load_run("text-generation")
    assert run.weights["embedding.weight"].shape[0] == len(experiment.Texts(*experiment.story_parts()).vocabulary)
    assert set(run.weights) == set(experiment.build_model(60).state_dict())


def test_the_chapter_builds_the_same_model():
    source = Path(experiment.__file__).read_text(encoding="utf-8")
    ours = {node.name: node for node in definitions(source)}["build_model"]
    chapter = {node.name: node for node in chapter_definitions(CHAPTER)}["build_model"]
    assert difference(chapter, ours) == ""
    assert any("load_run" in cell.source for cell in nbformat.read(CHAPTER, as_version=4).cells)


def test_a_tied_model_starts_with_guesses_that_are_nearly_even():
    torch.manual_seed(0)
    model = experiment.build_model(60)
    assert model.output.weight is model.embedding.weight
    tokens = torch.randint(60, (50, 4))
    loss = nn.functional.cross_entropy(model.eval()(tokens[:-1])[0].flatten(0, 1), tokens[1:].flatten())
    assert abs(loss.item() - torch.tensor(60.0).log().item()) < 0.2
