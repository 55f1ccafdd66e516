"""The checks of *Sequences and language models* pass right answers, and say what is wrong with typical wrong ones."""

import math
from collections import Counter, defaultdict

import pytest
import torch

from companion import NGramModel, Vocabulary, load_story, perplexity
from companion.checks import sequences

# Right answers, each in another way than the check's own


def glue(windows):
    return torch.cat([x[:, stream] for stream in range(windows[0].shape[1]) for x in windows])


def numbered(train, held_out, level="character"):
    vocabulary = Vocabulary(train, level)
    return len(vocabulary), vocabulary.encode(train), vocabulary.encode(held_out)


def table(share, order, strength, first=False):
    size, tokens, held_out = numbered(*load_story())
    kept = int(share * len(tokens))
    return NGramModel(tokens[:kept] if first else tokens[-kept:], size, order, strength), held_out


def held_out_perplexity(share, order):
    model, held_out = table(share, order, {2: 5, 5: 10}[order])
    return math.exp(model.loss(held_out))


def word_loss(train, held_out, strength=50):
    size, counted, tokens = numbered(train, held_out, "word")
    return NGramModel(counted, size, 2, strength).loss(tokens), len(tokens)


def word_scores(train, held_out):
    loss, words = word_loss(train, held_out)
    return 2 ** (loss / math.log(2)), loss * (words - 1) / len(held_out) / math.log(2)  # the first is no guess


class VarietyModel(NGramModel):
    def __init__(self, tokens, vocabulary_size, order):
        super().__init__(tokens, vocabulary_size, order)
        self.followers = defaultdict(set)
        for *context, token in self.counts:
            self.followers[tuple(context)].add(token)

    def probability(self, gram):
        if not gram:
            return 1 / self.vocabulary_size
        *context, _ = gram
        variety, shorter = len(self.followers[tuple(context)]), self.probability(gram[1:])
        seen = self.totals[tuple(context)]
        return (self.counts[gram] + variety * shorter) / (seen + variety) if variety else shorter


RIGHT = {
    "perplexity_by_hand": [(2**2.5, 2.5), (5.7, 2.5)],
    "batch_shapes": [(4, (35, 8), (19, 8), 8), (4, torch.Size([35, 8]), [19, 8], 8)],
    "glue": [(glue,), (lambda windows: torch.cat([x.T for x in windows], 1).reshape(-1),)],
    "held_out_perplexity": [(held_out_perplexity,)],
    "word_scores": [(word_scores,)],
    "variety_model": [(VarietyModel,)],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(sequences, f"check_{name}")(*answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(sequences.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(sequences.__all__)


# Wrong answers, as people give them


def scores_per_word(train, held_out):
    loss, _ = word_loss(train, held_out)
    return math.exp(loss), loss / math.log(2)


def scores_with_the_default_strength(train, held_out):
    loss, words = word_loss(train, held_out, strength=5)
    return math.exp(loss), loss / math.log(2) * words / len(held_out)


def scores_in_nats(train, held_out):
    loss, words = word_loss(train, held_out)
    return math.exp(loss), loss * words / len(held_out)


def scores_with_the_words_of_both(train, held_out):
    vocabulary = Vocabulary(train + held_out, "word")
    counted, tokens = vocabulary.encode(train), vocabulary.encode(held_out)
    loss = NGramModel(counted, len(vocabulary), 2, strength=50).loss(tokens)
    return math.exp(loss), loss / math.log(2) * len(tokens) / len(held_out)


def with_its_own_vocabulary(share, order):
    train, held_out = load_story()
    size, tokens, unseen = numbered(train[-int(share * len(train)) :], held_out)
    return math.exp(NGramModel(tokens, size, order, {2: 5, 5: 10}[order]).loss(unseen))


class VarietyByOccurrence(VarietyModel):
    def __init__(self, tokens, vocabulary_size, order):
        super().__init__(tokens, vocabulary_size, order)
        self.varieties = Counter(self.totals)  # how often, not how many different ones

    def probability(self, gram):
        if not gram:
            return 1 / self.vocabulary_size
        context, shorter = gram[:-1], self.probability(gram[1:])
        variety = self.varieties[context] or 1
        return (self.counts[gram] + variety * shorter) / (self.totals[context] + variety)


class VarietyDividedByZero(VarietyModel):
    def probability(self, gram):
        if not gram:
            return 1 / self.vocabulary_size
        variety, shorter = len(self.followers[gram[:-1]]), self.probability(gram[1:])
        return (self.counts[gram] + variety * shorter) / (self.totals[gram[:-1]] + variety)


class VarietyInOnePlace(VarietyModel):
    def probability(self, gram):
        if not gram:
            return 1 / self.vocabulary_size
        variety, shorter = len(self.followers[gram[:-1]]), self.probability(gram[1:])
        return (self.counts[gram] + variety * shorter) / (self.totals[gram[:-1]] + self.strength)


WRONG = [
    ("perplexity_by_hand", (4.0, 2.0), "the bits per character", "got '2.0', which is not it"),
    ("perplexity_by_hand", (2.5, 2.5), "the perplexity", "got '2.5', which is not it"),
    ("perplexity_by_hand", (..., ...), "the bits per character", "raised TypeError"),
    ("batch_shapes", (..., ..., ..., ...), "the number of batches", "got Ellipsis, which is not it"),
    ("batch_shapes", (3, (35, 8), (35, 8), 8), "the number of batches", "got 3, which is not it"),
    ("batch_shapes", (4, (8, 35), (8, 19), 8), "the shape of the first batch", "got '(8, 35)', which is not it"),
    ("batch_shapes", (4, (35, 8), (20, 8), 0), "the shape of the last batch", "got '(20, 8)', which is not it"),
    ("batch_shapes", (4, (35, 8), (19, 8), 7), "the number of tokens that are never a target", "got 7"),
    ("glue", (lambda windows: torch.cat(windows).flatten(),), "2 streams in two windows each", "numbers are off"),
    ("glue", (lambda windows: torch.cat([x.T.flatten() for x in windows]),), "2 streams", "numbers are off"),
    ("glue", (lambda windows: torch.stack(windows).transpose(1, 2).flatten(),), "2 streams", "numbers are off"),
    (
        "glue",
        (lambda windows: torch.stack(windows).permute(2, 0, 1).flatten(),),
        "a last window that is shorter",
        "raised RuntimeError: stack expects each tensor to be equal size",
    ),
    ("glue", (lambda windows: torch.cat(windows).T,), "2 streams in two windows each", "shape (12,), got (2, 6)"),
    (
        "held_out_perplexity",
        (lambda share, order: table(share, order, 5)[0].loss(table(share, order, 5)[1]),),
        "all of the text, order 2",
        "numbers are off",
    ),
    (
        "held_out_perplexity",
        (lambda share, order: perplexity(table(share, order, 5, first=True)[0].loss(table(share, order, 5)[1])),),
        "the last quarter, order 2",
        "numbers are off",
    ),
    (
        "held_out_perplexity",
        (lambda share, order: perplexity(table(share, order, 5)[0].loss(table(share, order, 5)[1])),),
        "the last quarter, order 5",
        "numbers are off",
    ),
    ("held_out_perplexity", (with_its_own_vocabulary,), "the last hundredth, order 2", "numbers are off"),
    ("held_out_perplexity", (lambda share, order: ...,), "all of the text, order 2", "a number, got a ellipsis"),
    ("word_scores", (scores_per_word,), "the story", "result number 2 of 2"),
    ("word_scores", (scores_with_the_default_strength,), "the story", "result number 1 of 2"),
    ("word_scores", (scores_in_nats,), "the story", "result number 2 of 2"),
    ("word_scores", (scores_with_the_words_of_both,), "the two parts of the story, swapped", "result number 1 of 2"),
    ("word_scores", (lambda *texts: word_scores(*texts)[0],), "the story", "2 things, got a float"),
    ("variety_model", (NGramModel,), "order 1, which has no context", "the probabilities after ''"),
    ("variety_model", (VarietyByOccurrence,), "order 1, which has no context", "numbers are off"),
    ("variety_model", (VarietyDividedByZero,), "order 3, a context never seen", "raised ZeroDivisionError"),
    ("variety_model", (VarietyInOnePlace,), "order 1, which has no context", "numbers are off"),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "perplexity_by_hand": ["2.5", "5.7", "5.65"],
    "batch_shapes": ["124", "992", "35, 8", "19"],
    "glue": ["torch.cat", ".T", "transpose"],
    "held_out_perplexity": ["[-int(", "strengths[order]"],
    "word_scores": ["len(", "Vocabulary("],
    "variety_model": ["len(", "set(", "Counter("],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(sequences, f"check_{name}")(*answer) is False
    printed = capsys.readouterr().out
    first, hint = printed.splitlines()
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint.startswith("Hint: ")
    assert [secret for secret in SECRETS[name] if secret in hint] == []
