"""The backward passes written by hand give what autograd gives, and step aside where they cannot serve."""

import pytest
import torch

import companion
from companion.bptt import can_run_by_hand

KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}), ("LSTM", {})]
each_kind = pytest.mark.parametrize(("kind", "arguments"), KINDS, ids=["RNN", "RNN-relu", "GRU", "LSTM"])


def plain_twin(layer):
    """The same layer, with autograd through the time loop: a subclass whose step is new has no backward pass."""

    class Plain(type(layer)):
        def step(self, *arguments):
            return super().step(*arguments)

    twin = object.__new__(Plain)
    twin.__dict__.update(layer.__dict__)
    return twin


def everything(layer, x, state):
    """Output, final state and all gradients, of an uneven loss that depends on both."""
    leaves = [x, *(state if isinstance(state, tuple) else [state]), *layer.parameters()]
    output, final = layer(x, state)
    parts = [output, *(final if isinstance(final, tuple) else [final])]
    loss = sum((part * torch.linspace(-1, 2, part.numel(), dtype=x.dtype).view_as(part)).sum() for part in parts)
    return [*parts, *torch.autograd.grad(loss, leaves)]


@each_kind
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("T", [1, 9])
def test_by_hand_is_what_autograd_gives(kind, arguments, bias, T):
    torch.manual_seed(0)
    layer = getattr(companion, kind)(3, 5, 2, bias=bias, bidirectional=True, dtype=torch.double, **arguments)
    x = torch.randn(T, 4, 3, dtype=torch.double, requires_grad=True)
    parts = [torch.randn(4, 4, 5, dtype=torch.double, requires_grad=True) for _ in layer.state_sizes]
    state = tuple(parts) if len(parts) == 2 else parts[0]
    by_hand, plain = everything(layer, x, state), everything(plain_twin(layer), x, state)
    assert layer.by_hand is not None and plain_twin(layer).by_hand is None
    for one, other in zip(by_hand, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


@each_kind
def test_only_what_is_needed_gets_a_gradient(kind, arguments):
    layer = getattr(companion, kind)(3, 5, **arguments)
    layer.weight_ih_l0.requires_grad_(False)
    x = torch.randn(7, 4, 3)
    layer(x)[0].sum().backward()
    assert x.grad is None and layer.weight_ih_l0.grad is None and layer.weight_hh_l0.grad is not None


@each_kind
def test_an_input_computed_from_another_gets_each_gradient_once(kind, arguments):
    """In double backward too: the state depends on the input here, and the replay must not follow that path again."""
    torch.manual_seed(0)
    layer = getattr(companion, kind)(3, 3, dtype=torch.double, **arguments)
    x = torch.rand(4, 2, 3, dtype=torch.double, requires_grad=True)

    def run(layer, x):
        h = x[:1].sin()
        return layer(x, (h, h) if kind == "LSTM" else h)[0]

    for one, other in zip(
        *(
            torch.autograd.grad(
                torch.autograd.grad(run(each, x).pow(2).sum(), x, create_graph=True)[0].pow(2).sum(), [x]
            )
            for each in (layer, plain_twin(layer))
        ),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)


def test_a_new_step_is_the_one_that_runs():
    class Halved(companion.GRU):
        def step(self, x, state, weight_hh, bias_hh):
            return tuple(part / 2 for part in super().step(x, state, weight_hh, bias_hh))

    torch.manual_seed(0)
    layer, x = Halved(3, 5), torch.randn(1, 2, 3)
    whole = companion.GRU(3, 5)
    whole.load_state_dict(layer.state_dict())
    assert torch.allclose(layer(x)[0], whole(x)[0] / 2)


def test_outputs_lie_in_memory_as_those_of_nn():
    for kind, arguments in KINDS:
        output, _ = getattr(companion, kind)(3, 5, **arguments)(torch.randn(7, 4, 3))
        assert output.is_contiguous()


@each_kind
@pytest.mark.parametrize("B", [1, 4])
def test_a_caller_may_write_into_what_comes_out(kind, arguments, B):
    torch.manual_seed(0)
    layer, x = getattr(companion, kind)(3, 5, **arguments), torch.randn(7, B, 3)
    gradients = []
    for in_place in (False, True):
        output, final = layer(x)
        last = final[-1] if kind == "LSTM" else final
        output, last = (output.mul_(2), last.mul_(2)) if in_place else (output * 2, last * 2)
        gradients.append(torch.autograd.grad(output.sum() + last.sum(), list(layer.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_by_hand_steps_aside_where_single_operations_must_be_seen():
    x = torch.randn(4, 2, 3)
    seen = []
    assert can_run_by_hand(x)
    torch.func.vmap(lambda part: seen.append(can_run_by_hand(part)) or part)(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen.append(can_run_by_hand(x))
    with torch.autograd.forward_ad.dual_level():
        seen.append(can_run_by_hand(x))
    torch.compile(lambda part: part + can_run_by_hand(part), backend="eager")(x)
    assert seen == [False, False, False]
    assert torch.equal(torch.compile(lambda part: part + can_run_by_hand(part), backend="eager")(x), x)
