"""From scores to text: rules for choosing a token and beams against brute force, and text that is repeatable."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import companion
from companion import LanguageModel, Vocabulary, generate, keep_nucleus, keep_top_k, sample_token
from companion.decoding import (
    Hypothesis,
    beam_search,
    generate_with_beam,
    next_token_step,
    select_sequences,
)
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


# The beam


class Toy:
    """Chances of the next token that depend on all tokens before it: the state is a sum that no two orders share."""

    def __init__(self, V, seed=0, device="cpu"):
        generator = torch.Generator().manual_seed(seed)
        self.V = V
        self.mix = torch.randn(3, V, generator=generator, dtype=torch.double).to(device)
        self.read = torch.randn(V, 3, generator=generator, dtype=torch.double).to(device)

    def state(self):
        return self.mix.new_zeros(1, 1, 3)  # (layers, B, H)

    def __call__(self, tokens, state):
        state = torch.tanh(1.5 * state + self.read[tokens])  # (1, N, 3)
        return (2 * state[0] @ self.mix).log_softmax(-1), state


def every_text(V, length, end):
    """All token sequences that a search may end with: those that end early, and those that reach the length."""
    for n in range(1, length + 1):
        for tokens in itertools.product(range(V), repeat=n):
            if end not in tokens[:-1] and (n == length or tokens[-1] == end):
                yield tokens


def log_probability(step, state, start, tokens):
    """Read token by token, the slow way."""
    total, before = 0.0, torch.tensor([start])
    for token in tokens:
        scores, state = step(before, state)
        total, before = total + scores[0, token].item(), torch.tensor([token])
    return total


@given(st.integers(2, 4), st.integers(1, 4), st.sampled_from([None, 0, 1]), st.sampled_from([0, 0.6, 1]), st.integers())
def test_a_beam_wide_enough_finds_the_best_of_all_texts_in_order(V, length, end, length_penalty, seed):
    toy = Toy(V, abs(seed) % 10_000)
    chances = {tokens: log_probability(toy, toy.state(), 0, tokens) for tokens in every_text(V, length, end)}
    scores = {tokens: chance / len(tokens) ** length_penalty for tokens, chance in chances.items()}
    found = beam_search(
        toy, toy.state(), 0, width=V**length, max_length=length, end=end, length_penalty=length_penalty
    )
    assert {hypothesis.tokens for hypothesis in found} == set(scores)
    assert [hypothesis.score for hypothesis in found] == pytest.approx(sorted(scores.values(), reverse=True))
    for hypothesis in found:
        assert hypothesis.log_probability == pytest.approx(chances[hypothesis.tokens])
        assert hypothesis.score == pytest.approx(scores[hypothesis.tokens])
    assert math.fsum(math.exp(hypothesis.log_probability) for hypothesis in found) == pytest.approx(1)


@given(st.integers(2, 5), st.integers(1, 6), st.integers(1, 7), st.sampled_from([None, 1]), st.integers(0, 9999))
def test_a_narrow_beam_keeps_the_best_at_every_step_as_the_definition_says(V, length, width, end, seed):
    toy = Toy(V, seed)
    live, finished = [()], []
    for _ in range(length):
        longer = [(*tokens, token) for tokens in live for token in range(V)]
        longer.sort(key=lambda tokens: -log_probability(toy, toy.state(), 0, tokens))
        finished += [tokens for tokens in longer[:width] if tokens[-1] == end]
        live = [tokens for tokens in longer[:width] if tokens[-1] != end]
    expected = sorted(finished + live, key=lambda tokens: -log_probability(toy, toy.state(), 0, tokens))[:width]
    found = beam_search(toy, toy.state(), 0, width=width, max_length=length, end=end)
    assert [hypothesis.tokens for hypothesis in found] == expected


def test_width_1_is_greedy_and_a_wider_beam_can_be_better():
    """Two roads: the likelier first step leads to where nothing is likely."""
    chances = torch.tensor([[0.0, 0.6, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])

    def step(tokens, state):
        return chances[tokens].log(), state

    assert [h.tokens for h in beam_search(step, None, 0, width=1, max_length=2)] == [(1, 0)]
    best = beam_search(step, None, 0, width=2, max_length=2)[0]
    assert best.tokens == (2, 0)
    assert best.log_probability == pytest.approx(math.log(0.4 * 0.9))


def test_the_length_penalty_decides_between_short_and_long():
    """Ending at once has 0.4; writing three tokens has 0.6 * 0.8 * 0.8, less, but more for each token."""
    chances = torch.tensor([[0.4, 0.6], [0.2, 0.8]])  # token 0 is the end

    def best(length_penalty):
        found = beam_search(
            lambda tokens, state: (chances[1 if state.sum() else 0].expand(len(tokens), 2).log(), state + 1),
            torch.zeros(1, 1, 1), 1, width=8, max_length=3, end=0, length_penalty=length_penalty,
        )
        return found[0].tokens

    assert best(0) == (0,)
    assert best(1) == (1, 1, 1)


def test_tokens_ruled_out_are_never_written():
    def step(tokens, state):
        return torch.tensor([0.0, -math.inf, -math.inf]).expand(len(tokens), 3), state

    found = beam_search(step, None, 2, width=5, max_length=4)
    assert found == [Hypothesis((0, 0, 0, 0), 0.0, 0.0)]
    nothing = beam_search(lambda tokens, state: (torch.full((1, 3), -math.inf), state), None, 0, width=2, max_length=2)
    assert nothing == []


def test_all_finished_early_stops_the_search():
    calls = []

    def step(tokens, state):
        calls.append(len(tokens))
        return torch.tensor([0.0, -math.inf]).expand(len(tokens), 2), state

    assert beam_search(step, None, 1, width=3, max_length=50, end=0) == [Hypothesis((0,), 0.0, 0.0)]
    assert calls == [1]


STATES = {
    "a tensor": lambda h: h,
    "a pair": lambda h: (h, 2 * h),
    "nested": lambda h: (h, (h + 1, (h - 1,)), None),
}


@pytest.mark.parametrize("form", STATES.values(), ids=STATES)
def test_sequences_are_selected_in_every_form_of_state(form):
    h = torch.randn(2, 4, 3)
    chosen = torch.tensor([3, 0, 0, 2, 1])
    torch.testing.assert_close(select_sequences(form(h), chosen), form(h[:, chosen]), rtol=0, atol=0)


@pytest.mark.parametrize("form", STATES.values(), ids=STATES)
def test_the_state_follows_its_hypothesis(form):
    """The state as any tuple: the search goes on from the right row, or the toy's chances would be others."""
    toy = Toy(4, 3)

    def step(tokens, state):
        h = state if isinstance(state, torch.Tensor) else state[0]
        scores, h = toy(tokens, h)
        return scores, form(h)

    expected = beam_search(toy, toy.state(), 0, width=5, max_length=6)
    assert beam_search(step, form(toy.state()), 0, width=5, max_length=6) == expected


def test_the_first_token_may_be_a_tensor_and_no_graph_is_kept():
    toy = Toy(4, 3)
    toy.mix.requires_grad_()
    seen = []

    def step(tokens, state):
        scores, state = toy(tokens, state)
        seen.append(scores.requires_grad)
        return scores, state

    expected = beam_search(toy, toy.state(), 2, width=3, max_length=3)
    for start in (torch.tensor(2), torch.tensor([2])):
        assert beam_search(step, toy.state(), start, width=3, max_length=3) == expected
    assert seen and not any(seen)


def test_totals_do_not_lose_small_differences_to_single_precision():
    """After 3,000 tokens the sums are large; a difference of 1e-5 in the last step still decides."""
    def step(tokens, state):
        state = state + 1
        last = state[0, :, 0] == 3000
        rows = torch.where(last[:, None], torch.tensor([[-9.0, -9.0 + 1e-5]]), torch.tensor([[-9.0, -math.inf]]))
        return rows, state

    best = beam_search(step, torch.zeros(1, 1, 1), 0, width=1, max_length=3000)[0]
    assert best.tokens[-1] == 1
    assert best.log_probability == pytest.approx(-27000 + 1e-5, abs=2e-6)


# The beam and a language model


@each_layer
@pytest.mark.parametrize("prompt", ["the water", "t"])
def test_a_beam_of_1_writes_greedy_text(make_layer, prompt):
    model = make_model(make_layer)
    assert generate_with_beam(model, VOCABULARY, prompt, 20, width=1) == generate(
        model, VOCABULARY, prompt, 20, temperature=0
    )


@each_layer
def test_a_beam_scores_a_text_as_reading_it_does(make_layer):
    model = make_model(make_layer).eval()
    prompt = VOCABULARY.encode("the water")
    time = 1 if getattr(model.layer, "batch_first", False) else 0
    state = model(prompt[:-1].unsqueeze(1 - time))[1]
    found = beam_search(next_token_step(model), state, prompt[-1], width=4, max_length=6)
    assert len(found) == 4
    for tokens, total, score in found:
        text = torch.cat([prompt, torch.tensor(tokens)])
        scores = model(text[:-1])[0].log_softmax(-1)[len(prompt) - 1 :]  # (6, V)
        assert total == score == pytest.approx(scores.gather(1, text[len(prompt) :, None]).sum().item(), abs=1e-4)


def test_a_beam_with_a_language_model_leaves_it_as_it_was():
    model = make_model().train()
    before = torch.get_rng_state()
    first, again = (generate_with_beam(model, VOCABULARY, "the", 12, width=4) for _ in range(2))
    assert first == again  # no dropout
    assert model.training and model.dropout.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_beam_on_a_gpu_finds_the_same():
    toy, there = Toy(4, 3), Toy(4, 3, "cuda")
    found = beam_search(there, there.state(), torch.tensor(1, device="cuda"), width=4, max_length=5)
    assert [h.tokens for h in found] == [h.tokens for h in beam_search(toy, toy.state(), 1, width=4, max_length=5)]
    model = make_model()
    here = generate_with_beam(model, VOCABULARY, "the", 8, width=3)
    assert generate_with_beam(model.cuda(), VOCABULARY, "the", 8, width=3) == here


def search(**changes):
    toy = Toy(3)
    settings = {"width": 2, "max_length": 3} | changes
    return beam_search(settings.pop("step", toy), toy.state(), 0, **settings)


@pytest.mark.parametrize(
    "error, name, act",
    [
        (ValueError, "width", lambda: search(width=0)),
        (TypeError, "width", lambda: search(width=2.0)),
        (ValueError, "max_length", lambda: search(max_length=0)),
        (TypeError, "max_length", lambda: search(max_length="9")),
        (ValueError, "length_penalty", lambda: search(length_penalty=-0.5)),
        (ValueError, "length_penalty", lambda: search(length_penalty=math.nan)),
        (ValueError, "length_penalty", lambda: search(length_penalty="1")),
        (ValueError, r"step .* \(1, V\), got \(3,\)", lambda: search(step=lambda t, s: (torch.zeros(3), s))),
        (ValueError, r"step .* \(1, V\), got \(2, 3\)", lambda: search(step=lambda t, s: (torch.zeros(2, 3), s))),
        (ValueError, "log_softmax", lambda: search(step=lambda t, s: (torch.ones(1, 3), s))),
        (ValueError, "got nan", lambda: search(step=lambda t, s: (torch.full((1, 3), math.nan), s))),
        (ValueError, "prompt", lambda: generate_with_beam(make_model(), VOCABULARY, "", 5)),
        (ValueError, "num_tokens", lambda: generate_with_beam(make_model(), VOCABULARY, "the", 0)),
        (TypeError, "num_tokens", lambda: generate_with_beam(make_model(), VOCABULARY, "the", 1.5)),
        (ValueError, "width", lambda: generate_with_beam(make_model(), VOCABULARY, "the", 5, width=0)),
    ],
)
def test_wrong_arguments_of_a_beam_are_named(error, name, act):
    with pytest.raises(error, match=name):
        act()


# Bad input

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
