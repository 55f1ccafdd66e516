"""The checks of *Inputs* pass right answers, and say what is wrong with typical wrong ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from companion.anatomy import shapes
from companion.checks import input_forms

# Right answers, each in another way than the check's own


def predict_shapes(layer, input_shape):
    options = {"num_layers": layer.num_layers, "bidirectional": layer.bidirectional, "batch_first": layer.batch_first}
    found = shapes("GRU", layer.input_size, layer.hidden_size, input_shape=input_shape, **options)
    return found.output, found.states["h_n"]


def series_input(series):
    return torch.from_numpy(np.stack(series)[..., None]).transpose(0, 1).float()


def unscramble(x):
    T, D = len(x), x.shape[-1]
    return torch.stack([x.flatten()[t * D :].unfold(0, D, T * D) for t in range(T)])


def readers(model, x):
    x = x.clone().requires_grad_()
    rows = [torch.autograd.grad(result.square().sum(), x, retain_graph=True)[0] for result in model(x)]
    return torch.stack([row.flatten(1).abs().amax(1) > 0 for row in rows])


def widen(layer, extra, fill=0.0):
    wide = nn.GRU(
        layer.input_size + extra,
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        bidirectional=layer.bidirectional,
    )
    weights = layer.state_dict()
    for name in weights:
        if "weight_ih_l0" in name:
            weights[name] = F.pad(weights[name], (0, extra), value=fill)
    wide.load_state_dict(weights)
    return wide


RIGHT = {
    "predict_shapes": predict_shapes,
    "series_input": series_input,
    "unscramble": unscramble,
    "readers": readers,
    "widen": widen,
}


@pytest.mark.parametrize("name, answer", RIGHT.items(), ids=RIGHT)
def test_a_right_answer_passes_and_draws_none_of_the_readers_random_numbers(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(input_forms, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(input_forms.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(input_forms.__all__)


# Wrong answers, as people give them


def batch_of_axis_1(layer, input_shape):
    S = 2 if layer.bidirectional else 1
    batch = input_shape[1:-1]
    return (*input_shape[:-1], S * layer.hidden_size), (S * layer.num_layers, *batch, layer.hidden_size)


def state_turned_too(layer, input_shape):
    output, state = predict_shapes(layer, input_shape)
    return output, (state[1], state[0], *state[2:]) if layer.batch_first and len(state) == 3 else state


def without_directions(layer, input_shape):
    output, state = predict_shapes(layer, input_shape)
    return (*output[:-1], layer.hidden_size), state


def product_of_bidirectional(layer, input_shape):
    output, state = predict_shapes(layer, input_shape)
    return (*output[:-1], layer.hidden_size * layer.bidirectional), state


def by_reshape(series):
    stacked = torch.from_numpy(np.stack(series)).float()
    return stacked.reshape(stacked.shape[1], stacked.shape[0], 1)


def what_others_read(model, x):
    return readers(model, x).T


def first_sequence_only(model, x):
    table = torch.eye(len(x), dtype=torch.bool)
    with torch.no_grad():
        changed = x.clone()
        changed[0] += 1
        table[:, 0] = (model(changed) - model(x)).abs().flatten(1).amax(1) > 1e-6
    return table


def forward_only(layer, extra):
    wide = widen(layer, extra, fill=1.0)
    with torch.no_grad():
        wide.weight_ih_l0[:, -extra:] = 0
    return wide


def new_features_first(layer, extra):
    wide = widen(layer, extra)
    weights = {name: w.roll(extra, 1) if "weight_ih_l0" in name else w for name, w in wide.state_dict().items()}
    wide.load_state_dict(weights)
    return wide


def one_layer(layer, extra):
    wide = nn.GRU(layer.input_size + extra, layer.hidden_size)
    with torch.no_grad():
        for name, weight in wide.named_parameters():
            weight.zero_()[..., : getattr(layer, name).shape[-1]] = getattr(layer, name)
    return wide


WRONG = [
    ("predict_shapes", batch_of_axis_1, "5 sequences of 7 steps, batch_first", "h_n: got '(1, 7, 4)'"),
    ("predict_shapes", state_turned_too, "5 sequences of 7 steps, batch_first", "h_n: got '(5, 1, 4)'"),
    ("predict_shapes", without_directions, "two layers, two directions", "the output: got '(7, 5, 4)'"),
    ("predict_shapes", product_of_bidirectional, "7 steps of 5 sequences", "the output: got '(7, 5, 0)'"),
    ("predict_shapes", lambda layer, shape: layer(torch.zeros(3)), "7 steps", "raised ValueError"),
    ("predict_shapes", lambda layer, shape: shape, "7 steps", "raised ValueError"),
    ("series_input", by_reshape, "3 series of 5 numbers", "numbers are off"),
    ("series_input", lambda series: series_input(series).transpose(0, 1), "3 series", "shape (5, 3, 1), got (3, 5, 1)"),
    ("series_input", lambda series: series_input(series).squeeze(-1), "3 series", "shape (5, 3, 1), got (5, 3)"),
    ("series_input", lambda series: series_input(series).double(), "3 series", "its dtype: got 'torch.float64'"),
    ("series_input", lambda series: np.stack(series, 1)[..., None], "3 series", "should return a tensor"),
    ("unscramble", lambda x: x, "3 sequences of 5 steps", "numbers are off"),
    ("unscramble", lambda x: x.transpose(0, 1), "3 sequences of 5 steps", "shape (5, 3, 2), got (3, 5, 2)"),
    ("unscramble", lambda x: x.view(x.shape[1], x.shape[0], -1), "3 sequences of 5 steps", "got (3, 5, 2)"),
    ("unscramble", lambda x: x.transpose(0, 1).reshape(x.shape), "3 sequences of 5 steps", "numbers are off"),
    ("readers", lambda model, x: torch.eye(len(x)), "a layer without it", "numbers are off"),
    ("readers", what_others_read, "a layer without it", "numbers are off"),
    ("readers", first_sequence_only, "a layer without it", "numbers are off"),
    ("readers", lambda model, x: readers(model, x).any(1), "a layer with batch_first", "shape (4, 4), got (4,)"),
    ("widen", lambda layer, extra: widen(layer, extra, fill=0.1), "one layer, two features", "the output: "),
    ("widen", forward_only, "two directions", "the output: "),
    ("widen", new_features_first, "one layer, two features more", "the output: "),
    ("widen", one_layer, "two directions", "shape (5, 2, 8), got (5, 2, 4)"),
    ("widen", lambda layer, extra: layer, "one layer, two features more", "raised RuntimeError"),
    ("widen", lambda layer, extra: nn.GRU(3 + extra, 4), "one layer, two features more", "the output: "),
]

# What would be an answer, and so must never be printed in a hint
SECRETS = {
    "predict_shapes": ["S * H", "hidden_size", "1 if"],
    "series_input": ["stack", "unsqueeze", "float("],
    "unscramble": ["transpose", "view(B", "reshape"],
    "readers": ["clone", "triangle", "identity"],
    "widen": ["F.pad", "zeros", "weight_ih"],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(input_forms, f"check_{name}")(answer) is False
    first, _, hint = capsys.readouterr().out.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}"), first
    assert words in first, first
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []
