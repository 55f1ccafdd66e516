"""Checks of the exercises of *Inputs*."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights

__all__ = [
    "check_predict_shapes",
    "check_readers",
    "check_series_input",
    "check_unscramble",
    "check_widen",
]


def check_predict_shapes(answer: Callable) -> bool:
    """Check ``predict_shapes(layer, input_shape)``: the shapes of the output and of h_n, without calling the layer."""

    def reference(layer: nn.Module, input_shape: tuple) -> tuple:
        output, h_n = layer(torch.zeros(input_shape))
        return tuple(output.shape), tuple(h_n.shape)

    def case(*input_shape: int, **options: Any) -> tuple:
        return build_quietly(lambda: nn.GRU(3, 4, **options)), input_shape

    def in_words(answer: Callable, layer: nn.Module, input_shape: tuple) -> dict[str, str]:
        output, h_n = answer(layer, input_shape)
        return {"the output": str(tuple(output)), "h_n": str(tuple(h_n))}

    cases = {
        "7 steps of 5 sequences": case(7, 5, 3),
        "5 sequences of 7 steps, batch_first": case(5, 7, 3, batch_first=True),
        "one sequence without a batch": case(7, 3),
        "the same with batch_first": case(7, 3, batch_first=True),
        "two layers, two directions": case(7, 5, 3, num_layers=2, bidirectional=True),
        "all of it, batch_first": case(5, 7, 3, num_layers=2, bidirectional=True, batch_first=True),
        "three layers, no batch": case(7, 3, num_layers=3, bidirectional=True),
    }
    hint = (
        "Say it in letters before you write it in code. Which of T and B has each of the two shapes, and which of "
        "the two shapes does batch_first turn?"
    )
    return compare(answer, reference, cases, hint, call=in_words)


def check_series_input(answer: Callable) -> bool:
    """Check ``series_input(series)``: B NumPy arrays of T numbers become the input of ``nn.GRU(1, H)``, (T, B, 1)."""

    def reference(series: list) -> Tensor:
        return torch.tensor(np.stack(series, 1), dtype=torch.float32).unsqueeze(-1)

    def with_dtype(answer: Callable, series: list) -> dict[str, Any]:
        found = answer(series)
        return {"the input": found, "its dtype": str(found.dtype)}

    def case(B: int, T: int) -> tuple:
        return (list(random_numbers(B, T).double().numpy()),)

    cases = {
        "3 series of 5 numbers": case(3, 5),
        "as many series as numbers": case(4, 4),
        "one series": case(1, 5),
        "series of one number": case(3, 1),
        "whole numbers": ([np.array([3, 1, 2]), np.array([0, 5, 4])],),
    }
    hint = (
        "Column b of the result, [:, b, 0], is series b. Is it? Then see what NumPy counts in, and what the weights "
        "of a layer are made of."
    )
    return compare(answer, reference, cases, hint, call=with_dtype)


def check_unscramble(answer: Callable) -> bool:
    """Check ``unscramble(x)``: what ``view(T, B, D)`` made of a batch-first block becomes the true (T, B, D)."""

    def reference(scrambled: Tensor) -> Tensor:
        T, B, D = scrambled.shape
        return scrambled.reshape(B, T, D).transpose(0, 1)

    def case(B: int, T: int) -> tuple:
        return (random_numbers(B, T, 2).view(T, B, 2),)

    cases = {
        "3 sequences of 5 steps": case(3, 5),
        "as many steps as sequences": case(4, 4),
        "one sequence": case(1, 5),
        "a single step": case(3, 1),
    }
    hint = (
        "No number is lost, and in the order of the axes they still stand as they stood in the first block. Which "
        "shape had that one? Begin by getting it back."
    )
    return compare(answer, reference, cases, hint)


class _OutputOf(nn.Module):
    """What a layer returns first, or with ``final`` its last final state."""

    def __init__(self, layer: nn.Module, final: bool = False) -> None:
        super().__init__()
        self.layer, self.final = layer, final

    def forward(self, x: Tensor) -> Tensor:
        output, h_n = self.layer(x)
        return h_n[-1] if self.final else output


def check_readers(answer: Callable) -> bool:
    """Check ``readers(model, x)``: a (B, B) tensor, True at [b, c] if the result for sequence b depends on c."""

    def reference(model: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            before, columns = model(x), []
            for number in range(len(x)):
                changed = x.clone()
                changed[number] += 1
                columns.append((model(changed) - before).abs().flatten(1).amax(1) > 1e-6)
        return torch.stack(columns, 1)

    def case(B: int, T: int, final: bool = False, **options: Any) -> tuple:
        return with_random_weights(lambda: _OutputOf(nn.GRU(3, 4, **options), final)), random_numbers(B, T, 3)

    cases = {
        "a layer with batch_first": case(4, 6, batch_first=True),
        "a layer without it": case(4, 6),
        "as many steps as sequences, without it": case(5, 5),
        "two directions, without it": case(4, 6, bidirectional=True),
        "two directions, with it": case(4, 6, bidirectional=True, batch_first=True),
        "a batch of one": case(1, 6),
        "final states, with batch_first": case(4, 6, True, batch_first=True),
    }
    hint = (
        "Change one sequence, all of it, and compare every result with the one before. Row b is the sequence whose "
        "result it is, column c the one that was changed."
    )
    return compare(answer, reference, cases, hint)


def check_widen(answer: Callable) -> bool:
    """Check ``widen(layer, extra)``: an nn.GRU that reads ``extra`` more features, last, and ignores them."""

    def reference(layer: nn.GRU, extra: int) -> nn.GRU:
        D, options = layer.input_size, {"bias": layer.bias, "batch_first": layer.batch_first}
        wide = nn.GRU(D + extra, layer.hidden_size, layer.num_layers, bidirectional=layer.bidirectional, **options)
        with torch.no_grad():
            for name, weight in wide.named_parameters():
                old = getattr(layer, name)
                weight.zero_()[..., : old.shape[-1]] = old
        return wide

    def case(extra: int, **options: Any) -> tuple:
        layer = with_random_weights(lambda: nn.GRU(3, 4, **options))
        return layer, extra, random_numbers(5, 2, 3), random_numbers(5, 2, extra)

    def seen(answer: Callable, layer: nn.GRU, extra: int, x: Tensor, more: Tensor) -> dict[str, Any]:
        wide = build_quietly(answer, layer, extra)
        found = {"input_size": wide.input_size, "batch_first": wide.batch_first}
        return found | {"the output": wide(torch.cat([x, more], -1))[0], "the old layer's own output": layer(x)[0]}

    cases = {
        "one layer, two features more": case(2),
        "two directions": case(2, bidirectional=True),
        "two layers, two directions": case(5, num_layers=2, bidirectional=True),
        "no bias, batch_first": case(1, bias=False, batch_first=True),
    }
    hint = (
        "A new layer with the same options, and the old weights in it. Print the shapes of both: the weights that do "
        "not fit have columns that nothing was copied into. What must stand there for a feature not to count?"
    )
    return compare(answer, reference, cases, hint, call=seen)
