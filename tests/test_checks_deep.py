"""The checks of *Deep recurrent networks, twice* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from companion.checks import deep

# Right answers, each in another way than the check's own


def top_states(h_n, num_directions):
    by_layer = h_n.view(-1, num_directions, *h_n.shape[1:])  # (L, S, B, H)
    return by_layer[-1].transpose(0, 1).flatten(1)


def lower_layers(layer, count):
    lower = nn.GRU(layer.input_size, layer.hidden_size, count, bidirectional=layer.bidirectional)
    lower.load_state_dict(layer.state_dict(), strict=False)
    return lower


def one_mask_dropout(x, p, training):
    if not training:
        return x
    return x * (torch.rand(x.shape[1:]) >= p) / (1 - p)


def skip_stack(layers, inputs):
    read, collected = inputs, []
    for layer in layers:
        outputs, _ = layer(read)
        collected.append(outputs)
        read = torch.cat([outputs, inputs], -1)
    return torch.cat(collected, -1)


def waves(num_steps, num_layers):
    found = []
    for wave in range(num_steps + num_layers - 1):
        first = max(0, wave - num_layers + 1)
        found.append({(t, wave - t) for t in range(first, min(wave + 1, num_steps))})
    return found


def mean_gap(train, passes, num_seeds):
    tall, wide = (sum(train(L, False, seed, passes=passes) for seed in range(num_seeds)) for L in (4, 1))
    return (tall - wide) / num_seeds


RIGHT = {
    "top_states": top_states,
    "lower_layers": lower_layers,
    "one_mask": one_mask_dropout,
    "skip_stack": skip_stack,
    "waves": waves,
    "mean_gap": mean_gap,
}


@pytest.mark.parametrize("name, answer", RIGHT.items(), ids=RIGHT)
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(deep, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    after = torch.get_rng_state()
    assert name == "lower_layers" or torch.equal(after, before)  # that answer draws weights of its own


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(deep.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(deep.__all__)


def test_building_layers_to_check_draws_no_random_numbers(capsys):
    before = torch.get_rng_state()
    assert deep.check_lower_layers(lambda layer, count: layer) is False
    assert torch.equal(torch.get_rng_state(), before)


# Wrong answers, as people give them


def directions_before_layers(h_n, num_directions):
    return torch.cat(list(h_n.view(num_directions, -1, *h_n.shape[1:])[:, -1]), -1)


def the_top_layers(layer, count):
    lower = nn.GRU(layer.input_size, layer.hidden_size, count, bidirectional=layer.bidirectional)
    names = {name: name.replace("_l0", f"_l{layer.num_layers - count}") for name in lower.state_dict()}
    lower.load_state_dict({name: layer.state_dict()[other] for name, other in names.items()})
    return lower


def by_the_beginning_of_a_name(layer, count):
    lower = nn.GRU(layer.input_size, layer.hidden_size, count, bidirectional=layer.bidirectional)
    kept = tuple(f"_l{depth}" for depth in range(count))
    lower.load_state_dict({name: w for name, w in layer.state_dict().items() if any(end in name for end in kept)})
    return lower


def without_the_weights(layer, count):
    return nn.GRU(layer.input_size, layer.hidden_size, count, bidirectional=layer.bidirectional)


def a_mask_for_the_whole_batch(x, p, training):
    return x * F.dropout(torch.ones(x.shape[-1]), p, training)


def not_scaled(x, p, training):
    return x * (torch.rand(x.shape[1:]) >= p) if training else x


def always_on(x, p, training):
    return one_mask_dropout(x, p, True)


def keeps_p(x, p, training):
    return one_mask_dropout(x, 1 - p, training) * (1 - p) / p if training and p else x


def the_same_in_every_call(x, p, training):
    generator = torch.Generator().manual_seed(0)
    return x * (torch.rand(x.shape[1:], generator=generator) >= p) / (1 - p) if training else x


def inputs_first(layers, inputs):
    collected = [layers[0](inputs)[0]]
    for layer in layers[1:]:
        collected.append(layer(torch.cat([inputs, collected[-1]], -1))[0])
    return torch.cat(collected, -1)


def the_top_only(layers, inputs):
    outputs, _ = layers[0](inputs)
    for layer in layers[1:]:
        outputs, _ = layer(torch.cat([outputs, inputs], -1))
    return outputs


def layer_by_layer(num_steps, num_layers):
    return [[(t, layer)] for layer in range(num_layers) for t in range(num_steps)]


def columns(num_steps, num_layers):
    return [[(t, layer) for layer in range(num_layers)] for t in range(num_steps)]


def gap_of_three_passes(train, passes, num_seeds):
    return sum(train(4, False, seed) - train(1, False, seed) for seed in range(num_seeds)) / num_seeds


def gap_with_residuals(train, passes, num_seeds):
    tall, wide = (sum(train(L, L > 1, seed, passes) for seed in range(num_seeds)) for L in (4, 1))
    return (tall - wide) / num_seeds


def gap_of_one_seed(train, passes, num_seeds):
    return mean_gap(train, passes, 1)


def sum_of_gaps(train, passes, num_seeds):
    return num_seeds * mean_gap(train, passes, num_seeds)


WRONG = [
    ("top_states", lambda h_n, num_directions: h_n[-1], "two layers, two directions", "shape (4, 10), got (4, 5)"),
    ("top_states", lambda h_n, num_directions: h_n[-num_directions:], "one layer, one", "shape (4, 5), got (1, 4, 5)"),
    ("top_states", directions_before_layers, "two layers, two directions", "numbers are off"),
    ("lower_layers", the_top_layers, "1 layer of 3", "raised RuntimeError"),
    ("lower_layers", by_the_beginning_of_a_name, "2 layers of 11", "raised RuntimeError"),
    ("lower_layers", without_the_weights, "1 layer of 3", "the outputs"),
    ("lower_layers", lambda layer, count: layer, "1 layer of 3", "num_layers: got 3"),
    ("one_mask", F.dropout, "p = 0.5", "the same at every step"),
    ("one_mask", a_mask_for_the_whole_batch, "p = 0.5", "each sequence"),
    ("one_mask", not_scaled, "p = 0.5", "x / (1 - p)"),
    ("one_mask", always_on, "p = 0.5", "with training=False"),
    ("one_mask", keeps_p, "p = 0.2", "x / (1 - p)"),
    ("one_mask", the_same_in_every_call, "p = 0.5", "each call"),
    ("skip_stack", inputs_first, "two layers", "numbers are off"),
    ("skip_stack", the_top_only, "two layers", "shape (7, 2, 8), got (7, 2, 4)"),
    ("waves", layer_by_layer, "5 steps, 3 layers", "7 things"),
    ("waves", columns, "5 steps, 3 layers", "7 things"),
    ("mean_gap", lambda *arguments: -mean_gap(*arguments), "3 passes, one seed", "numbers are off"),
    ("mean_gap", gap_of_three_passes, "10 passes, one seed", "numbers are off"),
    ("mean_gap", lambda train, *_: train(4, False, 0), "3 passes, one seed", "numbers are off"),
    ("mean_gap", gap_with_residuals, "3 passes, one seed", "numbers are off"),
    ("mean_gap", gap_of_one_seed, "10 passes, three seeds", "numbers are off"),
    ("mean_gap", sum_of_gaps, "10 passes, three seeds", "numbers are off"),
]
HINTS = {
    "top_states": "layer 0 reverse",
    "lower_layers": "state_dict",
    "one_mask": "drawn once",
    "skip_stack": "the lowest first",
    "waves": "waits for the one below",
    "mean_gap": "minus that of one",
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_is_told_where_it_is_wrong(name, answer, case, words, capsys):
    assert getattr(deep, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}")
    assert words in printed and HINTS[name] in printed
