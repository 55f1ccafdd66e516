"""Looking inside a recurrent layer: its gates on real input, and how far back its gradients reach.

How gates are seen: a layer's :meth:`~companion.layers.RecurrentLayer.step` squashes a few sums, by sigmoid, tanh or
relu, and the results are its gates and its candidate. A probe runs a copy of the layer that shares its weights, notes
what these functions return at every step, in the order in which the step calls them, and gives each its name. So no
equation stands here a second time, and no layer has to know that it is watched.

A layer of your own takes part with one line, a class attribute beside its ``step``: ``gate_names = ("r", "z", "n")``.
None in the place of a name leaves that value out.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from companion.layers import GRU, LSTM, RNN, RecurrentLayer
from companion.modes import evaluation_mode
from companion.time_loop import State
from companion.validation import check_tensor

__all__ = ["correlate_with", "gradient_norms", "record_gates", "saturation", "time_constants"]

SQUASHING = {"sigmoid", "tanh", "relu", "hardsigmoid", "hardtanh"}
GATE_NAMES = {RNN: (None,), GRU: ("r", "z", "n"), LSTM: ("f", "i", "g", "o", None)}  # in the order of their steps
PARTS = {"input": None, "state": 0, "cell": 1}  # what a gradient may be of; where it stands in the state
TWINS = {nn.RNN: RNN, nn.GRU: GRU, nn.LSTM: LSTM}


def record_gates(layer: nn.Module, input: Tensor | PackedSequence, hx: Any = None) -> dict[str, dict[str, Any]]:
    """Let a layer read a sequence, and note its gates and its state at every time step.

    The layer reads in evaluation mode, without dropout and without gradients, and is left as it was.

    Args:
        layer: any of our layers; one of :mod:`torch.nn`'s, which is read through its twin with the same weights; or a
            layer of your own with ``gate_names`` beside its ``step``.
        input: the input in any form that the layer takes: (T, B, D), (B, T, D) if ``batch_first``, (T, D), or a
            :class:`~torch.nn.utils.rnn.PackedSequence`.
        hx: the initial state; zeros if None.

    Returns:
        For each layer and direction, named as in the names of the weights (``"l0"``, ``"l0_reverse"``, ``"l1"``, ...),
        the values by name: ``"r"``, ``"z"``, ``"n"`` of a GRU; ``"i"``, ``"f"``, ``"g"``, ``"o"`` of an LSTM; and of
        every layer the state after each step, ``"h"``, and ``"c"`` of an LSTM. Each has the form of the input, with H
        units, ``"h"`` with P if there is a projection. Time runs forward in all of them.

    Raises:
        TypeError: ``layer`` is no recurrent layer, or defines a step without saying which gates it has.
        ValueError: ``gate_names`` does not fit what the step computes; and whatever the layer raises on bad input.

    Examples:
        >>> gates = companion.record_gates(nn.GRU(3, 4), torch.randn(5, 2, 3))
        >>> {name: tuple(values.shape) for name, values in gates["l0"].items()}
        {'r': (5, 2, 4), 'z': (5, 2, 4), 'n': (5, 2, 4), 'h': (5, 2, 4)}

    Taught in *Inside the gates*.
    """
    layer = _readable(layer)
    names = _gate_names(layer)
    with evaluation_mode(layer):
        _, steps = _run_watched(layer, input, hx)
    return {
        place: {name: _in_form_of(input, layer, values) for name, values in _by_name(taken, names, layer).items()}
        for place, taken in steps.items()
    }


def gradient_norms(
    layer: nn.Module,
    input: Tensor,
    hx: Any = None,
    *,
    loss: Callable[[Tensor], Tensor] | None = None,
    of: str = "input",
    where: str | None = None,
) -> Tensor:
    """How strongly a loss depends on what was read, or kept, at each time step: the norm of its gradient there.

    The layer runs in evaluation mode, and neither its weights' gradients nor anything else in it is changed.

    Args:
        layer: a recurrent layer: ours, :mod:`torch.nn`'s, your own, or for ``of="input"`` anything called like them.
        input: shape (T, B, D), or (B, T, D) if ``batch_first``, or (T, D) for one sequence without a batch.
        hx: the initial state; zeros if None.
        loss: a function from the layer's outputs, in the layer's own form, to one number. By default the sum of the
            outputs at the last time step. A loss that mixes sequences mixes their gradients too.
        of: ``"input"`` for the gradient of the input x_t; ``"state"`` for that of h_t, the state after step t, along
            every path that leads from it to the loss; ``"cell"`` for that of an LSTM's cell state c_t, whose paths
            begin with the one through h_t.
        where: for a state, one layer and direction, as ``"l0"`` or ``"l1_reverse"``; None takes those of all layers
            and directions together, as one long vector.

    Returns:
        Shape (T): at each time step the Euclidean norm over the features of each sequence, averaged over the batch.

    Raises:
        TypeError: ``input`` is no tensor of floating point numbers, or for a state, ``layer`` is no recurrent layer.
        ValueError: ``of`` or ``where`` is none of those, a cell is asked of a layer that has none, or the loss is not
            one number that depends on the outputs.

    Examples:
        >>> norms = companion.gradient_norms(companion.identity_(nn.RNN(3, 4), gain=0.5), torch.zeros(6, 1, 3))
        >>> norms.shape, bool((norms[1:] > norms[:-1]).all())  # the further back, the weaker
        (torch.Size([6]), True)

    Source: :cite:t:`pascanu2013`. Taught in *Backpropagation through time* and *Inside the gates*.
    """
    check_tensor("input", input, "a tensor")
    if not input.is_floating_point():
        raise TypeError(f"input should hold floating point numbers, as an embedding gives them, got {input.dtype}")
    if of not in PARTS:
        raise ValueError(f"of should be one of {', '.join(map(repr, PARTS))}, got {of!r}")
    if of == "input" and where is not None:
        raise ValueError(f"where={where!r} needs of='state' or of='cell': there is one input only")
    watched = layer if of == "input" else _readable(layer)
    time = 1 if getattr(layer, "batch_first", False) and input.dim() == 3 else 0
    # cuDNN's backward pass would refuse evaluation mode
    with evaluation_mode(watched), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        if of == "input":
            parts = [(x,) for x in input.detach().requires_grad_().unbind(time)]  # T tuples of what to look at
            outputs, _ = watched(torch.stack([x for (x,) in parts], time), hx)
        else:
            outputs, steps = _run_watched(watched, input.detach(), hx)
            parts = _states(watched, steps, PARTS[of], where)
        value = loss(outputs) if loss else outputs.select(time, -1).sum()
        return _norms(value, parts)


def saturation(gate: Tensor, low: float = 0.1, high: float = 0.9) -> tuple[Tensor, Tensor]:
    """How often each unit's gate is nearly shut, and how often nearly open.

    Args:
        gate: values from 0 to 1 at every time step, shape (..., H), for instance (T, B, H).
        low: below this a gate is left-saturated.
        high: above this a gate is right-saturated.

    Returns:
        The shares of time steps that are left-saturated and right-saturated, from 0 to 1, shape (H) each.

    Raises:
        ValueError: ``low`` is greater than ``high``.

    Examples:
        >>> gate = torch.tensor([[0.05, 0.5], [0.95, 0.5]])  # (T, H)
        >>> low, high = companion.saturation(gate)
        >>> low.tolist(), high.tolist()
        ([0.5, 0.0], [0.5, 0.0])

    Source: :cite:t:`karpathy2015`. Taught in *Inside the gates*.
    """
    check_tensor("gate", gate, "a tensor of shape (..., H)")
    if low > high:
        raise ValueError(f"low should be at most high={high}, got {low}")
    steps = gate.flatten(0, -2)  # (steps, H)
    return (steps < low).double().mean(0), (steps > high).double().mean(0)


def time_constants(gate: Tensor) -> Tensor:
    r"""How many steps it takes each unit to lose all but 1/e of what it holds, as its gate stands on average.

    A gate that multiplies the old state, f of an LSTM or z of a GRU, leaves :math:`\prod_t f_t` of it. So the mean is
    that of the logarithms: :math:`-1 / \overline{\ln f}`. For a gate that stays at f near 1 that is about 1 / (1 - f).

    Args:
        gate: values from 0 to 1 at every time step, shape (..., H), for instance (T, B, H).

    Returns:
        Time steps, shape (H): 0 for a unit that was ever quite cleared, infinite for one that never lost anything.

    Examples:
        >>> companion.time_constants(torch.full((10, 1), 0.9))  # ln 0.9 is -0.105
        tensor([9.4912], dtype=torch.float64)

    Source: :cite:t:`tallec2018`. Taught in *Inside the gates*.
    """
    check_tensor("gate", gate, "a tensor of shape (..., H)")
    return 1 / gate.flatten(0, -2).double().log().mean(0).abs()


def correlate_with(values: Tensor, marks: Tensor) -> Tensor:
    """How closely each unit goes along with marks on the text: Pearson's correlation over all time steps.

    Args:
        values: a gate or a state at every time step, shape (..., H), for instance (T, H) or (T, B, H).
        marks: what to compare with, a number or a bool at every time step, shape (...).

    Returns:
        From -1 to 1, shape (H); 0 for a unit, or marks, that never change.

    Raises:
        ValueError: ``values`` has not one dimension more than ``marks``.

    Examples:
        >>> marks = torch.tensor([0, 1, 0, 1])
        >>> companion.correlate_with(torch.tensor([[0.0, 5.0], [1.0, 5.0], [0.0, 5.0], [1.0, 5.0]]), marks)
        tensor([1., 0.], dtype=torch.float64)

    Taught in *Inside the gates*.
    """
    check_tensor("values", values, "a tensor of shape (..., H)")
    check_tensor("marks", marks, "a tensor of shape (...)")
    if values.shape[:-1] != marks.shape:
        raise ValueError(f"marks should have shape {tuple(values.shape[:-1])}, got {tuple(marks.shape)}")
    units = _standardize(values.flatten(0, -2))  # (steps, H)
    return units.T @ _standardize(marks.flatten().unsqueeze(1).to(values.device)).squeeze(1)


# How a layer is watched


class _Watch(TorchFunctionMode):
    """Inside, notes what every squashing function returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if getattr(function, "__name__", "").rstrip("_") in SQUASHING:
            self.seen.append(result.detach().clone())  # a copy: the step may write on into it
        return result


def _readable(layer: nn.Module) -> RecurrentLayer:
    """The layer itself if it is ours, or our twin of nn's layer, with the same weights."""
    if isinstance(layer, RecurrentLayer):
        return layer
    if type(layer) not in TWINS:
        raise TypeError(
            f"layer should be a recurrent layer of companion or torch.nn, got a {type(layer).__name__} "
            f"(of a language model, give model.layer, and model.embedding(tokens) as the input)"
        )
    names = ["num_layers", "bias", "batch_first", "bidirectional"]
    names += {nn.RNN: ["nonlinearity"], nn.LSTM: ["proj_size"]}.get(type(layer), [])
    options = {name: getattr(layer, name) for name in names}
    twin = TWINS[type(layer)](layer.input_size, layer.hidden_size, device="meta", **options)
    for name, weight in layer.named_parameters():
        setattr(twin, name, weight)
    return twin


def _gate_names(layer: RecurrentLayer) -> Sequence[str | None]:
    """The names that belong to the layer's step: those of the class that defines it, or of one below."""
    for kind in type(layer).__mro__:
        if "gate_names" in vars(kind):
            return kind.gate_names
        if kind in GATE_NAMES:
            return GATE_NAMES[kind]
        if "step" in vars(kind):
            raise TypeError(
                f"{kind.__name__} defines a step: name what its sigmoids and tanhs compute, in their order, "
                f"in a class attribute such as gate_names = ('r', 'z', 'n')"
            )
    raise TypeError(f"{type(layer).__name__} defines no step")  # RecurrentLayer itself does


Taken = list[tuple[list[Tensor], State]]  # of every step: what was squashed, and the state after it


def _run_watched(layer: RecurrentLayer, input: Any, hx: Any) -> tuple[Any, dict[str, Taken]]:
    """The layer's outputs, and all that was seen on the way, by layer and direction, in the order of time."""
    watched, taken = copy.copy(layer), []

    def step(x: Tensor, state: State, *weights: Tensor | None) -> State:
        with _Watch() as watch:
            state = layer.step(x, state, *weights)
        taken.append((watch.seen, state))
        return state

    watched.step, watched.by_hand = step, None  # without steps, there would be nothing to see
    outputs, _ = watched(input, hx)
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    places = [f"l{number}{direction}" for number in range(layer.num_layers) for direction in directions]
    T = len(taken) // len(places)
    by_place = {place: taken[number * T : (number + 1) * T] for number, place in enumerate(places)}
    return outputs, {place: run[::-1] if "reverse" in place else run for place, run in by_place.items()}


def _by_name(taken: Taken, names: Sequence[str | None], layer: RecurrentLayer) -> dict[str, list[Tensor]]:
    """The T values of every gate and of every part of the state."""
    found = {len(seen) for seen, _ in taken}
    if found != {len(names)}:
        raise ValueError(
            f"gate_names of {type(layer).__name__} should name the {max(found)} values that its step squashes, "
            f"got {len(names)}: {tuple(names)}"
        )
    gates = {name: [seen[place] for seen, _ in taken] for place, name in enumerate(names) if name is not None}
    state_names = ["h", "c", *(f"state {number}" for number in range(2, len(layer.state_sizes)))]
    return gates | {
        name: [state[number] for _, state in taken] for number, name in enumerate(state_names[: len(layer.state_sizes)])
    }


def _in_form_of(input: Any, layer: RecurrentLayer, values: list[Tensor]) -> Any:
    """T tensors of shape (B, H) as one, in the form in which the layer gives its outputs."""
    if isinstance(input, PackedSequence):
        return input._replace(data=torch.cat(values))
    together = torch.stack(values)  # (T, B, H)
    if input.dim() == 2:
        return together.squeeze(1)
    return together.transpose(0, 1) if layer.batch_first else together


# Gradients


def _states(layer: RecurrentLayer, steps: dict[str, Taken], part: int, where: str | None) -> list[tuple[Tensor, ...]]:
    """At each time step that part of the state, of one place or of all."""
    if where is not None and where not in steps:
        raise ValueError(f"where should be one of {', '.join(map(repr, steps))} or None, got {where!r}")
    if part >= len(layer.state_sizes):
        raise ValueError(f"of='cell' needs a layer with a cell state, {type(layer).__name__} has none")
    chosen = [steps[where]] if where else steps.values()
    return list(zip(*([state[part] for _, state in taken] for taken in chosen), strict=True))


def _norms(value: Tensor, parts: list[tuple[Tensor, ...]]) -> Tensor:
    """At each of T time steps the norm of the gradient of all its parts, (B, ...) each, averaged over B."""
    if not isinstance(value, Tensor) or value.dim() != 0 or not value.requires_grad:
        found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss should make one number out of the outputs, differentiably, got {found}")
    flat = [part for step in parts for part in step]
    found = torch.autograd.grad(value, flat, allow_unused=True, materialize_grads=True)
    count = len(parts[0])
    by_step = [torch.cat(found[start : start + count], -1) for start in range(0, len(found), count)]
    return torch.stack(by_step).norm(dim=-1).reshape(len(parts), -1).mean(1)  # (T)


# Numbers


def _standardize(columns: Tensor) -> Tensor:
    """Each column with mean 0 and length 1; zeros for a column that never changes, but for rounding."""
    columns = columns.double()
    centered = columns - columns.mean(0)
    lengths = centered.norm(dim=0)
    never_changes = lengths <= 1e-10 * columns.norm(dim=0)
    return centered / lengths.masked_fill(never_changes, torch.inf)
