"""Checks of the exercises of *Outputs and states*."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from companion.anatomy import shapes
from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers
from companion.layers import GRU, LSTM
from companion.states import split_states

__all__ = [
    "check_arguments_from_shapes",
    "check_both_ends",
    "check_join_states",
    "check_keep_sequences",
    "check_table",
]


class Row(NamedTuple):
    """A row of the table that the reader fills in: a layer, and the shape of its input."""

    kind: str
    sizes: tuple[int, int]
    options: dict[str, Any]
    input_shape: tuple[int, ...]


TABLE = {
    "a": Row("RNN", (3, 4), {}, (7, 5, 3)),
    "b": Row("GRU", (3, 4), {"num_layers": 2}, (7, 5, 3)),
    "c": Row("GRU", (3, 4), {"batch_first": True}, (5, 7, 3)),
    "d": Row("RNN", (6, 2), {"num_layers": 3, "bidirectional": True}, (9, 1, 6)),
    "e": Row("LSTM", (3, 4), {"batch_first": True, "bidirectional": True}, (5, 7, 3)),
    "f": Row("LSTM", (3, 8), {"batch_first": True, "proj_size": 2}, (5, 7, 3)),
    "g": Row("GRU", (3, 4), {"num_layers": 2, "bidirectional": True}, (7, 3)),
    "h": Row("LSTM", (3, 8), {"num_layers": 2, "bidirectional": True, "proj_size": 3}, (7, 5, 3)),
}
HINTS = {
    "output": "The output has the axes of the input, in the same order. Only the last size differs: what is in it?",
    "h_n": "Of h_n, ask for each axis what it counts. Which switches of the layer have no say in that?",
    "c_n": "The cell has as many rows as h_n. Which of the two states does a projection make narrower?",
}


def expected_shapes(row: Row) -> dict[str, tuple]:
    """The right entries of a row, by the name of the tensor."""
    found = shapes(row.kind, *row.sizes, input_shape=row.input_shape, **row.options)
    return {"output": found.output, **found.states}


def check_table(answer: Mapping) -> bool:
    """Check a filled-in table: for each letter the shapes of the output and of the states, in their order."""
    if not isinstance(answer, Mapping):
        print(f"Give a dict with the letters {', '.join(TABLE)}, got a {type(answer).__name__}.")
        return False
    faults = {letter: fault for letter, row in TABLE.items() if (fault := _row_fault(answer.get(letter), row))}
    if not faults:
        print(f"Right, all {len(TABLE)} rows.")
        return True
    print(f"Not yet. {len(TABLE) - len(faults)} of {len(TABLE)} rows are right.")
    for letter, (words, _) in faults.items():
        print(f"Row {letter}: {words}")
    hints = dict.fromkeys(HINTS[name] for _, name in faults.values() if name)
    print("Hint:", next(iter(hints), "Write shapes as tuples: the output's first, then those of the states."))
    return False


def _row_fault(entries: Any, row: Row) -> tuple[str, str] | None:
    """What is wrong with a row, and the first tensor that has the wrong shape ("" if it is not about a shape)."""
    expected = expected_shapes(row)
    if entries is None:
        return "nothing there yet.", ""
    if not isinstance(entries, tuple | list) or not all(isinstance(shape, tuple | list) for shape in entries):
        return "it should be a list of shapes.", ""
    if len(entries) != len(expected):
        return f"{len(entries)} shapes, but is that how many tensors nn.{row.kind} gives back?", ""
    pairs = zip(expected, expected.values(), entries, strict=True)
    wrong = [name for name, right, shape in pairs if tuple(shape) != tuple(right)]
    return (f"look again at {' and '.join(wrong)}.", wrong[0]) if wrong else None


ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bidirectional", "proj_size")


def check_arguments_from_shapes(answer: Callable) -> bool:
    """Check ``arguments_from_shapes(input, output, h_n, c_n)``: an LSTM's arguments from four shapes, as a dict."""

    def reference(input: tuple, output: tuple, h_n: tuple, c_n: tuple) -> dict[str, Any]:
        directions = output[-1] // h_n[-1]
        projected = h_n[-1] if h_n[-1] < c_n[-1] else 0
        values = (input[-1], c_n[-1], h_n[0] // directions, directions == 2, projected)
        return dict(zip(ARGUMENTS, values, strict=True))

    def call(find: Callable, *settings: Any) -> dict[str, Any]:
        input_size, hidden_size, options = settings
        found = shapes("LSTM", input_size, hidden_size, input_shape=(7, 4, input_size), **options)
        arguments = find(found.input, found.output, *found.states.values())
        if not isinstance(arguments, Mapping):
            raise TypeError(f"it should return a dict, not a {type(arguments).__name__}")
        return {name: arguments.get(name) for name in ARGUMENTS}

    cases = {
        "one layer, one direction": (3, 5, {}),
        "two layers": (3, 5, {"num_layers": 2}),
        "one layer, two directions": (3, 5, {"bidirectional": True}),
        "three layers, two directions": (5, 5, {"num_layers": 3, "bidirectional": True}),
        "one direction with a projection": (3, 6, {"num_layers": 2, "proj_size": 3}),
        "two directions whose projections add up to hidden_size": (3, 6, {"bidirectional": True, "proj_size": 3}),
    }
    hint = (
        "Two of the sizes stand in a shape as they are: find those first. How wide is one direction? Compare that with "
        "the output, and only then count layers."
    )
    return compare(answer, reference, cases, hint, call=call)


def check_both_ends(answer: Callable) -> bool:
    """Check ``both_ends(output, lengths)``: the final states of both directions side by side, shape (B, 2 * H)."""

    def reference(output: Tensor, lengths: Tensor) -> Tensor:
        H = output.shape[-1] // 2
        ends = [torch.cat([output[n - 1, b, :H], output[0, b, H:]]) for b, n in enumerate(lengths.tolist())]
        return torch.stack(ends)

    def case(*lengths: int, num_steps: int = 0, features: int = 6) -> tuple[Tensor, Tensor]:
        return random_numbers(num_steps or max(lengths), len(lengths), features), torch.tensor(lengths)

    cases = {
        "lengths all 4": case(4, 4, 4),
        "lengths 5, 2 and 3": case(5, 2, 3),
        "a sequence of one step": case(4, 1),
        "a batch of one": case(5),
        "a block longer than its longest sequence": case(3, 2, num_steps=6),
        "as many sequences as steps and features": case(1, 4, 2, 3, features=4),
    }
    hint = (
        "Draw one sequence and both arrows. At which step does each of them stop, and which half of the features "
        "is it?"
    )
    return compare(answer, reference, cases, hint)


def check_keep_sequences(answer: Callable) -> bool:
    """Check ``keep_sequences(state, kept)``: the states of some sequences of a batch, of a tensor or of a pair."""

    def reference(state: Any, kept: Tensor) -> Any:
        if isinstance(state, Tensor):
            return torch.stack([state[:, number] for number in kept], 1)
        return tuple(reference(part, kept) for part in state)

    cases = {
        "the state of a GRU": (random_numbers(2, 5, 4), torch.tensor([0, 3])),
        "one sequence left": (random_numbers(2, 5, 4), torch.tensor([4])),
        "another order": (random_numbers(1, 3, 4), torch.tensor([2, 0, 1])),
        "as many rows as sequences": (random_numbers(4, 4, 4), torch.tensor([1, 3])),
        "the pair of an LSTM": (tuple(random_numbers(2, 5, 4, seed=seed) for seed in (0, 1)), torch.tensor([0, 2])),
        "a pair with a projection": ((random_numbers(2, 5, 3), random_numbers(2, 5, 4)), torch.tensor([1, 2])),
    }
    hint = "Which axis of a state counts the sequences, with batch_first and without? And an LSTM has how many states?"
    return compare(answer, reference, cases, hint)


def check_join_states(answer: Callable) -> bool:
    """Check ``join_states(parts)``: what ``split_states`` took apart, as the layer wants it."""

    def reference(parts: tuple) -> Any:
        rows = [state for directions in parts for state in directions if state is not None]
        if isinstance(rows[0], Tensor):
            return torch.stack(rows)
        return tuple(torch.stack(part) for part in zip(*rows, strict=True))

    def case(kind: type, num_layers: int, batch: tuple[int, ...] = (3,), **options: Any) -> tuple:
        layer = build_quietly(lambda: kind(3, 4, num_layers, **options))
        count = num_layers * (2 if layer.bidirectional else 1)
        parts = [random_numbers(count, *batch, size, seed=number) for number, size in enumerate(layer.state_sizes)]
        return (split_states(tuple(parts) if kind is LSTM else parts[0], layer),)

    cases = {
        "a GRU of one layer": case(GRU, 1),
        "a GRU of three layers": case(GRU, 3),
        "a GRU of two layers and two directions": case(GRU, 2, bidirectional=True),
        "an LSTM of two layers": case(LSTM, 2),
        "an LSTM of two directions, with a projection": case(LSTM, 2, bidirectional=True, proj_size=2),
        "an LSTM without a batch": case(LSTM, 2, batch=(), bidirectional=True),
    }
    hint = (
        "First make one flat list, in the order of the rows; a layer that reads one way has None for the other. "
        "Are its members tensors? If they are pairs, what has to be stacked with what?"
    )
    return compare(answer, reference, cases, hint)
