"""The checks of *A layer of your own* pass layers that are right, and catch and name what is broken in the others."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import companion.bptt
from companion import GRU, LSTM, RNN, RecurrentLayer, gru_step, rnn_step
from companion.checks import own_layer

# A layer that is right, and the ways to break it: each of them at one place


class Gated(RecurrentLayer):
    """A leaky unit whose rate is computed, with a weight of its own."""

    num_gates = 2

    @property
    def extra_weights(self):
        return {"weight_leak": (self.hidden_size,)}

    def step(self, x, state, weight_hh, bias_hh, weight_leak):
        (h,) = state
        rate, n = (x + F.linear(h, weight_hh, bias_hh)).chunk(2, -1)
        return (torch.lerp(h, torch.tanh(n), torch.sigmoid(rate + weight_leak * h)),)


class Counting(RecurrentLayer):
    """Its state has two parts."""

    @property
    def state_sizes(self):
        return self.hidden_size, 1

    def step(self, x, state, weight_hh, bias_hh):
        h, count = state
        return rnn_step(x + count.cos(), h, weight_hh, bias_hh), count + 1


class FixedRates(RecurrentLayer):
    """With random numbers that are not trained, and saved with the weights."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.register_buffer("rates", torch.rand(self.hidden_size))

    def step(self, x, state, weight_hh, bias_hh):
        return (torch.lerp(state[0], rnn_step(x, state[0], weight_hh, bias_hh), self.rates),)


class Bare(Gated):
    def step(self, *arguments):
        return super().step(*arguments)[0]


class BareInside(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return [rnn_step(x, state[0], weight_hh, bias_hh)]


class TwoParts(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        h = rnn_step(x, state[0], weight_hh, bias_hh)
        return h, h


class Transposed(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (rnn_step(x, state[0], weight_hh, bias_hh).mT,)


class NeedsBias(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (torch.tanh(x + F.linear(state[0], weight_hh) + bias_hh),)


class SinglePrecision(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (rnn_step(x, state[0], weight_hh.float(), bias_hh),)


class BiasForgotten(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (rnn_step(x, state[0], weight_hh),)


class StateForgotten(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (torch.tanh(x + weight_hh.sum(0) + (0 if bias_hh is None else bias_hh)),)


class InputForgotten(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (rnn_step(torch.zeros_like(x), state[0], weight_hh, bias_hh),)


class ExtraForgotten(Gated):
    def step(self, x, state, weight_hh, bias_hh, weight_leak):
        return super().step(x, state, weight_hh, bias_hh, torch.zeros_like(weight_leak))


class KeptOnSelf(RecurrentLayer):
    last = 0.0

    def step(self, x, state, weight_hh, bias_hh):
        x = x + self.last
        self.last = float(x.detach().mean())
        return (rnn_step(x, state[0], weight_hh, bias_hh),)


class SmoothsFromTheLastRun(RecurrentLayer):
    last = 0.0

    def step(self, x, state, weight_hh, bias_hh):
        smooth, self.last = 0.9 * x + 0.1 * self.last, x.mean(0)
        return (rnn_step(smooth, state[0], weight_hh, bias_hh),)


class WritesIntoState(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        (h,) = state
        if not h.requires_grad:
            h *= 0.9
        return (rnn_step(x, h * 0.9 if h.requires_grad else h, weight_hh, bias_hh),)


class WritesIntoInput(RNN):
    def forward(self, input, hx=None):
        if isinstance(input, torch.Tensor) and not input.requires_grad:
            input.mul_(2)
        return super().forward(input, hx)


class LooksAhead(GRU):
    def forward(self, input, hx=None):
        if isinstance(input, torch.Tensor):
            input = input - input.mean(1 if self.batch_first and input.dim() == 3 else 0, keepdim=True)
        return super().forward(input, hx)


class LooksBack(RNN):
    """One step late: nothing is read before its time, and nothing in time."""

    def forward(self, input, hx=None):
        return super().forward(torch.cat([torch.zeros_like(input[:1]), input[:-1]]), hx)


class BatchNormalized(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (rnn_step(x - x.mean(0), state[0], weight_hh, bias_hh) if len(x) > 1
                else rnn_step(x, state[0], weight_hh, bias_hh),)


class SoftmaxOverBatch(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (torch.softmax(x + F.linear(state[0], weight_hh, bias_hh), 0),)


class CountsInForward(RecurrentLayer):
    """Its clock starts anew with every call."""

    def forward(self, input, hx=None):
        self.clock = 0
        return super().forward(input, hx)

    def step(self, x, state, weight_hh, bias_hh):
        self.clock += 1
        return (rnn_step(x / self.clock, state[0], weight_hh, bias_hh),)


class StateDropped(LSTM):
    """Returns a final cell state that it did not compute with."""

    def forward(self, input, hx=None):
        output, (h, c) = super().forward(input, hx)
        return output, (h, torch.zeros_like(c))


class SharedDirections(RNN):
    """Both directions with the weights of the first one."""

    def _weights(self, layer, direction):
        return super()._weights(layer, 0)


class OutputsNotTurned(GRU):
    def _run_direction(self, x, state, layer, direction, batch_sizes):
        if direction == 0 or batch_sizes is not None:
            return super()._run_direction(x, state, layer, direction, batch_sizes)
        output, state = super()._run_direction(x, state, layer, direction, batch_sizes)
        return output.flip(0), state


class OneLayerOnly(RNN):
    def __init__(self, *arguments, num_layers=1, **more):
        super().__init__(*arguments, **more)


class NoLayers(nn.RNN):
    def __init__(self, input_size, hidden_size, bias=True, batch_first=False, bidirectional=False):
        super().__init__(input_size, hidden_size, 1, "tanh", bias, batch_first, 0.0, bidirectional)


class BatchSizeKept(RecurrentLayer):
    """Made for the batch it saw first."""

    def step(self, x, state, weight_hh, bias_hh):
        noise = torch.linspace(0, 1, 4, dtype=x.dtype)[-len(x):] if len(x) in (2, 3) else torch.zeros(len(x)).to(x)
        return (rnn_step(x + noise.unsqueeze(-1), state[0], weight_hh, bias_hh),)


class PaddingRead(GRU):
    """Unpacks, and reads the padding."""

    def forward(self, input, hx=None):
        if isinstance(input, torch.Tensor):
            return super().forward(input, hx)
        padded, lengths = nn.utils.rnn.pad_packed_sequence(input)
        output, state = super().forward(padded, hx)
        return nn.utils.rnn.pack_padded_sequence(output, lengths, enforce_sorted=False), state


class BatchFirstState(RNN):
    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return output, state.transpose(0, 1) if self.batch_first else state


class Detached(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        (h,) = state
        return (0.5 * h + rnn_step(x, h.detach(), weight_hh, bias_hh),)


class WrongByHand(GRU):
    def step(self, x, state, weight_hh, bias_hh):
        return (gru_step(x, *state, weight_hh, bias_hh),)

    def by_hand(self, x, state, weights):
        outputs = companion.bptt.gru_over_time(x, *state, *weights)
        if outputs.requires_grad:
            outputs.register_hook(lambda gradient: gradient * 1.01)
        return outputs, (outputs[-1],)


class PlainTensor(RecurrentLayer):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.leak = torch.rand(self.hidden_size)

    def step(self, x, state, weight_hh, bias_hh):
        (h,) = state
        return (torch.lerp(h, rnn_step(x, h, weight_hh, bias_hh), self.leak.to(h)),)


RUNS, DEPENDS = "runs, and its shapes are right", "all that goes in comes through"
MEMORY, CAUSAL = "nothing is remembered outside the state", "causality: no step reads a later input"
BATCH, HALVES = "the sequences of a batch do not meet", "whole = two halves with the state carried"
REVERSE, DEPTH = "reverse direction = flipped input", "two layers = one upon the other"
PACKED, FORMS = "packed = each sequence alone", "batch first and no batch are only forms"
SLOPES, SAVED = "gradients are slopes", "the state_dict holds the whole layer"

BROKEN = [
    (RecurrentLayer, RUNS, "RecurrentLayer should define step"),
    (Bare, RUNS, "a tuple of 1 tensor, got a Tensor"),
    (BareInside, RUNS, "a tuple of 1 tensor, got a list"),
    (TwoParts, RUNS, "the shapes that step returns: it should return 1 things"),
    (Transposed, RUNS, "the shapes that step returns"),
    (NeedsBias, RUNS, "without bias it raised TypeError"),
    (SinglePrecision, RUNS, "raised RuntimeError"),
    (nn.LSTMCell, RUNS, "it raised"),
    (BiasForgotten, DEPENDS, "the weight bias_hh_l0"),
    (StateForgotten, DEPENDS, "the initial state"),
    (InputForgotten, DEPENDS, "the weight weight_ih_l0"),
    (ExtraForgotten, DEPENDS, "the weight weight_leak_l0"),
    (KeptOnSelf, MEMORY, "a second run"),
    (SmoothsFromTheLastRun, MEMORY, "a second run"),
    (WritesIntoState, MEMORY, "the state that the caller passed in was written into"),
    (WritesIntoInput, MEMORY, "the input that the caller passed in was written into"),
    (LooksAhead, CAUSAL, "the outputs at steps 0 to 2"),
    (LooksBack, CAUSAL, "the output at step 3 is what it was"),
    (BatchNormalized, BATCH, "a sequence run alone"),
    (SoftmaxOverBatch, BATCH, "a sequence run alone"),
    (CountsInForward, HALVES, "from the carried state"),
    (StateDropped, HALVES, "from the carried state"),
    (OutputsNotTurned, REVERSE, "numbers are off"),
    (SharedDirections, REVERSE, "numbers are off"),
    (OneLayerOnly, DEPTH, "raised"),
    (NoLayers, DEPTH, "takes no num_layers=2"),
    (BatchSizeKept, PACKED, "a packed sequence of"),
    (PaddingRead, PACKED, "its final state"),
    (BatchFirstState, FORMS, "the state with batch_first=True"),
    (Detached, SLOPES, "the gradient of the input"),
    (WrongByHand, SLOPES, "the gradient of the input"),
    (PlainTensor, SAVED, "the outputs of another layer"),
]


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM, RNN, GRU, LSTM, Gated, Counting, FixedRates])
def test_every_property_holds_for_a_layer_that_is_right(layer, capsys):
    before = torch.get_rng_state()
    assert own_layer.check_layer(layer) is True
    assert capsys.readouterr().out == "Right, on all 12 properties.\n"
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layer, name, words", BROKEN, ids=[layer.__name__ for layer, *_ in BROKEN])
def test_what_is_broken_is_caught_and_named(layer, name, words, capsys):
    assert own_layer.check_layer(layer) is False
    printed = capsys.readouterr().out
    first, *rest = printed.splitlines()
    found, hint = " ".join(line.strip() for line in rest).split(" Hint: ")
    number = list(own_layer.PROPERTIES).index(name)
    assert first == f"Not yet: {name}" + (f" (what holds: {number} of 12)" if number else ""), printed
    assert words in found, printed
    assert hint and max(len(line) for line in rest) <= 86


def test_every_property_is_broken_by_some_layer():
    assert {name for _, name, _ in BROKEN} == set(own_layer.PROPERTIES)


def test_arguments_reach_the_constructor(capsys):
    assert own_layer.check_layer(nn.RNN, nonlinearity="tanh", hidden_size=7)
    assert own_layer.check_layer(nn.LSTM, proj_size=2)
    capsys.readouterr()
    assert not own_layer.check_layer(nn.RNN, leak=0.5)
    assert "leak" in capsys.readouterr().out


def test_a_layer_instead_of_its_class(capsys):
    assert own_layer.check_layer(3) is False
    assert "the class itself" in capsys.readouterr().out
    assert own_layer.check_ugrnn(nn.GRU(2, 3)) is False
    assert "the class itself" in capsys.readouterr().out


# Weights of one's own


def test_extra_weights_have_a_place_in_every_direction_of_every_layer():
    layer = Gated(2, 3, num_layers=2, bidirectional=True)
    kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_leak"]
    ends = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    assert list(layer.state_dict()) == [kind + end for end in ends for kind in kinds]
    assert [tuple(layer.get_parameter(f"weight_leak{end}").shape) for end in ends] == [(3,)] * 4
    assert [len(weights) for weights in layer.all_weights] == [5] * 4
    assert list(Gated(2, 3, bias=False).state_dict()) == ["weight_ih_l0", "weight_hh_l0", "weight_leak_l0"]
    drawn = layer.weight_leak_l1.detach().abs()
    assert len(drawn.unique()) == 3 and drawn.max() <= 3**-0.5


def test_extra_weights_come_after_a_projection():
    seen = []

    class Projected(LSTM):
        @property
        def extra_weights(self):
            return {"weight_extra": (1,)}

        def step(self, x, state, weight_hh, bias_hh, weight_hr, weight_extra):
            seen.append((tuple(weight_hr.shape), tuple(weight_extra.shape)))
            return super().step(x, state, weight_hh, bias_hh, weight_hr)

    Projected(2, 3, proj_size=2)(torch.randn(1, 1, 2))
    assert seen == [((2, 3), (1,))]


def test_a_layer_of_ones_own_compiles_and_has_gradients_for_every_example():
    layer = Gated(2, 3, num_layers=2, bidirectional=True)
    x = torch.randn(4, 5, 2)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), layer(x))
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}

    def loss(weights, example):
        return torch.func.functional_call(layer, weights, (example,))[0].square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 1))(weights, x)
    alone = torch.autograd.grad(layer(x[:, 3])[0].square().sum(), list(layer.parameters()))
    torch.testing.assert_close([gradient[3] for gradient in each.values()], list(alone))


# The exercises: right answers, each written in another way than the check's own


class LeakyRNN(RecurrentLayer):
    def __init__(self, input_size, hidden_size, num_layers=1, leak=0.1, **more):
        super().__init__(input_size, hidden_size, num_layers, **more)
        self.leak = leak

    def step(self, x, state, weight_hh, bias_hh):
        return ((1 - self.leak) * state[0] + self.leak * rnn_step(x, state[0], weight_hh, bias_hh),)


class UGRNN(RecurrentLayer):
    num_gates = 2

    def step(self, x, state, weight_hh, bias_hh):
        bias_hh = torch.zeros(len(weight_hh)).to(x) if bias_hh is None else bias_hh
        z, n = (x + state[0] @ weight_hh.mT + bias_hh).tensor_split(2, -1)
        return (z.sigmoid() * state[0] + (-z).sigmoid() * n.tanh(),)


class PeepholeLSTM(RecurrentLayer):
    num_gates = 4

    @property
    def state_sizes(self):
        return self.hidden_size, self.hidden_size

    @property
    def extra_weights(self):
        return {f"weight_c{gate}": (self.hidden_size,) for gate in "ifo"}

    def step(self, x, state, weight_hh, bias_hh, w_ci, w_cf, w_co):
        h, c = state
        i, f, g, o = (x + F.linear(h, weight_hh, bias_hh)).chunk(4, -1)
        i, f = (i + w_ci * c).sigmoid(), (f + w_cf * c).sigmoid()
        c = f * c + i * g.tanh()
        return (o + w_co * c).sigmoid() * c.tanh(), c


class NormRNN(RecurrentLayer):
    @property
    def extra_weights(self):
        return {"weight_norm": (self.hidden_size,), "bias_norm": (self.hidden_size,)}

    def step(self, x, state, weight_hh, bias_hh, gain, shift):
        sums = x + F.linear(state[0], weight_hh, bias_hh)
        centered = sums - sums.mean(-1, keepdim=True)
        spread = (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return (torch.tanh(gain * centered / spread + shift),)

    def reset_parameters(self):
        super().reset_parameters()
        with torch.no_grad():
            for layer in range(self.num_layers):
                for end in ["", "_reverse"][: 1 + self.bidirectional]:
                    self.get_parameter(f"weight_norm_l{layer}{end}").fill_(1)
                    self.get_parameter(f"bias_norm_l{layer}{end}").zero_()


class FastGRNN(RecurrentLayer):
    @property
    def extra_weights(self):
        return {"bias_z": (self.hidden_size,), "zeta": (1,), "nu": (1,)}

    def step(self, x, state, weight_hh, bias_hh, bias_z, zeta, nu):
        shared = x + F.linear(state[0], weight_hh, bias_hh)
        z, n = (shared + bias_z).sigmoid(), shared.tanh()
        return ((zeta.sigmoid() * (1 - z) + nu.sigmoid()) * n + z * state[0],)


class ClockworkRNN(RecurrentLayer):
    def __init__(self, *arguments, periods=(1, 2, 4), **more):
        super().__init__(*arguments, **more)
        self.periods = periods

    @property
    def state_sizes(self):
        return self.hidden_size, 1

    def step(self, x, state, weight_hh, bias_hh):
        h, clock = state
        size, parts = self.hidden_size // len(self.periods), []
        for number, period in enumerate(self.periods):
            rows, seen = slice(number * size, (number + 1) * size), slice(number * size, None)
            bias = None if bias_hh is None else bias_hh[rows]
            n = rnn_step(x[:, rows], h[:, seen], weight_hh[rows, seen], bias)
            parts.append(torch.where(torch.remainder(clock.round(), period) == 0, n, h[:, rows]))
        return torch.cat(parts, -1), clock + 1


class ResetFirst(RecurrentLayer):
    num_gates = 3

    def step(self, x, state, weight_hh, bias_hh):
        (h,) = state
        (x_r, x_z, x_n), (W_r, W_z, W_n) = x.chunk(3, -1), weight_hh.chunk(3)
        r, z = torch.sigmoid(x_r + F.linear(h, W_r)), torch.sigmoid(x_z + F.linear(h, W_z))
        return (z * h + (1 - z) * torch.tanh(x_n + F.linear(r * h, W_n)),)


def from_d2l(weights, transpose=True, blocks="rzh", layer_class=ResetFirst):
    layer = layer_class(*weights["W_xz"].shape)
    turned = {name: weight.T if transpose and weight.dim() == 2 else weight for name, weight in weights.items()}
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.cat([turned[f"W_x{block}"] for block in blocks]))
        layer.weight_hh_l0.copy_(torch.cat([turned[f"W_h{block}"] for block in blocks]))
        layer.bias_ih_l0.copy_(torch.cat([turned[f"b_{block}"] for block in blocks]))
        layer.bias_hh_l0.zero_()
    return layer


class Squared(torch.autograd.Function):
    """h_t = tanh(x_t + W h_{t-1}^2), with its backward pass by hand; ``slip`` leaves out what a beginner leaves out."""

    @staticmethod
    def forward(ctx, x, h, weight, slip):
        states = [h]
        for x_t in x:
            states.append(torch.tanh(x_t + F.linear(states[-1].square(), weight)))
        ctx.save_for_backward(torch.stack(states), weight)
        ctx.slip = slip
        return torch.stack(states[1:])

    @staticmethod
    def backward(ctx, d_outputs):
        states, weight = ctx.saved_tensors
        d_h, d_x = torch.zeros_like(states[0]), []
        for t in reversed(range(len(d_outputs))):
            d_h = d_outputs[t] if ctx.slip == "truncated" else d_h + d_outputs[t]
            d_x.append(d_h * (1 - states[t + 1] ** 2))
            d_h = d_x[-1] @ weight * (1 if ctx.slip == "factor" else 2) * states[t]
        d_x = torch.stack(d_x[::-1])
        d_weight = torch.einsum("tbi,tbj->ij", d_x, states[:-1] if ctx.slip == "weight" else states[:-1] ** 2)
        return d_x, d_h, d_weight, None


class SquaredRNN(RecurrentLayer):
    slip = ""

    def step(self, x, state, weight_hh, bias_hh):
        return (torch.tanh(x + F.linear(state[0].square(), weight_hh, bias_hh)),)

    def by_hand(self, x, state, weights):
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        x = F.linear(x, weight_ih, bias_ih)
        outputs = Squared.apply(x if bias_hh is None else x + bias_hh, *state, weight_hh, self.slip)
        return outputs, (outputs[-1],)


RIGHT = {
    "leaky_rnn": LeakyRNN,
    "ugrnn": UGRNN,
    "peephole_lstm": PeepholeLSTM,
    "norm_rnn": NormRNN,
    "fast_grnn": FastGRNN,
    "clockwork_rnn": ClockworkRNN,
    "from_d2l": from_d2l,
    "backward": SquaredRNN,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(own_layer, f"check_{name}")(RIGHT[name]) is True
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Right, on all")
    assert lines[-1] == ("Right, on all 4 inputs." if name == "from_d2l" else "Right, on all 12 properties.")
    assert name == "from_d2l" or torch.equal(torch.get_rng_state(), before)  # that answer draws weights of its own


def test_every_check_is_tried():
    names = {f"check_{name}" for name in RIGHT}
    assert names | {"check_layer"} == set(own_layer.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == names


# Wrong answers, as people give them


class LeakTheOtherWay(LeakyRNN):
    def step(self, x, state, weight_hh, bias_hh):
        return (self.leak * state[0] + (1 - self.leak) * rnn_step(x, state[0], weight_hh, bias_hh),)


class LeakFixed(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (torch.lerp(state[0], rnn_step(x, state[0], weight_hh, bias_hh), 0.1),)


class GateAdmits(UGRNN):
    def step(self, x, state, weight_hh, bias_hh):
        z, n = (x + F.linear(state[0], weight_hh, bias_hh)).chunk(2, -1)
        return (torch.lerp(state[0], n.tanh(), z.sigmoid()),)


class RowsSwapped(UGRNN):
    def step(self, x, state, weight_hh, bias_hh):
        n, z = (x + F.linear(state[0], weight_hh, bias_hh)).chunk(2, -1)
        return (torch.lerp(n.tanh(), state[0], z.sigmoid()),)


class OneBlock(UGRNN):
    num_gates = 1


class OutputSeesOldCell(PeepholeLSTM):
    def step(self, x, state, weight_hh, bias_hh, w_ci, w_cf, w_co):
        h, c = state
        i, f, g, o = (x + F.linear(h, weight_hh, bias_hh)).chunk(4, -1)
        new = (f + w_cf * c).sigmoid() * c + (i + w_ci * c).sigmoid() * g.tanh()
        return (o + w_co * c).sigmoid() * new.tanh(), new


class NoPeepholes(LSTM):
    pass


class NormFromRandom(NormRNN):
    def reset_parameters(self):
        RecurrentLayer.reset_parameters(self)


class NormOfTheState(NormRNN):
    def step(self, x, state, weight_hh, bias_hh, gain, shift):
        h = rnn_step(x, state[0], weight_hh, bias_hh)
        return (F.layer_norm(h, gain.shape, gain, shift),)


class NoSigmoids(FastGRNN):
    def step(self, x, state, weight_hh, bias_hh, bias_z, zeta, nu):
        shared = x + F.linear(state[0], weight_hh, bias_hh)
        z = (shared + bias_z).sigmoid()
        return ((zeta * (1 - z) + nu) * shared.tanh() + z * state[0],)


class ClockOnSelf(ClockworkRNN):
    def forward(self, input, hx=None):
        self.clock = 0.0
        return super().forward(input, hx)

    def step(self, x, state, weight_hh, bias_hh):
        (h, own), self.clock = state, self.clock + 1
        h, _ = super().step(x, (h, torch.full_like(own, self.clock - 1)), weight_hh, bias_hh)
        return h, own + 1


class EveryGroupSeesAll(ClockworkRNN):
    def step(self, x, state, weight_hh, bias_hh):
        h, clock = state
        period = torch.tensor(self.periods).repeat_interleave(self.hidden_size // len(self.periods))
        return torch.where(clock.round() % period == 0, rnn_step(x, h, weight_hh, bias_hh), h), clock + 1


class DueOneStepLater(ClockworkRNN):
    def step(self, x, state, weight_hh, bias_hh):
        h, clock = super().step(x, (state[0], state[1] + 1), weight_hh, bias_hh)
        return h, clock - 1


class Truncated(SquaredRNN):
    slip = "truncated"


class FactorForgotten(SquaredRNN):
    slip = "factor"


class WrongWeight(SquaredRNN):
    slip = "weight"


class NoByHand(RecurrentLayer):
    def step(self, x, state, weight_hh, bias_hh):
        return (rnn_step(x, state[0], weight_hh, bias_hh),)


WRONG = [
    ("leaky_rnn", LeakTheOtherWay, "On one layer: the outputs from a zero state"),
    ("leaky_rnn", LeakFixed, "On leak=0.5: your answer raised TypeError"),
    ("ugrnn", GateAdmits, "On one layer: the outputs from a zero state"),
    ("ugrnn", RowsSwapped, "On one layer: the outputs from a zero state"),
    ("ugrnn", OneBlock, "On one layer: "),
    ("peephole_lstm", OutputSeesOldCell, "the outputs from a zero state"),
    ("peephole_lstm", NoPeepholes, "the names and shapes of its weights: got 'weight_ih_l0 (12, 2), weight_hh_l0"),
    ("norm_rnn", NormFromRandom, "what a new layer does not draw at random: got 'nothing'"),
    ("norm_rnn", NormOfTheState, "the outputs from a zero state"),
    ("fast_grnn", NoSigmoids, "the outputs from a zero state"),
    ("clockwork_rnn", ClockOnSelf, "the outputs from a random state"),
    ("clockwork_rnn", EveryGroupSeesAll, "the outputs from a zero state"),
    ("clockwork_rnn", DueOneStepLater, "the outputs from a zero state"),
    ("from_d2l", lambda weights: from_d2l(weights, transpose=False), "your answer raised"),
    ("from_d2l", lambda weights: from_d2l(weights, blocks="zrh"), "On one step from a zero state: the outputs"),
    ("from_d2l", lambda weights: from_d2l(weights, layer_class=GRU), "On one step from a random state: the outputs"),
    ("backward", Truncated, "the gradient of the input"),
    ("backward", FactorForgotten, "the gradient of the input"),
    ("backward", WrongWeight, "the gradient of weight_hh_l0"),
    ("backward", NoByHand, "has no by_hand"),
    ("backward", nn.GRU, "a subclass of RecurrentLayer"),
]


@pytest.mark.parametrize("name, answer, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, words, capsys):
    assert getattr(own_layer, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert words in printed.splitlines()[0], printed
    assert "Not yet. " in printed or printed.startswith("Give the class")
