"""Forecasts of a series: windows without leakage, baselines, networks with quantiles, intervals and their coverage.

Shapes: T steps of history (``history``), N windows side by side, ``horizon`` steps to forecast, Q quantiles. Time comes
first, so the windows of a series are one batch for :func:`~companion.training.fit`. A series is a 1-D tensor, one
number a step.
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.language_model import output_width
from companion.modes import evaluation_mode
from companion.validation import check_positive_int

__all__ = [
    "Forecaster",
    "Scaler",
    "SeasonalForecaster",
    "TimeSplit",
    "conformal_margin",
    "forecast_loss",
    "interval_coverage",
    "pinball_loss",
    "recursive_forecast",
    "seasonal_naive",
    "time_split",
    "windows",
]


# Parts, scale and windows


class TimeSplit(NamedTuple):
    """A series in three parts, in the order of time.

    Attributes:
        train: the past, to train and to fit the scale on.
        calibration: what follows, to learn from how wrong the forecasts are; with a run-up.
        test: the end, to measure on; with a run-up.

    Examples:
        >>> parts = companion.TimeSplit(torch.zeros(7), torch.zeros(4), torch.zeros(3))
        >>> len(parts.train)
        7
    """

    train: Tensor
    calibration: Tensor
    test: Tensor


def time_split(series: Tensor, history: int, calibration: int, test: int) -> TimeSplit:
    """Cut a series by time. No target of one part is in another; a history may reach back, as it may in real life.

    The calibration and the test part each begin with a run-up of ``history`` steps from the part before, so that
    their first window asks for the first step that is their own.

    Args:
        series: shape (length).
        history: steps T that a forecast reads.
        calibration: steps of the second part, without its run-up.
        test: steps of the last part, without its run-up.

    Returns:
        The :class:`TimeSplit`. The parts are views.

    Raises:
        TypeError: ``series`` is no tensor of floats, or a number of steps is no int.
        ValueError: ``series`` is not 1-D, holds a gap (nan), or a part would be empty or have no run-up.

    Examples:
        >>> parts = companion.time_split(torch.arange(12.0), history=2, calibration=3, test=4)
        >>> parts.calibration, parts.test  # each after its run-up of two steps
        (tensor([3., 4., 5., 6., 7.]), tensor([ 6.,  7.,  8.,  9., 10., 11.]))

    Taught in *Forecasting*.
    """
    check_steps(history=history, calibration=calibration, test=test)
    check_series(series, history + calibration + test)
    second, third = len(series) - calibration - test, len(series) - test  # where these parts begin
    return TimeSplit(series[:second], series[second - history : third], series[third - history :])


class Scaler(NamedTuple):
    """Takes a mean away and divides by a unit, and back. Fit it on the training part alone: :meth:`of`.

    Attributes:
        mean: what becomes 0.
        std: what becomes 1.

    Examples:
        >>> scaler = companion.Scaler.of(torch.tensor([2.0, 4.0, 6.0]))
        >>> scaler.scale(torch.tensor([4.0, 8.0])), scaler.unscale(torch.tensor([2.0]))
        (tensor([0., 2.]), tensor([8.]))

    Taught in *Forecasting*.
    """

    mean: float
    std: float

    @classmethod
    def of(cls, train: Tensor) -> "Scaler":
        """The mean and the standard deviation of a training part; ValueError if it does not vary."""
        check_series(train, 2)
        mean, std = float(train.mean()), float(train.std())
        if std == 0:
            raise ValueError("train should vary, got a constant series")
        return cls(mean, std)

    def scale(self, values: Tensor) -> Tensor:
        """From the series' unit to the network's, any shape."""
        return (values - self.mean) / self.std

    def unscale(self, values: Tensor) -> Tensor:
        """From the network's unit back to the series', any shape."""
        return values * self.std + self.mean


def windows(series: Tensor, history: int, horizon: int, stride: int = 1) -> tuple[Tensor, Tensor]:
    """All windows of a series: what is read, and what comes after it. Call it on one part of a split at a time.

    Args:
        series: shape (length).
        history: steps T that are read.
        horizon: steps after them that are asked for.
        stride: steps from the start of one window to the next.

    Returns:
        Inputs of shape (T, N, 1) and targets of shape (horizon, N), views of the series, N windows in order of time.
        The pair is a batch for :func:`~companion.training.fit`.

    Raises:
        TypeError: ``series`` is no tensor of floats, or a number of steps is no int.
        ValueError: ``series`` is not 1-D, holds a gap (nan), or is too short for one window.

    Examples:
        >>> inputs, targets = companion.windows(torch.arange(6.0), history=3, horizon=2)
        >>> inputs[..., 0].T, targets.T
        (tensor([[0., 1., 2.],
                [1., 2., 3.]]), tensor([[3., 4.],
                [4., 5.]]))

    Taught in *Forecasting*.
    """
    check_steps(history=history, horizon=horizon, stride=stride)
    check_series(series, history + horizon)
    pieces = series.unfold(0, history + horizon, stride).T  # (T + horizon, N)
    return pieces[:history].unsqueeze(-1), pieces[history:]


# Forecasts


def seasonal_naive(inputs: Tensor, horizon: int, period: int, drift: bool = False) -> Tensor:
    """The forecast that the last period comes again; with drift, as much higher as it has been rising.

    Args:
        inputs: histories of shape (T, N, 1), or (T, ...).
        horizon: steps to forecast.
        period: steps of a period, such as 12 for months.
        drift: whether to add, for each period ahead, the mean change from one period to the next in the history.

    Returns:
        Shape (horizon, N, 1), or (horizon, ...).

    Raises:
        TypeError: a number of steps is no int.
        ValueError: the history is shorter than a period, or with drift not longer than one.

    Examples:
        >>> history = torch.tensor([1.0, 5.0, 2.0, 6.0])
        >>> companion.seasonal_naive(history, horizon=5, period=2)
        tensor([2., 6., 2., 6., 2.])
        >>> companion.seasonal_naive(history, horizon=5, period=2, drift=True)
        tensor([3., 7., 4., 8., 5.])

    Source: the seasonal naive and the drift method of :cite:t:`hyndman2021`. Taught in *Forecasting*.
    """
    check_steps(horizon=horizon, period=period)
    if len(inputs) < period + drift:
        raise ValueError(f"inputs should be at least {period + drift} steps long, got {len(inputs)}")
    steps = torch.arange(horizon, device=inputs.device)
    forecast = inputs[-period:][steps % period]
    if not drift:
        return forecast
    change = (inputs[period:] - inputs[:-period]).mean(0)
    ahead = (steps // period + 1).view(-1, *[1] * (inputs.dim() - 1))  # periods: 1, ..., 1, 2, ...
    return forecast + ahead * change


class Forecaster(nn.Module):
    """A recurrent layer reads a history, and its last output becomes the forecast of all steps at once (direct).

    Args:
        layer: any one-way recurrent layer with nn's interface, not ``batch_first``.
        horizon: steps to forecast.
        quantiles: probabilities in rising order, such as (0.1, 0.5, 0.9), to forecast quantiles; None forecasts one
            number a step.

    Raises:
        TypeError: ``horizon`` is no int.
        ValueError: ``horizon`` is less than 1, a quantile is not between 0 and 1, they are not in rising order, or the
            layer reads both ways or wants the batch first.

    Examples:
        >>> model = companion.Forecaster(nn.GRU(1, 16), horizon=11, quantiles=(0.1, 0.5, 0.9))
        >>> forecast, state = model(torch.randn(24, 5, 1))  # (T, N, 1)
        >>> forecast.shape
        torch.Size([11, 5, 3])

    Taught in *Forecasting*.
    """

    def __init__(self, layer, horizon, quantiles=None):
        super().__init__()
        check_steps(horizon=horizon)
        check_layer(layer)
        self.quantiles = None if quantiles is None else check_quantiles(quantiles)
        self.horizon = horizon
        self.layer = layer
        self.output = nn.Linear(output_width(layer), horizon * len(self.quantiles or (0.5,)))

    def forward(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Forecast what follows each history.

        Args:
            inputs: histories of shape (T, N, D).
            state: the layer's state before them; zeros if None.

        Returns:
            Forecasts of shape (horizon, N), or (horizon, N, Q), sorted, so that no quantile crosses another; and the
            layer's state after the history.
        """
        outputs, state = self.layer(inputs, state)  # (T, N, H)
        forecast = self.output(outputs[-1]).unflatten(-1, (self.horizon, -1))  # (N, horizon, Q)
        forecast = forecast.transpose(0, 1).sort(-1).values  # (horizon, N, Q)
        return (forecast.squeeze(-1) if self.quantiles is None else forecast), state


class SeasonalForecaster(Forecaster):
    """Forecasts the error of the seasonal naive forecast with drift, and adds it to that forecast.

    The layer reads the changes from one period to the next, never the level: a series that is higher by a constant has
    a forecast that is higher by the same constant.

    Args:
        layer: see :class:`Forecaster`; it reads T - ``period`` steps.
        horizon: steps to forecast.
        period: steps of a period, such as 12 for months.
        quantiles: see :class:`Forecaster`.

    Raises:
        TypeError: ``horizon`` or ``period`` is no int.
        ValueError: as :class:`Forecaster`, or ``period`` is less than 1.

    Examples:
        >>> model = companion.SeasonalForecaster(nn.GRU(1, 16), horizon=24, period=12)
        >>> history = torch.randn(36, 5, 1)
        >>> raised = model(history + 100)[0] - model(history)[0]
        >>> torch.allclose(raised, torch.full((24, 5), 100.0), atol=1e-3)
        True

    Taught in *Forecasting*.
    """

    def __init__(self, layer, horizon, period, quantiles=None):
        super().__init__(layer, horizon, quantiles)
        check_steps(period=period)
        self.period = period

    def forward(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Forecast what follows each history; see :meth:`Forecaster.forward`. T is greater than the period."""
        naive = seasonal_naive(inputs, self.horizon, self.period, drift=True)  # (horizon, N, 1)
        changes = inputs[self.period :] - inputs[: -self.period]  # (T - period, N, 1)
        error, state = super().forward(changes, state)
        return (naive.squeeze(-1) if self.quantiles is None else naive) + error, state


def recursive_forecast(model: nn.Module, inputs: Tensor, horizon: int) -> Tensor:
    """Forecast step by step: a model that forecasts one step reads its own forecast as the next input.

    The state is carried, so every step is read once.

    Args:
        model: a :class:`Forecaster` with ``horizon=1`` and no quantiles, or anything that is called like one.
        inputs: histories of shape (T, N, 1).
        horizon: steps to forecast.

    Returns:
        Shape (horizon, N), without gradients.

    Raises:
        TypeError: ``horizon`` is no int.
        ValueError: ``horizon`` is less than 1, or the model forecasts another shape than (1, N).

    Examples:
        >>> model = companion.Forecaster(nn.GRU(1, 16), horizon=1)
        >>> companion.recursive_forecast(model, torch.randn(24, 5, 1), horizon=11).shape
        torch.Size([11, 5])

    Taught in *Forecasting*.
    """
    check_steps(horizon=horizon)
    forecasts = []
    with evaluation_mode(model):
        forecast, state = model(inputs)  # (1, N)
        if forecast.shape != (1, inputs.shape[1]):
            shapes = f"{(1, inputs.shape[1])}, got {tuple(forecast.shape)}"
            raise ValueError(f"model should forecast one number, shape {shapes}")
        for _ in range(horizon - 1):
            forecasts.append(forecast)
            forecast, state = model(forecast.unsqueeze(-1), state)
    return torch.cat([*forecasts, forecast])


# What a forecast costs, and how wide an interval has to be


def pinball_loss(forecast: Tensor, targets: Tensor, quantiles: Sequence[float]) -> Tensor:
    """The mean loss of quantile forecasts: too low costs q for each unit, too high costs 1 - q.

    It is least, on average, where a share q of the targets lies below the forecast.

    Args:
        forecast: shape (..., Q).
        targets: shape (...).
        quantiles: Q probabilities between 0 and 1.

    Returns:
        A scalar tensor, in the unit of the targets, averaged over all targets and quantiles.

    Raises:
        ValueError: the shapes do not belong together, or a quantile is not between 0 and 1.

    Examples:
        >>> targets = torch.tensor([10.0])
        >>> companion.pinball_loss(torch.tensor([[8.0]]), targets, [0.9])  # 2 too low
        tensor(1.8000)
        >>> companion.pinball_loss(torch.tensor([[12.0]]), targets, [0.9])  # 2 too high
        tensor(0.2000)

    Source: :cite:t:`koenker1978`. Taught in *Forecasting*.
    """
    q = torch.tensor(check_quantiles(quantiles), device=forecast.device, dtype=forecast.dtype)
    if forecast.shape != (*targets.shape, len(q)):  # broadcasting would say nothing
        raise ValueError(f"forecast should have shape {(*targets.shape, len(q))}, got {tuple(forecast.shape)}")
    missing = targets.unsqueeze(-1) - forecast  # above 0 where the forecast is too low
    return torch.maximum(q * missing, (q - 1) * missing).mean()


def forecast_loss(model: nn.Module, batch: tuple[Tensor, Tensor], state: Any = None) -> tuple[Tensor, Any]:
    """The loss of a :class:`Forecaster` on a batch of windows; a ``loss`` for ``fit`` and ``evaluate``.

    Args:
        model: a :class:`Forecaster`.
        batch: a pair of :func:`windows`.
        state: the state before the batch, or None.

    Returns:
        The pinball loss, or without quantiles the mean absolute error, whose best forecast is the median; and the
        state after the batch.

    Raises:
        ValueError: the model's horizon is not that of the targets.

    Examples:
        >>> batch = companion.windows(torch.arange(40.0), history=6, horizon=3)
        >>> loss, state = companion.forecast_loss(companion.Forecaster(nn.GRU(1, 8), horizon=3), batch)
        >>> loss.shape, state.shape
        (torch.Size([]), torch.Size([1, 32, 8]))

    Taught in *Forecasting*.
    """
    inputs, targets = batch
    forecast, state = model(inputs, state)
    if model.quantiles is not None:
        return pinball_loss(forecast, targets, model.quantiles), state
    if forecast.shape != targets.shape:
        shapes = f"{tuple(targets.shape)}, got {tuple(forecast.shape)}"
        raise ValueError(f"model should forecast shape {shapes}")
    return F.l1_loss(forecast, targets), state


def conformal_margin(forecast: Tensor, targets: Tensor, level: float) -> Tensor:
    """How far to go up and down from a forecast, so that an interval holds the truth with this probability.

    For each step of the horizon: the ceil((N + 1) * ``level``)-th smallest of the N absolute errors on a calibration
    part. If a future window and the N of the calibration part are exchangeable (any order equally likely), forecast
    plus and minus this margin holds the truth with a probability of at least ``level``. Windows in the order of time
    are not quite that: measure it with :func:`interval_coverage`.

    Args:
        forecast: forecasts on the calibration part, shape (horizon, N).
        targets: the truth, of the same shape.
        level: the wanted probability, between 0 and 1.

    Returns:
        Shape (horizon), in the unit of the targets.

    Raises:
        ValueError: the shapes differ, ``level`` is not between 0 and 1, or N is too small: for 0.9 it takes 9 windows.

    Examples:
        >>> errors = torch.tensor([[1.0, -2.0, 3.0, -4.0, 5.0, 6.0, 7.0, 8.0, 9.0]])  # (horizon, N)
        >>> companion.conformal_margin(errors, torch.zeros(1, 9), level=0.8)
        tensor([8.])

    Source: :cite:t:`vovk2005` and, in this split form, :cite:t:`lei2018b`. Taught in *Forecasting*.
    """
    if forecast.shape != targets.shape or forecast.dim() != 2:
        shapes = f"{tuple(forecast.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"forecast and targets should both have shape (horizon, N), got {shapes}")
    (level,) = check_quantiles([level], name="level")
    N = forecast.shape[1]
    rank = math.ceil(round((N + 1) * level, 9))  # rounded: 10 * 0.9 is to be 9, not a little more
    if rank > N:
        least = math.ceil(level / (1 - level) - 1e-9)
        raise ValueError(f"level {level} needs at least {least} windows, got {N}")
    return (forecast - targets).abs().sort(dim=1).values[:, rank - 1]


def interval_coverage(lower: Tensor, upper: Tensor, targets: Tensor) -> Tensor:
    """The share of the windows whose target lies in its interval, for each step of the horizon.

    Args:
        lower: lower ends, shape (horizon, N).
        upper: upper ends, of the same shape.
        targets: the truth, of the same shape.

    Returns:
        Shape (horizon), 0 to 1; its mean is the coverage over all steps.

    Raises:
        ValueError: the shapes differ.

    Examples:
        >>> targets = torch.tensor([[1.0, 2.0, 3.0, 9.0]])
        >>> companion.interval_coverage(targets * 0, targets * 0 + 5, targets)
        tensor([0.7500])

    Taught in *Forecasting*.
    """
    if not lower.shape == upper.shape == targets.shape:
        shapes = ", ".join(str(tuple(part.shape)) for part in (lower, upper, targets))
        raise ValueError(f"lower, upper and targets should have one shape, got {shapes}")
    return ((lower <= targets) & (targets <= upper)).float().mean(-1)


# What is checked before any work is done


def check_steps(**steps: Any) -> None:
    """Raise TypeError if a number of steps is no int, ValueError if it is less than 1."""
    for name, value in steps.items():
        check_positive_int(name, value)


def check_series(series: Any, least: int) -> None:
    """Raise unless the series is a 1-D tensor of floats, without gaps and with this many steps."""
    if not isinstance(series, Tensor) or not series.is_floating_point():
        found = str(series.dtype) if isinstance(series, Tensor) else f"a {type(series).__name__}"
        raise TypeError(f"series should be a tensor of floats, got {found}")
    if series.dim() != 1:
        raise ValueError(f"series should have shape (length), got {tuple(series.shape)}")
    if len(series) < least:
        raise ValueError(f"series should be at least {least} steps long, got {len(series)}")
    if not series.isfinite().all():
        first = int((~series.isfinite()).nonzero()[0])
        raise ValueError(f"series should have no gaps, got {float(series[first])} at step {first}: fill them first")


def check_quantiles(quantiles: Sequence[float], name: str = "quantiles") -> tuple[float, ...]:
    """Return them as a tuple; ValueError unless there are some, between 0 and 1, in rising order."""
    found = tuple(quantiles)
    numbers = all(isinstance(q, Real) and 0 < q < 1 for q in found)
    if not found or not numbers or list(found) != sorted(set(found)):
        raise ValueError(f"{name} should be between 0 and 1, in rising order, got {found}")
    return tuple(float(q) for q in found)


def check_layer(layer: nn.Module) -> None:
    """Raise ValueError if the last output of the layer is not the one that has read all of the history."""
    for name in ("bidirectional", "batch_first"):
        if getattr(layer, name, False):
            raise ValueError(f"layer should read one way, with time first, got one with {name}=True")
