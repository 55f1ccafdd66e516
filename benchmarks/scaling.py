"""How much faster is a training step in two processes than in one? With one thread each, on the CPU, by gloo.

    .venv/bin/python benchmarks/scaling.py [--processes 2] [--rounds 20]

starts itself under torchrun. The contestants take turns: the first process computes a step on the whole batch while the
others wait, then all compute a step on their parts, then they do the two halves of that apart, the computation without
the exchange and the exchange without the computation. Printed are ratios of medians, and the speed-up that the parts
would add up to.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from interleaved import describe_machine
from torch import nn

from companion import LanguageModel, next_token_loss
from companion.distributed import distributed_model, shard

VOCABULARY = 80
SIZES = [(35, 32, 64, 128), (35, 64, 64, 256), (100, 64, 128, 512)]  # (T, B, D, H)


def median_turns(turns: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each turn, in this process; all begin a turn together."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds + 1):
        for name, turn in turns.items():
            dist.barrier()
            start = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def measure(T: int, B: int, D: int, H: int, rounds: int) -> dict[str, float]:
    """What one of the processes does for one size."""
    torch.manual_seed(0)
    model = LanguageModel(nn.GRU(D, H), VOCABULARY)
    joined, rank, size = distributed_model(model), dist.get_rank(), dist.get_world_size()
    batch = torch.randint(VOCABULARY, (T, B)), torch.randint(VOCABULARY, (T, B))
    part = shard(batch, rank, size)
    gradient = torch.zeros(sum(weight.numel() for weight in model.parameters()))

    def step(model: nn.Module, batch: tuple) -> None:
        model.zero_grad()
        next_token_loss(model, batch)[0].backward()

    turns = {
        "whole": lambda: step(model, batch) if rank == 0 else None,
        "together": lambda: step(joined, part),
        "part": lambda: step(model, part),
        "exchange": lambda: dist.all_reduce(gradient),
    }
    return median_turns(turns, rounds) | {"megabytes": gradient.nbytes / 1e6}


def print_table(processes: int, rounds: int) -> None:
    """Start the processes, and print one row for each size."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    run = subprocess.run(
        [*command, __file__, "--rounds", str(rounds)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    torch.set_num_threads(1)
    print(f"{describe_machine(torch.device('cpu'))} a process, {processes} processes, {os.cpu_count()} cores")
    heads = f"{'gradient, MB':>13}{'speed-up':>10}{'its parts say':>15}{'exchange, share of a step':>27}"
    print(f"{'(T, B, D, H)':22}{heads}")
    for T, B, D, H, found in json.loads(run.stdout):
        parts = found["whole"] / (found["part"] + found["exchange"])
        row = f"{found['megabytes']:13.2f}{found['whole'] / found['together']:10.2f}{parts:15.2f}"
        print(f"{(T, B, D, H)!s:22}{row}{found['exchange'] / found['together']:27.2f}")


def main() -> None:
    """Print the table, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20, help="how many turns each contestant has")
    options = parser.parse_args()
    if options.processes < 2 or options.rounds < 1:
        parser.error("--processes should be at least 2, and --rounds at least 1")
    if "RANK" not in os.environ:
        print_table(options.processes, options.rounds)
        return
    found = [(*size, measure(*size, options.rounds)) for size in SIZES]
    if dist.get_rank() == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
