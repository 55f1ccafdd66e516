"""The checks of *Inside torch/nn/modules/rnn.py* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import _VF, nn
from torch.func import functional_call

from companion.checks import inside_the_source

# Right answers, each in another way than the check's own


def parameter_names(num_layers, bidirectional, bias, proj_size):
    names = []
    for layer in range(num_layers):
        for end in ["", "_reverse"][: 1 + bidirectional]:
            names += [f"{kind}_l{layer}{end}" for kind in ("weight_ih", "weight_hh")]
            names += [f"{kind}_l{layer}{end}" for kind in ("bias_ih", "bias_hh") if bias]
            names += [f"weight_hr_l{layer}{end}"] * (proj_size > 0)
    return names


def shared_weights(layer):
    weights = dict(layer.named_parameters(remove_duplicate=False))
    groups = [[other for other in weights if weights[other] is weights[name]] for name in reversed(weights)]
    return [list(group) for group in {tuple(group) for group in groups if len(group) > 1}]


def find_seed(layer):
    options = {"num_layers": layer.num_layers, "bias": layer.bias, "bidirectional": layer.bidirectional}
    if layer.proj_size:
        options["proj_size"] = layer.proj_size
    for seed in range(100):
        torch.manual_seed(seed)
        again = type(layer)(layer.input_size, layer.hidden_size, **options)
        if torch.equal(again.weight_hh_l0, layer.weight_hh_l0):
            return seed


def call_backend(layer, x, batch_axis=None, weights=None, training=None):
    axis = (0 if layer.batch_first else 1) if batch_axis is None else batch_axis
    h_0 = torch.zeros(layer.num_layers * (1 + layer.bidirectional), x.shape[axis], layer.hidden_size)
    functions = {"GRU": _VF.gru, "LSTM": _VF.lstm, "RNN_TANH": _VF.rnn_tanh, "RNN_RELU": _VF.rnn_relu}
    settings = layer.bias, layer.num_layers, layer.dropout, layer.training if training is None else training
    settings += layer.bidirectional, layer.batch_first
    state = (h_0, h_0) if isinstance(layer, nn.LSTM) else h_0
    found = functions[layer.mode](x, state, weights or layer._flat_weights, *settings)
    return found[0], found[1:] if isinstance(layer, nn.LSTM) else found[1]


def drop_recurrent(layer, x, p, names="weight_hh", scaled=True):
    dropped = {}
    for name, weight in layer.named_parameters():
        if names in name:
            mask = (torch.rand_like(weight) >= p).float()
            dropped[name] = weight * mask / (1 - p if scaled else 1)
    return functional_call(layer, dropped, (x,))


RIGHT = {
    "parameter_names": [parameter_names],
    "shared_weights": [shared_weights],
    "find_seed": [find_seed],
    "call_backend": [call_backend],
    "drop_recurrent": [drop_recurrent],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    assert getattr(inside_the_source, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")


@pytest.mark.parametrize("name", RIGHT)
def test_a_check_draws_nothing_from_the_readers_random_numbers(name, capsys):
    before = torch.get_rng_state()
    getattr(inside_the_source, f"check_{name}")(RIGHT[name][0])
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(inside_the_source.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(inside_the_source.__all__)


# Wrong answers, as people give them


def directions_last(num_layers, bidirectional, bias, proj_size):
    names = parameter_names(num_layers, False, bias, proj_size)
    return names + [name + "_reverse" for name in names if bidirectional]


def projection_before_biases(num_layers, bidirectional, bias, proj_size):
    names = parameter_names(num_layers, bidirectional, bias, proj_size)
    return sorted(names, key=lambda name: (name.split("_l")[1], name.startswith("bias")))


def equal_numbers(layer):
    weights = layer.state_dict()
    groups = [[name for name in weights if torch.equal(weights[name], weights[first])] for first in weights]
    return [list(group) for group in dict.fromkeys(tuple(group) for group in groups if len(group) > 1)]


def pairs(layer):
    names, weights = layer._flat_weights_names, layer._flat_weights
    found = [(a, b) for a in range(len(names)) for b in range(a) if weights[a] is weights[b]]
    return [[names[b], names[a]] for a, b in found]


def all_weights_compared(layer):
    for seed in range(100):
        torch.manual_seed(seed)
        bound = layer.hidden_size**-0.5
        if all(torch.equal(torch.empty(w.shape).uniform_(-bound, bound), w) for w in layer.parameters()):
            return seed


def bound_by_input(layer):
    for seed in range(100):
        torch.manual_seed(seed)
        bound = layer.input_size**-0.5
        if torch.equal(torch.empty(layer.weight_ih_l0.shape).uniform_(-bound, bound), layer.weight_ih_l0):
            return seed


def dropped_in_place(layer, x, p):
    with torch.no_grad():
        layer.weight_hh_l0.copy_(F.dropout(layer.weight_hh_l0, p))
    return layer(x)


@torch.no_grad()
def without_gradients(layer, x, p):
    return drop_recurrent(layer, x, p)


def dropped_data(layer, x, p):
    return functional_call(layer, {name: F.dropout(w.data, p) for name, w in layer.named_parameters()}, (x,))


def dropped_outputs(layer, x, p):
    output, state = layer(x)
    return F.dropout(output, p), state


WRONG = [
    ("parameter_names", directions_last, "two layers, two directions", "result number 5 of 16"),
    ("parameter_names", projection_before_biases, "a projection: result number 3", "got 'weight_hr_l0', which"),
    ("parameter_names", lambda *switches: ["weight_ih_l0"], "one layer", "4 things"),
    ("shared_weights", lambda layer: [], "a stack with one shared matrix", "1 things"),
    ("shared_weights", equal_numbers, "a layer with equal numbers, not shared", "0 things"),
    ("shared_weights", pairs, "three layers, a matrix three times", "2 things"),
    ("find_seed", all_weights_compared, "an LSTM whose forget gates were opened later", "got None"),
    ("find_seed", bound_by_input, "a GRU", "got None"),
    ("find_seed", lambda layer: 0, "an LSTM with two layers and two directions", "got 0"),
    ("call_backend", lambda layer, x: layer(x), "nn.GRU", "the layer may not be called here"),
    ("call_backend", lambda *a: call_backend(*a, batch_axis=1), "nn.LSTM with batch_first", "shape (2, 7, 4), got"),
    ("call_backend", lambda *a: call_backend(*a, training=True), "nn.LSTM in evaluation", "the output: "),
    ("call_backend", lambda layer, x: call_backend(layer, x)[:1], "nn.GRU", "raised ValueError"),
    ("call_backend", lambda layer, x: (_VF.gru, None), "nn.GRU", "the output: it should return a tensor"),
    ("drop_recurrent", dropped_in_place, "an LSTM, p = 0.5", "the call has changed: got 'weight_hh_l0'"),
    ("drop_recurrent", lambda layer, x, p: layer(x), "an LSTM, p = 0.5", "about a share p of each recurrent matrix"),
    ("drop_recurrent", dropped_outputs, "an LSTM, p = 0.5", "about a share p of each recurrent matrix"),
    ("drop_recurrent", lambda *a: drop_recurrent(*a, scaled=False), "an LSTM, p = 0.5", "scaled: 1 of 1"),
    ("drop_recurrent", lambda *a: drop_recurrent(*a, names="weight"), "an LSTM, p = 0.5", "scaled: 1 of 1"),
    ("drop_recurrent", lambda *a: drop_recurrent(*a, names="hh_l0"), "an LSTM, p = 0.5", "scaled: 1 of 1"),
    ("drop_recurrent", without_gradients, "an LSTM, p = 0.5", "raised RuntimeError"),
    ("drop_recurrent", dropped_data, "an LSTM, p = 0.5", "raised RuntimeError"),
]

# What would be an answer, and so must never be printed
SECRETS = {
    "parameter_names": ["reverse", "weight_hr"],
    "shared_weights": ["is ", "id("],
    "find_seed": ["weight_ih", "manual_seed", "uniform_"],
    "call_backend": ["_VF.gru", "lower", "rnn_relu"],
    "drop_recurrent": ["functional_call", "F.dropout"],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(inside_the_source, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []
