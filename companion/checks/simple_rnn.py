"""Checks of the exercises of *The simple RNN, twice*."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights
from companion.language_model import LanguageModel
from companion.metrics import perplexity
from companion.ngram import NGramModel
from companion.steps import rnn_step
from companion.text import SequentialBatches, Vocabulary, load_story
from companion.training import evaluate

__all__ = [
    "check_count_rnn_weights",
    "check_counting_weights",
    "check_keeper",
    "check_merge_biases",
    "check_one_hot_model",
    "check_surprises",
]


def check_count_rnn_weights(answer: Callable) -> bool:
    """Check ``count_rnn_weights(D, H)``: how many weights and biases an nn.RNN of one layer has."""

    def reference(D: int, H: int) -> int:
        return sum(weight.numel() for weight in nn.RNN(D, H, device="meta").parameters())

    cases = {
        "D = H = 1": (1, 1),
        "D = 28, H = 64": (28, 64),
        "D = 64, H = 256": (64, 256),
        "D = 7, H = 2, more features than units": (7, 2),
    }
    hint = "Two matrices and two biases. Write down the shape of each; which of them know D?"
    return compare(answer, reference, cases, hint)


def _read_letters(weights: Callable, letters: str) -> dict[str, Any]:
    """What one unit makes of a text in the one-hot letters a and b, by the words that name it."""
    weight_ih, weight_hh = weights()
    shapes = [str(tuple(weight.shape)) for weight in (weight_ih, weight_hh)]
    h, seen = torch.zeros(1), {"the shapes of the weights": shapes}
    for end, letter in enumerate(letters, start=1):
        x = F.one_hot(torch.tensor("ab".index(letter)), 2).float()
        h = rnn_step(F.linear(x, weight_ih), h, weight_hh, nonlinearity="relu")
        seen[f"the state after {letters[:end]!r}"] = h
    return seen


def check_counting_weights(answer: Callable) -> bool:
    """Check ``counting_weights()``: weights with which one ReLU unit counts the letters ``a``."""
    cases = {
        "abbaab": ("abbaab",),
        "a text without an a": ("bbb",),
        "a text that begins with b": ("bab",),
        "60 times the letter a": ("a" * 60,),
    }
    hint = (
        "Which three numbers are there? What one letter adds, what the other adds, and the share of the old state "
        "that is kept. ReLU leaves positive numbers as they are."
    )

    def reference() -> tuple[Tensor, Tensor]:
        return torch.tensor([[1.0, 0.0]]), torch.ones(1, 1)

    return compare(answer, reference, cases, hint, call=_read_letters)


def _after_merging(merge: Callable, layer: nn.RNN, x: Tensor, h: Tensor) -> dict[str, Any]:
    """What can be seen of a layer whose biases were merged in place, by the words that name it."""
    merge(layer)
    return {
        "bias_hh_l0": layer.bias_hh_l0,
        "the outputs": layer(x, h)[0],
        "whether all weights are still trained": all(weight.requires_grad for weight in layer.parameters()),
    }


def check_merge_biases(answer: Callable) -> bool:
    """Check ``merge_biases(layer)``: it makes ``bias_hh_l0`` of an nn.RNN zero, in place, and keeps the outputs."""

    def reference(layer: nn.RNN) -> None:
        merged = (layer.bias_ih_l0 + layer.bias_hh_l0).detach()
        layer.bias_ih_l0.data, layer.bias_hh_l0.data = merged, torch.zeros_like(merged)

    def case(D: int, H: int, nonlinearity: str = "tanh") -> tuple:
        layer = with_random_weights(lambda: nn.RNN(D, H, nonlinearity=nonlinearity))
        return layer, random_numbers(7, 2, D), random_numbers(1, 2, H)

    merged_already = case(3, 5)
    reference(merged_already[0])
    cases = {
        "3 features, 5 units": case(3, 5),
        "one feature, one unit": case(1, 1),
        "a layer with ReLU": case(3, 4, "relu"),
        "a layer that was merged already": merged_already,
    }
    hint = (
        "What of the two biases enters the equation? Mind the order of your lines, and tell autograd that this change "
        "is no computation to learn from."
    )
    return compare(answer, reference, cases, hint, call=_after_merging)


def check_surprises(answer: Callable) -> bool:
    """Check ``surprises(model, vocabulary, text)``: the loss of every character of a text but the first."""

    def reference(model: LanguageModel, vocabulary: Vocabulary, text: str) -> Tensor:
        tokens = vocabulary.encode(text)
        guesses = model(tokens[:-1])[0].log_softmax(-1)  # (T - 1, V)
        return torch.stack([-guess[token] for guess, token in zip(guesses, tokens[1:], strict=True)])

    vocabulary = Vocabulary("Keep a little, let a little go.")
    model = with_random_weights(lambda: LanguageModel(nn.RNN(3, 5), len(vocabulary)))
    cases = {
        "a sentence": (model, vocabulary, "Keep a little, let a little go."),
        "a text of two characters": (model, vocabulary, "go"),
        "a text with an unknown character": (model, vocabulary, "let it go!"),
    }
    hint = (
        "The model guesses the character after each one it reads, so which does it read, and which are the targets? "
        "`cross_entropy` takes a mean unless you tell it otherwise."
    )
    return compare(answer, reference, cases, hint)


def check_one_hot_model(model: nn.Module) -> bool:
    """Check ``one_hot_model``: a trained model of 256 units that reads the story's characters one-hot."""
    story = load_story()
    vocabulary = Vocabulary(story.train)
    tokens, held_out = vocabulary.encode(story.train), vocabulary.encode(story.held_out)
    V = len(vocabulary)

    def beats_the_trigram() -> bool:
        reached = perplexity(evaluate(model, SequentialBatches(held_out, batch_size=8, num_steps=35)))
        return reached < perplexity(NGramModel(tokens, V, 3).loss(held_out))

    found = {
        "the embedding's table": lambda: model.embedding.weight,
        "whether the embedding is learned": lambda: model.embedding.weight.requires_grad,
        "the layer's input_size": lambda: model.layer.input_size,
        "the layer's hidden_size": lambda: model.layer.hidden_size,
        "whether it guesses held-out text better than the trigram": beats_the_trigram,
    }
    expected = dict(zip(found, (torch.eye(V), False, V, 256, True), strict=True))
    hint = (
        "`LanguageModel` takes an embedding ready-made. How wide is a one-hot vector, and so the layer's input? "
        "Everything else is as it was: hidden units, passes, learning rate."
    )
    cases = {name: (name,) for name in found}
    return compare(lambda name: found[name](), lambda name: expected[name], cases, hint)


def _kept(make_keeper: Callable, D: int, H: int) -> dict[str, Any]:
    """What can be seen of a layer that keeps its state, by the words that name it."""
    layer = build_quietly(make_keeper, D, H)
    x = random_numbers(100, 1, D) / 100
    one, other = 1 + random_numbers(1, 1, H).sigmoid(), 1 + random_numbers(1, 1, H, seed=1).sigmoid()
    with torch.no_grad():
        gap = layer(x, one)[0][-1] - layer(x, other)[0][-1]
    return {
        "the input_size and hidden_size": [layer.input_size, layer.hidden_size],
        "the nonlinearity": layer.nonlinearity,
        "weight_hh_l0": layer.weight_hh_l0,
        "the sum of the biases": layer.bias_ih_l0 + layer.bias_hh_l0,
        "whether nine tenths of the distance are left": bool(gap.norm() > 0.9 * (one - other).norm()),
    }


def check_keeper(answer: Callable) -> bool:
    """Check ``make_keeper(D, H)``: an nn.RNN with the identity for its recurrent weights, no bias, and ReLU."""

    def reference(D: int, H: int) -> nn.RNN:
        layer = nn.RNN(D, H, nonlinearity="relu")
        with torch.no_grad():
            for name, weight in layer.named_parameters():
                if name != "weight_ih_l0":
                    weight.copy_(torch.eye(H) if name == "weight_hh_l0" else torch.zeros(H))
        return layer

    cases = {
        "8 features, 64 units": (8, 64),
        "2 features, 3 units": (2, 3),
        "as many features as units": (4, 4),
    }
    hint = (
        "Three things differ from a fresh nn.RNN: its nonlinearity, its recurrent weights and its biases. nn draws the "
        "last two at random; write over them where autograd does not look."
    )
    return compare(answer, reference, cases, hint, call=_kept)
