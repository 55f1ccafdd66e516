"""Forecasting: windows that keep to their part, baselines by hand, networks, quantiles, intervals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion import forecasting
from companion.forecasting import (
    Forecaster,
    Scaler,
    SeasonalForecaster,
    conformal_margin,
    forecast_loss,
    interval_coverage,
    pinball_loss,
    recursive_forecast,
    seasonal_naive,
    time_split,
    windows,
)
from companion.layers import GRU, LSTM, RNN
from companion.training import evaluate, fit
from tests import strategies  # noqa: F401  loads the settings of hypothesis

QUANTILES = (0.1, 0.5, 0.9)
sizes = st.integers(1, 9)

# Windows and parts


@given(sizes, sizes, st.integers(1, 5), st.integers(0, 30))
def test_windows_are_the_slices_of_the_series(history, horizon, stride, more):
    series = torch.arange(float(history + horizon + more))
    inputs, targets = windows(series, history, horizon, stride)
    starts = range(0, len(series) - history - horizon + 1, stride)
    assert inputs.shape == (history, len(starts), 1) and targets.shape == (horizon, len(starts))
    for number, start in enumerate(starts):
        assert torch.equal(inputs[:, number, 0], series[start : start + history])
        assert torch.equal(targets[:, number], series[start + history : start + history + horizon])


@given(sizes, sizes, st.integers(9, 20), st.integers(9, 20), st.integers(0, 20))
def test_no_target_of_one_part_is_in_another(history, horizon, calibration, test, more):
    series = torch.arange(float(history + horizon + more + calibration + test))
    parts = time_split(series, history, calibration, test)
    targets = [set(windows(part, history, horizon)[1].flatten().tolist()) for part in parts]
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        assert max(targets[earlier]) < min(targets[later])
    assert not targets[0] & set(range(len(series) - calibration - test, len(series)))


@given(sizes, st.integers(1, 20), st.integers(1, 20), st.integers(0, 20))
def test_every_step_is_in_one_part_after_its_run_up(history, calibration, test, more):
    series = torch.arange(float(history + more + calibration + test))
    train, second, third = time_split(series, history, calibration, test)
    assert torch.equal(torch.cat([train, second[history:], third[history:]]), series)
    assert len(second) == history + calibration and len(third) == history + test


def test_the_future_changes_neither_scale_nor_training_windows():
    series = torch.randn(60)
    parts = time_split(series, 6, 10, 20)
    scale, batch = Scaler.of(parts.train), [part.clone() for part in windows(parts.train, 6, 3)]
    series[30:] += 1e6  # views: were there a leak, it would show
    assert Scaler.of(parts.train) == scale
    assert all(torch.equal(*pair) for pair in zip(batch, windows(parts.train, 6, 3), strict=True))


@given(st.integers(2, 40), st.integers(0, 99))
def test_scale_and_back(length, seed):
    series = 50 + 9 * torch.randn(length, generator=torch.Generator().manual_seed(seed))
    scaler = Scaler.of(series)
    scaled = scaler.scale(series)
    assert torch.allclose(scaled.mean(), torch.tensor(0.0), atol=1e-4)
    assert torch.allclose(scaled.std(), torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(scaler.unscale(scaled), series, atol=1e-3)


# Baselines


@given(st.integers(1, 7), st.integers(0, 9), st.integers(1, 25), st.booleans())
def test_the_seasonal_naive_forecast_by_its_definition(period, more, horizon, drift):
    history = torch.randn(period + 1 + more, 2, 1, generator=torch.Generator().manual_seed(more))
    forecast = seasonal_naive(history, horizon, period, drift)
    assert forecast.shape == (horizon, 2, 1)
    T = len(history)
    changes = [history[t] - history[t - period] for t in range(period, T)]
    change = sum(changes) / len(changes) if drift else 0.0
    series = list(history)
    for step in range(horizon):
        series.append(series[T + step - period] + change)
        assert torch.allclose(forecast[step], series[-1], atol=1e-4)


def test_drift_continues_a_line_and_a_pattern_exactly():
    months = torch.arange(60.0)
    series = 3 + 0.5 * months + torch.tensor([1.0, -2, 0, 4]).repeat(15)
    assert torch.allclose(seasonal_naive(series[:40], 20, 4, drift=True), series[40:], atol=1e-4)


# Networks


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM, RNN, GRU, LSTM])
@pytest.mark.parametrize("quantiles", [None, QUANTILES])
def test_any_layer_forecasts_all_steps(layer, quantiles):
    model = Forecaster(layer(1, 8, num_layers=2), 5, quantiles)
    inputs = torch.randn(12, 3, 1)
    forecast, _ = model(inputs)
    assert forecast.shape == ((5, 3) if quantiles is None else (5, 3, 3))
    halves = model(inputs[7:], model(inputs[:7])[1])[0]
    assert torch.allclose(halves, forecast, atol=1e-6)  # the state can be carried
    outputs, _ = model.layer(inputs)
    by_hand = model.output(outputs[-1]).view(3, 5, -1).transpose(0, 1)  # (horizon, N, Q)
    assert torch.allclose(by_hand.sort(-1).values.reshape(forecast.shape), forecast, atol=1e-6)


@pytest.mark.parametrize("ours, theirs", [(GRU, nn.GRU), (LSTM, nn.LSTM)])
@pytest.mark.parametrize("kind", [Forecaster, SeasonalForecaster])
def test_our_layer_and_that_of_nn_forecast_the_same(ours, theirs, kind):
    period = () if kind is Forecaster else (12,)
    models = [kind(layer(1, 16), 6, *period, quantiles=QUANTILES) for layer in (ours, theirs)]
    models[0].load_state_dict(models[1].state_dict())
    inputs = torch.randn(36, 4, 1)
    assert torch.allclose(models[0](inputs)[0], models[1](inputs)[0], atol=1e-5)


def test_quantiles_never_cross():
    model = Forecaster(nn.GRU(1, 8), 11, (0.05, 0.25, 0.5, 0.75, 0.95))
    nn.init.normal_(model.output.weight, std=5)
    forecast, _ = model(torch.randn(20, 30, 1))
    assert (forecast.diff(dim=-1) >= 0).all()


def test_a_seasonal_forecaster_that_adds_nothing_is_the_naive_one_with_drift():
    model = SeasonalForecaster(nn.GRU(1, 8), 24, 12)
    nn.init.zeros_(model.output.weight)
    nn.init.zeros_(model.output.bias)
    inputs = torch.randn(36, 5, 1)
    assert torch.equal(model(inputs)[0], seasonal_naive(inputs, 24, 12, drift=True)[..., 0])


@pytest.mark.parametrize("quantiles", [None, QUANTILES])
def test_a_seasonal_forecast_rises_with_the_level(quantiles):
    model, inputs = SeasonalForecaster(nn.LSTM(1, 8), 6, 4, quantiles).double(), torch.randn(12, 5, 1).double()
    assert torch.allclose(model(inputs + 7)[0], model(inputs)[0] + 7)
    assert not torch.allclose(Forecaster(nn.LSTM(1, 8), 6).double()(inputs + 7)[0].mean(), inputs.mean() + 7, atol=1)


def test_recursion_reads_its_own_forecasts():
    model, inputs = Forecaster(nn.GRU(1, 8), 1), torch.randn(10, 4, 1)
    forecast = recursive_forecast(model, inputs, 6)
    with torch.no_grad():
        read = inputs
        for step in range(6):
            expected, _ = model(read)  # everything again, from the beginning
            assert torch.allclose(forecast[step], expected[0], atol=1e-6)
            read = torch.cat([read, expected.unsqueeze(-1)])
    assert not forecast.requires_grad and model.training


def test_a_network_learns_a_wave_better_than_a_constant():
    torch.manual_seed(0)
    series = torch.sin(torch.arange(120.0) * 2 * math.pi / 12)
    parts = time_split(series, 12, 20, 30)
    model = Forecaster(nn.GRU(1, 16), 6, QUANTILES)
    batch, held_out = windows(parts.train, 12, 6), [windows(parts.test, 12, 6)]
    fit(model, [batch], epochs=60, loss=forecast_loss, progress=False)
    flat = pinball_loss(torch.zeros(6, 13, 3), held_out[0][1][:, :13], QUANTILES)
    assert evaluate(model, held_out, forecast_loss) < flat / 2


# Losses and intervals


@given(st.floats(0.02, 0.98), st.integers(0, 99))
def test_the_quantile_of_the_data_has_the_least_pinball_loss(q, seed):
    targets = torch.randn(201, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    best = targets.sort().values[math.ceil(201 * q) - 1]  # the first with a share q at or below it

    def loss(guess):
        return pinball_loss(torch.full((201, 1), float(guess), dtype=torch.double), targets, [q])

    assert all(loss(best) <= loss(best + shift) + 1e-12 for shift in (-1, -0.1, 0.1, 1))


def test_the_median_costs_half_the_absolute_error():
    forecast, targets = torch.randn(5, 4), torch.randn(5, 4)
    half = (forecast - targets).abs().mean() / 2
    assert torch.allclose(pinball_loss(forecast.unsqueeze(-1), targets, [0.5]), half)


def test_the_gradient_of_the_pinball_loss():
    generator = torch.Generator().manual_seed(0)
    forecast = torch.randn(3, 2, 3, generator=generator, dtype=torch.double, requires_grad=True)
    targets = torch.randn(3, 2, generator=generator, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: pinball_loss(x, targets, QUANTILES), (forecast,))


def test_the_loss_of_a_forecaster():
    inputs, targets = torch.randn(8, 5, 1), torch.randn(4, 5)
    point, three = Forecaster(nn.GRU(1, 8), 4), Forecaster(nn.GRU(1, 8), 4, QUANTILES)
    assert torch.equal(forecast_loss(point, (inputs, targets))[0], (point(inputs)[0] - targets).abs().mean())
    expected = pinball_loss(three(inputs)[0], targets, QUANTILES)
    assert torch.equal(forecast_loss(three, (inputs, targets))[0], expected)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("N", [9, 20, 99])
def test_conformal_intervals_hold_what_they_promise_where_nothing_changes(level, N):
    """With independent errors the coverage is ceil((N + 1) level) / (N + 1) on average: the theorem, simulated."""
    generator = torch.Generator().manual_seed(0)
    errors = torch.randn(4000, N + 1, generator=generator)
    margin = conformal_margin(errors[:, :N], torch.zeros(4000, N), level)
    held = (errors[:, N].abs() <= margin).float().mean()
    assert abs(held - math.ceil((N + 1) * level - 1e-9) / (N + 1)) < 0.025


@given(st.integers(9, 40), st.sampled_from([0.5, 0.8, 0.9]))
def test_the_margin_holds_at_least_its_share_of_the_calibration_part(N, level):
    errors = torch.randn(3, N, generator=torch.Generator().manual_seed(N))
    margin = conformal_margin(errors, torch.zeros(3, N), level)
    assert (interval_coverage(errors - margin[:, None], errors + margin[:, None], torch.zeros(3, N)) >= level).all()


def test_coverage_by_hand():
    targets = torch.tensor([[0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]])
    lower, upper = torch.tensor([[1.0], [6.0]]).expand(2, 4), torch.tensor([[2.0], [7.0]]).expand(2, 4)
    assert interval_coverage(lower, upper, targets).tolist() == [0.5, 0.0]  # the ends belong to it


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_all_of_it_on_a_gpu():
    series = torch.randn(80, device="cuda")
    parts = time_split(series, 24, 20, 20)
    model = SeasonalForecaster(nn.GRU(1, 8), 6, 12, QUANTILES).cuda()
    fit(model, [windows(parts.train, 24, 6)], epochs=2, loss=forecast_loss, progress=False)
    inputs, targets = windows(parts.test, 24, 6)
    forecast = model(inputs)[0]
    margin = conformal_margin(forecast[..., 1], targets, 0.8)[:, None]
    held = interval_coverage(forecast[..., 1] - margin, forecast[..., 1] + margin, targets)
    assert held.device.type == recursive_forecast(Forecaster(nn.GRU(1, 8), 1).cuda(), inputs, 3).device.type == "cuda"


# Bad input

SERIES = torch.arange(20.0)
GAP = torch.tensor([1.0, 2.0, float("nan"), 4.0])
BAD = [
    (lambda: windows([1.0, 2.0], 1, 1), TypeError, "series should be a tensor of floats, got a list"),
    (lambda: windows(torch.arange(9), 1, 1), TypeError, "got torch.int64"),
    (lambda: windows(SERIES.view(4, 5), 1, 1), ValueError, r"series should have shape \(length\), got \(4, 5\)"),
    (lambda: windows(SERIES, 15, 6), ValueError, "at least 21 steps long, got 20"),
    (lambda: windows(SERIES, 0, 1), ValueError, "history"),
    (lambda: windows(SERIES, 3, 1.5), TypeError, "horizon"),
    (lambda: windows(SERIES, 3, 1, 0), ValueError, "stride"),
    (lambda: windows(GAP, 1, 1), ValueError, "no gaps, got nan at step 2"),
    (lambda: time_split(SERIES, 5, 10, 6), ValueError, "at least 21 steps"),
    (lambda: time_split(SERIES, 5, 0, 6), ValueError, "calibration"),
    (lambda: Scaler.of(torch.ones(9)), ValueError, "train should vary"),
    (lambda: seasonal_naive(SERIES[:3], 2, 4), ValueError, "at least 4 steps long, got 3"),
    (lambda: seasonal_naive(SERIES[:4], 2, 4, True), ValueError, "at least 5 steps long, got 4"),
    (lambda: seasonal_naive(SERIES, 0, 4), ValueError, "horizon"),
    (lambda: Forecaster(nn.GRU(1, 4, bidirectional=True), 3), ValueError, "bidirectional=True"),
    (lambda: Forecaster(nn.GRU(1, 4, batch_first=True), 3), ValueError, "batch_first=True"),
    (lambda: Forecaster(nn.GRU(1, 4), 3, (0.9, 0.1)), ValueError, "rising order"),
    (lambda: Forecaster(nn.GRU(1, 4), 3, (0.0, 0.5)), ValueError, "between 0 and 1"),
    (lambda: Forecaster(nn.GRU(1, 4), 3, ()), ValueError, "quantiles"),
    (lambda: Forecaster(nn.GRU(1, 4), "3"), TypeError, "horizon"),
    (lambda: SeasonalForecaster(nn.GRU(1, 4), 3, 0), ValueError, "period"),
    (lambda: recursive_forecast(Forecaster(nn.GRU(1, 4), 2), torch.randn(5, 3, 1), 4), ValueError, r"got \(2, 3\)"),
    (lambda: pinball_loss(torch.zeros(4, 3), torch.zeros(4, 3), [0.5]), ValueError, r"\(4, 3, 1\), got \(4, 3\)"),
    (lambda: pinball_loss(torch.zeros(4, 1), torch.zeros(4), [1.5]), ValueError, "between 0 and 1"),
    (
        lambda: forecast_loss(Forecaster(nn.GRU(1, 4), 1), (torch.randn(5, 3, 1), torch.randn(4, 3))),
        ValueError,
        r"model should forecast shape \(4, 3\), got \(1, 3\)",
    ),
    (lambda: conformal_margin(torch.zeros(1, 8), torch.zeros(1, 8), 0.9), ValueError, "at least 9 windows, got 8"),
    (lambda: conformal_margin(torch.zeros(1, 9), torch.zeros(1, 9), 1.0), ValueError, "level"),
    (lambda: conformal_margin(torch.zeros(9), torch.zeros(9), 0.5), ValueError, "horizon, N"),
    (lambda: interval_coverage(torch.zeros(3), torch.zeros(3), torch.zeros(4)), ValueError, "one shape"),
]


@pytest.mark.parametrize("call, error, words", BAD)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_every_function_is_tried():
    assert set(forecasting.__all__) <= set(globals()) | {"TimeSplit"}
