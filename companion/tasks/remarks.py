"""Short texts to classify: remarks made from templates, praise or complaint, and the story's lines with their speaker.

The remarks are made, and say so: each has a kind, which tells what it takes to understand it, and words of one part
(training, validation, held out) that no other part has. The lines are real: what somebody says in the book's story,
in quotation marks, where the narrator names who says it.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from companion.tasks.arguments import check_sizes, random_source

__all__ = [
    "Line",
    "REMARK_KINDS",
    "REMARK_LABELS",
    "REMARK_PARTS",
    "Remark",
    "SPEAKERS",
    "remark_pairs",
    "remarks",
    "spoken_lines",
]

REMARK_LABELS = ("complaint", "praise")
"""What a remark's label, 0 or 1, means."""

REMARK_KINDS = ("plain", "negated", "turned", "exchanged")
"""An opinion, one with a negation, two of which one counts, and somebody who does something for another."""

REMARK_PARTS = ("train", "validation", "held out")
"""The parts, each with things, guests and asides of its own."""

SPEAKERS = ("Wren", "Marta", "Tobias", "Mr Crane", "Ansel", "Mr Pell", "Mrs Penhallow", "Hester")
"""Who speaks in the story, the most talkative first."""

PLEASANT = ("fine", "lovely", "splendid", "pleasant", "excellent", "delightful", "perfect", "good")
UNPLEASANT = ("poor", "dreadful", "shabby", "miserable", "terrible", "disappointing", "horrid", "bad")
DEGREES = ("very", "quite", "truly", "really", "rather")
HOUSE = ("keeper", "ferryman", "cook", "clerk", "porter")
HELPED = ("helped", "fed", "rescued", "carried", "comforted", "warmed", "entertained", "guided")
MANNERS = ("old", "young", "tall", "tired", "cheerful", "quiet")

PLAIN = (
    "{thing} was {quality}",
    "{thing} was {degree} {quality}",
    "we found {thing} {quality}",
    "{thing} seemed {quality} to us",
)
NEGATED = (
    "{thing} was not {quality}",
    "{thing} was not at all {quality}",
    "{thing} was by no means {quality}",
    "{thing} was not, to be honest, {quality}",
    "nobody could call {thing} {quality}",
    "we did not find {thing} {quality}",
)
# Of the opinions {counts} and {other} it is the first that makes the verdict, wherever it stands.
TURNED = ("{other}, but {counts}", "{counts}, though {other}", "though {other}, {counts}", "{other}. even so, {counts}")
EXCHANGED = (
    "{helper} {helped} {other}",
    "{other} was {helped} by {helper}",
    "it was {helper} who {helped} {other}",
    "it was {other} whom {helper} {helped}",
)

THINGS = {
    "train": (
        "tea", "bread", "soup", "bed", "ferry", "stove", "lamp", "towpath", "kitchen", "stew",
        "cheese", "room", "blanket", "window", "view", "path",
    ),
    "validation": ("coffee", "garden", "cabin", "pie", "bench", "yard"),
    "held out": ("cider", "attic", "pudding", "bridge", "meadow", "bath", "chair", "supper"),
}
GUESTS = {
    "train": (
        "teacher", "painter", "widow", "tailor", "farmer", "sailor", "doctor", "miller", "piper",
        "nurse", "weaver", "judge",
    ),
    "validation": ("baker", "poet", "hatter", "smith"),
    "held out": ("fiddler", "carpenter", "bishop", "saddler", "captain", "gardener"),
}
ASIDES = {
    "train": (
        "we came up the stair on friday",
        "it rained for most of the day",
        "the cat was asleep on the ledger",
        "there were nine boats in front of us",
        "our horse is called duchess",
        "we carry coal and salt",
        "the bell rang at four",
        "my sister drew the gates",
        "we are on our way to the sea",
        "there was a heron on the bank",
    ),
    "validation": (
        "we tied up at noon",
        "a goat looked in at the door",
        "our boat is the patience",
        "it was market day in sallow",
        "the wind had dropped",
        "we were five on board",
    ),
    "held out": (
        "we left before breakfast",
        "someone was singing in the mill",
        "our load was apples this time",
        "the moon stood over orchard water",
        "my brother counted every step",
        "two swans came through with us",
    ),
}


class Remark(NamedTuple):
    """A remark in the visitors' book of the lock.

    Args:
        text: the sentence that decides, or two where one turns the other, and up to two asides.
        label: 1 for praise, 0 for a complaint: a place in :data:`REMARK_LABELS`.
        kind: what it takes to understand it, one of :data:`REMARK_KINDS`.

    Examples:
        >>> from companion.tasks.remarks import Remark
        >>> Remark("The tea was not bad.", 1, "negated").kind
        'negated'
    """

    text: str
    label: int
    kind: str


class Line(NamedTuple):
    """What somebody in the story says, in one paragraph.

    Args:
        text: the words in quotation marks, without what the narrator puts between them.
        speaker: one of :data:`SPEAKERS`.
        chapter: the number of the chapter, from 1.

    Examples:
        >>> from companion.tasks.remarks import spoken_lines
        >>> line = spoken_lines(companion.load_story().train)[1]
        >>> line.speaker, line.text
        ('Marta', 'Humming, Put your boots on, girl.')
    """

    text: str
    speaker: str
    chapter: int


def remarks(count: int, part: str = "train", seed: int | None = None) -> list[Remark]:
    """Make remarks from templates: praise or complaint, with even chances.

    Two in five are plain, and one in five is of each other kind. Each has one sentence that decides, and sometimes an
    aside before it or after it that does not. The templates and the words that judge are those of every part; the
    things, the guests and the asides are of this part only.

    Args:
        count: how many.
        part: one of :data:`REMARK_PARTS`.
        seed: repeats the remarks; None goes on with torch's own random numbers.

    Returns:
        A list of :class:`Remark`.

    Raises:
        TypeError: ``count`` or ``seed`` is no int.
        ValueError: ``count`` is less than 1, or there is no such part.

    Examples:
        >>> from companion.tasks.remarks import remarks
        >>> for remark in remarks(2, seed=3):
        ...     print(remark.label, remark.kind, remark.text)
        1 negated We carry coal and salt. The kitchen was not, to be honest, poor.
        0 plain We are on our way to the sea. The ferry was quite horrid.

    Taught in *Text classification*.
    """
    check_sizes(1, count=count)
    draw = _Draw(part, seed)
    made = []
    for _ in range(count):
        kind = draw.one_of((*REMARK_KINDS, "plain"))
        text, label = draw.one_of(_versions(draw, kind))
        made.append(Remark(_with_asides(draw, [text])[0], label, kind))
    return made


def remark_pairs(count: int, part: str = "held out", seed: int | None = None) -> list[tuple[Remark, Remark]]:
    """Make pairs of remarks with exactly the same words, in another order: a complaint and praise.

    Whoever only counts words must say the same of both, and is wrong about one. The remarks are of the kinds "turned"
    and "exchanged", made like those of :func:`remarks`.

    Args:
        count: how many pairs.
        part: one of :data:`REMARK_PARTS`.
        seed: repeats the pairs; None goes on with torch's own random numbers.

    Returns:
        A list of pairs of :class:`Remark`, the complaint first.

    Raises:
        TypeError: ``count`` or ``seed`` is no int.
        ValueError: ``count`` is less than 1, or there is no such part.

    Examples:
        >>> from companion.tasks.remarks import remark_pairs
        >>> complaint, praise = remark_pairs(1, seed=0)[0]
        >>> words = [companion.split_tokens(remark.text.lower(), "word") for remark in (complaint, praise)]
        >>> sorted(words[0]) == sorted(words[1]), words[0] == words[1]
        (True, False)

    Taught in *Text classification*.
    """
    check_sizes(1, count=count)
    draw = _Draw(part, seed)
    pairs = []
    for _ in range(count):
        kind = draw.one_of(("turned", "exchanged"))
        texts, labels = zip(*sorted(_versions(draw, kind), key=lambda version: version[1]), strict=True)
        texts = _with_asides(draw, texts)
        pairs.append(tuple(Remark(text, label, kind) for text, label in zip(texts, labels, strict=True)))
    return pairs


def spoken_lines(text: str, speakers: Sequence[str] = SPEAKERS) -> list[Line]:
    r"""Find the lines of a story whose speaker the narrator names: "...," said Wren, or Wren said, "...".

    One line a paragraph. Paragraphs in which nobody is named beside the quotation, or two are, are left out.

    Args:
        text: the story, paragraphs with an empty line between them, chapters that begin with "Chapter ".
        speakers: the names to look for.

    Returns:
        A list of :class:`Line`, in the order of the story.

    Raises:
        TypeError: ``text`` is no string, or ``speakers`` is one.

    Examples:
        >>> from companion.tasks.remarks import spoken_lines
        >>> spoken_lines('Chapter One\n\n"Well?" said Wren. "Is it?"\n\n"No," he said.')
        [Line(text='Well? Is it?', speaker='Wren', chapter=1)]

    Taught in *Text classification*.
    """
    if not isinstance(text, str):
        raise TypeError(f"text should be a string, got a {type(text).__name__}")
    if isinstance(speakers, str):
        raise TypeError(f"speakers should be a list of names, got the string {speakers!r}")
    names = "|".join(map(re.escape, speakers))
    after = re.compile(rf"^\s*\w+ ({names})\b")  # "...," said Wren
    before = re.compile(rf"\b({names}) (?:said|asked|cried|called)\b")  # Wren said, "..."
    lines, chapter = [], 0
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("Chapter "):
            chapter += 1
            continue
        told, spoken = paragraph.split('"')[::2], paragraph.split('"')[1::2]
        named = {match[1] for part in told[1:] if (match := after.search(part))}
        named |= {match[1] for part in told if (match := before.search(part))}
        if spoken and len(named) == 1:
            lines.append(Line(" ".join(part.strip() for part in spoken), named.pop(), chapter))
    return lines


class _Draw:
    """Random choices among the words of one part."""

    def __init__(self, part: Any, seed: int | None):
        if part not in REMARK_PARTS:
            raise ValueError(f"part should be one of {', '.join(map(repr, REMARK_PARTS))}, got {part!r}")
        self.part, self.source = part, random_source(seed)

    def below(self, limit: int) -> int:
        return int(torch.randint(limit, (), generator=self.source))

    def one_of(self, choices: Sequence[Any]) -> Any:
        return choices[self.below(len(choices))]


def _versions(draw: _Draw, kind: str) -> list[tuple[str, int]]:
    """The deciding sentence and its label; two versions with the same words where the order matters."""
    if kind in ("plain", "negated"):
        return [_opinion(draw, draw.one_of(THINGS[draw.part]), kind == "negated", draw.below(2))]
    return _turned(draw) if kind == "turned" else _exchanged(draw)


def _opinion(draw: _Draw, thing: str, negated: bool, label: int) -> tuple[str, int]:
    """What somebody thinks of a thing."""
    words = PLEASANT if bool(label) != negated else UNPLEASANT
    frame = draw.one_of(NEGATED if negated else PLAIN)
    return frame.format(thing=f"the {thing}", degree=draw.one_of(DEGREES), quality=draw.one_of(words)), label


def _turned(draw: _Draw) -> list[tuple[str, int]]:
    """Two opinions, one good and one bad, and the one that counts is the first or the second."""
    frame, first, second = draw.one_of(TURNED), *_two_of(draw, THINGS[draw.part])
    bad, _ = _opinion(draw, first, draw.below(3) == 0, 0)
    good, _ = _opinion(draw, second, draw.below(3) == 0, 1)
    return [(frame.format(counts=bad, other=good), 0), (frame.format(counts=good, other=bad), 1)]


def _exchanged(draw: _Draw) -> list[tuple[str, int]]:
    """Somebody of the house helps a guest, which is praise, or has to be helped by one."""
    frame, helped = draw.one_of(EXCHANGED), draw.one_of(HELPED)
    house, guest = _person(draw, HOUSE), _person(draw, GUESTS[draw.part])
    return [
        (frame.format(helper=guest, helped=helped, other=house), 0),
        (frame.format(helper=house, helped=helped, other=guest), 1),
    ]


def _person(draw: _Draw, people: Sequence[str]) -> str:
    manner = f"{draw.one_of(MANNERS)} " if draw.below(2) else ""
    return f"the {manner}{draw.one_of(people)}"


def _two_of(draw: _Draw, choices: Sequence[str]) -> tuple[str, str]:
    first = draw.below(len(choices))
    second = (first + 1 + draw.below(len(choices) - 1)) % len(choices)
    return choices[first], choices[second]


def _with_asides(draw: _Draw, texts: Sequence[str]) -> list[str]:
    """Put the same asides before and after each text."""
    order = torch.randperm(len(ASIDES[draw.part]), generator=draw.source).tolist()
    asides = [ASIDES[draw.part][number] for number in order]
    before, after = asides[: draw.below(2)], asides[1 : 1 + draw.below(2)]
    return [" ".join(map(_as_sentence, [*before, text, *after])) for text in texts]


def _as_sentence(text: str) -> str:
    """Capitals at the beginnings, and a period at the end."""
    return ". ".join(part[0].upper() + part[1:] for part in text.split(". ")) + "."
