"""Checks of the exercises of *Deep recurrent networks, twice*."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from companion.checks.compare import compare

__all__ = [
    "check_lower_layers",
    "check_mean_gap",
    "check_one_mask",
    "check_skip_stack",
    "check_top_states",
    "check_waves",
]


def _random(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def _random_gru(input_size: int, hidden_size: int, num_layers: int = 1, bidirectional: bool = False) -> nn.GRU:
    """An nn.GRU with random weights and biases, drawn without touching the reader's random numbers."""
    layer = nn.GRU(input_size, hidden_size, num_layers, bidirectional=bidirectional, device="meta")
    layer = layer.to_empty(device="cpu")
    with torch.no_grad():
        for seed, weight in enumerate(layer.parameters()):
            weight.copy_(_random(*weight.shape, seed=seed) / 2)
    return layer


def check_top_states(answer: Callable) -> bool:
    """Check ``top_states(h_n, num_directions)``: the final states of the top layer, shape (B, S * H)."""

    def reference(h_n: Tensor, num_directions: int) -> Tensor:
        return torch.cat(list(h_n[len(h_n) - num_directions :]), -1)

    cases = {
        "one layer, one direction": (_random(1, 4, 5), 1),
        "three layers, one direction": (_random(3, 4, 5), 1),
        "two layers, two directions": (_random(4, 4, 5), 2),
        "three layers, two directions, a batch of one": (_random(6, 1, 5), 2),
    }
    hint = (
        "The rows of h_n: layer 0 forward, layer 0 reverse, layer 1 forward, and so on. How many rows does the top "
        "layer have, and where? They go side by side, in the last dimension."
    )
    return compare(answer, reference, cases, hint)


def _run_lower(answer: Callable, layer: nn.GRU, count: int, inputs: Tensor) -> dict[str, Any]:
    lower = answer(layer, count)
    outputs, h_n = lower(inputs)
    return {"num_layers": lower.num_layers, "the outputs": outputs, "h_n": h_n}


def check_lower_layers(answer: Callable) -> bool:
    """Check ``lower_layers(layer, count)``: an nn.GRU of the lowest layers of another, with their weights."""

    def reference(layer: nn.GRU, count: int) -> nn.GRU:
        lower = _random_gru(layer.input_size, layer.hidden_size, count, layer.bidirectional)
        lower.load_state_dict({name: layer.state_dict()[name] for name in lower.state_dict()})
        return lower

    cases = {
        "1 layer of 3": (_random_gru(3, 4, 3), 1, _random(7, 2, 3)),
        "2 layers of 3": (_random_gru(3, 4, 3), 2, _random(7, 2, 3)),
        "all of 2 layers": (_random_gru(3, 4, 2), 2, _random(7, 2, 3)),
        "1 layer of 2, with two directions": (_random_gru(3, 4, 2, True), 1, _random(7, 2, 3)),
        "2 layers of 11": (_random_gru(2, 3, 11), 2, _random(4, 2, 2)),
    }
    hint = (
        "Make an nn.GRU with the same arguments and fewer layers. Its own state_dict has the names that it needs; the "
        "other's has them too, and some more. Mind that l1 is also how l10 begins."
    )
    return compare(answer, reference, cases, hint, call=_run_lower)


def _properties_of_mask(answer: Callable, x: Tensor, p: float) -> dict[str, Any]:
    """What a random answer must be like, by words that name it."""
    with torch.random.fork_rng(devices=[]):  # the answer draws numbers: the reader's own go on as if it had not
        torch.manual_seed(0)
        first, second, idle = answer(x, p, True), answer(x, p, True), answer(x, p, False)
    kept = first != 0  # x has no zeros
    share = float((~kept[0]).float().mean())
    return {
        "with training=False": idle,
        "in training, its shape": tuple(first.shape),
        "is every number 0, or x / (1 - p)": bool(((first == 0) | (first - x / (1 - p)).abs().lt(1e-5)).all()),
        "is the mask the same at every step": bool((kept == kept[0]).all()),
        "is the share of zeros near p": abs(share - p) < 0.05,
        "does each sequence have a mask of its own": p == 0 or not bool((kept == kept[:, :1]).all()),
        "does each call have a mask of its own": p == 0 or not torch.equal(kept, second != 0),
    }


def check_one_mask(answer: Callable) -> bool:
    """Check ``one_mask_dropout(x, p, training)``: dropout with one mask for all time steps of a sequence."""

    def reference(x: Tensor, p: float, training: bool) -> Tensor:
        return x * nn.functional.dropout(torch.ones_like(x[:1]), p, training)

    x = _random(20, 30, 100).abs() + 0.5
    cases = {"p = 0.5": (x, 0.5), "p = 0.2": (x, 0.2), "p = 0": (x, 0.0), "a single step": (x[:1], 0.5)}
    hint = (
        "x has shape (T, B, H), and the mask has shape (B, H) or (1, B, H): drawn once, used at every step. What is "
        "kept is scaled, so that the mean stays what it was. Without training nothing happens."
    )
    return compare(answer, reference, cases, hint, call=_properties_of_mask)


def check_skip_stack(answer: Callable) -> bool:
    """Check ``skip_stack(layers, inputs)``: upper layers read the inputs too, the output is that of all layers."""

    def reference(layers: Sequence[nn.GRU], inputs: Tensor) -> Tensor:
        collected = [layers[0](inputs)[0]]
        for layer in layers[1:]:
            collected.append(layer(torch.cat([collected[-1], inputs], -1))[0])
        return torch.cat(collected, -1)

    def case(T: int, B: int, D: int, H: int, L: int) -> tuple:
        return [_random_gru(D + H * (depth > 0), H) for depth in range(L)], _random(T, B, D)

    cases = {
        "two layers": case(7, 2, 3, 4, 2),
        "four layers": case(5, 2, 3, 4, 4),
        "a single layer": case(5, 2, 3, 4, 1),
        "a single step of one sequence": case(1, 1, 2, 3, 3),
    }
    hint = (
        "Every layer but the first reads two things side by side: the outputs of the layer below, then the inputs. "
        "Collect the outputs of all layers, and put them side by side too, the lowest first."
    )
    return compare(answer, reference, cases, hint)


def _sorted_waves(answer: Callable, num_steps: int, num_layers: int) -> list[list[tuple[int, ...]]]:
    return [sorted(tuple(cell) for cell in wave) for wave in answer(num_steps, num_layers)]


def check_waves(answer: Callable) -> bool:
    """Check ``waves(num_steps, num_layers)``: the cells (t, layer) of the grid that can be computed together."""

    def reference(num_steps: int, num_layers: int) -> list[list[tuple[int, int]]]:
        cells = [(t, layer) for t in range(num_steps) for layer in range(num_layers)]
        return [[cell for cell in cells if sum(cell) == wave] for wave in range(num_steps + num_layers - 1)]

    cases = {
        "5 steps, 3 layers": (5, 3),
        "2 steps, 4 layers": (2, 4),
        "1 layer": (6, 1),
        "1 step": (1, 3),
        "35 steps, 4 layers": (35, 4),
    }
    hint = (
        "A cell waits for the one below it and the one before it, and for nothing else. Which cells can begin at "
        "once? Which ones after those? Each cell belongs to the earliest wave that it can."
    )
    return compare(answer, reference, cases, hint, call=_sorted_waves)


def _made_up_perplexity(L: int, residual: bool, seed: int, passes: int = 3) -> float:
    """In place of a training that takes seconds: a number that tells every argument from every other value of it."""
    return 4.0 + (L - 0.5 * residual) / passes + 0.1 * (seed * L % 7)


def check_mean_gap(answer: Callable) -> bool:
    """Check ``mean_gap(train, passes, num_seeds)``: how far four plain layers are behind one, over several seeds."""

    def reference(train: Callable, passes: int, num_seeds: int) -> float:
        gaps = [train(4, False, seed, passes) - train(1, False, seed, passes) for seed in range(num_seeds)]
        return sum(gaps) / num_seeds

    cases = {
        "3 passes, one seed": (_made_up_perplexity, 3, 1),
        "10 passes, one seed": (_made_up_perplexity, 10, 1),
        "10 passes, three seeds": (_made_up_perplexity, 10, 3),
    }
    hint = (
        "Train both networks with every seed from 0 on, for as many passes as asked. Neither has residual connections. "
        "The gap is the perplexity of four layers minus that of one: positive if the stack is behind."
    )
    return compare(answer, reference, cases, hint)
