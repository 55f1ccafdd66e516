"""Checks of the exercises of *Tensors, graphs, modules*."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from companion.checks.compare import compare

__all__ = [
    "check_batch_first",
    "check_forward_derivative",
    "check_graph_size",
    "check_sigmoid_rule",
    "check_standardize",
    "check_zero_padding",
]


def _random(*shape: int, scale: float = 1.0) -> Tensor:
    """Random numbers that do not touch the reader's own sequence of random numbers."""
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def check_batch_first(answer: Callable) -> bool:
    """Check ``batch_first(outputs)``: a list of T tensors of shape (B, H) becomes one of shape (B, T, H)."""

    def reference(outputs: list[Tensor]) -> Tensor:
        return torch.stack(outputs, 1)

    cases = {
        "5 steps of 3 sequences": (list(_random(5, 3, 2)),),
        "as many steps as sequences": (list(_random(4, 4, 2)),),
        "a batch of one": (list(_random(5, 1, 2)),),
        "a single step": (list(_random(1, 3, 2)),),
    }
    hint = (
        "The right shape is not enough: row b should hold sequence b, in order of time. "
        "Which of the three axes do the steps become?"
    )
    return compare(answer, reference, cases, hint)


def check_zero_padding(answer: Callable) -> bool:
    """Check ``zero_padding(x, lengths)``: the block x of shape (T, B, D), zero after each sequence's end."""

    def reference(x: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(len(x)).unsqueeze(1) < lengths  # (T, B)
        return torch.where(real.unsqueeze(-1), x, 0.0)

    with_nan = _random(4, 2, 3)
    with_nan[2:, 1] = float("nan")
    cases = {
        "lengths 5, 2 and 3": (_random(5, 3, 2), torch.tensor([5, 2, 3])),
        "T = B = D = 3": (_random(3, 3, 3), torch.tensor([1, 3, 2])),
        "a sequence of length 0": (_random(4, 2, 3), torch.tensor([0, 4])),
        "padding that holds nan": (with_nan, torch.tensor([4, 2])),
    }
    hint = (
        "Compare the number of every step with every length: shapes (T, 1) and (B) give (T, B). "
        "What has to be added for it to meet (T, B, D)? And what is 0 times nan?"
    )
    return compare(answer, reference, cases, hint)


def check_sigmoid_rule(answer: Callable) -> bool:
    """Check ``sigmoid_rule(a)``: the sigmoid of the number a, and its derivative there."""

    def reference(a: float) -> tuple[float, float]:
        a = torch.tensor(a, dtype=torch.float64)
        y = torch.sigmoid(a)
        return y.item(), (y * (1 - y)).item()

    cases = {
        "a = 0": (0.0,),
        "a = 1.5": (1.5,),
        "a = -2": (-2.0,),
        "a = 800, a very open gate": (800.0,),
        "a = -800, a very closed gate": (-800.0,),
    }
    hint = (
        "The rule of tanh is written with its output y; the rule of the sigmoid can be, too. "
        "If only the large numbers fail: can you see to it that exp never gets a positive number?"
    )
    return compare(answer, reference, cases, hint)


class _Standardize(nn.Module):
    def __init__(self, data: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", data.mean((0, 1)))
        self.register_buffer("std", data.std((0, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _probe_standardize(module_class: Callable, data: Tensor, x: Tensor) -> dict[str, Any]:
    """What can be seen of a Standardize from outside, by the words that name it."""
    module, other = module_class(data), module_class(10 * data + 1)
    seen: dict[str, Any] = {
        "the output": module(x),
        "the names of its parameters": _listed(name for name, _ in module.named_parameters()),
        "the names in its state_dict": _listed(module.state_dict()),
    }
    other.load_state_dict(module.state_dict())
    seen["the output of another one that loaded its state_dict"] = other(x)
    seen["the dtype of the output after .double()"] = str(module.double()(x.double()).dtype)
    return seen


def check_standardize(answer: Callable) -> bool:
    """Check the class ``Standardize(data)``: a module that brings every feature to mean 0 and deviation 1."""
    sizes = torch.tensor([0.01, 1.0, 1000.0])
    cases = {
        "data of shape (20, 4, 3)": (_random(20, 4, 3) + 2, _random(5, 2, 3)),
        "a single feature": (_random(20, 4, 1), _random(5, 2, 1)),
        "features of very different sizes": (_random(20, 4, 3) * sizes, _random(5, 2, 3) * sizes),
    }
    hint = (
        "The mean and the deviation are measured once, one for every feature, and called mean and std. "
        "They belong to the module, move and are saved with it, yet training should not change them."
    )
    return compare(answer, _Standardize, cases, hint, call=_probe_standardize)


def _recurrence(T: int) -> Tensor:
    w, h = torch.tensor(0.5, requires_grad=True), torch.tensor(1.0)
    for _ in range(T):
        h = torch.tanh(0.1 + w * h)
    return h


def _state_used_twice(T: int) -> Tensor:
    h = torch.tensor(0.5, requires_grad=True)
    for _ in range(T):
        h = h * h
    return h


def check_graph_size(answer: Callable) -> bool:
    """Check ``graph_size(y)``: how many different nodes the graph behind the tensor y has."""

    def reference(y: Tensor) -> int:
        waiting, seen = [y.grad_fn], {None}
        while waiting:
            function = waiting.pop()
            if function not in seen:
                seen.add(function)
                waiting += [parent for parent, _ in function.next_functions]
        return len(seen) - 1

    cases = {
        "a tensor that was given, not computed": (lambda: torch.ones(3),),
        "one step of the recurrence": (lambda: _recurrence(1),),
        "two steps, which share w": (lambda: _recurrence(2),),
        "14 steps of h = h * h": (lambda: _state_used_twice(14),),
        "1,000 steps of the recurrence": (lambda: _recurrence(1000),),
    }
    hint = (
        "A node may be reached along several ways: which ones have you counted already? "
        "And calls of Python nest only about 1,000 deep; a loop has no such limit."
    )
    return compare(answer, reference, cases, hint, call=lambda function, build: function(build()))


def check_forward_derivative(answer: Callable) -> bool:
    """Check ``forward_derivative(w, h0, x)``: the last state, and its derivative with respect to w."""

    def reference(w: float, h0: float, x: list[float]) -> tuple[float, float]:
        weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
        h = h0 + 0 * weight  # part of the graph even without a step
        for x_t in x:
            h = torch.tanh(x_t + weight * h)
        h.backward()
        return h.item(), weight.grad.item()

    cases = {
        "one step": (0.5, 1.0, [0.1]),
        "the two steps of the chapter": (0.5, 1.0, [0.1, 0.2]),
        "35 random steps": (0.9, -0.3, (0.3 * _random(35)).tolist()),
        "a large negative weight": (-3.0, 0.2, [0.0, 0.1, -0.1, 0.2]),
        "no step at all": (0.5, 1.0, []),
    }
    hint = (
        "In h_t = tanh(x_t + w h_{t-1}), a small change of w moves the product w h_{t-1} twice: through w, "
        "and through h_{t-1}, whose derivative you know from the step before. Take care which state you read."
    )
    return compare(answer, reference, cases, hint)
