"""Timing that survives a restless machine: the contestants take turns, and only ratios of medians are reported."""

import random
import statistics
import time
from collections.abc import Callable

import torch

__all__ = ["describe_machine", "median_seconds"]


def median_seconds(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median time of each contestant, after one warm-up each.

    Args:
        contestants: functions of no argument by name; they take turns, in another order each round, so that a slow
            moment hits all of them.
        rounds: how many times each runs.

    Returns:
        Seconds by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    order, source = list(contestants.items()), random.Random(0)
    for _ in range(rounds):
        source.shuffle(order)  # with turns in reverse, the first and the last would find the caches as they left them
        for name, run in order:
            synchronize()
            start = time.perf_counter()
            run()
            synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def synchronize() -> None:
    """Wait for the GPU: it works on after the call that started it has returned."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def describe_machine(device: torch.device) -> str:
    """One line: the device, torch's version and the number of threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{name}, torch {torch.__version__}"
