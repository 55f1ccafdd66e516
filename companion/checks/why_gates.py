"""Checks of the exercises of *Why gates*."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import random_numbers, with_random_weights
from companion.tasks import ADDING_BASELINE, adding_batches

__all__ = [
    "check_add",
    "check_chrono",
    "check_hold_weights",
    "check_maximum_step",
    "check_share_left",
    "check_weights_of_past",
]


def check_weights_of_past(answer: Callable) -> bool:
    """Check ``weights_of_past(keep, T)``: the weights of x_1, ..., x_T in a leaky unit's state after step T."""

    def reference(keep: float, T: int) -> Tensor:
        weights = torch.zeros(T)
        for t in range(T):
            weights = keep * weights
            weights[t] = 1 - keep
        return weights

    cases = {
        "keep = 0.5, T = 3": (0.5, 3),
        "a single step": (0.9, 1),
        "keep = 0.9, T = 40": (0.9, 40),
        "keep = 0: the last input alone": (0.0, 4),
        "keep = 1: a door that is shut": (1.0, 4),
    }
    hint = "x_T came in a moment ago, with weight 1 - keep. x_{T-1} was kept once since then. The oldest stands first."
    return compare(answer, reference, cases, hint)


def _after_silence(weights: Callable, num_steps: int) -> dict[str, bool]:
    """What a door with these weights does: whether it takes a level at the bell, and keeps it without."""
    weight, bias = weights()
    levels = 2 * torch.rand(num_steps, 200, generator=torch.Generator().manual_seed(0)) - 1
    h = torch.zeros(200)
    for t, level in enumerate(levels):
        bell = torch.full_like(level, float(t == 0))
        z = torch.sigmoid(weight[0] * level + weight[1] * bell + bias)
        h = torch.lerp(level, h, z)
        if t == 0:
            taken = bool((h - level).abs().max() < 0.01)
    kept = bool((h - levels[0]).abs().max() < 0.01)
    later = "a step" if num_steps == 2 else f"{num_steps - 1:,} steps"
    return {"it takes the level at the bell": taken, f"it still has it {later} later": kept}


def check_hold_weights(answer: Callable) -> bool:
    """Check ``hold_weights()``: two weights and a bias with which a door takes at the bell and keeps without."""

    def reference() -> tuple[Tensor, float]:
        return torch.tensor([0.0, -40.0]), 20.0

    cases = {"one other level": (2,), "100 other levels": (101,), "1,000 other levels": (1001,)}
    hint = (
        "The weights stand in the order level, bell. A loss of 1% in 1,000 steps is about 0.00001 a step: how far from "
        "0 does the sum inside the sigmoid have to be for that, without the bell and with it?"
    )
    return compare(answer, reference, cases, hint, call=_after_silence)


def _running(step: Callable, x: Tensor) -> Tensor:
    """The state after every step over x, from its first value on: shape (T, B)."""
    h, states = x[0], []
    for value in x:
        h = step(value, h)
        states.append(h)
    return torch.stack(states)


def check_maximum_step(answer: Callable) -> bool:
    """Check ``maximum_step(x, h)``: a door that keeps the largest number so far, written with a sigmoid."""

    def reference(x: Tensor, h: Tensor) -> Tensor:
        return torch.maximum(x, h)

    cases = {
        "rising numbers": (torch.linspace(-1, 1, 11).unsqueeze(1),),
        "falling numbers": (torch.linspace(1, -1, 11).unsqueeze(1),),
        "30 random numbers, 5 times": (random_numbers(30, 5),),
        "negative numbers": (random_numbers(30, 5) - 10,),
    }
    hint = (
        "The state is z * h + (1 - z) * x. When should z be 1, when 0? It may look at both, x and h, and a large "
        "factor inside the sigmoid makes it decided."
    )
    return compare(answer, reference, cases, hint, tolerance=0.01, call=_running)


def check_share_left(answer: Callable) -> bool:
    """Check ``share_left(z)``: what is left at the end of what the state held after each step, shape (T, B, H)."""

    def reference(z: Tensor) -> Tensor:
        later = torch.cat([z[1:], torch.ones_like(z[:1])])
        return later.flip(0).cumprod(0).flip(0)

    cases = {
        "three steps, one unit": (torch.tensor([0.9, 0.5, 0.8]).view(3, 1, 1),),
        "a single step": (torch.tensor([0.3]).view(1, 1, 1),),
        "a gate that is 0 once": (torch.tensor([0.9, 0.0, 0.5, 0.8]).view(4, 1, 1),),
        "20 steps, 3 sequences, 4 units": (torch.sigmoid(random_numbers(20, 3, 4)),),
    }
    hint = (
        "Which gates does the state after step t still have to pass? The gate of step t itself is over, and after the "
        "last step nothing is lost. A gate may be 0, so do not divide."
    )
    return compare(answer, reference, cases, hint)


def _chrono_properties(chrono: Callable, layer: nn.LSTM, longest: int) -> dict[str, bool]:
    """What is true of every layer and direction after the answer has set its biases."""
    before = {name: weight.detach().clone() for name, weight in layer.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        chrono(layer, longest)
    after = {name: weight.detach() for name, weight in layer.named_parameters()}
    found = {}
    for end in (name.removeprefix("bias_ih") for name in before if name.startswith("bias_ih")):
        i, f, g, o = (after[f"bias_ih{end}"] + after[f"bias_hh{end}"]).chunk(4)
        old = (before[f"bias_ih{end}"] + before[f"bias_hh{end}"]).chunk(4)
        constants = 1 + f.exp()
        name = end.removeprefix("_")
        found[f"{name}, time constants between 2 and {longest}"] = bool(
            ((constants > 1.999) & (constants < longest + 0.01)).all()
        )
        found[f"{name}, time constants of {longest / 2 + 1:g} on average"] = math.isclose(
            constants.mean(), longest / 2 + 1, rel_tol=0.15
        )
        found[f"{name}, no two units alike"] = len(f.unique()) > 0.9 * len(f)
        found[f"{name}, input biases opposite to forget biases"] = torch.allclose(i, -f, atol=1e-5)
        found[f"{name}, the other two blocks as they were"] = torch.allclose(torch.cat([g, o]), torch.cat(old[2:]))
    weights = [name for name in before if name.startswith("weight")]
    found["the weights as they were"] = all(torch.equal(before[name], after[name]) for name in weights)
    return found


@torch.no_grad()
def _chrono(layer: nn.LSTM, longest: int) -> None:
    H = layer.hidden_size
    for name, bias in layer.named_parameters():
        if name.startswith("bias_ih"):
            drawn = (1 + (longest - 2) * torch.rand(H)).log()
            bias[: 2 * H] = torch.cat([-drawn, drawn])
        elif name.startswith("bias_hh"):
            bias[: 2 * H] = 0


def check_chrono(answer: Callable) -> bool:
    """Check ``chrono(layer, longest)``: sets an nn.LSTM's forget and input biases, in every layer and direction."""
    cases = {
        "one layer": (with_random_weights(nn.LSTM, 3, 400), 100),
        "two layers": (with_random_weights(nn.LSTM, 3, 400, 2), 100),
        "two directions, distances up to 30": (with_random_weights(partial(nn.LSTM, bidirectional=True), 3, 400), 30),
    }
    hint = (
        "Rows are i, f, g, o, and two biases are added. Draw the time constants less 1 evenly between 1 and "
        "longest - 1, a new one for each unit; the forget bias is the logarithm. Every name that begins "
        "with bias has its turn."
    )
    return compare(answer, _chrono, cases, hint, call=_chrono_properties)


def _quality(add: Callable, inputs: Tensor) -> dict[str, str | bool]:
    """Whether the sums are one number a sequence, and how good they are."""
    found = torch.as_tensor(add(inputs)).detach().cpu()
    right = (inputs[..., 0] * inputs[..., 1]).sum(0)  # (B)
    if found.shape != right.shape:
        return {"the shape of the sums": str(tuple(found.shape))}
    error = float((found - right).square().mean())
    return {
        "the shape of the sums": str(tuple(right.shape)),
        "a smaller error than always answering 1": error < 0.95 * ADDING_BASELINE,
        "half of that error at most": error < ADDING_BASELINE / 2,
    }


def check_add(answer: Callable) -> bool:
    """Check ``add(inputs)``: the sums that a trained model gives for sequences of 20 steps of the adding problem."""

    def reference(inputs: Tensor) -> Tensor:
        return (inputs[..., 0] * inputs[..., 1]).sum(0)

    ((inputs, _),) = adding_batches(1, num_steps=20, batch_size=1000, seed=7)
    cases = {"1,000 sequences of 20 steps": (inputs,)}
    hint = (
        "The sum is the last output, one number a sequence, shape (B). If it is near 1 whatever is read, "
        "nothing has been learned: does the layer have a gate, and were there enough batches, at a high enough rate?"
    )
    return compare(answer, reference, cases, hint, call=_quality)
