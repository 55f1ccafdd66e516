"""Attention against torch's own and against loops, with padding, with the batch first; bad input is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion.attention import AdditiveAttention, Attention, DotProductAttention, masked_softmax
from companion.batching import length_mask
from tests import strategies  # noqa: F401  loads the settings of hypothesis

sizes = st.integers(1, 6)
KINDS = {"dot product": DotProductAttention, "additive": lambda **first: AdditiveAttention(4, 4, 5, **first)}
each_kind = pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)


def draw(U=3, T=5, B=3, D=4, lengths=None):
    """Query, keys, values and mask, in double precision."""
    torch.manual_seed(0)
    query, keys, values = (torch.randn(steps, B, D, dtype=torch.double) for steps in (U, T, T))
    lengths = torch.randint(1, T + 1, (B,)) if lengths is None else torch.tensor(lengths)
    return query, keys, values, length_mask(lengths, T)


@given(sizes, sizes, sizes, sizes)
def test_the_dot_product_is_torchs(U, T, B, D):
    """Outputs and gradients, with a mask that hides padding."""
    query, keys, values, mask = draw(U, T, B, D)
    leaves = [part.requires_grad_() for part in (query, keys, values)]
    ours, _ = DotProductAttention()(*leaves, mask)
    batch_first = (part.transpose(0, 1) for part in leaves)
    theirs = F.scaled_dot_product_attention(*batch_first, mask.T.unsqueeze(1)).transpose(0, 1)
    torch.testing.assert_close(ours, theirs)
    weighting = torch.randn_like(ours)
    gradients = [torch.autograd.grad((found * weighting).sum(), leaves) for found in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_the_additive_one_is_its_equation():
    """Every pair by itself."""
    query, keys, values, mask = draw()
    attention = AdditiveAttention(4, 4, 5).double()
    context, weights = attention(query, keys, values, mask)
    for u in range(3):
        for b in range(3):
            steps = range(int(mask[:, b].sum()))
            hidden = [torch.tanh(attention.query(query[u, b]) + attention.key(keys[t, b])) for t in steps]
            scores = torch.stack([attention.score.weight[0] @ one for one in hidden])
            expected = sum(weight * values[t, b] for t, weight in enumerate(scores.softmax(0)))
            torch.testing.assert_close(context[u, b], expected)
            torch.testing.assert_close(weights[u, b, : len(steps)], scores.softmax(0))


@each_kind
def test_weights_sum_to_one_and_padding_has_none(build):
    query, keys, values, mask = draw(lengths=[5, 1, 3])
    context, weights = build().double()(query, keys, values, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 3, dtype=torch.double))
    assert (weights >= 0).all() and (weights[:, ~mask.T] == 0).all()
    torch.testing.assert_close(context[:, 1], values[0, 1].expand(3, 4))  # one step: nothing to choose


@each_kind
def test_padding_has_no_influence_and_no_gradient(build):
    query, keys, values, mask = draw(lengths=[5, 1, 3])
    attention = build().double()
    hidden = ~mask.unsqueeze(-1)
    other, _ = attention(query, keys.masked_fill(hidden, 77.0), values.masked_fill(hidden, -77.0), mask)
    keys.requires_grad_(), values.requires_grad_()
    context, _ = attention(query, keys, values, mask)
    torch.testing.assert_close(context, other)
    context.square().sum().backward()
    assert (keys.grad[~mask] == 0).all() and (values.grad[~mask] == 0).all()
    assert keys.grad.isfinite().all() and (keys.grad != 0).any()


@each_kind
def test_the_batch_may_come_first(build):
    query, keys, values, mask = draw()
    torch.manual_seed(1)
    time_first = build().double()
    torch.manual_seed(1)
    batch_first = build(batch_first=True).double()
    context, weights = time_first(query, keys, values, mask)
    turned = batch_first(*(part.transpose(0, 1) for part in (query, keys, values, mask)))
    torch.testing.assert_close((context.transpose(0, 1), weights.transpose(0, 1)), turned)


@each_kind
def test_the_keys_are_the_values_unless_there_are_others(build):
    query, keys, _, mask = draw()
    attention = build().double()
    torch.testing.assert_close(attention(query, keys, mask=mask), attention(query, keys, keys, mask))


@each_kind
def test_gradients_are_right(build):
    query, keys, values, mask = draw(U=2, T=3, B=2)
    attention = build().double()
    inputs = [part.requires_grad_() for part in (query, keys, values)]
    assert torch.autograd.gradcheck(lambda *parts: attention(*parts, mask), inputs)


def test_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    parts = draw()
    expected = DotProductAttention()(*parts)
    found = DotProductAttention()(*(part.cuda() for part in parts))
    torch.testing.assert_close(tuple(part.cpu() for part in found), expected)


def test_without_a_mask_it_is_softmax():
    scores = torch.randn(2, 3, 4)
    assert torch.equal(masked_softmax(scores), scores.softmax(-1))


# Bad input


def test_a_kind_without_scores_says_so():
    with pytest.raises(NotImplementedError, match="Attention should have a method scores"):
        Attention()(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))


@pytest.mark.parametrize(
    "change, error, words",
    [
        (dict(mask=torch.ones(5, 3)), TypeError, "mask should be a tensor of booleans"),
        (dict(mask=[True]), TypeError, "mask should be a tensor of booleans.*got a list"),
        (dict(mask=torch.ones(3, 5, dtype=torch.bool)), RuntimeError, r"mask should have T = 5 .* got \(3, 5\)"),
        (dict(mask=torch.tensor([[True, False, True]]).expand(5, 3)), ValueError, "at least one step"),
        (dict(query=torch.zeros(3, 3, 7)), RuntimeError, "query should have the 4 features of a key, got 7"),
        (dict(query=torch.zeros(3, 2, 4)), RuntimeError, "query and keys should have one batch size in dimension 1"),
        (dict(query=torch.zeros(3, 4)), RuntimeError, r"query should have 3 dimensions, got shape \(3, 4\)"),
        (dict(values=torch.zeros(4, 3, 4)), RuntimeError, "values should be one for every key"),
        (dict(keys=[1.0]), TypeError, "keys should be a tensor"),
    ],
)
def test_bad_input_is_refused(change, error, words):
    good = dict(query=torch.zeros(3, 3, 4), keys=torch.zeros(5, 3, 4), values=torch.zeros(5, 3, 4), mask=None)
    with pytest.raises(error, match=words):
        DotProductAttention()(**(good | change))


@pytest.mark.parametrize("name", ["query_size", "key_size", "hidden_size"])
def test_bad_sizes_are_refused(name):
    good = dict(query_size=2, key_size=2, hidden_size=2)
    with pytest.raises(TypeError, match=name):
        AdditiveAttention(**(good | {name: 2.0}))
    with pytest.raises(ValueError, match=f"{name} should be greater than zero"):
        AdditiveAttention(**(good | {name: 0}))


def test_dot_products_are_scaled():
    query = torch.full((1, 1, 16), 2.0)
    assert DotProductAttention().scores(query, query).item() == 16 * 4 / math.sqrt(16)
    assert not list(DotProductAttention().parameters()) and isinstance(DotProductAttention(), nn.Module)
