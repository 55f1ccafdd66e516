"""What holds for every layer, however it is built and called: hypothesis draws 700 cases."""

import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import (
    assert_same,
    cases,
    compute,
    make_input,
    make_state,
    make_twins,
    run,
    with_arguments,
)

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


@settings(max_examples=400)
@given(cases())
def test_a_layer_computes_what_nn_computes(case):
    """Outputs, final states and every gradient, in double precision."""
    theirs, ours = make_twins(case)
    assert_same(compute(ours, case), compute(theirs, case), tolerance=1e-11)


@settings(max_examples=100)
@given(cases(dtype=torch.float32))
def test_it_does_so_in_single_precision(case):
    theirs, ours = make_twins(case)
    assert_same(compute(ours, case), compute(theirs, case), tolerance=1e-5)


@settings(max_examples=100)
@given(cases(shortest=2), st.data())
def test_two_halves_with_the_state_carried_are_the_whole(case, data):
    case = with_arguments(case, bidirectional=False)  # the reverse direction needs the end before the beginning
    cut = data.draw(st.integers(1, min(case.lengths) - 1), "cut")
    first = replace(case, lengths=(cut,) * len(case.lengths))
    second = replace(case, lengths=tuple(length - cut for length in case.lengths))
    _, layer = make_twins(case)
    x, initial = make_input(case), make_state(case)
    time = 1 if case.batch_first and case.form != "2-D" else 0
    whole, final = run(layer, case, x, initial)
    first_half, carried = run(layer, first, x.narrow(time, 0, cut), initial)
    second_half, final_of_halves = run(layer, second, x.narrow(time, cut, x.shape[time] - cut), carried)
    torch.testing.assert_close(torch.cat([first_half, second_half], time), whole)
    torch.testing.assert_close(final_of_halves, final)


@settings(max_examples=100)
@given(cases(forms=("3-D", "packed")))
def test_a_batch_is_computed_as_if_each_sequence_were_alone(case):
    case = with_arguments(case, batch_first=True)
    _, layer = make_twins(case)
    x, initial = make_input(case), make_state(case)
    outputs, final = run(layer, case, x, initial)
    for number, length in enumerate(case.lengths):
        alone = replace(case, form="2-D", lengths=(length,))
        output, state = run(layer, alone, x[number, :length], tuple(part[:, number] for part in initial))
        torch.testing.assert_close(outputs[number, :length], output)
        torch.testing.assert_close(tuple(part[:, number] for part in final), state)


def test_there_are_at_least_300_cases():
    drawn = [test for test in vars(sys.modules[__name__]).values() if hasattr(test, "hypothesis")]
    assert sum(test._hypothesis_internal_use_settings.max_examples for test in drawn) >= 300
