"""Checks of the exercises of *Inside torch/nn/modules/rnn.py*."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any
from unittest.mock import patch

import torch
from torch import _VF, Tensor, nn
from torch.func import functional_call

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights
from companion.initialization import set_forget_bias

__all__ = [
    "check_call_backend",
    "check_drop_recurrent",
    "check_find_seed",
    "check_parameter_names",
    "check_shared_weights",
]


def check_parameter_names(answer: Callable) -> bool:
    """Check ``parameter_names(num_layers, bidirectional, bias, proj_size)``: an LSTM's names, in its order."""

    def reference(*switches: Any) -> list[str]:
        return build_quietly(lambda: list(nn.LSTM(5, 4, **options(*switches)).state_dict()))

    def options(num_layers: int, bidirectional: bool, bias: bool, proj_size: int) -> dict:
        return {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias, "proj_size": proj_size}

    cases = {
        "one layer": (1, False, True, 0),
        "three layers": (3, False, True, 0),
        "two directions": (1, True, True, 0),
        "two layers, two directions": (2, True, True, 0),
        "no bias": (2, True, False, 0),
        "a projection": (2, False, True, 3),
        "a projection, two directions, no bias": (2, True, False, 3),
    }
    hint = (
        "Two loops: the outer one over layers. What stands inside the inner one is one line of the table that the "
        "chapter prints."
    )
    return compare(answer, reference, cases, hint, call=lambda name, *switches: list(name(*switches)))


def check_shared_weights(answer: Callable) -> bool:
    """Check ``shared_weights(layer)``: the groups of names that are one parameter, in the layer's order."""

    def reference(layer: nn.Module) -> list[list[str]]:
        groups: dict[int, list[str]] = {}
        for name, weight in zip(layer._flat_weights_names, layer._flat_weights, strict=True):
            groups.setdefault(id(weight), []).append(name)
        return [names for names in groups.values() if len(names) > 1]

    def case(tie: Callable, *arguments: int) -> tuple[nn.Module]:
        layer = build_quietly(nn.GRU, *arguments)
        tie(layer)
        return (layer,)

    def nothing(layer: nn.Module) -> None:
        pass

    def equal_numbers(layer: nn.Module) -> None:
        layer.load_state_dict({name: torch.ones_like(weight) for name, weight in layer.state_dict().items()})

    def one_pair(layer: nn.Module) -> None:
        layer.weight_hh_l1 = layer.weight_hh_l0

    def three_and_two(layer: nn.Module) -> None:
        layer.weight_hh_l2 = layer.weight_hh_l1 = layer.weight_hh_l0
        layer.bias_hh_l2 = layer.bias_hh_l0

    cases = {
        "a layer that shares nothing": case(nothing, 4, 4, 2),
        "a layer with equal numbers, not shared": case(equal_numbers, 4, 4, 2),
        "a stack with one shared matrix": case(one_pair, 4, 4, 2),
        "three layers, a matrix three times and a bias twice": case(three_and_two, 4, 4, 3),
    }
    hint = (
        "`named_parameters()` names a parameter once. Two lists of the layer keep every name and every entry. Two "
        "tensors of equal numbers are still two: which Python operator tells?"
    )

    def in_order(share: Callable, layer: nn.Module) -> list[list[str]]:
        position = layer._flat_weights_names.index
        return sorted((sorted(group, key=position) for group in share(layer)), key=lambda group: position(group[0]))

    return compare(answer, reference, cases, hint, call=in_order)


def check_find_seed(answer: Callable) -> bool:
    """Check ``find_seed(layer)``: the seed below 100 after which this layer was built."""

    def case(seed: int, kind: type, *arguments: int, change: Callable = lambda layer: layer, **options: Any) -> tuple:
        def build() -> nn.Module:
            torch.manual_seed(seed)
            return kind(*arguments, **options)

        return change(build_quietly(build)), seed

    def find(search: Callable, layer: nn.Module, seed: int) -> int:
        return build_quietly(search, layer) if search is not reference else seed

    def reference() -> None:
        """Nothing to search for: each case has its seed beside it."""

    cases = {
        "a GRU": case(0, nn.GRU, 3, 4),
        "an LSTM with two layers and two directions": case(41, nn.LSTM, 3, 4, 2, bidirectional=True),
        "a simple RNN without bias": case(99, nn.RNN, 8, 5, bias=False),
        "an LSTM with a projection": case(17, nn.LSTM, 3, 8, proj_size=2),
        "an LSTM whose forget gates were opened later": case(68, nn.LSTM, 3, 4, change=set_forget_bias),
    }
    hint = (
        "You need not draw all the weights again. Which one is drawn first, within which bounds? It stays as it was "
        "when a bias is changed."
    )
    return compare(answer, reference, cases, hint, call=find)


def _no_forward(*arguments: Any, **options: Any) -> None:
    raise RuntimeError("the layer may not be called here, only torch._VF")


@contextmanager
def _states_checked(shape: tuple[int, ...]) -> Iterator[None]:
    """Let the backend see no state of another shape: it would crash Python instead of raising an error."""

    def checked(backend: Callable) -> Callable:
        def call(input: Tensor, hx: Any, *more: Any) -> tuple:
            found = [tuple(part.shape) for part in (hx if isinstance(hx, tuple | list) else [hx])]
            if any(size != shape for size in found):
                raise RuntimeError(f"the state should have shape {shape}, got {', '.join(map(str, found))}")
            return backend(input, hx, *more)

        return call

    with ExitStack() as stack:
        for owner in (_VF, torch):
            for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
                stack.enter_context(patch.object(owner, name, checked(getattr(owner, name))))
        yield


def check_call_backend(answer: Callable) -> bool:
    """Check ``call_backend(layer, x)``: output and final state by ``torch._VF`` and the layer's ``_flat_weights``."""

    def reference(layer: nn.Module, x: Tensor) -> tuple:
        return type(layer).forward(layer, x)

    def call(backend: Callable, layer: nn.Module, x: Tensor) -> dict:
        if backend is not reference:
            layer.forward = _no_forward
        batch = x.shape[0 if layer.batch_first else 1]
        with _states_checked((layer.num_layers * (1 + layer.bidirectional), batch, layer.hidden_size)):
            output, state = backend(layer, x)
        return {"the output": output, "the state": state}

    def case(kind: type, *arguments: int, **options: Any) -> tuple[nn.Module, Tensor]:
        layer = with_random_weights(lambda *sizes: kind(*sizes, **options), *arguments)
        return layer.eval(), random_numbers(7, 5, arguments[0])

    cases = {
        "nn.GRU": case(nn.GRU, 3, 4),
        "nn.GRU with two layers and two directions": case(nn.GRU, 3, 4, 2, bidirectional=True),
        "nn.LSTM": case(nn.LSTM, 3, 4),
        "nn.LSTM without bias": case(nn.LSTM, 3, 4, bias=False),
        "nn.LSTM with batch_first": case(nn.LSTM, 3, 4, 2, batch_first=True),
        "nn.LSTM in evaluation, with dropout": case(nn.LSTM, 3, 4, 2, dropout=0.5),
        "nn.RNN with tanh": case(nn.RNN, 3, 4),
        "nn.RNN with relu": case(nn.RNN, 3, 4, nonlinearity="relu"),
    }
    hint = (
        "Record the arguments of the call as the chapter does, for a GRU too. The layer has attributes of nearly the "
        "same names: bias, num_layers, dropout, training, bidirectional, batch_first; and mode. What comes back is the "
        "output and then each part of the state."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=call)


def check_drop_recurrent(answer: Callable) -> bool:
    """Check ``drop_recurrent(layer, x, p)``: what layer(x) returns, some recurrent weights being zero in this call."""

    def reference(layer: nn.Module, x: Tensor, p: float) -> tuple:
        weights = dict(layer.named_parameters())
        dropped = {name: nn.functional.dropout(weights[name], p) for name in weights if "weight_hh" in name}
        return functional_call(layer, dropped, (x,))

    def call(drop: Callable, layer: nn.Module, x: Tensor, p: float) -> dict:
        before = deepcopy(layer.state_dict())
        output = build_quietly(drop, layer, x, p)[0]
        weights = dict(layer.named_parameters())
        moved = [name for name in before if name not in weights or not torch.equal(before[name], weights[name])]
        found: dict[str, Any] = {"the weights that the call has changed": " ".join(moved)}
        if moved:
            return found
        recurrent = {name: weight for name, weight in weights.items() if "weight_hh" in name}
        gradients = torch.autograd.grad(output.square().sum(), list(recurrent.values()), allow_unused=True)
        found["whether gradients reach the recurrent weights"] = all(gradient is not None for gradient in gradients)
        if not found["whether gradients reach the recurrent weights"]:
            return found
        kept = [gradient != 0 for gradient in gradients]
        pairs = zip(recurrent.items(), kept, strict=True)
        masked = {name: weight * mask / (1 - p) for (name, weight), mask in pairs}
        again = functional_call(layer, masked, (x,))[0]
        shares = [1 - mask.double().mean() for mask in kept]
        about_p = all(abs(share - p) < 0.15 for share in shares)
        found["whether about a share p of each recurrent matrix is zero"] = about_p
        found["how far the outputs are from one mask for all steps, scaled"] = (again - output).abs().max().item()
        return found

    def case(kind: type, p: float, *arguments: int, **options: Any) -> tuple[nn.Module, Tensor, float]:
        layer = with_random_weights(lambda *sizes: kind(*sizes, **options), *arguments)
        return layer, random_numbers(6, 3, arguments[0]), p

    cases = {
        "an LSTM, p = 0.5": case(nn.LSTM, 0.5, 4, 16),
        "a GRU, p = 0.25": case(nn.GRU, 0.25, 4, 16),
        "two layers, two directions, p = 0.5": case(nn.GRU, 0.5, 4, 16, 2, bidirectional=True),
        "p = 0": case(nn.LSTM, 0.0, 4, 16),
    }
    hint = (
        "Nothing may be written into the layer: hand it other weights for one call. The chapter does that with "
        "zeros. A mask drawn from a weight, outside no_grad, lets the gradient through to the weight itself."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=call)
