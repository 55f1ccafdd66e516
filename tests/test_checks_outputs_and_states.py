"""The checks of *Outputs and states* pass right answers, and say what is wrong with typical wrong ones."""

import re

import pytest
import torch
from torch import nn

from companion.checks import outputs_and_states
from companion.states import last_valid
from tests.solutions import BOOK, exercises

# Right answers, each in another way than the check's own


def run_torch(row):
    """The shapes that torch itself gives for a row of the table."""
    layer = getattr(nn, row.kind)(*row.sizes, **row.options)
    output, state = layer(torch.zeros(row.input_shape))
    return [tuple(part.shape) for part in (output, *(state if row.kind == "LSTM" else (state,)))]


@pytest.fixture
def table():
    return {letter: run_torch(row) for letter, row in outputs_and_states.TABLE.items()}


def arguments_from_shapes(input, output, h_n, c_n):
    directions = 1 if output[-1] == h_n[-1] else 2
    return {
        "proj_size": h_n[-1] % c_n[-1],
        "bidirectional": directions == 2,
        "num_layers": c_n[0] // directions,
        "hidden_size": c_n[-1],
        "input_size": input[-1],
    }


def both_ends(output, lengths):
    forward, reverse = output.chunk(2, -1)
    return torch.cat([last_valid(forward, lengths), reverse[0]], 1)


def keep_sequences(state, kept):
    return state.index_select(1, kept) if torch.is_tensor(state) else [part.index_select(1, kept) for part in state]


def join_states(parts):
    rows = []
    for forward, reverse in parts:
        rows += [forward] if reverse is None else [forward, reverse]
    if torch.is_tensor(rows[0]):
        return torch.stack(rows)
    return torch.stack([h for h, _ in rows]), torch.stack([c for _, c in rows])


RIGHT = {
    "arguments_from_shapes": arguments_from_shapes,
    "both_ends": both_ends,
    "join_states": join_states,
    "keep_sequences": keep_sequences,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(outputs_and_states, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(["check_table", *(f"check_{name}" for name in RIGHT)]) == sorted(outputs_and_states.__all__)
    assert {name for name, *_ in WRONG} == set(RIGHT)


# The table


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_what_torch_gives_passes(table, capsys):
    assert len(table) == 8
    assert outputs_and_states.check_table(table) is True
    assert outputs_and_states.check_table({letter: tuple(map(list, row)) for letter, row in table.items()}) is True
    assert capsys.readouterr().out == 2 * "Right, all 8 rows.\n"


def test_the_chapter_shows_the_rows_that_are_checked():
    texts = dict(exercises(BOOK / "parameters" / "outputs-and-states.ipynb"))
    shown = re.findall(r"^\| (\w) \| `(.+?)` \| `nn\.(.+?)` \|$", texts["ex-outputs-table"], re.MULTILINE)
    rows = {}
    for letter, row in outputs_and_states.TABLE.items():
        options = [f"{name}={value}" for name, value in row.options.items()]
        rows[letter] = (f"{row.kind}({', '.join([*map(str, row.sizes), *options])})", str(row.input_shape))
    assert {letter: (layer, shape) for letter, shape, layer in shown} == rows


WRONG_ENTRIES = [
    ("c", [(5, 7, 4), (5, 1, 4)], "Row c: look again at h_n.", "Which switches"),
    ("a", [(7, 5, 3), (1, 5, 4)], "Row a: look again at output.", "what is in it"),
    ("d", [(9, 1, 2), (3, 1, 2)], "Row d: look again at output and h_n.", "what is in it"),
    ("d", [(9, 1, 4), (6, 2)], "Row d: look again at h_n.", "Which switches"),
    ("f", [(5, 7, 2), (1, 5, 2), (1, 5, 2)], "Row f: look again at c_n.", "narrower"),
    ("e", [(5, 7, 8), (2, 5, 4)], "Row e: 2 shapes, but is that how many tensors nn.LSTM gives back?", "tuples"),
    ("b", [(7, 5, 4), 2], "Row b: it should be a list of shapes.", "tuples"),
    ("b", "(7, 5, 4)", "Row b: it should be a list of shapes.", "tuples"),
]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("letter, entries, words, hint", WRONG_ENTRIES)
def test_the_wrong_row_is_named_and_no_size_of_it_is(letter, entries, words, hint, table, capsys):
    right = table[letter]
    assert outputs_and_states.check_table(table | {letter: entries}) is False
    first, row, hinted = capsys.readouterr().out.splitlines()
    assert first == "Not yet. 7 of 8 rows are right."
    assert row == words
    assert hinted.startswith("Hint: ") and hint in hinted
    assert not any(str(shape) in row + hinted for shape in right)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_every_wrong_row_is_named(table, capsys):
    del table["h"]
    assert outputs_and_states.check_table(table | {"a": [(7, 5, 3), (1, 5, 4)], "g": [(7, 8), (4, 1, 4)]}) is False
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "Not yet. 5 of 8 rows are right.",
        "Row a: look again at output.",
        "Row g: look again at h_n.",
        "Row h: nothing there yet.",
    ]


@pytest.mark.parametrize("answer", [None, [], lambda: {}])
def test_what_is_no_table_is_refused(answer, capsys):
    assert outputs_and_states.check_table(answer) is False
    assert "Give a dict with the letters a, b, c, d, e, f, g, h" in capsys.readouterr().out


def test_an_empty_table_has_no_right_row(capsys):
    assert outputs_and_states.check_table({}) is False
    assert capsys.readouterr().out.startswith("Not yet. 0 of 8 rows are right.")


# Wrong answers, as people give them


def without(name):
    """All arguments but one, which is as it would be in a plain layer."""
    return lambda *four: arguments_from_shapes(*four) | {name: {"num_layers": four[2][0]}.get(name, 0)}


def layers_from_rows(input, output, h_n, c_n):
    return arguments_from_shapes(input, output, h_n, c_n) | {"num_layers": h_n[0]}


def width_of_output(input, output, h_n, c_n):
    return arguments_from_shapes(input, output, h_n, c_n) | {"hidden_size": output[-1]}


def two_if_wider_than_the_cell(input, output, h_n, c_n):
    return arguments_from_shapes(input, output, h_n, c_n) | {"bidirectional": output[-1] > c_n[-1]}


def first_of_pair(state, kept):
    return state[:, kept] if torch.is_tensor(state) else state[0][:, kept]


def tensors_only(state, kept):
    return state[:, kept]


def as_one_tensor(state, kept):
    return state[:, kept] if torch.is_tensor(state) else torch.cat(state, -1)[:, kept]


def directions_first(parts):
    rows = [part.forward for part in parts] + [part.reverse for part in parts if part.reverse is not None]
    return torch.stack(rows) if torch.is_tensor(rows[0]) else tuple(map(torch.stack, zip(*rows, strict=True)))


def forward_only(parts):
    rows = [part.forward for part in parts]
    return torch.stack(rows) if torch.is_tensor(rows[0]) else tuple(map(torch.stack, zip(*rows, strict=True)))


def both_always(parts):
    return torch.stack([state for part in parts for state in part])


def no_pairs(parts):
    return torch.stack([state for part in parts for state in part if state is not None])


def side_by_side(parts):
    return torch.cat([state for part in parts for state in part if state is not None])


WRONG = [
    ("arguments_from_shapes", layers_from_rows, "one layer, two directions", "num_layers: got 2"),
    ("arguments_from_shapes", width_of_output, "one layer, two directions", "hidden_size: got 10"),
    ("arguments_from_shapes", without("bidirectional"), "one layer, two directions", "bidirectional: got 0"),
    ("arguments_from_shapes", without("proj_size"), "one direction with a projection", "proj_size: got 0"),
    (
        "arguments_from_shapes",
        two_if_wider_than_the_cell,
        "two directions whose projections add up to hidden_size",
        "bidirectional: got False",
    ),
    ("arguments_from_shapes", lambda *four: four, "one layer, one direction", "it should return a dict"),
    ("arguments_from_shapes", lambda *four: {}, "one layer, one direction", "input_size: got None"),
    ("both_ends", lambda output, lengths: output[-1], "lengths all 4", "numbers are off"),
    ("both_ends", last_valid, "lengths all 4", "numbers are off"),
    (
        "both_ends",
        lambda output, lengths: torch.cat([output[-1].chunk(2, -1)[0], output[0].chunk(2, -1)[1]], -1),
        "lengths 5, 2 and 3",
        "numbers are off",
    ),
    (
        "both_ends",
        lambda output, lengths: torch.cat([output[0].chunk(2, -1)[1], last_valid(output, lengths).chunk(2, -1)[0]], -1),
        "lengths all 4",
        "numbers are off",
    ),
    ("both_ends", lambda output, lengths: both_ends(output, lengths)[:, :3], "lengths all 4", "got (3, 3)"),
    ("keep_sequences", lambda state, kept: state[kept], "the state of a GRU", "raised IndexError"),
    ("keep_sequences", lambda state, kept: state[:, : len(kept)], "the state of a GRU", "numbers are off"),
    ("keep_sequences", lambda state, kept: state[:, kept].squeeze(1), "one sequence left", "got (2, 4)"),
    ("keep_sequences", lambda state, kept: state[:, kept.sort()[0]], "another order", "numbers are off"),
    ("keep_sequences", tensors_only, "the pair of an LSTM", "raised TypeError"),
    ("keep_sequences", first_of_pair, "the pair of an LSTM", "got a Tensor"),
    ("keep_sequences", as_one_tensor, "the pair of an LSTM", "got a Tensor"),
    ("join_states", directions_first, "a GRU of two layers and two directions", "numbers are off"),
    ("join_states", forward_only, "a GRU of two layers and two directions", "shape (4, 3, 4), got (2, 3, 4)"),
    ("join_states", both_always, "a GRU of one layer", "raised TypeError"),
    ("join_states", no_pairs, "an LSTM of two layers", "raised TypeError"),
    ("join_states", side_by_side, "a GRU of one layer", "shape (1, 3, 4), got (3, 4)"),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "arguments_from_shapes": ["//", "c_n[-1]", "output[-1]"],
    "both_ends": ["lengths - 1", "last_valid", "output[0"],
    "keep_sequences": ["[:, kept]", "second", "axis 1"],
    "join_states": ["zip", "torch.stack"],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(outputs_and_states, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}:"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []
