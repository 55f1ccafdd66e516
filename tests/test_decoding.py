"""From scores to text: the rules for choosing a token against brute force, and text that is repeatable."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import companion
from companion import LanguageModel, Vocabulary, generate, keep_nucleus, keep_top_k, sample_token
from tests import strategies  # noqa: F401  loads the settings of hypothesis

scores = st.lists(st.floats(-6, 6), min_size=1, max_size=9, unique=True).map(lambda s: torch.tensor(s).double())


def kept(logits):
    return {index for index, score in enumerate(logits.tolist()) if score != -math.inf}


def by_score(logits):
    """Token numbers, the likeliest first."""
    return sorted(range(len(logits)), key=lambda token: -logits[token])


# Which tokens stay


@given(scores, st.integers(1, 12))
def test_top_k_keeps_the_k_likeliest(logits, k):
    assume(logits.unique().numel() == len(logits))
    result = keep_top_k(logits, k)
    assert kept(result) == set(by_score(logits)[:k])
    assert all(result[token] == logits[token] for token in kept(result))


def test_top_k_keeps_ties_with_the_last():
    assert kept(keep_top_k(torch.tensor([3.0, 1.0, 2.0, 2.0]), 2)) == {0, 2, 3}


@given(scores, st.floats(0.01, 1))
def test_the_nucleus_is_the_smallest_set_of_likeliest_tokens_that_reaches_p(logits, p):
    probabilities = logits.softmax(-1).tolist()
    nucleus, covered = set(), 0.0
    for token in by_score(logits):
        assume(abs(covered - p) > 1e-9)  # rounding decides
        if covered >= p:
            break
        nucleus.add(token)
        covered += probabilities[token]
    result = keep_nucleus(logits, p)
    assert kept(result) == nucleus
    assert all(result[token] == logits[token] for token in nucleus)


@pytest.mark.parametrize("p, size", [(0.25, 1), (0.5, 2), (0.51, 3), (1.0, 4)])
def test_the_nucleus_ends_where_p_is_reached_exactly(p, size):
    assert len(kept(keep_nucleus(torch.zeros(4), p))) == size  # four tokens of probability 1/4


@pytest.mark.parametrize("keep", [lambda logits: keep_top_k(logits, 2), lambda logits: keep_nucleus(logits, 0.6)])
def test_rows_are_treated_one_by_one_and_the_scores_are_left_alone(keep):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 7)
    before = logits.clone()
    rows = [keep(row) for row in logits.view(-1, 7)]
    assert torch.equal(keep(logits), torch.stack(rows).view(2, 3, 7))
    assert torch.equal(logits, before)


def test_everything_stays_with_all_of_the_probability_or_as_many_as_there_are():
    logits = torch.tensor([3.0, -2.0, 0.5])
    assert torch.equal(keep_nucleus(logits, 1.0), logits)
    assert torch.equal(keep_top_k(logits, 3), logits)


# Which token is taken


@given(scores)
def test_temperature_0_takes_the_likeliest(logits):
    assert int(sample_token(logits, temperature=0)) == by_score(logits)[0]


@pytest.mark.parametrize(
    "choices, weights",
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 0.5}, [0.25, 0.09, 0.0225, 0.0025]),
        ({"temperature": 2.0}, [0.5**0.5, 0.3**0.5, 0.15**0.5, 0.05**0.5]),
        ({"top_k": 2}, [0.5, 0.3, 0, 0]),
        ({"top_p": 0.85}, [0.5, 0.3, 0.15, 0]),
        ({"top_k": 3, "top_p": 0.6, "temperature": 2.0}, [0.5**0.5, 0.3**0.5, 0, 0]),
    ],
)
def test_tokens_are_as_frequent_as_they_are_probable(choices, weights):
    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(20_000, 4)
    counts = Counter(sample_token(logits, generator=generator, **choices).tolist())
    frequencies = [counts[token] / 20_000 for token in range(4)]
    assert frequencies == pytest.approx([weight / sum(weights) for weight in weights], abs=0.015)
    assert all(counts[token] == 0 for token in range(4) if weights[token] == 0)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_the_shape_is_that_of_the_scores_without_the_last(shape):
    for temperature in (0, 1):
        tokens = sample_token(torch.randn(*shape, 7), temperature)
        assert tokens.shape == shape
        assert tokens.dtype == torch.int64


def test_a_generator_repeats_and_leaves_the_global_one_alone():
    logits, before = torch.zeros(50, 9), torch.get_rng_state()
    first, again = (sample_token(logits, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, sample_token(logits, generator=torch.Generator().manual_seed(5)))


# Writing on

TEXT = "the water keeps a little and lets a little go"
VOCABULARY = Vocabulary(TEXT)
LAYERS = {
    "RNN": lambda: companion.RNN(8, 12),
    "GRU": lambda: companion.GRU(8, 12, 2, dropout=0.3),
    "LSTM": lambda: companion.LSTM(8, 12, proj_size=6),
    "GRU batch first": lambda: companion.GRU(8, 12, batch_first=True),
    "nn.RNN": lambda: nn.RNN(8, 12),
    "nn.LSTM": lambda: nn.LSTM(8, 12),
    "nn.GRU batch first": lambda: nn.GRU(8, 12, batch_first=True),
}
each_layer = pytest.mark.parametrize("make_layer", LAYERS.values(), ids=LAYERS)


def make_model(make_layer=LAYERS["GRU"]):
    torch.manual_seed(0)
    return LanguageModel(make_layer(), len(VOCABULARY), dropout=0.2)


@each_layer
def test_text_goes_on_from_the_prompt_and_a_seed_repeats_it(make_layer):
    model = make_model(make_layer)
    text = generate(model, VOCABULARY, "the water", 30, seed=1)
    assert text.startswith("the water")
    assert len(VOCABULARY.encode(text.replace("<unk>", "#"))) == len("the water") + 30
    assert generate(model, VOCABULARY, "the water", 30, seed=1) == text
    assert generate(model, VOCABULARY, "the water", 30, seed=2) != text
    assert generate(model, VOCABULARY, "the water", 30) != generate(model, VOCABULARY, "the water", 30)


@each_layer
def test_greedy_text_is_what_rereading_everything_gives(make_layer):
    """The carried state is right: the whole text read from its beginning leads to the same next token."""
    model = make_model(make_layer).eval()
    written = VOCABULARY.encode("the water")
    for _ in range(20):
        written = torch.cat([written, model(written)[0][-1:].argmax(-1)])
    assert generate(model, VOCABULARY, "the water", 20, temperature=0) == VOCABULARY.decode(written)


@pytest.mark.parametrize("training", [True, False])
def test_generate_leaves_everything_as_it_found_it(training):
    model = make_model().train(training)
    model.embedding.eval()
    modes = [module.training for module in model.modules()]
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    before = torch.get_rng_state()
    generate(model, VOCABULARY, "the", 5, seed=1)
    generate(model, VOCABULARY, "the", 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == modes
    torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)
    assert all(weight.grad is None for weight in model.parameters())


def test_generate_restores_the_mode_when_it_fails():
    model = make_model().train()
    with pytest.raises(IndexError):
        generate(model, Vocabulary(TEXT + "0123456789"), "9", 5)  # a token that the model does not know
    assert model.training


def test_text_is_written_without_dropout():
    model = make_model().train()
    assert len({generate(model, VOCABULARY, "the", 30, temperature=0) for _ in range(5)}) == 1


def test_words_are_joined_by_spaces():
    vocabulary = Vocabulary(TEXT, "word")
    torch.manual_seed(0)
    text = generate(LanguageModel(companion.RNN(4, 4), len(vocabulary)), vocabulary, "the water", 6, seed=0)
    assert text.startswith("the water ")
    assert len(text.split()) == 8


@pytest.mark.parametrize(
    "name, act",
    [
        ("top_k", lambda: keep_top_k(torch.zeros(3), 0)),
        ("top_p", lambda: keep_nucleus(torch.zeros(3), 0.0)),
        ("top_p", lambda: keep_nucleus(torch.zeros(3), 1.1)),
        ("temperature", lambda: sample_token(torch.zeros(3), temperature=-1)),
        ("top_k", lambda: sample_token(torch.zeros(3), top_k=-2)),
        ("top_p", lambda: sample_token(torch.zeros(3), top_p=2)),
        ("prompt", lambda: generate(make_model(), VOCABULARY, "", 5)),
        ("num_tokens", lambda: generate(make_model(), VOCABULARY, "the", -1)),
        ("temperature", lambda: generate(make_model(), VOCABULARY, "the", 5, temperature=-1)),
        ("top_k", lambda: generate(make_model(), VOCABULARY, "the", 5, top_k=0)),
        ("top_p", lambda: generate(make_model(), VOCABULARY, "the", 5, top_p=0)),
    ],
)
def test_wrong_arguments_are_named(name, act):
    with pytest.raises(ValueError, match=name):
        act()
