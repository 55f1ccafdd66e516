"""The scans against their definition, step by step in Python, and MinGRU and MinLSTM as layers like nn's."""

import copy
import itertools
import math
import pickle
import re
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, jvp, vmap

from companion import scan
from companion.checks.own_layer import PROPERTIES, check_layer
from companion.scan import MinGRU, MinLSTM, linear_recurrence, log_space_scan, parallel_scan, sequential_scan
from tests.strategies import (
    FORMS,
    Case,
    assert_same,
    compute,
    make_input,
    make_layer,
    make_state,
    pack,
    randomize,
    run,
    weighted_sum,
    with_arguments,
)
from tests.test_bad_input import CONSTRUCTIONS, GRU, LAYER_CALLS

WAYS = {"sequential": sequential_scan, "parallel": parallel_scan, "the faster": linear_recurrence}
KINDS = ("MinGRU", "MinLSTM")
STACKED = {"num_layers": 2, "bidirectional": True, "batch_first": True}
LAYERS = {"plain": {}, "stacked": STACKED, "without bias": {"bias": False, "num_layers": 2}}

each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
each_kind = pytest.mark.parametrize("kind", KINDS)
each_layer = pytest.mark.parametrize("arguments", LAYERS.values(), ids=LAYERS)
both_directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def coefficients(*shape, seed=0, dtype=torch.float64):
    """a between 0 and 1, b and h_0 of both signs."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(shape, generator=generator, dtype=torch.float64)
    b = torch.randn(shape, generator=generator, dtype=torch.float64)
    h_0 = torch.randn(shape[1:], generator=generator, dtype=torch.float64)
    return [part.to(dtype).requires_grad_() for part in (a, b, h_0)]


def by_definition(a, b, h_0=None, reverse=False):
    """One step after another, each number by its own."""
    state = torch.zeros_like(b[0]) if h_0 is None else h_0
    states = {}
    for t in reversed(range(len(a))) if reverse else range(len(a)):
        state = a[t] * state + b[t]
        states[t] = state
    return torch.stack([states[t] for t in range(len(a))])


def everything(way, arguments, reverse=False):
    states = way(*arguments, reverse=reverse)
    gradients = torch.autograd.grad(weighted_sum([states], seed=1), arguments)
    return {"states": states.detach()} | {f"gradient {number}": gradient for number, gradient in enumerate(gradients)}


# The recurrence


@settings(max_examples=200)
@given(
    T=st.integers(1, 70),
    step=st.sampled_from([(), (1,), (3,), (2, 3), (2, 1, 2)]),
    reverse=st.booleans(),
    with_state=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_way_is_the_definition(T, step, reverse, with_state, seed):
    """States and gradients, to 1e-12 in double precision."""
    arguments = coefficients(T, *step, seed=seed)[: 3 if with_state else 2]
    expected = everything(by_definition, arguments, reverse)
    for way in WAYS.values():
        assert_same(everything(way, arguments, reverse), expected, tolerance=1e-12)


@each_way
@both_directions
@pytest.mark.parametrize("T", [1, 31, 32, 33, 64, 1000])
@pytest.mark.parametrize("N", [1, 1024, 1025])
def test_single_precision_to_rounding(way, reverse, T, N):
    """On both sides of where the faster way changes."""
    arguments = coefficients(T, N, seed=T, dtype=torch.float32)
    expected = everything(by_definition, [part.double() for part in arguments], reverse)
    found = {name: value.double() for name, value in everything(way, arguments, reverse).items()}
    assert_same(found, expected, tolerance=1e-5)


@settings(max_examples=100)
@given(T=st.integers(2, 60), reverse=st.booleans(), seed=st.integers(0, 2**32), data=st.data())
def test_two_halves_with_the_state_carried_are_the_whole(T, reverse, seed, data):
    a, b, h_0 = coefficients(T, 2, 3, seed=seed)
    cut = data.draw(st.integers(1, T - 1), "cut")
    for way in WAYS.values():
        whole = way(a, b, h_0, reverse)
        if reverse:
            after = way(a[cut:], b[cut:], h_0, True)
            halves = [way(a[:cut], b[:cut], after[0], True), after]
        else:
            before = way(a[:cut], b[:cut], h_0)
            halves = [before, way(a[cut:], b[cut:], before[-1])]
        torch.testing.assert_close(torch.cat(halves), whole, rtol=0, atol=1e-12)


@each_way
@both_directions
@pytest.mark.parametrize("T", [1, 2, 5, 40])
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_derivatives(check, way, reverse, T):
    step = (2, 2) if T < 10 else ()
    assert check(lambda *arguments: way(*arguments, reverse), coefficients(T, *step))


@each_way
def test_third_derivatives(way):
    def third(way):
        a, b, h_0 = coefficients(5, 2)
        value = way(a, b, h_0).pow(3).sum()
        for _ in range(3):
            (slope,) = torch.autograd.grad(value, a, create_graph=True)
            value = slope.pow(2).sum()
        return value

    torch.testing.assert_close(third(way), third(by_definition))


@each_way
def test_factors_may_be_anything(way):
    """Zero forgets all, minus one turns the sign, above one it grows: nothing is divided by, no logarithm taken."""
    a = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.0, -3.0, 0.5], dtype=torch.float64).repeat(6)
    b = torch.arange(42.0, dtype=torch.float64) - 20
    torch.testing.assert_close(way(a, b, b[0]), by_definition(a, b, b[0]), rtol=1e-14, atol=0)


@each_way
def test_a_state_long_kept_is_kept_exactly(way):
    h_0 = torch.tensor([0.3])
    assert (way(torch.ones(10_000, 1), torch.zeros(10_000, 1), h_0) == h_0).all()


@each_way
@both_directions
def test_memory_need_not_be_contiguous(way, reverse):
    a, b, h_0 = coefficients(40, 2, 3)
    turned = [a.transpose(0, 2).contiguous().transpose(0, 2), b[::2].repeat_interleave(2, 0)[::1]]
    spread = h_0[:, :1].expand(2, 3)
    found = way(a[:1].expand(40, 2, 3), turned[1], spread, reverse)
    torch.testing.assert_close(found, by_definition(a[:1].expand(40, 2, 3), turned[1], spread, reverse))
    torch.testing.assert_close(way(turned[0], b, h_0, reverse), by_definition(a, b, h_0, reverse))
    assert found.is_contiguous()


@each_way
def test_nothing_is_written_into_what_was_given(way):
    arguments = [part.detach() for part in coefficients(40, 3)]
    copies = copy.deepcopy(arguments)
    way(*arguments)
    torch.testing.assert_close(arguments, copies, rtol=0, atol=0)


@each_way
@pytest.mark.parametrize("shape", [(3, 0, 4), (40, 2, 0)])
def test_steps_of_no_numbers(way, shape):
    arguments = coefficients(*shape)
    states = way(*arguments)
    assert states.shape == shape
    states.sum().backward()
    assert all(part.grad.shape == part.shape for part in arguments)


@each_way
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single_and_rounded_once(way, dtype):
    arguments = coefficients(300, 4, dtype=dtype)
    single = way(*(part.float() for part in arguments))
    states = way(*arguments)
    torch.testing.assert_close(states, single.to(dtype), rtol=0, atol=0)
    states.sum().backward()
    assert all(part.grad.dtype == dtype and part.grad.isfinite().all() for part in arguments)


@each_way
def test_only_what_is_needed_gets_a_gradient(way):
    a, b, h_0 = coefficients(40, 3)
    way(a.detach(), b, h_0.detach()).sum().backward()
    assert a.grad is None and h_0.grad is None and b.grad is not None
    a.grad = b.grad = None
    way(a, b.detach()).sum().backward()
    assert a.grad is not None and b.grad is None
    assert not way(a.detach(), b.detach()).requires_grad


@each_way
def test_an_input_computed_from_another_gets_each_gradient_once(way):
    def second(way):
        a, b, _ = coefficients(6, 2)
        (first,) = torch.autograd.grad(way(a, a * b, a[0].sin()).pow(2).sum(), a, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), a)[0]

    torch.testing.assert_close(second(way), second(by_definition))


@each_way
@both_directions
@pytest.mark.parametrize("T", [1, 6, 33])
def test_functions_of_torch_func_see_the_operations(way, reverse, T):
    a, b, h_0 = (part.detach() for part in coefficients(T, 4, 2))
    together = vmap(lambda a, b, h_0: way(a, b, h_0, reverse), (1, 1, 0), 1)(a, b, h_0)
    torch.testing.assert_close(together, by_definition(a, b, h_0, reverse))
    _, slope = jvp(lambda a: way(a, b, h_0, reverse), (a,), (torch.ones_like(a),))
    _, expected = jvp(lambda a: by_definition(a, b, h_0, reverse), (a,), (torch.ones_like(a),))
    torch.testing.assert_close(slope, expected)
    torch.testing.assert_close(
        grad(lambda b: way(a, b, h_0, reverse).pow(2).sum())(b),
        grad(lambda b: by_definition(a, b, h_0, reverse).pow(2).sum())(b),
    )


@each_way
@both_directions
def test_compile_without_a_graph_break(way, reverse):
    torch.compiler.reset()
    arguments = coefficients(9, 3)
    compiled = torch.compile(way, fullgraph=True, backend="aot_eager")
    assert_same(everything(compiled, arguments, reverse), everything(by_definition, arguments, reverse), 1e-12)


@each_way
def test_device_meta_holds_shapes_without_numbers(way):
    a, b, h_0 = (torch.empty(shape, device="meta") for shape in ((40, 2, 3), (40, 2, 3), (2, 3)))
    assert way(a, b, h_0).is_meta and way(a, b, h_0).shape == (40, 2, 3)


def test_the_parallel_way_waits_a_logarithmic_number_of_times():
    """Operations on whole tensors, counted: the loop's grow with T, the scan's with its logarithm."""

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            self.count += function is torch.ops.aten.addcmul.out or function is torch.ops.aten.addcmul.default
            return function(*arguments, **(keywords or {}))

    counts = {}
    for (name, way), T in itertools.product(WAYS.items(), (64, 1024)):
        with Count() as counter:
            counter.count = 0
            way(torch.rand(T, 2), torch.rand(T, 2))
        counts[name, T] = counter.count
    assert counts["sequential", 64] == 64 and counts["sequential", 1024] == 1024
    assert counts["parallel", 1024] - counts["parallel", 64] == 4 * 3  # four more levels, three of them a level
    assert counts["the faster", 1024] == counts["parallel", 1024]


def test_the_faster_way_is_the_loop_for_wide_steps_and_short_sequences():
    taken = []
    for a in (torch.rand(31, 4), torch.rand(32, 4), torch.rand(32, 1024), torch.rand(32, 1025)):
        h = torch.empty_like(a)
        spied = {name: getattr(scan, name) for name in ("_loop", "_tree")}
        with pytest.MonkeyPatch.context() as patch:
            for name in spied:
                patch.setattr(scan, name, lambda *_, name=name: taken.append(name))
            scan._fastest(a, a, a[0], False, h)
    assert taken == ["_loop", "_tree", "_tree", "_loop"]


# In logarithms


@settings(max_examples=100)
@given(T=st.integers(1, 40), reverse=st.booleans(), with_state=st.booleans(), seed=st.integers(0, 2**32))
def test_log_space_gives_the_same_states_and_gradients(T, reverse, with_state, seed):
    a, b, h_0 = (part.detach() for part in coefficients(T, 2, 3, seed=seed))
    logs = [a.clamp(1e-3).log(), b, h_0][: 3 if with_state else 2]
    logs = [part.requires_grad_() for part in logs]

    def through_exp(*logs, reverse):
        return by_definition(*(part.exp() for part in logs), reverse=reverse)

    assert_same(everything(log_space_scan, logs, reverse), everything(through_exp, logs, reverse), tolerance=1e-9)


@both_directions
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_derivatives_in_log_space(check, reverse):
    a, b, h_0 = coefficients(6, 2)
    assert check(lambda *logs: log_space_scan(*logs, reverse), (a.detach().log().requires_grad_(), b, h_0))


def test_log_space_loses_digits_as_its_sums_grow_and_the_scan_does_not():
    """As the docstring says: an error of about |A_t| times the precision, 1.2e-7."""
    worst = {}
    for T in (100, 1000, 10_000):
        generator = torch.Generator().manual_seed(0)
        a = 0.2 + 0.5 * torch.rand(T, 50, generator=generator)
        b = 0.5 + torch.rand(T, 50, generator=generator)
        exact = by_definition(a.double(), b.double())
        results = {"log": log_space_scan(a.log(), b.log()), "pairs": parallel_scan(a, b)}
        worst[T] = {name: float(((h - exact) / exact).abs().max()) for name, h in results.items()}
        assert worst[T]["pairs"] < 1e-6
        assert worst[T]["log"] < 3 * 1.2e-7 * float(a.log().sum(0).abs().max())
    assert worst[100]["log"] < worst[1000]["log"] < worst[10_000]["log"]
    assert worst[10_000]["log"] > 100 * worst[10_000]["pairs"]


def test_log_space_does_not_underflow_where_the_product_does():
    a, b = torch.full((2000,), 0.5), torch.ones(2000)
    assert a.prod() == 0
    torch.testing.assert_close(log_space_scan(a.log(), b.log())[-1], torch.tensor(2.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_log_space_in_half_precision(dtype):
    a, b, h_0 = coefficients(30, 4, dtype=dtype)
    found = log_space_scan(a, b, h_0)
    assert found.dtype == dtype
    torch.testing.assert_close(found, log_space_scan(a.float(), b.float(), h_0.float()).to(dtype), rtol=0, atol=0)


# Wrong calls

A = torch.ones(5, 2, 3)
WRONG = {
    "a a list": (([1.0], A), AttributeError, "a should be a tensor"),
    "b None": ((A, None), AttributeError, "b should be a tensor"),
    "h_0 a number": ((A, A, 0.0), AttributeError, "h_0 should be a tensor"),
    "no time": ((A.sum(), A.sum()), RuntimeError, "a should have shape"),
    "no steps": ((A[:0], A[:0]), RuntimeError, "a should have shape .* at least one step"),
    "b shorter": ((A, A[:4]), RuntimeError, r"b should have the shape of a, \(5, 2, 3\), got \(4, 2, 3\)"),
    "b of another batch": ((A, A[:, :1]), RuntimeError, "b should have the shape"),
    "a for all steps": ((A[0], A), RuntimeError, "b should have the shape"),
    "h_0 narrow": ((A, A, A[0, :, :2]), RuntimeError, r"h_0 should have a step's shape \(2, 3\)"),
    "h_0 with time": ((A, A, A[:1]), RuntimeError, "h_0 should have a step's shape"),
    "b double": ((A, A.double()), ValueError, "b should have the dtype of a, torch.float32, got torch.float64"),
    "h_0 double": ((A, A, A[0].double()), ValueError, "h_0 should have the dtype"),
    "a of ints": ((A.long(), A), ValueError, "a should be of a floating-point dtype"),
    "all of ints": ((A.long(), A.long()), ValueError, "a should be of a floating-point dtype"),
    "b elsewhere": ((A, A.to("meta")), RuntimeError, "b should be on the device of a, cpu, got meta"),
    "h_0 elsewhere": ((A, A, A[0].to("meta")), RuntimeError, "h_0 should be on the device of a"),
    "reverse an int": ((A, A, None, 1), TypeError, "reverse should be a bool"),
    "reverse in the place of h_0": ((A, A, True), AttributeError, "h_0 should be a tensor, got a bool"),
}


@each_way
@pytest.mark.parametrize("arguments, error, message", WRONG.values(), ids=WRONG)
def test_wrong_calls(way, arguments, error, message):
    with pytest.raises(error, match=message):
        way(*arguments)


@pytest.mark.parametrize("arguments, error, message", WRONG.values(), ids=WRONG)
def test_wrong_calls_in_log_space(arguments, error, message):
    for name in ("a", "b", "h_0"):
        message = re.sub(rf"^{name}(?= should)|(?<= of ){name}(?=,|$)", f"log_{name}", message)
    with pytest.raises(error, match=message):
        log_space_scan(*arguments)


# The layers


def make(case):
    """The case's layer with larger weights and biases than a new one's."""
    layer = make_layer(scan, case)
    randomize(layer, case.seed)
    return layer


def slow_layer(layer, x, h_0):
    """A whole layer over one sequence (T, D) from h_0 (S * L, H), one step and one direction at a time."""
    S, H = (2 if layer.bidirectional else 1), layer.hidden_size
    weights, finals = dict(layer.named_parameters()), []
    for number in range(layer.num_layers):
        outputs = []
        for direction in range(S):
            end = f"_l{number}" + "_reverse" * direction
            W = weights["weight_ih" + end]
            b = weights["bias_ih" + end] if layer.bias else torch.zeros(len(W), dtype=W.dtype)
            h, by_time = h_0[number * S + direction], {}
            for t in reversed(range(len(x))) if direction else range(len(x)):
                sums = (W @ x[t] + b).split(H)
                if isinstance(layer, MinGRU):
                    z = 1 / (1 + torch.exp(-sums[0]))
                    h = (1 - z) * h + z * sums[1]
                else:
                    i, f = (1 / (1 + torch.exp(-part)) for part in sums[:2])
                    h = f / (f + i) * h + i / (f + i) * sums[2]
                by_time[t] = h
            outputs.append(torch.stack([by_time[t] for t in range(len(x))]))
            finals.append(h)
        x = torch.cat(outputs, 1)
    return x, torch.stack(finals)


@st.composite
def cases(draw, forms=FORMS, shortest=1, longest=6):
    """A layer of either kind with any arguments, an input in one of the forms, lengths, a state or none, a seed."""
    arguments = {name: draw(st.booleans()) for name in ("bias", "batch_first", "bidirectional")}
    arguments["num_layers"] = draw(st.integers(1, 3))
    form, length = draw(st.sampled_from(forms)), st.integers(shortest, longest)
    if form == "packed":
        lengths = tuple(draw(st.lists(length, min_size=1, max_size=4)))
    else:
        lengths = (draw(length),) * (1 if form == "2-D" else draw(st.integers(1, 4)))
    sizes, seed = (draw(st.integers(1, 5)), draw(st.integers(1, 5))), draw(st.integers(0, 2**32))
    return Case(draw(st.sampled_from(KINDS)), arguments, *sizes, form, lengths, draw(st.booleans()), seed=seed)


@settings(max_examples=100)
@given(cases(forms=("2-D",), longest=40))
def test_a_layer_computes_its_equations(case):
    """Outputs, final states and every gradient, against a layer written one step at a time."""
    layer = make(case)

    class Slow(nn.Module):
        def forward(self, x, h_0=None):
            zeros = torch.zeros(case.state_rows, case.hidden_size, dtype=x.dtype)
            return slow_layer(layer, x, zeros if h_0 is None else h_0)

    slow = Slow()
    slow.named_parameters = layer.named_parameters
    assert_same(compute(layer, case), compute(slow, case), tolerance=1e-12)


@settings(max_examples=100)
@given(cases(shortest=2, longest=40), st.data())
def test_a_layer_over_two_halves_with_the_state_carried_is_the_whole(case, data):
    case = with_arguments(case, bidirectional=False)
    cut = data.draw(st.integers(1, min(case.lengths) - 1), "cut")
    first = replace(case, lengths=(cut,) * len(case.lengths))
    second = replace(case, lengths=tuple(length - cut for length in case.lengths))
    layer, x, initial = make(case), make_input(case), make_state(case)
    time = 1 if case.batch_first and case.form != "2-D" else 0
    whole, final = run(layer, case, x, initial)
    first_half, carried = run(layer, first, x.narrow(time, 0, cut), initial)
    second_half, final_of_halves = run(layer, second, x.narrow(time, cut, x.shape[time] - cut), carried)
    torch.testing.assert_close(torch.cat([first_half, second_half], time), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(final_of_halves, final, rtol=0, atol=1e-12)


@each_kind
def test_the_halves_would_show_a_state_that_goes_through_an_activation(kind):
    """As in implementations that begin with g(h_0), or with nothing: the error this book warns of."""
    layer = make(Case(kind, seed=1))
    layer.requires_grad_(False)
    x = torch.randn(35, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole, _ = layer(x)
    _, carried = layer(x[:20])
    activated = torch.where(carried >= 0, carried + 0.5, carried.sigmoid())
    right, wrong, forgotten = (layer(x[20:], state)[0] for state in (carried, activated, None))
    assert float((right - whole[20:]).abs().max()) < 1e-12
    assert float((wrong - whole[20:]).abs().max()) > 0.1
    assert float((forgotten - whole[20:]).abs().max()) > 0.1


@settings(max_examples=100)
@given(cases(forms=("3-D", "packed")))
def test_a_batch_is_computed_as_if_each_sequence_were_alone(case):
    case = with_arguments(case, batch_first=True)
    layer, x, initial = make(case), make_input(case), make_state(case)
    outputs, final = run(layer, case, x, initial)
    for number, length in enumerate(case.lengths):
        alone = replace(case, form="2-D", lengths=(length,))
        output, state = run(layer, alone, x[number, :length], tuple(part[:, number] for part in initial))
        torch.testing.assert_close(outputs[number, :length], output)
        torch.testing.assert_close(tuple(part[:, number] for part in final), state)


def test_at_least_600_cases_are_drawn():
    drawn = [test for test in vars(sys.modules[__name__]).values() if hasattr(test, "hypothesis")]
    assert sum(test._hypothesis_internal_use_settings.max_examples for test in drawn) >= 600


@pytest.mark.parametrize("layer_class", [MinGRU, MinLSTM])
def test_all_properties_of_a_recurrent_layer_hold(layer_class, capsys):
    assert check_layer(layer_class)
    assert f"all {len(PROPERTIES)}" in capsys.readouterr().out


@each_kind
@pytest.mark.parametrize("form", ["3-D", "packed"])
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_derivatives_of_a_layer(check, kind, form):
    lengths = (1, 3) if form == "packed" else (3, 3)
    case = Case(kind, STACKED, 2, 1, form, lengths, seed=3)
    layer, x, state = make(case), make_input(case), make_state(case)
    weights = dict(layer.named_parameters())

    def outputs(x, state, *values):
        given = pack(case, x) if form == "packed" else x
        output, final = functional_call(layer, dict(zip(weights, values, strict=True)), (given, state))
        return (output.data if form == "packed" else output), final

    assert check(outputs, (x, *state, *weights.values()))


@each_kind
def test_parallel_and_sequential_layers_agree_in_single_precision(kind, monkeypatch):
    """Long and narrow, so that the faster way is the scan; then with the loop in its place."""
    case = Case(kind, STACKED, 8, 16, lengths=(200,) * 3, dtype=torch.float32)
    layer = make(case)
    parallel = compute(layer, case)
    monkeypatch.setattr(scan, "linear_recurrence", sequential_scan)
    assert_same(parallel, compute(layer, case), tolerance=2e-5)


def test_names_and_shapes_of_the_weights():
    shapes = {name: tuple(weight.shape) for name, weight in MinGRU(5, 4, 2, bidirectional=True).named_parameters()}
    assert shapes == {
        "weight_ih_l0": (8, 5),
        "bias_ih_l0": (8,),
        "weight_ih_l0_reverse": (8, 5),
        "bias_ih_l0_reverse": (8,),
        "weight_ih_l1": (8, 8),
        "bias_ih_l1": (8,),
        "weight_ih_l1_reverse": (8, 8),
        "bias_ih_l1_reverse": (8,),
    }
    layer = MinLSTM(5, 4, bias=False)
    assert {name: tuple(weight.shape) for name, weight in layer.named_parameters()} == {"weight_ih_l0": (12, 5)}
    assert [[tuple(weight.shape) for weight in one] for one in MinLSTM(5, 4).all_weights] == [[(12, 5), (12,)]]
    assert all(float(weight.detach().abs().max()) <= 1 / math.sqrt(4) for weight in MinLSTM(5, 4).parameters())


def test_the_gate_of_a_min_gru_near_one_takes_the_new_state():
    """The other way round than nn.GRU's, which keeps the old one there."""
    x, h_0 = torch.randn(9, 2, 3), torch.randn(1, 2, 4)
    for sign, ends in ((50.0, "new"), (-50.0, "old")):
        layer = MinGRU(3, 4)
        with torch.no_grad():
            layer.bias_ih_l0[:4] = sign
        _, h_n = layer(x, h_0)
        candidate = nn.functional.linear(x[-1], layer.weight_ih_l0[4:], layer.bias_ih_l0[4:])
        torch.testing.assert_close(h_n[0], candidate if ends == "new" else h_0[0])


def test_the_gates_of_a_min_lstm_sum_to_one_and_may_both_vanish():
    layer = MinLSTM(3, 4)
    sums = torch.randn(7, 12) * 3
    a, b = layer.coefficients(sums)
    i, f, g = sums.chunk(3, -1)
    share = i.sigmoid() / (i.sigmoid() + f.sigmoid())
    torch.testing.assert_close(a + share, torch.ones(7, 4))
    torch.testing.assert_close(b, share * g)
    a, b = layer.coefficients(torch.tensor([[-200.0] * 8 + [1.0] * 4]))  # both sigmoids are 0 in single precision
    torch.testing.assert_close((a, b), (torch.full((1, 4), 0.5),) * 2)


@each_kind
@each_layer
def test_a_new_layer_of_the_same_arguments_takes_the_weights_strictly(kind, arguments):
    case = Case(kind, arguments)
    layer, other = make(case), make_layer(scan, case)
    other.load_state_dict(layer.state_dict(), strict=True)
    for copied in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(copied) == repr(layer)
        torch.testing.assert_close(compute(copied, case), compute(layer, case), rtol=0, atol=0)
    assert sum(len(names) for names in layer.all_weights) == len(layer.state_dict())


def test_repr():
    assert repr(MinGRU(3, 4, 2, batch_first=True)) == "MinGRU(3, 4, num_layers=2, batch_first=True)"
    assert repr(MinLSTM(3, 4, bias=False)) == "MinLSTM(3, 4, bias=False)"


@each_kind
@pytest.mark.parametrize("T", [1, 3000])
def test_one_step_one_sequence_and_a_long_one(kind, T):
    layer = make(Case(kind, {"num_layers": 2, "bidirectional": True}, dtype=torch.float32))
    x = torch.randn(T, 2, 3)
    output, state = layer(x)
    assert output.shape == (T, 2, 8) and state.shape == (4, 2, 4) and output.isfinite().all()
    alone, alone_state = layer(x[:, 0])
    torch.testing.assert_close((output[:, 0], state[:, 0]), (alone, alone_state), rtol=1e-4, atol=1e-5)


@each_kind
def test_a_step_at_a_time_with_the_state_carried(kind):
    """As decoding does it."""
    layer, x = make(Case(kind)), torch.randn(9, 2, 3, dtype=torch.float64)
    whole, final = layer(x)
    state, outputs = None, []
    for x_t in x:
        output, state = layer(x_t.unsqueeze(0), state)
        outputs.append(output)
    torch.testing.assert_close((torch.cat(outputs), state), (whole, final))


@each_kind
def test_an_empty_batch_gives_an_empty_output(kind):
    x = torch.zeros(3, 0, 3, requires_grad=True)
    output, state = getattr(scan, kind)(3, 4, 2, bidirectional=True)(x)
    theirs = nn.GRU(3, 4, 2, bidirectional=True)(x)
    assert [part.shape for part in (output, state)] == [part.shape for part in theirs]
    output.sum().backward()
    assert x.grad.shape == x.shape


@each_kind
def test_input_and_state_need_not_be_contiguous(kind):
    layer = make(Case(kind, {"num_layers": 2}, dtype=torch.float32))
    x, state = torch.randn(2, 3, 40).permute(2, 0, 1), torch.randn(2, 1, 4).expand(-1, 2, -1)
    torch.testing.assert_close(layer(x, state), layer(x.contiguous(), state.contiguous()))


@each_kind
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtypes_in_training_and_without_gradients(kind, dtype):
    layer = getattr(scan, kind)(3, 4, 2, dropout=0.5, dtype=dtype)
    x = torch.randn(5, 2, 3, dtype=dtype)
    with torch.no_grad():
        assert {part.dtype for part in layer(x)} == {dtype}
    layer(x)[0].sum().backward()
    assert all(weight.grad.dtype == dtype for weight in layer.parameters())


@each_kind
def test_dropout_acts_between_layers_in_training_only(kind):
    layer = getattr(scan, kind)(3, 4, 2, dropout=0.5)
    x = torch.randn(9, 2, 3)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    with pytest.warns(UserWarning, match="dropout=0.5 does nothing with num_layers=1") as record:
        getattr(scan, kind)(3, 4, dropout=0.5)
    assert [warning.filename for warning in record] == [__file__]


@each_kind
def test_device_meta_for_a_layer(kind):
    layer = getattr(scan, kind)(3, 4, **STACKED, device="meta")
    output, state = layer(torch.zeros(2, 5, 3, device="meta"))
    assert output.is_meta and output.shape == (2, 5, 8) and state.shape == (4, 2, 4)
    layer = layer.to_empty(device="cpu")
    layer.reset_parameters()
    assert layer(torch.zeros(2, 5, 3))[0].isfinite().all()


@each_kind
def test_input_or_state_on_another_device_is_refused(kind):
    layer, x, state = getattr(scan, kind)(3, 4), torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)
    for name, arguments in {"input": (x.to("meta"),), "hx": (x, state.to("meta"))}.items():
        with pytest.raises(RuntimeError, match=f"{name} should be on the weights' device cpu, got meta"):
            layer(*arguments)


@each_kind
def test_autocast(kind):
    """In bfloat16, close to single precision; the gradients of the weights stay in single precision."""
    case = Case(kind, STACKED, lengths=(40, 40), dtype=torch.float32)
    layer = make_layer(scan, case)
    x, (state,) = make_input(case), make_state(case)
    expected, _ = layer(x, state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, final = layer(x, state)
    assert output.dtype == final.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=0.1, rtol=0)
    output.sum().backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.isfinite().all() for weight in layer.parameters())


@each_kind
@each_layer
def test_compile_a_layer_without_a_graph_break(kind, arguments):
    torch.compiler.reset()
    case = Case(kind, arguments, lengths=(5, 5))
    layer = make(case)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, state = make_input(case), make_state(case)
    results = []
    for function in (layer, compiled):
        output, final = function(x, *state)
        results.append([output, final, *torch.autograd.grad(output.pow(2).sum(), [x, *state, *layer.parameters()])])
    torch.testing.assert_close(results[1], results[0])


@each_kind
def test_vmap_gives_the_gradient_of_every_example(kind):
    layer = make(Case(kind, {"num_layers": 2, "bidirectional": True}))
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}
    x = torch.randn(40, 4, 3, dtype=torch.float64)

    def loss(weights, example):
        return functional_call(layer, weights, (example,))[0].pow(2).sum()

    together = vmap(grad(loss), in_dims=(None, 1))(weights, x)
    for number in range(4):
        alone = torch.autograd.grad(layer(x[:, number])[0].pow(2).sum(), list(layer.parameters()))
        torch.testing.assert_close([gradient[number] for gradient in together.values()], list(alone))


@each_kind
def test_a_caller_may_write_into_what_comes_out(kind):
    torch.manual_seed(0)
    layer, x = getattr(scan, kind)(3, 4, 2), torch.randn(40, 2, 3)
    gradients = []
    for in_place in (False, True):
        output, final = layer(x)
        output, final = (output.mul_(2), final.mul_(2)) if in_place else (output * 2, final * 2)
        gradients.append(torch.autograd.grad(output.sum() + final.sum(), list(layer.parameters())))
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_a_subclass_with_another_candidate():
    """As the docstring says: only the coefficients are to be defined."""

    class PositiveMinGRU(MinGRU):
        def coefficients(self, x):
            z, n = x.chunk(2, -1)
            return torch.sigmoid(-z), torch.sigmoid(z) * torch.where(n >= 0, n + 0.5, n.sigmoid())

    layer, x = PositiveMinGRU(3, 4), torch.randn(40, 2, 3)
    h_0 = torch.rand(1, 2, 4)
    a, b = layer.coefficients(nn.functional.linear(x, layer.weight_ih_l0, layer.bias_ih_l0))
    torch.testing.assert_close(layer(x, h_0)[0], log_space_scan(a.log(), b.log(), h_0[0].log()), rtol=1e-4, atol=1e-5)
    assert check_layer(PositiveMinGRU)


# Wrong arguments and wrong calls: nn's GRU says what to raise

ROWS = [(what, act, name) for what, kinds, act, name in CONSTRUCTIONS + LAYER_CALLS if set(GRU) <= set(kinds)]
ROWS = [row for row in ROWS if row[2] != "nonlinearity"]
CALLS = {what for what, _, _, _ in LAYER_CALLS}


def refused(act, library, kind, what):
    """The exception that a library raises for a row of the tables."""
    with warnings.catch_warnings(), pytest.raises(Exception) as caught:
        warnings.simplefilter("error" if library is scan else "ignore")
        act(getattr(library, kind)(3, 4) if what in CALLS else getattr(library, kind), "GRU")
    return caught


@each_kind
@pytest.mark.parametrize("what, act, name", ROWS, ids=[row[0] for row in ROWS])
def test_a_layer_refuses_what_nn_refuses(what, act, name, kind):
    ours, theirs = refused(act, scan, kind, what), refused(act, nn, "GRU", what)
    assert isinstance(ours.value, theirs.type) and name in str(ours.value)


def test_the_table_is_long():
    assert len(ROWS) >= 50
