"""Checks of the exercises of *Ready for work*."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights

__all__ = [
    "check_calls_to_break_even",
    "check_look_ahead",
    "check_pack_codes",
    "check_state_bytes",
    "check_step_by_step",
]


def check_state_bytes(answer: Callable) -> bool:
    """Check ``state_bytes(layer, batch_size)``: the memory of the state of so many streams, in bytes."""

    def reference(layer: nn.Module, batch_size: int) -> int:
        x = torch.zeros(1, batch_size, layer.input_size, dtype=layer.weight_ih_l0.dtype)
        state = layer(x)[1]
        return sum(part.nbytes for part in (state if isinstance(state, tuple) else (state,)))

    cases = {
        "a GRU with 256 units, one stream": (build_quietly(nn.GRU, 64, 256), 1),
        "a GRU with 16 units, 100 streams": (build_quietly(nn.GRU, 8, 16), 100),
        "three layers": (build_quietly(nn.GRU, 8, 16, 3), 2),
        "an LSTM of two layers": (build_quietly(nn.LSTM, 8, 16, 2), 5),
        "weights in float64": (build_quietly(nn.GRU, 8, 16).double(), 3),
    }
    hint = (
        "A state has one row for each layer and each stream. How many tensors does this kind of layer carry? How many "
        "bytes has one number of its weights?"
    )
    return compare(answer, reference, cases, hint, call=lambda count, *arguments: int(count(*arguments)))


def check_calls_to_break_even(answer: Callable) -> bool:
    """Check ``calls_to_break_even(compile_seconds, before, after)``: how many calls it takes, or infinity."""

    def reference(compile_seconds: float, before: float, after: float) -> float:
        return compile_seconds / (before - after) if after < before else math.inf

    cases = {
        "10 seconds, a call three times as fast": (10.0, 3e-4, 1e-4),
        "a tenth faster": (3.0, 2e-3, 1.8e-3),
        "no faster": (10.0, 1e-4, 1e-4),
        "slower": (10.0, 1e-4, 2e-4),
    }
    hint = "What does one call save? How many such savings make up for the compilation, and what if there is none?"

    def as_number(count: Callable, *arguments: float) -> Any:
        value = float(count(*arguments))
        return "never" if value == math.inf else value

    return compare(answer, reference, cases, hint, call=as_number)


def check_step_by_step(answer: Callable) -> bool:
    """Check ``step_by_step(layer, inputs, lengths)``: the outputs of a layer fed in chunks of these lengths."""

    def reference(layer: nn.Module, inputs: Tensor, lengths: list[int]) -> Tensor:
        return layer(inputs)[0]

    def case(kind: Callable, T: int, lengths: list[int], B: int = 3) -> tuple:
        return with_random_weights(kind, 8, 16), random_numbers(T, B, 8), lengths

    cases = {
        "a GRU, three chunks": case(nn.GRU, 35, [5, 20, 10]),
        "single steps": case(nn.GRU, 12, [1] * 12),
        "an LSTM": case(nn.LSTM, 35, [34, 1]),
        "one chunk": case(nn.RNN, 35, [35]),
    }
    hint = (
        "What goes into the second chunk's call besides its inputs? An LSTM carries a pair, and it can be handed on as "
        "it came."
    )
    return compare(answer, reference, cases, hint)


def check_pack_codes(answer: Callable) -> bool:
    """Check ``pack_codes(codes)`` and ``unpack_codes(packed, columns)``, given as a pair: two codes to the byte."""

    def there_and_back(functions: Any, codes: Tensor) -> dict:
        pack, unpack = functions
        packed = pack(codes.clone())
        return {"the bytes": packed.nbytes, "the codes": unpack(packed, codes.shape[1]).long()}

    def reference_pack(codes: Tensor) -> Tensor:
        if codes.shape[1] % 2:
            codes = torch.cat([codes, codes.new_zeros(len(codes), 1)], 1)
        low, high = (codes.int() + 8).view(len(codes), -1, 2).unbind(2)
        return (low + 16 * high).to(torch.uint8)

    def reference_unpack(packed: Tensor, columns: int) -> Tensor:
        low, high = packed.int() % 16, packed.int() // 16
        return (torch.stack([low, high], 2).flatten(1) - 8)[:, :columns].to(torch.int8)

    class Pair(tuple):
        """A pair that can be handed to compare, which wants something to call."""

        def __call__(self) -> None:
            """Never called."""

    def case(rows: int, columns: int) -> tuple[Tensor]:
        return ((7 * random_numbers(rows, columns) / 2).round().clamp(-7, 7).to(torch.int8),)

    cases = {
        "4 rows of 6 codes": case(4, 6),
        "an odd number of columns, every code": (torch.arange(-7, 8, dtype=torch.int8).view(3, 5),),
        "one code": case(1, 1),
    }
    hint = (
        "A byte holds 256 values, a code of 4 bits 16 at most. Make the codes positive first. Then one of two makes "
        "the byte's sixteens and the other its ones."
    )
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        print("Give both functions as a pair: check_pack_codes((pack_codes, unpack_codes)).")
        return False
    return compare(Pair(answer), Pair((reference_pack, reference_unpack)), cases, hint, call=there_and_back)


def check_look_ahead(answer: Callable) -> bool:
    """Check ``look_ahead(layer, inputs, steps)``: a bidirectional layer that sees no more than so many steps ahead."""

    def reference(layer: nn.Module, inputs: Tensor, steps: int) -> Tensor:
        T, H = len(inputs), layer.hidden_size
        forward = layer(inputs)[0][..., :H]
        windows = [layer(inputs[t : t + steps + 1])[0][0, :, H:] for t in range(T)]
        return torch.cat([forward, torch.stack(windows)], -1)

    def case(kind: Callable, T: int, steps: int) -> tuple:
        layer = with_random_weights(lambda *sizes: kind(*sizes, bidirectional=True), 8, 16)
        return layer, random_numbers(T, 3, 8), steps

    cases = {
        "4 steps ahead": case(nn.GRU, 20, 4),
        "none ahead": case(nn.GRU, 12, 0),
        "more ahead than there is": case(nn.GRU, 12, 50),
        "an LSTM, 2 steps ahead": case(nn.LSTM, 12, 2),
    }
    hint = (
        "The forward half needs nothing new. The reverse half of step t starts from zeros, `steps` steps after t or at "
        "the end, and walks back to t. Which of its outputs is the one of step t?"
    )
    return compare(answer, reference, cases, hint)
