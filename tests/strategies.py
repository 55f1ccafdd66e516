"""What the tests of the layers share: twins with equal weights, everything a layer computes, and cases to draw.

A *case* holds all the choices of one comparison. Hypothesis draws it; the same seed then makes the same numbers.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import companion

KINDS = ("RNN", "GRU", "LSTM")
FORMS = ("3-D", "2-D", "packed")

# The same cases on every machine and in every run; with EXPLORE=1 in the environment, new ones each time.
settings.register_profile("book", deadline=None, database=None, derandomize=not os.environ.get("EXPLORE"))
settings.load_profile("book")


@dataclass(frozen=True)
class Case:
    """One layer, one input and one state."""

    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    input_size: int = 3
    hidden_size: int = 4
    form: str = "3-D"  # one of FORMS
    lengths: tuple[int, ...] = (5, 5)  # of the sequences in the batch; all equal unless packed
    with_state: bool = True
    training: bool = True
    seed: int = 0
    dtype: torch.dtype = torch.float64
    device: str = "cpu"

    @property
    def batch_first(self) -> bool:
        return self.arguments.get("batch_first", False)

    @property
    def state_rows(self) -> int:
        return self.arguments.get("num_layers", 1) * (2 if self.arguments.get("bidirectional") else 1)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        width = self.arguments.get("proj_size", 0) or self.hidden_size
        return (width, self.hidden_size) if self.kind == "LSTM" else (width,)


def make_twins(case: Case) -> tuple[nn.Module, nn.Module]:
    """nn's layer with random weights and biases, and ours with the same ones, through a strict state_dict."""
    theirs, ours = (make_layer(library, case) for library in (nn, companion))
    randomize(theirs, case.seed)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def make_layer(library: Any, case: Case) -> nn.Module:
    """The case's layer from one of the two libraries, :mod:`torch.nn` or :mod:`companion`."""
    layer = getattr(library, case.kind)(case.input_size, case.hidden_size, **case.arguments)
    return layer.to(case.device, case.dtype).train(case.training)


def randomize(module: nn.Module, seed: int) -> None:
    """Larger weights and biases than a new layer's, so that a mistake in any of them shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            std = 0.5 if weight.dim() == 1 else 0.7 / math.sqrt(weight.shape[1])
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * std)


def make_input(case: Case) -> Tensor:
    """The padded input that gradients are taken of: (T, B, D), or (B, T, D) if batch_first, or (T, D)."""
    shape = (max(case.lengths), len(case.lengths), case.input_size)  # (T, B, D)
    if case.form == "2-D":
        shape = (shape[0], shape[2])
    elif case.batch_first:
        shape = (shape[1], shape[0], shape[2])
    return _random(shape, torch.Generator().manual_seed(case.seed + 1), case)


def make_state(case: Case) -> tuple[Tensor, ...]:
    """The parts of a random initial state, none if the case has none."""
    if not case.with_state:
        return ()
    generator = torch.Generator().manual_seed(case.seed + 2)
    shape = (case.state_rows,) if case.form == "2-D" else (case.state_rows, len(case.lengths))
    return tuple(_random((*shape, size), generator, case) for size in case.state_sizes)


def _random(shape: tuple[int, ...], generator: torch.Generator, case: Case) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=case.dtype).to(case.device).requires_grad_()


def pack_state(parts: tuple[Tensor, ...]) -> Any:
    """As a layer takes it: None, a tensor or a pair."""
    return parts[0] if len(parts) == 1 else parts or None


def unpack_state(state: Any) -> tuple[Tensor, ...]:
    """As a tuple of tensors, however many there are."""
    return (state,) if isinstance(state, Tensor) else tuple(state)


def pack(case: Case, x: Tensor) -> PackedSequence:
    """A PackedSequence of the case's lengths; sorted ones are declared as such."""
    is_sorted = list(case.lengths) == sorted(case.lengths, reverse=True)
    return pack_padded_sequence(x, torch.tensor(case.lengths), case.batch_first, enforce_sorted=is_sorted)


def run(layer: nn.Module, case: Case, x: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The outputs, padded if the input is to be packed, and the parts of the final state."""
    output, final = layer(pack(case, x) if case.form == "packed" else x, pack_state(parts))
    if case.form == "packed":
        output, _ = pad_packed_sequence(output, case.batch_first)
    return output, unpack_state(final)


def compute(layer: nn.Module, case: Case) -> dict[str, Tensor]:
    """Everything a layer computes: outputs, final states, and the gradient of every input, state and weight."""
    x, state = make_input(case), make_state(case)
    output, final = layer(pack(case, x) if case.form == "packed" else x, pack_state(state))
    results = dict(output._asdict()) if case.form == "packed" else {"output": output}
    results |= {f"final state {number}": part for number, part in enumerate(unpack_state(final))}
    sources = {"input": x} | {f"state {number}": part for number, part in enumerate(state)}
    sources |= dict(layer.named_parameters())
    gradients = torch.autograd.grad(weighted_sum(results.values(), case.seed), list(sources.values()))
    results |= {f"gradient of {name}": gradient for name, gradient in zip(sources, gradients, strict=True)}
    return {name: result.detach() for name, result in results.items() if result is not None}


def weighted_sum(results: Iterable[Tensor | None], seed: int) -> Tensor:
    """One number that depends on every element differently, so that no error in a gradient cancels another."""
    generator = torch.Generator().manual_seed(seed)
    differentiable = [result for result in results if result is not None and result.is_floating_point()]
    weights = [torch.randn(result.shape, generator=generator, dtype=torch.float64) for result in differentiable]
    return sum((result * weight.to(result)).sum() for result, weight in zip(differentiable, weights, strict=True))


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float) -> None:
    """Every named result agrees to ``tolerance``, relative to the largest magnitude in the result if that is > 1."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        actual = ours[name]
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), name
        if actual.numel():
            scale = max(1.0, float(expected.abs().max()))
            difference = float((actual - expected).abs().max())
            assert difference <= tolerance * scale, f"{name} differs by {difference}"


def layer_arguments(kind: str, hidden_size: int) -> st.SearchStrategy[dict[str, Any]]:
    """Every constructor argument of a layer but its sizes, its dtype and dropout."""
    own = {
        "RNN": {"nonlinearity": st.sampled_from(["tanh", "relu"])},
        "GRU": {},
        "LSTM": {"proj_size": st.integers(0, hidden_size - 1)},
    }
    return st.fixed_dictionaries(
        {
            "num_layers": st.integers(1, 3),
            "bias": st.booleans(),
            "batch_first": st.booleans(),
            "bidirectional": st.booleans(),
            **own[kind],
        }
    )


def with_arguments(case: Case, **changes: Any) -> Case:
    """The same case with other arguments of the layer."""
    return replace(case, arguments=case.arguments | changes)


@st.composite
def cases(draw: Any, forms: tuple[str, ...] = FORMS, shortest: int = 1, **fixed: Any) -> Case:
    """A layer of any kind with any arguments, an input in one of the forms, lengths, a state or none, a seed."""
    kind = draw(st.sampled_from(KINDS))
    hidden_size = draw(st.integers(1, 5))
    arguments = draw(layer_arguments(kind, hidden_size))
    training = draw(st.booleans())
    if not training and arguments["num_layers"] > 1:  # with one layer it does nothing, and warns
        arguments["dropout"] = draw(st.floats(0, 1))
    form = draw(st.sampled_from(forms))
    length = st.integers(shortest, 8)
    if form == "packed":
        lengths = tuple(draw(st.lists(length, min_size=1, max_size=4)))
    else:
        lengths = (draw(length),) * (1 if form == "2-D" else draw(st.integers(1, 4)))
    case = Case(
        kind=kind,
        arguments=arguments,
        input_size=draw(st.integers(1, 4)),
        hidden_size=hidden_size,
        form=form,
        lengths=lengths,
        with_state=draw(st.booleans()),
        training=training,
        seed=draw(st.integers(0, 2**32)),
    )
    return replace(case, **fixed)
