"""Fewer bits: weights as small integers with a scale for each row, and products in bfloat16.

What is here makes the effect of fewer bits measurable, with any model. It saves memory where the integers are stored,
and no time: to compute with integers takes kernels made for them, such as those of ``quantize_dynamic`` in
``torch.ao.quantization``.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["bfloat16_loss", "dequantize_rows", "quantize_rows", "round_weights"]


def quantize_rows(weight: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Write a matrix as small integers, with one scale for each row, such that zero stays zero.

    The largest absolute value of a row becomes the largest integer, 127 for 8 bits.

    Args:
        weight: floating-point numbers, shape (rows, columns).
        bits: how many bits an integer has, 2 to 8. Fewer than 8 take up 8 here, too.

    Returns:
        The integers, int8 of the weight's shape, and the scales, shape (rows, 1). No number of the weight is farther
        than half a scale from its integer times the scale.

    Raises:
        TypeError: ``weight`` is no floating-point tensor, or ``bits`` is no int.
        ValueError: ``weight`` is not 2-D or has numbers that are not finite, or ``bits`` is not in 2 to 8.

    Examples:
        >>> from companion.precision import quantize_rows
        >>> codes, scales = quantize_rows(torch.tensor([[0.5, -1.27], [0.0, 2.54]]))
        >>> codes
        tensor([[  50, -127],
                [   0,  127]], dtype=torch.int8)

    Taught in *Ready for work*.
    """
    check_quantizable(weight, bits)
    largest = 2 ** (bits - 1) - 1  # 127 for 8 bits
    scales = weight.abs().amax(1, keepdim=True) / largest               # (rows, 1)
    scales = scales.clamp(min=torch.finfo(weight.dtype).tiny)           # a row of zeros
    codes = (weight / scales).round().clamp(-largest, largest)          # in 16 bits a division may end at 128
    return codes.to(torch.int8), scales


def dequantize_rows(codes: Tensor, scales: Tensor) -> Tensor:
    """The numbers that integers and scales stand for: their product.

    Args:
        codes: integers, shape (rows, columns).
        scales: floating-point numbers, shape (rows, 1).

    Returns:
        Shape (rows, columns), in the dtype of ``scales``.

    Raises:
        ValueError: there is not one scale for each row.

    Examples:
        >>> from companion.precision import dequantize_rows
        >>> dequantize_rows(torch.tensor([[50, -127]], dtype=torch.int8), torch.tensor([[0.5]]))
        tensor([[ 25.0000, -63.5000]])

    Taught in *Ready for work*.
    """
    if codes.dim() != 2 or scales.shape != (len(codes), 1):
        raise ValueError(
            f"scales should be one for each row of codes, shape ({len(codes)}, 1), got {tuple(scales.shape)}"
        )
    return codes * scales


def round_weights(model: nn.Module, bits: int = 8) -> nn.Module:
    """A copy of a model whose matrices hold only numbers that integers of so many bits can stand for.

    It computes in floating point as before. So it tells what the rounding does to the results, and nothing of the time.

    Args:
        model: any model, on any device.
        bits: how many bits, 2 to 8, see :func:`quantize_rows`.

    Returns:
        The copy. Weights that are not 2-D, biases above all, are as they were.

    Raises:
        TypeError, ValueError: as :func:`quantize_rows`.

    Examples:
        >>> from companion.precision import round_weights
        >>> coarse = round_weights(nn.GRU(3, 4), bits=2)  # -1, 0 or 1, times the row's scale
        >>> max(len(row.unique()) for row in coarse.weight_hh_l0) <= 3
        True

    Taught in *Ready for work*.
    """
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for weight in rounded.parameters():
            if weight.dim() == 2:
                weight.copy_(dequantize_rows(*quantize_rows(weight, bits)))
    return rounded


def bfloat16_loss(model: nn.Module, batch: tuple[Tensor, Tensor], state: Any = None) -> tuple[Tensor, Any]:
    """The loss of :func:`~companion.training.next_token_loss`, the model under autocast to bfloat16.

    Args:
        model: called as ``model(inputs, state)``, returns logits with V last, and the new state.
        batch: the pair (inputs, targets), token numbers of equal shape.
        state: the state before the batch, or None.

    Returns:
        The mean loss, computed from the logits in float32, and the state after the batch, in the dtype that the
        layer gives.

    Examples:
        >>> from companion.precision import bfloat16_loss
        >>> model = companion.LanguageModel(companion.GRU(8, 16), vocabulary_size=30)
        >>> tokens = torch.randint(30, (36, 4))  # (T + 1, B)
        >>> loss, state = bfloat16_loss(model, (tokens[:-1], tokens[1:]))
        >>> loss.dtype, state.dtype
        (torch.float32, torch.bfloat16)

    Taught in *Ready for work*.
    """
    inputs, targets = batch
    with torch.autocast(inputs.device.type, torch.bfloat16):
        logits, state = model(inputs, state)
    return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten()), state


def check_quantizable(weight: Tensor, bits: int) -> None:
    """Raise TypeError or ValueError, naming the argument, unless this matrix can be written with so many bits."""
    if not isinstance(bits, int) or isinstance(bits, bool):
        raise TypeError(f"bits should be an int, got {bits!r} of type {type(bits).__name__}")
    if not 2 <= bits <= 8:
        raise ValueError(f"bits should be from 2 to 8, got {bits}")
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        found = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"weight should be a floating-point tensor, got {found}")
    if weight.dim() != 2 or weight.numel() == 0:
        raise ValueError(f"weight should be a matrix, shape (rows, columns), got shape {tuple(weight.shape)}")
    if not weight.isfinite().all():
        raise ValueError("weight should hold finite numbers, got nan or an infinity")
