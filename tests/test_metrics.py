"""What a loss means: perplexity and bits a character."""

import math

import pytest
import torch
import torch.nn.functional as F

from companion import bits_per_character, perplexity


@pytest.mark.parametrize("size", [2, 29, 50_000])
def test_a_uniform_guess_has_the_vocabulary_as_its_perplexity(size):
    loss = F.cross_entropy(torch.zeros(4, size), torch.tensor([0, 1, 1, 0])).item()
    assert perplexity(loss) == pytest.approx(size, rel=1e-5)
    assert bits_per_character(loss) == pytest.approx(math.log2(size), rel=1e-5)


def test_a_certain_guess_has_perplexity_1_and_needs_no_bits():
    assert perplexity(0.0) == 1
    assert bits_per_character(0.0) == 0


def test_perplexity_is_two_to_the_bits():
    assert perplexity(1.7) == pytest.approx(2 ** bits_per_character(1.7))
