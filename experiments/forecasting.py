"""Forecasts of sunspots and of carbon dioxide from five origins: networks over five seeds, beside their baselines.

At each origin everything is fitted anew on what was known by then. Each method is measured on the years that follow:
its mean absolute error by step, and how many of the targets its intervals hold. See the chapter *Forecasting*.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import statsmodels.api as sm
import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from companion.forecasting import (
    Forecaster,
    Scaler,
    SeasonalForecaster,
    TimeSplit,
    conformal_margin,
    forecast_loss,
    interval_coverage,
    recursive_forecast,
    seasonal_naive,
    time_split,
    windows,
)
from companion.runs import save_run
from companion.training import fit

COMMAND = "python -m experiments.forecasting"
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
LEVELS = (0.5, 0.8, 0.9)  # each lies between two of the quantiles, in the middle
LAYERS = {"GRU": nn.GRU, "LSTM": nn.LSTM}


@dataclass(frozen=True)
class Plan:
    """What is asked of a series, in its steps; ``ends`` says where the test part of each origin ends."""

    history: int
    horizon: int
    period: int
    calibration: int
    test: int
    ends: tuple[int, ...]
    hidden_size: int = 32
    epochs: int = 150  # the best of 40 to 150 on the calibration part of the first origin
    learning_rate: float = 1e-2

    def split(self, series: Tensor, end: int) -> TimeSplit:
        return time_split(series[:end], self.history, self.calibration, self.test)


PLANS = {
    "sunspots": Plan(24, 11, period=11, calibration=50, test=24, ends=(213, 237, 261, 285, 309)),
    "co2": Plan(36, 24, period=12, calibration=60, test=60, ends=(286, 346, 406, 466, 526)),
}


def load_series() -> dict[str, Tensor]:
    """Sunspots by year, 1700 to 2008, and carbon dioxide by month, March 1958 to December 2001, in ppm."""
    sunspots = sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"]
    # The five empty months lie before 1965, deep in every training part: no target of a test fills them.
    co2 = sm.datasets.co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    return {name: torch.tensor(values.to_numpy()).float() for name, values in (("sunspots", sunspots), ("co2", co2))}


# The methods: each is made from a training part, and then takes histories (T, N, 1) to forecasts (horizon, N).

Method = Callable[[Tensor], Tensor]


def ridge(plan: Plan, train: Tensor) -> Method:
    """One linear map from the history to all steps."""
    scaler = Scaler.of(train)
    inputs, targets = windows(scaler.scale(train), plan.history, plan.horizon)
    model = Ridge(alpha=1.0).fit(inputs[..., 0].T.numpy(), targets.T.numpy())

    def forecast(inputs: Tensor) -> Tensor:
        return scaler.unscale(torch.tensor(model.predict(scaler.scale(inputs)[..., 0].T.numpy())).T)

    return forecast


def ridge_on_changes(plan: Plan, train: Tensor) -> Method:
    """One linear map from the changes over a period to the errors of the seasonal naive forecast with drift."""
    scaler = change_scaler(plan, train)

    def naive(inputs: Tensor) -> Tensor:
        return seasonal_naive(inputs, plan.horizon, plan.period, drift=True)[..., 0]

    def changes(inputs: Tensor) -> Tensor:
        return (inputs[plan.period :] - inputs[: -plan.period])[..., 0].T

    inputs, targets = windows(scaler.scale(train), plan.history, plan.horizon)
    model = Ridge(alpha=1.0).fit(changes(inputs).numpy(), (targets - naive(inputs)).T.numpy())

    def forecast(inputs: Tensor) -> Tensor:
        scaled = scaler.scale(inputs)
        return scaler.unscale(naive(scaled) + torch.tensor(model.predict(changes(scaled).numpy())).T)

    return forecast


def change_scaler(plan: Plan, train: Tensor) -> Scaler:
    """A scale whose unit is the spread of the changes over a period."""
    return Scaler(float(train.mean()), float((train[plan.period :] - train[: -plan.period]).std()))


def train_network(model: nn.Module, plan: Plan, scaler: Scaler, train: Tensor) -> nn.Module:
    """Train on all windows of the training part at once, and keep what float16 can hold."""
    batch = windows(scaler.scale(train), plan.history, getattr(model, "horizon", plan.horizon))
    settings = dict(epochs=plan.epochs, learning_rate=plan.learning_rate, loss=forecast_loss, progress=False)
    fit(model, [batch], **settings)
    return model.half().float().eval()


def build(kind: str, layer: type[nn.Module], plan: Plan) -> nn.Module:
    """An untrained model: on the levels, on the changes, or one step at a time."""
    recurrent = layer(1, plan.hidden_size)
    if kind == "one step":
        return Forecaster(recurrent, 1)
    if kind == "changes":
        return SeasonalForecaster(recurrent, plan.horizon, plan.period, QUANTILES)
    return Forecaster(recurrent, plan.horizon, QUANTILES)


@torch.no_grad()
def forecast_quantiles(model: nn.Module, scaler: Scaler, inputs: Tensor) -> Tensor:
    """In the series' unit, shape (horizon, N, Q)."""
    return scaler.unscale(model(scaler.scale(inputs))[0])


# What is measured


def absolute_errors(forecast: Tensor, targets: Tensor) -> list[float]:
    """The mean absolute error of each step."""
    return [round(value, 4) for value in (forecast - targets).abs().mean(1).tolist()]


def conformal_coverage(method: Method, plan: Plan, parts: TimeSplit) -> list[float]:
    """The share of test targets that the conformal intervals around a method hold, for each of LEVELS."""
    held = []
    past, truth = windows(parts.calibration, plan.history, plan.horizon)
    inputs, targets = windows(parts.test, plan.history, plan.horizon)
    for level in LEVELS:
        margin = conformal_margin(method(past), truth, level).unsqueeze(-1)  # (horizon, 1)
        forecast = method(inputs)
        held.append(float(interval_coverage(forecast - margin, forecast + margin, targets).mean()))
    return [round(share, 4) for share in held]


def quantile_coverage(forecast: Tensor, targets: Tensor) -> list[float]:
    """The same for the intervals between two of the network's own quantiles."""
    held = []
    for level in LEVELS:
        low, high = (QUANTILES.index(round((1 + sign * level) / 2, 3)) for sign in (-1, 1))
        held.append(float(interval_coverage(forecast[..., low], forecast[..., high], targets).mean()))
    return [round(share, 4) for share in held]


def measure(method: Method, plan: Plan, parts: TimeSplit) -> dict:
    """The record of one method at one origin."""
    inputs, targets = windows(parts.test, plan.history, plan.horizon)
    return {"errors": absolute_errors(method(inputs), targets), "conformal": conformal_coverage(method, plan, parts)}


def measure_network(
    kind: str, layer: type[nn.Module], plan: Plan, parts: TimeSplit, seed: int
) -> tuple[dict, nn.Module]:
    """The record of one network at one origin, and its weights."""
    torch.manual_seed(seed)
    scaler = change_scaler(plan, parts.train) if kind == "changes" else Scaler.of(parts.train)
    model = train_network(build(kind, layer, plan), plan, scaler, parts.train)
    if kind == "one step":

        def recursive(inputs: Tensor) -> Tensor:
            return scaler.unscale(recursive_forecast(model, scaler.scale(inputs), plan.horizon))

        return measure(recursive, plan, parts), model
    middle = QUANTILES.index(0.5)
    record = measure(lambda inputs: forecast_quantiles(model, scaler, inputs)[..., middle], plan, parts)
    inputs, targets = windows(parts.test, plan.history, plan.horizon)
    return record | {"quantiles": quantile_coverage(forecast_quantiles(model, scaler, inputs), targets)}, model


def baselines(name: str, plan: Plan, train: Tensor) -> dict[str, Method]:
    """What the networks are compared with."""
    methods = {
        "seasonal naive": lambda inputs: seasonal_naive(inputs, plan.horizon, plan.period)[..., 0],
        "ridge": ridge(plan, train),
    }
    if name == "co2":
        methods["naive with drift"] = lambda inputs: seasonal_naive(inputs, plan.horizon, plan.period, True)[..., 0]
        methods["ridge on changes"] = ridge_on_changes(plan, train)
    return methods


def run_origin(
    name: str, plan: Plan, series: Tensor, end: int, seeds: Iterable[int]
) -> tuple[dict[str, list[dict]], dict[str, nn.Module]]:
    """Every method at one origin: its records, one for each seed, and the networks of the first seed."""
    parts, records, models = plan.split(series, end), {}, {}
    for method, forecast in baselines(name, plan, parts.train).items():
        records[method] = [measure(forecast, plan, parts)]
    kinds = {"": "levels", " one step": "one step"} if name == "sunspots" else {"": "levels", " on changes": "changes"}
    for label, kind in kinds.items():
        for layer in LAYERS:
            runs = [measure_network(kind, LAYERS[layer], plan, parts, seed) for seed in seeds]
            records[layer + label] = [record for record, _ in runs]
            models[layer + label] = runs[0][1]
    return records, models


def run(series: dict[str, Tensor], plans: dict[str, Plan], seeds: Iterable[int]) -> tuple[dict, dict[str, Tensor]]:
    """All series, origins and seeds: ``results[name][method][origin][seed]``, and the last origin's weights."""
    results, weights = {}, {}
    for name, plan in plans.items():
        origins = []
        for end in plan.ends:
            records, models = run_origin(name, plan, series[name], end, seeds)
            origins.append(records)
        results[name] = {method: [records[method] for records in origins] for method in origins[0]}
        for method, model in models.items():
            if method.startswith("GRU"):
                weights |= {f"{name}.{method}.{key}": value for key, value in model.state_dict().items()}
    return results, weights


def table(results: dict) -> str:
    """Mean absolute error over all steps: over the seeds (mean of the origins), and from origin to origin."""
    lines = []
    for name, methods in results.items():
        lines.append(f"{name:18} error  ± over seeds   by origin                     conformal  quantiles (80%)")
        for method, origins in methods.items():
            by_origin = [fmean(fmean(record["errors"]) for record in records) for records in origins]
            by_seed = [fmean(fmean(records[seed]["errors"]) for records in origins) for seed in range(len(origins[0]))]
            spread = f"{stdev(by_seed):.2f}" if len(by_seed) > 1 else "    "
            held = [
                f"{fmean(record[kind][1] for records in origins for record in records):.2f}"
                for kind in ("conformal", "quantiles")
                if kind in origins[0][0]
            ]
            each = " ".join(f"{error:5.2f}" for error in by_origin)
            lines.append(f"  {method:17} {fmean(by_origin):5.2f}  {spread:13} {each}     {'       '.join(held)}")
    return "\n".join(lines)


def smaller(plans: dict[str, Plan], origins: int, **sizes: int) -> dict[str, Plan]:
    """The same plans with the first few origins and other sizes, to try things out."""
    return {name: replace(plan, ends=plan.ends[:origins], **sizes) for name, plan in plans.items()}


def main() -> None:
    torch.set_num_threads(1)  # small tensors: more threads would wait for one another
    begun = time.process_time()
    results, weights = run(load_series(), PLANS, seeds=range(5))
    print(table(results))
    seconds = time.process_time() - begun
    save_run("forecasting", weights, results, command=COMMAND, seconds=seconds)
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
