"""First values for the weights of a recurrent layer, block of rows by block of rows.

They change a layer in place and give it back: ``layer = set_forget_bias(nn.LSTM(8, 16), 1.0)``. Each one reaches every
layer and both directions, of :mod:`torch.nn`'s layers and cells, of ours, and of your own.
"""

import math
import numbers
from typing import Any

import torch
from torch import Tensor, nn

from companion.anatomy import blocks_of, check_recurrent, kind_of

__all__ = ["identity_", "orthogonal_", "set_forget_bias"]

FORGET = ("f", "forget")  # the names of a forget gate's rows


def set_forget_bias(layer: nn.Module, value: float = 1.0) -> nn.Module:
    """Open, or shut, the forget gates that a new layer starts with.

    nn's layers add two biases, so one of them gets the value and the other zero: set to 1 in both, it would be 2.

    Args:
        layer: an LSTM or SRU, a cell of either, or a layer of your own with rows named ``"f"`` or ``"forget"`` (see
            :mod:`companion.anatomy`), whose gate near 1 keeps the old state.
        value: the sum of the biases of every forget gate. A gate that reads zeros stands at sigmoid(value): 0.73 for
            1, 0.95 for 3.

    Returns:
        The same layer.

    Raises:
        TypeError: ``layer`` has no forget gate, or ``value`` is no number.
        ValueError: the layer was made with ``bias=False``, or ``value`` is not finite.

    Examples:
        >>> layer = companion.set_forget_bias(nn.LSTM(3, 2), 1.0)
        >>> layer.bias_ih_l0[2:4] + layer.bias_hh_l0[2:4]  # rows i, f, g, o: f is the second block
        tensor([1., 1.], grad_fn=<AddBackward0>)

    Source: :cite:t:`jozefowicz2015`. Taught in *The LSTM, twice*.
    """
    check_recurrent(layer)
    _check_number("value", value)
    forget = {
        name: block
        for name, _ in layer.named_parameters()
        for block in blocks_of(layer, name)
        if block.name in FORGET
    }
    if not forget:
        raise TypeError(
            f"layer should have a forget gate, as an LSTM or SRU has, or rows named 'f' in its row_names, "
            f"got a {type(layer).__name__}"
        )
    biases = {name: block for name, block in forget.items() if name.startswith("bias")}
    if not biases:
        raise ValueError(f"layer should have biases, got {layer} without: there is no forget bias to set")
    opened = set()  # the layers and directions that have the value already
    with torch.no_grad():
        for name, block in biases.items():
            place = name.removeprefix(kind_of(name))  # "_l0_reverse"
            layer.get_parameter(name)[block.start : block.stop] = 0.0 if place in opened else value
            opened.add(place)
    return layer


def orthogonal_(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """Draw recurrent weights that neither shrink nor stretch a state: each gate's block is an orthogonal matrix.

    Block by block, since a step multiplies the state by each of them alone. A matrix of G blocks that is orthogonal as
    a whole has blocks that shrink every state, to 1/sqrt(G) of its length on average.

    Args:
        layer: a layer or cell with ``weight_hh``. With a projection its blocks are (H, P), with orthonormal columns.
        gain: a factor of every block.

    Returns:
        The same layer. Input weights and biases stay as they are.

    Raises:
        TypeError: ``layer`` has no recurrent matrix, as the SRU has none, or ``gain`` is no number.
        ValueError: ``gain`` is not finite.

    Examples:
        >>> layer = companion.orthogonal_(nn.GRU(3, 4))
        >>> torch.stack([W.T @ W for W in layer.weight_hh_l0.split(4)]).sub(torch.eye(4)).abs().max().item() < 1e-5
        True

    Source: :cite:t:`saxe2014`. Taught in *Backpropagation through time*.
    """
    _check_number("gain", gain)
    with torch.no_grad():
        for block in _recurrent_blocks(layer):
            drawn = torch.empty_like(block, dtype=torch.promote_types(block.dtype, torch.float32))  # no QR in bfloat16
            block.copy_(nn.init.orthogonal_(drawn, gain))
    return layer


def identity_(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """Let each gate's block of the recurrent weights be the identity: every unit starts out reading its own past only.

    With it a simple RNN of rectified linear units, its biases zero, keeps its state until it learns better (IRNN).

    Args:
        layer: a layer or cell with ``weight_hh``, without a projection.
        gain: a factor of every block.

    Returns:
        The same layer. Input weights and biases stay as they are.

    Raises:
        TypeError: ``layer`` has no recurrent matrix, as the SRU has none, or ``gain`` is no number.
        ValueError: the layer has a projection, so that its blocks are not square, or ``gain`` is not finite.

    Examples:
        >>> companion.identity_(nn.RNN(3, 2)).weight_hh_l0
        Parameter containing:
        tensor([[1., 0.],
                [0., 1.]], requires_grad=True)

    Source: :cite:t:`le2015`. Taught in *Backpropagation through time*.
    """
    _check_number("gain", gain)
    blocks = _recurrent_blocks(layer)
    if any(block.shape[0] != block.shape[1] for block in blocks):
        shape = tuple(blocks[0].shape)
        raise ValueError(f"layer should have square blocks in weight_hh, got (H, P) = {shape}: use orthogonal_")
    with torch.no_grad():
        for block in blocks:
            nn.init.eye_(block).mul_(gain)
    return layer


def _recurrent_blocks(layer: nn.Module) -> list[Tensor]:
    """The blocks of H rows of every weight_hh, as views."""
    check_recurrent(layer)
    H = layer.hidden_size
    found = [weight for name, weight in layer.named_parameters() if kind_of(name) == "weight_hh"]
    if not found or any(weight.dim() != 2 or H == 0 or len(weight) % H for weight in found):
        raise TypeError(f"layer should have a recurrent matrix weight_hh, got a {type(layer).__name__} without")
    return [block for weight in found for block in weight.detach().split(H)]


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} should be a number, got {value!r} of type {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name} should be finite, got {value}")
