"""The experiment of *Tagging*: it runs, small, and its stored weights give what its record says."""

import pytest
import torch

from companion.entities import SentenceEncoder
from companion.runs import load_run
from experiments import tagging
from experiments.tagging import COMMAND, HELD_OUT, KINDS, TAGS, build, draw, measure, ruled, run, table, torn


def test_it_runs_small():
    weights, results = run(seeds=2, epochs=1, count=40, held_out=12)
    names = {*KINDS, "softmax, ruled"}
    assert set(results) == set(HELD_OUT) and all(set(kinds) == names for kinds in results.values())
    assert {key.partition(".")[0] for key in weights} == {"softmax", "CRF"}
    for kinds in results.values():
        assert all(len(rows) == 2 for rows in kinds.values())
        assert sum(row["illegal"] for name in names - {"softmax"} for row in kinds[name]) == 0
    assert table(results).count("\n") == 7


def test_torn_names_are_counted():
    present = [["B-person", "I-person", "I-person", "O", "B-date"]]
    assert torn(present, present) == 0
    assert torn([["B-person", "I-place", "I-place", "O", "B-date"]], present) == 1
    assert torn([["B-person", "O", "B-person", "O", "O"]], present) == 1
    assert torn([["O", "I-person", "O", "B-date", "I-date"]], present) == 0


@pytest.mark.parametrize("kind", ["softmax", "CRF"])
def test_the_stored_weights_give_what_the_record_says(kind):
    stored = load_run("tagging")
    assert stored.command == COMMAND
    reports, held_out = draw()
    encoder = SentenceEncoder(reports, TAGS)
    model = build(encoder, with_crf=kind == "CRF")
    prefix = f"{kind}."
    own = {key.removeprefix(prefix): value for key, value in stored.weights.items() if key.startswith(prefix)}
    model.load_state_dict(own)
    for part, tests in held_out.items():
        assert measure(model, encoder, tests) == pytest.approx(stored.results[part][kind][0], abs=2e-3, rel=0.05)
        if kind == "softmax":
            expected = stored.results[part]["softmax, ruled"][0]
            assert measure(ruled(model), encoder, tests) == pytest.approx(expected, abs=2e-3, rel=0.05)
            model.crf = None


def test_what_the_chapter_says_of_the_record():
    results = load_run("tagging").results
    for kinds in results.values():
        assert {len(rows) for rows in kinds.values()} == {5}
        assert all(row["illegal"] == 0 for row in kinds["CRF"] + kinds["softmax, ruled"])
        assert all(row["illegal"] > 0 for row in kinds["softmax"])


def test_rules_alone_have_learned_nothing():
    encoder = SentenceEncoder(draw(20, 1)[0], TAGS)
    model = ruled(build(encoder, with_crf=False))
    assert not any(scores.any() for scores in model.crf.parameters())
    assert torch.equal(model.crf.allowed, tagging.bio_transitions(TAGS)[0])
