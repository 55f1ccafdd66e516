"""Checks of the exercises of *Sequences and language models*."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from companion.checks.compare import compare
from companion.metrics import bits_per_character, perplexity
from companion.ngram import NGramModel
from companion.text import Corpus, SequentialBatches, Vocabulary, load_story

__all__ = [
    "check_batch_shapes",
    "check_glue",
    "check_held_out_perplexity",
    "check_perplexity_by_hand",
    "check_variety_model",
    "check_word_scores",
]


def _compare_by_name(answers: dict[str, Callable], expected: dict[str, Any], hint: str) -> bool:
    """Compare answers that are no function, each under the name of what it should be."""
    cases = {name: (name,) for name in expected}
    return compare(lambda name: answers[name](), lambda name: expected[name], cases, hint)


def check_perplexity_by_hand(perplexity: float, bits: float) -> bool:
    """Check the perplexity and the bits per character of guesses of 1/2, 1/4, 1/4 and 1/32, to one decimal."""
    right_bits = -sum(math.log2(guess) for guess in (1 / 2, 1 / 4, 1 / 4, 1 / 32)) / 4
    # As text, because the distance between two numbers would give the right one away.
    expected = {"the bits per character": f"{right_bits:.1f}", "the perplexity": f"{2**right_bits:.1f}"}
    answers = {
        "the bits per character": lambda: f"{float(bits):.1f}",
        "the perplexity": lambda: f"{float(perplexity):.1f}",
    }
    hint = (
        "A guess of 1/2 costs one bit, that of 1/4 one more. Perplexity is the number of equally likely choices that "
        "cost as many bits as these guesses do on average."
    )
    return _compare_by_name(answers, expected, hint)


def check_batch_shapes(batches: int, first: tuple[int, int], last: tuple[int, int], unused: int) -> bool:
    """Check what ``SequentialBatches`` makes of 1,000 tokens, 8 streams and windows of 35 steps."""
    shapes = [tuple(inputs.shape) for inputs, _ in SequentialBatches(torch.arange(1000), 8, 35)]
    expected = {
        "the number of batches": len(shapes),
        "the shape of the first batch": str(shapes[0]),
        "the shape of the last batch": str(shapes[-1]),
        "the number of tokens that are never a target": 1000 - sum(steps * streams for steps, streams in shapes),
    }
    answers = {
        "the number of batches": lambda: batches,
        "the shape of the first batch": lambda: str(tuple(first)),
        "the shape of the last batch": lambda: str(tuple(last)),
        "the number of tokens that are never a target": lambda: unused,
    }
    hint = (
        "Begin with the length of a stream: 8 streams share the tokens that have a successor. Cut one stream into "
        "windows; the last may be shorter. And time comes first."
    )
    return _compare_by_name(answers, expected, hint)


def check_glue(answer: Callable) -> bool:
    """Check ``glue(windows)``: the inputs of all sequential batches, each of shape (T, B), become one text again."""

    def reference(windows: list[Tensor]) -> Tensor:
        return torch.cat(windows).T.flatten()

    def case(streams: int, length: int, num_steps: int) -> tuple[list[Tensor]]:
        tokens = 100 + torch.arange(streams * length + 1)
        return ([inputs for inputs, _ in SequentialBatches(tokens, streams, num_steps)],)

    cases = {
        "2 streams in two windows each": case(2, 6, 3),
        "a last window that is shorter": case(4, 7, 3),
        "as many streams as steps": case(3, 6, 3),
        "a single stream": case(1, 8, 4),
        "a single window": case(3, 5, 5),
    }
    hint = (
        "Write two windows of three streams on paper. In which direction does a stream run on from window to window? "
        "And in which order does `flatten` read a block?"
    )
    return compare(answer, reference, cases, hint)


def check_held_out_perplexity(answer: Callable) -> bool:
    """Check ``held_out_perplexity(share, order)``: that of a table which counted the last share of the story."""

    def reference(share: float, order: int) -> float:
        story = load_story()
        vocabulary = Vocabulary(story.train)
        tokens = vocabulary.encode(story.train)
        strength = {2: 5, 5: 10}[order]
        model = NGramModel(tokens[len(tokens) - int(share * len(tokens)) :], len(vocabulary), order, strength)
        return perplexity(model.loss(vocabulary.encode(story.held_out)))

    cases = {
        "all of the text, order 2": (1, 2),
        "the last quarter, order 2": (1 / 4, 2),
        "the last quarter, order 5": (1 / 4, 5),
        "the last half, order 5": (1 / 2, 5),
        "the last hundredth, order 2": (1 / 100, 2),
    }
    hint = (
        "Cut the token numbers of the chapter, so that the vocabulary stays the same. Each order has its own strength. "
        "And a loss is no perplexity yet."
    )
    return compare(answer, reference, cases, hint)


def check_word_scores(answer: Callable) -> bool:
    """Check ``word_scores(train, held_out)``: a word bigram's perplexity, and its bits per character of the text."""

    def reference(train: str, held_out: str) -> tuple[float, float]:
        words = Vocabulary(train, "word")
        tokens = words.encode(held_out)
        loss = NGramModel(words.encode(train), len(words), 2, strength=50).loss(tokens)
        return perplexity(loss), bits_per_character(loss * len(tokens) / len(held_out))

    story = load_story()
    cases = {
        "the story": tuple(story),
        "the two parts of the story, swapped": tuple(Corpus(story.held_out, story.train)),
        "a held-out text of unknown words only": (story.train, "xyzzy plugh " * 300),
    }
    hint = (
        "The model knows the words of `train` alone, and its strength is 50. The loss is a mean over words: how much "
        "is it for the whole text, and how many characters share it?"
    )
    return compare(answer, reference, cases, hint, tolerance=5e-3)


class _VarietyModel(NGramModel):
    def probability(self, gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / self.vocabulary_size
        context, shorter = gram[:-1], self.probability(gram[1:])
        variety = sum((*context, token) in self.counts for token in range(self.vocabulary_size))
        if not variety:
            return shorter
        return (self.counts[gram] + variety * shorter) / (self.totals[context] + variety)


def _guesses(model_class: Callable, letters: str, order: int, context: str) -> dict[str, Any]:
    """What a model of a text in the letters a to d guesses, by the words that name it."""
    text, read = (torch.tensor(["abcd".index(letter) for letter in part]).long() for part in (letters, context))
    model = model_class(text, 4, order)
    return {f"the probabilities after {context!r}": model.probabilities(read), "the loss": model.loss(text)}


def check_variety_model(answer: Callable) -> bool:
    """Check the class ``VarietyModel(tokens, vocabulary_size, order)``: n-grams smoothed by Witten and Bell's rule."""
    text = "abacabadacbabcab"
    cases = {
        "order 1, which has no context": (text, 1, ""),
        "order 2, a context with many successors": (text, 2, "a"),
        "order 2, a context with one successor": (text, 2, "d"),
        "order 3, a context never seen": (text, 3, "dd"),
        "order 3, a context seen only at the end": (text + "dd", 3, "dd"),
        "order 4, read from the beginning of a text": (text, 4, "ab"),
    }
    hint = (
        "The variety of a context is the number of different tokens that followed it, however often. It takes the "
        "place of the strength, in the numerator and in the denominator. What if it is 0?"
    )
    return compare(answer, _VarietyModel, cases, hint, call=_guesses)
