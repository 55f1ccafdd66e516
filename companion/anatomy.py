"""The anatomy of a layer: every weight, what its rows are, how many numbers there are, and which shapes go in and out.

:func:`explain` reads a layer that exists. :func:`shapes`, :func:`count_parameters` and :func:`flops_per_step` answer
from the arguments alone. ``python -m companion explain LSTM 20 40`` prints the same table in a terminal.

A layer of your own is explained like the others. Its weights are found by themselves, its blocks of rows are numbered,
and one line beside its ``step`` names them: ``row_names = ("f", "n")``, from the top row to the bottom one. If its
weights differ in their blocks, give a tuple for each: ``row_names = {"weight_ih": ("f", "n"), "weight_c": ("f",)}``.

Shapes: B batch, T time, D input features (``input_size``), H hidden units (``hidden_size``), P ``proj_size``, L layers
(``num_layers``), and S = 2 directions if bidirectional, else 1.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import torch
from torch import nn

from companion.cells import GRUCell, LSTMCell, RNNCell
from companion.layers import GRU, LSTM, RNN, RecurrentLayer
from companion.scan import MinGRU, MinLSTM
from companion.sru import SRU, SRUCell

__all__ = [
    "Block",
    "Explanation",
    "Shapes",
    "Weight",
    "blueprint",
    "count_parameters",
    "explain",
    "flops_per_step",
    "shapes",
]

OUR_LAYERS = (RNN, LSTM, GRU, SRU, MinGRU, MinLSTM)
OUR_CELLS = (RNNCell, LSTMCell, GRUCell, SRUCell)
KINDS = {kind.__name__: kind for kind in (*OUR_LAYERS, *OUR_CELLS)}
CELLS = (*OUR_CELLS, nn.RNNCell, nn.LSTMCell, nn.GRUCell)
LAYERS = (RecurrentLayer, nn.RNN, nn.LSTM, nn.GRU)

# The blocks of H rows, from the top to the bottom. In the SRU they differ from weight to weight.
SRU_ROW_NAMES = {
    "weight_ih": ("candidate", "forget", "reset", "highway"),  # the last only where D differs from S * H
    "weight_c": ("forget", "reset"),
    "bias_ih": ("forget", "reset"),
}
ROW_NAMES: dict[type, Any] = {
    **dict.fromkeys((RNN, RNNCell, nn.RNN, nn.RNNCell), ("h",)),
    **dict.fromkeys((GRU, GRUCell, nn.GRU, nn.GRUCell), ("r", "z", "n")),
    **dict.fromkeys((LSTM, LSTMCell, nn.LSTM, nn.LSTMCell), ("i", "f", "g", "o")),
    SRU: SRU_ROW_NAMES,
    SRUCell: SRU_ROW_NAMES,
}
MEANINGS = {
    "h": "new state",
    "r": "reset gate",
    "z": "update gate",
    "n": "candidate",
    "i": "input gate",
    "f": "forget gate",
    "g": "candidate",
    "o": "output gate",
}
STACKED = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # with one block of H rows for each gate
WHOLE = {
    "weight_hr": "projection of h",
    "weight_proj": "projection of the input",
    "layer_norm_weight": "scale",
    "layer_norm_bias": "shift",
}
LETTERS = {
    "T": "time steps",
    "B": "batch",
    "D": "input_size",
    "H": "hidden_size",
    "P": "proj_size",
    "S": "directions",
    "L": "num_layers",
}

Shape = tuple[int | str, ...]  # a letter stands for a size that is not known
Rows = list[tuple[str, ...]]  # of a table


class Block(NamedTuple):
    """Rows ``start`` to ``stop`` of a weight, as in ``weight[start:stop]``, and what they compute."""

    name: str
    start: int
    stop: int

    @property
    def meaning(self) -> str:
        """The name in words: forget gate for f. A name that is no letter of the book's stands for itself."""
        return MEANINGS.get(self.name, self.name)


class Weight(NamedTuple):
    """One weight: its name in the ``state_dict``, its shape, its count of numbers, and its blocks of rows."""

    name: str
    shape: tuple[int, ...]
    count: int
    blocks: tuple[Block, ...]


class Shapes(NamedTuple):
    """The shapes of the weights by name, of the input, of the output, and of each part of the final state by name."""

    weights: dict[str, tuple[int, ...]]
    input: Shape
    output: Shape
    states: dict[str, Shape]


@dataclass(frozen=True, repr=False)
class Explanation:
    """What :func:`explain` found: a table in a terminal, an HTML table in a notebook, a dict for a program.

    Attributes:
        layer: the layer as it prints itself.
        weights: every weight, in the order of the ``state_dict``.
        count: how many numbers all weights hold together.
        flops_per_step: floating point operations for one time step of one sequence, see :func:`flops_per_step`.
        input: the input's shape. A size that was not given is its letter.
        output: the output's shape.
        states: the shape of each part of the final state, by name. An initial state has the same.
        axes: what the axes of the input, the output and the states are, in the book's letters.
    """

    layer: str
    weights: tuple[Weight, ...]
    count: int
    flops_per_step: int
    input: Shape
    output: Shape
    states: dict[str, Shape]
    axes: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The same as dicts, lists, strings and numbers, ready for ``json.dumps``."""
        weights = [
            weight._asdict() | {"blocks": [block._asdict() | {"meaning": block.meaning} for block in weight.blocks]}
            for weight in self.weights
        ]
        return vars(self) | {"weights": weights, "states": dict(self.states), "axes": dict(self.axes)}

    def __repr__(self) -> str:
        tables = (_text_table(rows) for _, rows in self._tables())
        return "\n\n".join([self.layer, *tables, "\n".join(self._notes())])

    def _repr_html_(self) -> str:
        tables = (_html_table(caption, rows) for caption, rows in self._tables())
        return "\n".join([*tables, *(f"<p>{escape(note)}</p>" for note in self._notes())])

    def _tables(self) -> list[tuple[str, Rows]]:
        """Two tables, each with its caption, the names of its columns first."""
        weights = [(weight.name, _text(weight.shape), f"{weight.count:,}", _rows(weight)) for weight in self.weights]
        total = ("all weights", "", f"{self.count:,}", "")
        named = {"input": self.input, "output": self.output, **self.states}
        in_and_out = [(name, _text(shape), self.axes[name]) for name, shape in named.items()]
        return [
            (f"Weights of {self.layer}", [("weight", "shape", "count", "rows"), *weights, total]),
            ("What goes in and comes out", [("tensor", "shape", "axes"), *in_and_out]),
        ]

    def _notes(self) -> list[str]:
        """What the names of the blocks and the letters mean, and the cost of a step."""
        blocks = dict.fromkeys(block for weight in self.weights for block in weight.blocks)
        meanings = dict.fromkeys(f"{block.name} {block.meaning}" for block in blocks if block.meaning != block.name)
        axes = "".join(self.axes.values())
        letters = [f"{letter} {meaning}" for letter, meaning in LETTERS.items() if letter in axes]
        notes = [f"Rows: {', '.join(meanings)}."] if meanings else []
        flops = f"One time step of one sequence: {self.flops_per_step:,} operations in products with a matrix."
        return [*notes, f"Axes: {', '.join(letters)}.", flops]


def explain(layer: nn.Module, input_shape: Sequence[int] | None = None) -> Explanation:
    """Say what a recurrent layer is made of: every weight, what its rows are, the counts, and the shapes in and out.

    Args:
        layer: a layer or cell of :mod:`torch.nn` or of this package, or a layer of your own that is a
            :class:`~companion.layers.RecurrentLayer`.
        input_shape: the shape of the input you mean to give it: (T, B, D), or (B, T, D) if ``batch_first``, or (T, D)
            for one sequence without a batch; (B, D) or (D) for a cell. By default the sizes T and B stay letters.

    Returns:
        An :class:`Explanation`. Print it, leave it on the last line of a notebook's cell, or take its
        :meth:`~Explanation.to_dict`.

    Raises:
        TypeError: ``layer`` is no recurrent layer or cell, or a size in ``input_shape`` is no int.
        ValueError: ``input_shape`` has too few or too many dimensions, or a size below zero.
        RuntimeError: it has no time steps, or its last size is not ``input_size``; as the layer itself would say.

    Examples:
        >>> explanation = companion.explain(nn.LSTM(20, 40), input_shape=(35, 8, 20))
        >>> explanation.count, explanation.output, explanation.states
        (9920, (35, 8, 40), {'h_n': (1, 8, 40), 'c_n': (1, 8, 40)})
        >>> [(block.name, block.start, block.stop) for block in explanation.weights[0].blocks]
        [('i', 0, 40), ('f', 40, 80), ('g', 80, 120), ('o', 120, 160)]

    Taught in *Outputs and states*.
    """
    check_recurrent(layer)
    weights = tuple(
        Weight(name, tuple(weight.shape), weight.numel(), blocks_of(layer, name))
        for name, weight in layer.named_parameters()
    )
    tensors = _tensors(layer, input_shape)
    input, output, *states = ((name, shape) for name, (shape, _) in tensors.items())
    return Explanation(
        layer=f"{type(layer).__name__}({layer.extra_repr()})",
        weights=weights,
        count=sum(weight.count for weight in weights),
        flops_per_step=_flops(layer),
        input=input[1],
        output=output[1],
        states=dict(states),
        axes={name: axes for name, (_, axes) in tensors.items()},
    )


def blueprint(kind: str | type, *arguments: Any, **options: Any) -> nn.Module:
    """A layer that is only its plan: its arguments are checked, its weights have shapes and hold no numbers.

    Its weights are on torch's meta device, so a plan of a billion weights needs no memory and draws no random number.

    Args:
        kind: the layer or cell, by name ("RNN", "LSTM", "GRU", "SRU", "LSTMCell", ...) or as a class, of
            :mod:`torch.nn`, of this package or your own.
        arguments: as its constructor takes them: ``input_size, hidden_size, ...``
        options: the others by name. A ``device`` is checked and not used.

    Returns:
        The layer, on the meta device.

    Raises:
        TypeError, ValueError: whatever the constructor raises on wrong arguments, the types of its twin in
            :mod:`torch.nn`; and if ``kind`` is no recurrent layer.

    Examples:
        >>> layer = companion.blueprint("LSTM", 4096, 4096, num_layers=8)  # 4 GB of weights, and none of them made
        >>> layer.weight_ih_l7.shape, layer.weight_ih_l7.device
        (torch.Size([16384, 4096]), device(type='meta'))

    Taught in *Hidden*.
    """
    if isinstance(kind, str) and kind not in KINDS:
        raise ValueError(f"kind should be one of {', '.join(KINDS)} or a class, got {kind!r}")
    kind = KINDS.get(kind, kind) if isinstance(kind, str) else kind
    if not isinstance(kind, type) or not issubclass(kind, LAYERS + CELLS):
        raise TypeError(f"kind should be a recurrent layer, by name or as a class, got {kind!r}")
    if options.get("device") is not None:
        torch.device(options["device"])  # raises on what is no device
    return kind(*arguments, **(options | {"device": "meta"}))


def shapes(kind: str | type, *arguments: Any, input_shape: Sequence[int] | None = None, **options: Any) -> Shapes:
    """The shapes of a layer's weights, input, output and states, from its arguments alone.

    Args:
        kind: the layer or cell, by name or as a class, as for :func:`blueprint`.
        arguments: as its constructor takes them: ``input_size, hidden_size, ...``
        input_shape: the shape of the input, as for :func:`explain`; by default the sizes T and B stay letters.
        options: the other arguments by name, such as ``num_layers=2, bidirectional=True``.

    Returns:
        A :class:`Shapes`: ``shapes("LSTM", 20, 40, input_shape=(5, 10, 20)).output`` is (5, 10, 40).

    Raises:
        TypeError, ValueError, RuntimeError: as :func:`blueprint` and :func:`explain`.

    Examples:
        >>> found = companion.shapes(nn.GRU, 3, 4, bidirectional=True)
        >>> found.weights["weight_ih_l0"], found.output, found.states
        ((12, 3), ('T', 'B', 8), {'h_n': (2, 'B', 4)})

    Taught in *Outputs and states*.
    """
    layer = blueprint(kind, *arguments, **options)
    weights = {name: tuple(weight.shape) for name, weight in layer.named_parameters()}
    states = {name: shape for name, (shape, _) in _tensors(layer, input_shape).items()}
    return Shapes(weights, states.pop("input"), states.pop("output"), states)


def count_parameters(kind: str | type, *arguments: Any, **options: Any) -> int:
    r"""How many numbers a layer learns, from its arguments alone.

    An RNN, GRU or LSTM has :math:`G` = 1, 3 or 4 blocks of rows, and in each direction of each layer

    .. math:: G H (D_l + H) + 2 G H

    of them, where the first layer reads :math:`D_1 = D` features and each one above :math:`D_l = S H`. The last term is
    that of the two biases. With a projection, P takes the place of H in the brackets and in :math:`D_l`, and P * H are
    added.

    Args:
        kind: the layer or cell, by name or as a class, as for :func:`blueprint`.
        arguments: as its constructor takes them: ``input_size, hidden_size, ...``
        options: the other arguments by name, such as ``num_layers=2, bidirectional=True``.

    Returns:
        The count, equal to ``sum(p.numel() for p in layer.parameters())``.

    Raises:
        TypeError, ValueError: as :func:`blueprint`.

    Examples:
        >>> companion.count_parameters("GRU", 3, 4)  # 3 gates of 4 x 3 + 4 x 4 + 4 + 4
        108
        >>> companion.count_parameters("GRU", 3, 4) == sum(weight.numel() for weight in nn.GRU(3, 4).parameters())
        True

    Taught in *Hidden*.
    """
    return sum(weight.numel() for weight in blueprint(kind, *arguments, **options).parameters())


def flops_per_step(kind: str | type, *arguments: Any, **options: Any) -> int:
    r"""The floating point operations of one time step of one sequence, forward, in products with a matrix.

    Every number of a matrix is multiplied once a step and added once, so there are two operations for each:

    .. math:: \sum_{l=1}^{L} S \cdot 2 G H (D_l + H)

    with the letters of :func:`count_parameters`, and with a projection :math:`2 S (G H (D_l + P) + P H)`. Work unit by
    unit is left out: biases, sigmoids, and the SRU's whole recurrence grow with H, not with its square. For a batch,
    multiply by B; for a sequence, by T. A backward pass takes about twice as many again.

    Args:
        kind: the layer or cell, by name or as a class, as for :func:`blueprint`. A layer of your own is taken to use
            each of its matrices once a step.
        arguments: as its constructor takes them: ``input_size, hidden_size, ...``
        options: the other arguments by name, such as ``num_layers=2, bidirectional=True``.

    Returns:
        The count of operations.

    Raises:
        TypeError, ValueError: as :func:`blueprint`.

    Examples:
        >>> companion.flops_per_step("RNN", 3, 4)  # 2 * (4 * 3 + 4 * 4)
        56
        >>> companion.flops_per_step("LSTM", 3, 4) // companion.flops_per_step("RNN", 3, 4)
        4

    Taught in *Hidden*.
    """
    return _flops(blueprint(kind, *arguments, **options))


def _flops(layer: nn.Module) -> int:
    return 2 * sum(weight.numel() for weight in layer.parameters() if weight.dim() == 2)


# What a layer says of itself; for companion.initialization and companion.states as well


def check_recurrent(layer: Any, kinds: tuple[type, ...] = LAYERS + CELLS) -> None:
    """Raise TypeError unless ``layer`` is one of these kinds of recurrent layer."""
    if not isinstance(layer, kinds):
        inside = [name for name, part in _parts(layer) if isinstance(part, kinds)]
        hint = f" (try its {inside[0]})" if inside else ""
        what = "layer" if kinds == LAYERS else "layer or cell"
        raise TypeError(
            f"layer should be a recurrent {what} of companion or torch.nn, got a {type(layer).__name__}{hint}"
        )


def state_sizes(layer: nn.Module) -> tuple[int, ...]:
    """The width of each part of the state; the first is the width of one direction's output."""
    if isinstance(layer, RecurrentLayer):
        return layer.state_sizes
    width = getattr(layer, "proj_size", 0) or layer.hidden_size
    return (width, layer.hidden_size) if isinstance(layer, nn.LSTM | nn.LSTMCell | LSTMCell) else (width,)


def blocks_of(layer: nn.Module, name: str) -> tuple[Block, ...]:
    """The blocks of rows of the weight of this name, none if nothing is known about its rows."""
    kind, (rows, *_) = kind_of(name), (*layer.get_parameter(name).shape, 0)
    if kind in WHOLE:
        return (Block(WHOLE[kind], 0, rows),)
    H = layer.hidden_size
    names = _row_names(layer)
    if isinstance(names, Mapping):
        names = names.get(kind, ())[: rows // H if H else 0]
    elif kind not in STACKED or H == 0 or rows % H:
        names = ()
    elif len(names) * H != rows:
        names = [f"block {number}" for number in range(1, rows // H + 1)]
    return tuple(Block(name, number * H, (number + 1) * H) for number, name in enumerate(names))


def kind_of(name: str) -> str:
    """The name of a weight without its layer and direction: weight_ih of weight_ih_l0_reverse."""
    return re.sub(r"_l\d+(_reverse)?$", "", name)


def _parts(layer: Any) -> list[tuple[str, nn.Module]]:
    return list(layer.named_children()) if isinstance(layer, nn.Module) else []


def _row_names(layer: nn.Module) -> Any:
    """Those of the layer's class, or of the nearest class it is built on that has any."""
    for kind in type(layer).__mro__:
        if "row_names" in vars(kind):
            return kind.row_names
        if kind in ROW_NAMES:
            return ROW_NAMES[kind]
    return ()


# Shapes in and out


def _tensors(layer: nn.Module, input_shape: Sequence[int] | None) -> dict[str, tuple[Shape, str]]:
    """The input, the output and each part of the final state: its shape, and what its axes are."""
    is_cell = isinstance(layer, CELLS)
    leading = _leading_axes(layer, is_cell, input_shape)
    sizes = leading if input_shape is None else tuple(input_shape)[:-1]
    batch = [size for axis, size in zip(leading, sizes, strict=True) if axis == "B"]
    S = 2 if getattr(layer, "bidirectional", False) else 1
    widths = state_sizes(layer)
    letters = [_letter(layer, number, width) for number, width in enumerate(widths)]
    above, above_axes = ((), ()) if is_cell else ((S * layer.num_layers,), ("S * L",))
    of_output = letters[0] if is_cell else f"S * {letters[0]}"
    tensors = {
        "input": ((*sizes, layer.input_size), (*leading, "D")),
        "output": ((*sizes, S * widths[0]), (*leading, of_output)),
    }
    for name, width, letter in zip(_state_names(layer, len(widths)), widths, letters, strict=True):
        tensors[name] = ((*above, *batch, width), (*above_axes, *("B" * len(batch)), letter))
    return {name: (shape, _text(axes)) for name, (shape, axes) in tensors.items()}


def _leading_axes(layer: nn.Module, is_cell: bool, input_shape: Sequence[int] | None) -> tuple[str, ...]:
    """The axes of the input ahead of its features; those of a batch if there is no shape to tell."""
    batched = ("B",) if is_cell else ("B", "T") if layer.batch_first else ("T", "B")
    if input_shape is None:
        return batched
    _check_input_shape(layer, input_shape, len(batched) + 1)
    if len(input_shape) == len(batched) + 1:
        return batched
    return () if is_cell else ("T",)


def _check_input_shape(layer: nn.Module, input_shape: Any, most: int) -> None:
    """Raise what the layer would raise on an input of this shape."""
    if not isinstance(input_shape, Sequence) or not all(isinstance(size, int) for size in input_shape):
        raise TypeError(f"input_shape should be a sequence of ints, such as (5, 10, 20), got {input_shape!r}")
    shape = tuple(input_shape)
    if len(shape) not in (most - 1, most):
        raise ValueError(f"input_shape should have {most - 1} or {most} sizes, got {len(shape)}: {shape}")
    if min(shape) < 0:
        raise ValueError(f"input_shape should hold no size below zero, got {shape}")
    if shape[-1] != layer.input_size:
        raise RuntimeError(f"input_shape should end with input_size={layer.input_size}, got {shape}")
    if most == 3 and shape[1 if layer.batch_first and len(shape) == 3 else 0] == 0:
        raise RuntimeError(f"input_shape should have at least one time step, got {shape}")


def _state_names(layer: nn.Module, count: int) -> list[str]:
    letters = "c" if isinstance(layer, SRU | SRUCell) else "hc"
    names = [*letters, *(f"state_{number}" for number in range(2, count))][:count]
    return names if isinstance(layer, CELLS) else [f"{name}_n" for name in names]


def _letter(layer: nn.Module, number: int, width: int) -> str:
    """The book's letter for the width of this part of the state, or the number if there is none."""
    if number == 0 and getattr(layer, "proj_size", 0):
        return "P"
    return "H" if width == layer.hidden_size else str(width)


# Tables


def _text(shape: Sequence[Any]) -> str:
    """(160, 20), (160,) or (T, B, 20)."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _rows(weight: Weight) -> str:
    return ", ".join(f"{block.name} {block.start}:{block.stop}" for block in weight.blocks)


def _text_table(rows: Rows) -> str:
    """Columns that line up, numbers at their right ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    places = [">" if name == "count" else "<" for name in rows[0]]
    lines = (
        "  ".join(f"{cell:{place}{width}}" for cell, place, width in zip(row, places, widths, strict=True)).rstrip()
        for row in rows
    )
    head, *body = lines
    return "\n".join([head, "-" * max(map(len, (head, *body))), *body])


def _html_table(caption: str, rows: Rows) -> str:
    """A table with a caption, whose first row and first column are headings; it takes the page's own colors."""
    head, *body = ([escape(cell) for cell in row] for row in rows)
    align = ["right" if name == "count" else "left" for name in head]
    lines = ["".join(_html_cell("th", cell, side, ' scope="col"') for cell, side in zip(head, align, strict=True))]
    for name, *cells in body:
        others = "".join(_html_cell("td", cell, side) for cell, side in zip(cells, align[1:], strict=True))
        lines.append(_html_cell("th", name, "left", ' scope="row"') + others)
    first, *rest = (f"<tr>{line}</tr>" for line in lines)
    inside = f"<caption>{escape(caption)}</caption><thead>{first}</thead><tbody>{''.join(rest)}</tbody>"
    return f"<table>{inside}</table>"


def _html_cell(tag: str, text: str, side: str, scope: str = "") -> str:
    return f'<{tag}{scope} style="text-align: {side}">{text}</{tag}>'
