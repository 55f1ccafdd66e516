"""The experiment of *Forecasting*: it runs in small, and its stored networks make the errors that its record says."""

from statistics import fmean

import pytest
import torch

from companion.checkpoints import strip_prefix
from companion.forecasting import Scaler, windows
from companion.runs import load_run
from experiments import forecasting
from experiments.forecasting import LAYERS, PLANS, QUANTILES


@pytest.fixture(scope="module")
def series():
    return forecasting.load_series()


@pytest.fixture(scope="module")
def stored():
    return load_run("forecasting")


def test_the_series_are_those_of_the_chapter(series):
    assert {name: len(values) for name, values in series.items()} == {"sunspots": 309, "co2": 526}
    assert series["sunspots"][:3].tolist() == [5.0, 11.0, 16.0]
    assert all(values.isfinite().all() for values in series.values())


def test_the_gaps_that_were_filled_lie_in_every_training_part():
    plan = PLANS["co2"]
    assert plan.ends[0] - plan.calibration - plan.test > 74  # the last empty month is number 73


def test_it_runs_in_small(series):
    plans = forecasting.smaller(PLANS, origins=1, hidden_size=3, epochs=2)
    results, weights = forecasting.run(series, plans, seeds=range(2))
    for name, plan in plans.items():
        for method, origins in results[name].items():
            assert len(origins) == 1
            assert len(origins[0]) == (2 if method.startswith(("GRU", "LSTM")) else 1)
            for record in origins[0]:
                assert len(record["errors"]) == plan.horizon
                assert all(0 <= share <= 1 for share in record["conformal"] + record.get("quantiles", []))
    assert "sunspots.GRU.output.weight" in weights
    assert "seasonal naive" in forecasting.table(results)


@pytest.mark.parametrize("name, method", [("sunspots", "GRU"), ("co2", "GRU"), ("co2", "GRU on changes")])
def test_the_stored_networks_make_the_errors_of_the_record(series, stored, name, method):
    plan = PLANS[name]
    parts = plan.split(series[name], plan.ends[-1])
    changes = method.endswith("changes")
    model = forecasting.build("changes" if changes else "levels", LAYERS["GRU"], plan)
    model.load_state_dict(strip_prefix(stored.weights, f"{name}.{method}."))
    scaler = forecasting.change_scaler(plan, parts.train) if changes else Scaler.of(parts.train)
    inputs, targets = windows(parts.test, plan.history, plan.horizon)
    forecast = forecasting.forecast_quantiles(model, scaler, inputs)
    record = stored.results[name][method][-1][0]
    median = forecast[..., QUANTILES.index(0.5)]
    found = (median - targets).abs().mean(1)
    assert torch.allclose(found, torch.tensor(record["errors"]), atol=0.02)
    held = forecasting.quantile_coverage(forecast, targets)
    assert held == pytest.approx(record["quantiles"], abs=0.02)


@pytest.mark.parametrize("name", PLANS)
def test_the_baselines_of_the_record_are_measured_again(series, stored, name):
    plan = PLANS[name]
    for number, end in enumerate(plan.ends):
        parts = plan.split(series[name], end)
        for method, forecast in forecasting.baselines(name, plan, parts.train).items():
            (record,) = stored.results[name][method][number]
            found = forecasting.measure(forecast, plan, parts)
            assert found["errors"] == pytest.approx(record["errors"], abs=0.01)
            assert found["conformal"] == pytest.approx(record["conformal"], abs=0.02)


def test_the_record_is_complete(stored):
    for name, plan in PLANS.items():
        for method, origins in stored.results[name].items():
            networks = method.startswith(("GRU", "LSTM"))
            assert [len(records) for records in origins] == [5 if networks else 1] * len(plan.ends)
            assert fmean(origins[-1][0]["errors"]) > 0
    assert stored.command == forecasting.COMMAND
