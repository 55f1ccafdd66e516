"""Pictures read as sequences: row by row, or pixel by pixel, so that a recurrent layer has to remember what it saw.

A picture has no time. Reading it in a fixed order gives it one, and makes of it a test of memory on real data: at the
last step the layer has to know the whole picture, and has only its state.

Shapes: N pictures, T steps, D features of a step, C classes. All sequences are batch-first, (N, T, D), as a
:class:`torch.utils.data.DataLoader` hands them out.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from companion.modes import evaluation_mode
from companion.validation import check_tensor

__all__ = ["accuracy_by_step", "last_step_loss", "read_pixels", "read_rows"]


def check_images(images: Any) -> None:
    """Raise AttributeError if these are no tensor, ValueError if they are not N pictures in gray."""
    check_tensor("images", images, "a tensor of shape (N, height, width)")
    if images.dim() != 3:
        raise ValueError(f"images should have shape (N, height, width), got {tuple(images.shape)}")


def read_rows(images: Tensor) -> Tensor:
    """Each picture row by row, from the top: a step is a row, its features are the row's pixels.

    Args:
        images: gray pictures, shape (N, height, width).

    Returns:
        Shape (N, T, D) with T = height and D = width. The memory is that of ``images``.

    Raises:
        AttributeError: ``images`` is no tensor.
        ValueError: ``images`` is not 3-D.

    Examples:
        >>> from companion.images import read_rows
        >>> read_rows(torch.zeros(5, 8, 6)).shape
        torch.Size([5, 8, 6])

    Taught in *Images as sequences*.
    """
    check_images(images)
    return images


def read_pixels(images: Tensor, order: Tensor | None = None) -> Tensor:
    """Each picture pixel by pixel, as one reads a page: a step is one pixel, a single number.

    Args:
        images: gray pictures, shape (N, height, width).
        order: the places of the pixels in the order of reading, integers of shape (T), the top left one 0, the one to
            the right of it 1; all of them from left to right and from top to bottom if None.

    Returns:
        Shape (N, T, 1) with T = height * width, or the length of ``order``.

    Raises:
        AttributeError: ``images`` is no tensor.
        ValueError: ``images`` is not 3-D.
        IndexError: ``order`` names a place that is not there.

    Examples:
        >>> from companion.images import read_pixels
        >>> images = torch.tensor([[[1, 2], [3, 4]]])
        >>> read_pixels(images).flatten().tolist(), read_pixels(images, torch.tensor([3, 0])).flatten().tolist()
        ([1, 2, 3, 4], [4, 1])

    Source: :cite:t:`le2015`, who read handwritten digits so. Taught in *Images as sequences*.
    """
    check_images(images)
    pixels = images.flatten(1)  # (N, height * width)
    return (pixels if order is None else pixels[:, order]).unsqueeze(-1)


def last_step_loss(model: nn.Module, batch: tuple[Tensor, Tensor], state: Any = None) -> tuple[Tensor, Any]:
    """The cross-entropy of the answer after the last step, in nats a sequence; a ``loss`` for ``fit`` and ``evaluate``.

    Args:
        model: called as ``model(sequences, state)``, returns logits of shape (B, T, C) and the new state.
            ``LanguageModel(layer, C, embedding=nn.Identity())`` is one, for a ``batch_first`` layer.
        batch: the pair (sequences, labels) of shapes (B, T, D) and (B).
        state: the state before the batch, or None.

    Returns:
        The loss, a scalar tensor, and the state after the batch.

    Raises:
        ValueError: the logits are not for as many sequences as there are labels: the layer may not be ``batch_first``.

    Examples:
        >>> from companion.images import last_step_loss
        >>> model = companion.LanguageModel(nn.GRU(8, 16, batch_first=True), 10, embedding=nn.Identity())
        >>> loss, _ = last_step_loss(model, (torch.rand(4, 8, 8), torch.tensor([3, 1, 4, 1])))
        >>> loss.shape
        torch.Size([])

    Taught in *Images as sequences*.
    """
    sequences, labels = batch
    logits, state = model(sequences, state)  # (B, T, C)
    if logits.shape[:2] != sequences.shape[:2]:
        raise ValueError(f"model should give logits of shape (B, T, C), got {tuple(logits.shape)}")
    return F.cross_entropy(logits[:, -1], labels), state


def accuracy_by_step(model: nn.Module, sequences: Tensor, labels: Tensor) -> Tensor:
    """The share of right answers if the model had to answer after each step: how much it knows when.

    Args:
        model: as for :func:`last_step_loss`; it is asked in evaluation mode, on the device of its parameters.
        sequences: shape (N, T, D).
        labels: integers of shape (N).

    Returns:
        Shape (T), on the CPU; the last one is the accuracy of the answers that count.

    Examples:
        >>> from companion.images import accuracy_by_step
        >>> model = companion.LanguageModel(nn.GRU(8, 16, batch_first=True), 10, embedding=nn.Identity())
        >>> accuracy_by_step(model, torch.rand(4, 6, 8), torch.tensor([3, 1, 4, 1])).shape
        torch.Size([6])

    Taught in *Images as sequences*.
    """
    device = next(model.parameters()).device
    with evaluation_mode(model):
        logits, _ = model(sequences.to(device))  # (N, T, C)
    return (logits.argmax(-1).cpu() == labels.cpu().unsqueeze(-1)).float().mean(0)
