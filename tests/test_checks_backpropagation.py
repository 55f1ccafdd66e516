"""The checks of *Backpropagation through time* pass right answers, and say what is wrong with typical wrong ones."""

from itertools import pairwise

import pytest
import torch

from companion.checks import backpropagation

# Right answers, each in another way than the check's own


def clip_together(gradients, limit):
    copies = [torch.nn.Parameter(gradient.clone()) for gradient in gradients]
    for copy, gradient in zip(copies, gradients, strict=True):
        copy.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(copies, limit)
    return [copy.grad for copy in copies]


def with_radius(weight, radius):
    numbers = torch.linalg.eigvals(weight)
    return weight / (numbers * numbers.conj()).real.max().sqrt() * radius


def forward(states, weights):
    """The states again, each from a weight of its own, so that autograd keeps the steps apart."""
    sums = [torch.atanh(after) - before @ weights[0].detach().T for before, after in pairwise(states)]
    h, outputs = states[0], []
    for weight, x in zip(weights, sums, strict=True):
        h = torch.tanh(x + h @ weight.T)
        outputs.append(h)
    return torch.stack(outputs)


def contributions(d_outputs, states, weight_hh):
    weights = [weight_hh.double().requires_grad_() for _ in d_outputs]
    loss = (forward(states.double(), weights) * d_outputs).sum()
    return torch.stack(torch.autograd.grad(loss, weights))


def truncated_backward(d_outputs, states, weight_hh, window):
    total = torch.zeros_like(weight_hh).double()
    for start in range(0, len(d_outputs), window):
        part = slice(start, start + window)
        total += contributions(d_outputs[part], states[start : start + window + 1], weight_hh).sum(0)
    return total


def leaky_backward(d_outputs, x, h_0, weight_hh, rate):
    states, squeezed = [h_0], []
    for x_t in x:
        squeezed.append(torch.tanh(x_t + states[-1] @ weight_hh.T))
        states.append((1 - rate) * states[-1] + rate * squeezed[-1])
    d_h, d_x, d_weight = torch.zeros_like(h_0), [], torch.zeros_like(weight_hh)
    for t in reversed(range(len(x))):
        d_h = d_h + d_outputs[t]
        d_x.append(rate * d_h * (1 - squeezed[t] ** 2))
        d_weight = d_weight + d_x[-1].T @ states[t]
        d_h = (1 - rate) * d_h + d_x[-1] @ weight_hh
    return torch.stack(d_x[::-1]), d_h, d_weight


RIGHT = {
    "clip_together": clip_together,
    "with_radius": with_radius,
    "contributions": contributions,
    "truncated_backward": truncated_backward,
    "leaky_backward": leaky_backward,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(backpropagation, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(backpropagation.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(backpropagation.__all__)


# Wrong answers, as people give them


def clip_each(gradients, limit):
    return [gradient * min(1.0, limit / float(gradient.norm())) for gradient in gradients]


def clip_by_value(gradients, limit):
    return [gradient.clamp(-limit, limit) for gradient in gradients]


def always_rescale(gradients, limit):
    length = sum(gradient.square().sum() for gradient in gradients) ** 0.5
    return [gradient * limit / length for gradient in gradients]


def divide_by_zero(gradients, limit):
    length = sum(gradient.square().sum() for gradient in gradients) ** 0.5
    return [gradient / length * min(float(length), limit) for gradient in gradients]


def with_singular_value(weight, radius):
    return weight * radius / torch.linalg.matrix_norm(weight, 2)


def without_absolute_value(weight, radius):
    return weight * radius / torch.linalg.eigvals(weight).real.max()


def with_the_new_state(d_outputs, states, weight_hh):
    kept = contributions(d_outputs, states, weight_hh)
    return torch.cat([kept[1:], kept[:1]])


def own_step_only(d_outputs, states, weight_hh):
    return contributions(d_outputs, states, torch.zeros_like(weight_hh))


def without_windows(d_outputs, states, weight_hh, window):
    return contributions(d_outputs, states, weight_hh).sum(0)


def windows_from_the_end(d_outputs, states, weight_hh, window):
    first = len(d_outputs) % window
    total = truncated_backward(d_outputs[first:], states[first:], weight_hh, window)
    return total + (truncated_backward(d_outputs[:first], states[: first + 1], weight_hh, window) if first else 0)


def one_window_only(d_outputs, states, weight_hh, window):
    return contributions(d_outputs[-window:], states[-window - 1 :], weight_hh).sum(0)


def leaky_without_the_kept_share(d_outputs, x, h_0, weight_hh, rate):
    return leaky_backward(rate * d_outputs, x, h_0, weight_hh, 1.0)


def leaky_with_the_slope_of_h(d_outputs, x, h_0, weight_hh, rate):
    states = [h_0]
    for x_t in x:
        states.append((1 - rate) * states[-1] + rate * torch.tanh(x_t + states[-1] @ weight_hh.T))
    d_h, d_x, d_weight = torch.zeros_like(h_0), [], torch.zeros_like(weight_hh)
    for t in reversed(range(len(x))):
        d_h = d_h + d_outputs[t]
        d_x.append(rate * d_h * (1 - states[t + 1] ** 2))
        d_weight = d_weight + d_x[-1].T @ states[t]
        d_h = (1 - rate) * d_h + d_x[-1] @ weight_hh
    return torch.stack(d_x[::-1]), d_h, d_weight


def leaky_without_h_0(d_outputs, x, h_0, weight_hh, rate):
    return leaky_backward(d_outputs, x, h_0, weight_hh, rate)[::2]


WRONG = [
    ("clip_together", clip_each, "two gradients that are short alone", "result number 1 of 2"),
    ("clip_together", clip_by_value, "one gradient of length 5", "numbers are off"),
    ("clip_together", always_rescale, "gradients within the limit", "result number 1 of 2"),
    ("clip_together", divide_by_zero, "gradients that are all zero", "result number 1 of 2"),
    ("with_radius", with_singular_value, "a random matrix, H = 6", "numbers are off"),
    ("with_radius", without_absolute_value, "a diagonal matrix", "numbers are off"),
    ("contributions", with_the_new_state, "a loss at the last of 6 steps", "first at index"),
    ("contributions", own_step_only, "a loss at the last of 6 steps", "first at index (0, 0, 0)"),
    ("contributions", lambda *args: contributions(*args).sum(0), "a single step", "got (2, 2)"),
    ("truncated_backward", without_windows, "6 steps in windows of 3", "numbers are off"),
    ("truncated_backward", windows_from_the_end, "7 steps in windows of 3", "numbers are off"),
    ("truncated_backward", one_window_only, "6 steps in windows of 3", "numbers are off"),
    ("leaky_backward", leaky_without_the_kept_share, "one step at rate 0.5", "result number"),
    ("leaky_backward", leaky_with_the_slope_of_h, "one step at rate 0.5", "result number 1 of 3"),
    ("leaky_backward", leaky_without_h_0, "one step at rate 0.5", "3 things"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(backpropagation, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
