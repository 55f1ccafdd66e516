"""The weights of a layer as ONNX keeps them, and a layer as an ONNX model: a file that runs without PyTorch.

ONNX is a format for models that many programs read and run. Only :func:`export_onnx` needs the package ``onnx``, when
it is called. To run the file, any ONNX runtime will do.

Shapes: B batch, T time, D input features (``input_size``), H hidden units (``hidden_size``), L layers
(``num_layers``), S = 2 directions if bidirectional, else 1, and G blocks of rows: 1 in an RNN, 4 in an LSTM, 3 in a
GRU.
"""

from collections.abc import Mapping
from pathlib import Path
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

__all__ = ["export_onnx", "from_onnx_weights", "to_onnx_weights"]

ONNX_ORDER = {"RNN": "h", "LSTM": "iofg", "GRU": "zrn"}  # the blocks of rows; ONNX writes c for g, and h for n
OPSET = 14  # the version of ONNX's operators that gave the recurrent ones their present form, of 2021
IR_VERSION = 7  # of the file format, the one of that time


def to_onnx_weights(layer: nn.Module) -> list[dict[str, np.ndarray]]:
    """Give the weights of a layer as the operators RNN, LSTM and GRU of ONNX take them.

    ONNX has nn's matrices, stacked by direction, with the blocks of an LSTM in the order i, o, f, g and those of a GRU
    in the order z, r, n. Both biases lie after one another in one tensor.

    Args:
        layer: an RNN, LSTM or GRU, without a projection.

    Returns:
        For each of the L layers the tensors of one node: ``W`` (S, G * H, D), ``R`` (S, G * H, H) and, where there
        are biases, ``B`` (S, 2 * G * H). The node of a GRU needs ``linear_before_reset=1``.

    Raises:
        TypeError: ``layer`` is no such layer, or has weights in a dtype that NumPy lacks.
        ValueError: it has a projection, which ONNX has not.

    Examples:
        >>> from companion.onnx_layout import to_onnx_weights
        >>> {name: array.shape for name, array in to_onnx_weights(nn.LSTM(3, 4))[0].items()}
        {'W': (1, 16, 3), 'R': (1, 16, 4), 'B': (1, 32)}

    Source: the operators of ONNX, :cite:p:`onnx2017`. Taught in *Moving weights*.
    """
    name = name_of(layer)
    return [_tensors_of(name, directions) for directions in read_weights(layer, "ONNX")]


def _tensors_of(name: str, directions: list[Weights]) -> dict[str, np.ndarray]:
    order = NN_ORDER[name], ONNX_ORDER[name]
    ordered = [{kind: reorder_gates(weight, *order) for kind, weight in one.items()} for one in directions]
    tensors = {"W": [one["weight_ih"] for one in ordered], "R": [one["weight_hh"] for one in ordered]}
    if "bias_ih" in ordered[0]:
        tensors["B"] = [torch.cat([one["bias_ih"], one["bias_hh"]]) for one in ordered]
    return {key: to_numpy(torch.stack(both)) for key, both in tensors.items()}


def from_onnx_weights(
    weights: Any, kind: type, *, linear_before_reset: int | None = None, **arguments: Any
) -> nn.Module:
    """Make a layer from the tensors of ONNX nodes. Sizes, layers, directions and biases are read from them.

    Args:
        weights: a dict of ``W``, ``R`` and, where there is one, ``B``; or a list of these, from the lowest layer to
            the highest. The nodes have to have the default activations, no ``clip`` and no ``input_forget``.
        kind: the class to make, such as ``nn.LSTM`` or ``companion.LSTM``.
        linear_before_reset: of a GRU, and required: the attribute of its node, which is 0 where the node has none. 0
            is another model, which only a diagonal recurrent matrix of the candidate makes equal to this one.
        arguments: what the tensors do not tell: ``batch_first``, ``dropout``, ``nonlinearity``, ``device``.

    Returns:
        A new layer.

    Raises:
        TypeError: ``kind`` is no such class, something is no array of floating-point numbers, ``linear_before_reset``
            is missing for a GRU, or an argument is one that the weights tell.
        ValueError: a shape does not fit, arrays differ in dtype, there are peepholes (P), or the GRU resets before
            the product.

    Examples:
        >>> from companion.onnx_layout import from_onnx_weights, to_onnx_weights
        >>> layer = nn.GRU(3, 4, bidirectional=True)
        >>> copy = from_onnx_weights(to_onnx_weights(layer), nn.GRU, linear_before_reset=1)
        >>> torch.equal(copy.weight_hh_l0_reverse, layer.weight_hh_l0_reverse)
        True

    Source: the operators of ONNX, :cite:p:`onnx2017`. Taught in *Moving weights*.
    """
    name = base_of(kind).__name__
    _check_linear_before_reset(linear_before_reset, name)
    weights = [weights] if isinstance(weights, Mapping) else check_list("weights", weights, "dicts of W, R and B")
    nodes = [_check_node(f"weights[{i}]", node) for i, node in enumerate(weights)]
    S, _, D = check_dim("W in weights[0]", nodes[0]["W"], 3)
    H = check_dim("R in weights[0]", nodes[0]["R"], 3)[2]
    if S not in (1, 2):
        raise ValueError(f"W in weights[0] should have 1 or 2 directions first, got shape {tuple(nodes[0]['W'].shape)}")
    rows, stack = len(NN_ORDER[name]) * H, []
    for i, node in enumerate(nodes):
        if node.keys() != nodes[0].keys():
            raise ValueError(f"weights[{i}] should hold {', '.join(nodes[0])} as the first does, got {', '.join(node)}")
        shapes = {"W": (S, rows, D if i == 0 else S * H), "R": (S, rows, H), "B": (S, 2 * rows)}
        check_shapes(f"weights[{i}]", node, shapes, name)
        directions = [_weights_of(name, {key: tensor[k] for key, tensor in node.items()}) for k in range(S)]
        if linear_before_reset == 0:
            directions = [reset_after_product(one, "linear_before_reset=0") for one in directions]
        stack.append(directions)
    return build_layer(kind, stack, "weights", arguments)


def _check_linear_before_reset(value: Any, name: str) -> None:
    if name == "GRU" and value not in (0, 1):
        raise TypeError(
            "linear_before_reset should be 0 or 1, as the attribute of the GRU's node, which is 0 where the node has "
            f"none; got {value!r}"
        )
    if name != "GRU" and value is not None:
        raise ValueError(f"linear_before_reset is an attribute of a GRU only, got {value!r} for an {name}")


def _check_node(place: str, node: Any) -> dict[str, Tensor]:
    if not isinstance(node, Mapping):
        raise TypeError(f"{place} should be a dict of W, R and B, got a {type(node).__name__}")
    if "P" in node:
        raise ValueError(f"{place} should have no peepholes P: no layer of nn or companion has them")
    if not {"W", "R"} <= node.keys() <= {"W", "R", "B"}:
        raise ValueError(f"{place} should hold W, R and, where there is one, B, got {', '.join(map(str, node))}")
    return {key: to_tensor(f"{key} in {place}", node[key]) for key in node}


def _weights_of(name: str, node: dict[str, Tensor]) -> Weights:
    weights = {"weight_ih": node["W"], "weight_hh": node["R"]}
    if "B" in node:
        weights |= dict(zip(WEIGHTS[2:], node["B"].chunk(2), strict=True))
    return {kind: reorder_gates(weight, ONNX_ORDER[name], NN_ORDER[name]) for kind, weight in weights.items()}


def export_onnx(layer: nn.Module, path: str | Path) -> None:
    """Write a layer into an ONNX file, one operator RNN, LSTM or GRU for each of its stacked layers.

    The model's inputs are ``input``, ``h_0`` and, for an LSTM, ``c_0``; its outputs ``output``, ``h_n`` and ``c_n``.
    They have the shapes that the layer has in PyTorch, with B and T left open, and ``batch_first`` holds as there. The
    first state has to be given; zeros are PyTorch's default. Dropout is left out, as in evaluation.

    Args:
        layer: an RNN, LSTM or GRU of nn or of this package, without a projection.
        path: the file, usually ``something.onnx``; its folder is made if need be.

    Raises:
        ModuleNotFoundError: the package ``onnx`` is not installed.
        TypeError: ``layer`` is no such layer, or has weights in a dtype that NumPy lacks.
        ValueError: it has a projection, which ONNX has not.

    Source: the operators of ONNX, :cite:p:`onnx2017`. Taught in *Moving weights*.
    """
    weights = to_onnx_weights(layer)  # the layer is looked at first: what is wrong with it, no installation mends
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("export_onnx needs the package onnx: pip install onnx", name="onnx") from error
    graph = onnx.helper.make_graph(_nodes(layer), name_of(layer), *_interface(layer, weights))
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="companion")
    onnx.checker.check_model(model, full_check=True)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def _state_parts(layer: nn.Module) -> tuple[str, ...]:
    return ("h", "c") if name_of(layer) == "LSTM" else ("h",)


def _interface(layer: nn.Module, weights: list[dict[str, np.ndarray]]) -> tuple[list, list, list]:
    """The graph's inputs, its outputs, and its constants."""
    from onnx import helper, numpy_helper

    dtype = helper.np_dtype_to_tensor_dtype(weights[0]["W"].dtype)
    H, S = layer.hidden_size, len(weights[0]["W"])
    sequence = ["B", "T"] if layer.batch_first else ["T", "B"]  # a letter leaves a size open

    def values(name: str, features: int, suffix: str) -> list:
        shapes = {name: [*sequence, features]}
        shapes |= {part + suffix: [S * layer.num_layers, "B", H] for part in _state_parts(layer)}
        return [helper.make_tensor_value_info(name, dtype, shape) for name, shape in shapes.items()]

    constants = {f"{key}_{i}": array for i, node in enumerate(weights) for key, array in node.items()}
    constants |= {"rows": np.full(layer.num_layers, S), "side_by_side": np.array([0, 0, S * H])}
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return values("input", layer.input_size, "_0"), values("output", S * H, "_n"), tensors


def _nodes(layer: nn.Module) -> list:
    """The graph: states cut by layer, the layers one after another, and their last states put together again."""
    from onnx.helper import make_node

    L, parts = layer.num_layers, _state_parts(layer)
    turn, how = ("Transpose", {"perm": [1, 0, 2]}) if layer.batch_first else ("Identity", {})  # ONNX has the time first
    nodes = [make_node(turn, ["input"], ["x_0"], **how)]
    nodes += [make_node("Split", [f"{part}_0", "rows"], [f"{part}_0_{i}" for i in range(L)], axis=0) for part in parts]
    for i in range(L):
        nodes += _layer_nodes(layer, i)
    nodes += [make_node("Concat", [f"{part}_n_{i}" for i in range(L)], [f"{part}_n"], axis=0) for part in parts]
    return [*nodes, make_node(turn, [f"x_{L}"], ["output"], **how)]


def _layer_nodes(layer: nn.Module, i: int) -> list:
    """One of the stacked layers, and its directions side by side as the next one reads them."""
    from onnx.helper import make_node

    name, parts = name_of(layer), _state_parts(layer)
    attributes = {"hidden_size": layer.hidden_size, "direction": "bidirectional" if layer.bidirectional else "forward"}
    if name == "GRU":
        attributes["linear_before_reset"] = 1
    if name == "RNN":
        attributes["activations"] = [layer.nonlinearity.capitalize()] * (2 if layer.bidirectional else 1)
    bias, no_lengths = f"B_{i}" * layer.bias, ""  # an empty name is an input left out
    inputs = [f"x_{i}", f"W_{i}", f"R_{i}", bias, no_lengths, *(f"{part}_0_{i}" for part in parts)]
    outputs = [f"y_{i}", *(f"{part}_n_{i}" for part in parts)]
    return [
        make_node(name, inputs, outputs, **attributes),
        make_node("Transpose", [f"y_{i}"], [f"t_{i}"], perm=[0, 2, 1, 3]),  # (T, S, B, H) to (T, B, S, H)
        make_node("Reshape", [f"t_{i}", "side_by_side"], [f"x_{i + 1}"]),  # (T, B, S * H)
    ]
