"""The SRU against the recorded numbers of its authors' package, against its equations, and as a layer like nn's."""

import copy
import itertools
import json
import math
import pickle
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, vmap
from torch.nn.utils.rnn import pack_sequence

from companion import sru
from companion.kernels import sru_recurrence
from companion.kernels.sru_eager import sru_by_hand, sru_plain
from companion.sru import SRU, SRUCell
from companion.steps import sru_step
from tests.strategies import (
    FORMS,
    Case,
    assert_same,
    compute,
    make_input,
    make_layer,
    make_state,
    pack,
    pack_state,
    randomize,
    run,
    weighted_sum,
    with_arguments,
)
from tests.test_bad_input import CELL_CALLS, CONSTRUCTIONS, GRU, LAYER_CALLS

STACKED = {"num_layers": 2, "bidirectional": True}
EVERYTHING = STACKED | {
    "batch_first": True,
    "projection_size": 2,
    "highway_bias": -1.0,
    "rescale": True,
    "layer_norm": True,
    "use_tanh": True,
}
LAYERS = {
    "plain": {},
    "stacked": STACKED,
    "without bias": {"bias": False, "num_layers": 2},
    "everything": EVERYTHING,
    "normalized after": {"layer_norm": True, "normalize_after": True, "num_layers": 2},
    "rescaled": {"rescale": True, "highway_bias": -2.0, "num_layers": 2},
}
each_layer = pytest.mark.parametrize("arguments", LAYERS.values(), ids=LAYERS)
each_form = pytest.mark.parametrize("form", FORMS)


def make(case):
    """The case's layer with larger weights and biases than a new one's."""
    layer = make_layer(sru, case)
    randomize(layer, case.seed)
    return layer


# The authors' package, version 2.6.0, as it was recorded

RECORDED = safe_open(Path(__file__).parent / "data" / "sru-reference.safetensors", "pt")
RECORDED_NAMES = sorted(RECORDED.keys())  # two workers must collect the same order
RECORDED_CASES = {name: json.loads(arguments) for name, arguments in sorted(RECORDED.metadata().items())}


def recorded(case, start):
    """The tensors of a case whose names start like this, under the rest of their names."""
    start = f"{case}.{start}"
    names = [name for name in RECORDED_NAMES if name.startswith(start)]
    return {name.removeprefix(start): RECORDED.get_tensor(name) for name in names}


def by_direction(state, S):
    """A state of the authors' shape (L, B, S * H) in nn's, (S * L, B, H)."""
    L, B, width = state.shape
    return state.view(L, B, S, width // S).transpose(1, 2).reshape(L * S, B, width // S)


@pytest.mark.parametrize("case", RECORDED_CASES)
def test_outputs_states_and_gradients_are_those_of_the_authors_package(case):
    arguments = RECORDED_CASES[case]
    choices = {name: arguments[name] for name in ("bidirectional", "use_tanh") if name in arguments}
    S = 2 if arguments.get("bidirectional") else 1
    tensors, state = recorded(case, ""), recorded(case, "state.")
    layer = SRU.from_official(state, **choices)
    x = tensors["x"].requires_grad_()
    output, final = layer(x, by_direction(tensors["c0"], S))
    gradients = torch.autograd.grad(output.pow(2).sum() + final.sum(), [x, *layer.parameters()])
    names = ["x", *(name for name, _ in layer.named_parameters())]
    # Gradients are laid out as the weights are, so that what loads the ones loads the others.
    of_weights = SRU.from_official(state | recorded(case, "grad."), **choices).state_dict()
    ours = {"output": output, "state": final} | dict(zip(names, gradients, strict=True))
    theirs = {"output": tensors["out"], "state": by_direction(tensors["c_n"], S), "x": tensors["grad_x"]} | of_weights
    assert_same(ours, theirs, tolerance=2e-6)


def test_eight_cases_are_recorded():
    assert len(RECORDED_CASES) == 8


def test_what_a_checkpoint_tells_is_read_from_it():
    layers = {case: SRU.from_official(recorded(case, "state.")) for case in RECORDED_CASES}
    assert repr(layers["one_layer"]) == "SRU(5, 6)"
    assert repr(layers["projection"]) == "SRU(5, 6, num_layers=2, projection_size=2)"
    assert repr(layers["layer_norm"]) == "SRU(5, 6, num_layers=2, layer_norm=True)"
    assert repr(layers["highway_bias_rescaled"]) == "SRU(6, 6, num_layers=2, highway_bias=-2.0, rescale=True)"
    assert layers["one_layer"].training


def test_a_checkpoint_of_another_precision_and_of_an_odd_highway_bias():
    state = {name: weight.double() for name, weight in recorded("highway_bias_rescaled", "state.").items()}
    for name in ("rnn_lst.0.scale_x", "rnn_lst.1.scale_x"):
        state[name] = torch.tensor([1.2345])
    layer = SRU.from_official(state)
    assert layer.weight_c_l0.dtype == torch.float64
    assert layer.alpha == pytest.approx(1.2345, abs=1e-7)
    assert SRU.from_official(state, dtype=torch.float32).weight_c_l0.dtype == torch.float32


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda state: [], TypeError, "state_dict should be a mapping"),
        (lambda state: {}, ValueError, "rnn_lst.0"),
        (lambda state: SRU(5, 6).state_dict(), ValueError, "weight_ih_l0"),
        (lambda state: {**state, "rnn_lst.0.extra": state["rnn_lst.0.bias"]}, ValueError, "rnn_lst.0.extra"),
        (lambda state: {name: w for name, w in state.items() if "bias" not in name}, ValueError, "rnn_lst.0.bias"),
        (lambda state: {name.replace(".0.", ".1."): w for name, w in state.items()}, ValueError, "rnn_lst.0"),
        (lambda state: {**state, "rnn_lst.0.weight": torch.zeros(5, 18)}, ValueError, "weight_ih_l0"),
        (lambda state: {**state, "rnn_lst.0.weight": torch.zeros(5, 23)}, ValueError, "rnn_lst.0.weight"),
        (lambda state: {**state, "rnn_lst.0.weight_c": torch.zeros(10)}, ValueError, "rnn_lst.0.bias"),
        (lambda state: {**state, "rnn_lst.0.bias": torch.zeros(10)}, ValueError, "bias"),
    ],
)
def test_a_wrong_checkpoint_is_refused_by_name(change, error, message):
    with pytest.raises(error, match=message):
        SRU.from_official(change(recorded("one_layer", "state.")))


def test_an_odd_width_is_no_bidirectional_checkpoint():
    state = {"rnn_lst.0.weight": torch.zeros(5, 20), "rnn_lst.0.weight_c": torch.zeros(10)}
    with pytest.raises(ValueError, match="bidirectional=True"):
        SRU.from_official(state | {"rnn_lst.0.bias": torch.zeros(10)}, bidirectional=True)


# The equations


def slow_layer(layer, x, c_0):
    """A whole layer over one sequence (T, D) from c_0 (S * L, H), one unit and one direction at a time."""
    S, H = (2 if layer.bidirectional else 1), layer.hidden_size
    weights, finals = dict(layer.named_parameters()), []
    for number in range(layer.num_layers):
        source, outputs = x, []
        norm = (weights.get(f"layer_norm_weight_l{number}"), weights.get(f"layer_norm_bias_l{number}"))
        if layer.layer_norm and not layer.normalize_after:
            source = normalize(source, *norm)
        if f"weight_proj_l{number}" in weights:
            source = source @ weights[f"weight_proj_l{number}"].T
        for direction in range(S):
            end = f"_l{number}" + "_reverse" * direction
            W, W_f, W_r, *W_h = weights["weight_ih" + end].split(H)
            v_f, v_r = weights["weight_c" + end].chunk(2)
            b_f, b_r = weights["bias_ih" + end].chunk(2) if layer.bias else (0, 0)
            alpha = math.sqrt(1 + 2 * math.exp(layer.highway_bias)) if layer.rescale else 1
            c, by_time = c_0[number * S + direction], {}
            for t in reversed(range(len(x))) if direction else range(len(x)):
                f = 1 / (1 + torch.exp(-(W_f @ source[t] + v_f * c + b_f)))
                r = 1 / (1 + torch.exp(-(W_r @ source[t] + v_r * c + b_r)))
                highway = W_h[0] @ source[t] if W_h else alpha * x[t, direction * H : (direction + 1) * H]
                c = f * c + (1 - f) * (W @ source[t])
                by_time[t] = r * (c.tanh() if layer.use_tanh else c) + (1 - r) * highway
            outputs.append(torch.stack([by_time[t] for t in range(len(x))]))
            finals.append(c)
        x = torch.cat(outputs, 1)
        if layer.normalize_after:
            x = normalize(x, *norm)
    return x, torch.stack(finals)


def normalize(x, weight, bias):
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5) * weight + bias


@st.composite
def cases(draw, forms=FORMS, shortest=1, **fixed):
    """A layer with any arguments, an input in one of the forms, lengths, a state or none, a seed."""
    hidden_size, input_size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    arguments = {name: draw(st.booleans()) for name in ("bias", "batch_first", "bidirectional", "rescale", "use_tanh")}
    arguments["num_layers"] = draw(st.integers(1, 3))
    arguments["highway_bias"] = draw(st.sampled_from([0.0, -1.5])) if arguments["bias"] else 0.0
    arguments["layer_norm"] = draw(st.booleans())
    arguments["normalize_after"] = arguments["layer_norm"] and draw(st.booleans())
    width = hidden_size * (1 + arguments["bidirectional"])
    later = width if arguments["num_layers"] > 1 else 0
    arguments["projection_size"] = draw(st.integers(0, max(0, min(width, max(input_size, later)) - 1)))
    form, length = draw(st.sampled_from(forms)), st.integers(shortest, 6)
    if form == "packed":
        lengths = tuple(draw(st.lists(length, min_size=1, max_size=4)))
    else:
        lengths = (draw(length),) * (1 if form == "2-D" else draw(st.integers(1, 4)))
    case = Case(
        "SRU", arguments, input_size, hidden_size, form, lengths, draw(st.booleans()), seed=draw(st.integers(0, 2**32))
    )
    return replace(case, **fixed)


@settings(max_examples=100)
@given(cases(forms=("2-D",)))
def test_a_layer_computes_its_equations(case):
    """Outputs, final states and every gradient, against a layer written one unit at a time."""
    layer = make(case)

    class Slow(nn.Module):
        def forward(self, x, c_0=None):
            zeros = torch.zeros(case.state_rows, case.hidden_size, dtype=x.dtype)
            return slow_layer(layer, x, zeros if c_0 is None else c_0)

    slow = Slow()
    slow.named_parameters = layer.named_parameters
    assert_same(compute(layer, case), compute(slow, case), tolerance=1e-9)


def test_a_step_is_its_equations_one_unit_at_a_time():
    generator = torch.Generator().manual_seed(0)
    x, c, weight_c, bias, highway = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in [(2, 9), (2, 3), (6,), (6,), (2, 3)]
    )
    h, new = sru_step(x, c, weight_c, bias, highway)
    for b, k in itertools.product(range(2), range(3)):
        f = 1 / (1 + math.exp(-(x[b, 3 + k] + weight_c[k] * c[b, k] + bias[k])))
        r = 1 / (1 + math.exp(-(x[b, 6 + k] + weight_c[3 + k] * c[b, k] + bias[3 + k])))
        expected = f * c[b, k] + (1 - f) * x[b, k]
        assert float(new[b, k]) == pytest.approx(float(expected), rel=1e-12)
        assert float(h[b, k]) == pytest.approx(float(r * expected + (1 - r) * highway[b, k]), rel=1e-12)
    same = sru_step(torch.cat([x, highway], 1), c, weight_c, bias)
    torch.testing.assert_close(same, (h, new), rtol=0, atol=0)
    torch.testing.assert_close(sru_step(x[0], c[0], weight_c, bias, highway[0]), (h[0], new[0]))


def test_alpha_acts_once():
    """As a factor where the input is as wide as the output; elsewhere in the first weights only."""
    x = torch.randn(4, 2, 3)
    for input_size, acts in [(3, True), (2, False)]:
        plain, rescaled = SRU(input_size, 3), SRU(input_size, 3, rescale=True, highway_bias=-1.0)
        rescaled.load_state_dict(plain.state_dict())
        outputs = [layer(x[..., :input_size])[0] for layer in (plain, rescaled)]
        assert torch.equal(*outputs) != acts


# Every way to run the recurrence means the same

OPTIONS = {
    "plain": {},
    "reverse": {"reverse": True},
    "tanh and alpha": {"use_tanh": True, "alpha": 1.3},
    "padded": {"lengths": torch.tensor([7, 1, 4])},
    "padded, reverse": {"lengths": torch.tensor([2, 7, 0]), "reverse": True, "use_tanh": True},
    "dropout": {"dropout_mask": torch.tensor([[0.0, 2.0], [2.0, 0.0], [2.0, 2.0]], dtype=torch.float64)},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def arguments_of_a_recurrence(T, k, bias=True, dtype=torch.float64):
    """U, x, weight_c, bias and c_0 for B = 3 and H = 2."""
    generator = torch.Generator().manual_seed(T + k)
    shapes = [(T, 3, 2 * k), (T, 3, 2) if k == 3 else None, (4,), (4,) if bias else None, (3, 2)]
    return [
        None if shape is None else torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True)
        for shape in shapes
    ]


def everything(way, arguments, options):
    results = dict(zip(("h", "c_n"), way(*arguments, **options), strict=True))
    sources = [part for part in arguments if part is not None]
    gradients = torch.autograd.grad(weighted_sum(results.values(), seed=1), sources)
    return results | {f"gradient {number}": gradient for number, gradient in enumerate(gradients)}


@each_option
@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("T", [7, 1])
@pytest.mark.parametrize("way", [sru_by_hand, sru_recurrence])
def test_by_hand_is_what_autograd_gives(way, options, k, bias, T):
    if "lengths" in options:
        options = options | {"lengths": options["lengths"].clamp(max=T)}
    arguments = arguments_of_a_recurrence(T, k, bias)
    assert_same(everything(way, arguments, options), everything(sru_plain, arguments, options), tolerance=1e-12)


@each_option
@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_derivatives_of_the_recurrence(check, options, k):
    def outputs(*given):
        parts = iter(given)
        return sru_recurrence(*(None if part is None else next(parts) for part in arguments), **options)

    arguments = arguments_of_a_recurrence(7, k)
    assert check(outputs, tuple(part for part in arguments if part is not None))


@pytest.mark.parametrize("way", [sru_plain, sru_by_hand])
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_is_as_if_it_were_not_there(way, reverse):
    U, x, weight_c, bias, c_0 = arguments_of_a_recurrence(7, 3)
    lengths = [7, 3, 0]
    h, c_n = way(U, x, weight_c, bias, c_0, lengths=torch.tensor(lengths), reverse=reverse)
    for b, length in enumerate(lengths):
        assert not h[length:, b].any()
        if length == 0:
            torch.testing.assert_close(c_n[b], c_0[b], rtol=0, atol=0)
            continue
        alone = way(U[:length, [b]], x[:length, [b]], weight_c, bias, c_0[[b]], reverse=reverse)
        torch.testing.assert_close((h[:length, [b]], c_n[[b]]), alone)
    gradient = torch.autograd.grad(h.sum() + c_n.sum(), U)[0]
    assert not gradient[3:, 1].any() and not gradient[:, 2].any() and gradient[:3, 1].all()


@pytest.mark.parametrize("way", [sru_plain, sru_by_hand])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single_and_rounded_once(way, dtype):
    arguments = arguments_of_a_recurrence(300, 3, dtype=dtype)
    single = way(*(part.float() for part in arguments))
    results = way(*arguments)
    for result, expected in zip(results, single, strict=True):
        assert result.dtype == dtype
        torch.testing.assert_close(result, expected.to(dtype), rtol=0, atol=0)
    results[0].sum().backward()
    assert all(part.grad.dtype == dtype and part.grad.isfinite().all() for part in arguments)


def test_a_state_long_kept_is_kept_exactly():
    """Wide open forget gates: after 10,000 steps the state is what it was."""
    U = torch.tensor([0.5, 100.0, 0.0]).expand(10_000, 1, 3)
    c_0 = torch.tensor([[0.3]])
    h, c_n = sru_recurrence(U, torch.zeros(10_000, 1, 1), torch.zeros(2), None, c_0)
    assert torch.equal(c_n, c_0)
    assert h.shape == (10_000, 1, 1) and bool((h == c_n / 2).all())


# What holds for every layer


@settings(max_examples=100)
@given(cases(shortest=2), st.data())
def test_two_halves_with_the_state_carried_are_the_whole(case, data):
    case = with_arguments(case, bidirectional=False, projection_size=0)
    cut = data.draw(st.integers(1, min(case.lengths) - 1), "cut")
    first = replace(case, lengths=(cut,) * len(case.lengths))
    second = replace(case, lengths=tuple(length - cut for length in case.lengths))
    layer, x, initial = make(case), make_input(case), make_state(case)
    time = 1 if case.batch_first and case.form != "2-D" else 0
    whole, final = run(layer, case, x, initial)
    first_half, carried = run(layer, first, x.narrow(time, 0, cut), initial)
    second_half, final_of_halves = run(layer, second, x.narrow(time, cut, x.shape[time] - cut), carried)
    torch.testing.assert_close(torch.cat([first_half, second_half], time), whole)
    torch.testing.assert_close(final_of_halves, final)


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


@settings(max_examples=50)
@given(cases(forms=("packed",)))
def test_packed_is_padded_in_outputs_states_and_gradients(case):
    """For equal lengths, where both ways can be taken."""
    case = replace(case, lengths=(case.lengths[0],) * len(case.lengths))
    layer, x, state, results = make(case), make_input(case), make_state(case), []
    for form in ("packed", "3-D"):
        output, final = run(layer, replace(case, form=form), x, state)
        sources = [x, *state, *layer.parameters()]
        results.append([output, *final, *torch.autograd.grad(weighted_sum((output, *final), 1), sources)])
    torch.testing.assert_close(*results)


@settings(max_examples=50)
@given(cases(forms=("3-D",)))
def test_the_reverse_direction_is_the_forward_one_over_the_flipped_sequence(case):
    case = with_arguments(case, num_layers=1, bidirectional=True, projection_size=0, batch_first=False)
    case = with_arguments(case, layer_norm=False, normalize_after=False)
    layer, x, H = make(case), make_input(case), case.hidden_size
    swapped = copy.deepcopy(layer)
    for name in [name for name, _ in layer.named_parameters() if not name.endswith("_reverse")]:
        ours, other = layer.get_parameter(name), layer.get_parameter(name + "_reverse")
        swapped.get_parameter(name).data.copy_(other.detach())
        swapped.get_parameter(name + "_reverse").data.copy_(ours.detach())
    output, final = layer(x)
    mirrored = x.flip(0)
    if case.input_size == 2 * H:  # each direction has its own half of the highway
        mirrored = torch.cat([mirrored[..., H:], mirrored[..., :H]], -1)
        for name in ("weight_ih_l0", "weight_ih_l0_reverse"):
            weight = swapped.get_parameter(name).data
            weight.copy_(torch.cat([weight[:, H:], weight[:, :H]], 1))
    other, other_final = swapped(mirrored)
    torch.testing.assert_close(torch.cat([other[..., H:], other[..., :H]], -1).flip(0), output)
    torch.testing.assert_close(other_final.flip(0), final)


def test_at_least_400_cases_are_drawn():
    drawn = [test for test in vars(sys.modules[__name__]).values() if hasattr(test, "hypothesis")]
    assert sum(test._hypothesis_internal_use_settings.max_examples for test in drawn) >= 400


@each_layer
@pytest.mark.parametrize("form", ["3-D", "packed"])
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_derivatives_of_a_layer(check, arguments, form):
    arguments = arguments | ({"projection_size": 1} if "projection_size" in arguments else {})
    hidden_size = 1 if arguments == STACKED else 2
    lengths = (1, 2) if form == "packed" else (2, 2)
    case = Case("SRU", arguments, 2, hidden_size, form, lengths, seed=3)
    layer, x, state = make(case), make_input(case), make_state(case)
    weights = dict(layer.named_parameters())

    def outputs(x, state, *values):
        given = pack(case, x) if form == "packed" else x
        output, final = functional_call(layer, dict(zip(weights, values, strict=True)), (given, state))
        return (output.data if form == "packed" else output), final

    assert check(outputs, (x, *state, *weights.values()))


@each_layer
def test_a_new_layer_of_the_same_arguments_takes_the_weights_strictly(arguments):
    case = Case("SRU", arguments)
    layer, other = make(case), make_layer(sru, case)
    other.load_state_dict(layer.state_dict(), strict=True)
    for copied in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(copied) == repr(layer)
        torch.testing.assert_close(compute(copied, case), compute(layer, case), rtol=0, atol=0)
    assert sum(len(names) for names in layer.all_weights) == len(layer.state_dict())


def test_names_and_shapes_of_the_weights():
    layer = SRU(7, 4, 2, bidirectional=True, projection_size=3)
    assert {name: tuple(weight.shape) for name, weight in layer.named_parameters()} == {
        "weight_ih_l0": (16, 3),
        "weight_c_l0": (8,),
        "bias_ih_l0": (8,),
        "weight_proj_l0": (3, 7),
        "weight_ih_l0_reverse": (16, 3),
        "weight_c_l0_reverse": (8,),
        "bias_ih_l0_reverse": (8,),
        "weight_ih_l1": (12, 3),
        "weight_c_l1": (8,),
        "bias_ih_l1": (8,),
        "weight_proj_l1": (3, 8),
        "weight_ih_l1_reverse": (12, 3),
        "weight_c_l1_reverse": (8,),
        "bias_ih_l1_reverse": (8,),
    }
    assert "weight_proj_l0" not in SRU(3, 4, 2, projection_size=3).state_dict()  # it would save nothing there
    assert list(SRU(3, 3, bias=False, layer_norm=True).state_dict()) == [
        "weight_ih_l0", "weight_c_l0", "layer_norm_weight_l0", "layer_norm_bias_l0"
    ]  # fmt: skip


def test_new_weights_have_the_variances_they_should():
    torch.manual_seed(0)
    H, D = 300, 200
    layer = SRU(D, H, 2, dropout=0.36, rescale=True, highway_bias=-2.0)
    alpha = math.sqrt(1 + 2 * math.exp(-2))
    factors = {"weight_ih_l0": (0.8, 0.5**0.5, 0.5**0.5, alpha), "weight_ih_l1": (1, 0.5**0.5, 0.5**0.5)}
    for (name, by_block), fan_in in zip(factors.items(), (D, H), strict=True):
        for block, factor in zip(layer.get_parameter(name).detach().split(H), by_block, strict=True):
            assert float(block.std()) == pytest.approx(factor / math.sqrt(fan_in), rel=0.02)
            assert float(block.abs().max()) <= factor * math.sqrt(3 / fan_in) + 1e-6
    assert float(layer.weight_c_l0.std()) == pytest.approx(0.5**0.5, rel=0.06)
    assert layer.bias_ih_l1.tolist() == [0.0] * H + [-2.0] * H
    normalized = SRU(D, H, layer_norm=True, projection_size=100)
    assert float(normalized.weight_ih_l0[:H].std()) == pytest.approx(0.1 / math.sqrt(100), rel=0.02)
    assert float(normalized.weight_proj_l0.std()) == pytest.approx(1 / math.sqrt(D), rel=0.02)
    assert normalized.layer_norm_weight_l0.unique().tolist() == [1.0]


def test_rescaling_keeps_the_variance_of_a_deep_stack():
    torch.manual_seed(0)
    x = torch.randn(50, 20, 64)
    spread = [float(SRU(64, 64, 8, rescale=rescale)(x)[0].std()) for rescale in (False, True)]
    assert spread[0] < 0.3 < 0.6 < spread[1]


# Forms, dtypes, devices, and what functions of torch make of the layer


@each_layer
def test_one_step_one_sequence_and_a_long_one(arguments):
    case = Case("SRU", arguments | {"batch_first": False}, dtype=torch.float32)
    layer = make(case)
    for T in (1, 3000):
        x = torch.randn(T, 2, 3)
        output, state = layer(x)
        assert output.isfinite().all() and output.shape[:2] == (T, 2) and state.shape == (case.state_rows, 2, 4)
        alone, alone_state = layer(x[:, 0])
        torch.testing.assert_close((output[:, 0], state[:, 0]), (alone, alone_state), rtol=1e-4, atol=1e-5)


@each_layer
def test_input_and_state_need_not_be_contiguous(arguments):
    case = Case("SRU", arguments | {"batch_first": False}, dtype=torch.float32)
    layer = make(case)
    x = torch.randn(2, 3, 9).permute(2, 0, 1)  # (T, B, D)
    state = torch.randn(case.state_rows, 1, 4).expand(-1, 2, -1)
    torch.testing.assert_close(layer(x, state), layer(x.contiguous(), state.contiguous()))
    assert layer(x)[0].is_contiguous()


@each_layer
def test_an_empty_batch_gives_an_empty_output(arguments):
    layer = SRU(3, 4, **arguments | {"batch_first": False})
    theirs = nn.GRU(3, 4, layer.num_layers, bidirectional=layer.bidirectional)
    x = torch.zeros(3, 0, 3, requires_grad=True)
    output, state = layer(x)
    assert [part.shape for part in (output, state)] == [part.shape for part in theirs(x)]
    output.sum().backward()
    assert x.grad.shape == x.shape


@each_layer
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtypes_in_training_and_without_gradients(arguments, dtype):
    """The authors' package fails in double precision without gradients, and in training with dropout."""
    dropped = {"dropout": 0.5} if arguments.get("num_layers", 1) > 1 else {}
    layer = SRU(3, 4, **arguments, **dropped, dtype=dtype)
    x = torch.randn(5, 2, 3, dtype=dtype)
    with torch.no_grad():
        assert {part.dtype for part in layer(x)} == {dtype}
    layer(x)[0].sum().backward()
    assert all(weight.grad.dtype == dtype for weight in layer.parameters())


def test_device_meta_holds_shapes_without_numbers():
    layer = SRU(3, 4, **EVERYTHING, device="meta")
    output, state = layer(torch.zeros(2, 5, 3, device="meta"))
    assert output.is_meta and output.shape == (2, 5, 8) and state.shape == (4, 2, 4)
    layer = layer.to_empty(device="cpu")
    layer.reset_parameters()
    assert layer(torch.zeros(2, 5, 3))[0].isfinite().all()


def test_input_or_state_on_another_device_is_refused():
    layer, cell, elsewhere = SRU(3, 4), SRUCell(3, 4), torch.device("meta")
    for act, name in [
        (lambda: layer(torch.zeros(5, 2, 3, device=elsewhere)), "input"),
        (lambda: layer(torch.zeros(5, 2, 3), torch.zeros(1, 2, 4, device=elsewhere)), "hx"),
        (lambda: cell(torch.zeros(2, 3, device=elsewhere)), "input"),
        (lambda: cell(torch.zeros(2, 3), torch.zeros(2, 4, device=elsewhere)), "hx"),
    ]:
        with pytest.raises(RuntimeError, match=f"{name} should be on the weights' device cpu, got meta"):
            act()


@each_layer
def test_autocast(arguments):
    """In bfloat16, close to single precision; the gradients of the weights stay in single precision."""
    case = Case("SRU", arguments, dtype=torch.float32)
    layer = make_layer(sru, case)
    x, state = make_input(case), pack_state(make_state(case))
    expected, _ = layer(x, state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, final = layer(x, state)
    assert final.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=0.1, rtol=0)
    output.sum().backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.isfinite().all() for weight in layer.parameters())


@each_layer
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # loop and, with numba, operator
def test_compile_without_a_graph_break(arguments, dtype):
    torch.compiler.reset()  # after eight kinds of layer it would give up on forward
    case = Case("SRU", arguments, lengths=(3, 3), dtype=dtype)
    layer, x, state = make(case), make_input(case), make_state(case)
    results = []
    for function in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
        output, final = function(x, *state)
        results.append([output, final, *torch.autograd.grad(output.pow(2).sum(), [x, *state, *layer.parameters()])])
    torch.testing.assert_close(results[1], results[0])


@each_layer
def test_vmap_gives_the_gradient_of_every_example(arguments):
    layer = make(Case("SRU", arguments | {"batch_first": False}))
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}
    x = torch.randn(5, 4, 3, dtype=torch.float64)

    def loss(weights, example):
        return functional_call(layer, weights, (example,))[0].pow(2).sum()

    together = vmap(grad(loss), in_dims=(None, 1))(weights, x)
    for number in range(4):
        alone = torch.autograd.grad(layer(x[:, number])[0].pow(2).sum(), list(layer.parameters()))
        torch.testing.assert_close([gradient[number] for gradient in together.values()], list(alone))


@each_layer
def test_forward_mode_gives_what_backward_gives(arguments):
    layer, x = make(Case("SRU", arguments)), torch.randn(2, 5, 3, dtype=torch.float64)
    tangent = torch.randn_like(x)
    _, product = torch.func.jvp(lambda x: layer(x)[0].sum(), (x,), (tangent,))
    (gradient,) = torch.autograd.grad(layer(x.requires_grad_())[0].sum(), x)
    torch.testing.assert_close(product, (gradient * tangent).sum())


def test_a_caller_may_write_into_what_comes_out():
    torch.manual_seed(0)
    layer, x = SRU(3, 4, 2), torch.randn(7, 2, 3)
    gradients = []
    for in_place in (False, True):
        output, final = layer(x)
        output, final = (output.mul_(2), final.mul_(2)) if in_place else (output * 2, final * 2)
        gradients.append(torch.autograd.grad(output.sum() + final.sum(), list(layer.parameters())))
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_only_what_is_needed_gets_a_gradient():
    layer, x = SRU(3, 3), torch.randn(7, 2, 3)
    layer.weight_c_l0.requires_grad_(False)
    layer(x)[0].sum().backward()
    assert x.grad is None and layer.weight_c_l0.grad is None and layer.weight_ih_l0.grad is not None


def test_an_input_computed_from_another_gets_each_gradient_once():
    """In double backward too: the state depends on the input here, and the replay must not follow that path again."""

    def second(way):
        U, x, weight_c, bias, _ = arguments_of_a_recurrence(4, 3)
        (first,) = torch.autograd.grad(way(U, x, weight_c, bias, x[0].sin())[0].pow(2).sum(), x, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), x)[0]

    torch.testing.assert_close(second(sru_by_hand), second(sru_plain))


# Dropout


@each_form
def test_dropout_has_one_mask_for_all_steps_and_passes_the_highway_on(form):
    """Candidates of 1, open gates, no input: a kept unit gives 1 / (1 - p), a dropped one the highway's 0."""
    p, layer = 0.25, SRU(1, 400, 2, dropout=0.25, dtype=torch.float64)
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    layer.bias_ih_l0.data[:400], layer.bias_ih_l0.data[400:] = -100.0, 100.0  # forget all, show all
    layer.weight_ih_l0.data[:400] = 1.0
    layer.bias_ih_l1.data[400:] = -100.0  # the second layer passes its input on
    x = torch.ones(6, 5, 1, dtype=torch.float64)
    if form == "packed":
        packed = pack_sequence([x[:4, 0], x[:, 1], x[:2, 2]], enforce_sorted=False)
        output, lengths = nn.utils.rnn.pad_packed_sequence(layer(packed)[0])
        assert lengths.tolist() == [4, 6, 2]
        output = output[:2]
    else:
        output = layer(x[:, 0])[0].unsqueeze(1) if form == "2-D" else layer(x)[0]
    assert output.detach().unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    assert bool((output == output[:1]).all())
    assert float((output[0] == 0).double().mean()) == pytest.approx(p, abs=0.08)
    if form != "2-D":
        assert not torch.equal(output[:, 0], output[:, 1])
    assert not torch.equal(layer(x)[0], layer(x)[0])
    assert torch.equal(layer.eval()(x)[0], torch.ones(6, 5, 400, dtype=torch.float64))


def test_dropout_of_everything_leaves_the_highway_and_the_last_layer_is_spared():
    torch.manual_seed(0)
    layer = SRU(3, 3, 2, dropout=1.0)
    last = SRU(3, 3)
    last.load_state_dict({name.replace("_l1", "_l0"): w for name, w in layer.state_dict().items() if "_l1" in name})
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(layer(x)[0], last(x)[0])


def test_dropout_with_one_layer_does_nothing_and_warns():
    with pytest.warns(UserWarning, match="dropout=0.5 does nothing with num_layers=1") as record:
        SRU(3, 4, dropout=0.5)
    assert [warning.filename for warning in record] == [__file__]


# One step as a module


@pytest.mark.parametrize("input_size", [3, 4])
@pytest.mark.parametrize("choices", [{}, {"bias": False}, {"rescale": True, "use_tanh": True, "highway_bias": -1.0}])
def test_a_cell_in_a_loop_is_a_layer(input_size, choices):
    cell, layer = (make(input_size, 4, **choices, dtype=torch.float64) for make in (SRUCell, SRU))
    randomize(layer, seed=5)
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in layer.state_dict().items()})
    x, c = torch.randn(9, 2, input_size, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    output, final = layer(x, c.unsqueeze(0))
    for t in range(9):
        h, c = cell(x[t], c)
        torch.testing.assert_close(h, output[t])
    torch.testing.assert_close(c, final[0])
    torch.testing.assert_close(cell(x[0, 0]), tuple(part[0] for part in cell(x[0])))


def test_repr_of_layer_and_cell():
    assert repr(SRU(3, 4, 2, rescale=True, use_tanh=True)) == "SRU(3, 4, num_layers=2, rescale=True, use_tanh=True)"
    assert repr(SRUCell(3, 4, bias=False, rescale=True)) == "SRUCell(3, 4, bias=False, rescale=True)"


def test_a_cell_has_the_first_weights_of_a_layer():
    made = []
    for make_one in (SRU, SRUCell):
        torch.manual_seed(3)
        made.append(list(make_one(3, 4, rescale=True, highway_bias=-1.0).parameters()))
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)


@pytest.mark.parametrize("sizes", [(0, 4), (3, 0)])
def test_a_cell_may_have_sizes_of_zero_as_in_nn(sizes):
    h, c = SRUCell(*sizes)(torch.zeros(2, sizes[0]))
    assert h.shape == c.shape == (2, sizes[1])


# Wrong arguments and wrong calls: nn's GRU says what to raise, there being no SRU of its own

LAYER_ROWS = [(what, act, name) for what, kinds, act, name in CONSTRUCTIONS + LAYER_CALLS if set(GRU) <= set(kinds)]
LAYER_ROWS = [row for row in LAYER_ROWS if row[2] != "nonlinearity"]
CELL_ROWS = [(what, act, name) for what, kinds, act, name in CONSTRUCTIONS + CELL_CALLS if "GRUCell" in kinds]
CALLS = {what for what, _, _, _ in LAYER_CALLS + CELL_CALLS}
OURS = [
    ("projection_size a float", lambda layer: layer(3, 4, projection_size=2.0), TypeError, "projection_size"),
    ("projection_size negative", lambda layer: layer(3, 4, projection_size=-1), ValueError, "projection_size"),
    ("projection_size of no use", lambda layer: layer(3, 4, projection_size=3), ValueError, "projection_size"),
    ("projection_size too wide", lambda layer: layer(9, 4, 2, projection_size=4), ValueError, "projection_size"),
    ("highway_bias a string", lambda layer: layer(3, 4, highway_bias="-1"), TypeError, "highway_bias"),
    ("highway_bias a bool", lambda layer: layer(3, 4, highway_bias=True), TypeError, "highway_bias"),
    ("highway_bias infinite", lambda layer: layer(3, 4, highway_bias=math.inf), ValueError, "highway_bias"),
    ("highway_bias without bias", lambda layer: layer(3, 4, bias=False, highway_bias=-1.0), ValueError, "highway_bias"),
    ("rescale an int", lambda layer: layer(3, 4, rescale=1), TypeError, "rescale"),
    ("layer_norm None", lambda layer: layer(3, 4, layer_norm=None), TypeError, "layer_norm"),
    ("normalize_after alone", lambda layer: layer(3, 4, normalize_after=True), ValueError, "normalize_after"),
    ("use_tanh a string", lambda layer: layer(3, 4, use_tanh="tanh"), TypeError, "use_tanh"),
    ("more arguments by place", lambda layer: layer(3, 4, 1, True, False, 0.0, False, 0), TypeError, "positional"),
]


def refused(act, library, kind, what):
    """The exception that a library raises for a row of the tables."""
    with warnings.catch_warnings(), pytest.raises(Exception) as caught:
        warnings.simplefilter("error" if library is sru else "ignore")
        act(getattr(library, kind)(3, 4) if what in CALLS else getattr(library, kind), "GRU")
    return caught


@pytest.mark.parametrize("what, act, name", LAYER_ROWS, ids=[row[0] for row in LAYER_ROWS])
def test_a_layer_refuses_what_nn_refuses(what, act, name):
    ours, theirs = refused(act, sru, "SRU", what), refused(act, nn, "GRU", what)
    assert isinstance(ours.value, theirs.type) and name in str(ours.value)


@pytest.mark.parametrize("what, act, name", CELL_ROWS, ids=[row[0] for row in CELL_ROWS])
def test_a_cell_refuses_what_nn_refuses(what, act, name):
    ours, theirs = refused(act, sru, "SRUCell", what), refused(act, nn, "GRUCell", what)
    assert isinstance(ours.value, theirs.type) and name in str(ours.value)


@pytest.mark.parametrize("what, act, error, name", OURS, ids=[row[0] for row in OURS])
def test_arguments_of_its_own_are_checked(what, act, error, name):
    with pytest.raises(error, match=name):
        act(SRU)


def test_the_tables_are_long():
    assert len(LAYER_ROWS) >= 50 and len(CELL_ROWS) >= 20
