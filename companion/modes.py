"""Using a model and leaving it as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["evaluation_mode"]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Inside, no dropout and no gradients; afterwards, also after an error, every part is in the mode it was in.

    Args:
        model: the model to use inside.

    Examples:
        >>> from companion.modes import evaluation_mode
        >>> model = nn.Dropout()
        >>> with evaluation_mode(model):
        ...     print(model.training, torch.is_grad_enabled())
        False False
        >>> model.training
        True
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
