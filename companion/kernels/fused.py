"""A fused kernel as PyTorch sees it: differentiable, twice if need be, and under ``torch.compile``.

A kernel is a module with two functions, ``forward`` and ``backward``, which know nothing of autograd:
:mod:`~.sru_cpu` and :mod:`~.sru_gpu`. Two wrappings give them to PyTorch. Run eagerly, an ``autograd.Function`` costs
least. A compiler cannot look into a kernel, so it is given an operator of :mod:`torch.library`, with the shapes of its
results and its backward pass.
"""

from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import Function

from companion.kernels.choice import fused_kernel
from companion.kernels.sru_eager import replay

__all__ = ["sru_by_operator", "sru_fused"]


def sru_fused(
    kernel: ModuleType,
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
    """The recurrence by a fused kernel, run eagerly.

    Args:
        kernel: the module that has the kernel.
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
    inputs = U, x, weight_c, bias, c_0, dropout_mask, lengths
    if not torch.is_grad_enabled():  # no state will be asked for again
        return kernel.forward(*inputs, alpha, use_tanh, reverse, keep=False)[:2]
    return _Fused.apply(kernel, (alpha, use_tanh, reverse), *inputs)


class _Fused(Function):
    @staticmethod
    def forward(ctx, kernel, options, *inputs):
        h, c_n, cells = kernel.forward(*inputs, *options)
        ctx.kernel, ctx.options = kernel, options
        ctx.save_for_backward(*inputs, cells)
        return h, c_n

    @staticmethod
    def backward(ctx, d_h, d_c_n):
        *inputs, cells = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # backward(create_graph=True)
            return None, None, *replay(inputs, ctx.options, needed, (d_h, d_c_n))
        found = [*ctx.kernel.backward(*inputs, *ctx.options, cells, d_h, d_c_n), None, None]
        return None, None, *(part if need else None for part, need in zip(found, needed, strict=True))


# The operator, for compilers


def sru_by_operator(
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
    """The recurrence by the fused kernel of U's device, as one operation of a compiled graph.

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
    return _operator(U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse)[:2]


def _kernel(U: Tensor) -> ModuleType:
    return fused_kernel(U.device.type, U.dtype)


@torch.library.custom_op("companion::sru", mutates_args=())
def _operator(
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
) -> tuple[Tensor, Tensor, Tensor]:
    """The outputs, the last state, and the states after every step, by the fused kernel of U's device."""
    return _kernel(U).forward(U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse)


@_operator.register_fake
def _(U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse):
    T, B, H = *U.shape[:2], c_0.shape[-1]
    return U.new_empty(T, B, H), U.new_empty(B, H), U.new_empty(T, B, H, dtype=torch.float32)


@torch.library.custom_op("companion::sru_backward", mutates_args=())
def _operator_backward(
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
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    found = _kernel(U).backward(
        U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse, cells, d_h, d_c_n
    )
    return tuple(U.new_empty(0) if part is None else part for part in found)  # an operator returns tensors only


@_operator_backward.register_fake
def _(U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse, cells, d_h, d_c_n):
    return tuple(U.new_empty(0) if part is None else torch.empty_like(part) for part in (U, x, weight_c, bias, c_0))


def _keep(ctx, inputs, output):
    *tensors, alpha, use_tanh, reverse = inputs
    ctx.options = alpha, use_tanh, reverse
    ctx.save_for_backward(*tensors, output[2])


def _differentiate(ctx, d_h, d_c_n, _):
    *inputs, cells = ctx.saved_tensors
    found = _operator_backward(*inputs, *ctx.options, cells, d_h, d_c_n)
    present = [part if given is not None else None for part, given in zip(found, inputs, strict=False)]
    return *present, None, None, None, None, None


_operator.register_autograd(_differentiate, setup_context=_keep)
