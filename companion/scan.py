"""Linear recurrences, one step after another or all steps at once; and MinGRU and MinLSTM, layers made of one.

A *linear recurrence* multiplies each number of its state and adds to it, by coefficients that do not look at the state:

.. math:: h_t = a_t \\odot h_{t-1} + b_t

A loop computes it step by step. But two steps in a row are one step of the same kind, with other coefficients,

.. math:: a_2 (a_1 h + b_1) + b_2 = (a_2 a_1) h + (a_2 b_1 + b_2),

so neighboring steps can be joined before anyone knows the state, in any grouping. That is what makes a parallel *scan*
possible, here by :func:`parallel_scan`. :func:`linear_recurrence` takes the way that is faster.

The gradient of a linear recurrence is a linear recurrence, too, run from the other end. So each way is its own backward
pass, and can be differentiated as often as you like.

Shapes: T time first, then whatever one step has, for a layer (B, H): B batch, H hidden units.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from companion.bptt import is_being_transformed
from companion.layers import RecurrentLayer
from companion.time_loop import State
from companion.validation import DtypeMismatchError, StateError, check_bool, check_tensor

__all__ = ["MinGRU", "MinLSTM", "linear_recurrence", "log_space_scan", "parallel_scan", "sequential_scan"]

# On a CPU, a step of more numbers than this keeps the processor busy by itself, and a sequence of fewer steps than that
# ends before the joining pays.
NARROW_STEP, LONG_SEQUENCE = 1024, 32


def linear_recurrence(a: Tensor, b: Tensor, h_0: Tensor | None = None, reverse: bool = False) -> Tensor:
    r"""The states :math:`h_t = a_t \odot h_{t-1} + b_t`, in the faster of two ways.

    On a CPU that is :func:`parallel_scan` where a step is narrow, with at most 1024 numbers, and there are at least 32
    steps, and else :func:`sequential_scan`. On any other device, and in a graph that ``torch.compile`` captures, it is
    :func:`parallel_scan`. Both give the same numbers but for rounding.

    Args:
        a: what the state is multiplied by at each step, shape (T, ...).
        b: what is added to it, of the same shape.
        h_0: the state before the first step that is taken, of a step's shape (...); zeros if None.
        reverse: whether to take the steps from the last to the first, :math:`h_t = a_t \odot h_{t+1} + b_t`.

    Returns:
        The states after every step in time order, of the shape of ``b``. The one after the last step taken is the last
        one, or the first if ``reverse``. ``float16`` and ``bfloat16`` are computed in ``float32`` and rounded once.

    Raises:
        AttributeError: an argument is not a tensor.
        RuntimeError: shapes or devices do not fit, or there are no steps; the message names the argument.
        ValueError: the dtypes differ, or are not floating-point.

    Examples:
        >>> a, b = torch.full((4,), 0.5), torch.ones(4)
        >>> companion.linear_recurrence(a, b)  # every step halves, and adds 1
        tensor([1.0000, 1.5000, 1.7500, 1.8750])
        >>> companion.linear_recurrence(a, b, h_0=torch.tensor(2.0))  # 2 is where it stays
        tensor([2., 2., 2., 2.])

    Source: :cite:t:`martin2018`. Taught in *Recurrence without waiting*.
    """
    return _run(_fastest, a, b, h_0, reverse)


def sequential_scan(a: Tensor, b: Tensor, h_0: Tensor | None = None, reverse: bool = False) -> Tensor:
    r"""The states :math:`h_t = a_t \odot h_{t-1} + b_t` by a loop over time: T operations, each waits for the last.

    Its backward pass is the same loop from the other end, so autograd records one operation in place of T.

    Args:
        a: what the state is multiplied by at each step, shape (T, ...).
        b: what is added to it, of the same shape.
        h_0: the state before the first step that is taken, of a step's shape (...); zeros if None.
        reverse: whether to take the steps from the last to the first.

    Returns:
        The states after every step in time order, as from :func:`linear_recurrence`.

    Raises:
        AttributeError, RuntimeError, ValueError: as :func:`linear_recurrence`.

    Examples:
        >>> companion.sequential_scan(torch.full((3,), 0.5), torch.ones(3))
        tensor([1.0000, 1.5000, 1.7500])
        >>> companion.sequential_scan(torch.full((3,), 0.5), torch.ones(3), reverse=True)
        tensor([1.7500, 1.5000, 1.0000])

    Taught in *Recurrence without waiting*.
    """
    return _run(_loop, a, b, h_0, reverse)


def parallel_scan(a: Tensor, b: Tensor, h_0: Tensor | None = None, reverse: bool = False) -> Tensor:
    r"""The states :math:`h_t = a_t \odot h_{t-1} + b_t` by a scan over pairs: about 2 log2 T rounds that wait.

    A step is the pair (a, b). The operator that joins an earlier step and a later one,

    .. math:: (a_1, b_1) \bullet (a_2, b_2) = (a_2 a_1,\; a_2 b_1 + b_2),

    is associative. So the odd-even scheme may join neighbors two by two, which leaves a recurrence of half as many
    steps over the same states; solve that in the same way, and fill the states between with one more step each. The
    work is about three times the loop's, whatever T.

    Args:
        a: what the state is multiplied by at each step, shape (T, ...).
        b: what is added to it, of the same shape.
        h_0: the state before the first step that is taken, of a step's shape (...); zeros if None.
        reverse: whether to take the steps from the last to the first.

    Returns:
        The states after every step in time order, as from :func:`linear_recurrence`.

    Raises:
        AttributeError, RuntimeError, ValueError: as :func:`linear_recurrence`.

    Examples:
        >>> a, b = torch.rand(100, 2, 4), torch.randn(100, 2, 4)  # (T, B, H)
        >>> h = companion.parallel_scan(a, b)
        >>> torch.allclose(h, companion.sequential_scan(a, b), atol=1e-5)
        True

    Source: :cite:t:`blelloch1990`, :cite:t:`martin2018`. Taught in *Recurrence without waiting*.
    """
    return _run(_tree, a, b, h_0, reverse)


def log_space_scan(log_a: Tensor, log_b: Tensor, log_h_0: Tensor | None = None, reverse: bool = False) -> Tensor:
    r"""The same states for positive a, b and h_0, from their logarithms, by two cumulative sums.

    With :math:`A_t = \sum_{s \le t} \log a_s`,

    .. math:: \log h_t = A_t + \log \Big( h_0 + \sum_{s \le t} \exp(\log b_s - A_s) \Big).

    Without logarithms this formula divides by a product that soon underflows; with them it does not. But it takes the
    difference of two sums that grow with T, and a difference keeps the rounding of its parts: the relative error is
    about :math:`|A_t|` times the precision of the dtype. In ``float32`` some four digits are left at
    :math:`A_t = -1000`, which is a thousand steps at :math:`a = 0.37`, and a zero among the factors has no logarithm.
    :func:`parallel_scan` has neither limit. This form is for models that work with logarithms to begin with.

    Args:
        log_a: logarithms of the factors, shape (T, ...), finite.
        log_b: logarithms of what is added, of the same shape, finite.
        log_h_0: logarithm of the state before the first step that is taken, shape (...); None for a state of zeros,
            which has no finite one.
        reverse: whether to take the steps from the last to the first.

    Returns:
        The states themselves (no logarithms) in time order, of the shape of ``log_b``.

    Raises:
        AttributeError, RuntimeError, ValueError: as :func:`linear_recurrence`.

    Examples:
        >>> a, b = torch.full((3,), 0.5), torch.ones(3)
        >>> companion.log_space_scan(a.log(), b.log())
        tensor([1.0000, 1.5000, 1.7500])

    Source: :cite:t:`heinsen2023`; :cite:t:`feng2024`, appendix B. Taught in *Recurrence without waiting*.
    """
    _check(reverse, log_a=log_a, log_b=log_b, log_h_0=log_h_0)
    dtype = log_b.dtype
    log_a, log_b, log_h_0 = _at_least_single(log_a, log_b, log_h_0)
    if reverse:
        log_a, log_b = log_a.flip(0), log_b.flip(0)
    A = log_a.cumsum(0)                                                     # (T, ...)
    terms = log_b - A
    if log_h_0 is None:
        log_sums = terms.logcumsumexp(0)
    else:
        log_sums = torch.cat([log_h_0.unsqueeze(0), terms]).logcumsumexp(0)[1:]
    states = torch.exp(A + log_sums).to(dtype)
    return states.flip(0) if reverse else states


# The two ways. Each writes the states into memory that it is given.

Way = Callable[[Tensor, Tensor, Tensor, bool, Tensor], None]


def _loop(a: Tensor, b: Tensor, h_0: Tensor, reverse: bool, h: Tensor) -> None:
    steps = list(zip(a.unbind(0), b.unbind(0), h.unbind(0), strict=True))  # taken apart once: indexing costs more
    state = h_0
    for a_t, b_t, h_t in reversed(steps) if reverse else steps:
        state = torch.addcmul(b_t, a_t, state, out=h_t)


def _tree(a: Tensor, b: Tensor, h_0: Tensor, reverse: bool, h: Tensor) -> None:
    T, first = len(b), -1 if reverse else 0
    torch.addcmul(b[first], a[first], h_0, out=h[first])
    if T == 1:
        return
    begins, ends, betweens, before_betweens = _places(T, reverse)
    # Each two steps as one: a recurrence of half as many, whose states are those at the ends of the twos.
    _tree(a[ends] * a[begins], torch.addcmul(b[ends], a[ends], b[begins]), h_0, reverse, h[ends])
    torch.addcmul(b[betweens], a[betweens], h[before_betweens], out=h[betweens])


def _places(T: int, reverse: bool) -> tuple[slice, slice, slice, slice]:
    """Where the twos begin and end; where the steps between the ends are, but for the very first, and what is before.

    As numbers in the order in which steps are taken: 0, 2, ...; 1, 3, ...; 2, 4, ...; 1, 3, ....
    """
    if not reverse:
        return slice(0, T - 1, 2), slice(1, T, 2), slice(2, T, 2), slice(1, T - 1, 2)
    odd = T % 2
    return slice(odd + 1, T, 2), slice(odd, T - 1, 2), slice(1 - odd, T - 2, 2), slice(2 - odd, T - 1, 2)


def _fastest(a: Tensor, b: Tensor, h_0: Tensor, reverse: bool, h: Tensor) -> None:
    # One device's loop is held up by the processor that starts its operations, the other's by the numbers in a step.
    narrow = b.device.type != "cpu" or (h_0.numel() <= NARROW_STEP and len(b) >= LONG_SEQUENCE)
    (_tree if narrow else _loop)(a, b, h_0, reverse, h)


# Their plain forms, where single operations must be seen


def _plain_loop(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    states = []
    for a_t, b_t in zip(a.unbind(0), b.unbind(0), strict=True):
        h = torch.addcmul(b_t, a_t, h)
        states.append(h)
    return torch.stack(states)


def _plain_tree(a: Tensor, b: Tensor, h_0: Tensor) -> Tensor:
    T, first = len(b), torch.addcmul(b[:1], a[:1], h_0.unsqueeze(0))
    if T == 1:
        return first
    ends = _plain_tree(a[1::2] * a[:-1:2], torch.addcmul(b[1::2], a[1::2], b[:-1:2]), h_0)
    betweens = torch.cat([first, torch.addcmul(b[2::2], a[2::2], ends[: (T - 1) // 2])])
    pairs = torch.stack([betweens[: T // 2], ends], 1).flatten(0, 1)
    return pairs if T % 2 == 0 else torch.cat([pairs, betweens[-1:]])


# What they share


def _run(way: Way, a: Tensor, b: Tensor, h_0: Tensor | None, reverse: bool) -> Tensor:
    _check(reverse, a=a, b=b, h_0=h_0)
    dtype = b.dtype
    h_0 = b.new_zeros(b.shape[1:]) if h_0 is None else h_0
    a, b, h_0 = _at_least_single(a, b, h_0)
    if not (torch.compiler.is_compiling() or is_being_transformed()):
        return _Recurrence.apply(way, reverse, a, b, h_0).to(dtype)
    if reverse:
        a, b = a.flip(0), b.flip(0)
    h = (_plain_loop if way is _loop else _plain_tree)(a, b, h_0)  # to a compiler, T operations are many
    return (h.flip(0) if reverse else h).to(dtype)


class _Recurrence(Function):
    """A linear recurrence whose backward pass is one from the other end.

    The gradient of a state is what comes in from outside, and what comes from the next state, times that one's a.
    """

    @staticmethod
    def forward(ctx: Any, way: Way, reverse: bool, a: Tensor, b: Tensor, h_0: Tensor) -> Tensor:
        h = torch.empty_like(b, memory_format=torch.contiguous_format)
        way(a, b, h_0, reverse, h)
        ctx.way, ctx.reverse = way, reverse
        ctx.save_for_backward(a, h_0, h)
        return h

    @staticmethod
    def backward(ctx: Any, d_h: Tensor) -> tuple[Tensor | None, ...]:
        # Made of differentiable operations, this recurrence among them, so that it can be differentiated in turn.
        a, h_0, h = ctx.saved_tensors
        if ctx.reverse:
            later, earlier, last, first = slice(0, -1), slice(1, None), 0, -1
        else:
            later, earlier, last, first = slice(1, None), slice(0, -1), -1, 0
        d = d_h
        if len(h) > 1:
            earlier_d = _Recurrence.apply(ctx.way, not ctx.reverse, a[later], d_h[earlier], d_h[last])
            d = _in_time_order(ctx.reverse, earlier_d, d_h[last].unsqueeze(0))
        d_a = d_h_0 = None
        if ctx.needs_input_grad[2]:
            d_a = d * _in_time_order(ctx.reverse, h_0.unsqueeze(0), h[earlier])
        if ctx.needs_input_grad[4]:
            d_h_0 = a[first] * d[first]
        return None, None, d_a, d, d_h_0


def _in_time_order(reverse: bool, taken_first: Tensor, taken_later: Tensor) -> Tensor:
    return torch.cat([taken_later, taken_first] if reverse else [taken_first, taken_later])


def _at_least_single(*tensors: Tensor | None) -> list[Tensor | None]:
    """In float32 what is half as wide: a sum over time needs the digits."""
    narrow = (torch.float16, torch.bfloat16)
    return [tensor.float() if tensor is not None and tensor.dtype in narrow else tensor for tensor in tensors]


def _check(reverse: Any, **arguments: Any) -> None:
    """Of a, b and h_0 by their names: the same dtype and device, and shapes that fit."""
    (name_a, a), (name_b, b), (name_h, h_0) = arguments.items()
    check_bool("reverse", reverse)
    for name, value in arguments.items():
        if value is None and name == name_h:
            continue
        check_tensor(name, value, "a tensor")
        if not value.is_floating_point():
            raise DtypeMismatchError(f"{name} should be of a floating-point dtype, got {value.dtype}")
        if value.dtype != a.dtype:
            raise DtypeMismatchError(f"{name} should have the dtype of {name_a}, {a.dtype}, got {value.dtype}")
        if value.device != a.device:
            raise RuntimeError(f"{name} should be on the device of {name_a}, {a.device}, got {value.device}")
    if a.dim() == 0 or len(a) == 0:
        raise RuntimeError(f"{name_a} should have shape (T, ...) with at least one step, got {tuple(a.shape)}")
    if b.shape != a.shape:
        raise RuntimeError(f"{name_b} should have the shape of {name_a}, {tuple(a.shape)}, got {tuple(b.shape)}")
    if h_0 is not None and h_0.shape != a.shape[1:]:
        raise StateError(f"{name_h} should have a step's shape {tuple(a.shape[1:])}, got {tuple(h_0.shape)}")


# The layers


class _MinimalLayer(RecurrentLayer):
    """What the two share: gates and candidate come from the input alone, so the state obeys a linear recurrence."""

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
        if proj_size is not None:
            raise ValueError(f"proj_size is an argument of LSTM only, got proj_size={proj_size!r}")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the state is multiplied by and what is added to it, a and b, from the projected input."""
        raise TypeError(f"{type(self).__name__} should define coefficients(x)")

    def step(self, x: Tensor, state: State, *rest: Tensor | None) -> State:
        """One time step, from the projected input and the state to the next state."""
        a, b = self.coefficients(x)
        return (torch.addcmul(b, a, state[0]),)

    def _kinds(self, features: int) -> dict[str, tuple[int, ...]]:
        rows = self.num_gates * self.hidden_size
        return {"weight_ih": (rows, features)} | ({"bias_ih": (rows,)} if self.bias else {})

    def _run(self, x: Tensor, state: State, batch_sizes: Tensor | None = None) -> tuple[Tensor, State]:
        output, final = super()._run(x, state, batch_sizes)
        # The recurrence needs its states for the backward pass, and a caller may write into the output.
        return output.clone() if output.requires_grad else output, final

    def _run_direction(
        self, x: Tensor, state: State, layer: int, direction: int, batch_sizes: Tensor | None
    ) -> tuple[Tensor, State]:
        weight_ih, *bias_ih = (getattr(self, name) for name in self._weight_names(layer, direction))
        a, b = self.coefficients(F.linear(x, weight_ih, *bias_ih))                      # (T, B, H) each
        if batch_sizes is not None:  # in the padding, the state stays as it is
            a, lengths = pad_packed_sequence(PackedSequence(a, batch_sizes), padding_value=1)
            b, _ = pad_packed_sequence(PackedSequence(b, batch_sizes))
        reverse = direction == 1
        h = linear_recurrence(a, b, state[0].to(b.dtype), reverse)                      # (T, B, H)
        final = h[0 if reverse else -1]
        return h if batch_sizes is None else pack_padded_sequence(h, lengths).data, (final,)


class MinGRU(_MinimalLayer):
    r"""The minimal GRU, with the interface of :class:`torch.nn.GRU`: its state can be scanned.

    .. math::

        z_t &= \sigma(W_{xz} x_t + b_z) \\
        n_t &= W_{xn} x_t + b_n \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot n_t

    Against a GRU, the gate and the candidate do not look at the state, the reset gate is gone, and so is the tanh.
    **The gate is that of the paper: near 1 it takes the new state.** In :class:`torch.nn.GRU` it is the other way
    round. The candidate is linear, as in the paper's section 3. The paper's code has a positive function of it in
    addition, which it needs to compute with logarithms; the scans here do not. To have it, or another candidate,
    define :meth:`coefficients` in a subclass.

    Args:
        input_size: number of features D of the input at each time step.
        hidden_size: number of hidden units H.
        num_layers: number L of layers stacked, each reading the outputs of the one below.
        bias: whether to add ``bias_ih``.
        batch_first: whether input and output are (B, T, features) instead of (T, B, features). States never change.
        dropout: probability to zero an element of the outputs of every layer but the last, in training.
        bidirectional: whether to read the sequence from its end as well; outputs of both directions are concatenated.
        device: device of the weights.
        dtype: dtype of the weights.
        proj_size: refused, as by nn's GRU.

    Shapes, errors: see :meth:`RecurrentLayer.forward <companion.layers.RecurrentLayer.forward>`. ``weight_ih_l0`` has
    shape (2H, D), rows z, n, and ``bias_ih_l0`` (2H). There is no ``weight_hh`` and no ``bias_hh``.

    Examples:
        >>> layer = companion.MinGRU(3, 4)
        >>> output, h_n = layer(torch.randn(35, 2, 3))  # (T, B, D)
        >>> output.shape, h_n.shape
        (torch.Size([35, 2, 4]), torch.Size([1, 2, 4]))
        >>> [(name, tuple(weight.shape)) for name, weight in layer.named_parameters()]
        [('weight_ih_l0', (8, 3)), ('bias_ih_l0', (8,))]

    Source: :cite:t:`feng2024`, section 3. Taught in *Recurrence without waiting*.
    """

    num_gates = 2
    row_names = ("z", "n")

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """1 - z, and z times the candidate; ``x`` is the projected input, shape (..., 2H)."""
        z, n = x.chunk(2, -1)
        return torch.sigmoid(-z), torch.sigmoid(z) * n


class MinLSTM(_MinimalLayer):
    r"""The minimal LSTM, with the interface of :class:`torch.nn.GRU`: its state can be scanned.

    .. math::

        f_t, i_t &= \sigma(W_{xf} x_t + b_f),\; \sigma(W_{xi} x_t + b_i) \\
        f'_t, i'_t &= \frac{f_t}{f_t + i_t},\; \frac{i_t}{f_t + i_t} \\
        g_t &= W_{xg} x_t + b_g \\
        h_t &= f'_t \odot h_{t-1} + i'_t \odot g_t

    Against an LSTM, gates and candidate do not look at the state, the tanhs are gone, and so is the output gate, and
    with it the difference between h and c: the state is one tensor and the output, as in a GRU. The two gates are
    scaled to sum to 1, so that the size of the state does not depend on the length of the sequence. The candidate is
    linear, as in :class:`MinGRU`.

    Args:
        input_size: number of features D of the input at each time step.
        hidden_size: number of hidden units H.
        num_layers: number L of layers stacked, each reading the outputs of the one below.
        bias: whether to add ``bias_ih``.
        batch_first: whether input and output are (B, T, features) instead of (T, B, features). States never change.
        dropout: probability to zero an element of the outputs of every layer but the last, in training.
        bidirectional: whether to read the sequence from its end as well; outputs of both directions are concatenated.
        device: device of the weights.
        dtype: dtype of the weights.
        proj_size: refused, as by nn's GRU.

    Shapes, errors: see :meth:`RecurrentLayer.forward <companion.layers.RecurrentLayer.forward>`. ``weight_ih_l0`` has
    shape (3H, D), rows i, f, g, and ``bias_ih_l0`` (3H). There is no ``weight_hh`` and no ``bias_hh``.

    Examples:
        >>> layer = companion.MinLSTM(3, 4)
        >>> output, h_n = layer(torch.randn(35, 2, 3))  # (T, B, D)
        >>> output.shape, h_n.shape
        (torch.Size([35, 2, 4]), torch.Size([1, 2, 4]))
        >>> [(name, tuple(weight.shape)) for name, weight in layer.named_parameters()]
        [('weight_ih_l0', (12, 3)), ('bias_ih_l0', (12,))]

    Source: :cite:t:`feng2024`, section 3. Taught in *Recurrence without waiting*.
    """

    num_gates = 3
    row_names = ("i", "f", "g")

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f', and i' times the candidate; ``x`` is the projected input, shape (..., 3H)."""
        i, f, g = x.chunk(3, -1)
        keep = F.logsigmoid(f) - F.logsigmoid(i)    # f / (f + i) is the sigmoid of log f - log i, if both vanish, too
        return torch.sigmoid(keep), torch.sigmoid(-keep) * g
