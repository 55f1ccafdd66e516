"""The SRU's recurrence over a whole sequence, and the choice of the way it runs.

An SRU holds its matrix products outside the loop over time. What is left, the recurrence, multiplies and adds units one
by one, and every unit of every sequence is alone. :func:`sru_recurrence` is that recurrence. Whichever way runs it, it
means the same:

========================== ================================================== =====================================
way                        where it serves                                    needs
========================== ================================================== =====================================
:mod:`~.sru_eager`, plain  where single operations must be seen               nothing but PyTorch
:mod:`~.sru_eager`, by     every device and dtype                             nothing but PyTorch
hand
``sru_cpu``                on a CPU, but for float64                          numba
``sru_gpu``                on a CUDA device, but for float64                  Triton
========================== ================================================== =====================================

**The contract** of every way, forward and backward. T time, B batch, H hidden units, k = 3 or 4:

- ``U``, shape (T, B, k * H): the projected input, its blocks candidate, forget, reset, and highway if k = 4. Time comes
  first, so that a step is one block of memory; H is last and side by side in memory within a block.
- ``x``, shape (T, B, H): the layer's input, which the highway lets through if k = 3, times ``alpha``. None if k = 4:
  the fourth block is taken as it is, without ``alpha``.
- ``weight_c`` and ``bias``, shape (2 * H): for forget, then for reset. ``bias`` may be None. It is not in ``U``, so
  that a fused kernel can add up its gradient on the way.
- ``c_0``, shape (B, H): the state before the first step that is taken.
- ``dropout_mask``, shape (B, H), or None: multiplies the reset gate, the same at every step. A unit whose mask is zero
  lets the highway's input through.
- ``lengths``, integers of shape (B), on U's device, or None: sequence b has steps 0 to lengths[b] - 1 and padding after
  them. In the padding the state stays as it is and the output is zero, and no gradient comes from there.
- ``reverse``: steps are taken from the last to the first, each sequence's own last if it has padding.

The results are ``h``, shape (T, B, H), in time order whichever way it was read, and ``c_n``, shape (B, H), the state
after the last step taken. Both have U's dtype and memory of their own, which a caller may write into. ``float16`` and
``bfloat16`` are computed in ``float32``, state included, and rounded once at the end; weights, state and x may have
another dtype than U, as under autocast. Gradients flow to U, x, weight_c, bias, c_0; asked for gradients of gradients,
a backward pass runs the plain way again (:func:`companion.kernels.sru_eager.replay`). T and B are at least 1 and 0.
"""

import torch
from torch import Tensor

from companion.bptt import is_being_transformed
from companion.kernels.choice import fused_kernel, has_fused_kernel
from companion.kernels.fused import sru_by_operator, sru_fused
from companion.kernels.sru_eager import sru_by_hand, sru_plain

__all__ = ["sru_recurrence"]


def sru_recurrence(
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
    r"""The recurrence of a simple recurrent unit over a whole sequence, in the fastest way there is.

    Args:
        U: the projected input without bias, blocks candidate, forget, reset and perhaps highway, (T, B, 3H or 4H).
        x: the layer's input, shape (T, B, H); None if ``U`` has a block highway.
        weight_c: :math:`v_f` and :math:`v_r`, shape (2H).
        bias: :math:`b_f` and :math:`b_r`, shape (2H), or None.
        c_0: the state before the first step, shape (B, H).
        dropout_mask: what the reset gate is multiplied by at every step, shape (B, H), or None.
        lengths: number of steps of each sequence, shape (B), the rest being padding; None if there is no padding.
        alpha: what ``x`` is multiplied by on the highway.
        use_tanh: whether the state is shown through a tanh.
        reverse: whether to take the steps from the last to the first.

    Returns:
        The outputs, shape (T, B, H), and the state after the last step taken, shape (B, H).

    Source: :cite:t:`lei2018`. Taught in *The SRU, twice* and *Making it fast*.
    """
    arguments = U, x, weight_c, bias, c_0, dropout_mask, lengths, alpha, use_tanh, reverse
    if is_being_transformed():
        return sru_plain(*arguments)
    if torch.compiler.is_compiling():
        return (sru_by_operator if has_fused_kernel(U.device.type, U.dtype) else sru_plain)(*arguments)
    kernel = fused_kernel(U.device.type, U.dtype)
    return sru_by_hand(*arguments) if kernel is None else sru_fused(kernel, *arguments)
