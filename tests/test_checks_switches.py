"""The checks of *The other switches* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from companion.checks import switches

# Right answers, each in another way than the check's own


def saved_by_no_bias(layer):
    gates = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}[type(layer)]
    directions = 2 if layer.bidirectional else 1
    return layer.bias * 2 * gates * layer.hidden_size * directions * layer.num_layers


def summed(layer, x):
    output, _ = layer(x)
    return output.unflatten(-1, (-1, layer.hidden_size)).sum(-2)


def initial_state(layer, x):
    _, h_n = layer(x)
    return torch.zeros_like(h_n)


def run_with_dropout(layer, x, p):
    output, h_n = layer(x)
    return nn.Dropout(p).train(layer.training)(output), h_n


def largest_hidden(kind, input_size, limit, **options):
    def size(H):
        weights = kind(input_size, H, device="meta", **options).parameters()
        return sum(weight.numel() * weight.element_size() for weight in weights)

    low, high = 1, 2
    while size(high) <= limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= limit else (low, middle)
    return low


def weight_dropped(layer, x, p):
    weights = dict(layer.named_parameters())
    for name in weights:
        if "weight_hh" in name and layer.training:
            weights[name] = weights[name] * (torch.rand_like(weights[name]) >= p) / (1 - p)
    return functional_call(layer, weights, (x,))


RIGHT = {
    "saved_by_no_bias": saved_by_no_bias,
    "summed": summed,
    "initial_state": initial_state,
    "run_with_dropout": run_with_dropout,
    "largest_hidden": largest_hidden,
    "weight_dropped": weight_dropped,
}


@pytest.mark.parametrize("name, answer", RIGHT.items(), ids=RIGHT)
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(switches, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(switches.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(switches.__all__)


# Wrong answers, as people give them


def one_bias(layer):
    return saved_by_no_bias(layer) // 2


def one_direction(layer):
    return saved_by_no_bias(layer) // (2 if layer.bidirectional else 1)


def whatever_it_has(layer):
    gates = layer.weight_ih_l0.shape[0]
    return 2 * gates * layer.num_layers * (2 if layer.bidirectional else 1)


def pairs_of_neighbors(layer, x):
    output, _ = layer(x)
    return output.unflatten(-1, (layer.hidden_size, -1)).sum(-1)


def always_two_halves(layer, x):
    forward, reverse = layer(x)[0].chunk(2, -1)
    return forward + reverse


def in_the_middle_axis(layer, x):
    output, _ = layer(x)
    return output.view(output.shape[0], output.shape[1], -1, layer.hidden_size).sum(2)


def default_zeros(layer, x):
    return torch.zeros(_rows(layer), x.shape[0 if layer.batch_first else 1], layer.hidden_size)


def only_the_dtype(layer, x):
    return default_zeros(layer, x).to(x.dtype)


def time_as_batch(layer, x):
    return x.new_zeros(_rows(layer), x.shape[1], layer.hidden_size)


def always_a_batch(layer, x):
    return x.new_zeros(_rows(layer), x.shape[0 if layer.batch_first else 1], layer.hidden_size)


def one_row(layer, x):
    return x.new_zeros(1, x.shape[1], layer.hidden_size)


def _rows(layer):
    return layer.num_layers * (2 if layer.bidirectional else 1)


def always_on(layer, x, p):
    output, h_n = layer(x)
    return F.dropout(output, p), h_n


def state_as_well(layer, x, p):
    output, h_n = layer(x)
    return F.dropout(output, p, layer.training), F.dropout(h_n, p, layer.training)


def the_argument(layer, x, p):
    layer.dropout = p
    return layer(x)


def not_scaled(layer, x, p):
    output, h_n = layer(x)
    return output * (torch.rand_like(output) >= p) if layer.training else output, h_n


def one_mask_for_all_steps(layer, x, p):
    output, h_n = layer(x)
    return output * F.dropout(torch.ones_like(output[:1]), p, layer.training), h_n


def left_in_eval(layer, x, p):
    output, h_n = run_with_dropout(layer, x, p)
    layer.eval()
    return output, h_n


def below_the_limit(kind, input_size, limit, **options):
    return largest_hidden(kind, input_size, limit - 1, **options)


def four_bytes(kind, input_size, limit, **options):
    size = torch.empty(0, dtype=options.pop("dtype", None)).element_size()
    return largest_hidden(kind, input_size, limit, **options) if size else 0


def one_too_many(kind, input_size, limit, **options):
    return largest_hidden(kind, input_size, limit, **options) + 1


def one_layer_only(kind, input_size, limit, **options):
    return largest_hidden(kind, input_size, limit, **options | {"num_layers": 1})


def forward_only(layer, x, p):
    dropped = {"weight_hh_l0": F.dropout(layer.weight_hh_l0, p, layer.training)}
    return functional_call(layer, dropped, (x,))


def in_eval_as_well(layer, x, p):
    dropped = {name: F.dropout(w, p) for name, w in layer.named_parameters() if "weight_hh" in name}
    return functional_call(layer, dropped, (x,))


def all_weights(layer, x, p):
    dropped = {name: F.dropout(w, p, layer.training) for name, w in layer.named_parameters() if "weight" in name}
    return functional_call(layer, dropped, (x,))


def detached(layer, x, p):
    dropped = {name: F.dropout(w, p, layer.training) for name, w in layer.state_dict().items() if "_hh" in name}
    return functional_call(layer, dropped, (x,))


def in_place(layer, x, p):
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if "weight_hh" in name:
                weight.copy_(F.dropout(weight, p, layer.training))
    return layer(x)


def fresh_at_every_step(layer, x, p):
    outputs, h = [], None
    for x_t in x.split(1):
        output, h = weight_dropped(layer, x_t, p) if h is None else _from(layer, x_t, h, p)
        outputs.append(output)
    return torch.cat(outputs), h


def _from(layer, x, h, p):
    dropped = {name: F.dropout(w, p, layer.training) for name, w in layer.named_parameters() if "weight_hh" in name}
    return functional_call(layer, dropped, (x, h))


WRONG = [
    ("saved_by_no_bias", one_bias, "an nn.RNN", "got 4"),
    ("saved_by_no_bias", one_direction, "a bidirectional nn.LSTM", "got 80"),
    ("saved_by_no_bias", whatever_it_has, "an nn.GRU that has no biases", "got 24"),
    ("summed", lambda layer, x: layer(x)[0], "a bidirectional GRU", "shape (7, 5, 4), got (7, 5, 8)"),
    ("summed", pairs_of_neighbors, "a bidirectional GRU", "numbers are off"),
    ("summed", always_two_halves, "one direction", "shape (7, 5, 4), got (7, 5, 2)"),
    ("summed", in_the_middle_axis, "one sequence without a batch", "your answer raised"),
    ("initial_state", default_zeros, "a layer of float64", "its dtype: got 'torch.float32'"),
    ("initial_state", only_the_dtype, "a layer on another device", "its device: got 'cpu'"),
    ("initial_state", one_row, "two layers, two directions", "its shape"),
    ("initial_state", time_as_batch, "batch_first", "its shape"),
    ("initial_state", always_a_batch, "one sequence without a batch", "its shape"),
    ("initial_state", lambda layer, x: layer(x)[1], "a layer as it comes", "all zeros"),
    ("initial_state", lambda layer, x: None, "a layer as it comes", "its type: got 'NoneType'"),
    ("run_with_dropout", always_on, "one layer, p = 0.5", "eval mode"),
    ("run_with_dropout", state_as_well, "one layer, p = 0.5", "h_n in training"),
    ("run_with_dropout", the_argument, "one layer, p = 0.5", "output / (1 - p)"),
    ("run_with_dropout", not_scaled, "one layer, p = 0.5", "output / (1 - p)"),
    ("run_with_dropout", one_mask_for_all_steps, "one layer, p = 0.5", "each step"),
    ("run_with_dropout", left_in_eval, "one layer, p = 0.5", "still in training"),
    ("largest_hidden", below_the_limit, "an nn.GRU that fits exactly", "got 31"),
    ("largest_hidden", four_bytes, "an nn.LSTM in float64", "which is not it"),
    ("largest_hidden", one_too_many, "an nn.GRU in 100,000 bytes", "which is not it"),
    ("largest_hidden", one_layer_only, "an nn.LSTM with four layers", "which is not it"),
    ("weight_dropped", forward_only, "two directions", "0 or scaled"),
    ("weight_dropped", in_eval_as_well, "one direction, p = 0.5", "eval mode"),
    ("weight_dropped", all_weights, "one direction, p = 0.5", "left whole"),
    ("weight_dropped", detached, "one direction, p = 0.5", "gradient"),
    ("weight_dropped", in_place, "one direction, p = 0.5", "as they were"),
    ("weight_dropped", fresh_at_every_step, "one direction, p = 0.5", "near p"),
    ("weight_dropped", lambda layer, x, p: layer(x), "one direction, p = 0.5", "0 or scaled"),
]
HINTS = {
    "saved_by_no_bias": "does not have",
    "summed": "nothing to add",
    "initial_state": "counts the sequences",
    "run_with_dropout": "must stay whole",
    "largest_hidden": "element_size",
    "weight_dropped": "functional_call",
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_is_told_where_it_is_wrong(name, answer, case, words, capsys):
    assert getattr(switches, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}")
    assert words in printed and HINTS[name] in printed
