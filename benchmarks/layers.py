"""Our layers against nn's: one training pass (forward and backward), and inference. Prints time ratios.

    .venv/bin/python benchmarks/layers.py [--rounds 20] [--layers RNN GRU LSTM]
"""

import argparse
from collections.abc import Callable

import torch
from interleaved import describe_machine, median_seconds
from torch import nn

import companion

SIZES = [(35, 32, 28, 256), (128, 32, 256, 256), (512, 16, 128, 128)]  # T, B, D, H


def training_pass(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Forward and backward, with gradients of every weight and of the input."""

    def run() -> None:
        layer.zero_grad()
        x.grad = None
        output, _ = layer(x)
        output.sum().backward()

    return run


def inference(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Forward alone, without recording anything."""

    @torch.inference_mode()
    def run() -> None:
        layer(x)

    return run


def main() -> None:
    """Print one row for each layer and size: our time over nn's, below 1 is faster than nn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how many times each contestant runs")
    parser.add_argument("--layers", nargs="+", choices=["RNN", "GRU", "LSTM"], default=["RNN", "GRU", "LSTM"])
    options = parser.parse_args()
    rounds = options.rounds
    device = companion.choose_device()
    print(f"{describe_machine(device)}; ratios of medians of {rounds} interleaved rounds, companion / nn")
    print(f"{'layer':6}{'(T, B, D, H)':22}{'training pass':>14}{'inference':>11}{'nn training, ms':>17}")
    for kind in options.layers:
        for T, B, D, H in SIZES:
            torch.manual_seed(0)
            theirs = getattr(nn, kind)(D, H, device=device)
            ours = getattr(companion, kind)(D, H, device=device)
            ours.load_state_dict(theirs.state_dict())
            x = torch.randn(T, B, D, device=device, requires_grad=True)
            ratios = []
            for kind_of_run in (training_pass, inference):
                times = median_seconds({"nn": kind_of_run(theirs, x), "companion": kind_of_run(ours, x)}, rounds)
                ratios.append(times["companion"] / times["nn"])
                if kind_of_run is training_pass:
                    milliseconds = 1000 * times["nn"]
            print(f"{kind:6}{(T, B, D, H)!s:22}{ratios[0]:14.2f}{ratios[1]:11.2f}{milliseconds:17.1f}", flush=True)


if __name__ == "__main__":
    main()
