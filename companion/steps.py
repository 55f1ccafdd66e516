"""The equations: one time step of each recurrent layer, as pure functions of tensors.

A step takes its input *already projected*: ``x = F.linear(input, weight_ih, bias_ih)`` for all time steps at once, in
one matrix product, before the loop. What is left inside is only what has to wait for the state before it.

Shapes: B is the batch, H the number of hidden units, P the size of an LSTM's projection. Every tensor here may carry
more leading dimensions than B, or none.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["rnn_step", "gru_step", "lstm_step", "sru_step"]


def rnn_step(x: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Tensor | None = None, nonlinearity="tanh") -> Tensor:
    r"""One step of the simple RNN, :math:`h_t = \tanh(x_t + W_{hh} h_{t-1} + b_{hh})`.

    Args:
        x: the projected input :math:`W_{xh} x_t + b_{xh}`, shape (B, H).
        h: the state before this step, shape (B, H).
        weight_hh: the recurrent weight, shape (H, H).
        bias_hh: the recurrent bias, shape (H), or None for none.
        nonlinearity: ``"tanh"`` or ``"relu"``.

    Returns:
        The state after this step, shape (B, H).

    Examples:
        >>> cell = nn.RNNCell(3, 4)
        >>> x, h = torch.randn(2, 3), torch.randn(2, 4)  # (B, D), (B, H)
        >>> projected = nn.functional.linear(x, cell.weight_ih, cell.bias_ih)  # (B, H)
        >>> h_next = companion.rnn_step(projected, h, cell.weight_hh, cell.bias_hh)
        >>> torch.allclose(h_next, cell(x, h), atol=1e-6)
        True

    Source: :cite:t:`elman1990`. Taught in *The simple RNN, twice*.
    """
    activation = torch.tanh if nonlinearity == "tanh" else torch.relu
    return activation(x + F.linear(h, weight_hh, bias_hh))  # (B, H)


def gru_step(x: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Tensor | None = None) -> Tensor:
    r"""One step of the gated recurrent unit, as :class:`torch.nn.GRU` computes it.

    .. math::

        r_t &= \sigma(x_r + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(x_z + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(x_n + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    Args:
        x: the projected input, its three blocks r, z, n side by side, shape (B, 3H).
        h: the state before this step, shape (B, H).
        weight_hh: the recurrent weights, rows r, z, n, shape (3H, H).
        bias_hh: the recurrent biases, shape (3H), or None for none.

    Returns:
        The state after this step, shape (B, H).

    Examples:
        >>> cell = nn.GRUCell(3, 4)
        >>> x, h = torch.randn(2, 3), torch.randn(2, 4)  # (B, D), (B, H)
        >>> projected = nn.functional.linear(x, cell.weight_ih, cell.bias_ih)  # (B, 3H)
        >>> h_next = companion.gru_step(projected, h, cell.weight_hh, cell.bias_hh)
        >>> torch.allclose(h_next, cell(x, h), atol=1e-6)
        True

    Source: :cite:t:`cho2014`, with the reset gate after the product. Taught in *The GRU, twice*.
    """
    x_r, x_z, x_n = x.chunk(3, -1)                                  # 3 x (B, H)
    h_r, h_z, h_n = F.linear(h, weight_hh, bias_hh).chunk(3, -1)    # 3 x (B, H)
    r = torch.sigmoid(x_r + h_r)      # reset: how much of the past the candidate may see
    z = torch.sigmoid(x_z + h_z)      # update: near 1 keeps the old state
    n = torch.tanh(x_n + r * h_n)     # candidate, reset after the product
    return torch.lerp(n, h, z)        # (1 - z) * n + z * h, in one pass over memory


def lstm_step(
    x: Tensor,
    state: tuple[Tensor, Tensor],
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""One step of the long short-term memory, as :class:`torch.nn.LSTM` computes it.

    .. math::

        i_t, f_t, o_t &= \sigma(x_{i,f,o} + W_{h\{i,f,o\}} h_{t-1} + b_{h\{i,f,o\}}) \\
        g_t &= \tanh(x_g + W_{hg} h_{t-1} + b_{hg}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        x: the projected input, its four blocks i, f, g, o side by side, shape (B, 4H).
        state: the pair (h, c) before this step, shapes (B, H) and (B, H); with a projection h has shape (B, P).
        weight_hh: the recurrent weights, rows i, f, g, o, shape (4H, H); with a projection (4H, P).
        bias_hh: the recurrent biases, shape (4H), or None for none.
        weight_hr: the projection of the hidden state, shape (P, H), or None for none.

    Returns:
        The pair (h, c) after this step.

    Examples:
        >>> cell = nn.LSTMCell(3, 4)
        >>> x, state = torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))  # (B, D), (h, c)
        >>> projected = nn.functional.linear(x, cell.weight_ih, cell.bias_ih)  # (B, 4H)
        >>> h, c = companion.lstm_step(projected, state, cell.weight_hh, cell.bias_hh)
        >>> torch.allclose(h, cell(x, state)[0], atol=1e-6), torch.allclose(c, cell(x, state)[1], atol=1e-6)
        (True, True)

    Source: :cite:t:`hochreiter1997`, with the forget gate of :cite:t:`gers2000` and the projection of
    :cite:t:`sak2014`. Taught in *The LSTM, twice*.
    """
    h, c = state
    i, f, g, o = (x + F.linear(h, weight_hh, bias_hh)).chunk(4, -1)         # 4 x (B, H)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)             # keep, and write
    h = torch.sigmoid(o) * torch.tanh(c)                                    # show
    return h if weight_hr is None else F.linear(h, weight_hr), c            # (B, H) or (B, P), and (B, H)


def sru_step(
    x: Tensor,
    c: Tensor,
    weight_c: Tensor,
    bias: Tensor | None = None,
    highway: Tensor | None = None,
    use_tanh: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""One step of the simple recurrent unit. No matrix in it: every unit looks at its own past only.

    .. math::

        f_t &= \sigma(x_f + v_f \odot c_{t-1} + b_f) \\
        r_t &= \sigma(x_r + v_r \odot c_{t-1} + b_r) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot x_c \\
        h_t &= r_t \odot g(c_t) + (1 - r_t) \odot \tilde{x}_t

    Args:
        x: the projected input without bias, its blocks candidate, forget and reset side by side, shape (B, 3H), or
            with the highway's input as a fourth block, shape (B, 4H).
        c: the state before this step, shape (B, H).
        weight_c: the recurrent weights :math:`v_f` and :math:`v_r`, shape (2H).
        bias: the biases :math:`b_f` and :math:`b_r`, shape (2H), or None for none.
        highway: what the reset gate lets through in place of the state, :math:`\tilde{x}_t`, shape (B, H); None where
            ``x`` brings it as its fourth block.
        use_tanh: whether :math:`g` is the tanh; else the state is shown as it is.

    Returns:
        The output h of this step and the state c after it, shapes (B, H) and (B, H). Only c goes on to the next step.

    Examples:
        >>> x, c = torch.zeros(1, 4 * 2), torch.ones(1, 2)  # all four blocks zero: both gates 1/2
        >>> h, c = companion.sru_step(x, c, weight_c=torch.zeros(4))
        >>> print(c, h)
        tensor([[0.5000, 0.5000]]) tensor([[0.2500, 0.2500]])

    Source: :cite:t:`lei2018`, equations 1 to 4. Taught in *The SRU, twice*.
    """
    candidate, x_f, x_r, *fourth = x.chunk(4 if highway is None else 3, -1)  # (B, H) each
    highway = fourth[0] if highway is None else highway
    v_f, v_r = weight_c.chunk(2, -1)
    b_f, b_r = (0, 0) if bias is None else bias.chunk(2, -1)
    f = torch.sigmoid(x_f + v_f * c + b_f)                                  # forget: near 1 keeps the old state
    r = torch.sigmoid(x_r + v_r * c + b_r)                                  # reset: it sees the old state, too
    c = torch.lerp(candidate, c, f)                                         # f * c + (1 - f) * candidate
    return torch.lerp(highway, torch.tanh(c) if use_tanh else c, r), c      # r * c + (1 - r) * highway
