"""The checks of *Tensors, graphs, modules* pass right answers and say what is wrong with wrong ones."""

import math

import pytest
import torch
from torch import nn

from companion.checks import tensors

# Right answers, each in another way than the check's own


def batch_first(outputs):
    return torch.stack(outputs).transpose(0, 1)


def zero_padding(x, lengths):
    x = x.clone()
    for sequence, length in enumerate(lengths.tolist()):
        x[length:, sequence] = 0
    return x


def sigmoid_rule(a):
    y = (1 + math.tanh(a / 2)) / 2
    return y, y * (1 - y)


class Standardize(nn.Module):
    def __init__(self, data):
        super().__init__()
        rows = data.flatten(0, 1)
        self.register_buffer("std", rows.std(0))
        self.register_buffer("mean", rows.mean(0))

    def forward(self, x):
        return (x - self.mean).div(self.std)


def graph_size(y):
    seen, level = set(), {y.grad_fn} - {None}
    while level:
        seen |= level
        level = {parent for function in level for parent, _ in function.next_functions} - seen - {None}
    return len(seen)


def forward_derivative(w, h0, x):
    h, dh = h0, 0.0
    for x_t in x:
        a, da = x_t + w * h, h + w * dh
        h, dh = math.tanh(a), da / math.cosh(a) ** 2
    return h, dh


RIGHT = {
    "batch_first": [batch_first, lambda outputs: torch.stack(outputs, dim=1)],
    "zero_padding": [zero_padding],
    "sigmoid_rule": [sigmoid_rule],
    "standardize": [Standardize],
    "graph_size": [graph_size],
    "forward_derivative": [forward_derivative],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(tensors, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(tensors.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(tensors.__all__)


# Wrong answers, as people give them


def padding_by_product(x, lengths):
    return x * (torch.arange(len(x))[:, None] < lengths).unsqueeze(-1)


def padding_one_too_long(x, lengths):
    return x * (torch.arange(len(x))[:, None] <= lengths).unsqueeze(-1)


def padding_without_an_axis(x, lengths):
    return x * (torch.arange(len(x))[:, None] < lengths)


def overflowing_sigmoid(a):
    y = 1 / (1 + math.exp(-a))
    return y, y * (1 - y)


def sigmoid_with_the_wrong_rule(a):
    return sigmoid_rule(a)[0], 1 - sigmoid_rule(a)[0] ** 2


class PlainTensors(nn.Module):
    def __init__(self, data):
        super().__init__()
        self.mean, self.std = data.mean((0, 1)), data.std((0, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


class Parameters(PlainTensors):
    def __init__(self, data):
        nn.Module.__init__(self)
        self.mean, self.std = nn.Parameter(data.mean((0, 1))), nn.Parameter(data.std((0, 1)))


class OneNumberForAllFeatures(PlainTensors):
    def __init__(self, data):
        nn.Module.__init__(self)
        self.register_buffer("mean", data.mean())
        self.register_buffer("std", data.std())


class NotSaved(PlainTensors):
    def __init__(self, data):
        nn.Module.__init__(self)
        self.register_buffer("mean", data.mean((0, 1)), persistent=False)
        self.register_buffer("std", data.std((0, 1)), persistent=False)


class MeasuredAnew(Standardize):
    def forward(self, x):
        return (x - x.mean((0, 1))) / x.std((0, 1))


def count_every_way(y):
    def count(function):
        return 0 if function is None else 1 + sum(count(parent) for parent, _ in function.next_functions)

    return count(y.grad_fn)


def count_by_calls(y):
    seen = set()

    def visit(function):
        if function is not None and function not in seen:
            seen.add(function)
            for parent, _ in function.next_functions:
                visit(parent)

    visit(y.grad_fn)
    return len(seen)


def derivative_without_the_past(w, h0, x):
    h, dh = h0, 0.0
    for x_t in x:
        h, dh = math.tanh(x_t + w * h), (1 - math.tanh(x_t + w * h) ** 2) * h
    return h, dh


def derivative_from_the_new_state(w, h0, x):
    h, dh = h0, 0.0
    for x_t in x:
        h = math.tanh(x_t + w * h)
        dh = (1 - h * h) * (h + w * dh)
    return h, dh


WRONG = [
    ("batch_first", torch.stack, "5 steps of 3 sequences", "shape (3, 5, 2), got (5, 3, 2)"),
    (
        "batch_first",
        lambda outputs: torch.stack(outputs).reshape(len(outputs[0]), len(outputs), -1),
        "5 steps of 3 sequences",
        "numbers are off",
    ),
    ("batch_first", lambda outputs: torch.cat(outputs), "5 steps of 3 sequences", "shape"),
    ("zero_padding", padding_by_product, "padding that holds nan", "numbers are off, by up to nan"),
    ("zero_padding", padding_one_too_long, "lengths 5, 2 and 3", "numbers are off"),
    ("zero_padding", padding_without_an_axis, "lengths 5, 2 and 3", "raised RuntimeError: The size of"),
    ("sigmoid_rule", overflowing_sigmoid, "a = -800", "raised OverflowError"),
    ("sigmoid_rule", sigmoid_with_the_wrong_rule, "a = 0", "result number 2 of 2"),
    ("sigmoid_rule", lambda a: sigmoid_rule(a)[0], "a = 0", "2 things, got a float"),
    ("standardize", PlainTensors, "data of shape (20, 4, 3)", "state_dict: got 'none'"),
    ("standardize", Parameters, "data of shape (20, 4, 3)", "parameters: got 'mean, std'"),
    ("standardize", OneNumberForAllFeatures, "data of shape (20, 4, 3)", "the output: "),
    ("standardize", NotSaved, "data of shape (20, 4, 3)", "state_dict: got 'none'"),
    ("standardize", MeasuredAnew, "data of shape (20, 4, 3)", "the output: "),
    ("graph_size", count_every_way, "two steps, which share w", "got 8, which is not it"),
    ("graph_size", count_by_calls, "1,000 steps", "raised RecursionError"),
    ("graph_size", lambda y: y, "a tensor that was given", "one int, got a tensor of shape (3,)"),
    ("forward_derivative", derivative_without_the_past, "the two steps", "result number 2 of 2"),
    ("forward_derivative", derivative_from_the_new_state, "one step", "result number 2 of 2"),
    ("forward_derivative", lambda w, h0, x: "0.5", "one step", "2 things, got a str"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(tensors, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")


def test_an_answer_that_was_called_already_is_no_function(capsys):
    assert tensors.check_batch_first(torch.zeros(3, 5, 2)) is False
    assert capsys.readouterr().out == "Give the function itself, without calling it; got a Tensor.\n"
