"""SRU, the simple recurrent unit, with the interface of torch.nn's layers; and SRUCell, one step of it.

torch.nn has no SRU. This one takes the arguments, input forms and states of :class:`torch.nn.GRU` and computes what the
package of the paper's authors computes. A checkpoint of theirs is read by :meth:`SRU.from_official`.

Shapes: B batch, T time, D input features (``input_size``), H hidden units (``hidden_size``), L layers
(``num_layers``), and S = 2 directions if bidirectional, else 1.
"""

import math
import numbers
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from companion.kernels import sru_recurrence
from companion.layers import RecurrentLayer
from companion.steps import sru_step
from companion.time_loop import State
from companion.validation import check_bool, check_cell_size, check_features, check_state, check_tensor

__all__ = ["SRU", "SRUCell"]


class SRU(RecurrentLayer):
    r"""The simple recurrent unit, with the interface of :class:`torch.nn.GRU`.

    .. math::

        f_t &= \sigma(W_f x_t + v_f \odot c_{t-1} + b_f) \\
        r_t &= \sigma(W_r x_t + v_r \odot c_{t-1} + b_r) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot W x_t \\
        h_t &= r_t \odot g(c_t) + (1 - r_t) \odot \tilde{x}_t

    The highway's input :math:`\tilde{x}_t` is :math:`\alpha x_t` in a layer whose input is as wide as its output,
    D = S * H. Elsewhere it is :math:`W_h x_t`, a fourth product, and :math:`\alpha` is only a factor of the first
    :math:`W_h`. :math:`g` is the identity, or the tanh.

    Args:
        input_size: number of features D of the input at each time step.
        hidden_size: number of hidden units H.
        num_layers: number L of layers stacked, each reading the outputs of the one below.
        bias: whether the gates have biases.
        batch_first: whether input and output are (B, T, features) instead of (T, B, features). States never change.
        dropout: probability to drop a unit of every layer but the last, in training. Not as in nn: there is one mask
            for each sequence, the same at every step, and it multiplies the reset gate. A dropped unit gives the
            highway's input instead of zero; the others' share of the state is scaled by 1 / (1 - dropout).
        bidirectional: whether to read the sequence from its end as well; outputs of both directions are concatenated.
        projection_size: size P of a projection of the input, ahead of the products with ``weight_ih``; 0 means none.
            It acts in the layers where it saves something: P is less than the input's width and less than S * H.
        highway_bias: the reset gate's first bias. Below zero, a new layer passes on its input rather than its state.
        rescale: whether :math:`\alpha = \sqrt{1 + 2 \exp(\text{highway\_bias})}`, which keeps the variance of a deep
            stack's outputs at the start, else :math:`\alpha = 1`.
        layer_norm: whether every layer normalizes its input; what goes to the highway unprojected stays as it is.
        normalize_after: whether it normalizes its output instead.
        use_tanh: whether the state is shown through a tanh.
        device: device of the weights.
        dtype: dtype of the weights.
        proj_size: refused, as by nn's GRU; the projection here is one of the input, ``projection_size``.

    Shapes, errors: see :meth:`forward`. In every layer ``weight_ih`` has the rows candidate, forget, reset and, where
    D differs from S * H, highway: (3H or 4H, D), or (3H or 4H, P) behind a projection; ``weight_c`` holds :math:`v_f`
    and :math:`v_r`: (2H); ``bias_ih`` holds :math:`b_f` and :math:`b_r`: (2H). ``weight_proj`` has (P, D), and
    ``layer_norm_weight`` and ``layer_norm_bias`` (D), or (S * H) after. Both directions share these; the other weights
    exist once more for the reverse direction, with ``_reverse``.

    Examples:
        >>> layer = companion.SRU(3, 4, num_layers=2)
        >>> output, c_n = layer(torch.randn(35, 2, 3))  # (T, B, D)
        >>> output.shape, c_n.shape  # (T, B, H), (L, B, H)
        (torch.Size([35, 2, 4]), torch.Size([2, 2, 4]))
        >>> layer.weight_ih_l0.shape, layer.weight_ih_l1.shape  # with highway rows where D is not H
        (torch.Size([16, 3]), torch.Size([12, 4]))

    Source: :cite:t:`lei2018`. Taught in *The SRU, twice*.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        projection_size: int = 0,
        highway_bias: float = 0.0,
        rescale: bool = False,
        layer_norm: bool = False,
        normalize_after: bool = False,
        use_tanh: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        proj_size: None = None,
    ) -> None:
        if proj_size is not None:
            raise ValueError(f"proj_size is an argument of LSTM only, SRU has projection_size; got {proj_size!r}")
        own = dict(rescale=rescale, layer_norm=layer_norm, normalize_after=normalize_after, use_tanh=use_tanh)
        for name, value in own.items():
            check_bool(name, value)
        if normalize_after and not layer_norm:
            raise ValueError("normalize_after=True says where layer_norm acts, but layer_norm is False")
        if not isinstance(projection_size, int):
            raise TypeError(f"projection_size should be an int, got {projection_size!r}")
        _check_highway_bias(highway_bias, bias)
        # The shapes of the weights hang on these, and the constructor above makes the weights.
        self.projection_size = projection_size
        self.highway_bias, self.rescale = float(highway_bias), rescale
        self.layer_norm, self.normalize_after, self.use_tanh = layer_norm, normalize_after, use_tanh
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )
        if projection_size and not any(self._projects(layer) for layer in range(num_layers)):
            raise ValueError(
                "projection_size should be 0 (none), or positive and less than both the input's width "
                f"({input_size} features in the first layer) and the output's ({self._width}), got {projection_size}"
            )

    @classmethod
    def from_official(
        cls,
        state_dict: Mapping[str, Tensor],
        *,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        normalize_after: bool = False,
        use_tanh: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> "SRU":
        """Make the layer that a checkpoint of the authors' package holds.

        Sizes, number of layers, projection, layer norm and rescaling are read from it. What the numbers cannot tell
        are the arguments. Their package keeps a state of shape (L, B, S * H); ours is nn's, (S * L, B, H).

        Args:
            state_dict: the ``state_dict()`` of the authors' ``SRU``, with names such as ``rnn_lst.0.weight``.
            batch_first: as for :class:`SRU`; their layer has the time first.
            dropout: as for :class:`SRU`, for training on.
            bidirectional: whether the checkpoint is that of a bidirectional layer.
            normalize_after: whether it was made with that argument.
            use_tanh: whether it was made with that argument.
            device: device of the weights; by default that of the checkpoint's.
            dtype: dtype of the weights; by default that of the checkpoint's.

        Returns:
            A new layer with the checkpoint's weights, in training mode.

        Raises:
            ValueError: this is not the state_dict of such a layer; the message names the entry.
        """
        layers = _official_layers(state_dict)
        first = layers[0]
        num_directions = 2 if bidirectional else 1
        hidden_size, odd = divmod(first["weight_c"].numel(), 2 * num_directions)
        if odd:
            raise ValueError(
                f"bidirectional=True needs 4 * hidden_size numbers in rnn_lst.0.weight_c, got {2 * hidden_size + 1} * 2"
            )
        scale = float(first["scale_x"]) if "scale_x" in first else 1.0
        layer = cls(
            first.get("weight_proj", first["weight"]).shape[0],
            hidden_size,
            len(layers),
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            projection_size=max(part["weight_proj"].shape[1] if "weight_proj" in part else 0 for part in layers),
            highway_bias=_highway_bias_of(scale) if scale > 1 else 0.0,
            rescale=scale > 1,
            layer_norm="layer_norm.weight" in first,
            normalize_after=normalize_after,
            use_tanh=use_tanh,
            device=first["weight"].device if device is None else device,
            dtype=first["weight"].dtype if dtype is None else dtype,
        )
        layer._load_official(layers)
        return layer

    def _load_official(self, layers: list[dict[str, Tensor]]) -> None:
        """Bring the authors' matrices, transposed and with their blocks interleaved, into rows block by block."""
        S, H = self._num_directions, self.hidden_size
        expected, weights = self.state_dict(), {}
        for number, part in enumerate(layers):
            for entry in ("weight_c", "bias"):
                if part[entry].numel() != 2 * S * H:
                    raise ValueError(
                        f"rnn_lst.{number}.{entry} should hold {2 * S * H} numbers, got {part[entry].numel()}"
                    )
            blocks = part["weight"].numel() // (part["weight"].shape[0] * S * H)
            if part["weight"].shape[1] != blocks * S * H:
                raise ValueError(
                    f"rnn_lst.{number}.weight should have a multiple of {S * H} columns, got "
                    f"shape {tuple(part['weight'].shape)}"
                )
            by_direction = {
                "weight_ih": part["weight"].view(-1, S, H, blocks).permute(1, 3, 2, 0).flatten(1, 2),  # (S, kH, D)
                "weight_c": part["weight_c"].view(2, S, H).transpose(0, 1).flatten(1),                 # (S, 2H)
                "bias_ih": part["bias"].view(2, S, H).transpose(0, 1).flatten(1),
            }
            for kind, both in by_direction.items():
                for direction, weight in enumerate(both):
                    weights[self._name(kind, number, direction)] = weight
            if "weight_proj" in part:
                weights[f"weight_proj_l{number}"] = part["weight_proj"].t()
            for kind in ("weight", "bias"):
                if f"layer_norm.{kind}" in part:
                    weights[f"layer_norm_{kind}_l{number}"] = part[f"layer_norm.{kind}"]
        shapes = [{name: tuple(weight.shape) for name, weight in both.items()} for both in (weights, expected)]
        for name in shapes[0].keys() | shapes[1].keys():
            found, wanted = (by_name.get(name, "nothing") for by_name in shapes)
            if found != wanted:
                raise ValueError(f"state_dict should hold {wanted} for {name} (an SRU of {self}), got {found}")
        self.load_state_dict(weights)

    # Sizes

    @property
    def alpha(self) -> float:
        """The factor of the highway's input where that is the layer's own; of the first highway rows elsewhere."""
        return math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0

    @property
    def _width(self) -> int:
        return self._num_directions * self.hidden_size

    def _features(self, layer: int) -> int:
        return self.input_size if layer == 0 else self._width

    def _projects(self, layer: int) -> bool:
        return 0 < self.projection_size < min(self._features(layer), self._width)

    # The weights

    @staticmethod
    def _name(kind: str, layer: int, direction: int) -> str:
        return f"{kind}_l{layer}" + "_reverse" * direction

    def _weight(self, kind: str, layer: int, direction: int = 0) -> Tensor | None:
        return getattr(self, self._name(kind, layer, direction), None)

    def _weight_names(self, layer: int, direction: int) -> list[str]:
        kinds = ["weight_ih", "weight_c"] + ["bias_ih"] * self.bias
        if direction == 0:  # these serve both directions
            kinds += ["weight_proj"] * self._projects(layer)
            kinds += ["layer_norm_weight", "layer_norm_bias"] * self.layer_norm
        return [self._name(kind, layer, direction) for kind in kinds]

    def _weight_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = {}
        for layer in range(self.num_layers):
            features, H = self._features(layer), self.hidden_size
            normalized = self._width if self.normalize_after else features
            by_kind = {
                "weight_ih": (
                    (3 if features == self._width else 4) * H,
                    self.projection_size if self._projects(layer) else features,
                ),
                "weight_c": (2 * H,),
                "bias_ih": (2 * H,),
                "weight_proj": (self.projection_size, features),
                "layer_norm_weight": (normalized,),
                "layer_norm_bias": (normalized,),
            }
            for direction in range(self._num_directions):
                for name in self._weight_names(layer, direction):
                    shapes[name] = by_kind[name.split("_l" + str(layer))[0]]
        return shapes

    def reset_parameters(self) -> None:
        """Draw new weights, as the authors' package does.

        They are uniform, of variance 1 / D or, behind a projection, 1 / P. The rows of the gates and ``weight_c``, of
        variance 1 at first, are scaled by sqrt(1/2), so that a gate's sum has variance 1; the candidate's rows by
        sqrt(1 - dropout), and all rows by 0.1 with layer norm. The reset gate starts at ``highway_bias``.
        """
        H = self.hidden_size
        with torch.no_grad():
            for layer in range(self.num_layers):
                dropped = self.dropout if layer < self.num_layers - 1 else 0.0
                for direction in range(self._num_directions):
                    weight = self._weight("weight_ih", layer, direction)
                    _draw_weight(weight, H, self.alpha)
                    weight[:H] *= math.sqrt(1 - dropped)
                    weight *= 0.1 if self.layer_norm else 1
                    _draw_weight_c(self._weight("weight_c", layer, direction))
                    if self.bias:
                        _set_bias(self._weight("bias_ih", layer, direction), self.highway_bias)
                if self._projects(layer):
                    _draw_uniform(self._weight("weight_proj", layer))
                if self.layer_norm:
                    nn.init.ones_(self._weight("layer_norm_weight", layer))
                    nn.init.zeros_(self._weight("layer_norm_bias", layer))

    # The forward pass

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Run the layer over a sequence.

        Args:
            input: shape (T, B, D), or (B, T, D) if ``batch_first``, or (T, D) for one sequence without a batch, or a
                :class:`~torch.nn.utils.rnn.PackedSequence`.
            hx: the initial state c_0 of shape (S * L, B, H), without B for an input without; zeros if None.

        Returns:
            The output h in the form of the input, with S * H features, and the final state c_n in the form of ``hx``.
            The state is what goes on in time; unlike a GRU's, it is not the last output.

        Raises:
            ValueError: the input is neither 2-D nor 3-D, or has another dtype than the weights.
            RuntimeError: a shape or device does not fit; the message names the argument.
            AttributeError: the input or the state is not a tensor.
        """
        return super().forward(input, hx)

    def _run(self, x: Tensor, state: State, batch_sizes: Tensor | None = None) -> tuple[Tensor, State]:
        """Stack the layers. x: (T, B, D), or packed data, which is padded on the way; state: (S * L, B, H)."""
        if batch_sizes is None:
            return self._run_padded(x, state[0], None)
        x, lengths = pad_packed_sequence(PackedSequence(x, batch_sizes))
        x, state = self._run_padded(x, state[0], lengths.to(x.device))
        return pack_padded_sequence(x, lengths).data, state

    def _run_padded(self, x: Tensor, c_0: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        finals = []
        for layer in range(self.num_layers):
            initial = c_0[layer * self._num_directions : (layer + 1) * self._num_directions]
            x, final = self._run_layer(x, initial, layer, lengths)
            finals += final
        return x, (torch.stack(finals),)

    def _run_layer(
        self, x: Tensor, c_0: Tensor, layer: int, lengths: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """One layer in all its directions: every product for all time steps at once, then the recurrence."""
        norm = [self._weight(f"layer_norm_{kind}", layer) for kind in ("weight", "bias")]
        source = x
        if self.layer_norm and not self.normalize_after:
            source = F.layer_norm(x, x.shape[-1:], *norm)
        if self._projects(layer):
            source = F.linear(source, self._weight("weight_proj", layer))                   # (T, B, P)
        outputs, finals = [], []
        own_input = x.chunk(self._num_directions, -1) if self._features(layer) == self._width else None
        for direction in range(self._num_directions):
            U = F.linear(source, self._weight("weight_ih", layer, direction))               # (T, B, k * H)
            h, c = sru_recurrence(
                U,
                None if own_input is None else own_input[direction],
                self._weight("weight_c", layer, direction),
                self._weight("bias_ih", layer, direction),
                c_0[direction],
                self._dropout_mask(U, layer),
                lengths,
                self.alpha,
                self.use_tanh,
                reverse=direction == 1,
            )
            outputs.append(h)
            finals.append(c)
        x = torch.cat(outputs, -1) if self.bidirectional else outputs[0]                    # (T, B, S * H)
        return F.layer_norm(x, x.shape[-1:], *norm) if self.normalize_after else x, finals

    def _dropout_mask(self, U: Tensor, layer: int) -> Tensor | None:
        """Zeros and 1 / (1 - dropout)s of shape (B, H), for all steps; None where nothing is dropped."""
        if not self.training or self.dropout == 0 or layer == self.num_layers - 1:
            return None
        return F.dropout(U.new_ones(U.shape[1], self.hidden_size), self.dropout)

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, as nn prints them."""
        defaults = dict(
            projection_size=0, highway_bias=0.0, rescale=False, layer_norm=False, normalize_after=False, use_tanh=False
        )
        changed = [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join([super().extra_repr(), *changed])


class SRUCell(nn.Module):
    """One step of the SRU as a module, in the manner of :class:`torch.nn.LSTMCell`.

    Args:
        input_size: number of features D of the input.
        hidden_size: number of hidden units H.
        bias: whether the gates have biases.
        highway_bias: the reset gate's first bias.
        rescale: whether the highway's input is scaled by alpha, as in :class:`SRU`.
        use_tanh: whether the state is shown through a tanh.
        device: device of the weights.
        dtype: dtype of the weights.

    Its weights are ``weight_ih``, ``weight_c`` and ``bias_ih``, those of a layer of :class:`SRU`.

    Examples:
        >>> cell, x, c = companion.SRUCell(3, 4), torch.randn(2, 3), torch.randn(2, 4)
        >>> h, c_next = cell(x, c)
        >>> h.shape, c_next.shape
        (torch.Size([2, 4]), torch.Size([2, 4]))

    Equations and source: :func:`companion.steps.sru_step`. Taught in *The SRU, twice*.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        highway_bias: float = 0.0,
        rescale: bool = False,
        use_tanh: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        for name, value in dict(input_size=input_size, hidden_size=hidden_size).items():
            check_cell_size(name, value)
        for name, value in dict(rescale=rescale, use_tanh=use_tanh).items():
            check_bool(name, value)
        _check_highway_bias(highway_bias, bias)
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.highway_bias, self.rescale, self.use_tanh = float(highway_bias), rescale, use_tanh
        rows = (3 if input_size == hidden_size else 4) * hidden_size
        shapes = dict(weight_ih=(rows, input_size), weight_c=(2 * hidden_size,), bias_ih=(2 * hidden_size,))
        for name, shape in shapes.items():
            absent = name == "bias_ih" and not bias
            weight = None if absent else nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, weight)
        self.reset_parameters()

    @property
    def alpha(self) -> float:
        """The factor of the highway's input, as in :class:`SRU`."""
        return math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0

    def reset_parameters(self) -> None:
        """Draw new weights, as :meth:`SRU.reset_parameters` does."""
        with torch.no_grad():
            _draw_weight(self.weight_ih, self.hidden_size, self.alpha)
            _draw_weight_c(self.weight_c)
            if self.bias_ih is not None:
                _set_bias(self.bias_ih, self.highway_bias)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take one step.

        Args:
            input: shape (B, D), or (D) without a batch.
            hx: the state c before the step, shape (B, H) or (H); zeros if None.

        Returns:
            The output h and the state c after the step, in the form of ``hx``. Only c goes into the next step.

        Raises:
            ValueError: the input or the state is neither 1-D nor 2-D.
            RuntimeError: a shape or dtype does not fit; the message names the argument.
            AttributeError: the input or the state is not a tensor.
        """
        for name, value in dict(input=input, **({} if hx is None else {"hx": hx})).items():
            check_tensor(name, value, "a tensor")
            if value.dim() not in (1, 2):
                raise ValueError(f"{name} should be 1-D or 2-D, got {value.dim()}-D of shape {tuple(value.shape)}")
        check_features(input, self.input_size, self.weight_ih)
        shape = (*input.shape[:-1], self.hidden_size)
        if hx is None:
            hx = input.new_zeros(shape)
        check_state("hx", hx, shape, self.weight_ih)
        highway = self.alpha * input if self.input_size == self.hidden_size else None
        return sru_step(F.linear(input, self.weight_ih), hx, self.weight_c, self.bias_ih, highway, self.use_tanh)

    def extra_repr(self) -> str:
        """The sizes, and the arguments that are not at their defaults, as nn prints them."""
        defaults = dict(bias=True, highway_bias=0.0, rescale=False, use_tanh=False)
        changed = [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


# First weights. Each of these runs inside torch.no_grad().


def _draw_uniform(weight: Tensor) -> None:
    """Uniform, mean 0, variance 1 / fan-in."""
    bound = math.sqrt(3 / weight.shape[1]) if weight.numel() else 0
    nn.init.uniform_(weight, -bound, bound)


def _draw_weight(weight: Tensor, hidden_size: int, alpha: float) -> None:
    _draw_uniform(weight)
    weight[hidden_size : 3 * hidden_size] *= math.sqrt(0.5)
    weight[3 * hidden_size :] *= alpha


def _draw_weight_c(weight_c: Tensor) -> None:
    bound = math.sqrt(3 * 0.5)
    nn.init.uniform_(weight_c, -bound, bound)


def _set_bias(bias: Tensor, highway_bias: float) -> None:
    forget, reset = bias.chunk(2)
    nn.init.zeros_(forget)
    nn.init.constant_(reset, highway_bias)


def _highway_bias_of(scale: float) -> float:
    """The highway bias whose alpha, in single precision, is this scale; a round one if there is."""
    exact = math.log((scale**2 - 1) / 2)
    near = round(exact, 4)
    rounded = torch.tensor(math.sqrt(1 + 2 * math.exp(near)), dtype=torch.float32)
    return near if float(rounded) == scale else exact


# Wrong arguments


def _check_highway_bias(highway_bias: Any, bias: Any) -> None:
    if isinstance(highway_bias, bool) or not isinstance(highway_bias, numbers.Real):
        raise TypeError(f"highway_bias should be a number, got {highway_bias!r} of type {type(highway_bias).__name__}")
    if not math.isfinite(highway_bias):
        raise ValueError(f"highway_bias should be finite, got {highway_bias}")
    if highway_bias and bias is False:
        raise ValueError(f"highway_bias={highway_bias} needs bias=True: it is the first value of a bias")


OFFICIAL_ENTRIES = {"weight", "weight_c", "bias", "scale_x", "weight_proj", "layer_norm.weight", "layer_norm.bias"}


def _official_layers(state_dict: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The entries of an authors' checkpoint, layer by layer, under their names without the layer's."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict should be a mapping from names to tensors, got a {type(state_dict).__name__}")
    layers: dict[int, dict[str, Tensor]] = {}
    for name, value in state_dict.items():
        prefix, _, rest = name.partition(".")
        number, _, entry = rest.partition(".")
        if prefix != "rnn_lst" or not number.isdigit() or entry not in OFFICIAL_ENTRIES:
            raise ValueError(f"state_dict should hold names such as 'rnn_lst.0.weight', got {name!r}")
        layers.setdefault(int(number), {})[entry] = value
    if sorted(layers) != list(range(len(layers))) or not layers:
        raise ValueError(f"state_dict should hold rnn_lst.0 and those after it, got layers {sorted(layers)}")
    for number, part in layers.items():
        for entry in ("weight", "weight_c", "bias"):
            if entry not in part:
                raise ValueError(f"state_dict should hold 'rnn_lst.{number}.{entry}', which is missing")
    return [layers[number] for number in range(len(layers))]
