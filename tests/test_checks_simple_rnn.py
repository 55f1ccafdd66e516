"""The checks of *The simple RNN, twice* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from companion import RNN, LanguageModel, SequentialBatches, Vocabulary, fit, load_story
from companion.checks import simple_rnn

# Right answers, each in another way than the check's own


def count_rnn_weights(D, H):
    return H * (D + H + 2)


def counting_weights():
    return torch.eye(2)[:1], torch.eye(1)


@torch.no_grad()
def merge_biases(layer):
    layer.bias_ih_l0.add_(layer.bias_hh_l0)
    layer.bias_hh_l0.fill_(0)


def merge_into_new_parameters(layer):
    first, second = layer.bias_ih_l0.detach(), layer.bias_hh_l0.detach()
    layer.bias_ih_l0, layer.bias_hh_l0 = nn.Parameter(first + second), nn.Parameter(0 * second)


@torch.no_grad()
def surprises(model, vocabulary, text):
    tokens = vocabulary.encode(text)
    return F.cross_entropy(model(tokens)[0][:-1], tokens[1:], reduction="none")


def make_keeper(D, H):
    layer = RNN(D, H, nonlinearity="relu", bias=True)
    nn.init.eye_(layer.weight_hh_l0)
    nn.init.zeros_(layer.bias_ih_l0), nn.init.zeros_(layer.bias_hh_l0)
    return layer


RIGHT = {
    "count_rnn_weights": [count_rnn_weights],
    "counting_weights": [counting_weights],
    "merge_biases": [merge_biases, merge_into_new_parameters],
    "surprises": [surprises],
    "keeper": [make_keeper],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(simple_rnn, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert {f"check_{name}" for name in RIGHT} | {"check_one_hot_model"} == set(simple_rnn.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} | {"check_one_hot_model"} == set(simple_rnn.__all__)


# Wrong answers, as people give them


def merge_in_the_wrong_order(layer):
    with torch.no_grad():
        layer.bias_hh_l0.zero_()
        layer.bias_ih_l0 += layer.bias_hh_l0


def merge_under_autograd(layer):
    layer.bias_ih_l0 += layer.bias_hh_l0


def merge_and_freeze(layer):
    merge_biases(layer)
    layer.bias_hh_l0.requires_grad_(False)


def merge_a_copy(layer):
    merged = nn.RNN(layer.input_size, layer.hidden_size)
    merged.load_state_dict(layer.state_dict())
    merge_biases(merged)
    return merged


def surprises_of_the_letter_read(model, vocabulary, text):
    tokens = vocabulary.encode(text)
    return F.cross_entropy(model(tokens)[0], tokens, reduction="none")[1:]


def mean_surprise(model, vocabulary, text):
    tokens = vocabulary.encode(text)
    return F.cross_entropy(model(tokens[:-1])[0], tokens[1:])


def surprises_with_the_first(model, vocabulary, text):
    return F.pad(surprises(model, vocabulary, text), (1, 0))


def surprises_letter_by_letter(model, vocabulary, text):
    parts = [surprises(model, vocabulary, text[place : place + 2]) for place in range(len(text) - 1)]
    return torch.cat(parts)


def keeper_with_tanh(D, H):
    layer = nn.RNN(D, H)
    layer.load_state_dict(make_keeper(D, H).state_dict())
    return layer


def keeper_of_random_biases(D, H):
    layer = nn.RNN(D, H, nonlinearity="relu")
    nn.init.eye_(layer.weight_hh_l0)
    return layer


def keeper_of_ones(D, H):
    layer = make_keeper(D, H)
    nn.init.ones_(layer.weight_hh_l0)
    return layer


WRONG = [
    ("count_rnn_weights", lambda D, H: H * (D + H + 1), "D = H = 1", "got 3, which is not it"),
    ("count_rnn_weights", lambda D, H: D * (H + D + 2), "D = 28, H = 64", "got 2632, which is not it"),
    ("counting_weights", lambda: (torch.tensor([[1.0, 1.0]]), torch.ones(1, 1)), "abbaab", "the state after 'ab'"),
    ("counting_weights", lambda: (torch.tensor([[1.0, -1.0]]), torch.ones(1, 1)), "abbaab", "the state after 'ab'"),
    ("counting_weights", lambda: (torch.tensor([[1.0, 0.0]]), torch.zeros(1, 1)), "abbaab", "the state after 'ab'"),
    ("counting_weights", lambda: (torch.tensor([1.0, 0.0]), torch.ones(1, 1)), "abbaab", "got '(2,)', which is not it"),
    ("merge_biases", lambda layer: None, "3 features, 5 units", "bias_hh_l0: 5 of 5 numbers are off"),
    ("merge_biases", merge_a_copy, "3 features, 5 units", "bias_hh_l0"),
    ("merge_biases", merge_in_the_wrong_order, "3 features, 5 units", "the outputs"),
    ("merge_biases", merge_under_autograd, "3 features, 5 units", "raised RuntimeError: a leaf Variable"),
    ("merge_biases", merge_and_freeze, "3 features, 5 units", "whether all weights are still trained"),
    ("surprises", surprises_of_the_letter_read, "a sentence", "numbers are off"),
    ("surprises", mean_surprise, "a sentence", "shape (30,), got ()"),
    ("surprises", surprises_with_the_first, "a sentence", "shape (30,), got (31,)"),
    ("surprises", surprises_letter_by_letter, "a sentence", "numbers are off"),
    ("surprises", lambda *arguments: surprises(*arguments).tolist(), "a sentence", "a tensor, got a list"),
    ("keeper", keeper_with_tanh, "8 features, 64 units", "the nonlinearity: got 'tanh'"),
    ("keeper", keeper_of_random_biases, "8 features, 64 units", "the sum of the biases"),
    ("keeper", keeper_of_ones, "8 features, 64 units", "weight_hh_l0: 4032 of 4096 numbers are off"),
    ("keeper", lambda D, H: make_keeper(8, 64), "2 features, 3 units", "raised RuntimeError"),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "count_rnn_weights": ["H * D", "H * H", "2 * H", "(H, D)"],
    "counting_weights": ["[[", "1.0", "one letter adds 1"],
    "merge_biases": ["no_grad", "zero_", "+="],
    "surprises": ["reduction", "none", "[1:]", "[:-1]"],
    "keeper": ["eye", "identity", "relu", "zero"],
    "one_hot_model": ["len(vocabulary)", "60", "one_hot("],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(simple_rnn, f"check_{name}")(answer) is False
    expect_in(capsys.readouterr().out, name, case, words)


def expect_in(printed, name, case, words):
    first, hint = printed.splitlines()
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint.startswith("Hint: ")
    assert [secret for secret in SECRETS[name] if secret in hint] == []


# The model that is trained


def story_model(embedding=None, width=60, hidden_size=256, epochs=0):
    vocabulary = Vocabulary(load_story().train)
    torch.manual_seed(1)
    model = LanguageModel(RNN(width, hidden_size), len(vocabulary), embedding=embedding)
    if epochs:
        tokens = vocabulary.encode(load_story().train)
        fit(model, SequentialBatches(tokens, 8, 35), epochs=epochs, learning_rate=8e-3)
    return model


def one_hot(size=60, **arguments):
    return nn.Embedding.from_pretrained(torch.eye(size), **arguments)


def test_a_trained_one_hot_model_passes(capsys):
    assert simple_rnn.check_one_hot_model(story_model(one_hot(), epochs=3)) is True
    assert capsys.readouterr().out == "Right, on all 5 inputs.\n"


@pytest.mark.parametrize(
    "arguments, case, words",
    [
        (dict(), "the embedding's table", "numbers are off"),
        (dict(width=64), "the embedding's table", "shape (60, 60), got (60, 64)"),
        (dict(embedding=one_hot(freeze=False)), "whether the embedding is learned", "got True"),
        (dict(embedding=one_hot(), hidden_size=128), "the layer's hidden_size", "got 128"),
        (dict(embedding=one_hot()), "whether it guesses held-out text better than the trigram", "got False"),
    ],
)
def test_another_model_learns_what_is_wrong(arguments, case, words, capsys):
    assert simple_rnn.check_one_hot_model(story_model(**arguments)) is False
    expect_in(capsys.readouterr().out, "one_hot_model", case, words)


def test_what_is_no_model_is_said(capsys):
    assert simple_rnn.check_one_hot_model(...) is False
    expect_in(capsys.readouterr().out, "one_hot_model", "the embedding's table", "raised AttributeError")
