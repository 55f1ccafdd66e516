"""Batches of sequences of different lengths: the mask, the padded batch, and the sampler that groups by length."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from companion.batching import BucketSampler, length_mask, pad_batch
from tests import strategies  # noqa: F401  loads the settings of hypothesis

some_lengths = st.lists(st.integers(1, 30), min_size=1, max_size=60).map(torch.tensor)

# The mask


def test_the_mask_is_true_where_a_sequence_has_steps():
    assert length_mask(torch.tensor([2, 5, 0])).T.int().tolist() == [[1, 1, 0, 0, 0], [1] * 5, [0] * 5]


@given(some_lengths, st.integers(0, 5))
def test_the_mask_counts_the_lengths(lengths, more):
    mask = length_mask(lengths, int(lengths.max()) + more)
    assert (mask.shape, mask.dtype) == ((int(lengths.max()) + more, len(lengths)), torch.bool)
    assert torch.equal(mask.sum(0), lengths)
    assert not (mask[1:] & ~mask[:-1]).any()  # once false, always false


@pytest.mark.parametrize(
    "lengths, num_steps, error, words",
    [
        ([2, 5], None, TypeError, "lengths should be a 1-D tensor of integers, got list"),
        (torch.tensor([2.0]), None, TypeError, r"got shape \(1,\), torch.float32"),
        (torch.tensor([[2]]), None, TypeError, r"got shape \(1, 1\), torch.int64"),
        (torch.tensor([], dtype=torch.long), None, ValueError, "at least one length, got none"),
        (torch.tensor([3, -1]), None, ValueError, "at least 0, got -1 at 1"),
        (torch.tensor([3, 7]), 5, ValueError, "num_steps should be at least the longest length 7, got 5"),
    ],
)
def test_the_mask_refuses(lengths, num_steps, error, words):
    with pytest.raises(error, match=words):
        length_mask(lengths, num_steps)


# The padded batch


def test_sequences_are_padded_with_zeros_in_their_order():
    examples = [(torch.tensor([4, 5]), 1), (torch.tensor([6, 7, 8]), 0), (torch.tensor([9]), 1)]
    padded, lengths, targets = pad_batch(examples)
    assert padded.tolist() == [[4, 6, 9], [5, 7, 0], [0, 8, 0]]
    assert (lengths.tolist(), targets.tolist()) == ([2, 3, 1], [1, 0, 1])


def test_sequences_of_vectors_are_padded_too():
    padded, _, targets = pad_batch([(torch.ones(2, 3), 0.5), (torch.ones(4, 3), -1.0)])
    assert padded.shape == (4, 2, 3) and padded.sum() == 18
    assert targets.tolist() == [0.5, -1.0]


def test_an_empty_sequence_or_batch_is_refused():
    with pytest.raises(ValueError, match="lengths should be at least 1, got 0 at 1"):
        pad_batch([(torch.ones(2), 0), (torch.ones(0), 0)])
    with pytest.raises(ValueError, match="at least one length, got none"):
        pad_batch([])


# The sampler


def padding(lengths, batches):
    return sum(int((lengths[batch].max() - lengths[batch]).sum()) for batch in batches)


@given(some_lengths, st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_every_sequence_comes_once_a_pass(lengths, batch_size, pool, seed):
    torch.manual_seed(seed)
    sampler = BucketSampler(lengths, batch_size, pool)
    batches = list(sampler)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    assert sum(len(batch) != batch_size for batch in batches) <= 1
    for batch in batches:
        assert lengths[batch].tolist() == sorted(lengths[batch].tolist(), reverse=True)


def test_larger_pools_leave_less_padding():
    torch.manual_seed(0)
    lengths = torch.randint(1, 50, (960,))
    left = [padding(lengths, BucketSampler(lengths, 32, pool)) for pool in (1, 5, 30)]
    assert left[0] > 3 * left[1] > 9 * left[2] > 0


def test_a_pool_for_everything_is_sorting():
    lengths = torch.randint(1, 50, (100,), generator=torch.Generator().manual_seed(0))
    everything = sorted((lengths[batch].tolist() for batch in BucketSampler(lengths, 10, 10)), reverse=True)
    assert [length for batch in everything for length in batch] == sorted(lengths.tolist(), reverse=True)


def test_passes_differ_and_a_seed_repeats_them():
    sampler = BucketSampler(torch.arange(1, 61), 4, 3)
    torch.manual_seed(3)
    first, second = list(sampler), list(sampler)
    torch.manual_seed(3)
    assert first != second and list(sampler) == first
    longest = [max(batch) for batch in first]
    assert longest != sorted(longest, reverse=True)  # the batches are shuffled as well


def test_a_loader_takes_both():
    sequences = [torch.full((length,), length) for length in range(1, 25)]
    sampler = BucketSampler(torch.arange(1, 25), 4, 6)
    examples = [(sequence, len(sequence)) for sequence in sequences]
    loader = DataLoader(examples, batch_sampler=sampler, collate_fn=pad_batch)
    assert len(loader) == 6
    for padded, lengths, targets in loader:
        assert torch.equal(lengths, targets)
        assert torch.equal(padded, length_mask(lengths) * lengths)
        assert int(lengths.max() - lengths.min()) == 3


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (([1, 2], 2), TypeError, "lengths should be a 1-D tensor"),
        ((torch.tensor([1, 0]), 2), ValueError, "lengths should be at least 1, got 0 at 1"),
        ((torch.tensor([1]), 0), ValueError, "batch_size should be greater than zero, got 0"),
        ((torch.tensor([1]), 2.0), TypeError, "batch_size should be an int"),
        ((torch.tensor([1]), 2, 0), ValueError, "pool should be greater than zero, got 0"),
    ],
)
def test_the_sampler_refuses(arguments, error, words):
    with pytest.raises(error, match=words):
        BucketSampler(*arguments)
