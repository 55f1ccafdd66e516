"""Backpropagation through time, written by hand: what makes the layers train as fast as they do.

Autograd records every operation of every time step and walks back through them one by one. The functions here run the
same steps and keep the gates. A backward pass is linear in the state's gradient, and its coefficients are made of the
gates, which are all known by then. So they are computed for all time steps at once. A step of the backward loop is then
one product with the recurrent weights and a few multiplications, and the gradient of each weight is one product after
the loop.

Where there are gates, hidden units are rows inside and the batch is columns, (T, H, B): a gate is then one contiguous
block of memory.

The backward passes are differentiable, too: asked for gradients of gradients, they run the plain time loop again and
leave it to autograd.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function, forward_ad

from companion.steps import gru_step, lstm_step, rnn_step
from companion.time_loop import over_time

__all__ = ["can_run_by_hand", "gru_over_time", "is_being_transformed", "lstm_over_time", "rnn_over_time"]


def is_being_transformed() -> bool:
    """Whether what runs now is taken apart into its single operations, which a backward pass by hand would hide.

    Returns:
        True under the transforms of ``torch.func`` and in forward-mode differentiation.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def can_run_by_hand(x: Tensor) -> bool:
    """Whether a backward pass by hand can serve here.

    Args:
        x: the layer's input.

    Returns:
        False under ``torch.compile``, ``torch.func``, forward-mode differentiation and autocast, which need to see the
        single operations.
    """
    return not (
        torch.compiler.is_compiling()
        or is_being_transformed()
        or (x.device.type != "meta" and torch.is_autocast_enabled(x.device.type))
    )


def rnn_over_time(
    x: Tensor,
    h_0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    nonlinearity: str = "tanh",
) -> Tensor:
    """A simple RNN over a whole sequence.

    Args:
        x: the input, shape (T, B, D).
        h_0: the state before the first step, shape (B, H).
        weight_ih: shape (H, D).
        weight_hh: shape (H, H).
        bias_ih: shape (H), or None.
        bias_hh: shape (H), or None.
        nonlinearity: ``"tanh"`` or ``"relu"``.

    Returns:
        The states after every step, shape (T, B, H).

    Examples:
        >>> from companion.bptt import rnn_over_time
        >>> layer, x = nn.RNN(3, 4), torch.randn(5, 2, 3)  # (T, B, D)
        >>> h = rnn_over_time(x, torch.zeros(2, 4), *layer.parameters())
        >>> torch.allclose(h, layer(x)[0], atol=1e-6)
        True

    Source: :cite:t:`werbos1990`. Taught in *Backpropagation through time*.
    """
    return _RNN.apply(nonlinearity, x, h_0, weight_ih, weight_hh, bias_ih, bias_hh)


def gru_over_time(
    x: Tensor,
    h_0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> Tensor:
    """A GRU over a whole sequence.

    Args:
        x: the input, shape (T, B, D).
        h_0: the state before the first step, shape (B, H).
        weight_ih: rows r, z, n, shape (3H, D).
        weight_hh: rows r, z, n, shape (3H, H).
        bias_ih: shape (3H), or None.
        bias_hh: shape (3H), or None.

    Returns:
        The states after every step, shape (T, B, H).

    Examples:
        >>> from companion.bptt import gru_over_time
        >>> layer, x = nn.GRU(3, 4), torch.randn(5, 2, 3)  # (T, B, D)
        >>> h = gru_over_time(x, torch.zeros(2, 4), *layer.parameters())
        >>> torch.allclose(h, layer(x)[0], atol=1e-6)
        True

    Source: :cite:t:`cho2014`, :cite:t:`werbos1990`. Taught in *Backpropagation through time*.
    """
    return _GRU.apply(None, x, h_0, weight_ih, weight_hh, bias_ih, bias_hh)


def lstm_over_time(
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """An LSTM without projection over a whole sequence.

    Args:
        x: the input, shape (T, B, D).
        h_0: the hidden state before the first step, shape (B, H).
        c_0: the cell state before the first step, shape (B, H).
        weight_ih: rows i, f, g, o, shape (4H, D).
        weight_hh: rows i, f, g, o, shape (4H, H).
        bias_ih: shape (4H), or None.
        bias_hh: shape (4H), or None.

    Returns:
        The hidden states after every step, shape (T, B, H), and the last cell state, shape (B, H).

    Examples:
        >>> from companion.bptt import lstm_over_time
        >>> layer, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)  # (T, B, D)
        >>> h, c_n = lstm_over_time(x, torch.zeros(2, 4), torch.zeros(2, 4), *layer.parameters())
        >>> torch.allclose(h, layer(x)[0], atol=1e-6), torch.allclose(c_n, layer(x)[1][1][0], atol=1e-6)
        (True, True)

    Source: :cite:t:`hochreiter1997`, :cite:t:`werbos1990`. Taught in *Backpropagation through time*.
    """
    return _LSTM.apply(None, x, h_0, c_0, weight_ih, weight_hh, bias_ih, bias_hh)


class _Recurrence(Function):
    """What the three share: what is saved, and what happens when gradients of gradients are asked for.

    A subclass defines ``run``, the forward pass, ``gradients``, the backward pass by hand, and ``plain``, the same
    forward pass for autograd. The first argument is an option, the others are tensors or None.
    """

    @classmethod
    def forward(cls, ctx: Any, option: Any, *inputs: Tensor | None) -> Any:
        outputs, kept = cls.run(option, *inputs)
        ctx.option, ctx.recurrence, ctx.num_inputs = option, cls, len(inputs)
        ctx.save_for_backward(*inputs, *kept)
        return outputs

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor | None, ...]:
        inputs, kept = ctx.saved_tensors[: ctx.num_inputs], ctx.saved_tensors[ctx.num_inputs :]
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # backward(create_graph=True)
            return None, *_by_autograd(ctx.recurrence, ctx.option, inputs, needed, incoming)
        x, weight_ih, weight_hh = inputs[0], inputs[-4], inputs[-3]
        found = ctx.recurrence.gradients(ctx.option, x, weight_ih, weight_hh, kept, needed, incoming)
        return None, *(gradient if need else None for gradient, need in zip(found, needed, strict=True))


def _by_autograd(
    recurrence: type[_Recurrence], option: Any, inputs: tuple, needed: tuple[bool, ...], incoming: tuple
) -> list[Tensor | None]:
    with torch.enable_grad():
        # Aliases: should one input have been computed from another, no gradient may run on from the one to the other.
        aliases = [None if part is None else part.view_as(part) for part in inputs]
        wanted = [alias for alias, need in zip(aliases, needed, strict=True) if need]
        outputs = recurrence.plain(option, *aliases)
        found = iter(torch.autograd.grad(outputs, wanted, incoming, create_graph=True))
    return [next(found) if need else None for need in needed]


class _RNN(_Recurrence):
    """There is one block only, so nothing is gained by turning it: here time, batch and units stay as they are."""

    @staticmethod
    def run(nonlinearity, x, h_0, weight_ih, weight_hh, bias_ih, bias_hh):
        sums = F.linear(x, weight_ih, _add(bias_ih, bias_hh))                           # (T, B, H)
        states = torch.cat([h_0.unsqueeze(0), sums])                                    # (T + 1, B, H), to be filled
        transposed = weight_hh.t()
        for total, before, after in zip(sums, states[:-1], states[1:], strict=True):
            total.addmm_(before, transposed)
            torch.tanh(total, out=after) if nonlinearity == "tanh" else torch.clamp(total, min=0, out=after)
        return states[1:].clone(), (states,)  # a copy: a caller may write into the outputs

    @staticmethod
    def plain(nonlinearity, x, h_0, weight_ih, weight_hh, bias_ih, bias_hh):
        def step(x, state):
            return (rnn_step(x, state[0], weight_hh, bias_hh, nonlinearity),)

        return torch.stack(over_time(step, F.linear(x, weight_ih, bias_ih).unbind(0), (h_0,))[0])

    @staticmethod
    def gradients(nonlinearity, x, weight_ih, weight_hh, kept, needed, incoming):
        (states,) = kept
        after, d_outputs = states[1:], incoming[0].unbind(0)
        slopes = 1 - after * after if nonlinearity == "tanh" else (after > 0).to(after.dtype)   # (T, B, H)
        d_h = d_outputs[-1]
        for t, slope in reversed(list(enumerate(slopes.unbind(0)))):
            d_sum = slope.mul_(d_h)                                                     # the slopes become gradients
            d_h = torch.addmm(d_outputs[t - 1], d_sum, weight_hh) if t > 0 else d_sum @ weight_hh
        d_sums = slopes.flatten(0, 1)                                                   # (T * B, H)
        d_bias = d_sums.sum(0)
        d_x = (d_sums @ weight_ih).view(x.shape) if needed[0] else None
        d_weight_ih = d_sums.t() @ x.reshape(-1, x.shape[-1])
        return d_x, d_h, d_weight_ih, d_sums.t() @ states[:-1].flatten(0, 1), d_bias, d_bias


class _GRU(_Recurrence):
    @staticmethod
    def run(option, x, h_0, weight_ih, weight_hh, bias_ih, bias_hh):
        H = weight_hh.shape[1]
        gates = _project(x, weight_ih, bias_ih)                                         # (T, 3H, B), will be r, z, n
        hidden = torch.empty_like(gates)                                                # W_hh h + b_hh
        states = _room_for_states(gates, h_0)                                           # (T + 1, H, B)
        bias = (weight_hh.new_zeros(3 * H) if bias_hh is None else bias_hh).unsqueeze(1)
        for gate, from_h, before, after in zip(gates, hidden, states[:-1], states[1:], strict=True):
            torch.addmm(bias, weight_hh, before, out=from_h)
            r_z = gate[: 2 * H].add_(from_h[: 2 * H]).sigmoid_()
            n = gate[2 * H :].addcmul_(r_z[:H], from_h[2 * H :]).tanh_()
            torch.lerp(n, before, r_z[H:], out=after)
        return _rows(states[1:]), (gates, hidden[:, 2 * H :], states)

    @staticmethod
    def plain(option, x, h_0, weight_ih, weight_hh, bias_ih, bias_hh):
        def step(x, state):
            return (gru_step(x, state[0], weight_hh, bias_hh),)

        return torch.stack(over_time(step, F.linear(x, weight_ih, bias_ih).unbind(0), (h_0,))[0])

    @staticmethod
    def gradients(option, x, weight_ih, weight_hh, kept, needed, incoming):
        gates, hidden_n, states = kept
        T, H, B = hidden_n.shape
        r, z, n = gates.chunk(3, 1)
        # The gradient of each sum is one of these times the state's gradient: r, z, n's recurrent part, n.
        factors = gates.new_empty(T, 4, H, B)
        for_r, for_z, for_hidden_n, for_n = factors.unbind(1)
        admit = 1 - z
        torch.mul(admit, 1 - n * n, out=for_n)
        torch.mul(for_n, r, out=for_hidden_n)
        torch.mul(for_hidden_n, hidden_n, out=for_r).mul_(1 - r)
        torch.mul(states[:-1] - n, z, out=for_z).mul_(admit)
        d_outputs = _columns(incoming[0])
        d_h, transposed = d_outputs[-1], weight_hh.t().contiguous()
        for t in range(T - 1, -1, -1):
            d_sums = factors[t].mul_(d_h)                                               # (4, H, B)
            kept_past = torch.addcmul(d_outputs[t - 1], z[t], d_h) if t > 0 else z[t] * d_h
            d_h = torch.addmm(kept_past, transposed, d_sums[:3].view(3 * H, B))
        d_all = _flatten(factors.view(T, 4 * H, B))                                     # (4H, T * B)
        d_hidden, d_projected = d_all[: 3 * H], torch.cat([d_all[: 2 * H], d_all[3 * H :]])
        d_weight_hh = d_hidden @ _flatten(states[:-1]).t()
        of_input = _input_gradients(x, weight_ih, d_projected, needed, d_h)
        return *of_input, d_weight_hh, d_projected.sum(1), d_hidden.sum(1)


class _LSTM(_Recurrence):
    @staticmethod
    def run(option, x, h_0, c_0, weight_ih, weight_hh, bias_ih, bias_hh):
        H = weight_hh.shape[1]
        gates = _project(x, weight_ih, _add(bias_ih, bias_hh))                          # (T, 4H, B), will be i, f, g, o
        states, cells = _room_for_states(gates, h_0), _room_for_states(gates, c_0)      # (T + 1, H, B)
        squeezed = gates.new_empty(len(gates), H, gates.shape[2])                       # tanh(c)
        for t, gate in enumerate(gates):
            gate.addmm_(weight_hh, states[t])
            i_f, g, o = gate[: 2 * H].sigmoid_(), gate[2 * H : 3 * H].tanh_(), gate[3 * H :].sigmoid_()
            torch.mul(i_f[H:], cells[t], out=cells[t + 1]).addcmul_(i_f[:H], g)
            torch.mul(o, torch.tanh(cells[t + 1], out=squeezed[t]), out=states[t + 1])
        last_cell = cells[-1].t().clone(memory_format=torch.contiguous_format)
        return (_rows(states[1:]), last_cell), (gates, squeezed, states, cells)

    @staticmethod
    def plain(option, x, h_0, c_0, weight_ih, weight_hh, bias_ih, bias_hh):
        def step(x, state):
            return lstm_step(x, state, weight_hh, bias_hh)

        outputs, (_, c) = over_time(step, F.linear(x, weight_ih, bias_ih).unbind(0), (h_0, c_0))
        return torch.stack(outputs), c

    @staticmethod
    def gradients(option, x, weight_ih, weight_hh, kept, needed, incoming):
        gates, squeezed, states, cells = kept
        T, H, B = squeezed.shape
        i, f, g, o = gates.chunk(4, 1)
        # The gradient of the sums of i, f, g is one of these times the cell's gradient; of o, times the state's.
        factors = gates.new_empty(T, 4, H, B)
        for_i, for_f, for_g, for_o = factors.unbind(1)
        torch.mul(g, i * (1 - i), out=for_i)
        torch.mul(cells[:-1], f * (1 - f), out=for_f)
        torch.mul(i, 1 - g * g, out=for_g)
        torch.mul(squeezed, o * (1 - o), out=for_o)
        into_cell = o * (1 - squeezed * squeezed)
        d_outputs = _columns(incoming[0])
        d_h, d_c, transposed = d_outputs[-1], incoming[1].t().contiguous(), weight_hh.t().contiguous()
        for t in range(T - 1, -1, -1):
            d_c = torch.addcmul(d_c, d_h, into_cell[t])
            factors[t, :3].mul_(d_c)
            factors[t, 3].mul_(d_h)
            d_sums = factors[t].view(4 * H, B)
            d_h = torch.addmm(d_outputs[t - 1], transposed, d_sums) if t > 0 else transposed @ d_sums
            d_c = d_c * f[t]
        d_sums = _flatten(factors.view(T, 4 * H, B))                                    # (4H, T * B)
        d_bias = d_sums.sum(1)
        d_x, d_h_0, d_weight_ih = _input_gradients(x, weight_ih, d_sums, needed, d_h)
        return d_x, d_h_0, d_c.t(), d_weight_ih, d_sums @ _flatten(states[:-1]).t(), d_bias, d_bias


def _add(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None else one + other


def _project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The input's products for all time steps, one block of memory a step: (T, B, D) to (T, rows, B)."""
    return F.linear(x, weight, bias).transpose(1, 2).contiguous()


def _room_for_states(like: Tensor, first: Tensor) -> Tensor:
    """Memory for the state before the first step, and after every step: (T + 1, H, B)."""
    states = like.new_empty(like.shape[0] + 1, first.shape[1], first.shape[0])
    states[0] = first.t()
    return states


def _rows(states: Tensor) -> Tensor:
    """(T, H, B) to (T, B, H), in memory of its own: a caller may write into the outputs."""
    return states.transpose(1, 2).clone(memory_format=torch.contiguous_format)


def _columns(d_outputs: Tensor) -> Tensor:
    """(T, B, H) to (T, H, B), in one block of memory a step."""
    return d_outputs.transpose(1, 2).contiguous()


def _flatten(blocks: Tensor) -> Tensor:
    """(T, rows, B) to (rows, T * B): all time steps side by side, for one product over them."""
    return blocks.transpose(0, 1).reshape(blocks.shape[1], -1)


def _input_gradients(
    x: Tensor, weight_ih: Tensor, d_sums: Tensor, needed: tuple[bool, ...], d_h: Tensor
) -> tuple[Tensor | None, Tensor, Tensor]:
    """The gradients of x, h_0 and weight_ih, from those of the sums, (rows, T * B), and of the first state, (H, B)."""
    d_x = (d_sums.t() @ weight_ih).view(x.shape) if needed[0] else None
    return d_x, d_h.t(), d_sums @ x.reshape(-1, x.shape[-1])
