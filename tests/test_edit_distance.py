"""The edit distance: against a definition by recursion, its laws, the pairs it gives, and rates."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.edit_distance import edit_distance, edit_steps, error_rate
from tests import strategies  # noqa: F401  loads the settings of hypothesis

words = st.text("abc", max_size=6)


@cache
def by_definition(guess, truth):
    if not guess or not truth:
        return len(guess) + len(truth)
    return min(
        by_definition(guess[1:], truth) + 1,
        by_definition(guess, truth[1:]) + 1,
        by_definition(guess[1:], truth[1:]) + (guess[0] != truth[0]),
    )


@given(words, words)
def test_the_distance_is_the_fewest_changes(guess, truth):
    assert edit_distance(guess, truth) == by_definition(guess, truth) == edit_distance(list(guess), list(truth))


@given(words, words, words)
def test_it_is_a_distance(a, b, c):
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


@given(words, words)
def test_the_steps_spell_both_and_cost_the_distance(guess, truth):
    steps = edit_steps(guess, truth)
    assert "".join(found for found, _ in steps if found is not None) == guess
    assert "".join(right for _, right in steps if right is not None) == truth
    assert sum(found != right for found, right in steps) == edit_distance(guess, truth)


@pytest.mark.parametrize(
    "guess, truth, rate", [([""], ["abcd"], 1), (["abab"], ["ab"], 1), (["ab", "c"], ["ab", "d"], 1 / 3)]
)
def test_rates(guess, truth, rate):
    assert error_rate(guess, truth) == pytest.approx(rate)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="truths should hold at least one element"):
        error_rate(["a"], [""])
    with pytest.raises(ValueError, match="guesses should be one for each of 2 truths, got 1"):
        error_rate(["a"], ["a", "b"])
