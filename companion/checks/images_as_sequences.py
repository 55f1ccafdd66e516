"""Checks of the exercises of *Images as sequences*."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import random_numbers, with_random_weights
from companion.language_model import LanguageModel

__all__ = ["check_columns", "check_every_step_loss", "check_patches", "check_plow", "check_restore"]


def check_columns(answer: Callable) -> bool:
    """Check ``columns(images)``: pictures of shape (N, height, width) read column by column, (N, width, height)."""
    cases = {
        "one picture": (random_numbers(1, 3, 3),),
        "pictures that are wider than high": (random_numbers(4, 2, 5),),
        "as many pictures as columns": (random_numbers(3, 4, 3),),
        "one row": (random_numbers(2, 1, 6),),
    }
    hint = "A step is a column now: step t holds images[:, :, t]. Two axes change places, and the pictures stay apart."
    return compare(answer, lambda images: images.movedim(2, 1), cases, hint)


def check_patches(answer: Callable) -> bool:
    """Check ``patches(images, size)``: squares in reading order, one a step, shape (N, T, size * size)."""
    cases = {
        "patches of one pixel": (random_numbers(2, 3, 4), 1),
        "the whole picture as one patch": (random_numbers(2, 4, 4), 4),
        "four patches": (random_numbers(3, 4, 4), 2),
        "pictures that are wider than high": (random_numbers(2, 4, 8), 2),
        "patches of nine pixels": (random_numbers(2, 9, 6), 3),
    }
    hint = (
        "Try it on torch.arange(16.).view(1, 4, 4): the first patch is 0, 1, 4, 5. Cut height and width into two axes "
        "each, bring the two that lie inside a patch side by side, and only then flatten."
    )

    def reference(images: Tensor, size: int) -> Tensor:
        return F.unfold(images.unsqueeze(1), size, stride=size).transpose(1, 2)

    return compare(answer, reference, cases, hint)


def check_plow(answer: Callable) -> bool:
    """Check ``plow(height, width)``: the places of the pixels if every second row is read from right to left."""

    def reference(height: int, width: int) -> Tensor:
        rows = [torch.arange(row * width, (row + 1) * width) for row in range(height)]
        return torch.cat([line.flip(0) if row % 2 else line for row, line in enumerate(rows)])

    cases = {"2 rows of 3": (2, 3), "one row": (1, 4), "an odd number of rows": (3, 2), "the digits": (8, 8)}
    hint = "The first row is read from the left. For 2 rows of 3 the places are 0, 1, 2 and then 5, 4, 3."
    return compare(answer, reference, cases, hint)


def check_restore(answer: Callable) -> bool:
    """Check ``restore(pixels, order, height, width)``: the images that ``read_pixels(images, order)`` was given."""

    def case(count: int, height: int, width: int, order: list[int]) -> tuple[Tensor, Tensor, int, int]:
        pixels = random_numbers(count, height * width, 1)
        return pixels, torch.tensor(order), height, width

    def reference(pixels: Tensor, order: Tensor, height: int, width: int) -> Tensor:
        return pixels[:, order.argsort(), 0].unflatten(1, (height, width))

    cases = {
        "reading order": case(2, 2, 2, [0, 1, 2, 3]),
        "two pixels exchanged": case(1, 1, 3, [1, 0, 2]),
        "pixels sent around": case(2, 2, 2, [1, 2, 3, 0]),
        "pictures that are wider than high": case(3, 2, 3, [4, 2, 0, 5, 1, 3]),
    }
    hint = (
        "Step t was read at the place order[t], so it goes back to the place order[t]. Taking pixels[:, order] once "
        "more shuffles them a second time."
    )
    return compare(answer, reference, cases, hint)


def check_every_step_loss(answer: Callable) -> bool:
    """Check ``every_step_loss(model, batch, state=None)``: the mean cross-entropy over all steps, and the state."""

    def reference(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        logits, state = model(batch[0])
        losses = [F.cross_entropy(logits[:, step], batch[1]) for step in range(logits.shape[1])]
        return torch.stack(losses).mean(), state

    def build(features: int) -> LanguageModel:
        return LanguageModel(nn.GRU(features, 4, batch_first=True), 10, embedding=nn.Identity())

    cases = {
        "one picture of one row": (with_random_weights(build, 3), (random_numbers(1, 1, 3), torch.tensor([7]))),
        "one picture": (with_random_weights(build, 3), (random_numbers(1, 5, 3), torch.tensor([2]))),
        "three pictures": (with_random_weights(build, 6), (random_numbers(3, 4, 6), torch.tensor([0, 9, 4]))),
        "as many pictures as rows": (with_random_weights(build, 2), (random_numbers(3, 3, 2), torch.tensor([1, 5, 1]))),
    }
    hint = (
        "The logits have shape (B, T, C), the labels (B). Flatten B and T of the logits into one axis: each label is "
        "then needed T times in a row."
    )
    return compare(answer, reference, cases, hint)
