"""The checks of *Coming from d2l* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch

from companion.checks import coming_from_d2l
from companion.decoding import generate

# Right answers, each in another way than the check's own


def two_perplexities(losses, counts):
    losses, counts = torch.tensor(losses, dtype=torch.double), torch.tensor(counts)
    return ((losses * counts).sum() / counts.sum()).exp(), losses.exp().mean()


def validation_starts(num_train, num_val, num_steps):
    touched = {place for first in range(num_train) for place in range(first, first + num_steps + 1)}
    return list(range(max(touched) + 1, max(touched) + 1 + num_val))


def sequential_windows(tokens, batch_size, num_steps, offset=0):
    length = (len(tokens) - offset - 1) // batch_size
    windows = []
    for first in range(offset, offset + length - num_steps + 1, num_steps):
        places = torch.tensor([[first + row * length + t for t in range(num_steps)] for row in range(batch_size)])
        windows.append((tokens[places], tokens[places + 1]))
    return windows


@torch.no_grad()
def predict(prefix, num_preds, model, vocabulary):
    logits, state = model(vocabulary.encode(prefix))
    text, scores = prefix, logits[-1]
    for _ in range(num_preds):
        text += vocabulary.tokens[int(scores.argmax())]
        logits, state = model(vocabulary.encode(text[-1]), state)
        scores = logits[-1]
    return text


def renumber(weights, old, new):
    moved = dict(weights)
    for name, weight in weights.items():
        if len(weight) == len(old) and not name.startswith("layer"):
            rows = dict(zip(old, weight, strict=True))
            moved[name] = torch.stack([rows.get(token, rows["<unk>"]) for token in new])
    return moved


RIGHT = {
    "two_perplexities": [two_perplexities],
    "validation_starts": [validation_starts, lambda n, v, t: torch.arange(n + t, n + t + v).tolist()],
    "sequential_windows": [sequential_windows, lambda *a: tuple(sequential_windows(*a))],
    "predict": [predict, lambda prefix, n, model, vocabulary: generate(model, vocabulary, prefix, n, temperature=0)],
    "renumber": [renumber],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    assert getattr(coming_from_d2l, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")


@pytest.mark.parametrize("name", RIGHT)
def test_a_check_draws_nothing_from_the_readers_random_numbers(name, capsys):
    before = torch.get_rng_state()
    getattr(coming_from_d2l, f"check_{name}")(RIGHT[name][0])
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(coming_from_d2l.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(coming_from_d2l.__all__)


# Wrong answers, as people give them


def unweighted(losses, counts):
    return math.exp(sum(losses) / len(losses)), sum(map(math.exp, losses)) / len(losses)


def the_same_twice(losses, counts):
    text, _ = two_perplexities(losses, counts)
    return text, text


def interleaved(tokens, batch_size, num_steps, offset):
    length = (len(tokens) - offset - 1) // batch_size
    pieces = (tokens[first : first + length * batch_size] for first in (offset, offset + 1))
    x, y = (piece.view(length, batch_size).T for piece in pieces)
    count = length // num_steps * num_steps
    return [(x[:, t : t + num_steps], y[:, t : t + num_steps]) for t in range(0, count, num_steps)]


def no_room_for_targets(tokens, batch_size, num_steps, offset):
    rows = tokens[offset : offset + (len(tokens) - offset) // batch_size * batch_size].view(batch_size, -1)
    x, y = rows[:, :-1], rows[:, 1:]
    count = x.shape[1] // num_steps * num_steps
    return [(x[:, t : t + num_steps], y[:, t : t + num_steps]) for t in range(0, count, num_steps)]


@torch.no_grad()
def predict_badly(prefix, num_preds, model, vocabulary, keep_state=True, repeat_last=False):
    logits, state = model(vocabulary.encode(prefix))
    number, written = vocabulary.encode(prefix)[-1:] if repeat_last else logits[-1:].argmax(-1), []
    for _ in range(num_preds):
        if not repeat_last:
            written.append(int(number))
        logits, state = model(number, state if keep_state else None)
        number = logits[-1:].argmax(-1)
        if repeat_last:
            written.append(int(number))
    return prefix + vocabulary.decode(written)


def wrong_direction(weights, old, new):
    order = [new.index(token) for token in old]
    return weights | {name: weights[name][order] for name in ("embedding.weight", "output.weight", "output.bias")}


def unknown_is_zero(weights, old, new):
    order = [old.index(token) if token in old else 0 for token in new]
    return weights | {name: weights[name][order] for name in ("embedding.weight", "output.weight", "output.bias")}


def output_forgotten(weights, old, new):
    order = [old.index(token) for token in new if token in old]
    return weights | {"embedding.weight": weights["embedding.weight"][order]}


def bias_forgotten(weights, old, new):
    return renumber(weights, old, new) | {"output.bias": weights["output.bias"]}


WRONG = [
    ("two_perplexities", unweighted, "a short last batch", "the text's: "),
    ("two_perplexities", the_same_twice, "three batches of one size", "the board's: "),
    ("two_perplexities", lambda *a: two_perplexities(*a)[::-1], "three batches of one size", "the text's: "),
    ("two_perplexities", lambda losses, counts: sum(losses), "three batches", "raised TypeError"),
    ("validation_starts", lambda n, v, t: list(range(n, n + v)), "10 windows of 4 steps", "number 1 of 3: got 10"),
    ("validation_starts", lambda n, v, t: list(range(n + t - 1, n + t - 1 + v)), "10 windows", "number 1 of 3: got 13"),
    ("validation_starts", lambda n, v, t: list(range(n + t, n + t + v * t, t)), "10 windows", "number 2 of 3: got 18"),
    ("validation_starts", lambda n, v, t: n + t, "10 windows", "raised TypeError"),
    ("sequential_windows", lambda *a: sequential_windows(*a[:3]), "an offset of 3", "numbers are off"),
    ("sequential_windows", interleaved, "30 tokens, 2 rows of 5 steps", "numbers are off"),
    ("sequential_windows", no_room_for_targets, "30 tokens, 2 rows of 5 steps", "numbers are off"),
    (
        "sequential_windows",
        lambda *a: [(x.T, y.T) for x, y in sequential_windows(*a)],
        "30 tokens, 2 rows of 5 steps",
        "shape (2, 5), got (5, 2)",
    ),
    ("sequential_windows", lambda *a: [(x, x) for x, _ in sequential_windows(*a)], "30 tokens", "numbers are off"),
    ("predict", lambda *a: predict_badly(*a, keep_state=False), "a prefix of five characters", "which is not it"),
    ("predict", lambda *a: predict_badly(*a, repeat_last=True), "a prefix of five characters", "which is not it"),
    ("predict", lambda *a: predict(*a)[len(a[0]) :], "a prefix of five characters", "which is not it"),
    ("predict", lambda prefix, n, model, vocabulary: model(prefix), "a prefix of five characters", "raised"),
    ("renumber", wrong_direction, "three tokens in a circle", "the scores: "),
    ("renumber", unknown_is_zero, "a new token that is unknown to the old", "the scores: "),
    ("renumber", output_forgotten, "two tokens swapped", "the scores: "),
    ("renumber", bias_forgotten, "two tokens swapped", "the scores: "),
    ("renumber", lambda weights, old, new: weights, "two tokens swapped", "the scores: "),
    ("renumber", lambda weights, old, new: {}, "two tokens swapped", "raised RuntimeError"),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "two_perplexities": ["exp(", "weighted", "sum(counts)"],
    "validation_starts": ["num_train + num_steps", "14"],
    "sequential_windows": ["SequentialBatches", "view(", "// batch_size"],
    "predict": ["generate", "argmax", "view(1, 1)"],
    "renumber": ["embedding", "output", ".index("],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(coming_from_d2l, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []
