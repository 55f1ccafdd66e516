"""Capitals and punctuation as tags, one for each character: taken away, for a network to restore."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from companion.text import check_windows

__all__ = ["RestorationTags", "TaggedWindows", "TagScore"]


class TagScore(NamedTuple):
    """How well one kind of tag was found among many characters that do not carry it.

    Attributes:
        precision: the share of the tags given that are right.
        recall: the share of the tags in the text that were found.
        f1: their harmonic mean, 2 * precision * recall / (precision + recall).
        count: how many of these tags the text has.

    Examples:
        >>> found, present = torch.tensor([True, True, False]), torch.tensor([True, False, False])
        >>> companion.TagScore.of(found, present)  # one of two is right, none is missed
        TagScore(precision=0.5, recall=1.0, f1=0.6666666666666666, count=1)
    """

    precision: float
    recall: float
    f1: float
    count: int

    @classmethod
    def of(cls, found: Tensor, present: Tensor) -> "TagScore":
        """The score of the places where a tag was given (booleans), against those where it is in the text."""
        right = int((found & present).sum())
        given, count = int(found.sum()), int(present.sum())
        share = [right / max(total, 1) for total in (given, count)]  # 0 where there is nothing to divide by
        return cls(*share, 2 * right / max(given + count, 1), count)


class RestorationTags:
    """The tags with which a text gets its capitals and its punctuation back.

    A tag answers two questions about a character: is it a capital, and which mark follows it? Tag number 0 is
    the commonest: no, and none. With M marks there are 2 * (M + 1) tags, and a tag's number is
    ``capital * (M + 1) + mark``.

    A text is tagged as far as tags can say it. Letters, digits, apostrophes and hyphens stay, as parts of
    words. White space of any length is one space. All else is dropped: quotation marks, brackets, a second mark
    after the first, a mark before the first character, and marks that are not among ``marks``.

    Args:
        marks: the punctuation marks to restore, each a single character.

    Attributes:
        marks: the marks as given.
        kinds: what is scored, ``"capital"`` and each mark.
        names: what each tag says, for instance ``"capital ,"``; ``"-"`` is the tag that changes nothing.

    Raises:
        TypeError: ``marks`` is no string.
        ValueError: ``marks`` is empty, repeats itself, or holds a character that stays in the text.

    Examples:
        >>> tags = companion.RestorationTags()
        >>> plain, numbers = tags.encode("Well, Ada!")
        >>> plain, numbers.tolist()
        ('well ada', [5, 0, 0, 1, 0, 5, 0, 4])
        >>> tags.decode(plain, numbers)
        'Well, Ada!'

    Taught in *Bidirectional networks, twice*.
    """

    def __init__(self, marks: str = ",.?!"):
        if not isinstance(marks, str):
            raise TypeError(f"marks should be a string of punctuation marks, got a {type(marks).__name__}")
        if not marks or len(set(marks)) < len(marks) or re.search(r"[\w\s'-]", marks):
            raise ValueError(
                f"marks should be different punctuation marks, none of them an apostrophe or a hyphen, "
                f"got {marks!r}"
            )
        self.marks = marks
        self.kinds = ("capital", *marks)
        self.names = tuple(
            " ".join(word for word in (capital, mark) if word) or "-"
            for capital in ("", "capital")
            for mark in ("", *marks)
        )

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> tuple[str, Tensor]:
        """Take capitals and punctuation away, and note down what they were.

        Args:
            text: any text.

        Returns:
            The plain text in small letters, and the tag numbers of its characters, int64 of shape (T).

        Raises:
            TypeError: ``text`` is no string.
        """
        if not isinstance(text, str):
            raise TypeError(f"text should be a string, got a {type(text).__name__}")
        marks, choices = re.escape(self.marks), ("", *self.marks)
        text = re.sub(rf"[^\w\s'\-{marks}]", "", text)
        pieces = re.findall(rf"([^{marks}])([{marks}]?)", re.sub(r"\s+", " ", text))
        plain, tags = [], []
        for character, mark in pieces:
            capital = _is_capital(character)
            plain.append(character.lower() if capital else character)
            tags.append(capital * len(choices) + choices.index(mark))
        return "".join(plain), torch.tensor(tags, dtype=torch.long)

    def decode(self, plain: str, tags: Tensor | Sequence[int]) -> str:
        """Put capitals and marks where the tags say: the way back from :meth:`encode`.

        Args:
            plain: a text without them.
            tags: one tag number for each of its characters.

        Returns:
            The text. A character that has no capital stays as it is.

        Raises:
            TypeError: ``plain`` is no string.
            ValueError: there is not one tag for each character, or a number is no tag.
        """
        if not isinstance(plain, str):
            raise TypeError(f"plain should be a string, got a {type(plain).__name__}")
        numbers = [int(tag) for tag in tags]
        if len(numbers) != len(plain):
            raise ValueError(f"tags should be one for each of {len(plain)} characters, got {len(numbers)}")
        self._check_tags(torch.tensor(numbers, dtype=torch.long))
        pieces = []
        for character, number in zip(plain, numbers, strict=True):
            capital, mark = divmod(number, len(self.marks) + 1)
            upper = character.upper()
            pieces.append(upper if capital and _is_capital(upper) else character)
            pieces.append(("", *self.marks)[mark])
        return "".join(pieces)

    def scores(self, found: Tensor, present: Tensor) -> dict[str, TagScore]:
        """Precision, recall and F1 of capitals and of each mark.

        Nearly every character has tag 0, so the share of right tags says little. These leave that tag out.

        Args:
            found: tag numbers that a model gave, of any shape.
            present: those of the text, of the same shape.

        Returns:
            A :class:`TagScore` for each of ``kinds``. Their mean F1 is the macro-averaged F1. Source:
            :cite:t:`jurafsky2009`.

        Raises:
            ValueError: the shapes differ, or a number is no tag.
        """
        found, present = torch.as_tensor(found), torch.as_tensor(present)
        if found.shape != present.shape:
            shapes = f"{tuple(found.shape)} and {tuple(present.shape)}"
            raise ValueError(f"found and present should have one shape, got {shapes}")
        one, other = self.flags(found), self.flags(present)
        return {kind: TagScore.of(one[..., k], other[..., k]) for k, kind in enumerate(self.kinds)}

    def flags(self, tags: Tensor) -> Tensor:
        """What tags say, kind by kind.

        Args:
            tags: tag numbers of any shape.

        Returns:
            Booleans with one more dimension, ``len(kinds)``: a capital, a comma follows, and so on.

        Raises:
            ValueError: a number is no tag.
        """
        self._check_tags(tags)
        steps = len(self.marks) + 1
        marks = torch.arange(1, steps, device=tags.device)
        capital, mark = (tags // steps).unsqueeze(-1), (tags % steps).unsqueeze(-1)
        return torch.cat([capital == 1, mark == marks], -1)

    def _check_tags(self, tags: Tensor) -> None:
        if tags.numel() and not 0 <= int(tags.min()) <= int(tags.max()) < len(self):
            found = f"{int(tags.min())} to {int(tags.max())}"
            raise ValueError(f"tags should be from 0 to {len(self) - 1}, got {found}")


class TaggedWindows:
    """Windows of a tagged text in random order, batches for :func:`companion.training.fit`.

    In every pass the text is cut at a new random offset into windows that do not overlap, and these are
    shuffled. The random numbers are torch's own: ``torch.manual_seed`` repeats them.

    Args:
        tokens: the token numbers of a text, shape (N).
        tags: the tag numbers of the same characters, shape (N).
        batch_size: number B of windows in a batch.
        num_steps: number T of time steps in a window.

    Yields:
        Pairs (inputs, targets), both of shape (T, B); a target is the tag of its input.

    Raises:
        TypeError: ``tokens`` or ``tags`` is no 1-D tensor of integers, or a size is no int.
        ValueError: there is not one tag for each token, a size is less than 1, or the text is too short for
            one batch.

    Examples:
        >>> tokens, tags = torch.arange(40), torch.zeros(40, dtype=torch.long)
        >>> windows = companion.TaggedWindows(tokens, tags, batch_size=2, num_steps=5)
        >>> inputs, targets = next(iter(windows))
        >>> len(windows), inputs.shape, targets.shape
        (3, torch.Size([5, 2]), torch.Size([5, 2]))

    Taught in *Bidirectional networks, twice*.
    """

    continues = False

    def __init__(self, tokens: Tensor, tags: Tensor, batch_size: int, num_steps: int):
        check_windows(tokens, batch_size, num_steps)
        if not isinstance(tags, Tensor) or tags.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"tags should be a tensor of tag numbers, got {_describe(tags)}")
        if tags.shape != tokens.shape:
            shape = tuple(tags.shape)
            raise ValueError(f"tags should be one for each of {len(tokens)} tokens, got shape {shape}")
        self.tokens, self.tags, self.batch_size, self.num_steps = tokens, tags, batch_size, num_steps
        if len(self._starts()) < batch_size:
            wanted = f"batch_size={batch_size} windows of {num_steps}"
            raise ValueError(f"tokens should fill {wanted}, got {len(tokens)}")

    def _starts(self) -> range:
        # Every window, cut at any offset below num_steps, still lies in the text.
        return range(0, len(self.tokens) - 2 * self.num_steps + 2, self.num_steps)

    def __len__(self) -> int:
        return len(self._starts()) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        starts = torch.tensor(self._starts()) + int(torch.randint(self.num_steps, ()))
        starts = starts[torch.randperm(len(starts))]
        for chosen in starts[: len(self) * self.batch_size].view(-1, self.batch_size):
            positions = chosen + torch.arange(self.num_steps).unsqueeze(1)  # (T, B)
            yield self.tokens[positions], self.tags[positions]


def _is_capital(character: str) -> bool:
    """Whether it has a small letter that leads back to it. The German capital sharp s has none."""
    small = character.lower()
    return len(small) == 1 and small != character and small.upper() == character


def _describe(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else f"a {type(value).__name__}"
