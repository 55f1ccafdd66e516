"""Checks of the exercises of *Backpropagation through time*."""

from collections.abc import Callable

import torch
from torch import Tensor

from companion.checks.compare import compare

__all__ = [
    "check_clip_together",
    "check_contributions",
    "check_leaky_backward",
    "check_truncated_backward",
    "check_with_radius",
]


def _random(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def check_clip_together(answer: Callable) -> bool:
    """Check ``clip_together(gradients, limit)``: all gradients shortened by one factor, none if they are short."""

    def reference(gradients: list[Tensor], limit: float) -> list[Tensor]:
        length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        factor = min(1.0, limit / float(length)) if length > 0 else 1.0
        return [gradient * factor for gradient in gradients]

    cases = {
        "one gradient of length 5, limit 1": ([torch.tensor([3.0, -4.0])], 1.0),
        "two gradients that are short alone and too long together": ([_random(3, 2) / 3, _random(4) / 2], 1.0),
        "gradients within the limit": ([_random(3, 2) / 100, _random(4) / 100], 1.0),
        "gradients of very different lengths": ([1e6 * _random(3, 2), _random(4)], 2.0),
        "gradients that are all zero": ([torch.zeros(3, 2), torch.zeros(4)], 1.0),
    }
    hint = (
        "One length and one factor for all of them: the length of the one long vector in which they stand end to end. "
        "What should the factor be if that is within the limit, or zero?"
    )
    return compare(answer, reference, cases, hint)


def check_with_radius(answer: Callable) -> bool:
    """Check ``with_radius(weight, radius)``: the matrix, scaled so that it has this spectral radius."""

    def reference(weight: Tensor, radius: float) -> Tensor:
        return weight * (radius / float(torch.linalg.eigvals(weight).abs().max()))

    turn = torch.tensor([[0.0, -2.0], [2.0, 0.0]])
    cases = {
        "a diagonal matrix": (torch.diag(torch.tensor([0.5, -2.0, 1.0])), 1.0),
        "a random matrix, H = 6": (_random(6, 6), 0.9),
        "a quarter turn, whose eigenvalues are not real": (turn, 1.0),
        "a matrix that stretches far, and has a small radius": (torch.tensor([[0.5, 9.0], [0.0, 0.4]]), 1.0),
    }
    hint = (
        "Twice the matrix has twice the radius. Eigenvalues may be complex and may be negative: it is their absolute "
        "value that counts. Do not take the largest singular value for it."
    )
    return compare(answer, reference, cases, hint)


def _states(T: int, B: int, H: int) -> tuple[Tensor, Tensor]:
    """States of a simple RNN as the chapter's forward pass gives them, (T + 1, B, H), and its recurrent weight."""
    weight_hh, states = _random(H, H) / H**0.5, [_random(B, H, seed=1)]
    for x in _random(T, B, H, seed=2):
        states.append(torch.tanh(x + states[-1] @ weight_hh.T))
    return torch.stack(states), weight_hh


def _sum_gradients(d_outputs: Tensor, states: Tensor, weight_hh: Tensor, window: int) -> Tensor:
    """The gradient of every sum, (T, B, H), if no gradient crosses the border of a window."""
    T, d_h, d_sums = len(d_outputs), torch.zeros_like(states[0]), []
    for t in reversed(range(T)):
        if (t + 1) % window == 0:  # the last step of a window: the one after it belongs to another
            d_h = torch.zeros_like(d_h)
        d_sums.append((1 - states[t + 1] ** 2) * (d_outputs[t] + d_h))
        d_h = d_sums[-1] @ weight_hh
    return torch.stack(d_sums[::-1])


def check_contributions(answer: Callable) -> bool:
    """Check ``contributions(d_outputs, states, weight_hh)``: what each step adds to W_hh's gradient, (T, H, H)."""

    def reference(d_outputs: Tensor, states: Tensor, weight_hh: Tensor) -> Tensor:
        d_sums = _sum_gradients(d_outputs, states, weight_hh, window=len(d_outputs) + 1)
        return torch.einsum("tbj,tbk->tjk", d_sums, states[:-1])

    last_only = torch.zeros(6, 2, 3)
    last_only[-1] = _random(2, 3)
    cases = {
        "a single step": (_random(1, 3, 2, seed=3), *_states(1, 3, 2)),
        "a loss at the last of 6 steps": (last_only, *_states(6, 2, 3)),
        "a loss at each of 5 steps": (_random(5, 2, 3, seed=3), *_states(5, 2, 3)),
        "T = B = H = 4": (_random(4, 4, 4, seed=3), *_states(4, 4, 4)),
    }
    hint = (
        "Walk back as in the chapter, and keep for every step the product that the chapter sums. Which state did the "
        "weight multiply at that step? Rows of the result belong to the new state, columns to the old one."
    )
    return compare(answer, reference, cases, hint)


def check_truncated_backward(answer: Callable) -> bool:
    """Check ``truncated_backward(d_outputs, states, weight_hh, window)``: W_hh's gradient in windows, (H, H)."""

    def reference(d_outputs: Tensor, states: Tensor, weight_hh: Tensor, window: int) -> Tensor:
        d_sums = _sum_gradients(d_outputs, states, weight_hh, window)
        return d_sums.flatten(0, 1).T @ states[:-1].flatten(0, 1)

    def case(T: int, B: int, H: int, window: int) -> tuple:
        return (_random(T, B, H, seed=3), *_states(T, B, H), window)

    cases = {
        "6 steps, one window": case(6, 2, 3, 6),
        "6 steps in windows of 3": case(6, 2, 3, 3),
        "6 steps in windows of 1": case(6, 2, 3, 1),
        "7 steps in windows of 3, the last one short": case(7, 2, 3, 3),
        "a window longer than the sequence": case(5, 2, 3, 8),
    }
    hint = (
        "Windows are counted from the first step. When the walk enters a window from behind, what has come back from "
        "the steps after it is dropped: what should d_h be there? Which step is the last of a window?"
    )
    return compare(answer, reference, cases, hint)


def check_leaky_backward(answer: Callable) -> bool:
    """Check ``leaky_backward(d_outputs, x, h_0, weight_hh, rate)``: gradients of x, h_0 and weight_hh."""

    def reference(d_outputs: Tensor, x: Tensor, h_0: Tensor, weight_hh: Tensor, rate: float) -> tuple[Tensor, ...]:
        leaves = [leaf.clone().requires_grad_() for leaf in (x, h_0, weight_hh)]
        (h, loss), weight = (leaves[1], 0.0), leaves[2]
        with torch.enable_grad():
            for x_t, e in zip(leaves[0], d_outputs, strict=True):
                h = (1 - rate) * h + rate * torch.tanh(x_t + h @ weight.T)
                loss = loss + (h * e).sum()
            return torch.autograd.grad(loss, leaves)

    def case(T: int, B: int, H: int, rate: float) -> tuple:
        sizes = ((T, B, H), (T, B, H), (B, H), (H, H))
        return (*(_random(*size, seed=seed) for seed, size in enumerate(sizes)), rate)

    cases = {
        "one step at rate 0.5": case(1, 2, 3, 0.5),
        "rate 1, the simple RNN": case(5, 2, 3, 1.0),
        "5 steps at rate 0.3": case(5, 2, 3, 0.3),
        "30 steps at rate 0.05": case(30, 2, 4, 0.05),
    }
    hint = (
        "The old state has two readers now: the sum inside tanh, and the share 1 - rate that is kept. Both send a "
        "gradient back to it. The slope is that of tanh(...), not 1 - h ** 2, for h is no longer that tanh alone."
    )
    return compare(answer, reference, cases, hint)
