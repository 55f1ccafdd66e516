"""Checks of the exercises of *Bidirectional networks, twice*."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checks.compare import compare

__all__ = [
    "check_count_parameters",
    "check_deep_bidirectional",
    "check_final_states",
    "check_late_targets",
    "check_reads_ahead",
    "check_top_states",
]


def _random(*shape: int) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def _with_random_weights(layer: nn.Module) -> nn.Module:
    """The layer with weights that do not depend on the reader's random numbers."""
    with torch.no_grad():
        for number, weight in enumerate(layer.parameters()):
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)) / 3)
    return layer


def _layer(kind: type, *sizes: int, **arguments: bool) -> nn.Module:
    """A recurrent layer with such weights. Drawing its first ones leaves the reader's random state alone."""
    with torch.random.fork_rng(devices=[]):
        return _with_random_weights(kind(*sizes, **arguments))


def check_final_states(answer: Callable) -> bool:
    """Check ``final_states(outputs, hidden_size)``: both final states side by side, (B, 2H)."""

    def reference(outputs: Tensor, hidden_size: int) -> Tensor:
        rows = outputs.unbind(1)
        return torch.stack([torch.cat([row[-1, :hidden_size], row[0, hidden_size:]]) for row in rows])

    cases = {
        "T = 5, B = 3, H = 2": (_random(5, 3, 4), 2),
        "one time step": (_random(1, 3, 4), 2),
        "T = B = H = 3": (_random(3, 3, 6), 3),
        "a batch of one": (_random(4, 1, 2), 1),
    }
    hint = (
        "The reverse direction begins at the last step. Where does it end, and which half "
        "of the features is it?"
    )
    return compare(answer, reference, cases, hint)


def check_count_parameters(answer: Callable) -> bool:
    """Check ``count_parameters(input_size, hidden_size, num_layers, bidirectional)`` of a GRU."""

    def reference(input_size: int, hidden_size: int, num_layers: int, bidirectional: bool) -> int:
        gru = nn.GRU(input_size, hidden_size, num_layers, bidirectional=bidirectional, device="meta")
        return sum(weight.numel() for weight in gru.parameters())

    cases = {
        "one layer, one direction": (3, 5, 1, False),
        "one layer, two directions": (3, 5, 1, True),
        "two layers, one direction": (3, 5, 2, False),
        "two layers, two directions": (3, 5, 2, True),
        "four layers, D = 100, H = 7": (100, 7, 4, True),
    }
    hint = (
        "Three blocks of H rows, two biases each. Count one direction of one layer, given how many features "
        "it reads. What does a layer above the first read?"
    )
    return compare(answer, reference, cases, hint)


def check_top_states(answer: Callable) -> bool:
    """Check ``top_states(h_n, num_layers)``: the last layer's final states side by side, (B, S * H)."""

    def reference(h_n: Tensor, num_layers: int) -> Tensor:
        directions = len(h_n) // num_layers
        return torch.stack([h_n[-directions:, row].flatten() for row in range(h_n.shape[1])])

    cases = {
        "one layer, two directions": (_random(2, 3, 5), 1),
        "three layers, two directions": (_random(6, 3, 5), 3),
        "two layers, one direction": (_random(2, 4, 5), 2),
        "two layers, two directions, B = H = 2": (_random(4, 2, 2), 2),
    }
    hint = (
        "h_n goes by layer and, within a layer, by direction: view(num_layers, -1, B, H). Reshaping "
        "(S, B, H) to (B, S * H) at once would mix the sequences. Which axis has to move first?"
    )
    return compare(answer, reference, cases, hint)


def check_late_targets(answer: Callable) -> bool:
    """Check ``late_targets(targets, delay)``: the targets so many steps later, -100 before them."""

    def reference(targets: Tensor, delay: int) -> Tensor:
        late = torch.full_like(targets, -100)
        for step in range(delay, len(targets)):
            late[step] = targets[step - delay]
        return late

    targets = torch.arange(1, 13).view(6, 2)
    cases = {
        "a delay of 2, T = 6": (targets, 2),
        "no delay": (targets, 0),
        "a delay of T - 1": (targets, 5),
        "a delay longer than T": (targets, 8),
        "targets of one sequence, shape (T)": (torch.arange(5), 1),
    }
    hint = (
        "The first steps answer nothing, and the last targets fall out. "
        "Beware of targets[:-delay] when delay is 0."
    )
    return compare(answer, reference, cases, hint)


def _window(x: Tensor) -> Tensor:
    """A running mean of 5 steps, two of them ahead."""
    return F.avg_pool1d(x.permute(1, 2, 0), 5, stride=1, padding=2).permute(2, 0, 1)


def _three_ahead(x: Tensor) -> Tensor:
    return torch.cat([x[3:], torch.zeros_like(x[:3])])


def check_reads_ahead(answer: Callable) -> bool:
    """Check ``reads_ahead(run, x)``: how many steps ahead an output depends on the input, at the most."""

    def reference(run: Callable, x: Tensor) -> int:
        table = torch.autograd.functional.jacobian(lambda given: run(given).sum((1, 2)), x)  # (T, T, B, D)
        pairs = table.abs().amax((2, 3)).nonzero()
        return max(0, int((pairs[:, 1] - pairs[:, 0]).max()))

    forward, both = _layer(nn.GRU, 2, 3), _layer(nn.GRU, 2, 3, bidirectional=True)
    cases = {
        "a GRU": (lambda x: forward(x)[0], _random(7, 2, 2)),
        "a running mean that reads two steps ahead": (_window, _random(7, 2, 2)),
        "the input three steps later": (_three_ahead, _random(8, 1, 2)),
        "a bidirectional GRU over 6 steps": (lambda x: both(x)[0], _random(6, 2, 2)),
        "the state of the step before": (lambda x: torch.cat([x[:1] * 0, x[:-1]]), _random(5, 2, 2)),
    }
    hint = (
        "For each step t ask for the gradient of outputs[t].sum() with respect to x. At which steps is it "
        "not zero, and how far is the last of them from t?"
    )
    return compare(answer, reference, cases, hint)


def check_deep_bidirectional(answer: Callable) -> bool:
    """Check ``deep_bidirectional(pairs, x)``: a bidirectional stack of pairs of single layers."""

    def reference(pairs: list[tuple[nn.Module, nn.Module]], x: Tensor) -> Tensor:
        for forward, reverse in pairs:
            x = torch.cat([forward(x)[0], reverse(x.flip(0))[0].flip(0)], -1)
        return x

    def pairs(kind: type, features: int, hidden: int, layers: int) -> list[tuple[nn.Module, nn.Module]]:
        sizes = [features] + [2 * hidden] * (layers - 1)
        return [tuple(_layer(kind, size, hidden).requires_grad_(False) for _ in range(2)) for size in sizes]

    one = pairs(nn.GRU, 3, 4, 1)
    swapped = [(_layer(nn.GRU, 3, 4), _layer(nn.GRU, 3, 4, bias=False))]
    cases = {
        "one layer of GRUs": (one, _random(5, 2, 3)),
        "a pair whose layers differ": (swapped, _random(5, 2, 3)),
        "two layers of GRUs": (pairs(nn.GRU, 3, 4, 2), _random(6, 2, 3)),
        "three layers of LSTMs": (pairs(nn.LSTM, 3, 2, 3), _random(5, 1, 3)),
    }
    hint = (
        "Both layers of a pair read the same sequence, the second one flipped over time, and its outputs are "
        "flipped back. What does the next pair read?"
    )
    return compare(answer, reference, cases, hint)
