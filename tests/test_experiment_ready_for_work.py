"""The stored model of *Ready for work*: its training in small, and its checkpoint measured again."""

import pytest
import torch
from torch import nn

from companion import GRU, Corpus, LanguageModel, Vocabulary, load_run, load_story
from experiments.ready_for_work import (
    BITS,
    EMBEDDING,
    HIDDEN,
    SEEDS,
    held_out_batches,
    measure,
    quantized,
    train,
    with_nn,
)


def test_a_tiny_training_can_be_measured_in_every_way():
    story = load_story()
    corpus = Corpus(story.train[:4000], story.held_out[:500])
    vocabulary = Vocabulary(corpus.train)
    model = train(0, corpus, vocabulary, hidden=16, epochs=1)
    assert not model.training and all(torch.equal(w, w.half().float()) for w in model.parameters())
    found = measure(model, held_out_batches(corpus, vocabulary))
    assert len(found) == 4 + len(BITS) and all(1 < value < 2 * len(vocabulary) for value in found.values())
    for way in ("bfloat16, our GRU", "bfloat16, nn.GRU", "quantize_dynamic", "8 bits a weight"):
        assert found[way] == pytest.approx(found["float32"], rel=0.01)


def test_the_twin_gives_the_same_numbers_and_the_quantized_one_nearly():
    torch.manual_seed(0)
    model, tokens = LanguageModel(GRU(8, 16), 30).eval(), torch.randint(30, (35, 2))
    with torch.no_grad():
        expected = model(tokens)[0]
        assert isinstance(with_nn(model).layer, nn.GRU)
        assert torch.allclose(with_nn(model)(tokens)[0], expected, atol=1e-5)
        assert torch.allclose(quantized(model)(tokens)[0], expected, atol=0.1)


def test_the_stored_checkpoint_has_the_recorded_perplexities():
    run, story = load_run("ready-for-work"), load_story()
    vocabulary = Vocabulary(story.train)
    model = LanguageModel(GRU(EMBEDDING, HIDDEN), len(vocabulary))
    model.load_state_dict(run.weights)
    found = measure(model.eval(), held_out_batches(story, vocabulary))
    assert run.results.keys() == found.keys()
    for name, value in found.items():
        assert len(run.results[name]) == len(SEEDS)
        exact = name == "float32" or "bits" in name
        assert value == pytest.approx(run.results[name][0], rel=1e-3 if exact else 0.01), name
