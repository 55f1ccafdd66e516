"""The checks of *Recurrence without waiting* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch

from companion.checks import waiting
from companion.scan import MinGRU, linear_recurrence, sequential_scan

# Right answers, each in another way than the check's own


def is_associative(operator, x, y, z):
    one, other = operator(operator(x, y), z), operator(x, operator(y, z))
    if not isinstance(one, tuple):
        one, other = (one,), (other,)
    return all((p - q).abs().max().item() < 1e-9 for p, q in zip(one, other, strict=True))


def whole_as_one(a, b):
    return a.prod(0), linear_recurrence(a, b)[-1]


def parity_coefficients(bits):
    return torch.where(bits > 0, -1.0, 1.0).to(bits.dtype), bits, torch.zeros_like(bits[0])


class PositiveMinGRU(MinGRU):
    def coefficients(self, x):
        a, _ = super().coefficients(x)
        n = x[..., self.hidden_size :]
        return a, (1 - a) * torch.where(n < 0, n.sigmoid(), n.clamp(min=0) + 0.5)


def chunked_scan(a, b, h_0, size):
    a, b = (part.unflatten(0, (-1, size)) for part in (a, b))
    inside = sequential_scan(a.transpose(0, 1), b.transpose(0, 1)).transpose(0, 1)
    factors = a.cumprod(1)
    before = torch.cat([h_0.unsqueeze(0), sequential_scan(factors[:, -1], inside[:, -1], h_0)[:-1]])
    return torch.addcmul(inside, factors, before.unsqueeze(1)).flatten(0, 1)


def matrix_memory(q, k, v, f):
    S = linear_recurrence(f[:, None, None].expand(-1, k.shape[1], v.shape[1]), torch.einsum("tk,tv->tkv", k, v))
    return torch.einsum("tk,tkv->tv", q, S)


RIGHT = {
    "is_associative": is_associative,
    "whole_as_one": whole_as_one,
    "parity_coefficients": parity_coefficients,
    "positive_min_gru": PositiveMinGRU,
    "chunked_scan": chunked_scan,
    "matrix_memory": matrix_memory,
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name, capsys):
    before = torch.get_rng_state()
    assert getattr(waiting, f"check_{name}")(RIGHT[name]) is True
    assert capsys.readouterr().out.startswith("Right")
    assert torch.equal(torch.get_rng_state(), before)


# Wrong answers


def exact(operator, x, y, z):
    one, other = operator(operator(x, y), z), operator(x, operator(y, z))
    one, other = (one, other) if isinstance(one, tuple) else ((one,), (other,))
    return all((p == q).all().item() for p, q in zip(one, other, strict=True))


def first_part_only(operator, x, y, z):
    one, other = operator(operator(x, y), z), operator(x, operator(y, z))
    one, other = (one[0], other[0]) if isinstance(one, tuple) else (one, other)
    return torch.allclose(one, other)


def turned_is_wrong(operator, x, y, z):
    one, other = operator(x, y), operator(y, x)
    return all(map(torch.allclose, one, other)) if isinstance(one, tuple) else torch.allclose(one, other)


class ActivatedState(PositiveMinGRU):
    """The state goes through g as well, as in some implementations."""

    def forward(self, input, hx=None):
        return super().forward(input, None if hx is None else torch.where(hx >= 0, hx + 0.5, hx.sigmoid()))


class OtherOrientation(MinGRU):
    def coefficients(self, x):
        z, n = x.chunk(2, -1)
        return z.sigmoid(), (-z).sigmoid() * torch.where(n >= 0, n + 0.5, n.sigmoid())


def chunks_from_zero(a, b, h_0, size):
    a, b = (part.unflatten(0, (-1, size)).transpose(0, 1) for part in (a, b))
    return sequential_scan(a, b).transpose(0, 1).flatten(0, 1)


def memory_without_forgetting(q, k, v, f):
    return matrix_memory(q, k, v, torch.ones_like(f))


def memory_turned(q, k, v, f):
    S = linear_recurrence(f[:, None, None].expand(-1, v.shape[1], k.shape[1]), torch.einsum("tk,tv->tvk", k, v))
    return torch.einsum("tk,tvk->tk", q, S)


WRONG = {
    "compares exactly": ("is_associative", exact, "a sum, where rounding differs", "allclose"),
    "looks at a alone": ("is_associative", first_part_only, "joined wrongly in b alone", "every part"),
    "tests the order": ("is_associative", turned_is_wrong, "an average", "(x y) z"),
    "turned order": ("whole_as_one", lambda a, b: whole_as_one(a.flip(0), b.flip(0)), "five steps", "last state"),
    "divides": (
        "whole_as_one",
        lambda a, b: (a.prod(0), (b / a.cumprod(0)).sum(0) * a.prod(0)),
        "forgets all in between",
        "multiplied by",
    ),
    "counts the ones": (
        "parity_coefficients",
        lambda bits: (torch.ones_like(bits), bits, bits[0] * 0),
        "1, 1, 1",
        "leaves the state alone",
    ),
    "a between 0 and 1": (
        "parity_coefficients",
        lambda bits: (1 - bits, bits, bits[0] * 0),
        "1, 1, 1",
        "turns 0 into 1",
    ),
    "linear candidate": ("positive_min_gru", MinGRU, "zeros as the state", "g acts on the candidate"),
    "nn.GRU's orientation": ("positive_min_gru", OtherOrientation, "zeros as the state", "rows are z, n"),
    "g on the state": ("positive_min_gru", ActivatedState, "a state of both signs", "never on the state"),
    "an object": ("positive_min_gru", PositiveMinGRU(3, 4), "class itself", "got a PositiveMinGRU"),
    "chunks that forget": ("chunked_scan", chunks_from_zero, "12 steps in chunks of 3", "state before each"),
    "a plain loop": (
        "chunked_scan",
        lambda a, b, h_0, size: sequential_scan(a, b, h_0),
        "few enough products of tensors",
        "all chunks",
    ),
    "no forgetting": ("matrix_memory", memory_without_forgetting, "six steps", "expanded"),
    "v k^T": ("matrix_memory", memory_turned, "six steps", "outer product"),
}


@pytest.mark.parametrize("check, answer, where, hint", WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_told_where_and_how(check, answer, where, hint, capsys):
    assert getattr(waiting, f"check_{check}")(answer) is False
    told = capsys.readouterr().out
    assert where in told and hint in told
