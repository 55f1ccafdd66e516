"""The checks of *Images as sequences* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
import torch.nn.functional as F

from companion.checks import images_as_sequences as checks


def columns(images):
    return torch.stack(images.unbind(2), 1)


def patches(images, size):
    rows = images.split(size, dim=1)
    return torch.stack([square.flatten(1) for row in rows for square in row.split(size, dim=2)], 1)


def plow(height, width):
    places = torch.arange(height * width).view(height, width)
    places[1::2] = places[1::2].flip(1)
    return places.flatten()


def restore(pixels, order, height, width):
    flat = torch.empty_like(pixels.squeeze(-1))
    flat[:, order] = pixels.squeeze(-1)
    return flat.view(-1, height, width)


def every_step_loss(model, batch, state=None):
    logits, state = model(batch[0], state)
    return F.cross_entropy(logits.transpose(1, 2), batch[1].unsqueeze(1).expand(logits.shape[:2])), state


def last_step_only(model, batch, state=None):
    logits, state = model(batch[0], state)
    return F.cross_entropy(logits[:, -1], batch[1]), state


def labels_in_turn(model, batch, state=None):
    logits, state = model(batch[0], state)
    return F.cross_entropy(logits.flatten(0, 1), batch[1].repeat(logits.shape[1])), state


@pytest.mark.parametrize("name", [name.removeprefix("check_") for name in checks.__all__])
def test_a_right_answer_passes(name, capsys):
    assert getattr(checks, f"check_{name}")(globals()[name])
    assert capsys.readouterr().out.startswith("Right, on all")


WRONG = {
    "rows": (checks.check_columns, lambda images: images, "one picture", "change places"),
    "reshaped columns": (
        checks.check_columns, lambda images: images.reshape(len(images), images.shape[2], -1), "one picture", "apart"
    ),
    "reshaped patches": (
        checks.check_patches, lambda images, size: images.reshape(len(images), -1, size**2), "four patches", "arange"
    ),
    "columns of patches": (
        checks.check_patches, lambda images, size: patches(images.mT, size), "one pixel", "first patch"
    ),
    "a reader": (checks.check_plow, lambda height, width: torch.arange(height * width), "2 rows of 3", "from the left"),
    "first row turned": (
        checks.check_plow, lambda height, width: plow(height + 1, width)[width:] - width, "2 rows of 3", "0, 1, 2"
    ),
    "shuffled again": (
        checks.check_restore, lambda pixels, order, height, width: pixels[:, order, 0].view(-1, height, width),
        "sent around", "a second time",
    ),
    "last step": (checks.check_every_step_loss, last_step_only, "one picture", "Flatten B and T"),
    "labels in turn": (checks.check_every_step_loss, labels_in_turn, "three pictures", "in a row"),
    "no state": (
        checks.check_every_step_loss, lambda model, batch: every_step_loss(model, batch)[0], "one row", "Flatten"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_hears_where_and_why(name, capsys):
    check, answer, case, hint = WRONG[name]
    assert not check(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet. On ") and case in said.partition(":")[0] and hint in said
