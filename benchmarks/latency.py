"""One character to its answer, at a batch of one: ways to run a character model, their latency and size as ratios.

    .venv/bin/python benchmarks/latency.py [--rounds 200] [--repeats 5] [--hidden 128 256 512] [--compile]

A model here is an embedding, a GRU and a linear output, with random weights. The time of nn.GRU in float32 is 1.
"""

import argparse
import os
import random
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from interleaved import describe_machine
from torch import nn

import companion
from companion.onnx_layout import export_onnx

V, D = 60, 64  # tokens, embedding
BASELINE = "nn.GRU, float32"


def in_bfloat16(model: nn.Module, token: torch.Tensor, state: torch.Tensor) -> None:
    """One step under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        model(token, state)


def quantized(model: nn.Module) -> nn.Module:
    """The model with PyTorch's integer kernels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and without a successor for recurrent layers
        return torch.ao.quantization.quantize_dynamic(model, {nn.GRU, nn.Linear}, dtype=torch.qint8)


def onnx_step(model: companion.LanguageModel, state: torch.Tensor) -> Callable[[], object] | None:
    """The layer of the model in onnxruntime, None where that is not installed.

    The embedding and the linear output, a row of a table and one small product, stay with NumPy.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        print("no onnxruntime: it is left out")
        return None
    with TemporaryDirectory() as folder:
        path = Path(folder, "layer.onnx")
        export_onnx(model.layer, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    table, W, b = (weight.detach().numpy() for weight in (model.embedding.weight, *model.output.parameters()))
    h = state.numpy()

    def step() -> object:
        outputs, _ = session.run(None, {"input": table[[[0]]], "h_0": h})
        return outputs @ W.T + b

    return step


def contestants(H: int, with_compiler: bool) -> dict[str, Callable[[], object]]:
    """Ways to make one step, by name; all have the same weights."""
    torch.manual_seed(0)
    theirs = companion.LanguageModel(nn.GRU(D, H), V).eval()
    ours = companion.LanguageModel(companion.GRU(D, H), V).eval()
    ours.load_state_dict(theirs.state_dict())
    token, state = torch.zeros(1, 1, dtype=torch.long), torch.randn(1, 1, H)
    small = quantized(theirs)
    found = {
        BASELINE: lambda: theirs(token, state),
        "our GRU, float32": lambda: ours(token, state),
        "nn.GRU, bfloat16 autocast": lambda: in_bfloat16(theirs, token, state),
        "nn.GRU, 8 bits": lambda: small(token, state),
    }
    if with_compiler:
        headers = {"cpp_cache_precompile_headers": False}  # 150 MB that would stay on the disk
        compiled = torch.compile(ours, fullgraph=True, options=headers)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own
            compiled(token, state)
        print(f"H = {H}: compiled in {time.perf_counter() - start:.1f} s")
        found["our GRU, compiled"] = lambda: compiled(token, state)
    step = onnx_step(theirs, state)
    return found | ({"onnxruntime": step} if step else {})


def all_seconds(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Every single time of each contestant; they take turns, in an order drawn anew for each round.

    Who comes after whom matters, as each finds the cache as the one before left it. An order that is reversed from
    round to round would run the first and the last twice in a row, and favor them.
    """
    order, source = list(runs.items()), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-rounds // 10, rounds):  # the first ones warm up
        source.shuffle(order)
        for name, run in order:
            start = time.perf_counter()
            run()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def at_share(values: list[float], share: float) -> float:
    """The value that this share of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@torch.no_grad()
def compare(H: int, rounds: int, repeats: int, with_compiler: bool) -> None:
    """Print one row for each contestant: the ratio of medians and its range over the repeats, the same of the 95th."""
    runs = contestants(H, with_compiler)
    measured = [all_seconds(runs, rounds) for _ in range(repeats)]
    for name in runs:
        ratios = [statistics.median(one[name]) / statistics.median(one[BASELINE]) for one in measured]
        slow = [at_share(one[name], 0.95) / statistics.median(one[BASELINE]) for one in measured]
        middle = 1e6 * statistics.median(statistics.median(one[name]) for one in measured)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{H:5}  {name:28}{spread:>24}{statistics.median(slow):10.2f}{middle:12.0f}", flush=True)


def main() -> None:
    """Print a block of rows for each number of hidden units."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="how many answers each contestant gives in a repeat")
    parser.add_argument("--repeats", type=int, default=5, help="how many times the whole measurement is done")
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 256, 512], help="numbers H of hidden units")
    parser.add_argument("--compile", action="store_true", help="torch.compile our layer, too: it needs C++ and seconds")
    options = parser.parse_args()
    if min(options.rounds, options.repeats, *options.hidden) < 1:
        parser.error("--rounds, --repeats and --hidden should be at least 1")
    torch.set_num_threads(1)
    cache = TemporaryDirectory()  # what torch.compile keeps: an empty one makes its seconds honest
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    print(f"{describe_machine(torch.device('cpu'))}; {options.repeats} repeats of {options.rounds} interleaved rounds")
    print(f"{'H':>5}  {'way':28}{'median / baseline':>24}{'95th':>10}{'median, µs':>12}")
    for H in options.hidden:
        compare(H, options.rounds, options.repeats, options.compile)
    cache.cleanup()


if __name__ == "__main__":
    main()
