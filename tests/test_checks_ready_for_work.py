"""The checks of *Ready for work* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch
from torch import nn

from companion.checks import ready_for_work

# Right answers, each in another way than the check's own


def state_bytes(layer, batch_size):
    parts = 2 if isinstance(layer, nn.LSTM) else 1
    return parts * layer.num_layers * batch_size * layer.hidden_size * layer.weight_ih_l0.element_size()


def calls_to_break_even(compile_seconds, before, after):
    saved = before - after
    return compile_seconds / saved if saved > 0 else math.inf


def step_by_step(layer, inputs, lengths):
    state, outputs = None, []
    for chunk in inputs.split(lengths):
        output, state = layer(chunk, state)
        outputs.append(output)
    return torch.cat(outputs)


def pack_codes(codes):
    even = nn.functional.pad(codes, (0, codes.shape[1] % 2))
    positive = (even + 8).to(torch.uint8)
    return positive[:, ::2] | (positive[:, 1::2] << 4)


def unpack_codes(packed, columns):
    pairs = torch.stack([packed & 15, packed >> 4], -1)
    return (pairs.flatten(1).to(torch.int8) - 8)[:, :columns]


def look_ahead(layer, inputs, steps):
    H, outputs = layer.hidden_size, []
    forward, _ = layer(inputs)
    for t in range(len(inputs)):
        window, _ = layer(inputs[t : t + steps + 1])
        outputs.append(torch.cat([forward[t, :, :H], window[0, :, H:]], -1))
    return torch.stack(outputs)


RIGHT = {
    "state_bytes": state_bytes,
    "calls_to_break_even": calls_to_break_even,
    "step_by_step": step_by_step,
    "pack_codes": (pack_codes, unpack_codes),
    "look_ahead": look_ahead,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    assert getattr(ready_for_work, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right, on all")


@pytest.mark.parametrize("name", RIGHT)
def test_a_check_draws_nothing_from_the_readers_random_numbers(name, capsys):
    before = torch.get_rng_state()
    getattr(ready_for_work, f"check_{name}")(RIGHT[name])
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(ready_for_work.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(ready_for_work.__all__)


# Wrong answers, as people give them


def state_forgotten(layer, inputs, lengths):
    return torch.cat([layer(chunk)[0] for chunk in inputs.split(lengths)])


def only_h(layer, inputs, lengths):
    state, outputs = None, []
    for chunk in inputs.split(lengths):
        output, state = layer(chunk, state)
        state = state[0] if isinstance(state, tuple) else state
        outputs.append(output)
    return torch.cat(outputs)


def signs_lost(packed, columns):
    return unpack_codes(packed, columns).abs()


def last_of_the_window(layer, inputs, steps):
    H, outputs = layer.hidden_size, []
    forward, _ = layer(inputs)
    for t in range(len(inputs)):
        window, _ = layer(inputs[t : t + steps + 1])
        outputs.append(torch.cat([forward[t, :, :H], window[-1, :, H:]], -1))
    return torch.stack(outputs)


def never_none(compile_seconds, before, after):
    return compile_seconds / (before - after)


WRONG = [
    ("state_bytes", lambda layer, B: 4 * B * layer.hidden_size, "three layers", "got 128"),
    ("state_bytes", lambda layer, B: 4 * B * layer.num_layers * layer.hidden_size, "an LSTM of two layers", "not it"),
    ("state_bytes", lambda layer, B: state_bytes(layer.float(), B), "weights in float64", "not it"),
    ("calls_to_break_even", lambda seconds, before, after: seconds / after, "10 seconds, a call", "off"),
    ("calls_to_break_even", never_none, "no faster", "ZeroDivisionError"),
    ("calls_to_break_even", lambda *numbers: abs(never_none(*numbers)) if numbers[1] != numbers[2] else math.inf,
     "slower", "not it"),
    ("step_by_step", state_forgotten, "a GRU, three chunks", "numbers are off"),
    ("step_by_step", only_h, "an LSTM", "raised"),
    ("pack_codes", (lambda codes: codes, lambda packed, columns: packed), "4 rows of 6 codes", "the bytes: "),
    ("pack_codes", (pack_codes, signs_lost), "4 rows of 6 codes", "the codes: "),
    ("pack_codes", (lambda codes: pack_codes(codes[:, : len(codes[0]) // 2 * 2]), unpack_codes),
     "an odd number of columns", "the bytes: "),
    ("look_ahead", lambda layer, inputs, steps: layer(inputs)[0], "4 steps ahead", "numbers are off"),
    ("look_ahead", last_of_the_window, "4 steps ahead", "numbers are off"),
]

# What would be an answer, and so must never be printed
SECRETS = ["num_layers *", "before - after", "math.inf", "<< 4", "& 15", "window[0]", "state_forgotten"]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(ready_for_work, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS if secret in hint] == []


def test_a_single_function_is_no_pair(capsys):
    assert ready_for_work.check_pack_codes(pack_codes) is False
    assert "as a pair" in capsys.readouterr().out
