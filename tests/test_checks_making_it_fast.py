"""The checks of *Making it fast* pass right answers, and say what is wrong with typical wrong ones."""

import math

import numpy as np
import pytest
import torch

from companion.checks import making_it_fast

# Right answers, each in another way than the check's own


def batch_needed(border, H):
    left = 2 * H - 5 * border
    return math.ceil(4 * H * border / left) if left > 0 else None


def overall_speedup(share, factor):
    return 1 / (1 - share + share / factor)


def linear_backward(d_h, a, h, h_0):
    total, d_a, d_b = torch.zeros_like(h_0), [], []
    for t in reversed(range(len(a))):
        total = total + d_h[t]
        d_a.append(total * (h[t - 1] if t else h_0))
        d_b.append(total)
        total = total * a[t]
    return torch.stack(d_a[::-1]), torch.stack(d_b[::-1]), total


def sigmoid(sums):
    return 1 / (1 + np.exp(-sums))


def walk_with_lengths(U, x, weight_c, lengths, cells, h, keep=True, zero=True, everyone=None):
    T, B, H = h.shape
    for t in range(T):
        for b in range(B):
            u, s_f, s_r = U[t, b].reshape(3, H)
            c = cells[t, b]
            f, r = sigmoid(s_f + weight_c[:H] * c), sigmoid(s_r + weight_c[H:] * c)
            if t < (everyone or lengths[b]):
                cells[t + 1, b] = f * c + (1 - f) * u
                h[t, b] = r * cells[t + 1, b] + (1 - r) * x[t, b]
            else:
                if keep:
                    cells[t + 1, b] = c
                if zero:
                    h[t, b] = 0


def walk_back(U, x, weight_c, cells, d_h, d_c, d_U, d_x, d_weight_c, slip=""):
    T, _, H = x.shape
    v_f, v_r = weight_c[:H], weight_c[H:]
    if slip != "sums":
        d_weight_c[:] = 0
    for t in reversed(range(T)):
        u, s_f, s_r = (U[t, :, block * H : (block + 1) * H] for block in range(3))
        before, after = cells[t], cells[t + 1]
        f, r = sigmoid(s_f + v_f * before), sigmoid(s_r + v_r * before)
        total = d_c + r * d_h[t]
        d_s_f = total * (before - u) * f * (1 - f)
        d_s_r = d_h[t] * (after - x[t]) * r * (1 - r)
        d_U[t] = np.concatenate([total * (1 - f), d_s_f, d_s_r], -1)
        d_x[t] = d_h[t] * (1 - r)
        d_weight_c += np.concatenate([d_s_f * before, d_s_r * before], -1)
        d_c[:] = f * total + (0 if slip == "gate" else v_f * d_s_f) + (0 if slip == "reset" else v_r * d_s_r)
        if slip == "last":
            d_c[:] = f * total


RIGHT = {
    "batch_needed": batch_needed,
    "overall_speedup": overall_speedup,
    "linear_backward": linear_backward,
    "walk_with_lengths": walk_with_lengths,
    "walk_back": walk_back,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(making_it_fast, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert {f"check_{name}" for name in RIGHT} == set(making_it_fast.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(making_it_fast.__all__)


# Wrong answers, as people give them


def without_the_outputs_bytes(border, H):
    """Only the weight's bytes count."""
    return math.ceil(2 * border)


def rounded_down(border, H):
    needed = batch_needed(border, H)
    return needed and needed - 1


def never_none(border, H):
    return math.ceil(4 * H * border / (2 * H - 5 * border))


def local_gradients(d_h, a, h, h_0):
    return d_h * torch.cat([h_0.unsqueeze(0), h[:-1]]), d_h, a[0] * d_h[0]


def shifted_slopes(d_h, a, h, h_0):
    return linear_backward(d_h, torch.cat([a[:1], a[:-1]]), h, h_0)


def states_after(d_h, a, h, h_0):
    _, d_b, d_h_0 = linear_backward(d_h, a, h, h_0)
    return d_b * h, d_b, d_h_0


def slip(name):
    return lambda *arrays: walk_back(*arrays, slip=name)


WRONG = [
    ("batch_needed", without_the_outputs_bytes, "On 10 operations a byte, H = 512", "Part of the bytes grows"),
    ("batch_needed", rounded_down, "On 10 operations a byte, H = 512", "Round up"),
    ("batch_needed", never_none, "which no batch reaches", "a batch without end"),
    ("overall_speedup", lambda share, factor: 1 - share + share * factor, "On half of the time", "Add times"),
    ("overall_speedup", lambda share, factor: factor, "On half of the time", "Add times"),
    ("linear_backward", local_gradients, "On a loss at the last of 6 steps only", "Who reads h_t?"),
    ("linear_backward", shifted_slopes, "On a loss at the last of 6 steps only", "Who reads h_t?"),
    ("linear_backward", states_after, "On a single step: result number 1 of 3", "the state before its step"),
    (
        "walk_with_lengths",
        lambda *arrays: walk_with_lengths(*arrays, zero=False),
        "On three sequences, longest first: the outputs h",
        "every place of h",
    ),
    (
        "walk_with_lengths",
        lambda *arrays: walk_with_lengths(*arrays, keep=False),
        "On three sequences, longest first",
        "Which value does a state have",
    ),
    (
        "walk_with_lengths",
        lambda *arrays: walk_with_lengths(*arrays, everyone=5),
        "On three sequences, longest first: the outputs h",
        "its own last step",
    ),
    ("walk_back", slip("gate"), "On a single step: d_c, which should hold the gradient of c_0", "by the forget gate"),
    ("walk_back", slip("reset"), "On a single step: d_c, which should hold the gradient of c_0", "by the reset gate"),
    ("walk_back", slip("last"), "On a single step: d_c, which should hold the gradient of c_0", "by the state"),
    ("walk_back", slip("sums"), "On a single step: d_weight_c", "Set sums to zero first"),
]


@pytest.mark.parametrize("name, answer, where, hint", WRONG)
def test_a_wrong_answer_learns_where_and_gets_a_hint(name, answer, where, hint, capsys):
    assert getattr(making_it_fast, f"check_{name}")(answer) is False
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("Not yet. ") and where in first, first
    assert hint in " ".join(rest)
