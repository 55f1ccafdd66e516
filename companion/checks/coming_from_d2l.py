"""Checks for *Coming from d2l*."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, with_random_weights
from companion.decoding import generate
from companion.language_model import LanguageModel
from companion.layers import GRU, RNN
from companion.text import SequentialBatches, Vocabulary

__all__ = [
    "check_predict",
    "check_renumber",
    "check_sequential_windows",
    "check_two_perplexities",
    "check_validation_starts",
]


def check_two_perplexities(answer: Callable) -> bool:
    """Check ``two_perplexities(losses, counts)``: that of the text, and the mean of the batches' perplexities."""

    def reference(losses: list[float], counts: list[int]) -> tuple[float, float]:
        total = math.fsum(loss * count for loss, count in zip(losses, counts, strict=True))
        return math.exp(total / sum(counts)), math.fsum(map(math.exp, losses)) / len(losses)

    cases = {
        "three batches of one size": ([1.0, 2.0, 3.0], [100, 100, 100]),
        "a short last batch": ([1.0, 1.2, 3.0], [100, 100, 4]),
        "a single batch": ([1.5], [64]),
        "batches that are alike": ([2.0, 2.0], [10, 30]),
    }
    hint = (
        "A loss is the mean of its batch. What is the mean over all tokens, when batches differ in size? And what does "
        "the board of 1.x average: losses, or what it made of each of them?"
    )

    def call(average: Callable, losses: list, counts: list) -> dict:
        text, board = average(losses, counts)
        return {"the text's": text, "the board's": board}

    return compare(answer, reference, cases, hint, call=call)


def check_validation_starts(answer: Callable) -> bool:
    """Check ``validation_starts(num_train, num_val, num_steps)``: places that share no character with training."""

    def reference(num_train: int, num_val: int, num_steps: int) -> list[int]:
        return [num_train + num_steps + place for place in range(num_val)]

    cases = {
        "10 windows of 4 steps, then 3": (10, 3, 4),
        "windows of one step": (10, 3, 1),
        "a single window to train on": (1, 2, 5),
        "the sizes of the course": (10_000, 5_000, 32),
    }
    hint = (
        "Write down the characters that the last training window touches, its targets included. The next one is free, "
        "and a validation window may begin with it."
    )
    return compare(answer, reference, cases, hint, call=lambda starts, *sizes: list(starts(*sizes)))


def check_sequential_windows(answer: Callable) -> bool:
    """Check ``sequential_windows(tokens, batch_size, num_steps, offset)``: windows (B, T) in reading order."""

    def reference(tokens: Tensor, batch_size: int, num_steps: int, offset: int) -> list[tuple[Tensor, Tensor]]:
        batches = SequentialBatches(tokens[offset:], batch_size, num_steps)
        return [(inputs.T, targets.T) for inputs, targets in batches if len(inputs) == num_steps]

    def call(cut: Callable, *arguments: object) -> list[tuple]:
        return [tuple(pair) for pair in cut(*arguments)]

    cases = {
        "30 tokens, 2 rows of 5 steps": (torch.arange(30), 2, 5, 0),
        "an offset of 3": (torch.arange(30), 2, 5, 3),
        "steps that do not fill a window": (torch.arange(100, 140), 3, 5, 1),
        "no token to spare": (torch.arange(13), 3, 2, 0),
        "a single row": (torch.arange(20), 1, 6, 2),
        "tokens of a text": (torch.arange(200) * 7 % 28, 4, 9, 8),
    }
    hint = (
        "Every input needs a target, so the very last token can only be a target. Cut the inputs into rows first, each "
        "one a piece of the text, then cut the rows into windows. The shape is (B, T)."
    )
    return compare(answer, reference, cases, hint, call=call)


def check_predict(answer: Callable) -> bool:
    """Check ``predict(prefix, num_preds, model, vocabulary)``: the likeliest characters, read one at a time."""
    vocabulary = Vocabulary("keep a little let a little go")

    def reference(prefix: str, num_preds: int, model: nn.Module, vocabulary: Vocabulary) -> str:
        return generate(model, vocabulary, prefix, num_preds, temperature=0)

    def case(prefix: str, num_preds: int, layer_class: type = GRU) -> tuple:
        return prefix, num_preds, _random_model(layer_class, len(vocabulary)), vocabulary

    cases = {
        "a prefix of five characters": case("let a", 20),
        "a prefix of one character": case("k", 20),
        "one character to predict": case("a little", 1),
        "a simple RNN": case("go ", 25, RNN),
        "nothing to predict": case("keep", 0),
    }
    hint = (
        "The model gives scores and a state. Hand the state to the next call, from the first character of the prefix "
        "on. Which scores choose the first new character? Nothing is read twice, and nothing is left out."
    )
    return compare(answer, reference, cases, hint)


def check_renumber(answer: Callable) -> bool:
    """Check ``renumber(weights, old, new)``: a language model's weights for another numbering of the tokens."""

    def reference(weights: dict[str, Tensor], old: list[str], new: list[str]) -> dict[str, Tensor]:
        places = {token: place for place, token in enumerate(old)}
        order = torch.tensor([places.get(token, places["<unk>"]) for token in new])
        of_tokens = {"embedding.weight", "output.weight", "output.bias"}
        return {name: weight[order] if name in of_tokens else weight for name, weight in weights.items()}

    def scores(renumber: Callable, weights: dict, old: list[str], new: list[str]) -> dict[str, Tensor]:
        renumbered = renumber(weights, old, new)
        model = build_quietly(partial(_model, GRU, len(new)))
        model.load_state_dict(renumbered)
        tokens = (torch.arange(35 * 2) * 3 % len(new)).view(35, 2)  # every new token comes up
        with torch.no_grad():
            return {"the scores": model(tokens)[0]}

    def case(old: str, new: str) -> tuple:
        return _random_model(GRU, len(old.split())).state_dict(), old.split(), new.split()

    cases = {
        "two tokens swapped": case("<unk> a b c", "<unk> b a c"),
        "three tokens in a circle": case("<unk> a b c", "<unk> b c a"),
        "the unknown token at another place": case("a <unk> b c d", "<unk> d c b a"),
        "a new token that is unknown to the old": case("a b <unk> c", "c <unk> a b z"),
        "fewer tokens than before": case("a b <unk> c d e", "<unk> e b"),
    }
    hint = (
        "Which weights have one row for each token? Row k of the new one is the row that the new token k had before. "
        "Is your order from new to old, or from old to new?"
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=scores)


def _model(layer_class: type, vocabulary_size: int) -> LanguageModel:
    return LanguageModel(layer_class(6, 16), vocabulary_size)


def _random_model(layer_class: type, vocabulary_size: int) -> LanguageModel:
    """A model whose likeliest characters vary, and depend on its state."""
    model = with_random_weights(partial(_model, layer_class), vocabulary_size)
    with torch.no_grad():
        model.embedding.weight *= 4
        model.output.bias /= 2
    return model
