"""The checks of *Forecasting* pass right answers and say what is wrong with wrong ones."""

import math

import pytest
import torch

from companion.checks import forecasting

# Right answers, each in another way than the check's own


def count_windows(length, history, horizon, stride):
    return max(0, (length - history - horizon) // stride + 1)


def scaled_error(forecast, targets, train, period):
    return float((forecast - targets).abs().mean() / (train[period:] - train[:-period]).abs().mean())


def fill_from_the_past(series, period):
    filled = series.clone()
    for step in range(period, len(series)):
        filled[step] = filled[step - period] if series[step].isnan() else series[step]
    return filled


def interval_score(lower, upper, targets, level):
    below, above = targets < lower, targets > upper
    missed = below * (lower - targets) + above * (targets - upper)
    return (upper - lower).mean() + 2 / (1 - level) * missed.mean()


def conformal_quantiles(lower, upper, targets, level):
    outside = torch.maximum(lower - targets, targets - upper)
    rank = math.ceil(round((outside.shape[1] + 1) * level, 9))
    return outside.sort(dim=1).values[:, rank - 1]


RIGHT = {
    "count_windows": count_windows,
    "scaled_error": scaled_error,
    "fill_from_the_past": fill_from_the_past,
    "interval_score": interval_score,
    "conformal_quantiles": conformal_quantiles,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(forecasting, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(forecasting.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(forecasting.__all__)


# Wrong answers, as people give them


def fill_in_place(series, period):
    for step in range(period, len(series)):
        if series[step].isnan():
            series[step] = series[step - period]
    return series


def fill_all_at_once(series, period):
    shifted = torch.cat([series[:period], series[:-period]])
    return torch.where(series.isnan(), shifted, series)


def fill_with_the_next(series, period):
    filled = series.clone()
    for step in reversed(range(len(series) - 1)):
        filled[step] = filled[step + 1] if filled[step].isnan() else filled[step]
    return filled


def score_without_width(lower, upper, targets, level):
    return interval_score(lower, upper, targets, level) - (upper - lower).mean()


def score_of_one_end(lower, upper, targets, level):
    return (upper - lower + 2 / (1 - level) * (targets - upper).clamp(min=0)).mean()


def score_with_the_level(lower, upper, targets, level):
    return interval_score(lower, upper, targets, 1 - level)


def never_moves_in(lower, upper, targets, level):
    return conformal_quantiles(lower, upper, targets, level).clamp(min=0)


def plain_rank(lower, upper, targets, level):
    outside = torch.maximum(lower - targets, targets - upper)
    return outside.quantile(level, dim=1)


WRONG = [
    ("count_windows", lambda n, a, b, s: n - a - b, "a series that is one", "got 0"),
    ("count_windows", lambda n, a, b, s: (n - a - b) // s + 1, "a series much too short", "got -8"),
    ("count_windows", lambda n, a, b, s: max(0, -(-(n - a - b) // s) + 1), "a stride of 4 that does not fit", "got 3"),
    ("scaled_error", lambda f, y, train, period: float((f - y).abs().mean()), "random numbers", "numbers are off"),
    (
        "scaled_error",
        lambda f, y, train, period: float((f - y).abs().mean() / train.diff().abs().mean()),
        "random numbers",
        "numbers are off",
    ),
    ("scaled_error", lambda f, y, train, period: "1", "a forecast that is right", "a number, got a str"),
    ("fill_from_the_past", fill_in_place, "one gap", "gaps in the series given"),
    ("fill_from_the_past", fill_all_at_once, "two gaps a period apart", "by up to nan"),
    ("fill_from_the_past", fill_with_the_next, "one gap", "numbers are off"),
    ("interval_score", score_without_width, "every target inside", "numbers are off"),
    ("interval_score", score_of_one_end, "every target below", "numbers are off"),
    ("interval_score", score_with_the_level, "every target below", "numbers are off"),
    ("conformal_quantiles", never_moves_in, "intervals that are too wide", "numbers are off"),
    ("conformal_quantiles", plain_rank, "intervals of no width", "numbers are off"),
    ("conformal_quantiles", lambda *arguments: conformal_quantiles(*arguments).max(), "intervals of", "shape (3,)"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(forecasting, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
