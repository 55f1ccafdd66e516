"""The weights of a layer as Keras keeps them.

Keras multiplies from the right, so its matrices are transposed, with blocks of columns side by side. It adds one bias
where nn adds two, but for the GRU. Nothing here needs Keras: its weights are NumPy arrays in lists.

Shapes: D input features (``input_size``), H hidden units (``hidden_size``), L layers (``num_layers``), and G blocks: 1
in an RNN, 4 in an LSTM, 3 in a GRU.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from companion.conversion import (
    NN_ORDER,
    WEIGHTS,
    Weights,
    base_of,
    build_layer,
    check_dim,
    check_list,
    check_shapes,
    name_of,
    read_weights,
    reorder_gates,
    reset_after_product,
    to_numpy,
    to_tensor,
)

__all__ = ["from_keras", "to_keras"]

KERAS_ORDER = {"RNN": "h", "LSTM": "ifgo", "GRU": "zrn"}  # the blocks from the left; Keras writes c for g, and h for n


def to_keras(layer: nn.Module) -> list[list[np.ndarray]]:
    """Give the weights of a layer as Keras keeps them, ready for the ``set_weights`` of its layers.

    For each layer and direction these are the ``kernel`` (D, G * H), the ``recurrent_kernel`` (H, G * H) and the
    ``bias`` (G * H), the sum of nn's two. The GRU has the order z, r, n and, with ``reset_after=True``, both biases as
    the rows of one array (2, 3H). The LSTM has nn's order, i, f, g, o.

    Args:
        layer: an RNN, LSTM or GRU, without a projection.

    Returns:
        For each of the L layers the list kernel, recurrent_kernel and, where there is one, bias; for a bidirectional
        layer these for the forward direction, then for the reverse one, as ``Bidirectional(..., merge_mode="concat")``
        takes them. The Keras layers need ``return_sequences=True``, and ``use_bias=False`` for a layer without.

    Raises:
        TypeError: ``layer`` is no such layer, or has weights in a dtype that NumPy lacks.
        ValueError: it has a projection, which Keras has not.

    Examples:
        >>> from companion.keras_layout import to_keras
        >>> [array.shape for array in to_keras(nn.GRU(3, 4))[0]]  # kernel, recurrent_kernel, bias
        [(3, 12), (4, 12), (2, 12)]

    Source: the documentation and code of Keras 3, :cite:p:`chollet2015`. Taught in *Moving weights*.
    """
    name, stack = name_of(layer), read_weights(layer, "Keras")
    return [[array for one in directions for array in _arrays_of(name, one)] for directions in stack]


def _arrays_of(name: str, weights: Weights) -> list[np.ndarray]:
    ordered = {kind: reorder_gates(weight, NN_ORDER[name], KERAS_ORDER[name]) for kind, weight in weights.items()}
    arrays = [ordered["weight_ih"].T, ordered["weight_hh"].T]
    if "bias_ih" in ordered:
        biases = torch.stack([ordered["bias_ih"], ordered["bias_hh"]])  # (2, G * H)
        arrays.append(biases if name == "GRU" else biases.sum(0))
    return [to_numpy(array) for array in arrays]


def from_keras(weights: Sequence, kind: type, *, reset_after: bool = True, **arguments: Any) -> nn.Module:
    """Make a layer from the weights of Keras layers. Sizes, layers, directions and biases are read from them.

    Args:
        weights: what ``get_weights()`` gives for a SimpleRNN, an LSTM, a GRU, or a Bidirectional of one; or a list of
            these, from the lowest layer to the highest. The LSTM and the GRU have to have been made with a sigmoid as
            ``recurrent_activation`` and a tanh as ``activation``, their defaults.
        kind: the class to make, such as ``nn.LSTM`` or ``companion.LSTM``. A SimpleRNN becomes an RNN.
        reset_after: of a GRU, as it was made. False is another model, which only a diagonal recurrent matrix of the
            candidate makes equal to this one.
        arguments: what the weights do not tell: ``batch_first`` (Keras has the batch first), ``dropout``,
            ``nonlinearity``, ``device``.

    Returns:
        A new layer. One bias becomes ``bias_ih``, and ``bias_hh`` is zero.

    Raises:
        TypeError: ``kind`` is no such class, something is no array of floating-point numbers, or an argument is one
            that the weights tell.
        ValueError: a shape does not fit, arrays differ in dtype, or the GRU resets before the product.

    Examples:
        >>> from companion.keras_layout import from_keras, to_keras
        >>> layer = nn.LSTM(3, 4)
        >>> copy, x = from_keras(to_keras(layer)[0], nn.LSTM), torch.randn(5, 2, 3)
        >>> torch.allclose(copy(x)[0], layer(x)[0], atol=1e-6)
        True

    Source: the documentation and code of Keras 3, :cite:p:`chollet2015`. Taught in *Moving weights*.
    """
    name = base_of(kind).__name__
    if not reset_after and name != "GRU":
        raise ValueError(f"reset_after is an argument of a GRU only, got reset_after=False for {kind.__name__}")
    layers = _layers_of(weights)
    S = 1 if len(layers[0]) < 4 else 2
    D, H = (check_dim(f"weights[0][{j}]", layers[0][j], 2)[0] for j in (0, 1))
    label = f"GRU with reset_after={reset_after}" if name == "GRU" else name
    stack = []
    for i, tensors in enumerate(layers):
        shapes = _keras_shapes(name, D if i == 0 else S * H, H, reset_after)
        half = len(tensors) // S
        directions = [dict(zip(shapes, tensors[start : start + half], strict=False)) for start in (0, half)[:S]]
        for direction in directions:
            check_shapes(f"weights[{i}]", direction, shapes, label)
        stack.append([_weights_of(name, direction, reset_after) for direction in directions])
    return build_layer(kind, stack, "weights", arguments)


def _layers_of(weights: Any) -> list[list[Tensor]]:
    """For every layer the tensors of its directions, the same number in each."""
    weights = check_list("weights", weights, "arrays, as get_weights() gives them")
    layers = []
    for i, arrays in enumerate(weights if isinstance(weights[0], list | tuple) else [weights]):
        arrays = check_list(f"weights[{i}]", arrays, "arrays")
        layers.append([to_tensor(f"weights[{i}][{j}]", array) for j, array in enumerate(arrays)])
    counts = [len(tensors) for tensors in layers]
    if counts[0] not in (2, 3, 4, 6) or set(counts) != {counts[0]}:
        raise ValueError(
            "weights should hold kernel, recurrent_kernel and, where there is one, bias, of one direction or of two, "
            f"the same for every layer; got {', '.join(map(str, counts))} arrays"
        )
    return layers


def _keras_shapes(name: str, features: int, H: int, reset_after: bool) -> dict[str, tuple[int, ...]]:
    columns = len(NN_ORDER[name]) * H
    bias = (2, columns) if name == "GRU" and reset_after else (columns,)
    return {"kernel": (features, columns), "recurrent_kernel": (H, columns), "bias": bias}


def _weights_of(name: str, tensors: dict[str, Tensor], reset_after: bool) -> Weights:
    weights = {"weight_ih": tensors["kernel"].T, "weight_hh": tensors["recurrent_kernel"].T}
    if "bias" in tensors:
        bias = tensors["bias"]
        both = bias if bias.dim() == 2 else (bias, torch.zeros_like(bias))  # one is enough, where there is one
        weights |= dict(zip(WEIGHTS[2:], both, strict=True))
    weights = {kind: reorder_gates(weight, KERAS_ORDER[name], NN_ORDER[name]) for kind, weight in weights.items()}
    return weights if reset_after else reset_after_product(weights, "reset_after=False")
