"""Counting models: probabilities that sum to one, and losses equal to those worked out another way."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.ngram import NGramModel, ngrams
from companion.text import Vocabulary, load_story

texts = st.lists(st.integers(0, 4), min_size=2, max_size=40).map(torch.tensor)
orders = st.integers(0, 5)
strengths = st.floats(1e-3, 1e3)


def test_ngrams_overlap_in_reading_order():
    assert ngrams(torch.tensor([3, 1, 4, 1]), 3) == [(3, 1, 4), (1, 4, 1)]
    assert ngrams(torch.tensor([3, 1]), 3) == []


def test_counts_and_probabilities_worked_out_by_hand():
    tokens = torch.tensor([0, 1, 0, 1, 0, 2])  # a b a b a c
    model = NGramModel(tokens, vocabulary_size=4, order=2, strength=2.0)
    assert model.counts == Counter(
        {(0,): 3, (1,): 2, (2,): 1, (0, 1): 2, (1, 0): 2, (0, 2): 1},
    )
    assert model.totals == Counter({(): 6, (0,): 3, (1,): 2})
    alone = (2 + 2 * 1 / 4) / (6 + 2)  # b: seen 2 times among 6, and 2 imaginary times by chance
    assert model.probability((1,)) == pytest.approx(alone)
    assert model.probability((0, 1)) == pytest.approx((2 + 2 * alone) / (3 + 2))
    assert model.probability((3, 1)) == pytest.approx(alone)  # token 3 was never seen: its context says nothing


@settings(max_examples=60, deadline=None)
@given(texts, orders, strengths, st.lists(st.integers(0, 5), max_size=8))
def test_probabilities_sum_to_one_after_any_context(tokens, order, strength, context):
    model = NGramModel(tokens, 6, order, strength)
    probabilities = model.probabilities(torch.tensor(context, dtype=torch.long))
    assert probabilities.shape == (6,)
    assert (probabilities > 0).all()
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0))


@settings(max_examples=60, deadline=None)
@given(texts, texts, orders, strengths)
def test_loss_is_the_mean_over_every_token_but_the_first(counted, text, order, strength):
    model = NGramModel(counted, 5, order, strength)
    guesses = torch.stack([model.probabilities(text[:end]) for end in range(1, len(text))])  # (N - 1, V)
    assert model.loss(text) == pytest.approx(F.nll_loss(guesses.log(), text[1:]).item(), rel=1e-4, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(texts, texts, strengths)
def test_a_bigram_model_is_a_table_of_log_probabilities(counted, text, strength):
    model = NGramModel(counted, 5, 2, strength)
    table = torch.stack([model.probabilities(torch.tensor([token])) for token in range(5)]).log()  # (V, V)
    assert model.loss(text) == pytest.approx(F.cross_entropy(table[text[:-1]], text[1:]).item(), rel=1e-4, abs=1e-6)


@given(texts, texts)
@settings(max_examples=20, deadline=None)
def test_order_zero_guesses_uniformly(counted, text):
    assert NGramModel(counted, 7, 0).loss(text) == pytest.approx(math.log(7))


def test_strength_goes_from_the_counts_to_the_shorter_context():
    tokens = torch.tensor([0, 1, 0, 1, 0, 2, 1, 1])
    trusting, doubting = NGramModel(tokens, 3, 2, 1e-9), NGramModel(tokens, 3, 2, 1e9)
    torch.testing.assert_close(trusting.probabilities(torch.tensor([0])), torch.tensor([0, 2 / 3, 1 / 3]))
    torch.testing.assert_close(doubting.probabilities(torch.tensor([0])), torch.full((3,), 1 / 3))


def test_only_the_last_tokens_of_the_context_matter():
    tokens = torch.randint(4, (200,), generator=torch.Generator().manual_seed(0))
    model = NGramModel(tokens, 4, 3)
    ending = model.probabilities(torch.tensor([2, 1]))
    assert torch.equal(model.probabilities(torch.tensor([0, 3, 3, 2, 1])), ending)
    assert not torch.equal(model.probabilities(torch.tensor([0, 1])), ending)


def test_asking_does_not_change_the_counts():
    model = NGramModel(torch.tensor([0, 1, 0]), 3, 2)
    before = len(model.counts), len(model.totals)
    model.probabilities(torch.tensor([2]))
    assert (len(model.counts), len(model.totals)) == before


def test_longer_contexts_help_on_the_story():
    train, held_out = load_story()
    vocabulary = Vocabulary(train)
    models = [NGramModel(vocabulary.encode(train), len(vocabulary), order) for order in range(4)]
    on_train, on_held_out = ([model.loss(vocabulary.encode(text)) for model in models] for text in (train, held_out))
    assert on_train == sorted(on_train, reverse=True)
    assert on_held_out == sorted(on_held_out, reverse=True)
    assert on_train[3] < on_held_out[3]


@pytest.mark.parametrize(
    "changed, error, named",
    [
        ({"tokens": "a string"}, TypeError, "tokens"),
        ({"tokens": [0, 1, 2]}, TypeError, "tokens"),
        ({"tokens": torch.zeros(3, 2, dtype=torch.long)}, TypeError, "tokens"),
        ({"tokens": torch.zeros(3)}, TypeError, "tokens"),
        ({"tokens": torch.tensor([0, 3])}, ValueError, "vocabulary_size"),
        ({"tokens": torch.tensor([0, -1])}, ValueError, "vocabulary_size"),
        ({"vocabulary_size": 3.0}, TypeError, "vocabulary_size"),
        ({"order": -1}, ValueError, "order"),
        ({"order": 2.0}, TypeError, "order"),
        ({"order": True}, TypeError, "order"),
        ({"strength": "five"}, TypeError, "strength"),
        ({"strength": 0.0}, ValueError, "strength"),
        ({"strength": -1.0}, ValueError, "strength"),
        ({"strength": math.nan}, ValueError, "strength"),
    ],
)
def test_bad_arguments_are_named(changed, error, named):
    good = {"tokens": torch.tensor([0, 1, 2]), "vocabulary_size": 3, "order": 2}
    NGramModel(**good)
    with pytest.raises(error, match=named):
        NGramModel(**(good | changed))


def test_bad_texts_are_refused():
    model = NGramModel(torch.tensor([0, 1, 2]), 3, 2)
    with pytest.raises(ValueError, match="tokens should be at least 2"):
        model.loss(torch.tensor([0]))
    with pytest.raises(ValueError, match="vocabulary_size=3"):
        model.loss(torch.tensor([0, 5]))
    with pytest.raises(TypeError, match="tokens"):
        model.probabilities("gate")
    with pytest.raises(ValueError, match="length"):
        ngrams(torch.tensor([0, 1, 2]), 0)
