"""Checks of *A layer of your own*: what every recurrent layer has to do, and the exercises' layers.

:func:`check_layer` knows no equation. It tries what has to hold whatever a step computes, on any class with the
interface of nn's layers, nn's own included. The others compare an exercise's layer with a right one, and then run it.
"""

import io
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from companion.checks.compare import compare, difference
from companion.checks.inputs import random_numbers
from companion.layers import LSTM, RecurrentLayer

__all__ = [
    "check_backward",
    "check_clockwork_rnn",
    "check_fast_grnn",
    "check_from_d2l",
    "check_layer",
    "check_leaky_rnn",
    "check_norm_rnn",
    "check_peephole_lstm",
    "check_ugrnn",
]

D, H, T, B = 2, 3, 5, 4  # all different: a mix-up of two dimensions raises an error, or shows


def _random(*shape: int, seed: int = 0) -> Tensor:
    """In double precision, and other numbers for each seed whatever the shapes."""
    return random_numbers(*shape, seed=97 * seed).double()


class _Wrong(Exception):
    """A property does not hold; the message says how."""


def _expect_equal(found: Any, expected: Any, words: str) -> None:
    if differs := difference(found, expected, 1e-8):
        raise _Wrong(f"{words}: {differs}")


class _Trial:
    """Makes layers of one class, with weights that show mistakes, and feeds them."""

    def __init__(self, layer_class: Callable, arguments: dict[str, Any]) -> None:
        self.layer_class, self.arguments = layer_class, arguments

    def make(self, seed: int = 0, **more: Any) -> nn.Module:
        """A layer in evaluation mode and double precision; the reader's random numbers stay where they are."""
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                layer = self.layer_class(**({"input_size": D, "hidden_size": H} | self.arguments | more))
        except TypeError as error:
            if more:
                raise _Wrong(f"it takes no {_as_arguments(more)}: TypeError: {error}") from error
            raise
        with torch.no_grad():
            for number, weight in enumerate(layer.parameters()):
                weight.copy_(_random(*weight.shape, seed=seed + number + 1) * 0.6)
        return layer.double().eval()

    def input(self, layer: nn.Module, seed: int = 0) -> Tensor:
        """Shape (T, B, D)."""
        return _random(T, B, layer.input_size, seed=seed)

    def state(self, layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        """Parts of a random state, each (S * L, B, ·)."""
        with torch.no_grad():
            shapes = [part.shape for part in _parts(layer(x)[1])]
        return tuple(_random(*shape, seed=number + 1) for number, shape in enumerate(shapes))


def _parts(state: Any) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _whole(parts: Any) -> Any:
    """As a layer takes it: one tensor, or a tuple of several."""
    parts = tuple(parts)
    return parts[0] if len(parts) == 1 else parts


def _as_arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


# The properties


def _check_shapes(trial: _Trial) -> None:
    layer = trial.make()
    _watch_step(layer)
    x = trial.input(layer)
    for batch in (B, 1):
        output, state = layer(x[:, :batch])
        _expect_equal(tuple(output.shape[:2]), (T, batch), "the output's first two sizes, for input (T, B, D)")
        sizes = [tuple(part.shape[:2]) for part in _parts(state)]
        _expect_equal(sizes, [(1, batch)] * len(sizes), "the first two sizes of each part of the state")
    with _saying("without bias"):
        trial.make(bias=False)(x)


def _watch_step(layer: nn.Module) -> None:
    """Look at what every step returns: a wrong form often goes on unnoticed for a while."""
    if not isinstance(layer, RecurrentLayer):
        return
    step, count = layer.step, len(layer.state_sizes)

    def watched(x: Tensor, state: tuple[Tensor, ...], *weights: Tensor | None) -> tuple[Tensor, ...]:
        found = step(x, state, *weights)
        if not isinstance(found, tuple):
            tensors = f"{count} tensor{'s' * (count > 1)}"
            raise _Wrong(f"step should return a tuple of {tensors}, got a {type(found).__name__}")
        sizes = [tuple(part.shape) for part in found]
        _expect_equal(sizes, [(len(x), size) for size in layer.state_sizes], "the shapes that step returns")
        return found

    layer.step = watched


@contextmanager
def _saying(where: str) -> Iterator[None]:
    """Put into a message where it happened."""
    try:
        yield
    except _Wrong as error:
        raise _Wrong(f"{where}: {error}") from error
    except Exception as error:
        raise _Wrong(f"{where} it raised {type(error).__name__}: {error}") from error


def _check_dependence(trial: _Trial) -> None:
    layer = trial.make()
    x = trial.input(layer).requires_grad_()
    state = tuple(part.requires_grad_() for part in trial.state(layer, x))
    output, _ = layer(x, _whole(state))
    sources = {f"the weight {name}": weight for name, weight in layer.named_parameters()}
    sources |= {"the input": x, "the initial state": state[0]}
    gradients = torch.autograd.grad(output.square().sum(), list(sources.values()), allow_unused=True)
    for name, gradient in zip(sources, gradients, strict=True):
        if gradient is None or not gradient.any():
            raise _Wrong(f"the outputs do not depend on {name}")


def _check_no_memory(trial: _Trial) -> None:
    layer = trial.make()
    x = trial.input(layer)
    state = trial.state(layer, x)
    copies = [x.clone(), *(part.clone() for part in state)]
    first = layer(x, _whole(state))[0].detach().clone()
    layer(trial.input(layer, seed=1))  # something else in between
    for before, after, name in zip(copies, (x, *state), ("input", *["state"] * len(state)), strict=True):
        _expect_equal(after, before, f"the {name} that the caller passed in was written into")
    _expect_equal(layer(x, _whole(state))[0], first, "a second run on the same input from the same state")


def _check_causality(trial: _Trial) -> None:
    layer = trial.make()
    x = trial.input(layer)
    changed = x.clone()
    changed[3] = trial.input(layer, seed=1)[3]
    before, after = layer(x)[0], layer(changed)[0]
    _expect_equal(after[:3], before[:3], "after a change of the input at step 3, the outputs at steps 0 to 2")
    if not difference(after[3], before[3], 1e-8):
        raise _Wrong("after a change of the input at step 3, the output at step 3 is what it was")


def _check_batch(trial: _Trial) -> None:
    layer = trial.make()
    x = trial.input(layer)
    state = trial.state(layer, x)
    together = layer(x, _whole(state))[0]
    for number in range(B):
        alone = layer(x[:, number : number + 1], _whole(part[:, number : number + 1] for part in state))[0]
        _expect_equal(alone, together[:, number : number + 1], "the outputs of a sequence run alone, not in its batch")


def _check_halves(trial: _Trial) -> None:
    layer = trial.make()
    x = trial.input(layer)
    state = _whole(trial.state(layer, x))
    whole, final = layer(x, state)
    first, carried = layer(x[:2], state)
    second, final_of_halves = layer(x[2:], carried)
    _expect_equal(torch.cat([first, second]), whole, "the outputs of steps 0 and 1, then 2 to 4 from the carried state")
    _expect_equal(_parts(final_of_halves), _parts(final), "the final state of the second half")


def _check_directions(trial: _Trial) -> None:
    both = trial.make(bidirectional=True)
    x = trial.input(both)
    weights = list(both.parameters())
    outputs = []
    for number, source in enumerate((x, x.flip(0))):
        one = trial.make()
        _take(one, weights[number * len(weights) // 2 : (number + 1) * len(weights) // 2], both)
        outputs.append(one(source)[0])
    expected = torch.cat([outputs[0], outputs[1].flip(0)], -1)
    words = "the outputs of both directions, beside those of one on the input and one on the flipped input"
    _expect_equal(both(x)[0], expected, words)


def _check_depth(trial: _Trial) -> None:
    two = trial.make(num_layers=2)
    x = trial.input(two)
    weights = list(two.parameters())
    lower = trial.make()
    upper = trial.make(input_size=lower(x)[0].shape[-1])
    _take(lower, weights[: len(weights) // 2], two)
    _take(upper, weights[len(weights) // 2 :], two)
    _expect_equal(two(x)[0], upper(lower(x)[0])[0], "two layers: one that reads the outputs of the other")


def _take(layer: nn.Module, weights: list[Tensor], larger: nn.Module) -> None:
    """Give a layer these weights, and the buffers of the larger layer that they come from."""
    layer.load_state_dict(dict(larger.named_buffers()), strict=False)
    with torch.no_grad():
        for weight, source in zip(layer.parameters(), weights, strict=True):
            weight.copy_(source)


def _check_packed(trial: _Trial) -> None:
    lengths = [2, 5, 1, 4]
    for more in ({}, {"bidirectional": True}):
        layer = trial.make(**more)
        x = trial.input(layer)
        packed, final = layer(pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False))
        output, _ = pad_packed_sequence(packed)
        for number, length in enumerate(lengths):
            alone, state = layer(x[:length, number : number + 1])
            words = f"{_as_arguments(more) or 'one direction'}: a packed sequence of {length}, run alone"
            _expect_equal(output[:length, number : number + 1], alone, words)
            ends = [part[:, number : number + 1] for part in _parts(final)]
            _expect_equal(ends, list(_parts(state)), f"{words}: its final state")


def _check_forms(trial: _Trial) -> None:
    layer, turned = trial.make(), trial.make(batch_first=True)
    x = trial.input(layer)
    output, state = layer(x)
    found, end = turned(x.transpose(0, 1))
    _expect_equal(found, output.transpose(0, 1), "the outputs with batch_first=True")
    _expect_equal(_parts(end), _parts(state), "the state with batch_first=True, which is not turned")
    _expect_equal(layer(x[:, 0])[0], layer(x[:, :1])[0].squeeze(1), "a sequence without a batch, shape (T, D)")


def _check_gradients(trial: _Trial) -> None:
    layer = trial.make()
    x = trial.input(layer)[:3, :2].clone()
    state = trial.state(layer, x)
    sources = [x, *state, *layer.parameters()]
    names = ["the input", *["the initial state"] * len(state)]
    names += [f"the weight {name}" for name, _ in layer.named_parameters()]

    def run(moving: Tensor, at: int) -> tuple[Tensor, ...]:
        parts = [*sources[:at], moving, *sources[at + 1 :]]
        weights = dict(zip((name for name, _ in layer.named_parameters()), parts[1 + len(state) :], strict=True))
        arguments = (parts[0], _whole(parts[1 : 1 + len(state)]))
        output, final = torch.func.functional_call(layer, weights, arguments)
        return (output, *_parts(final))

    for at, name in enumerate(names):
        moving = sources[at].detach().clone().requires_grad_()
        if not torch.autograd.gradcheck(lambda moving, at=at: run(moving, at), (moving,), raise_exception=False):
            raise _Wrong(f"the gradient of {name} is not the slope of the outputs")


def _check_state_dict(trial: _Trial) -> None:
    layer, other = trial.make(), trial.make(seed=50)
    x = trial.input(layer)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    _expect_equal(other(x)[0], layer(x)[0], "the outputs of another layer that loaded this one's state_dict")


PROPERTIES: dict[str, tuple[Callable[[_Trial], None], str]] = {
    "runs, and its shapes are right": (
        _check_shapes,
        "step returns the next state as a tuple, one tensor of shape (B, ·) for each entry of state_sizes. Without "
        "bias, bias_hh is None.",
    ),
    "all that goes in comes through": (
        _check_dependence,
        "Follow each argument of step, and each weight, to what step returns. One of them ends on the way.",
    ),
    "nothing is remembered outside the state": (
        _check_no_memory,
        "A step may neither keep anything on self nor write into what it was given: h.mul_(z) and h *= z change "
        "the caller's tensor, h * z makes a new one.",
    ),
    "the state_dict holds the whole layer": (
        _check_state_dict,
        "A tensor that is neither a parameter nor a buffer is not saved. Name it in extra_weights, or register it.",
    ),
    "causality: no step reads a later input": (
        _check_causality,
        "An output at step t may depend on the inputs up to t, and on t itself. Does anything look at all steps at "
        "once?",
    ),
    "the sequences of a batch do not meet": (
        _check_batch,
        "Something is computed along the dimension of the batch. Sums, means and softmaxes belong on the last one.",
    ),
    "whole = two halves with the state carried": (
        _check_halves,
        "Everything that has to last from step to step belongs in the state that step returns, counters too.",
    ),
    "reverse direction = flipped input": (
        _check_directions,
        "Leave the directions to RecurrentLayer, and give each its own weights.",
    ),
    "two layers = one upon the other": (
        _check_depth,
        "Weights of a layer above the first have as many columns as the one below has outputs.",
    ),
    "packed = each sequence alone": (
        _check_packed,
        "The batch shrinks from step to step: use the size of what step is given, never one you kept.",
    ),
    "batch first and no batch are only forms": (
        _check_forms,
        "Leave the forms to RecurrentLayer. Does step count on a particular number of dimensions?",
    ),
    "gradients are slopes": (
        _check_gradients,
        "Look for detach(), .data, torch.no_grad(), or for a mistake in a backward pass by hand.",
    ),
}


def check_layer(layer_class: Callable, **arguments: Any) -> bool:
    """Try what has to hold for every recurrent layer, and print the first thing that does not, with a hint.

    ``PROPERTIES`` names them, in the order in which they are tried. Whether the layer computes the equation you meant
    is not among them: compare it with that equation as well.

    Args:
        layer_class: a class with the interface of nn's layers, for instance a subclass of
            :class:`~companion.layers.RecurrentLayer`.
        **arguments: what its constructor needs besides nn's arguments, or other sizes than ``input_size=2`` and
            ``hidden_size=3``.

    Returns:
        Whether all properties hold.

    Taught in *A layer of your own*.
    """
    if not callable(layer_class):
        print(f"Give the class itself, not one of its layers; got a {type(layer_class).__name__}.")
        return False
    trial = _Trial(layer_class, arguments)
    for number, (name, (check, hint)) in enumerate(PROPERTIES.items()):
        try:
            check(trial)
        except _Wrong as error:
            words = str(error)
        except Exception as error:
            words = f"it raised {type(error).__name__}: {error}"
        else:
            continue
        held = f" (what holds: {number} of {len(PROPERTIES)})" if number else ""
        print(f"Not yet: {name}{held}")
        for text in (f"{words}.", f"Hint: {hint}"):
            print(textwrap.fill(text, 86, initial_indent="  ", subsequent_indent="  "))
        return False
    print(f"Right, on all {len(PROPERTIES)} properties.")
    return True


# The exercises' layers, each beside a right one


class _LeakyRNN(RecurrentLayer):
    def __init__(self, *arguments: Any, leak: float = 0.1, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.leak = leak

    def step(self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor | None) -> tuple[Tensor, ...]:
        (h,) = state
        return (torch.lerp(h, torch.tanh(x + F.linear(h, weight_hh, bias_hh)), self.leak),)


class _UGRNN(RecurrentLayer):
    num_gates = 2

    def step(self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor | None) -> tuple[Tensor, ...]:
        (h,) = state
        z, n = (x + F.linear(h, weight_hh, bias_hh)).chunk(2, -1)
        return (torch.lerp(torch.tanh(n), h, torch.sigmoid(z)),)


class _PeepholeLSTM(LSTM):
    @property
    def extra_weights(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("weight_ci", "weight_cf", "weight_co"), (self.hidden_size,))

    def step(
        self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor | None, *peepholes: Tensor
    ) -> tuple[Tensor, ...]:
        (h, c), (w_i, w_f, w_o) = state, peepholes
        i, f, g, o = (x + F.linear(h, weight_hh, bias_hh)).chunk(4, -1)
        c = torch.sigmoid(f + w_f * c) * c + torch.sigmoid(i + w_i * c) * torch.tanh(g)
        return torch.sigmoid(o + w_o * c) * torch.tanh(c), c


class _NormRNN(RecurrentLayer):
    @property
    def extra_weights(self) -> dict[str, tuple[int, ...]]:
        return {"weight_norm": (self.hidden_size,), "bias_norm": (self.hidden_size,)}

    def step(
        self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor | None, gain: Tensor, shift: Tensor
    ) -> tuple[Tensor, ...]:
        sums = x + F.linear(state[0], weight_hh, bias_hh)
        return (torch.tanh(F.layer_norm(sums, gain.shape, gain, shift)),)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, weight in self.named_parameters():
            if "norm" in name:
                nn.init.constant_(weight, float(name.startswith("weight")))


class _FastGRNN(RecurrentLayer):
    @property
    def extra_weights(self) -> dict[str, tuple[int, ...]]:
        return {"bias_z": (self.hidden_size,), "zeta": (1,), "nu": (1,)}

    def step(
        self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor | None, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        (h,), (bias_z, zeta, nu) = state, rest
        sums = x + F.linear(h, weight_hh, bias_hh)
        z = torch.sigmoid(sums + bias_z)
        return ((torch.sigmoid(zeta) * (1 - z) + torch.sigmoid(nu)) * torch.tanh(sums) + z * h,)


class _ClockworkRNN(RecurrentLayer):
    def __init__(self, *arguments: Any, periods: tuple[int, ...] = (1, 2, 4), **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.periods = periods

    @property
    def state_sizes(self) -> tuple[int, int]:
        return self.hidden_size, 1

    def step(self, x: Tensor, state: tuple, weight_hh: Tensor, bias_hh: Tensor | None) -> tuple[Tensor, ...]:
        h, clock = state
        group = torch.arange(len(self.periods)).repeat_interleave(self.hidden_size // len(self.periods)).to(x.device)
        slower = group >= group.unsqueeze(1)
        n = torch.tanh(x + F.linear(h, weight_hh * slower, bias_hh))
        due = clock.round() % torch.tensor(self.periods, device=x.device)[group] == 0
        return torch.where(due, n, h), clock + 1


LAYER_CASES = {
    "one layer": {},
    "one sequence of 12 steps": {"steps": 12, "batch": 1},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "no biases": {"bias": False},
}


def _check_twin(answer: Callable, reference: Callable, hint: str, cases: dict[str, dict]) -> bool:
    """Compare a layer with a right one, with weights of the same names and numbers, then try its properties."""
    if not isinstance(answer, type):
        print(f"Give the class itself; got a {type(answer).__name__}.")
        return False
    right = compare(answer, reference, {name: (case,) for name, case in cases.items()}, hint, call=_run_layer)
    return right and check_layer(answer)


def _run_layer(layer_class: Callable, case: dict[str, Any]) -> dict[str, Any]:
    """What can be said of a layer without prescribing how it is written, by the words that name it."""
    more = dict(case)
    steps, batch = more.pop("steps", T), more.pop("batch", B)
    trial = _Trial(layer_class, more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        new = layer_class(**({"input_size": D, "hidden_size": H} | more))
    layer = trial.make()
    x = _random(steps, batch, D)
    state = _whole(part * 0.5 for part in trial.state(layer, x))
    output, final = layer(x, state)
    shapes = [f"{name} {tuple(weight.shape)}" for name, weight in new.named_parameters()]
    constant = [name for name, weight in new.named_parameters() if len(weight.unique()) == 1 < len(weight)]
    values = [f"{name} all {new.get_parameter(name)[0]:g}" for name in constant]
    return {
        "the names and shapes of its weights": ", ".join(shapes),
        "what a new layer does not draw at random": ", ".join(values) or "nothing",
        "the outputs from a zero state": layer(x)[0],
        "the outputs from a random state": output,
        "the parts of the final state": list(_parts(final)),
    }


def check_leaky_rnn(answer: Callable) -> bool:
    """Check ``LeakyRNN``: a simple RNN whose units move to the new value by the share ``leak`` only."""
    cases = LAYER_CASES | {"leak=0.5": {"leak": 0.5}, "leak=1, the simple RNN": {"leak": 1.0}}
    hint = (
        "By default leak is 0.1: nine tenths of the old state stay. The constructor takes it by name, hands everything "
        "else to super().__init__, and keeps it on self."
    )
    return _check_twin(answer, _LeakyRNN, hint, cases)


def check_ugrnn(answer: Callable) -> bool:
    """Check ``UGRNN``: rows z, n, and nothing but an update gate."""
    hint = "Two blocks of rows, z first. Neither the candidate nor the gate sees more than a simple RNN does. z keeps."
    return _check_twin(answer, _UGRNN, hint, LAYER_CASES)


def check_peephole_lstm(answer: Callable) -> bool:
    """Check ``PeepholeLSTM``: an LSTM with extra weights weight_ci, weight_cf and weight_co of shape (H)."""
    hint = (
        "The input and the forget gate see the old cell, the output gate sees the new one. The extra weights come last "
        "in step, in the order of extra_weights."
    )
    return _check_twin(answer, _PeepholeLSTM, hint, LAYER_CASES)


def check_norm_rnn(answer: Callable) -> bool:
    """Check ``NormRNN``: layer normalization with the extra weights weight_norm, from 1, and bias_norm, from 0."""
    hint = (
        "The mean and the variance are those of the H sums of one sequence at one step, before the tanh; torch has "
        "F.layer_norm. A gain starts from 1 and a shift from 0 in every layer and direction: what draws the weights?"
    )
    return _check_twin(answer, _NormRNN, hint, LAYER_CASES)


def check_fast_grnn(answer: Callable) -> bool:
    """Check ``FastGRNN``: gate and candidate share their weights; extra weights bias_z (H), zeta (1) and nu (1)."""
    hint = (
        "There is one sum. The gate adds bias_z to it, the candidate does not. zeta and nu are any numbers; their "
        "sigmoids are what the equation calls by their names."
    )
    return _check_twin(answer, _FastGRNN, hint, LAYER_CASES)


def check_clockwork_rnn(answer: Callable) -> bool:
    """Check ``ClockworkRNN``: groups of units that are due every so many steps; the clock is a part of the state."""
    wide = {"hidden_size": 6, "steps": 12}
    cases = {
        "periods 1, 2 and 4, one unit each": {},
        "periods 1, 2 and 4, two units each": wide,
        "period 1, the simple RNN": wide | {"periods": (1,)},
        "periods 2 and 3": wide | {"periods": (2, 3)},
        "two layers, both directions": wide | {"num_layers": 2, "bidirectional": True},
        "no biases": wide | {"bias": False},
    }
    hint = (
        "The state is (h, clock), and the clock counts the steps taken: at 0 every group is due. A group that is not "
        "due keeps its h. It reads itself and slower groups: which blocks of weight_hh are zero? Round the clock."
    )
    return _check_twin(answer, _ClockworkRNN, hint, cases)


def _d2l_weights(D: int, H: int) -> dict[str, Tensor]:
    shapes = {}
    for block in "zrh":
        shapes |= {f"W_x{block}": (D, H), f"W_h{block}": (H, H), f"b_{block}": (H,)}
    return {name: _random(*shape, seed=seed).float() / 2 for seed, (name, shape) in enumerate(shapes.items())}


def check_from_d2l(answer: Callable) -> bool:
    """Check ``from_d2l(weights)``: a layer that computes what the from-scratch GRU of the d2l book computes."""

    def reference(weights: dict[str, Tensor]) -> Callable:
        def run(inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            (h,), outputs = state, []
            of = weights
            for x in inputs:
                z = torch.sigmoid(x @ of["W_xz"] + h @ of["W_hz"] + of["b_z"])
                r = torch.sigmoid(x @ of["W_xr"] + h @ of["W_hr"] + of["b_r"])
                n = torch.tanh(x @ of["W_xh"] + (r * h) @ of["W_hh"] + of["b_h"])
                h = z * h + (1 - z) * n
                outputs.append(h)
            return torch.stack(outputs), h.unsqueeze(0)

        return run

    def call(answer: Callable, weights: dict[str, Tensor], steps: int, from_zero: bool) -> dict[str, Tensor]:
        D, H = weights["W_xz"].shape
        state = _random(1, 3, H).float() * (0 if from_zero else 1)
        with torch.no_grad():
            outputs, final = answer(weights)(_random(steps, 3, D).float(), state)
        return {"the outputs": outputs, "the final state": final}

    cases = {
        "one step from a zero state": (_d2l_weights(4, 5), 1, True),
        "one step from a random state": (_d2l_weights(4, 5), 1, False),
        "35 steps": (_d2l_weights(4, 5), 35, False),
        "D = H = 3": (_d2l_weights(3, 3), 35, False),
    }
    hint = (
        "d2l multiplies x @ W, F.linear(x, W) multiplies by the transpose. There is one bias for each block. And its "
        "reset comes before the product, so b_h is not reset."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=call)


def check_backward(answer: Callable) -> bool:
    """Check a layer's ``by_hand``: over 35 steps, all it computes, and each gradient as autograd finds it."""
    if not (isinstance(answer, type) and issubclass(answer, RecurrentLayer)):
        print(f"Give the class, a subclass of RecurrentLayer; got {answer!r}.")
        return False
    if answer.by_hand is None:
        print("Not yet. The class has no by_hand.\nHint: define it in the class that defines step, beside it.")
        return False
    plain = type(answer.__name__, (answer,), {"step": answer.step})  # a class with a step of its own has no by_hand

    def call(layer_class: Callable, case: dict[str, Any]) -> dict[str, Tensor]:
        trial, more = _Trial(layer_class, case), {}
        layer = trial.make()
        x = _random(35, B, D).requires_grad_()
        state = tuple(part.requires_grad_() for part in trial.state(layer, x))
        output, final = layer(x, _whole(state))
        sources = {"the input": x, "the initial state": state[0]} | dict(layer.named_parameters())
        results = [output, *_parts(final)]
        loss = sum((part * _random(*part.shape, seed=9)).sum() for part in results)
        gradients = torch.autograd.grad(loss, list(sources.values()), allow_unused=True)
        for name, gradient in zip(sources, gradients, strict=True):
            more[f"the gradient of {name}"] = gradient
        return {"the outputs": output, "the final state": final} | more

    cases = {"one layer": ({},), "no biases": ({"bias": False},), "both directions": ({"bidirectional": True},)}
    hint = (
        "Go through the step's lines from the last to the first. A quantity that was used twice has two gradients, "
        "and they are summed. The state's gradient at t also has what came in from output t."
    )
    return compare(answer, plain, cases, hint, tolerance=1e-8, call=call) and check_layer(answer)
