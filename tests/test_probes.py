"""What the probes see is what the layers do: outputs rebuilt from gates, gradients beside other ways to them."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import companion
from companion.layers import GRU, LSTM, RNN, RecurrentLayer
from companion.probes import correlate_with, gradient_norms, record_gates, saturation, time_constants
from tests.strategies import (
    Case,
    cases,
    make_input,
    make_state,
    make_twins,
    pack,
    pack_state,
    randomize,
    run,
    weighted_sum,
)

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

both_libraries = pytest.mark.parametrize("library", [nn, companion], ids=["nn", "companion"])
each_kind = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


def record(layer, case):
    """What was recorded, each as (T, B, units), by place and name."""
    x = make_input(case)
    recorded = record_gates(layer, pack(case, x) if case.form == "packed" else x, pack_state(make_state(case)))
    return {
        place: {name: time_first(values, case) for name, values in by_name.items()}
        for place, by_name in recorded.items()
    }


def time_first(values, case):
    if case.form == "packed":
        return pad_packed_sequence(values)[0]
    if case.form == "2-D":
        return values.unsqueeze(1)
    return values.transpose(0, 1) if case.batch_first else values


# Gates


def rebuild(values, kind, initial, weight_hr=None, lengths=None, reverse=False):
    """The states h of one layer in one direction, (T, B, ·), from what was recorded of its gates alone."""
    T, states = values["h"].shape[0], []
    parts = list(initial)
    for t in reversed(range(T)) if reverse else range(T):
        now = {name: value[t] for name, value in values.items()}
        if kind == "GRU":
            after = [(1 - now["z"]) * now["n"] + now["z"] * parts[0]]
        else:
            c = now["f"] * parts[1] + now["i"] * now["g"]
            h = now["o"] * torch.tanh(c)
            after = [h if weight_hr is None else h @ weight_hr.T, c]
        running = (t < lengths).unsqueeze(1)  # (B, 1): a sequence that is over, or not begun, keeps its state
        parts = [torch.where(running, new, old) for new, old in zip(after, parts, strict=True)]
        states.append(parts[0] * running)
    return torch.stack(states[::-1] if reverse else states)


@settings(max_examples=150)
@given(cases())
def test_gates_rebuild_the_outputs(case):
    """Through every layer and direction, however it is built and called: from the gates alone, equal to rounding."""
    if case.kind == "RNN":
        case = replace(case, kind="GRU", arguments={k: v for k, v in case.arguments.items() if k != "nonlinearity"})
    _, layer = make_twins(case)
    recorded = record(layer, case)
    outputs, _ = run(layer.eval(), case, make_input(case), make_state(case))
    states = make_state(case) or [torch.zeros(case.state_rows, len(case.lengths), n).double() for n in case.state_sizes]
    if states[0].dim() == 2:
        states = [part.unsqueeze(1) for part in states]
    for number, (place, values) in enumerate(recorded.items()):
        initial = [part[number] for part in states]
        weight_hr = getattr(layer, f"weight_hr_{place}", None)
        rebuilt = rebuild(values, case.kind, initial, weight_hr, torch.tensor(case.lengths), "reverse" in place)
        torch.testing.assert_close(rebuilt, values["h"], rtol=0, atol=1e-12)
    directions = 2 if layer.bidirectional else 1
    top = torch.cat([values["h"] for values in list(recorded.values())[-directions:]], -1)
    outputs = time_first(outputs, replace(case, form="3-D") if case.form == "packed" else case)
    torch.testing.assert_close(top, outputs, rtol=0, atol=1e-12)


@settings(max_examples=50)
@given(cases(forms=("3-D", "2-D")))
def test_nns_layers_are_read_as_their_twins_are(case):
    theirs, ours = make_twins(case)
    for place, values in record(theirs, case).items():
        torch.testing.assert_close(values, record(ours, case)[place], rtol=0, atol=0)


@settings(max_examples=50)
@given(cases(forms=("3-D",), kind="GRU", arguments={"bidirectional": True}))
def test_gates_are_those_of_the_equations(case):
    """Computed once more from the weights, the input and the state before: not only their mix is right."""
    _, layer = make_twins(case)
    values, x = record(layer, case)["l0"], make_input(case)
    first = make_state(case)[0][:1] if case.with_state else torch.zeros(1, *values["h"].shape[1:]).double()
    before = torch.cat([first, values["h"][:-1]])
    x_r, x_z, x_n = F.linear(x, layer.weight_ih_l0, layer.bias_ih_l0).chunk(3, -1)
    h_r, h_z, h_n = F.linear(before, layer.weight_hh_l0, layer.bias_hh_l0).chunk(3, -1)
    torch.testing.assert_close(values["r"], torch.sigmoid(x_r + h_r))
    torch.testing.assert_close(values["z"], torch.sigmoid(x_z + h_z))
    torch.testing.assert_close(values["n"], torch.tanh(x_n + values["r"] * h_n))


def test_gates_of_an_lstm_are_those_of_the_equations():
    case = Case("LSTM", {"proj_size": 2}, lengths=(6, 6))
    _, layer = make_twins(case)
    values, (h_0, c_0) = record(layer, case)["l0"], make_state(case)
    before = torch.cat([h_0, values["h"][:-1]])
    sums = F.linear(make_input(case), layer.weight_ih_l0, layer.bias_ih_l0)
    i, f, g, o = (sums + F.linear(before, layer.weight_hh_l0, layer.bias_hh_l0)).chunk(4, -1)
    expected = {"i": i.sigmoid(), "f": f.sigmoid(), "g": g.tanh(), "o": o.sigmoid()}
    expected["c"] = expected["f"] * torch.cat([c_0, values["c"][:-1]]) + expected["i"] * expected["g"]
    for name, value in expected.items():
        torch.testing.assert_close(values[name], value, msg=name)


def test_names_are_those_of_the_weights_and_shapes_those_of_the_input():
    layer = LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2, batch_first=True)
    recorded = record_gates(layer, torch.randn(5, 7, 3))
    assert list(recorded) == ["l0", "l0_reverse", "l1", "l1_reverse"]
    for values in recorded.values():
        shapes = {name: tuple(value.shape) for name, value in values.items()}
        assert shapes == dict.fromkeys("figoc", (5, 7, 4)) | {"h": (5, 7, 2)}
    assert set(record_gates(GRU(3, 4), torch.randn(7, 3))["l0"]) == {"r", "z", "n", "h"}
    assert {name: tuple(value.shape) for name, value in record_gates(RNN(3, 4), torch.randn(7, 3))["l0"].items()} == {
        "h": (7, 4)
    }


def test_packed_sequences_stay_packed():
    sequences = [torch.randn(length, 3) for length in (2, 5, 3)]
    packed = pack_sequence(sequences, enforce_sorted=False)
    layer = GRU(3, 4, bidirectional=True)
    recorded = record_gates(layer, packed)
    for number, sequence in enumerate(sequences):
        alone = record_gates(layer, sequence)
        for place in ("l0", "l0_reverse"):
            values = recorded[place]["z"]
            assert isinstance(values, PackedSequence)
            padded, lengths = pad_packed_sequence(values)
            torch.testing.assert_close(padded[: lengths[number], number], alone[place]["z"])


@both_libraries
@each_kind
def test_a_layer_is_left_as_it_was(library, kind):
    layer = getattr(library, kind)(3, 4, num_layers=2, dropout=0.5)
    before, attributes = copy.deepcopy(layer.state_dict()), set(vars(layer))
    x = torch.randn(5, 2, 3)
    state = torch.get_rng_state()
    recorded = record_gates(layer, x)
    gradient_norms(layer, x)
    gradient_norms(layer, x, of="state")
    assert torch.equal(torch.get_rng_state(), state)  # no dropout either
    assert layer.training and set(vars(layer)) == attributes and "step" not in vars(layer)
    assert all(torch.equal(weight, before[name]) for name, weight in layer.state_dict().items())
    assert all(weight.grad is None for weight in layer.parameters()) and x.grad is None
    assert not any(value.requires_grad for values in recorded.values() for value in values.values())


class ResetBefore(GRU):
    gate_names = ("r", "z", "n")

    def step(self, x, state, weight_hh, bias_hh):
        (h,) = state
        x_r, x_z, x_n = x.chunk(3, -1)
        (W_r, W_z, W_n), (b_r, b_z, b_n) = weight_hh.chunk(3), bias_hh.chunk(3)
        r, z = (x_r + F.linear(h, W_r, b_r)).sigmoid_(), F.sigmoid(x_z + F.linear(h, W_z, b_z))
        n = (x_n + F.linear(r * h, W_n, b_n)).tanh()
        return (torch.lerp(n, h, z),)


class Leaky(RecurrentLayer):
    gate_names = ("gate", None)
    num_gates = 2

    def step(self, x, state, weight_hh, bias_hh):
        gate, candidate = (x + F.linear(state[0], weight_hh, bias_hh)).chunk(2, -1)
        return (torch.lerp(torch.tanh_(candidate), state[0], gate.sigmoid()),)


class Renamed(GRU):
    gate_names = ("reset", "update", "candidate")


class NoReset(GRU):
    gate_names = ("r", "z", "n")

    def step(self, x, state, weight_hh, bias_hh):
        x_r, x_z, x_n = x.chunk(3, -1)
        return super().step(torch.cat([x_r + 50, x_z, x_n], -1), state, weight_hh, bias_hh)


def test_a_layer_of_your_own_takes_part_with_one_line():
    x = torch.randn(6, 2, 3)
    layer = ResetBefore(3, 4, num_layers=2)
    values = record_gates(layer, x)["l1"]
    below = record_gates(layer, x)["l0"]["h"]
    x_n = F.linear(below, layer.weight_ih_l1, layer.bias_ih_l1).chunk(3, -1)[2]
    before = torch.cat([torch.zeros(1, 2, 4), values["h"][:-1]])
    from_h = F.linear(values["r"] * before, layer.weight_hh_l1.chunk(3)[2], layer.bias_hh_l1.chunk(3)[2])
    torch.testing.assert_close(values["n"], torch.tanh(x_n + from_h))
    torch.testing.assert_close(torch.lerp(values["n"], before, values["z"]), layer(x)[0])
    assert set(record_gates(Renamed(3, 4), x)["l0"]) == {"reset", "update", "candidate", "h"}
    assert record_gates(NoReset(3, 4), x)["l0"]["r"].min() > 0.999


def test_values_may_be_left_out_and_may_be_written_into_by_the_step():
    leaky = Leaky(3, 4)
    randomize(leaky, 0)
    with pytest.raises(ValueError, match=r"gate_names of Leaky should name the 2 values .* got 1: \('gate',\)"):
        record_gates(type("Leaky", (Leaky,), {"gate_names": ("gate",)})(3, 4), torch.randn(5, 3))
    assert set(record_gates(leaky, torch.randn(5, 3))["l0"]) == {"gate", "h"}


def test_a_step_without_names_is_refused():
    """The names it inherits are those of another step."""

    class Turned(GRU):
        def step(self, x, state, weight_hh, bias_hh):
            return super().step(x, state, weight_hh, bias_hh)

    with pytest.raises(TypeError, match="Turned defines a step: name what its sigmoids and tanhs compute"):
        record_gates(Turned(3, 4), torch.randn(5, 3))
    assert gradient_norms(Turned(3, 4), torch.randn(5, 3), of="state").shape == (5,)  # needs no names


@pytest.mark.parametrize("layer", [nn.Linear(3, 4), companion.LanguageModel(GRU(3, 4), 5), nn.GRUCell(3, 4)])
def test_only_recurrent_layers_are_read(layer):
    name = type(layer).__name__
    for look in (record_gates, lambda layer, x: gradient_norms(layer, x, of="state")):
        with pytest.raises(TypeError, match=f"layer should be a recurrent layer .*, got a {name}"):
            look(layer, torch.randn(5, 3))


@both_libraries
def test_bad_input_is_refused_as_the_layer_refuses_it(library):
    with pytest.raises(RuntimeError, match="input_size=3"):
        record_gates(library.GRU(3, 4), torch.randn(5, 2, 7))
    with pytest.raises(RuntimeError, match="hx should have shape"):
        record_gates(library.GRU(3, 4), torch.randn(5, 2, 3), torch.zeros(2, 2, 4))


# Gradient norms


@settings(max_examples=100)
@given(cases(forms=("3-D", "2-D")), st.booleans())
def test_gradients_of_the_input_are_autograds(case, by_loss):
    """For both libraries, in every form, with the default loss and another one."""
    for layer in make_twins(case):
        layer.eval()
        x, state = make_input(case), make_state(case)
        time = 1 if case.batch_first and case.form == "3-D" else 0
        outputs, _ = run(layer, case, x, state)
        value = weighted_sum([outputs], 1) if by_loss else outputs.select(time, -1).sum()
        (gradient,) = torch.autograd.grad(value, x)
        expected = [gradient.select(time, t).norm(dim=-1).mean() for t in range(max(case.lengths))]
        loss = (lambda outputs: weighted_sum([outputs], 1)) if by_loss else None
        found = gradient_norms(layer, x, pack_state(state), loss=loss)
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-9, atol=1e-12)


def states_by_steps(layer, x, initial):
    """Outputs and states of nn's layer of one direction, one layer and one step at a time, each state its own leaf."""
    outputs, states = x, []
    for number in range(layer.num_layers):
        single = type(layer)(outputs.shape[-1], layer.hidden_size, **extra(layer)).double()
        weights = [getattr(layer, name.replace("_l0", f"_l{number}")) for name, _ in single.named_parameters()]
        single.load_state_dict(dict(zip(single.state_dict(), weights, strict=True)))
        carried, taken = tuple(part[number : number + 1] for part in initial), []
        for x_t in outputs.split(1):
            _, state = single(x_t, pack_state(carried))
            carried = state if isinstance(state, tuple) else (state,)
            taken.append(carried)
        outputs = torch.cat([state[0] for state in taken])
        states.append(taken)
    return outputs, states


def gradients_of_part(value, states, number):
    """(L, T, B, units)"""
    flat = [state[number] for taken in states for state in taken]
    found = torch.autograd.grad(value, flat, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat(found).view(len(states), -1, *found[0].shape[1:])


def through_h(d_h, layer, x, initial):
    """What c adds to the loss by way of the h of the same step, which nn computes inside: h = o tanh(c)."""
    recorded = record_gates(layer, x, pack_state(initial))
    if layer.proj_size:
        weights = torch.stack([getattr(layer, f"weight_hr_{place}") for place in recorded])  # (L, P, H)
        d_h = torch.einsum("ltbp,lph->ltbh", d_h, weights)
    o, c = (torch.stack([values[name] for values in recorded.values()]) for name in "oc")
    return d_h * o * (1 - torch.tanh(c) ** 2)


def extra(layer):
    return {"proj_size": layer.proj_size} if isinstance(layer, nn.LSTM) else {}


@settings(max_examples=60)
@given(cases(forms=("3-D",), with_state=True), st.booleans())
def test_gradients_of_the_state_are_those_of_nn_run_step_by_step(case, by_loss):
    """The total derivative, along every path, of h and of c, in each layer and in all together."""
    arguments = {name: case.arguments[name] for name in ("num_layers", "proj_size") if name in case.arguments}
    case = replace(case, arguments=arguments)
    theirs, ours = make_twins(case)
    x, initial = make_input(case), make_state(case)
    outputs, states = states_by_steps(theirs, x, initial)
    loss = (lambda outputs: weighted_sum([outputs], 2)) if by_loss else (lambda outputs: outputs[-1].sum())
    for number, of in enumerate(["state", "cell"][: len(initial)]):
        by_layer = gradients_of_part(loss(outputs), states, number)  # (L, T, B, units)
        if of == "cell":
            by_layer = by_layer + through_h(gradients_of_part(loss(outputs), states, 0), theirs, x, initial)
        for layer in (theirs, ours):
            looked = dict(hx=pack_state(initial), loss=loss if by_loss else None, of=of)
            together = gradient_norms(layer, x, **looked)
            torch.testing.assert_close(together, by_layer.transpose(0, 2).flatten(2).norm(dim=-1).mean(0))
            top = gradient_norms(layer, x, where=f"l{len(states) - 1}", **looked)
            torch.testing.assert_close(top, by_layer[-1].norm(dim=-1).mean(1))


@each_kind
def test_a_state_that_is_nudged_moves_the_loss_as_its_gradient_says(kind):
    """By finite differences, with no derivative at all: carry a nudged state on from the middle."""
    case = Case(kind, lengths=(6,))
    _, layer = make_twins(case)
    x, state = make_input(case).detach(), pack_state(tuple(part.detach() for part in make_state(case)))
    _, middle = layer(x[:3], state)
    parts = middle if isinstance(middle, tuple) else (middle,)
    shown = record_gates(layer, x, state)["l0"]["o"][2] if kind == "LSTM" else None
    for number, of in enumerate(["state", "cell"][: len(parts)]):
        slopes = []
        for unit in range(4):
            ends = []
            for nudge in (1e-6, -1e-6):
                nudged = [part.clone() for part in parts]
                nudged[number][..., unit] += nudge
                if of == "cell":
                    nudged[0] = shown * torch.tanh(nudged[1])  # what c says by way of h at once
                ends.append(layer(x[3:], pack_state(tuple(nudged)))[0][-1].sum())
            slopes.append((ends[0] - ends[1]) / 2e-6)
        found = gradient_norms(layer, x, state, of=of)[2]
        torch.testing.assert_close(found, torch.stack(slopes).norm(), rtol=1e-6, atol=1e-8)


@both_libraries
def test_forms_of_the_input_agree_and_both_directions_count(library):
    layer = library.GRU(3, 4, bidirectional=True)
    first = library.GRU(3, 4, bidirectional=True, batch_first=True)
    first.load_state_dict(layer.state_dict())
    x = torch.randn(6, 1, 3)
    for of in ("input", "state"):
        expected = gradient_norms(layer, x, of=of)
        torch.testing.assert_close(gradient_norms(layer, x.squeeze(1), of=of), expected)
        torch.testing.assert_close(gradient_norms(first, x.transpose(0, 1), of=of), expected)
    parts = [gradient_norms(layer, x, of="state", where=where) for where in ("l0", "l0_reverse")]
    torch.testing.assert_close(torch.stack(parts).norm(dim=0), gradient_norms(layer, x, of="state"))
    # The last output holds the first step of the reverse direction, which has seen the last input only.
    assert (parts[1][:-1] == 0).all() and parts[1][-1] > 0


def test_the_average_is_over_the_sequences():
    layer, x = GRU(3, 4), torch.randn(6, 3, 3)
    for of in ("input", "state"):
        alone = [gradient_norms(layer, x[:, number], of=of) for number in range(3)]
        torch.testing.assert_close(gradient_norms(layer, x, of=of), torch.stack(alone).mean(0))


def test_gradients_are_found_where_they_are_switched_off():
    with torch.no_grad():
        assert gradient_norms(GRU(3, 4), torch.randn(6, 2, 3)).min() > 0


class Mean(nn.Module):
    """Anything that is called like a layer."""

    def forward(self, input, hx=None):
        return input.cumsum(0), None


def test_of_the_input_any_module_will_do():
    assert gradient_norms(Mean(), torch.randn(6, 2, 4)).tolist() == [2.0] * 6
    assert gradient_norms(Mean(), torch.randn(6, 2, 4), loss=lambda y: y[2].sum()).tolist() == [2.0] * 3 + [0.0] * 3


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (dict(input=[1.0]), TypeError, "input should be a tensor, got a list"),
        (dict(input=torch.ones(5, dtype=torch.long)), TypeError, "floating point numbers, .* got torch.int64"),
        (dict(of="gate"), ValueError, "of should be one of 'input', 'state', 'cell', got 'gate'"),
        (dict(of="cell"), ValueError, "of='cell' needs a layer with a cell state, GRU has none"),
        (dict(of="state", where="l7"), ValueError, "where should be one of 'l0' or None, got 'l7'"),
        (dict(where="l0"), ValueError, "where='l0' needs of='state' or of='cell'"),
        (dict(loss=lambda y: y), ValueError, r"loss should make one number .* got shape \(5, 2, 4\)"),
        (dict(loss=lambda y: 3.0), ValueError, "loss should make one number .* got float"),
        (dict(loss=lambda y: y.detach().sum()), ValueError, "differentiably"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        gradient_norms(GRU(3, 4), **{"input": torch.randn(5, 2, 3), **arguments})


# Summaries


def test_saturation_counts_steps():
    gate = torch.tensor([[0.05, 0.5, 0.95], [0.1, 0.9, 0.99], [0.0, 0.95, 0.2], [0.3, 0.3, 1.0]])  # (T, H)
    left, right = saturation(gate)
    assert left.tolist() == [0.5, 0.0, 0.0] and right.tolist() == [0.0, 0.25, 0.75]
    for form in (gate.view(2, 2, 3), gate.view(4, 1, 3)):
        assert [part.tolist() for part in saturation(form)] == [left.tolist(), right.tolist()]
    assert saturation(gate, low=0.5, high=0.5)[1].tolist() == [0.0, 0.5, 0.75]
    with pytest.raises(ValueError, match=r"low should be at most high=0.2, got 0.5"):
        saturation(gate, low=0.5, high=0.2)


def test_a_time_constant_is_when_a_third_is_left():
    gates = torch.tensor([0.9, 0.5, 1.0]).expand(50, 2, 3)  # (T, B, H)
    found = time_constants(gates)
    assert (gates[0, 0].double() ** found)[:2].tolist() == pytest.approx([1 / torch.e] * 2)
    assert found[2] == torch.inf
    assert time_constants(torch.tensor([[0.0], [0.9]])).tolist() == [0.0]
    mixed = torch.tensor([[0.9], [0.4]])  # what is left is the product, so the mean is geometric
    assert time_constants(mixed.repeat(20, 1)).item() == pytest.approx(-1 / torch.tensor(0.6).log().item())


def test_correlations_are_pearsons():
    torch.manual_seed(0)
    values, marks = torch.randn(200, 5), torch.rand(200) < 0.3
    expected = torch.corrcoef(torch.cat([values.T, marks.float().unsqueeze(0)]))[-1, :-1].double()
    torch.testing.assert_close(correlate_with(values, marks), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(correlate_with(values.view(50, 4, 5), marks.view(50, 4)), correlate_with(values, marks))


def test_what_never_changes_goes_along_with_nothing():
    values = torch.stack([torch.full((30,), 0.1), torch.arange(30.0)], 1)
    marks = torch.arange(30) % 3 == 0
    assert correlate_with(values, marks)[0] == 0
    assert correlate_with(values, torch.ones(30, dtype=torch.bool)).tolist() == [0, 0]
    assert correlate_with(-values, torch.arange(30))[1] == pytest.approx(-1)
    with pytest.raises(ValueError, match=r"marks should have shape \(30,\), got \(29,\)"):
        correlate_with(values, marks[1:])


@pytest.mark.parametrize("summary", [saturation, time_constants, lambda gate: correlate_with(gate, torch.ones(3))])
def test_summaries_are_of_tensors(summary):
    with pytest.raises(TypeError, match=r"should be a tensor of shape \(\.\.\., H\), got a dict"):
        summary({"z": torch.ones(3, 2)})
