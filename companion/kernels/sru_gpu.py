"""The SRU's recurrence fused for GPUs: one kernel forward, one backward, written in Triton.

A GPU hides the time a memory access takes by having thousands of threads wait side by side. There are B * H of them
here, one for each unit of each sequence, and each walks through all time steps with its state in a register. What a
step needs lies side by side for neighboring threads, so that one access serves many of them.

Inputs may be float32, bfloat16 or float16; every sum and every state is float32. Nothing is kept for the backward pass
but the states: it computes the gates again.

With ``TRITON_INTERPRET=1`` in the environment the same kernels run on a CPU, one operation after the other. That is
slow, but it is how they are tested where there is no GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 128  # threads that walk together


@triton.jit
def _sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _tanh(x):
    return 2 / (1 + tl.exp(-2 * x)) - 1


@triton.jit
def _forward(
    U, highway, weight_c, bias, c_0, mask, lengths, h, cells, c_n, alpha, T, B, H,
    KEEP: tl.constexpr, BLOCKS: tl.constexpr, IN_U: tl.constexpr, USE_TANH: tl.constexpr, REVERSE: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_MASK: tl.constexpr, HAS_LENGTHS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    columns = B * H
    column = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # one unit of one sequence
    valid = column < columns
    row, unit = column // H, column % H
    v_f = tl.load(weight_c + unit, valid, 0).to(tl.float32)
    v_r = tl.load(weight_c + H + unit, valid, 0).to(tl.float32)
    b_f, b_r = v_f * 0, v_r * 0
    if HAS_BIAS:
        b_f = tl.load(bias + unit, valid, 0).to(tl.float32)
        b_r = tl.load(bias + H + unit, valid, 0).to(tl.float32)
    c = tl.load(c_0 + column, valid, 0).to(tl.float32)
    m = v_f * 0 + 1
    if HAS_MASK:
        m = tl.load(mask + column, valid, 0).to(tl.float32)
    steps = row * 0 + T
    if HAS_LENGTHS:
        steps = tl.load(lengths + row, valid, 0)
    for step in range(T):
        t = step
        if REVERSE:
            t = T - 1 - step
        here = t.to(tl.int64) * columns
        block = U + here * BLOCKS + row * BLOCKS * H + unit
        candidate = tl.load(block, valid, 0).to(tl.float32)
        f = _sigmoid(tl.load(block + H, valid, 0).to(tl.float32) + v_f * c + b_f)
        r = m * _sigmoid(tl.load(block + 2 * H, valid, 0).to(tl.float32) + v_r * c + b_r)
        if IN_U:
            x = tl.load(block + 3 * H, valid, 0).to(tl.float32)
        else:
            x = alpha * tl.load(highway + here + column, valid, 0).to(tl.float32)
        new = candidate + f * (c - candidate)
        shown = new
        if USE_TANH:
            shown = _tanh(new)
        out = x + r * (shown - x)
        if HAS_LENGTHS:  # in the padding the state stays, the output is zero
            new = tl.where(t < steps, new, c)
            out = tl.where(t < steps, out, 0)
        c = new
        if KEEP:
            tl.store(cells + here + column, c, valid)
        tl.store(h + here + column, out, valid)
    tl.store(c_n + column, c, valid)


@triton.jit
def _backward(
    U, highway, weight_c, bias, c_0, mask, lengths, cells, d_h, d_c_n, d_U, d_highway, d_c_0, d_weight_c, d_bias,
    alpha, T, B, H,
    BLOCKS: tl.constexpr, IN_U: tl.constexpr, USE_TANH: tl.constexpr, REVERSE: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_MASK: tl.constexpr, HAS_LENGTHS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    columns = B * H
    column = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = column < columns
    row, unit = column // H, column % H
    v_f = tl.load(weight_c + unit, valid, 0).to(tl.float32)
    v_r = tl.load(weight_c + H + unit, valid, 0).to(tl.float32)
    b_f, b_r = v_f * 0, v_r * 0
    if HAS_BIAS:
        b_f = tl.load(bias + unit, valid, 0).to(tl.float32)
        b_r = tl.load(bias + H + unit, valid, 0).to(tl.float32)
    m = v_f * 0 + 1
    if HAS_MASK:
        m = tl.load(mask + column, valid, 0).to(tl.float32)
    steps = row * 0 + T
    if HAS_LENGTHS:
        steps = tl.load(lengths + row, valid, 0)
    d_c = tl.load(d_c_n + column, valid, 0).to(tl.float32)
    d_v_f, d_v_r, d_b_f, d_b_r = v_f * 0, v_f * 0, v_f * 0, v_f * 0
    for step in range(T):
        t = T - 1 - step
        earlier = t - 1
        if REVERSE:
            t = step
            earlier = t + 1
        here = t.to(tl.int64) * columns
        block = row * BLOCKS * H + unit + here * BLOCKS
        after = tl.load(cells + here + column, valid, 0)
        if step == T - 1:
            before = tl.load(c_0 + column, valid, 0).to(tl.float32)
        else:
            before = tl.load(cells + earlier.to(tl.int64) * columns + column, valid, 0)
        candidate = tl.load(U + block, valid, 0).to(tl.float32)
        f = _sigmoid(tl.load(U + block + H, valid, 0).to(tl.float32) + v_f * before + b_f)
        r = _sigmoid(tl.load(U + block + 2 * H, valid, 0).to(tl.float32) + v_r * before + b_r)
        if IN_U:
            x = tl.load(U + block + 3 * H, valid, 0).to(tl.float32)
        else:
            x = alpha * tl.load(highway + here + column, valid, 0).to(tl.float32)
        d_out = tl.load(d_h + here + column, valid, 0).to(tl.float32)
        if HAS_LENGTHS:
            d_out = tl.where(t < steps, d_out, 0)
        shown, slope = after, 1.0
        if USE_TANH:
            shown = _tanh(after)
            slope = 1 - shown * shown
        d_shown = d_out * m * r
        d_x = d_out - d_shown
        d_r = d_shown * (shown - x) * (1 - r)
        d_after = d_c + d_shown * slope
        d_candidate = d_after * (1 - f)
        d_f = d_candidate * (before - candidate) * f
        d_before = d_after * f + d_f * v_f + d_r * v_r
        if HAS_LENGTHS:
            d_candidate = tl.where(t < steps, d_candidate, 0)
            d_f = tl.where(t < steps, d_f, 0)
            d_before = tl.where(t < steps, d_before, d_c)
        d_c = d_before
        d_v_f += d_f * before
        d_v_r += d_r * before
        d_b_f += d_f
        d_b_r += d_r
        tl.store(d_U + block, d_candidate, valid)
        tl.store(d_U + block + H, d_f, valid)
        tl.store(d_U + block + 2 * H, d_r, valid)
        if IN_U:
            tl.store(d_U + block + 3 * H, d_x, valid)
        else:
            tl.store(d_highway + here + column, alpha * d_x, valid)
    tl.store(d_c_0 + column, d_c, valid)
    tl.store(d_weight_c + row * 2 * H + unit, d_v_f, valid)
    tl.store(d_weight_c + row * 2 * H + H + unit, d_v_r, valid)
    tl.store(d_bias + row * 2 * H + unit, d_b_f, valid)
    tl.store(d_bias + row * 2 * H + H + unit, d_b_r, valid)


def _launch(kernel, tensors, U, x, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse, **options):
    T, (B, H) = U.shape[0], c_0.shape
    if B * H == 0:
        return
    given = dict(HAS_BIAS=bias is not None, HAS_MASK=dropout_mask is not None, HAS_LENGTHS=lengths is not None)
    kernel[(triton.cdiv(B * H, BLOCK),)](
        *tensors, alpha, T, B, H, BLOCKS=U.shape[-1] // H, IN_U=x is None, USE_TANH=use_tanh, REVERSE=reverse,
        **given, **options, BLOCK=BLOCK,
    )  # fmt: skip


def _contiguous(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


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
    """The outputs, the last state, and the states after every step, in float32, if the backward pass will need them."""
    T, B, H = *U.shape[:2], c_0.shape[-1]
    inputs = _contiguous(U, x, weight_c, bias, c_0, dropout_mask, lengths)
    h, c_n = U.new_empty(T, B, H), U.new_empty(B, H)
    cells = U.new_empty(T, B, H, dtype=torch.float32) if keep else None
    tensors = *inputs, h, cells, c_n
    _launch(_forward, tensors, U, x, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse, KEEP=keep)
    return h, c_n, cells


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
    B, H = c_0.shape
    inputs = _contiguous(U, x, weight_c, bias, c_0, dropout_mask, lengths, cells, d_h, d_c_n)
    d_U, d_c_0 = torch.empty_like(inputs[0]), torch.empty_like(inputs[4])
    d_x = None if x is None else torch.empty_like(inputs[1])
    # One row a sequence: no two threads add to the same number, and the sum is the same every time.
    d_weight_c, d_bias = (U.new_zeros(B, 2 * H, dtype=torch.float32) for _ in range(2))
    tensors = (*inputs, d_U, d_x, d_c_0, d_weight_c, d_bias)
    _launch(_backward, tensors, U, x, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse)
    d_bias = None if bias is None else d_bias.sum(0).to(bias.dtype)
    return d_U, d_x, d_weight_c.sum(0).to(weight_c.dtype), d_bias, d_c_0
