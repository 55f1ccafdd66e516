"""Moving weights: between nn and this package, between layers and cells, and between orders of gates.

One recurrent layer is stored in many ways. Blocks of rows stand in other orders, matrices are transposed, two biases
are one, and where a GRU resets may differ. Mixed up, most of it still fits: nothing complains, and the numbers are
wrong. :mod:`companion.keras_layout` and :mod:`companion.onnx_layout` build upon this module.

Every function takes or gives a whole layer, with all its stacked layers and both directions, and copies its weights.

Shapes: B batch, T time, D input features (``input_size``), H hidden units (``hidden_size``), L layers
(``num_layers``), S = 2 directions if bidirectional, else 1, and G blocks of rows: 1 in an RNN, 4 in an LSTM, 3 in a
GRU.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from companion.cells import GRUCell, LSTMCell, RNNCell
from companion.layers import GRU, LSTM, RNN

__all__ = ["cells_from_layer", "layer_from_cells", "reorder_gates", "to_companion", "to_nn"]

NN_ORDER = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}  # the blocks of rows, from the top to the bottom

LAYERS = (nn.RNN, nn.LSTM, nn.GRU, RNN, LSTM, GRU)
LAYER_OF_CELL = dict(zip((nn.RNNCell, nn.LSTMCell, nn.GRUCell, RNNCell, LSTMCell, GRUCell), LAYERS, strict=True))
CELL_OF_LAYER = {layer: cell for cell, layer in LAYER_OF_CELL.items()}

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

Weights = dict[str, Tensor]  # of one direction of one layer, in nn's layout, under WEIGHTS
Stack = list[list[Weights]]  # by layer, then by direction


def reorder_gates(weight: Tensor, source: str, target: str) -> Tensor:
    """Put the blocks of rows of a weight or a bias into another order.

    Args:
        weight: shape (G * H, ...), one block of H rows for each gate.
        source: the order it has, a letter for each block from the top to the bottom, as ``"iofg"``.
        target: the order it should have, of the same letters, as ``"ifgo"``.

    Returns:
        A new tensor of the same shape.

    Raises:
        TypeError: ``weight`` is no tensor.
        ValueError: the letters differ, or the rows cannot be cut into so many blocks.

    Examples:
        >>> from companion.conversion import reorder_gates
        >>> reorder_gates(torch.tensor([1, 2, 3, 4]), "iofg", "ifgo")  # one row a gate
        tensor([1, 3, 4, 2])

    Taught in *Moving weights*.
    """
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight should be a tensor, got a {type(weight).__name__}")
    if not source or sorted(source) != sorted(target) or len(set(source)) < len(source):
        raise ValueError(f"source and target should be two orders of the same letters, got {source!r} and {target!r}")
    if weight.dim() == 0 or len(weight) % len(source):
        raise ValueError(f"weight should have {len(source)} blocks of equal height, got shape {tuple(weight.shape)}")
    blocks = dict(zip(source, weight.chunk(len(source)), strict=True))
    return torch.cat([blocks[gate] for gate in target])


# nn's layers and ours


def to_nn(layer: nn.Module) -> nn.Module:
    """Make the layer of :mod:`torch.nn` with the arguments, the weights and the mode of a layer of this package.

    Args:
        layer: an RNN, LSTM or GRU of either library.

    Returns:
        A new layer with the same names of weights, on the same device.

    Raises:
        TypeError: ``layer`` is none of these, or computes something else than they do.

    Examples:
        >>> from companion.conversion import to_nn
        >>> ours = companion.GRU(3, 4)
        >>> theirs, x = to_nn(ours), torch.randn(5, 2, 3)
        >>> type(theirs) is nn.GRU, torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-6)
        (True, True)

    Taught in *Moving weights*.
    """
    return _rebuild(layer, getattr(nn, name_of(layer)))


def to_companion(layer: nn.Module) -> nn.Module:
    """Make the layer of this package with the arguments, the weights and the mode of a layer of :mod:`torch.nn`.

    Args:
        layer: an RNN, LSTM or GRU of either library.

    Returns:
        A new layer with the same names of weights, on the same device.

    Raises:
        TypeError: ``layer`` is none of these, or computes something else than they do.

    Examples:
        >>> from companion.conversion import to_companion
        >>> to_companion(nn.LSTM(3, 4, num_layers=2, dropout=0.5))
        LSTM(3, 4, num_layers=2, dropout=0.5)

    Taught in *Moving weights*.
    """
    return _rebuild(layer, {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}[name_of(layer)])


def _rebuild(layer: nn.Module, kind: type) -> nn.Module:
    names = ["num_layers", "bias", "batch_first", "dropout", "bidirectional"]
    names += {"RNN": ["nonlinearity"], "LSTM": ["proj_size"], "GRU": []}[kind.__name__]
    arguments = {name: getattr(layer, name) for name in names}
    if layer.num_layers == 1:
        arguments["dropout"] = 0.0  # it acts nowhere, and the constructor would warn of it a second time
    first = layer.weight_ih_l0
    new = _make(kind, layer.input_size, layer.hidden_size, first.dtype, first.device, arguments)
    new.load_state_dict({name: getattr(layer, name).detach() for name in new.state_dict()})
    new.dropout = layer.dropout
    return new.train(layer.training)


# Layers and cells


def cells_from_layer(layer: nn.Module) -> list[list[nn.Module]]:
    """Take a layer apart into cells, each one time step of one direction of one layer.

    Args:
        layer: an RNN, LSTM or GRU, without a projection.

    Returns:
        For each of the L layers a list of S cells, the forward one first. A layer of nn gives nn's cells, one of this
        package gives its own.

    Raises:
        TypeError: ``layer`` is no such layer.
        ValueError: it has a projection, which no cell has.

    Examples:
        >>> from companion.conversion import cells_from_layer
        >>> cells_from_layer(nn.GRU(3, 4, num_layers=2))
        [[GRUCell(3, 4)], [GRUCell(4, 4)]]

    Taught in *Moving weights*.
    """
    kind = CELL_OF_LAYER[base_of(type(layer))]
    arguments = {"bias": layer.bias} | ({"nonlinearity": layer.nonlinearity} if name_of(layer) == "RNN" else {})
    return [[_make_cell(kind, one, arguments) for one in directions] for directions in read_weights(layer, "a cell")]


def _make_cell(kind: type, weights: Weights, arguments: dict[str, Any]) -> nn.Module:
    first = weights["weight_ih"]
    cell = _make(kind, first.shape[1], weights["weight_hh"].shape[1], first.dtype, first.device, arguments)
    cell.load_state_dict(weights)
    return cell


def layer_from_cells(cells: Any, **arguments: Any) -> nn.Module:
    """Put cells together into the layer that runs them over a sequence, one above the other.

    Args:
        cells: a cell; a list of cells, one a layer; or a list of lists, for each layer the forward cell and the
            reverse one, as :func:`cells_from_layer` gives them. Cells of nn or of this package, all of one class.
        arguments: what cells do not tell: ``batch_first``, ``dropout``.

    Returns:
        The layer of the cells' library: nn's cells give nn's layer.

    Raises:
        TypeError: something is no such cell, cells differ in class, or the cells tell an argument themselves.
        ValueError: cells differ in size, biases, nonlinearity or dtype, or do not read what is below them.

    Examples:
        >>> from companion.conversion import layer_from_cells
        >>> layer_from_cells([nn.LSTMCell(3, 4), nn.LSTMCell(4, 4)])
        LSTM(3, 4, num_layers=2)

    Taught in *Moving weights*.
    """
    cells = [cells] if isinstance(cells, nn.Module) else check_list("cells", cells, "cells")
    layers = [[one] if isinstance(one, nn.Module) else check_list("cells", one, "cells") for one in cells]
    first, S = _check_cell("cells[0][0]", layers[0][0]), len(layers[0])
    if S > 2 or any(len(directions) != S for directions in layers):
        counts = [len(directions) for directions in layers]
        raise ValueError(f"cells should have 1 or 2 directions in every layer, the same number, got {counts}")
    stack = []
    for i, directions in enumerate(layers):
        for j, cell in enumerate(directions):
            features = first.input_size if i == 0 else S * first.hidden_size
            _check_like_first(f"cells[{i}][{j}]", cell, first, features)
        stack.append([_weights_of(cell) for cell in directions])
    kind = LAYER_OF_CELL[type(first)]
    told = {"nonlinearity": first.nonlinearity} if hasattr(first, "nonlinearity") else {}
    return build_layer(kind, stack, "cells", arguments, **told)


def _check_cell(place: str, cell: Any) -> Any:
    if type(cell) not in LAYER_OF_CELL:
        raise TypeError(f"{place} should be an RNNCell, LSTMCell or GRUCell, got a {type(cell).__name__}")
    return cell


def _check_like_first(place: str, cell: Any, first: Any, features: int) -> None:
    """Raise unless the cell is one like the first, and reads so many features."""
    _check_cell(place, cell)
    if type(cell) is not type(first):
        names = [f"{type(one).__module__}.{type(one).__name__}" for one in (first, cell)]
        raise TypeError(f"cells should all be of one class, got {names[0]} first and {names[1]} in {place}")
    if cell.input_size != features:
        raise ValueError(f"{place} should read input_size={features} features, got {cell.input_size}")
    for name in ("hidden_size", "bias", "nonlinearity"):
        found, expected = getattr(cell, name, None), getattr(first, name, None)
        if found != expected:
            raise ValueError(f"{place} should have {name}={expected!r} as the first cell has, got {found!r}")


def _weights_of(cell: nn.Module) -> Weights:
    weights = {name: getattr(cell, name) for name in WEIGHTS}
    return {name: weight.detach() for name, weight in weights.items() if weight is not None}


# What the layouts share


def reset_after_product(weights: Weights, argument: str) -> Weights:
    """A GRU that resets before the product, as the same that resets after it, where there is one.

    W (r * h) is r * (W h) for every r and h only if W is diagonal. The bias stood outside the product with r: it is
    part of the input's.
    """
    H = weights["weight_hh"].shape[1]
    W = weights["weight_hh"][2 * H :]
    if torch.count_nonzero(W - torch.diag(W.diagonal())):
        raise ValueError(
            f"{argument}: such a GRU resets the state before the product with the candidate's recurrent matrix, this "
            "one after it. They are equal only where that matrix is diagonal, and here it is not. Train it again, "
            "with the reset after the product"
        )
    if "bias_ih" not in weights:
        return weights
    moved = torch.zeros_like(weights["bias_hh"])
    moved[2 * H :] = weights["bias_hh"][2 * H :]
    return weights | {"bias_ih": weights["bias_ih"] + moved, "bias_hh": weights["bias_hh"] - moved}


def base_of(kind: Any) -> type:
    """Which layer of nn or companion a class is, or computes the same as; TypeError if none."""
    if isinstance(kind, type):
        for base in LAYERS:
            same = all(getattr(kind, name, None) is getattr(base, name, None) for name in ("forward", "step"))
            if issubclass(kind, base) and same:
                return base
    name = kind.__name__ if isinstance(kind, type) else repr(kind)
    raise TypeError(f"this is for RNN, LSTM and GRU of torch.nn and companion and what computes the same; got {name}")


def name_of(layer: Any) -> str:
    """RNN, LSTM or GRU."""
    return base_of(type(layer)).__name__


def read_weights(layer: nn.Module, reader: str) -> Stack:
    """The weights of a layer without a projection, copied."""
    base_of(type(layer))
    if layer.proj_size:
        raise ValueError(f"layer should have no projection, which {reader} has not, got proj_size={layer.proj_size}")
    kinds = WEIGHTS if layer.bias else WEIGHTS[:2]
    suffixes = ("", "_reverse") if layer.bidirectional else ("",)
    return [
        [{kind: getattr(layer, f"{kind}_l{i}{suffix}").detach().clone() for kind in kinds} for suffix in suffixes]
        for i in range(layer.num_layers)
    ]


def build_layer(kind: type, stack: Stack, source: str, arguments: dict[str, Any], **told: Any) -> nn.Module:
    """The layer that has these weights; ``told`` are arguments that they tell."""
    first = stack[0][0]
    told |= dict(num_layers=len(stack), bias="bias_ih" in first, bidirectional=len(stack[0]) == 2)
    if known := (told.keys() | {"input_size", "hidden_size", "proj_size", "dtype"}) & arguments.keys():
        raise TypeError(f"{', '.join(sorted(known))} should not be given: {source} tell it")
    arguments = dict(arguments)
    device = arguments.pop("device", None) or first["weight_ih"].device
    H, D = first["weight_hh"].shape[1], first["weight_ih"].shape[1]
    layer = _make(kind, D, H, _common_dtype(stack, source), device, arguments | told)
    names = {(i, j): f"_l{i}" + "_reverse" * j for i in range(len(stack)) for j in range(len(stack[0]))}
    layer.load_state_dict({k + name: w for (i, j), name in names.items() for k, w in stack[i][j].items()})
    return layer


def _make(kind: type, D: int, H: int, dtype: torch.dtype, device: Any, arguments: dict[str, Any]) -> nn.Module:
    """A module whose weights are still to come. It draws no random numbers: yours stay where they were."""
    return kind(D, H, device="meta", dtype=dtype, **arguments).to_empty(device=device)


def _common_dtype(stack: Stack, source: str) -> torch.dtype:
    dtypes = {weight.dtype for directions in stack for one in directions for weight in one.values()}
    if len(dtypes) > 1:
        raise ValueError(f"{source} should have one dtype, got {', '.join(sorted(map(str, dtypes)))}")
    return dtypes.pop()


def check_list(name: str, value: Any, content: str) -> list:
    """The list; TypeError if it is none, or empty."""
    if not isinstance(value, list | tuple) or not value:
        found = "an empty one" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        raise TypeError(f"{name} should be a list of {content}, got {found}")
    return list(value)


def check_dim(place: str, tensor: Tensor, dim: int) -> tuple[int, ...]:
    """The shape; ValueError if it has not so many dimensions, or an empty one."""
    if tensor.dim() != dim or 0 in tensor.shape:
        raise ValueError(f"{place} should have {dim} dimensions, none of them empty, got shape {tuple(tensor.shape)}")
    return tuple(tensor.shape)


def check_shapes(place: str, tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], name: str) -> None:
    """Raise ValueError, naming the tensor, unless each has the shape of its name."""
    for key, tensor in tensors.items():
        if tuple(tensor.shape) != shapes[key]:
            found = tuple(tensor.shape)
            raise ValueError(f"{key} in {place} should have shape {shapes[key]} in this {name}, got {found}")


def to_tensor(place: str, array: Any) -> Tensor:
    """A copy, as a tensor; TypeError unless it holds floating-point numbers."""
    if isinstance(array, Tensor):
        tensor = array.detach().clone()
    else:
        array = np.array(array)
        tensor = torch.from_numpy(array) if array.dtype.kind in "fiub" else None
    if tensor is None or not tensor.is_floating_point():
        found = array.dtype if hasattr(array, "dtype") else type(array).__name__
        raise TypeError(f"{place} should be an array of floating-point numbers, got {found}")
    return tensor


def to_numpy(tensor: Tensor) -> np.ndarray:
    """As an array, its rows one after another in memory; TypeError if NumPy lacks the dtype."""
    if tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        raise TypeError(f"layer should have weights in a dtype that NumPy has, got {tensor.dtype}: try layer.float()")
    return tensor.contiguous().cpu().numpy()
