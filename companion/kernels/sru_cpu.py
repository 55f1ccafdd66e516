"""The SRU's recurrence fused for CPUs: one pass over memory forward, one backward, compiled by numba.

PyTorch runs a step as a handful of operations, and each reads its inputs from memory and writes its result back. The
numbers of a step are few and the same ones, so most of the time goes into the traffic. Here neighboring units walk
through all time steps together. Their states stay in the processor's own memory, every input is read once and in the
order in which it lies there, and the inner loops run over neighbors, which the compiler turns into vector instructions.

Nothing is kept for the backward pass but the states. It computes the gates again, which costs less than to read them.

numba is an optional extra. Everything is computed in float32; float64 is left to :mod:`~.sru_eager`.
"""

import math
from types import FunctionType
from typing import Any

import numba
import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

BLOCK = 128  # neighboring units of a sequence: an inner loop, whose gates fit into the nearest cache
GROUP = 32  # blocks that walk together at the most: their states and sums fit into a core's own cache
SETTINGS = dict(cache=True, error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)


# exp without a call: a call in the inner loop would keep the compiler from making vectors of it


def _exp_coefficients(degree: int) -> tuple[np.float32, ...]:
    """Of the polynomial that is exp on [-ln 2 / 2, ln 2 / 2], lowest power first."""
    half = math.log(2) / 2
    series = np.polynomial.chebyshev.chebinterpolate(lambda x: np.exp(half * x), degree)
    return tuple(np.float32(np.polynomial.chebyshev.cheb2poly(series) / half ** np.arange(degree + 1)))


C0, C1, C2, C3, C4, C5, C6 = _exp_coefficients(6)
ONE, HALF, LIMIT = np.float32(1), np.float32(0.5), np.float32(87)
LOG2_E = np.float32(1 / math.log(2))
LN_2_HIGH = np.float32(round(math.log(2) * 512) / 512)  # few digits, so that a product with a small integer is exact
LN_2_LOW = np.float32(math.log(2) - float(LN_2_HIGH))


@njit(inline="always", **SETTINGS)
def _sigmoid(x):
    """1 / (1 + exp(-x)) to 1e-7: exp(y) is 2 to the power of an integer, times exp of a small rest."""
    y = min(max(-x, -LIMIT), LIMIT)
    power = np.floor(y * LOG2_E + HALF)
    rest = y - power * LN_2_HIGH - power * LN_2_LOW
    exp_rest = C0 + rest * (C1 + rest * (C2 + rest * (C3 + rest * (C4 + rest * (C5 + rest * C6)))))
    two_to_power = np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)
    return ONE / (ONE + exp_rest * two_to_power)


@njit(inline="always", **SETTINGS)
def _tanh(x):
    return ONE - (ONE + ONE) * _sigmoid(-(x + x))


def _walk(
    U, highway, first, alpha, weight_c, bias, c_0, mask, lengths, use_tanh, reverse, group_size, h, cells, c_n, keep
):  # fmt: skip
    T, B, H = h.shape
    blocks = (H + BLOCK - 1) // BLOCK  # of a sequence
    for group in prange((B * blocks + group_size - 1) // group_size):
        r = np.empty(BLOCK, np.float32)
        members = range(group * group_size, min(B * blocks, (group + 1) * group_size))
        for member in members:
            b, start = member // blocks, member % blocks * BLOCK
            for j in range(start, min(H, start + BLOCK)):
                c_n[b, j] = c_0[b, j]
        for step in range(T):
            for member in members:
                b, start = member // blocks, member % blocks * BLOCK
                stop = min(H, start + BLOCK)
                J, steps = stop - start, lengths[b]
                if step >= steps:  # padding
                    h[step, b, start:stop] = 0
                    if keep:
                        cells[step, b, start:stop] = 0
                    continue
                t = steps - 1 - step if reverse else step
                v_f, v_r = weight_c[start:stop], weight_c[H + start : H + stop]
                b_f, b_r = bias[start:stop], bias[H + start : H + stop]
                m, c, candidate = mask[b, start:stop], c_n[b, start:stop], U[t, b, start:stop]
                x_f, x_r = U[t, b, H + start : H + stop], U[t, b, 2 * H + start : 2 * H + stop]
                x, out = highway[t, b, first + start : first + stop], h[t, b, start:stop]
                for j in range(J):
                    f = _sigmoid(x_f[j] + v_f[j] * c[j] + b_f[j])
                    r[j] = m[j] * _sigmoid(x_r[j] + v_r[j] * c[j] + b_r[j])
                    c[j] = candidate[j] + f * (c[j] - candidate[j])
                if use_tanh:
                    for j in range(J):
                        out[j] = alpha * x[j] + r[j] * (_tanh(c[j]) - alpha * x[j])
                else:
                    for j in range(J):
                        out[j] = alpha * x[j] + r[j] * (c[j] - alpha * x[j])
                if keep:
                    kept = cells[t, b, start:stop]
                    for j in range(J):
                        kept[j] = c[j]


def _walk_back(
    U, highway, first, alpha, weight_c, bias, c_0, mask, lengths, use_tanh, reverse, group_size, cells, d_h, d_c_n,
    d_U, d_highway, d_c_0, d_weight_c, d_bias,
):  # fmt: skip
    T, B, H = d_h.shape
    blocks = (H + BLOCK - 1) // BLOCK
    for group in prange((B * blocks + group_size - 1) // group_size):
        f, r = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        members = range(group * group_size, min(B * blocks, (group + 1) * group_size))
        for member in members:
            b, start = member // blocks, member % blocks * BLOCK
            for j in range(start, min(H, start + BLOCK)):
                d_c_0[b, j] = d_c_n[b, j]
                d_weight_c[b, j] = d_weight_c[b, H + j] = d_bias[b, j] = d_bias[b, H + j] = 0
        for countdown in range(T):
            step = T - 1 - countdown
            for member in members:
                b, start = member // blocks, member % blocks * BLOCK
                stop = min(H, start + BLOCK)
                J, steps = stop - start, lengths[b]
                if step >= steps:  # padding
                    for j in range(start, stop):
                        d_U[step, b, j] = d_U[step, b, H + j] = d_U[step, b, 2 * H + j] = 0
                        d_highway[step, b, first + j] = 0
                    continue
                t = steps - 1 - step if reverse else step
                earlier = t + 1 if reverse else t - 1
                v_f, v_r = weight_c[start:stop], weight_c[H + start : H + stop]
                b_f, b_r = bias[start:stop], bias[H + start : H + stop]
                m, d_c, candidate = mask[b, start:stop], d_c_0[b, start:stop], U[t, b, start:stop]
                x_f, x_r = U[t, b, H + start : H + stop], U[t, b, 2 * H + start : 2 * H + stop]
                x, d_out = highway[t, b, first + start : first + stop], d_h[t, b, start:stop]
                after = cells[t, b, start:stop]
                before = c_0[b, start:stop] if step == 0 else cells[earlier, b, start:stop]
                d_candidate = d_U[t, b, start:stop]
                d_f, d_r = d_U[t, b, H + start : H + stop], d_U[t, b, 2 * H + start : 2 * H + stop]
                d_x = d_highway[t, b, first + start : first + stop]
                d_v_f, d_v_r = d_weight_c[b, start:stop], d_weight_c[b, H + start : H + stop]
                d_b_f, d_b_r = d_bias[b, start:stop], d_bias[b, H + start : H + stop]
                for j in range(J):
                    f[j] = _sigmoid(x_f[j] + v_f[j] * before[j] + b_f[j])
                    r[j] = _sigmoid(x_r[j] + v_r[j] * before[j] + b_r[j])
                if use_tanh:
                    for j in range(J):
                        shown = _tanh(after[j])
                        d_shown = d_out[j] * m[j] * r[j]
                        d_x[j] = alpha * (d_out[j] - d_shown)
                        d_c[j] += d_shown * (ONE - shown * shown)
                        d_r[j] = d_shown * (shown - alpha * x[j]) * (ONE - r[j])
                else:
                    for j in range(J):
                        d_shown = d_out[j] * m[j] * r[j]
                        d_x[j] = alpha * (d_out[j] - d_shown)
                        d_c[j] += d_shown
                        d_r[j] = d_shown * (after[j] - alpha * x[j]) * (ONE - r[j])
                for j in range(J):
                    d_candidate[j] = d_c[j] * (ONE - f[j])
                    d_f[j] = d_candidate[j] * (before[j] - candidate[j]) * f[j]
                    d_c[j] = d_c[j] * f[j] + d_f[j] * v_f[j] + d_r[j] * v_r[j]
                for j in range(J):
                    d_v_f[j] += d_f[j] * before[j]
                    d_v_r[j] += d_r[j] * before[j]
                    d_b_f[j] += d_f[j]
                    d_b_r[j] += d_r[j]


def _versions(function: FunctionType) -> dict[str, Any]:
    """Compiled for one thread and for many: once started, numba's threads get in the way of torch's."""
    versions = {}
    for threads in ("one", "many"):
        twin = FunctionType(function.__code__, globals(), f"{function.__name__}_{threads}")
        twin.__qualname__ = twin.__name__  # by which numba's cache tells them apart, not by their options
        versions[threads] = njit(parallel=threads == "many", **SETTINGS)(twin)
    return versions


_FORWARD, _BACKWARD = _versions(_walk), _versions(_walk_back)


def _plan(c_0: Tensor) -> tuple[str, int]:
    """The version to run, and how many blocks are a group: a fair share of them for each thread, within its cache."""
    B, H = c_0.shape
    share = math.ceil(B * math.ceil(H / BLOCK) / _threads())
    return "one" if _threads() == 1 else "many", max(1, min(GROUP, share))


def _threads() -> int:
    """As many as torch has. numba is told of them if they are more than one."""
    threads = torch.get_num_threads()
    if threads == 1:
        return 1
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != threads:  # both count with OpenMP, which numba, on its first call, sets to all
        torch.set_num_threads(threads)
    return threads


def _prepared(U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha):
    """The arguments as float32 arrays, what is missing replaced by what changes nothing."""
    T, (B, H) = U.shape[0], c_0.shape
    highway, first, alpha = (U, 3 * H, 1.0) if x is None else (x, 0, alpha)
    bias = torch.zeros(2 * H) if bias is None else bias
    mask = torch.ones(B, H) if dropout_mask is None else dropout_mask
    lengths = torch.full((B,), T) if lengths is None else lengths
    U, highway, *rest = (_array(part) for part in (U, highway, weight_c, bias, c_0, mask))
    return U, highway, first, np.float32(alpha), *rest, lengths.long().numpy()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def forward(
    U: Tensor,
    x: Tensor | None,
    weight_c: Tensor,
    bias: Tensor | None,
    c_0: Tensor,
    dropout_mask: Tensor | None,
    lengths: Tensor | None,
    alpha: float,
    use_tanh: bool,
    reverse: bool,
    keep: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The outputs, the last state, and the states after every step if they are to be kept for the backward pass."""
    T, (B, H) = U.shape[0], c_0.shape
    h, c_n = torch.empty(T, B, H), torch.empty(B, H)
    cells = torch.empty(T, B, H) if keep else None
    arrays = _prepared(U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha)
    version, group_size = _plan(c_0)
    written = (part.numpy() for part in (h, cells if keep else h, c_n))
    _FORWARD[version](*arrays, use_tanh, reverse, group_size, *written, keep)
    return h.to(U.dtype), c_n.to(U.dtype), cells


def backward(
    U: Tensor,
    x: Tensor | None,
    weight_c: Tensor,
    bias: Tensor | None,
    c_0: Tensor,
    dropout_mask: Tensor | None,
    lengths: Tensor | None,
    alpha: float,
    use_tanh: bool,
    reverse: bool,
    cells: Tensor,
    d_h: Tensor,
    d_c_n: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None, Tensor]:
    """The gradients of U, x, weight_c, bias and c_0."""
    T, (B, H) = U.shape[0], c_0.shape
    arrays = _prepared(U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha)
    d_U, d_c_0 = torch.empty(U.shape), torch.empty(B, H)
    d_x = None if x is None else torch.empty(T, B, H)
    d_weight_c, d_bias = torch.empty(B, 2 * H), torch.empty(B, 2 * H)  # a row a sequence: no two threads add to one
    read = (_array(part) for part in (cells, d_h, d_c_n))
    written = (part.numpy() for part in (d_U, d_U if x is None else d_x, d_c_0, d_weight_c, d_bias))
    version, group_size = _plan(c_0)
    _BACKWARD[version](*arrays, use_tanh, reverse, group_size, *read, *written)
    found = d_U, d_x, d_weight_c.sum(0), None if bias is None else d_bias.sum(0), d_c_0
    given = U, x, weight_c, bias, c_0
    return tuple(None if part is None else part.to(like.dtype) for part, like in zip(found, given, strict=True))
