"""Checks of the exercises of *Recurrence without waiting*."""

import operator
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.checks.compare import compare
from companion.checks.inputs import random_numbers
from companion.checks.own_layer import check_layer
from companion.scan import MinGRU, linear_recurrence

__all__ = [
    "check_chunked_scan",
    "check_is_associative",
    "check_matrix_memory",
    "check_parity_coefficients",
    "check_positive_min_gru",
    "check_whole_as_one",
]


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return random_numbers(*shape, seed=seed).double()


def _factors(*shape: int, seed: int = 0) -> Tensor:
    return torch.sigmoid(_numbers(*shape, seed=seed + 50))


def _join(first: tuple, second: tuple) -> tuple:
    (a_1, b_1), (a_2, b_2) = first, second
    return a_2 * a_1, a_2 * b_1 + b_2


def _join_turned(first: tuple, second: tuple) -> tuple:
    return _join(second, first)


def _join_wrong(first: tuple, second: tuple) -> tuple:
    (a_1, b_1), (a_2, b_2) = first, second
    return a_2 * a_1, b_1 + b_2 * a_1 * a_2


def check_is_associative(answer: Callable) -> bool:
    """Check ``is_associative(operator, x, y, z)``: whether the grouping of three operands makes no difference."""

    def reference(combine: Callable, x: object, y: object, z: object) -> bool:
        left, right = combine(combine(x, y), z), combine(x, combine(y, z))
        pairs = zip(left, right, strict=True) if isinstance(left, tuple) else [(left, right)]
        return all(bool(torch.allclose(torch.as_tensor(one), torch.as_tensor(other))) for one, other in pairs)

    x, y, z = (torch.tensor(value, dtype=torch.float64) for value in (0.1, 0.2, 0.3))
    pairs = [(_factors(3, seed=seed), _numbers(3, seed=seed)) for seed in range(3)]
    matrices = [_numbers(3, 3, seed=seed) for seed in range(3)]
    cases = {
        "a sum, where rounding differs": (torch.add, x, y, z),
        "a difference": (torch.sub, x, y, z),
        "the larger of two": (torch.maximum, x, y, z),
        "an average": (lambda one, other: (one + other) / 2, x, y, z),
        "products of matrices": (operator.matmul, *matrices),
        "pairs of a step": (_join, *pairs),
        "pairs of a step, later one first": (_join_turned, *pairs),
        "pairs, joined wrongly in b alone": (_join_wrong, *pairs),
    }
    hint = (
        "Compute (x y) z and x (y z) and compare with torch.allclose, not with ==: rounding depends on the grouping. "
        "An operand may be a tensor or a tuple of tensors; then every part has to agree."
    )
    return compare(answer, reference, cases, hint)


def check_whole_as_one(answer: Callable) -> bool:
    """Check ``whole_as_one(a, b)``: the one pair (A, B) that does to a state what all T steps do."""

    def reference(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        A, B = torch.ones_like(a[0]), torch.zeros_like(b[0])
        for a_t, b_t in zip(a, b, strict=True):
            A, B = a_t * A, a_t * B + b_t
        return A, B

    cases = {
        "five steps of three units": (_factors(5, 3), _numbers(5, 3)),
        "a single step": (_factors(1, 2), _numbers(1, 2)),
        "a step that forgets all in between": (torch.tensor([0.5, 0.0, 2.0]), torch.tensor([1.0, 3.0, -1.0])),
        "40 steps": (_factors(40, 2, 3), _numbers(40, 2, 3)),
    }
    hint = "B is the last state from a state of zeros. A is what a state before all steps has been multiplied by."
    return compare(answer, reference, cases, hint)


def check_parity_coefficients(answer: Callable) -> bool:
    """Check ``parity_coefficients(bits)``: a, b and h_0 of a linear recurrence whose states are the running parity."""

    def parity(coefficients: Callable, bits: Tensor) -> Tensor:
        a, b, h_0 = coefficients(bits)
        return linear_recurrence(a, b, h_0)

    def reference(bits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return 1 - 2 * bits, bits, torch.zeros_like(bits[0])

    bits = (random_numbers(300, 4) > 0).double()
    cases = {
        "one 1": (torch.tensor([[0.0], [1.0], [0.0]]),),
        "1, 1, 1": (torch.ones(3, 1),),
        "no 1 at all": (torch.zeros(5, 2),),
        "four sequences of 300 bits": (bits,),
    }
    hint = "A 0 leaves the state alone. A 1 turns 0 into 1 and 1 into 0: which line a h + b goes through both points?"
    return compare(answer, reference, cases, hint, call=parity)


class _PositiveMinGRU(MinGRU):
    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, n = x.chunk(2, -1)
        return torch.sigmoid(-z), torch.sigmoid(z) * torch.where(n >= 0, n + 0.5, torch.sigmoid(n))


def check_positive_min_gru(answer: Callable) -> bool:
    """Check ``PositiveMinGRU``: a MinGRU whose candidate is g of the linear one, then that it is a proper layer."""
    if not isinstance(answer, type):
        print(f"Give the class itself; got a {type(answer).__name__}.")
        return False

    def run(layer_class: Callable, T: int, h_0: Tensor | None) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            layer = layer_class(3, 4).double()
        with torch.no_grad():
            for seed, weight in enumerate(layer.parameters()):
                weight.copy_(_numbers(*weight.shape, seed=seed))
            outputs, final = layer(_numbers(T, 2, 3), h_0)
        return {"the outputs": outputs, "the final state": final}

    cases = {
        "zeros as the state": (9, None),
        "one step": (1, None),
        "a state of both signs": (9, _numbers(1, 2, 4, seed=7)),
        "a long sequence": (100, _numbers(1, 2, 4, seed=8)),
    }
    hint = (
        "Only coefficients(x) changes: its rows are z, n, and it returns what the state is multiplied by and what is "
        "added. g acts on the candidate, and never on the state."
    )
    return compare(answer, _PositiveMinGRU, cases, hint, call=run) and check_layer(answer)


def check_chunked_scan(answer: Callable) -> bool:
    """Check ``chunked_scan(a, b, h_0, size)``: all chunks side by side, then the states between them, then the sum."""

    def counted(scan: Callable, a: Tensor, b: Tensor, h_0: Tensor, size: int) -> dict[str, object]:
        counter = _MultiplicationsCounted()
        with counter:
            states = scan(a, b, h_0, size)
        enough = 3 * (size + len(a) // size) + 6
        return {"the states": states, "few enough products of tensors": bool(counter.count <= enough)}

    def reference(a: Tensor, b: Tensor, h_0: Tensor, size: int) -> Tensor:
        a, b = (part.unflatten(0, (-1, size)) for part in (a, b))               # (chunks, size, ...)
        states, factors = [b[:, 0]], [a[:, 0]]
        for a_t, b_t in zip(a.unbind(1)[1:], b.unbind(1)[1:], strict=True):
            states.append(a_t * states[-1] + b_t)
            factors.append(a_t * factors[-1])
        before = [h_0]
        for A, B in zip(factors[-1][:-1], states[-1][:-1], strict=True):
            before.append(A * before[-1] + B)
        before = torch.stack(before).unsqueeze(1)                               # (chunks, 1, ...)
        return (torch.stack(factors, 1) * before + torch.stack(states, 1)).flatten(0, 1)

    def case(T: int, size: int, *step: int) -> tuple:
        return _factors(T, *step), _numbers(T, *step, seed=1), _numbers(*step, seed=2), size

    cases = {
        "12 steps in chunks of 3": case(12, 3, 2),
        "one chunk": case(5, 5, 2),
        "chunks of one step": case(5, 1, 2),
        "64 steps in chunks of 8, a batch of 2 x 3": case(64, 8, 2, 3),
        "900 steps in chunks of 30": case(900, 30, 2),
    }
    hint = (
        "a.unflatten(0, (-1, size)) has shape (chunks, size, ...). First run all chunks from a state of zeros, with a "
        "loop over the size steps inside, and keep the running product of a. Then a loop over the chunks gives the "
        "state before each. What that state adds to every state of its chunk is the running product times it."
    )
    return compare(answer, reference, cases, hint, call=counted)


class _MultiplicationsCounted(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts the elementwise products, whatever their size."""

    count = 0
    products = ("mul", "addcmul", "cumprod", "lerp")

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += function.overloadpacket.__name__.strip("_") in self.products
        return function(*arguments, **(keywords or {}))


def check_matrix_memory(answer: Callable) -> bool:
    """Check ``matrix_memory(q, k, v, f)``: read with q from a matrix that forgets by f and takes in k v^T."""

    def reference(q: Tensor, k: Tensor, v: Tensor, f: Tensor) -> Tensor:
        S, outputs = torch.zeros(k.shape[-1], v.shape[-1], dtype=k.dtype), []
        for q_t, k_t, v_t, f_t in zip(q, k, v, f, strict=True):
            S = f_t * S + torch.outer(k_t, v_t)
            outputs.append(q_t @ S)
        return torch.stack(outputs)

    def case(T: int, K: int, V: int, forget: bool = True) -> tuple:
        f = _factors(T) if forget else torch.ones(T, dtype=torch.float64)
        keys = F.normalize(_numbers(T, K, seed=1), dim=-1)
        return _numbers(T, K), keys, _numbers(T, V, seed=2), f

    cases = {
        "six steps, keys of 3, values of 2": case(6, 3, 2),
        "a single step": case(1, 3, 2),
        "nothing forgotten: linear attention": case(20, 4, 3, forget=False),
        "100 steps": case(100, 4, 5),
    }
    hint = (
        "The state is a matrix (K, V), and its recurrence is linear: b_t is the outer product k_t v_t^T, of shape "
        "(T, K, V) for all steps, and a is f, expanded to that shape. Then read with einsum."
    )
    return compare(answer, reference, cases, hint)
