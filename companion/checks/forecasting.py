"""Checks of the exercises of *Forecasting*."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from companion.checks.compare import compare
from companion.forecasting import windows

__all__ = [
    "check_conformal_quantiles",
    "check_count_windows",
    "check_fill_from_the_past",
    "check_interval_score",
    "check_scaled_error",
]


def _random(*shape: int) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def check_count_windows(answer: Callable) -> bool:
    """Check ``count_windows(length, history, horizon, stride)``: how many windows a series gives."""

    def reference(length: int, history: int, horizon: int, stride: int) -> int:
        if length < history + horizon:
            return 0
        return windows(torch.zeros(length), history, horizon, stride)[0].shape[1]

    cases = {
        "a series that is one window": (35, 24, 11, 1),
        "one step more": (36, 24, 11, 1),
        "a stride of 4 that fits": (43, 24, 11, 4),
        "a stride of 4 that does not fit": (42, 24, 11, 4),
        "a series too short for a window": (34, 24, 11, 1),
        "a series much too short, and a stride": (10, 24, 11, 3),
    }
    hint = "How many places are there for a window to begin? A stride of s takes every s-th, the first one too."
    return compare(answer, reference, cases, hint)


def check_scaled_error(answer: Callable) -> bool:
    """Check ``scaled_error(forecast, targets, train, period)``: the error in units of the seasonal naive one."""

    def reference(forecast: Tensor, targets: Tensor, train: Tensor, period: int) -> float:
        unit = sum(abs(train[step] - train[step - period]) for step in range(period, len(train)))
        return float((forecast - targets).abs().mean() / (unit / (len(train) - period)))

    cases = {
        "a forecast that is right": (torch.ones(3, 2), torch.ones(3, 2), _random(20), 4),
        "random numbers, period 4": (_random(3, 2), _random(2, 3).T, _random(20), 4),
        "a period of 1": (_random(5, 2), _random(2, 5).T, _random(30), 1),
        "a training part of two periods and a bit": (_random(4, 6), _random(6, 4).T, _random(25), 12),
    }
    hint = (
        "Below the line stands what the seasonal naive forecast of one period ahead gets wrong in the training part: "
        "each value against the one a period before. The first period has none before it."
    )
    return compare(answer, reference, cases, hint)


def check_fill_from_the_past(answer: Callable) -> bool:
    """Check ``fill_from_the_past(series, period)``: a gap gets the value of a period before, itself filled or not."""

    def reference(series: Tensor, period: int) -> Tensor:
        filled = series.tolist()
        for step, value in enumerate(filled):
            if math.isnan(value) and step >= period:
                filled[step] = filled[step - period]
        return torch.tensor(filled)

    nan = math.nan
    cases = {
        "no gap": (_random(10), 3),
        "one gap": (torch.tensor([1.0, 2, 3, 4, nan, 6]), 3),
        "two gaps a period apart": (torch.tensor([1.0, 2, nan, 4, nan, 6]), 2),
        "a gap longer than a period": (torch.tensor([1.0, 2, 3, nan, nan, nan, nan, nan, 9]), 2),
    }
    hint = (
        "A value that you filled may be what a later gap needs, so the order matters. "
        "And the series that you were given should stay as it was."
    )

    def call(function: Callable, series: Tensor, period: int) -> dict:
        filled = function(series, period)
        return {"what came back": filled, "gaps in the series given": int(series.isnan().sum())}

    return compare(answer, reference, cases, hint, call=call)


def check_interval_score(answer: Callable) -> bool:
    """Check ``interval_score(lower, upper, targets, level)``: the mean width, and what the misses cost."""

    def reference(lower: Tensor, upper: Tensor, targets: Tensor, level: float) -> Tensor:
        missed = (lower - targets).clamp(min=0) + (targets - upper).clamp(min=0)
        return (upper - lower + 2 / (1 - level) * missed).mean()

    ends = _random(6, 5).unsqueeze(0).repeat(2, 1, 1)
    ends[1] += 1.5
    inside = ends.mean(0)
    cases = {
        "every target inside": (*ends, inside, 0.8),
        "every target below": (*ends, inside - 3, 0.8),
        "every target above": (*ends, inside + 3, 0.8),
        "some inside, level 0.9": (*ends, _random(5, 6).T.contiguous(), 0.9),
    }
    hint = "The width is always paid. A target below the interval pays for its distance to the lower end, and so above."
    return compare(answer, reference, cases, hint)


def check_conformal_quantiles(answer: Callable) -> bool:
    """Check ``conformal_quantiles(lower, upper, targets, level)``: how far to move both ends out, shape (horizon)."""

    def reference(lower: Tensor, upper: Tensor, targets: Tensor, level: float) -> Tensor:
        outside = torch.stack([lower - targets, targets - upper]).amax(0)
        rank = math.ceil(round((targets.shape[1] + 1) * level, 9))
        return torch.stack([row.kthvalue(rank).values for row in outside])

    middle, targets = _random(3, 19), _random(19, 3).T
    cases = {
        "intervals of no width": (middle, middle, targets, 0.8),
        "narrow intervals": (middle - 0.1, middle + 0.3, targets, 0.8),
        "intervals that are too wide, so that the ends move in": (middle - 9, middle + 9, targets, 0.8),
        "level 0.5": (middle - 0.2, middle + 0.2, targets, 0.5),
        "one step and 9 windows, level 0.9": (middle[:1, :9] - 1, middle[:1, :9] + 1, targets[:1, :9], 0.9),
    }
    hint = (
        "For each target: by how much would both ends have to move out to reach it? That is below 0 where it "
        "lies inside already. Then take the rank that conformal_margin takes, for each step of the horizon."
    )
    return compare(answer, reference, cases, hint)
