"""RNN, LSTM and GRU: drop-in twins of :class:`torch.nn.RNN`, :class:`torch.nn.LSTM` and :class:`torch.nn.GRU`.

Same arguments, same weights under the same names, same numbers, same errors; but the inside is Python you can read.
Everything the three share is in :class:`RecurrentLayer`. What tells them apart is one step function each.

Shapes: B batch, T time, D input features (``input_size``), H hidden units (``hidden_size``), L layers
(``num_layers``), and S = 2 directions if bidirectional, else 1.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from companion.bptt import can_run_by_hand, gru_over_time, lstm_over_time, rnn_over_time
from companion.steps import gru_step, lstm_step, rnn_step
from companion.time_loop import State, over_packed_time, over_time
from companion.validation import (
    check_bool,
    check_dropout,
    check_features,
    check_pair,
    check_positive_int,
    check_proj_size,
    check_state,
    check_tensor,
)

__all__ = ["RecurrentLayer", "RNN", "LSTM", "GRU"]


class RecurrentLayer(nn.Module):
    """What every recurrent layer shares: weights, input forms, states, layers, directions and dropout.

    A subclass sets ``num_gates``, the blocks of H rows in its weights, and defines :meth:`step`. *A layer of your own*
    shows how, and what else it may provide.

    Args:
        input_size: number of features D of the input at each time step.
        hidden_size: number of hidden units H.
        num_layers: number L of layers stacked, each reading the outputs of the one below.
        bias: whether to add ``bias_ih`` and ``bias_hh``.
        batch_first: whether input and output are (B, T, features) instead of (T, B, features). States never change.
        dropout: probability to zero an element of the outputs of every layer but the last, in training.
        bidirectional: whether to read the sequence from its end as well; outputs of both directions are concatenated.
        proj_size: size P of a projection of the hidden state; 0 means none. Only LSTM has it.
        device: device of the weights.
        dtype: dtype of the weights.

    Raises:
        TypeError, ValueError: as the layer's twin in :mod:`torch.nn`, with the argument named.
    """

    num_gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        for name, value in dict(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers).items():
            check_positive_int(name, value)
        for name, value in dict(bias=bias, batch_first=batch_first, bidirectional=bidirectional).items():
            check_bool(name, value)
        check_proj_size(proj_size, hidden_size)
        has_own_constructor = type(self).__init__ is not RecurrentLayer.__init__
        check_dropout(dropout, num_layers, stacklevel=4 if has_own_constructor else 3)
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        for name, shape in self._weight_shapes().items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    # What a subclass provides

    by_hand: Callable | None = None  # the layer over a whole sequence, with a backward pass of its own, if it has one

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "step" in vars(cls) and "by_hand" not in vars(cls):
            cls.by_hand = None  # a new step: the backward pass it inherits is that of another one

    def step(self, x: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None, *rest: Tensor) -> State:
        """One time step of the layer, from the projected input x and the state to the next state."""
        raise TypeError(f"{type(self).__name__} should define step(x, state, weight_hh, bias_hh)")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each part of the state; the first part is what the layer outputs."""
        return (self.proj_size or self.hidden_size,)

    @property
    def extra_weights(self) -> dict[str, tuple[int, ...]]:
        """The shapes of weights that nn's layers lack, by name; :meth:`step` is given them last, in this order.

        Taught in *A layer of your own*.
        """
        return {}

    # The weights

    @property
    def _num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _kinds(self, features: int) -> dict[str, tuple[int, ...]]:
        """The weights of one direction of one layer that reads so many features: the shape of each, in nn's order."""
        rows, width = self.num_gates * self.hidden_size, self.state_sizes[0]
        shapes = {"weight_ih": (rows, features), "weight_hh": (rows, width)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size > 0:
            shapes["weight_hr"] = (width, self.hidden_size)
        return shapes | self.extra_weights

    def _weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight's name and shape, in nn's order: by layer, then by direction."""
        shapes = {}
        for layer in range(self.num_layers):
            kinds = self._kinds(self.input_size if layer == 0 else self.state_sizes[0] * self._num_directions)
            for direction in range(self._num_directions):
                shapes |= dict(zip(self._weight_names(layer, direction), kinds.values(), strict=True))
        return shapes

    def _weight_names(self, layer: int, direction: int) -> list[str]:
        return [f"{kind}_l{layer}" + "_reverse" * direction for kind in self._kinds(0)]

    def _weights(self, layer: int, direction: int) -> tuple[Tensor | None, ...]:
        """weight_ih, weight_hh, bias_ih, bias_hh of one direction of one layer, and what else there is after them."""
        weights = [getattr(self, name) for name in self._weight_names(layer, direction)]
        return tuple(weights if self.bias else [*weights[:2], None, None, *weights[2:]])

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The weights as nn lists them: one list for each direction of each layer."""
        pairs = [(layer, direction) for layer in range(self.num_layers) for direction in range(self._num_directions)]
        return [[getattr(self, name) for name in self._weight_names(*pair)] for pair in pairs]

    def reset_parameters(self) -> None:
        """Draw every weight from U(-1/sqrt(H), 1/sqrt(H)), in nn's order: the same seed gives the same weights."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: nn's layers move their weights into one block of memory for cuDNN, these have no need to."""

    # The forward pass

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """Run the layer over a sequence.

        Args:
            input: shape (T, B, D), or (B, T, D) if ``batch_first``, or (T, D) for one sequence without a batch, or a
                :class:`~torch.nn.utils.rnn.PackedSequence`.
            hx: the initial state of shape (S * L, B, H), without B for an input without; zeros if None. For an LSTM
                the pair (h_0, c_0); with a projection h_0 has P in place of H.

        Returns:
            The output in the form of the input, with S * H features (S * P with a projection), and the final state in
            the form of ``hx``.

        Raises:
            ValueError: the input is neither 2-D nor 3-D, or has another dtype than the weights.
            RuntimeError: a shape does not fit; the message names the argument.
            AttributeError: the input or the state is not a tensor.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        check_tensor("input", input, "a tensor or a PackedSequence")
        if input.dim() not in (2, 3):
            raise ValueError(f"input should be 2-D or 3-D, got {input.dim()}-D of shape {tuple(input.shape)}")
        check_features(input, self.input_size, self.weight_ih_l0)
        batched = input.dim() == 3
        time_first = input.transpose(0, 1) if self.batch_first and batched else input
        x = time_first if batched else input.unsqueeze(1)  # (T, B, D)
        state = self._initial_state(hx, x, x.shape[1], batched)
        if x.shape[0] == 0:
            raise RuntimeError("input should have at least one time step, got sequence length 0")
        output, state = self._run(x, state)
        if not batched:
            return output.squeeze(1), self._pack_state(part.squeeze(1) for part in state)
        return output.transpose(0, 1) if self.batch_first else output, self._pack_state(state)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        check_features(data, self.input_size, self.weight_ih_l0)
        if data.dim() != 2:
            raise RuntimeError(f"input packed should hold vectors, 2-D data, got data of shape {tuple(data.shape)}")
        state = self._initial_state(hx, data, int(batch_sizes[0]), batched=True)
        state = _permute(state, sorted_indices)
        output, state = self._run(data, state, batch_sizes)
        packed = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return packed, self._pack_state(_permute(state, unsorted_indices))

    def _run(self, x: Tensor, state: State, batch_sizes: Tensor | None = None) -> tuple[Tensor, State]:
        """Stack the layers. x: (T, B, D), or packed data; state: parts of shape (S * L, B, ·)."""
        finals = []
        for layer in range(self.num_layers):
            if layer > 0 and self.dropout > 0:
                x = F.dropout(x, self.dropout, self.training)  # between layers only, a fresh mask at every step
            outputs = []
            for direction in range(self._num_directions):
                index = layer * self._num_directions + direction
                initial = tuple(part[index] for part in state)  # parts of shape (B, ·)
                output, final = self._run_direction(x, initial, layer, direction, batch_sizes)
                outputs.append(output)
                finals.append(final)
            x = torch.cat(outputs, -1) if self.bidirectional else outputs[0]  # (T, B, S * H)
        return x, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _run_direction(
        self, x: Tensor, state: State, layer: int, direction: int, batch_sizes: Tensor | None
    ) -> tuple[Tensor, State]:
        """One layer in one direction: all input projections in one product, then the loop over time."""
        weights = self._weights(layer, direction)
        if self.by_hand is not None and batch_sizes is None and not self.proj_size and can_run_by_hand(x):
            outputs, final = self.by_hand(x.flip(0) if direction == 1 else x, state, weights)
            return outputs.flip(0) if direction == 1 else outputs, final
        weight_ih, weight_hh, bias_ih, *rest = weights
        projected = F.linear(x, weight_ih, bias_ih)  # (T, B, gates * H)
        state = tuple(part.to(projected.dtype) for part in state)  # autocast may have narrowed the projection

        def step(x: Tensor, state: State) -> State:
            return self.step(x, state, weight_hh, *rest)

        reverse = direction == 1
        if batch_sizes is None:
            outputs, final = over_time(step, projected.unbind(0), state, reverse)
            return torch.stack(outputs), final
        outputs, final = over_packed_time(step, projected.split(batch_sizes.tolist()), state, reverse)
        return torch.cat(outputs), final

    # States: a tuple of parts inside, a tensor or a pair outside

    def _initial_state(self, hx: Any, input: Tensor, batch_size: int, batched: bool) -> State:
        count = self.num_layers * self._num_directions
        if hx is None:
            return tuple(input.new_zeros(count, batch_size, size) for size in self.state_sizes)
        state = self._unpack_state(hx)
        for name, part, size in zip(self._state_names(), state, self.state_sizes, strict=True):
            check_state(name, part, (count, batch_size, size) if batched else (count, size), self.weight_ih_l0)
        return state if batched else tuple(part.unsqueeze(1) for part in state)

    def _state_names(self) -> tuple[str, ...]:
        return ("hx",) if len(self.state_sizes) == 1 else ("h_0 in hx", "c_0 in hx")

    def _unpack_state(self, hx: Any) -> State:
        if len(self.state_sizes) == 1:
            return (hx,)
        return check_pair("hx", hx, "(h_0, c_0)")

    def _pack_state(self, parts: Any) -> Any:
        parts = tuple(parts)
        return parts[0] if len(parts) == 1 else parts

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, as nn prints them."""
        defaults = dict(proj_size=0, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False)
        changed = [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join([str(self.input_size), str(self.hidden_size), *changed])


class RNN(RecurrentLayer):
    r"""The simple recurrent network of Elman, a twin of :class:`torch.nn.RNN`.

    .. math:: h_t = \tanh(W_{xh} x_t + b_{xh} + W_{hh} h_{t-1} + b_{hh})

    Args:
        input_size: number of features D of the input at each time step.
        hidden_size: number of hidden units H.
        num_layers: number L of layers stacked, each reading the outputs of the one below.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether to add ``bias_ih`` and ``bias_hh``.
        batch_first: whether input and output are (B, T, features) instead of (T, B, features). States never change.
        dropout: probability to zero an element of the outputs of every layer but the last, in training.
        bidirectional: whether to read the sequence from its end as well; outputs of both directions are concatenated.
        device: device of the weights.
        dtype: dtype of the weights.
        proj_size: refused, as by nn: only LSTM has a projection.

    Shapes, errors: see :meth:`RecurrentLayer.forward`. The weights have H rows.

    Source: :cite:t:`elman1990`. Taught in *The simple RNN, twice*.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: None = None,
    ) -> None:
        _refuse_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity should be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )
        self.nonlinearity = nonlinearity

    def step(self, x: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None) -> State:
        """:func:`~companion.steps.rnn_step` on the one part of the state."""
        (h,) = state
        return (rnn_step(x, h, weight_hh, bias_hh, self.nonlinearity),)

    def by_hand(self, x: Tensor, state: State, weights: tuple[Tensor | None, ...]) -> tuple[Tensor, State]:
        """:func:`~companion.bptt.rnn_over_time`."""
        outputs = rnn_over_time(x, *state, *weights, self.nonlinearity)
        return outputs, (outputs[-1],)


class GRU(RecurrentLayer):
    r"""The gated recurrent unit, a twin of :class:`torch.nn.GRU`.

    .. math::

        r_t &= \sigma(W_{xr} x_t + b_{xr} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{xz} x_t + b_{xz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{xn} x_t + b_{xn} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    Args:
        input_size: number of features D of the input at each time step.
        hidden_size: number of hidden units H.
        num_layers: number L of layers stacked, each reading the outputs of the one below.
        bias: whether to add ``bias_ih`` and ``bias_hh``.
        batch_first: whether input and output are (B, T, features) instead of (T, B, features). States never change.
        dropout: probability to zero an element of the outputs of every layer but the last, in training.
        bidirectional: whether to read the sequence from its end as well; outputs of both directions are concatenated.
        device: device of the weights.
        dtype: dtype of the weights.
        proj_size: refused, as by nn: only LSTM has a projection.

    Shapes, errors: see :meth:`RecurrentLayer.forward`. The weights have 3H rows: r, z, n.

    Source: :cite:t:`cho2014`, with the reset gate after the product. Taught in *The GRU, twice*.
    """

    num_gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: None = None,
    ) -> None:
        _refuse_projection(proj_size)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )

    def step(self, x: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None) -> State:
        """:func:`~companion.steps.gru_step` on the one part of the state."""
        (h,) = state
        return (gru_step(x, h, weight_hh, bias_hh),)

    def by_hand(self, x: Tensor, state: State, weights: tuple[Tensor | None, ...]) -> tuple[Tensor, State]:
        """:func:`~companion.bptt.gru_over_time`."""
        outputs = gru_over_time(x, *state, *weights)
        return outputs, (outputs[-1],)


class LSTM(RecurrentLayer):
    r"""The long short-term memory, a twin of :class:`torch.nn.LSTM`.

    .. math::

        i_t, f_t, o_t &= \sigma(W_{x\{i,f,o\}} x_t + b_{x\{i,f,o\}} + W_{h\{i,f,o\}} h_{t-1} + b_{h\{i,f,o\}}) \\
        g_t &= \tanh(W_{xg} x_t + b_{xg} + W_{hg} h_{t-1} + b_{hg}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        input_size: number of features D of the input at each time step.
        hidden_size: number of hidden units H, the width of c.
        num_layers: number L of layers stacked, each reading the outputs of the one below.
        bias: whether to add ``bias_ih`` and ``bias_hh``.
        batch_first: whether input and output are (B, T, features) instead of (T, B, features). States never change.
        dropout: probability to zero an element of the outputs of every layer but the last, in training.
        bidirectional: whether to read the sequence from its end as well; outputs of both directions are concatenated.
        proj_size: size P of a projection of h, 0 < P < H; 0 means none. c keeps H units.
        device: device of the weights.
        dtype: dtype of the weights.

    Shapes, errors: see :meth:`RecurrentLayer.forward`. The weights have 4H rows, i, f, g, o; the state is the pair
    (h, c).

    Source: :cite:t:`hochreiter1997`, with the forget gate of :cite:t:`gers2000` and the projection of
    :cite:t:`sak2014`. Taught in *The LSTM, twice*.
    """

    num_gates = 4

    @property
    def state_sizes(self) -> tuple[int, int]:
        """The widths of h and of c."""
        return self.proj_size or self.hidden_size, self.hidden_size

    def step(
        self, x: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None, weight_hr: Tensor | None = None
    ) -> State:
        """:func:`~companion.steps.lstm_step` on the pair (h, c)."""
        return lstm_step(x, state, weight_hh, bias_hh, weight_hr)

    def by_hand(self, x: Tensor, state: State, weights: tuple[Tensor | None, ...]) -> tuple[Tensor, State]:
        """:func:`~companion.bptt.lstm_over_time`."""
        outputs, c = lstm_over_time(x, *state, *weights)
        return outputs, (outputs[-1], c)


def _refuse_projection(proj_size: Any) -> None:
    if proj_size is not None:
        raise ValueError(f"proj_size is an argument of LSTM only, got proj_size={proj_size!r}")


def _permute(state: State, indices: Tensor | None) -> State:
    return state if indices is None else tuple(part.index_select(1, indices) for part in state)
