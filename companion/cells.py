"""RNNCell, LSTMCell and GRUCell: one step of a layer as a module, twins of torch.nn's cells.

A cell is a step function that owns its weights. Use it where you write the loop over time yourself.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.steps import gru_step, lstm_step, rnn_step
from companion.validation import check_cell_size, check_features, check_pair, check_state, check_tensor

__all__ = ["RNNCell", "LSTMCell", "GRUCell"]


class RecurrentCell(nn.Module):
    """What the three cells share: weights, the optional batch dimension, and the optional state."""

    num_gates = 1
    state_names: tuple[str, ...] = ("hx",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        for name, value in dict(input_size=input_size, hidden_size=hidden_size).items():
            check_cell_size(name, value)
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = self.num_gates * hidden_size
        shapes = dict(weight_ih=(rows, input_size), weight_hh=(rows, hidden_size), bias_ih=(rows,), bias_hh=(rows,))
        for name, shape in shapes.items():
            absent = name.startswith("bias") and not bias
            weight = None if absent else nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight from U(-1/sqrt(H), 1/sqrt(H)), in nn's order."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Take one step.

        Args:
            input: shape (B, D), or (D) without a batch.
            hx: the state before the step, shape (B, H) or (H), for an LSTM the pair (h, c); zeros if None.

        Returns:
            The state after the step, in the form of ``hx``.

        Raises:
            ValueError: the input or the state is neither 1-D nor 2-D.
            RuntimeError: a shape or dtype does not fit; the message names the argument.
            AttributeError: the input or the state is not a tensor.
        """
        check_tensor("input", input, "a tensor")
        if input.dim() not in (1, 2):
            raise ValueError(f"input should be 1-D or 2-D, got {input.dim()}-D of shape {tuple(input.shape)}")
        parts = () if hx is None else self._unpack(hx)
        check_features(input, self.input_size, self.weight_ih)
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)  # (B, D)
        state = self._state(parts, x, batched)
        state = self.step(F.linear(x, self.weight_ih, self.bias_ih), state)
        parts = state if batched else tuple(part.squeeze(0) for part in state)
        return parts[0] if len(parts) == 1 else parts

    def _unpack(self, hx: Any) -> tuple[Tensor, ...]:
        """The parts of a state, each a tensor with a batch dimension or without."""
        parts = check_pair("hx", hx, "(h, c)") if len(self.state_names) == 2 else (hx,)
        for name, part in zip(self.state_names, parts, strict=True):
            check_tensor(name, part, "a tensor")
            if part.dim() not in (1, 2):
                raise ValueError(f"{name} should be 1-D or 2-D, got {part.dim()}-D of shape {tuple(part.shape)}")
        return parts

    def _state(self, parts: tuple[Tensor, ...], x: Tensor, batched: bool) -> tuple[Tensor, ...]:
        if not parts:
            return (x.new_zeros(x.shape[0], self.hidden_size),) * len(self.state_names)
        expected = (x.shape[0], self.hidden_size) if batched else (self.hidden_size,)
        for name, part in zip(self.state_names, parts, strict=True):
            check_state(name, part, expected, self.weight_ih)
        return parts if batched else tuple(part.unsqueeze(0) for part in parts)

    def extra_repr(self) -> str:
        """The sizes, and the arguments that are not at their defaults, as nn prints them."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias is True else f", bias={self.bias}")


class RNNCell(RecurrentCell):
    r"""One step of the simple RNN as a module, a twin of :class:`torch.nn.RNNCell`.

    Args:
        input_size: number of features D of the input.
        hidden_size: number of hidden units H.
        bias: whether to add ``bias_ih`` and ``bias_hh``.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device: device of the weights.
        dtype: dtype of the weights.

    Examples:
        >>> ours, theirs = companion.RNNCell(3, 4), nn.RNNCell(3, 4)
        >>> ours.load_state_dict(theirs.state_dict())
        <All keys matched successfully>
        >>> x, h = torch.randn(2, 3), torch.randn(2, 4)  # (B, D), (B, H)
        >>> torch.allclose(ours(x, h), theirs(x, h), atol=1e-6)
        True

    Equation and source: :func:`companion.steps.rnn_step`. Taught in *The simple RNN, twice*.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"nonlinearity should be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step from the projected input."""
        return (rnn_step(x, state[0], self.weight_hh, self.bias_hh, self.nonlinearity),)

    def extra_repr(self) -> str:
        """The sizes, and the arguments that are not at their defaults, as nn prints them."""
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class GRUCell(RecurrentCell):
    """One step of the GRU as a module, a twin of :class:`torch.nn.GRUCell`.

    Args:
        input_size: number of features D of the input.
        hidden_size: number of hidden units H.
        bias: whether to add ``bias_ih`` and ``bias_hh``.
        device: device of the weights.
        dtype: dtype of the weights.

    Examples:
        >>> ours, theirs = companion.GRUCell(3, 4), nn.GRUCell(3, 4)
        >>> ours.load_state_dict(theirs.state_dict())
        <All keys matched successfully>
        >>> x, h = torch.randn(2, 3), torch.randn(2, 4)  # (B, D), (B, H)
        >>> torch.allclose(ours(x, h), theirs(x, h), atol=1e-6)
        True

    Equations and source: :func:`companion.steps.gru_step`. Taught in *The GRU, twice*.
    """

    num_gates = 3

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step from the projected input."""
        return (gru_step(x, state[0], self.weight_hh, self.bias_hh),)


class LSTMCell(RecurrentCell):
    """One step of the LSTM as a module, a twin of :class:`torch.nn.LSTMCell`. Its state is the pair (h, c).

    Args:
        input_size: number of features D of the input.
        hidden_size: number of hidden units H.
        bias: whether to add ``bias_ih`` and ``bias_hh``.
        device: device of the weights.
        dtype: dtype of the weights.

    Examples:
        >>> ours, theirs = companion.LSTMCell(3, 4), nn.LSTMCell(3, 4)
        >>> ours.load_state_dict(theirs.state_dict())
        <All keys matched successfully>
        >>> x, state = torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))
        >>> h, c = ours(x, state)
        >>> torch.allclose(h, theirs(x, state)[0], atol=1e-6), torch.allclose(c, theirs(x, state)[1], atol=1e-6)
        (True, True)

    Equations and source: :func:`companion.steps.lstm_step`. Taught in *The LSTM, twice*.
    """

    num_gates = 4
    state_names = ("h in hx", "c in hx")

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step from the projected input."""
        return lstm_step(x, state, self.weight_hh, self.bias_hh)
