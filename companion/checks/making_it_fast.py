"""Checks of the exercises of *Making it fast*."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.checks.compare import compare
from companion.checks.inputs import random_numbers
from companion.kernels.sru_eager import sru_plain

__all__ = [
    "check_batch_needed",
    "check_linear_backward",
    "check_overall_speedup",
    "check_walk_back",
    "check_walk_with_lengths",
]


def check_batch_needed(answer: Callable) -> bool:
    """Check ``batch_needed(border, H)``: the least batch for which memory does not hold up an LSTM's step, or None."""

    def reference(border: float, H: int) -> int | None:
        for B in range(1, 10_000):
            operations, numbers = 2 * B * H * 4 * H, B * H + H * 4 * H + B * 4 * H
            if operations >= border * 4 * numbers:
                return B
        return None

    cases = {
        "10 operations a byte, H = 512": (10.0, 512),
        "20 operations a byte, H = 512": (20.0, 512),
        "10 operations a byte, H = 128": (10.0, 128),
        "a border that a batch of 1 reaches, H = 256": (0.25, 256),
        "40 operations a byte, H = 64, which no batch reaches": (40.0, 64),
    }
    hint = (
        "Write the chapter's operations and bytes for a (B, H) with an (H, 4H) matrix, and ask where their ratio is "
        "the border. Part of the bytes grows with B, too: what is the ratio for a batch without end? Round up to a "
        "whole sequence."
    )
    return compare(answer, reference, cases, hint)


def check_overall_speedup(answer: Callable) -> bool:
    """Check ``overall_speedup(share, factor)``: how much faster the whole is if a share of its time is."""

    def reference(share: float, factor: float) -> float:
        return factor / (factor * (1 - share) + share)

    cases = {
        "half of the time, twice as fast": (0.5, 2.0),
        "all of the time, 7 times as fast": (1.0, 7.0),
        "nine tenths, 10 times as fast": (0.9, 10.0),
        "a tenth, a million times as fast": (0.1, 1e6),
        "a third, but half as fast": (1 / 3, 0.5),
    }
    hint = (
        "Let the whole take 1. How long does the part take that stays, and how long the other one now? Add times, not "
        "speeds."
    )
    return compare(answer, reference, cases, hint)


def check_linear_backward(answer: Callable) -> bool:
    """Check ``linear_backward(d_h, a, h, h_0)``: the gradients of a, b, h_0 in h_t = a_t * h_{t-1} + b_t."""

    def reference(d_h: Tensor, a: Tensor, h: Tensor, h_0: Tensor) -> tuple[Tensor, ...]:
        before = torch.cat([h_0.unsqueeze(0), h[:-1]])
        leaves = a.clone().requires_grad_(), (h - a * before).requires_grad_(), h_0.clone().requires_grad_()
        state, states = leaves[2], []
        for slope, new in zip(*leaves[:2], strict=True):
            state = slope * state + new
            states.append(state)
        return torch.autograd.grad(torch.stack(states), leaves, d_h)

    def case(T: int, B: int, H: int, last_only: bool = False) -> tuple[Tensor, ...]:
        a, b = random_numbers(T, B, H), random_numbers(T, B, H, seed=1)
        h_0, d_h = random_numbers(B, H, seed=2), random_numbers(T, B, H, seed=3)
        if last_only:
            d_h[:-1] = 0
        state, states = h_0, []
        for slope, new in zip(a, b, strict=True):
            state = slope * state + new
            states.append(state)
        return d_h, a, torch.stack(states), h_0

    cases = {
        "a single step": case(1, 2, 3),
        "a loss at the last of 6 steps only": case(6, 2, 3, last_only=True),
        "a loss at each of 6 steps": case(6, 2, 3),
        "T = B = H = 4": case(4, 4, 4),
    }
    hint = (
        "Who reads h_t? The loss at its own step, and h_{t+1} with weight a_{t+1}. Walk back with that line alone. "
        "Then a_t multiplied the state before its step, which for the first step is h_0; and h_0 has one reader."
    )
    return compare(answer, reference, cases, hint)


# Kernels: functions that write into arrays


def _drawn(T: int, B: int, H: int) -> tuple[np.ndarray, ...]:
    """U, x, weight_c, c_0 of an SRU, as arrays."""
    shapes = (T, B, 3 * H), (T, B, H), (2 * H,), (B, H)
    return tuple(random_numbers(*shape, seed=seed).numpy() for seed, shape in enumerate(shapes))


def check_walk_with_lengths(answer: Callable) -> bool:
    """Check ``walk_with_lengths(U, x, weight_c, lengths, cells, h)``, which writes into the last two arrays."""

    def reference(U: np.ndarray, x: np.ndarray, weight_c: np.ndarray, lengths: np.ndarray, cells, h) -> None:
        U, x, weight_c, steps = (torch.from_numpy(part) for part in (U, x, weight_c, lengths))
        for t in range(len(U)):  # the state after t + 1 steps is the last state of the sequence cut there
            first, cut = torch.from_numpy(cells[0]), steps.clamp(max=t + 1)
            outputs, last = sru_plain(U[: t + 1], x[: t + 1], weight_c, None, first, lengths=cut)
            h[t], cells[t + 1] = outputs[t].numpy(), last.numpy()

    def call(kernel: Callable, *drawn: Any) -> dict:
        U, x, weight_c, c_0, lengths = drawn
        cells, h = np.full((len(U) + 1, *c_0.shape), np.nan, np.float32), np.full_like(x, np.nan)  # nan: not written
        cells[0] = c_0
        kernel(U, x, weight_c, np.array(lengths), cells, h)
        return {"the outputs h": torch.from_numpy(h), "the states in cells": torch.from_numpy(cells)}

    cases = {
        "one sequence of full length": (*_drawn(5, 1, 3), [5]),
        "three sequences, longest first": (*_drawn(5, 3, 4), [5, 3, 1]),
        "three sequences in another order": (*_drawn(5, 3, 4), [2, 5, 3]),
        "130 units": (*_drawn(4, 2, 130), [3, 4]),
        "a sequence without steps": (*_drawn(4, 2, 3), [4, 0]),
    }
    hint = (
        "Each sequence has its own last step. After it nothing is computed, but something is written: every place of h "
        "and of cells is read later. Which value does a state have that no longer changes, and which has no output?"
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=call)


def check_walk_back(answer: Callable) -> bool:
    """Check ``walk_back(U, x, weight_c, cells, d_h, d_c, d_U, d_x, d_weight_c)``, which writes into the last four."""

    def reference(*arrays: np.ndarray) -> None:
        U, x, weight_c, cells, d_h, d_c, d_U, d_x, d_weight_c = arrays
        B, own = len(d_c), [torch.from_numpy(part) for part in (U, x, cells[0])]
        leaves = [part.clone().requires_grad_() for part in own]
        weights = torch.from_numpy(weight_c).repeat(B, 1).requires_grad_()  # a row a sequence, for a gradient each
        found = [
            sru_plain(leaves[0][:, b : b + 1], leaves[1][:, b : b + 1], weights[b], None, leaves[2][b : b + 1])
            for b in range(B)
        ]
        h, c_n = torch.cat([part[0] for part in found], 1), torch.cat([part[1] for part in found])
        incoming = torch.from_numpy(d_h), torch.from_numpy(d_c)
        gradients = torch.autograd.grad((h, c_n), (*leaves, weights), incoming)
        for target, gradient in zip((d_U, d_x, d_c, d_weight_c), gradients, strict=True):
            target[:] = gradient.numpy()

    def call(kernel: Callable, *drawn: np.ndarray) -> dict:
        *given, cells, d_h, d_c = drawn
        shapes = given[0].shape, given[1].shape, (len(d_c), 2 * d_c.shape[1])
        room = [np.full(shape, np.nan, np.float32) for shape in shapes]  # nan: not written
        kernel(*given, cells, d_h, d_c, *room)
        names = "d_U", "d_x", "d_weight_c", "d_c, which should hold the gradient of c_0"
        return {name: torch.from_numpy(part) for name, part in zip(names, (*room, d_c), strict=True)}

    def case(T: int, B: int, H: int, last_only: bool = False) -> tuple[np.ndarray, ...]:
        *given, c_0 = _drawn(T, B, H)
        U, x, weight_c = (torch.from_numpy(part) for part in given)
        states = [torch.from_numpy(c_0)]
        for t in range(T):
            states.append(sru_plain(U[t : t + 1], x[t : t + 1], weight_c, None, states[-1])[1])
        d_h, d_c = random_numbers(T, B, H, seed=7).numpy(), random_numbers(B, H, seed=8).numpy()
        d_h[: -1 if last_only else 0] = 0
        return *given, torch.stack(states).numpy(), d_h, d_c

    cases = {
        "a single step": case(1, 1, 2),
        "a loss at the last of 4 steps only": case(4, 1, 3, last_only=True),
        "a loss at each of 6 steps": case(6, 1, 3),
        "3 sequences": case(5, 3, 4),
        "130 units": case(4, 2, 130),
    }
    hint = (
        "Go through the lines of backward_by_hand for one unit, from the last step to the first. d_c comes in as the "
        "gradient of the last state. At each step first add what the output brings; when the step is done it must hold "
        "the gradient of the state before: by the state, by the forget gate, by the reset gate. Set sums to zero first."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=call)
