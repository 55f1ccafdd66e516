"""Text as numbers: corpora, vocabularies, and the batches a language model trains on."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from companion.validation import check_positive_int

__all__ = [
    "Corpus",
    "find_time_machine",
    "load_story",
    "load_time_machine",
    "RandomBatches",
    "SequentialBatches",
    "split_tokens",
    "Vocabulary",
]

# The copy that the field's best-known course serves, so that its numbers and ours are about the same bytes.
TIME_MACHINE_URL = "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt"
TIME_MACHINE_HASH = "sha1:090b5e7e70c295757f55df93cb0a180b9691891a"


class Corpus(NamedTuple):
    """A text in two parts: one to learn from, and one held out, never trained on.

    Examples:
        >>> corpus = companion.Corpus(train="a long text to learn from", held_out="a short one")
        >>> len(corpus.train), len(corpus.held_out)
        (25, 11)
    """

    train: str
    held_out: str


def load_story() -> Corpus:
    """The story written for this book, which comes with the package; its last two chapters are held out.

    Returns:
        A :class:`Corpus` of two strings.

    Examples:
        >>> story = companion.load_story()
        >>> len(story.train) > 60000, story.held_out in story.train
        (True, False)

    Taught in *Sequences and language models*.
    """
    text = resources.files("companion").joinpath("data/story.txt").read_text(encoding="ascii")
    *_, second_last, _ = [match.start() for match in re.finditer(r"^Chapter ", text, re.MULTILINE)]
    return Corpus(text[:second_last], text[second_last:])


def load_time_machine(folder: str | Path | None = None) -> Corpus:
    """H. G. Wells' *The Time Machine*, fetched once and kept in a cache; its last tenth is held out.

    Args:
        folder: where to keep the file, or where it lies already as ``timemachine.txt``. By default the folder named by
            the environment variable ``RECURRENT_COMPANION_DATA``, else the user's cache folder.

    Returns:
        A :class:`Corpus` of two strings.

    Raises:
        ConnectionError: the file is not in the cache and cannot be fetched. :func:`load_story` needs no network.

    Examples:
        >>> corpus = companion.load_time_machine()  # doctest: +SKIP
        >>> len(corpus.train), len(corpus.held_out)  # doctest: +SKIP
        (161049, 17930)
    """
    pooch = _import_pooch()
    place = _time_machine_place(folder)
    try:
        path = pooch.retrieve(TIME_MACHINE_URL, TIME_MACHINE_HASH, fname=place.name, path=place.parent)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"The Time Machine is not in the cache and could not be fetched from {TIME_MACHINE_URL} "
            f"({type(error).__name__}). Offline, use load_story(), which comes with the package."
        ) from error
    text = Path(path).read_text(encoding="utf-8")
    cut = text.rindex("\n", 0, len(text) * 9 // 10) + 1
    return Corpus(text[:cut], text[cut:])


def find_time_machine(folder: str | Path | None = None) -> Path | None:
    """Where *The Time Machine* lies already, its hash checked. Nothing is fetched.

    Args:
        folder: where to look, see :func:`load_time_machine`.

    Returns:
        The file's path, or None if it is not there or is another text.

    Examples:
        >>> from companion.text import find_time_machine
        >>> print(find_time_machine("a-folder-without-it"))
        None

    Taught in *The GRU, twice*.
    """
    place = _time_machine_place(folder)
    return place if place.is_file() and _import_pooch().hashes.hash_matches(place, TIME_MACHINE_HASH) else None


def _import_pooch() -> Any:
    with warnings.catch_warnings():  # in a notebook, tqdm would warn that there is no progress bar to draw with
        warnings.simplefilter("ignore")
        import pooch
    return pooch


def _time_machine_place(folder: str | Path | None) -> Path:
    pooch = _import_pooch()
    cache = pooch.utils.cache_location(pooch.os_cache("recurrent-companion"), "RECURRENT_COMPANION_DATA")
    return Path(folder or cache) / "timemachine.txt"


def split_tokens(text: str, level: str = "character") -> list[str]:
    """Cut a text into tokens.

    Args:
        text: any string.
        level: ``"character"``: every character is a token. ``"word"``: words (with their apostrophes), numbers, and
            single punctuation marks are; spaces are dropped.

    Returns:
        The tokens in order.

    Raises:
        TypeError: ``text`` is no string.
        ValueError: ``level`` is neither.

    Examples:
        >>> companion.split_tokens("Don't wait.", "word")
        ["Don't", 'wait', '.']
        >>> companion.split_tokens("Don't")
        ['D', 'o', 'n', "'", 't']

    Taught in *Sequences and language models*.
    """
    if not isinstance(text, str):
        raise TypeError(f"text should be a string, got a {type(text).__name__}")
    if level == "character":
        return list(text)
    if level == "word":
        return re.findall(r"\w+(?:'\w+)*|[^\w\s]", text)
    raise ValueError(f"level should be 'character' or 'word', got {level!r}")


def check_tokens(tokens: Tensor) -> None:
    """Raise TypeError unless the tokens are a 1-D tensor of integers."""
    if not isinstance(tokens, Tensor) or tokens.dim() != 1 or tokens.dtype not in (torch.int64, torch.int32):
        found = f"shape {tuple(tokens.shape)}, {tokens.dtype}" if isinstance(tokens, Tensor) else type(tokens).__name__
        raise TypeError(f"tokens should be a 1-D tensor of token numbers, as Vocabulary.encode gives them, got {found}")


def check_windows(tokens: Tensor, batch_size: int, num_steps: int) -> None:
    """Raise TypeError or ValueError, naming the argument, unless windows can be cut from these."""
    check_tokens(tokens)
    check_positive_int("batch_size", batch_size)
    check_positive_int("num_steps", num_steps)


def token_list(tokens: Tensor, vocabulary_size: int | None = None, least: int = 0) -> list[int]:
    """The token numbers as a list, after a check: at least so many, all of them from 0 to below V."""
    check_tokens(tokens)
    numbers = tokens.tolist()
    if len(numbers) < least:
        raise ValueError(f"tokens should be at least {least}, got {len(numbers)}")
    if vocabulary_size is not None and numbers and not 0 <= min(numbers) <= max(numbers) < vocabulary_size:
        raise ValueError(
            f"tokens should be numbers from 0 to below vocabulary_size={vocabulary_size}, "
            f"got {min(numbers)} to {max(numbers)}"
        )
    return numbers


class Vocabulary:
    """The tokens of a text, numbered: the most frequent first, after the unknown token, which is number 0.

    Args:
        text: the text whose tokens are counted: the training part, never the held-out one.
        level: ``"character"`` or ``"word"``, see :func:`split_tokens`.
        min_frequency: tokens seen fewer times than this become the unknown token.

    Raises:
        ValueError: ``level`` is neither of the two, or ``text`` is empty.

    Examples:
        >>> vocabulary = companion.Vocabulary("banana")
        >>> vocabulary.tokens
        ['<unk>', 'a', 'n', 'b']
        >>> vocabulary.encode("bandana")  # 0 is the token it has never seen
        tensor([3, 1, 2, 0, 1, 2, 1])
        >>> vocabulary.decode([3, 1, 2])
        'ban'

    Taught in *Sequences and language models*.
    """

    unknown = "<unk>"

    def __init__(self, text: str, level: str = "character", min_frequency: int = 1):
        counts = Counter(split_tokens(text, level))
        if not counts:
            raise ValueError("text should hold at least one token, got an empty one")
        by_frequency = sorted(counts, key=lambda token: (-counts[token], token))
        self.level = level
        self.separator = "" if level == "character" else " "
        self.tokens = [self.unknown] + [token for token in by_frequency if counts[token] >= min_frequency]
        self.index = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> Tensor:
        """The numbers of a text's tokens, int64 of shape (number of tokens); 0 for a token never seen."""
        return torch.tensor([self.index.get(token, 0) for token in split_tokens(text, self.level)], dtype=torch.long)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of token numbers; words are joined by spaces."""
        return self.separator.join(self.tokens[int(number)] for number in numbers)


class SequentialBatches:
    """Windows in reading order, for truncated backpropagation: every batch goes on where the one before it stopped.

    The text is cut into ``batch_size`` streams of equal length, which are read side by side. So the state after one
    batch is the right state before the next, row by row; :func:`companion.training.fit` carries it.

    Args:
        tokens: the token numbers of a text, shape (N).
        batch_size: number B of streams.
        num_steps: number T of time steps in a window; the last window may be shorter.

    Yields:
        Pairs (inputs, targets), both of shape (T, B); a target is the token that follows its input.

    Raises:
        TypeError: ``tokens`` is no 1-D tensor of integers, or a size is no int.
        ValueError: a size is less than 1, or the text is too short for that many streams.

    Examples:
        >>> batches = companion.SequentialBatches(torch.arange(13), batch_size=2, num_steps=3)
        >>> for inputs, targets in batches:
        ...     print(inputs.T.tolist(), targets.T.tolist())  # one row a stream
        [[0, 1, 2], [6, 7, 8]] [[1, 2, 3], [7, 8, 9]]
        [[3, 4, 5], [9, 10, 11]] [[4, 5, 6], [10, 11, 12]]

    Source: :cite:t:`williams1990`. Taught in *Sequences and language models*.
    """

    continues = True

    def __init__(self, tokens: Tensor, batch_size: int, num_steps: int):
        check_windows(tokens, batch_size, num_steps)
        length = (len(tokens) - 1) // batch_size
        if length < 1:
            raise ValueError(f"tokens should be more than batch_size={batch_size}, got {len(tokens)}")
        self.num_steps = num_steps
        self.inputs = tokens[: batch_size * length].view(batch_size, length).T           # (length, B)
        self.targets = tokens[1 : batch_size * length + 1].view(batch_size, length).T    # (length, B)

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.num_steps)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.inputs.split(self.num_steps), self.targets.split(self.num_steps), strict=True)


class RandomBatches:
    """Windows in random order: each is read from a fresh state, and no state is worth carrying.

    In every pass the text is cut into windows that do not overlap, and these are shuffled. The first cut falls at a new
    random place, such that over many passes every token is read. One pass leaves out fewer than 2 T + B T tokens: some
    at both ends, and windows that would not fill a batch. The random numbers are torch's own: ``torch.manual_seed``
    repeats them.

    Args:
        tokens: the token numbers of a text, shape (N).
        batch_size: number B of windows in a batch.
        num_steps: number T of time steps in a window.

    Yields:
        Pairs (inputs, targets), both of shape (T, B); a target is the token that follows its input.

    Raises:
        TypeError: ``tokens`` is no 1-D tensor of integers, or a size is no int.
        ValueError: a size is less than 1, or the text is too short for one batch.

    Examples:
        >>> batches = companion.RandomBatches(torch.arange(100), batch_size=4, num_steps=5)
        >>> inputs, targets = next(iter(batches))
        >>> len(batches), inputs.shape, torch.equal(targets, inputs + 1)  # each target is the token that follows
        (4, torch.Size([5, 4]), True)

    Taught in *Sequences and language models*.
    """

    continues = False

    def __init__(self, tokens: Tensor, batch_size: int, num_steps: int):
        check_windows(tokens, batch_size, num_steps)
        self.num_windows = len(tokens) // num_steps - 1  # one fewer than fit: room for the first cut
        if self.num_windows < batch_size:
            raise ValueError(f"tokens should fill batch_size={batch_size} windows of {num_steps}, got {len(tokens)}")
        self.tokens, self.batch_size, self.num_steps = tokens, batch_size, num_steps

    def __len__(self) -> int:
        return self.num_windows // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        room = len(self.tokens) - self.num_windows * self.num_steps  # from T to 2 T - 1 places
        starts = torch.randint(room, ()) + self.num_steps * torch.randperm(self.num_windows)
        for chosen in starts[: len(self) * self.batch_size].view(-1, self.batch_size):
            positions = chosen + torch.arange(self.num_steps).unsqueeze(1)  # (T, B)
            yield self.tokens[positions], self.tokens[positions + 1]
