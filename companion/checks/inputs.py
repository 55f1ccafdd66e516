"""Random inputs for the checks, which leave the reader's own sequence of random numbers where it is."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["build_quietly", "random_numbers", "with_random_weights"]


def random_numbers(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers of this shape; the same shape and seed give the same numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def build_quietly(build: Callable, *arguments: int) -> nn.Module:
    """Call what makes a module, and undo what it drew from torch's random numbers."""
    with torch.random.fork_rng(devices=[]):
        return build(*arguments)


def with_random_weights(build: Callable, *arguments: int) -> nn.Module:
    """A module with random weights and biases, large enough for a mistake to show."""
    module = build_quietly(build, *arguments)
    with torch.no_grad():
        for seed, weight in enumerate(module.parameters()):
            weight.copy_(random_numbers(*weight.shape, seed=seed) / 2)
    return module
