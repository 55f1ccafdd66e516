"""The SRU against nn's LSTM and GRU and against the package of its authors, two layers each. Prints time ratios.

    .venv/bin/python benchmarks/sru.py [--rounds 20] [--threads 2] [--parts layers growth gpu]

layers  training pass and inference on the CPU, by every way to run the recurrence, over nn.LSTM's time
growth  time and peak memory of a training pass over T = 1,000, 3,000 and 10,000 steps, each in a process of its own
gpu     how much of the copy bandwidth the fused recurrence reaches, and whole layers against cuDNN's LSTM

The authors' package (sru 2.6.0) is measured where it can be imported; the project does not need it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch
from interleaved import describe_machine, median_seconds
from layers import inference, training_pass
from torch import nn

import companion
from companion.kernels import fused_kernel, sru_recurrence
from companion.kernels.sru_eager import sru_plain

SIZES = [(128, 32, 256, 256), (512, 16, 128, 128)]  # T, B, D, H
LENGTHS = [1_000, 3_000, 10_000]
GROWTH = 16, 128, 128  # B, D, H
LAYERS = 2


def use_threads(count: int) -> None:
    """Set the number of threads; twice, since numba's first start sets OpenMP's number, and torch shares that."""
    torch.set_num_threads(count)
    companion.SRU(1, 1)(torch.zeros(1, 1, 1))
    torch.set_num_threads(count)


# The ways to run an SRU's recurrence


@contextmanager
def by(**names: Callable) -> Iterator[None]:
    """Replace names that the package chooses its way with."""
    homes = {"sru_recurrence": "companion.sru", "fused_kernel": "companion.kernels"}
    patches = [mock.patch(f"{homes[name]}.{name}", replacement) for name, replacement in names.items()]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def ways(device: torch.device) -> dict[str, Callable]:
    """Context managers by name; inside, the package's SRU runs that way."""
    found = {
        "SRU, plain loop": partial(by, sru_recurrence=sru_plain),
        "SRU, by hand": partial(by, fused_kernel=lambda device_type, dtype: None),
    }
    if fused_kernel(device.type, torch.float32) is None:
        print(f"no fused kernel: it needs {'Triton' if device.type == 'cuda' else 'numba'}")
    else:
        found["SRU, fused"] = partial(by, sru_recurrence=sru_recurrence)
    return found


def inside(way: Callable, run: Callable[[], None]) -> Callable[[], None]:
    """The same run, done that way; to step in and out costs microseconds."""

    def run_that_way() -> None:
        with way():
            run()

    return run_that_way


def authors_package() -> ModuleType | None:
    """The package ``sru`` if it is installed and works; its import compiles C++."""
    folder = Path(__file__).resolve().parent  # this file has the same name, and would be found first
    try:
        with mock.patch.object(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != folder]):
            import sru
    except Exception as error:  # not installed, or no compiler
        print(f"the authors' package is left out: {type(error).__name__}: {str(error).splitlines()[0]}")
        return None
    return sru


def contestants(
    D: int, H: int, device: torch.device, authors: ModuleType | None
) -> dict[str, tuple[nn.Module, Callable | None]]:
    """By name a layer, and the way it runs; None where there is no choice."""
    torch.manual_seed(0)
    found = {
        "nn.LSTM": (nn.LSTM(D, H, LAYERS, device=device), None),
        "nn.GRU": (nn.GRU(D, H, LAYERS, device=device), None),
    }
    ours = companion.SRU(D, H, LAYERS, device=device)
    found |= {name: (ours, way) for name, way in ways(device).items()}
    if authors is not None:
        found["authors' sru"] = (authors.SRU(D, H, LAYERS).to(device), None)
    return found


def times_of(kind: Callable, entered: dict, x: torch.Tensor, rounds: int) -> dict[str, float]:
    """The median seconds of every contestant, for a kind of run."""
    runs = {name: kind(layer, x) for name, (layer, _) in entered.items()}
    runs = {name: run if entered[name][1] is None else inside(entered[name][1], run) for name, run in runs.items()}
    return median_seconds(runs, rounds)


def compare_layers(sizes: Sequence[tuple[int, int, int, int]], device: torch.device, rounds: int) -> None:
    """Print one row for each contestant and size: its time over nn.LSTM's, below 1 is faster."""
    authors = authors_package()
    print(f"{describe_machine(device)}; {LAYERS} layers; ratios to nn.LSTM of medians of {rounds} interleaved rounds")
    print(f"{'(T, B, D, H)':22}{'layer':18}{'training pass':>14}{'inference':>11}{'training, ms':>14}")
    for T, B, D, H in sizes:
        entered = contestants(D, H, device, authors)
        x = torch.randn(T, B, D, device=device, requires_grad=True)
        training, forward = (times_of(kind, entered, x, rounds) for kind in (training_pass, inference))
        for name, seconds in training.items():
            ratios = seconds / training["nn.LSTM"], forward[name] / forward["nn.LSTM"]
            row = f"{name:18}{ratios[0]:14.2f}{ratios[1]:11.2f}{1000 * seconds:14.1f}"
            print(f"{(T, B, D, H)!s:22}{row}", flush=True)


# Growth with the number of steps


def measure_length(T: int, rounds: int) -> dict[str, float]:
    """Seconds of a training pass, and how many bytes it takes beyond what a tiny one has taken."""
    B, D, H = GROWTH
    layer = companion.SRU(D, H, LAYERS)
    training_pass(layer, torch.randn(2, B, D, requires_grad=True))()  # compiled, and loaded
    before = peak_bytes()
    run = training_pass(layer, torch.randn(T, B, D, requires_grad=True))
    run()
    taken = peak_bytes() - before  # of the first pass: later ones may find memory that is taken already
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": sorted(seconds)[rounds // 2], "bytes": taken}


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage counts what the parent had when it started this process
        return next(1024 * int(line.split()[1]) for line in status.open() if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def compare_lengths(rounds: int, threads: int) -> None:
    """Print one row for each number of steps; in each round every length has its turn, in a new process."""
    B, D, H = GROWTH
    found: dict[int, list[dict[str, float]]] = {T: [] for T in LENGTHS}
    for _ in range(3):
        for T, measured in found.items():
            command = [sys.executable, __file__, "--one-length", str(T), "--threads", str(threads)]
            output = subprocess.run([*command, "--rounds", str(rounds)], check=True, capture_output=True, text=True)
            measured.append(json.loads(output.stdout))
    print(f"growth, SRU, {LAYERS} layers, (B, D, H) = {(B, D, H)}, training pass; medians of 3 processes")
    print(f"{'T':>7}{'ms':>10}{'peak, MB':>11}{'time a step':>14}{'memory a step':>16}  (over T = {LENGTHS[0]:,})")
    middle = {T: {key: sorted(part[key] for part in parts)[1] for key in parts[0]} for T, parts in found.items()}
    first = {key: value / LENGTHS[0] for key, value in middle[LENGTHS[0]].items()}
    for T, values in middle.items():
        time_ratio, memory_ratio = (values[key] / T / first[key] for key in ("seconds", "bytes"))
        row = f"{1000 * values['seconds']:10.1f}{values['bytes'] / 1e6:11.0f}{time_ratio:14.2f}{memory_ratio:16.2f}"
        print(f"{T:7,}{row}", flush=True)


# On a GPU


def measure_bandwidth(device: torch.device, rounds: int, T: int = 512, B: int = 64, H: int = 1024) -> None:
    """Print the share of the copy bandwidth that the fused forward pass reaches in float32.

    Its traffic: candidate, two gates' sums and the highway's input are read, output and state written, six numbers for
    each unit and step. The weights, first and last states are a thousandth of that and counted too.
    """
    kernel = fused_kernel(device.type, torch.float32)
    if kernel is None:
        print("no Triton: the bandwidth of the fused recurrence is not measured")
        return
    U, x = torch.randn(T, B, 3 * H, device=device), torch.randn(T, B, H, device=device)
    weight_c, bias, c_0 = (torch.randn(*shape, device=device) for shape in [(2 * H,), (2 * H,), (B, H)])
    numbers = 6 * T * B * H + 2 * 2 * H + 2 * B * H
    source = torch.randn(numbers // 2, device=device)  # a copy of it, read and written, is the same traffic
    target = torch.empty_like(source)
    seconds = median_seconds(
        {
            "copy": lambda: target.copy_(source),
            "fused": lambda: kernel.forward(U, x, weight_c, bias, c_0, None, None, 1.0, False, False),
        },
        rounds,
    )
    copied = 2 * source.nbytes / seconds["copy"] / 1e9
    moved = 4 * numbers / seconds["fused"] / 1e9
    print(f"fused forward pass, (T, B, H) = {(T, B, H)}, float32: {moved:.0f} GB/s, copy {copied:.0f} GB/s", end="")
    print(f", share {moved / copied:.0%}")


def compare_on_gpu(rounds: int) -> None:
    """Print the bandwidth, then the layers in the paper's setting: batch 32, hidden 512 and 1024."""
    if not torch.cuda.is_available():
        print("no GPU here: that part is left out")
        return
    device = torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # products alike on both sides
    print(f"{describe_machine(device)}, TF32 {'on' if torch.backends.cudnn.allow_tf32 else 'off'}")
    measure_bandwidth(device, rounds)
    print(f"training pass, {LAYERS} layers, batch 32; how many times as fast as cuDNN's nn.LSTM, {rounds} rounds")
    names = "SRU, fused", "SRU, by hand", "nn.GRU"
    print(f"{'H':>5}{'T':>5}" + "".join(f"{name:>14}" for name in names) + f"{'nn.LSTM, ms':>14}")
    for H in (512, 1024):
        for T in (32, 64, 128, 256, 512):
            entered = contestants(H, H, device, None)
            entered.pop("SRU, plain loop")  # tens of thousands of kernel launches
            x = torch.randn(T, 32, H, device=device, requires_grad=True)
            seconds = times_of(training_pass, entered, x, rounds)
            lstm = seconds["nn.LSTM"]
            cells = (f"{lstm / seconds[name]:14.2f}" if name in seconds else f"{'-':>14}" for name in names)
            print(f"{H:5}{T:5}" + "".join(cells) + f"{1000 * lstm:14.2f}", flush=True)


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how many times each contestant runs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--parts", nargs="+", choices=["layers", "growth", "gpu"], default=["layers", "growth", "gpu"])
    parser.add_argument("--one-length", type=int, help=argparse.SUPPRESS)  # what a process of the part growth does
    options = parser.parse_args()
    if min(options.rounds, options.threads) < 1:
        parser.error("--rounds and --threads should be at least 1")
    use_threads(options.threads)
    if options.one_length:
        print(json.dumps(measure_length(options.one_length, options.rounds)))
        return
    if "layers" in options.parts:
        compare_layers(SIZES, torch.device("cpu"), options.rounds)
    if "growth" in options.parts:
        compare_lengths(max(3, options.rounds // 5), options.threads)
    if "gpu" in options.parts:
        compare_on_gpu(options.rounds)


if __name__ == "__main__":
    main()
