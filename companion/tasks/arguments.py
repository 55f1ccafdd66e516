"""What every task checks before it draws anything: its sizes and its seed."""

from typing import Any

import torch


def check_sizes(least: int, **sizes: Any) -> None:
    """Raise TypeError if a size is no int, ValueError if it is below ``least``."""
    for name, size in sizes.items():
        if not isinstance(size, int):
            raise TypeError(f"{name} should be an int, got {size!r} of type {type(size).__name__}")
        if size < least:
            raise ValueError(f"{name} should be at least {least}, got {size}")


def random_source(seed: int | None) -> torch.Generator:
    """torch's own random numbers, or some that start from a seed; TypeError if the seed is neither None nor an int."""
    if seed is None:
        return torch.default_generator
    if not isinstance(seed, int):
        raise TypeError(f"seed should be an int or None, got {seed!r} of type {type(seed).__name__}")
    return torch.Generator().manual_seed(seed)
