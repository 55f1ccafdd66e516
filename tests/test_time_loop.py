"""The loops over time, with steps whose result can be read off, and with the recurrent ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence

from companion import gru_step, lstm_step, rnn_step
from companion.time_loop import over_packed_time, over_time
from tests import strategies  # noqa: F401  loads the settings of hypothesis


def remember(x, state):
    """The state is all inputs so far, as the digits of a number, and how many they were."""
    digits, count = state
    return digits * 10 + x, count + 1


def numbers(*values):
    return torch.tensor(values)


@pytest.mark.parametrize(
    "reverse, outputs, final", [(False, [71, 712, 7123], 7123), (True, [7321, 732, 73], 7321)], ids=["on", "back"]
)
def test_over_time(reverse, outputs, final):
    got, state = over_time(remember, numbers(1, 2, 3).unbind(0), (numbers(7)[0], 0), reverse)
    assert [int(output) for output in got] == outputs
    assert (int(state[0]), state[1]) == (final, 3)


@pytest.mark.parametrize(
    "reverse, outputs, finals",
    [
        (False, [[71, 84, 96], [712, 845], [7123]], [7123, 845, 96]),
        (True, [[7321, 854, 96], [732, 85], [73]], [7321, 854, 96]),
    ],
    ids=["on", "back"],
)
def test_over_packed_time(reverse, outputs, finals):
    """Three sequences, 1 2 3 and 4 5 and 6, which begin with 7, 8 and 9 as their states."""
    inputs = [numbers(1, 4, 6), numbers(2, 5), numbers(3)]
    got, state = over_packed_time(remember, inputs, (numbers(7, 8, 9), numbers(0, 0, 0)), reverse)
    assert [output.tolist() for output in got] == outputs
    assert state[0].tolist() == finals
    assert state[1].tolist() == [3, 2, 1]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans())
def test_packed_time_is_time_for_each_sequence(lengths, reverse):
    lengths = sorted(lengths, reverse=True)
    x = torch.arange(1, max(lengths) * len(lengths) + 1).view(-1, len(lengths)) % 7 + 1  # (T, B)
    packed = pack_padded_sequence(x, torch.tensor(lengths))
    inputs = packed.data.split(packed.batch_sizes.tolist())
    initial = (torch.arange(1, len(lengths) + 1), torch.zeros(len(lengths), dtype=torch.long))
    outputs, final = over_packed_time(remember, inputs, initial, reverse)
    for number, length in enumerate(lengths):
        alone = tuple(part[number] for part in initial)
        expected, state = over_time(remember, x[:length, number].unbind(0), alone, reverse)
        assert [output[number] for output in outputs[:length]] == expected
        assert tuple(part[number] for part in final) == state


def test_inputs_and_state_are_left_as_they_were():
    inputs, state = [numbers(1, 4), numbers(2)], (numbers(7, 8), numbers(0, 0))
    over_packed_time(remember, inputs, state)
    over_packed_time(remember, inputs, state, reverse=True)
    assert [x.tolist() for x in inputs] == [[1, 4], [2]]
    assert [part.tolist() for part in state] == [[7, 8], [0, 0]]


STEPS = {
    "rnn_step": (1, lambda x, state, weight: (rnn_step(x, *state, weight),)),
    "gru_step": (3, lambda x, state, weight: (gru_step(x, *state, weight),)),
    "lstm_step": (4, lstm_step),
}


@pytest.mark.parametrize("blocks, step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("cut", [1, 6, 11])
def test_two_halves_with_the_state_carried_are_the_whole(blocks, step, cut):
    torch.manual_seed(0)
    weight, inputs = torch.randn(blocks * 4, 4), torch.randn(12, 3, blocks * 4).unbind(0)
    initial = tuple(torch.randn(3, 4) for _ in range(2 if blocks == 4 else 1))

    def one(x, state):
        return step(x, state, weight)

    whole, final = over_time(one, inputs, initial)
    first, carried = over_time(one, inputs[:cut], initial)
    second, final_of_halves = over_time(one, inputs[cut:], carried)
    torch.testing.assert_close([*first, *second], whole, rtol=0, atol=0)
    torch.testing.assert_close(final_of_halves, final, rtol=0, atol=0)
