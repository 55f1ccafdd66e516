"""The SRU's recurrence in PyTorch alone: as a plain loop, and with a backward pass written by hand.

The plain loop is :func:`~companion.steps.sru_step` at every step, and the meaning of all other ways. The one by hand
keeps in its loops only what has to wait. Forward that is the forget gate and the state. The reset gate looks at states
that are all known by then, and the output at both: they follow for all steps at once. Backward it is less still. The
gradient of the state obeys a linear recurrence whose coefficients are known, so a step is one multiplication and one
addition.

Arguments and results are those of :func:`companion.kernels.sru_recurrence`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from companion.steps import sru_step
from companion.time_loop import State, over_time

__all__ = ["replay", "sru_by_hand", "sru_plain"]


def sru_plain(
    U: Tensor,
    x: Tensor | None,
    weight_c: Tensor,
    bias: Tensor | None,
    c_0: Tensor,
    dropout_mask: Tensor | None = None,
    lengths: Tensor | None = None,
    alpha: float = 1.0,
    use_tanh: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The recurrence as a loop over :func:`~companion.steps.sru_step`, differentiated by autograd.

    Args:
        U: the projected input, shape (T, B, 3H or 4H).
        x: the input on the highway, shape (T, B, H), or None.
        weight_c: shape (2H).
        bias: shape (2H), or None.
        c_0: the state before the first step, shape (B, H).
        dropout_mask: shape (B, H), or None.
        lengths: shape (B), or None.
        alpha: the factor of ``x``.
        use_tanh: whether the state is shown through a tanh.
        reverse: whether to take the steps from the last to the first.

    Returns:
        The outputs, shape (T, B, H), and the last state, shape (B, H).

    Source: :cite:t:`lei2018`. Taught in *The SRU, twice*.
    """
    dtype, H = U.dtype, c_0.shape[-1]
    U, x, weight_c, bias, c_0, dropout_mask = at_least_single((U, x, weight_c, bias, c_0, dropout_mask))
    highway = U[..., 3 * H :] if x is None else alpha * x                   # (T, B, H)
    padding = None if lengths is None else _padding(U, lengths)             # (T, B, 1)
    candidate, forget, reset = U[..., : 3 * H].chunk(3, -1)
    if padding is not None:  # a forget gate of exactly 1 carries the state over
        forget = forget.masked_fill(padding, math.inf)

    def step(inputs: tuple[Tensor, Tensor], state: State) -> State:
        return sru_step(inputs[0], state[-1], weight_c, bias, inputs[1], use_tanh)

    sums = torch.cat([candidate, forget, reset], -1)                        # (T, B, 3H)
    inputs = list(zip(sums.unbind(0), highway.unbind(0), strict=True))
    outputs, state = over_time(step, inputs, (c_0,), reverse)
    h = torch.stack(outputs)                                                # (T, B, H)
    if dropout_mask is not None:  # h is highway + r * (g - highway), and the mask multiplies r
        h = highway + dropout_mask * (h - highway)
    if padding is not None:
        h = h.masked_fill(padding, 0)
    return h.to(dtype), state[-1].to(dtype)


def sru_by_hand(
    U: Tensor,
    x: Tensor | None,
    weight_c: Tensor,
    bias: Tensor | None,
    c_0: Tensor,
    dropout_mask: Tensor | None = None,
    lengths: Tensor | None = None,
    alpha: float = 1.0,
    use_tanh: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The recurrence with a backward pass written by hand.

    Args:
        U: the projected input, shape (T, B, 3H or 4H).
        x: the input on the highway, shape (T, B, H), or None.
        weight_c: shape (2H).
        bias: shape (2H), or None.
        c_0: the state before the first step, shape (B, H).
        dropout_mask: shape (B, H), or None.
        lengths: shape (B), or None.
        alpha: the factor of ``x``.
        use_tanh: whether the state is shown through a tanh.
        reverse: whether to take the steps from the last to the first.

    Returns:
        The outputs, shape (T, B, H), and the last state, shape (B, H).

    Source: :cite:t:`lei2018`. Taught in *Making it fast*.
    """
    inputs = at_least_single((U, x, weight_c, bias, c_0, dropout_mask))
    h, c_n = _ByHand.apply(alpha, use_tanh, reverse, *inputs, lengths)
    return h.to(U.dtype), c_n.to(U.dtype)


def at_least_single(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """All in the first one's dtype, or in float32 if that is half as wide: a sum over time needs the digits."""
    dtype = tensors[0].dtype
    dtype = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    return [None if tensor is None else tensor.to(dtype) for tensor in tensors]


def replay(
    inputs: Sequence[Tensor | None],
    options: Sequence[Any],
    needed: Sequence[bool],
    incoming: Sequence[Tensor],
) -> list[Tensor | None]:
    """Gradients that are differentiable in turn, from the plain loop: what a kernel's double backward falls back on.

    Args:
        inputs: U, x, weight_c, bias, c_0, dropout_mask and lengths.
        options: alpha, use_tanh and reverse.
        needed: for each input, whether its gradient is wanted.
        incoming: the gradients of the outputs and of the last state.

    Returns:
        For each input its gradient, or None where it is not needed.
    """
    with torch.enable_grad():
        # Aliases: should one input have been computed from another, no gradient may run on from the one to the other.
        aliases = [None if part is None else part.view_as(part) for part in inputs]
        wanted = [alias for alias, need in zip(aliases, needed, strict=True) if need]
        outputs = sru_plain(*aliases, *options)
        found = iter(torch.autograd.grad(outputs, wanted, incoming, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needed]


class _ByHand(Function):
    @staticmethod
    def forward(ctx, alpha, use_tanh, reverse, U, x, weight_c, bias, c_0, dropout_mask, lengths):
        T, B, H = *U.shape[:2], c_0.shape[-1]
        v_f, v_r = weight_c.chunk(2)
        f, r = _add(U[..., H : 2 * H], bias, 0), _add(U[..., 2 * H : 3 * H], bias, 1)   # (T, B, H), will be the gates
        if lengths is not None:  # a forget gate of exactly 1 carries the state over
            f.masked_fill_(_padding(U, lengths), math.inf)
        cells = U.new_empty(T + 1, B, H)
        before, after = _before_and_after(cells, reverse)
        cells[-1 if reverse else 0] = c_0
        for gate, candidate, c, new in _in_order(reverse, f, U[..., :H], before, after):
            torch.sigmoid_(gate.addcmul_(v_f, c))
            torch.lerp(candidate, c, gate, out=new)                         # f * c + (1 - f) * candidate
        torch.sigmoid_(r.addcmul_(before, v_r))
        shown = torch.tanh(after) if use_tanh else after
        h = torch.lerp(_highway(U, x, alpha, H), shown, r if dropout_mask is None else r * dropout_mask)
        if lengths is not None:
            h.masked_fill_(_padding(U, lengths), 0)
        ctx.options = alpha, use_tanh, reverse
        ctx.save_for_backward(U, x, weight_c, bias, c_0, dropout_mask, lengths, f, r, cells)
        return h, cells[0 if reverse else -1].clone()

    @staticmethod
    def backward(ctx, d_h, d_c_n):
        *inputs, f, r, cells = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():  # backward(create_graph=True)
            return None, None, None, *replay(inputs, ctx.options, needed, (d_h, d_c_n))
        found = _gradients(*ctx.options, *inputs, f, r, cells, d_h, d_c_n)
        return None, None, None, *(part if need else None for part, need in zip(found, needed, strict=True))


def _gradients(
    alpha, use_tanh, reverse, U, x, weight_c, bias, c_0, dropout_mask, lengths, f, r, cells, d_h, d_c_n
) -> tuple[Tensor | None, ...]:
    """The backward pass: everything for all steps at once, but for one multiplication and one addition a step."""
    H = c_0.shape[-1]
    v_f, v_r = weight_c.chunk(2)
    before, after = _before_and_after(cells, reverse)
    if lengths is not None:
        d_h = d_h.masked_fill(_padding(U, lengths), 0)
    d_U = torch.empty_like(U)                                               # (T, B, k * H)
    d_candidate, d_f, d_r = (d_U[..., block * H : (block + 1) * H] for block in range(3))  # of the sums, not the gates

    shown = torch.tanh(after) if use_tanh else after
    masked_d_h = d_h if dropout_mask is None else d_h * dropout_mask
    d_shown = masked_d_h * r
    torch.mul(d_shown, shown - _highway(U, x, alpha, H), out=d_r).mul_(1 - r)
    d_highway = torch.sub(d_h, d_shown, out=None if x is not None else d_U[..., 3 * H :])
    d_c = d_shown.mul_(1 - shown * shown) if use_tanh else d_shown          # of each state: so far, by its output

    keep = 1 - f
    torch.mul(before - U[..., :H], f * keep, out=d_f)                       # the slope of c_t in the sum of f
    carry = torch.addcmul(f, d_f, v_f)                                      # the slope of c_t in the state before it
    from_r = d_r * v_r                                                      # the reset gate saw the state before, too
    d_before, d_after = (d_c[1:], d_c[:-1]) if reverse else (d_c[:-1], d_c[1:])
    first, last = (-1, 0) if reverse else (0, -1)
    d_before += from_r[:-1] if reverse else from_r[1:]
    d_c[last] += d_c_n
    carry_after = carry[:-1] if reverse else carry[1:]
    for earlier, later, slope in _in_order(not reverse, d_before, d_after, carry_after):
        earlier.addcmul_(later, slope)

    torch.mul(d_c, keep, out=d_candidate)
    d_f.mul_(d_c)
    d_c_0 = torch.addcmul(from_r[first], d_c[first], carry[first])
    d_weight_c = torch.cat([_over_time_and_batch(d_f * before), _over_time_and_batch(d_r * before)])
    d_bias = None if bias is None else _over_time_and_batch(d_U[..., H : 3 * H])
    d_x = None if x is None else d_highway.mul_(alpha)
    return d_U, d_x, d_weight_c, d_bias, d_c_0, None, None


def _add(block: Tensor, bias: Tensor | None, gate: int) -> Tensor:
    """A new tensor, contiguous: the sums of one gate as far as they do not wait for the state."""
    if bias is None:
        return block.clone(memory_format=torch.contiguous_format)
    return torch.add(block, bias.chunk(2)[gate])


def _highway(U: Tensor, x: Tensor | None, alpha: float, H: int) -> Tensor:
    if x is None:
        return U[..., 3 * H :]
    return x if alpha == 1 else alpha * x


def _padding(U: Tensor, lengths: Tensor) -> Tensor:
    """True after a sequence's last step, shape (T, B, 1)."""
    steps = torch.arange(U.shape[0], device=U.device).unsqueeze(1)
    return (steps >= lengths).unsqueeze(-1)


def _before_and_after(cells: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """Of T + 1 states in time order, those before and those after the step at each time."""
    return (cells[1:], cells[:-1]) if reverse else (cells[:-1], cells[1:])


def _in_order(reverse: bool, *tensors: Tensor) -> Any:
    """The tensors' parts step by step, taken apart once: indexing costs more than a step does."""
    parts = list(zip(*(tensor.unbind(0) for tensor in tensors), strict=True))
    return reversed(parts) if reverse else parts


def _over_time_and_batch(values: Tensor) -> Tensor:
    return values.flatten(0, 1).sum(0)
