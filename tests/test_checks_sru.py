"""The checks of *The SRU, twice* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch

from companion.checks import sru

# Right answers, each in another way than the check's own


def count_sru_weights(D, H, L=1, S=1):
    total = 0
    for features in [D] + [S * H] * (L - 1):
        blocks = 3 if features == S * H else 4
        total += S * (blocks * H * features + 4 * H)
    return total


def latch_weights():
    return torch.tensor([[1.0], [-40.0], [0.0]]), torch.zeros(2), torch.tensor([20.0, 50.0])


def latch_by_its_state():
    """Once it is up, it keeps its state by looking at it, and while it is down it does not matter."""
    return [[1.0], [-40.0], [0.0]], [40.0, 0.0], [20.0, 50.0]


def state_gradient(layer, inputs, c_0):
    c_0 = c_0.clone().requires_grad_()
    _, c_n = layer(inputs, c_0)
    return torch.autograd.grad(c_n.sum(), c_0)[0]


@torch.no_grad()
def settled_output(layer, x):
    candidate, _, x_r, *fourth = (x @ layer.weight_ih_l0.T).split(layer.hidden_size, -1)
    highway = fourth[0] if fourth else layer.alpha * x
    r = torch.sigmoid(x_r + layer.weight_c_l0.chunk(2)[1] * candidate + layer.bias_ih_l0.chunk(2)[1])
    return r * candidate + (1 - r) * highway


def to_official(layer):
    checkpoint = {}
    for name, weight in layer.state_dict().items():
        kind, number = name.rsplit("_l", 1)
        if kind == "weight_ih":
            blocks = weight.view(-1, layer.hidden_size, weight.shape[1])
            checkpoint[f"rnn_lst.{number}.weight"] = blocks.permute(2, 1, 0).reshape(weight.shape[1], -1)
        else:
            checkpoint[f"rnn_lst.{number}." + {"weight_c": "weight_c", "bias_ih": "bias"}[kind]] = weight
    return checkpoint


RIGHT = {
    "count_sru_weights": [count_sru_weights],
    "latch_weights": [latch_weights, latch_by_its_state],
    "state_gradient": [state_gradient],
    "settled_output": [settled_output],
    "to_official": [to_official],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name, answers in RIGHT.items() for answer in answers])
def test_a_right_answer_passes(name, answer, capsys):
    assert getattr(sru, f"check_{name}")(answer)
    assert capsys.readouterr().out.startswith("Right")


# Wrong answers: what a learner would write, the input on which it fails, and a word of the hint


def sums_of_states_and_outputs(layer, inputs, c_0):
    c_0 = c_0.clone().requires_grad_()
    outputs, c_n = layer(inputs, c_0)
    return torch.autograd.grad(outputs.sum() + c_n.sum(), c_0)[0]


@torch.no_grad()
def alpha_everywhere(layer, x):
    candidate, _, x_r, *fourth = (x @ layer.weight_ih_l0.T).split(layer.hidden_size, -1)
    highway = layer.alpha * (fourth[0] if fourth else x)
    r = torch.sigmoid(x_r + layer.weight_c_l0.chunk(2)[1] * candidate + layer.bias_ih_l0.chunk(2)[1])
    return r * candidate + (1 - r) * highway


@torch.no_grad()
def gate_without_the_state(layer, x):
    candidate, _, x_r, *fourth = (x @ layer.weight_ih_l0.T).split(layer.hidden_size, -1)
    highway = fourth[0] if fourth else layer.alpha * x
    return torch.lerp(highway, candidate, torch.sigmoid(x_r + layer.bias_ih_l0.chunk(2)[1]))


def side_by_side(layer):
    return to_official(layer) | {"rnn_lst.0.weight": layer.weight_ih_l0.detach().T}


def first_layer_only(layer):
    return {name: weight for name, weight in to_official(layer).items() if name.startswith("rnn_lst.0")}


WRONG = [
    ("count_sru_weights", lambda D, H, L, S: L * S * (4 * H * D + 4 * H), "as wide as the output", "three or four"),
    (
        "count_sru_weights",
        lambda D, H, L, S: sum(
            S * ((3 if features == H else 4) * H * features + 4 * H) for features in [D] + [S * H] * (L - 1)
        ),
        "two directions, D = 2 H",
        "S * H",
    ),
    ("latch_weights", lambda: ([[1.0], [-40.0], [0.0]], [0.0, 0.0], [20.0, 0.0]), "0 0 1 0 0", "reset gate's bias"),
    ("latch_weights", lambda: ([[1.0], [-12.0], [0.0]], [0.0, 0.0], [6.0, 50.0]), "a thousand 0s", "forget gate"),
    ("latch_weights", lambda: ([[1.0], [0.0], [0.0]], [0.0, 0.0], [0.0, 50.0]), "0 0 1 0 0", "candidate"),
    ("state_gradient", lambda layer, inputs, c_0: state_gradient(layer, inputs, c_0)[0], "single step", "shape"),
    ("state_gradient", sums_of_states_and_outputs, "single step", "sum of c_n"),
    ("settled_output", alpha_everywhere, "D other than H, rescaled", "highway"),
    ("settled_output", gate_without_the_state, "D = H", "reset gate"),
    ("settled_output", lambda layer, x: layer(x.unsqueeze(0))[0][-1], "D = H", "where it will stay"),
    ("to_official", side_by_side, "one layer, D = H", "sorted by unit"),
    ("to_official", first_layer_only, "three layers", "rnn_lst.1"),
    ("to_official", lambda layer: layer.state_dict(), "one layer, D = H", "Names are"),
]


@pytest.mark.parametrize("name, answer, case, hint", WRONG)
def test_a_wrong_answer_is_told_where_and_why(name, answer, case, hint, capsys):
    assert not getattr(sru, f"check_{name}")(answer)
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}") or case in printed.splitlines()[0]
    assert hint in printed
    assert "Right" not in printed


@pytest.mark.parametrize("name", sru.__all__)
def test_a_check_leaves_the_random_numbers_alone(name, capsys):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    getattr(sru, name)(RIGHT[name.removeprefix("check_")][0])
    assert torch.equal(torch.rand(3), expected)


def test_every_exercise_has_its_tests():
    assert {f"check_{name}" for name in RIGHT} == set(sru.__all__) == {f"check_{name}" for name, *_ in WRONG}
