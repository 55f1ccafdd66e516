"""Pictures as sequences: every pixel in its place, losses of the last step, answers after every step."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from companion.images import accuracy_by_step, last_step_loss, read_pixels, read_rows
from companion.language_model import LanguageModel
from companion.layers import GRU


def build(layer):
    return LanguageModel(layer, 10, embedding=nn.Identity())


def test_a_row_is_a_step():
    images = torch.rand(5, 4, 6)
    rows = read_rows(images)
    assert rows.shape == (5, 4, 6) and torch.equal(rows[3, 2], images[3, 2])


def test_pixels_come_in_reading_order():
    images = torch.rand(5, 4, 6)
    pixels = read_pixels(images)
    assert pixels.shape == (5, 24, 1)
    assert all(pixels[2, 6 * row + column, 0] == images[2, row, column] for row in range(4) for column in range(6))


def test_an_order_is_the_same_for_all_pictures():
    images, order = torch.rand(3, 2, 2), torch.tensor([2, 0, 3])
    pixels = read_pixels(images, order)
    assert torch.equal(pixels[..., 0], torch.stack([images[:, 1, 0], images[:, 0, 0], images[:, 1, 1]], 1))


@pytest.mark.parametrize("read", [read_rows, read_pixels])
def test_what_is_no_batch_of_pictures_is_refused(read):
    with pytest.raises(ValueError, match=r"images should have shape \(N, height, width\), got \(8, 8\)"):
        read(torch.zeros(8, 8))
    with pytest.raises(AttributeError, match="images should be a tensor"):
        read([[0.0]])
    with pytest.raises(IndexError):
        read_pixels(torch.zeros(1, 2, 2), torch.tensor([4]))


@pytest.mark.parametrize("kind", [nn.GRU, GRU])
def test_only_the_last_answer_counts(kind):
    model, labels = build(kind(6, 5, batch_first=True)), torch.tensor([3, 0, 9])
    sequences = torch.rand(3, 4, 6)
    loss, state = last_step_loss(model, (sequences, labels))
    logits, expected = model(sequences)
    torch.testing.assert_close(loss, F.cross_entropy(logits[:, 3], labels))
    assert torch.equal(state, expected)


class TimeFirst(nn.Module):
    """A model that gives (T, B, C) for (B, T, D)."""

    def forward(self, sequences, state=None):
        return torch.zeros(sequences.shape[1], len(sequences), 10), state


def test_another_order_of_axes_is_refused():
    with pytest.raises(ValueError, match=r"model should give logits of shape \(B, T, C\), got \(4, 3, 10\)"):
        last_step_loss(TimeFirst(), (torch.rand(3, 4, 6), torch.tensor([1, 2, 3])))


class Echo(nn.Module):
    """Answers with the number that it reads."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.dropout = nn.Dropout(0.9)

    def forward(self, sequences, state=None):
        return self.dropout(F.one_hot(sequences[..., 0].long(), 10).float()), state


def test_accuracy_after_every_step_in_evaluation_mode():
    read = torch.tensor([[1, 2, 3], [1, 3, 3], [0, 2, 3], [1, 2, 3]]).unsqueeze(-1)
    shares = accuracy_by_step(Echo(), read, torch.tensor([1, 3, 3, 2]))
    assert shares.tolist() == [0.25, 0.5, 0.5]
