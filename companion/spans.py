"""BIO tags and the spans they mark: from one to the other, which tag may follow which, and scores of whole spans."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from companion.tagging import TagScore

__all__ = [
    "bio_tags",
    "bio_transitions",
    "count_illegal",
    "Span",
    "span_f1",
    "span_scores",
    "spans_to_tags",
    "tags_to_spans",
]


class Span(NamedTuple):
    """A stretch of a sentence.

    Attributes:
        label: what it is, such as ``"place"``.
        start: its first word, counted from 0.
        end: the word behind its last one: ``words[start:end]`` are its words.

    Examples:
        >>> from companion.spans import Span
        >>> span = Span("place", 3, 5)
        >>> "Water low at Hadley Marsh .".split()[span.start : span.end]
        ['Hadley', 'Marsh']
    """

    label: str
    start: int
    end: int


def bio_tags(labels: Iterable[str]) -> tuple[str, ...]:
    """The tags for labels: ``O``, and for each label ``B-``, where a span begins, and ``I-``, where it goes on.

    Args:
        labels: such as ``("person", "place")``, all different.

    Returns:
        1 + 2 * len(labels) tags; a tag's place in the tuple is its number.

    Raises:
        ValueError: a label is empty, or comes twice.

    Examples:
        >>> from companion.spans import bio_tags
        >>> bio_tags(["person", "date"])
        ('O', 'B-person', 'I-person', 'B-date', 'I-date')

    Source: :cite:t:`ramshaw1995`. Taught in *Tagging*.
    """
    labels = list(labels)
    if len(set(labels)) < len(labels) or not all(labels):
        raise ValueError(f"labels should be different and not empty, got {labels}")
    return ("O", *(f"{kind}-{label}" for label in labels for kind in "BI"))


def bio_transitions(tags: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Which tag may follow which: ``I-x`` comes after ``B-x`` and ``I-x`` only, and never first.

    Args:
        tags: K BIO tags, such as :func:`bio_tags` gives.

    Returns:
        Booleans of shape (K, K), row: the tag before, column: the tag after; and of shape (K), whether it may be first.

    Raises:
        ValueError: something is no BIO tag.

    Examples:
        >>> from companion.spans import bio_tags, bio_transitions
        >>> allowed, allowed_start = bio_transitions(bio_tags(["date"]))
        >>> allowed.int()  # O, B-date, I-date
        tensor([[1, 1, 0],
                [1, 1, 1],
                [1, 1, 1]], dtype=torch.int32)
        >>> allowed_start.tolist()
        [True, True, False]

    Taught in *Tagging*.
    """
    kinds = _read_tags(tags)
    allowed = [[after[0] != "I" or before[1] == after[1] for after in kinds] for before in kinds]
    return torch.tensor(allowed), torch.tensor([kind != "I" for kind, _ in kinds])


def count_illegal(tags: Sequence[str]) -> int:
    """How often an ``I-x`` comes first, or after anything but ``B-x`` or ``I-x``.

    Args:
        tags: the BIO tags of one sentence.

    Returns:
        The number, 0 for a legal sequence.

    Raises:
        ValueError: something is no BIO tag.

    Examples:
        >>> from companion.spans import count_illegal
        >>> count_illegal(["B-person", "I-place", "I-place", "O", "I-date"])
        2

    Taught in *Tagging*.
    """
    kinds = _read_tags(tags)
    before = [("O", ""), *kinds]
    return sum(kind == "I" and label != last for (_, last), (kind, label) in zip(before, kinds, strict=False))


def tags_to_spans(tags: Sequence[str]) -> list[Span]:
    """The spans that the tags of one sentence mark.

    An illegal ``I-x`` begins a span, as in the scoring program of the CoNLL tasks. It is the kinder reading.

    Args:
        tags: BIO tags, one for each word.

    Returns:
        The spans in their order.

    Raises:
        ValueError: something is no BIO tag.

    Examples:
        >>> from companion.spans import tags_to_spans
        >>> tags_to_spans(["B-person", "I-person", "O", "B-place", "B-place"])[:2]
        [Span(label='person', start=0, end=2), Span(label='place', start=3, end=4)]

    Source: :cite:t:`tjong2003`. Taught in *Tagging*.
    """
    spans = []
    for place, (kind, label) in enumerate(_read_tags(tags)):
        goes_on = spans and spans[-1].end == place and spans[-1].label == label and kind == "I"
        if goes_on:
            spans[-1] = spans[-1]._replace(end=place + 1)
        elif kind != "O":
            spans.append(Span(label, place, place + 1))
    return spans


def spans_to_tags(spans: Iterable[Span], length: int) -> list[str]:
    """The way back: BIO tags for a sentence of so many words.

    Args:
        spans: spans that do not overlap, in any order.
        length: the number of words.

    Returns:
        The tags, always legal.

    Raises:
        ValueError: a span is empty, overlaps another one, or does not lie in the sentence.

    Examples:
        >>> from companion.spans import Span, spans_to_tags
        >>> spans_to_tags([Span("date", 1, 3)], 4)
        ['O', 'B-date', 'I-date', 'O']

    Taught in *Tagging*.
    """
    tags = ["O"] * length
    for span in spans:
        if not 0 <= span.start < span.end <= length:
            raise ValueError(f"spans should lie within {length} words, none empty, got {span}")
        if set(tags[span.start : span.end]) != {"O"}:
            raise ValueError(f"spans should not overlap, got {span} over another one")
        tags[span.start : span.end] = [f"B-{span.label}"] + [f"I-{span.label}"] * (span.end - span.start - 1)
    return tags


def span_scores(found: Sequence[Sequence[str]], present: Sequence[Sequence[str]]) -> dict[str, TagScore]:
    """Precision, recall and F1 of whole spans: right is one with the right label, the right start and the right end.

    Args:
        found: for each sentence, the tags that a model gave.
        present: for each sentence, the right ones.

    Returns:
        A :class:`~companion.tagging.TagScore` for each label in the alphabet's order, and for ``"all"`` together.

    Raises:
        ValueError: there are not as many sentences, or not as many tags in one of them; or something is no BIO tag.

    Examples:
        >>> from companion.spans import span_scores
        >>> present = [["B-person", "I-person", "O", "B-place"]]
        >>> found = [["B-person", "O", "O", "B-place"]]  # three of four tags are right, one of two spans is
        >>> span_scores(found, present)["all"].f1
        0.5

    Source: :cite:t:`tjong2003`. Taught in *Tagging*.
    """
    if len(found) != len(present):
        raise ValueError(f"found should have {len(present)} sentences, as present has, got {len(found)}")
    given, right = set(), set()
    for number, (one, other) in enumerate(zip(found, present, strict=True)):
        if len(one) != len(other):
            raise ValueError(f"found should have {len(other)} tags in sentence {number}, got {len(one)}")
        given |= {(number, *span) for span in tags_to_spans(one)}
        right |= {(number, *span) for span in tags_to_spans(other)}
    labels = sorted({label for _, label, _, _ in given | right})
    of_label = {label: [{span for span in spans if span[1] == label} for spans in (given, right)] for label in labels}
    return {**{label: _score(*spans) for label, spans in of_label.items()}, "all": _score(given, right)}


def span_f1(found: Sequence[Sequence[str]], present: Sequence[Sequence[str]]) -> float:
    """F1 of all spans together, the micro-average: ``span_scores(found, present)["all"].f1``.

    Args:
        found: for each sentence, the tags that a model gave.
        present: for each sentence, the right ones.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: as :func:`span_scores`.

    Examples:
        >>> from companion.spans import span_f1
        >>> span_f1([["B-date", "O"]], [["B-date", "I-date"]])  # the end is wrong, so the span is
        0.0

    Taught in *Tagging*.
    """
    return span_scores(found, present)["all"].f1


def _read_tags(tags: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (kind, label), such as ("B", "date") and ("O", "")."""
    pairs = []
    for tag in tags:
        kind, _, label = tag.partition("-")
        if tag != "O" and (kind not in ("B", "I") or not label):
            raise ValueError(f"tags should be 'O', 'B-label' or 'I-label', got {tag!r}")
        pairs.append((kind, label))
    return pairs


def _score(given: set, right: set) -> TagScore:
    both, total = len(given & right), len(given) + len(right)
    return TagScore(both / max(len(given), 1), both / max(len(right), 1), 2 * both / max(total, 1), len(right))
