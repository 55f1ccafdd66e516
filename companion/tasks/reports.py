"""Reports of a canal office, made from templates: people, places and dates to find, with names never seen before.

Each report is one sentence of words with a BIO tag for every word: ``B-person`` begins a name, ``I-person`` goes on
with it, ``O`` is outside. There are 78 templates. 20 of them are kept for the third of the :data:`PARTS`, so that a
test can ask for new names alone, or for new names in new sentences. The lists of names, words and templates were
written for this book.

What makes it hard, on purpose: *Hadley* is a village and a surname, *Hadley Marsh* a man and a marsh, *April* a woman
and a month, *frost* a surname and what closes a lock, and 1884 a year or a number of bricks. One report in six is a
telegram, all in capitals. What makes it easy: a few dozen templates, regular spelling, tags without mistakes. In real
text sentences do not repeat themselves, names have many more forms, and people who tag it disagree. So a score here
compares models, and says nothing about a newspaper.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from companion.tasks.arguments import check_sizes, random_source

__all__ = ["draw_reports", "LABELS", "PARTS", "Report"]

LABELS = ("person", "place", "date")
"""What there is to find."""

PARTS = ("train", "new names", "new sentences")
"""What to learn from; the same sentences with names held out; other sentences with the held-out names."""

# Lists of names: (train, held out). No word is in both, and none of the second is in a training report, months aside.

FORENAMES = (
    "Marta Wren Edmund Clara Josiah Ada Tobias Nell Ralph Hester Silas Ivy Walter Agnes Amos Dora Hugh Ellen Caleb "
    "Winifred Ned Judith Felix Rosa April August Lionel Maud Percy Sarah Jem Cecily Adam Bertha Cyril Dinah Enoch "
    "Flora George Hannah Ida Jacob Kate Luke Martha Noah Olive Peter Rachel Simon Thomas Ursula Victor William Zillah "
    "Arthur Blanche Daniel Esther Francis Henry Jane Lucy Matthew Nora Robert Ruth Samuel Violet",
    "Beatrice Owen Lydia Gilbert Harriet Jonas Mabel Rufus Edith Barnaby Frances Isaac May June Oliver Phoebe Conrad "
    "Susannah Theodore Grace",
)
SURNAMES = (
    "Quill Pettifer Tanner Bellamy Osgood Larkin Cobb Nuttall Fenner Drury Pascoe Whittle Gossage Trimble Harker "
    "Jessop Yardley Abbot Sexton Crane Loveday Dawes Kettle Mundy Allard Bowyer Catlin Dobbs Eddowes Fuller Gunn "
    "Hooker Ibbot Judd Kemble Lovell Miller Nixon Orme Perrin Quarles Ridout Sadler Thatcher Underhay Verrall Weaver "
    "Younge Archer Baines Cutler Dyer Farrow Glover Hobbs Jebb Lamb Mason Potter Rudge Skinner Turner Webb",
    "Sparrow Haddock Carver Tilney Roper Binns Garland Usher Penrose Finch Hobday Mercer Oakes Tuttle Vickers",
)
# Villages, and people called after them; as forenames, too.
EITHER = (
    "Hadley Denby Selwood Marlow Thornton Barton Kirby Stanton Darnley Wetherby Melton Harding Aldous Buxton Cromer "
    "Dalton Eaton Farnham Grafton Halston Ilsley Kendal Lumley Mornington Newby Oakham Pelham Ripley Shelby Thirlby",
    "Ashby Preston Walton Lincoln Burton Whitby Milton Sutton Clifton Bradley",
)
# What lies around a village: the second word of a place, a surname, and an ordinary word.
GROUNDS = ("Marsh Wood Brook Stone Bank Meadow Green Pool Grove Combe Cliff Orchard", "Moss Heath Ford Hill Field")
# Surnames and ordinary words.
WORDS = (
    "Frost Reed Clay Hay Sand Ivory Rust Rain Coal Moth Peat Silt Thorn Bracken Straw",
    "Snow Flood Gale Rush Flint Ash",
)
STEMS = (
    "Sal Orch Dun Wend Cold Hart Lang Mel Thorn Fern Ald Brack Stain Whel Ast Bir Crom Dray Elm Fos Gad Hes Inch Kel "
    "Lit Mar Net Oss Pen Rad Stow Tid Wil Yar",
    "Ask Bram Chal Ever Grim Holt Kex Nor Rav Sel Tarn Ul Wick",
)
ENDINGS = ("low mere by ham wick den ley thorpe combe ton ford well bridge", "worth bury stead hurst gate cote ness")
FEASTS = (
    ("Michaelmas", "Candlemas", "Whit Sunday", "Shrove Tuesday", "Lady Day"),
    ("Martinmas", "Lammas", "Twelfth Night", "Midsummer Eve", "Plough Monday"),
)
YEARS = (range(1862, 1890), range(1890, 1914))

TITLES = ("Mr", "Mrs", "Miss", "Dr", "Captain")
PARTICLES = ("van", "de", "van der")
SITES = ("Lock", "Bridge", "Wharf", "Lane", "Mill")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "ninth", "tenth", "twelfth", "fifteenth", "last")

# Slots in braces are drawn: {person}, {place} and {date} are to be found. {surname} and {village} are a person and a
# place of one word that might be either; {couple} and {spot} likewise, of two words. {month} and {year} are dates.
# {Word}, {word}, {Ground}, {ground}, {title} and {number} are none of the three.
TEMPLATES = (
    "{person} signed for the coal at {place} on {date} .",
    "On {date} {person} opened the paddles at {place} .",
    "{place} was shut from {date} to {date} .",
    "The boat of {person} sank below {place} .",
    "{title} {surname} says that the gate at {place} is tired .",
    "{surname} mended the top gate and {person} oiled it .",
    "{village} has had no coal since {date} .",
    "{village} and {place} are short of water .",
    "{Word} held up every boat below {place} .",
    "{Word} and ice have shut {place} since {date} .",
    "{Ground} and towpath were under water at {place} on {date} .",
    "The {ground} beyond {place} belongs to {person} .",
    "There was {word} in the paddle , says {person} .",
    "{person} , {person} and {person} were paid on {date} .",
    "{number} bricks came to {place} in {year} .",
    "{number} bricks were lost near {place} , so {surname} paid .",
    "Send {number} sacks to {person} at {place} .",
    "In {year} {surname} kept the lock at {village} .",
    "A letter for {surname} waits at {place} .",
    "A letter from {village} came on {date} .",
    "The road to {village} is open again .",
    "The wife of {surname} fell ill on {date} .",
    "{person} left {place} for {place} before {date} .",
    "Asked by {person} , {title} {surname} denied it .",
    "Nobody at {place} has seen {person} since {date} .",
    "{date} : {person} late , {place} dry , {word} on the gates .",
    "Water low at {place} ; ask {surname} about the {ground} .",
    "{person} of {place} owes for {number} days .",
    "By {date} the {word} had gone and {village} was dry .",
    "{person} will be back from {place} by {date} .",
    "Mud and {word} were cleared from the lock on {date} .",
    "{title} {person} has bought the {ground} at {village} .",
    "When will {person} pay for the {number} tiles ?",
    "Do not let {surname} near the paddles .",
    "Nothing came from {village} but {word} and rain .",
    "{village} was quiet , {place} was not .",
    "{surname} was drunk again on {date} .",
    "{surname} writes that {village} needs a new pump .",
    "Rain since {date} , {ground} and path are wet .",
    "The man from {place} says his name is {surname} .",
    "Two boats for {village} and one for {surname} passed on {date} .",
    "Give the key to {person} and the book to {title} {surname} .",
    "I saw {person} by the {ground} , not at {place} .",
    "{Word} has spoiled the hay that {person} sold .",
    "All gates at {place} were painted in {year} .",
    "It took {person} {number} turns to close the paddle .",
    # In pairs: only what comes later tells which it is.
    "{couple} , as we heard on {date} , is under arrest .",
    "{spot} , as we heard on {date} , is under water .",
    "We had no news of {surname} until the end of {month} , when he wrote .",
    "We had no news of {village} until the end of {month} , when its bridge fell .",
    "The clerk asked twice for {couple} , but the poor man had left .",
    "The clerk asked twice for {spot} , but the whole road was shut .",
    "{surname} has , says {person} , lost a good hat .",
    "{village} has , says {person} , lost a good pump .",
    "Of {couple} we know , since {date} , that he drinks .",
    "Of {spot} we know , since {date} , that it leaks .",
    "{surname} , not for the first time , paid for the lamps .",
    "{village} , not for the first time , ran out of lamps .",
)
NEW_TEMPLATES = (
    "Who told {person} that {place} would open on {date} ?",
    "Between {place} and {village} a horse of {surname} went lame .",
    "{surname} has asked to be moved to {village} .",
    "{village} asks for two men until {date} .",
    "When {person} came home on {date} the key was gone .",
    "{Word} broke the pump , and {surname} wrote to {place} .",
    "Tell {person} to bring {number} planks from {place} .",
    "Past {village} the {ground} has sunk .",
    "{Ground} , hedge and ditch want cutting before {date} .",
    "Neither {person} nor {title} {surname} was at {place} .",
    "Since {year} the toll at {village} has been {number} pence .",
    "No {word} this week , but {person} fears it .",
    "{date} , {place} : no boats , {surname} asleep .",
    "The keys of {place} are with {person} until {date} .",
    "{couple} , so the clerk says , was paid on {date} .",
    "{spot} , so the clerk says , was shut on {date} .",
    "There is , since {date} , no news of {surname} , who was ill .",
    "There is , since {date} , no news of {village} , which was dry .",
    "{couple} , for once , wrote that he is well .",
    "{spot} , for once , has coal and water .",
)


class Report(NamedTuple):
    """One sentence: its ``words``, punctuation marks among them, and one BIO tag for each in ``tags``.

    Examples:
        >>> from companion.tasks.reports import Report
        >>> report = Report(("Wren", "slept", "."), ("B-person", "O", "O"))
        >>> dict(zip(report.words, report.tags))
        {'Wren': 'B-person', 'slept': 'O', '.': 'O'}
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]


def draw_reports(count: int, part: str = "train", seed: int | None = None) -> list[Report]:
    """Draw reports at random.

    Args:
        count: how many.
        part: one of :data:`PARTS`. In the second and the third every name of a person or a place has a word that no
            training report holds, except for the months *May* and *June*, which are forenames here. Dates are made of
            known words, but for the feasts and the years.
        seed: repeats the reports, on every machine; None goes on with torch's own random numbers.

    Returns:
        The reports, each a :class:`Report`.

    Raises:
        TypeError: ``count`` or the seed is no int.
        ValueError: ``count`` is less than 1, or there is no such part.

    Examples:
        >>> from companion.tasks.reports import draw_reports
        >>> report = draw_reports(3, seed=2)[0]
        >>> " ".join(report.words)
        'Nobody at Inchbridge has seen Oakham since Friday .'
        >>> [pair for pair in zip(report.words, report.tags) if pair[1] != "O"]
        [('Inchbridge', 'B-place'), ('Oakham', 'B-person'), ('Friday', 'B-date')]

    Taught in *Tagging*.
    """
    check_sizes(1, count=count)
    if part not in PARTS:
        raise ValueError(f"part should be one of {', '.join(map(repr, PARTS))}, got {part!r}")
    draw = _Draw(random_source(seed), held_out=part != "train")
    templates = NEW_TEMPLATES if part == "new sentences" else TEMPLATES
    return [draw.report(draw.one_of(templates)) for _ in range(count)]


class _Draw:
    """Fills templates, with the first or the second of each pair of lists."""

    def __init__(self, source: torch.Generator, held_out: bool) -> None:
        self.source, self.held_out = source, int(held_out)
        self.slots: dict[str, Callable[[], tuple[str, str]]] = {  # the words, and their label
            "{person}": lambda: (self.person(), "person"),
            "{surname}": lambda: (self.surname(), "person"),
            "{place}": lambda: (self.place(), "place"),
            "{village}": lambda: (self.village(), "place"),
            "{couple}": lambda: (f"{self.name(EITHER)} {self.name(GROUNDS)}", "person"),
            "{spot}": lambda: (f"{self.name(EITHER)} {self.name(GROUNDS)}", "place"),
            "{month}": lambda: (self.one_of(MONTHS), "date"),
            "{date}": lambda: (self.date(), "date"),
            "{year}": lambda: (self.year(), "date"),
            "{number}": lambda: (self.number(), ""),
            "{title}": lambda: (self.one_of(TITLES), ""),
            "{Word}": lambda: (self.name(WORDS), ""),
            "{word}": lambda: (self.name(WORDS).lower(), ""),
            "{Ground}": lambda: (self.name(GROUNDS), ""),
            "{ground}": lambda: (self.name(GROUNDS).lower(), ""),
        }

    def report(self, template: str) -> Report:
        words, tags = [], []
        for piece in template.split():
            filling, label = self.slots[piece]() if piece in self.slots else (piece, "")
            parts = filling.split()
            words += parts
            tags += [f"B-{label}"] + [f"I-{label}"] * (len(parts) - 1) if label else ["O"] * len(parts)
        words[0] = words[0][0].upper() + words[0][1:]
        if self.chance(6):  # a telegram
            words = [word.upper() for word in words]
        return Report(tuple(words), tuple(tags))

    def person(self) -> str:
        kind = self.below(10)
        if kind < 4:
            return f"{self.forename()} {self.surname()}"
        if kind < 5:
            return f"{self.forename()[0]}. {self.surname()}"
        if kind < 6:
            return f"{self.forename()} {self.one_of(PARTICLES)} {self.surname()}"
        if kind < 7:
            return f"{self.forename()} {self.forename()} {self.surname()}"
        return self.forename() if kind < 8 else self.surname()

    def forename(self) -> str:
        return self.name(EITHER) if self.chance(4) else self.name(FORENAMES)

    def surname(self) -> str:
        return self.name((SURNAMES, SURNAMES, EITHER, GROUNDS, WORDS)[self.below(5)])

    def place(self) -> str:
        kind = self.below(8)
        if kind < 2:
            return f"{self.village()} {self.name(GROUNDS)}"
        if kind < 3:
            return f"{self.village()} {self.one_of(SITES)}"
        if kind < 4:
            return f"{self.one_of(('Upper', 'Lower', 'Old'))} {self.village()}"
        if kind < 5:
            return f"{self.village()} {self.one_of(('on the Wend', 'by the Water'))}"
        return self.village()

    def village(self) -> str:
        return self.name(EITHER) if self.chance(2) else self.name(STEMS) + self.name(ENDINGS)

    def date(self) -> str:
        month, day = self.one_of(MONTHS), self.one_of(DAYS)
        kind = self.below(9)
        if kind < 2:
            return f"the {self.one_of(ORDINALS)} of {month}"
        if kind < 3:
            return f"{self.below(28) + 1} {month} {self.year()}"
        if kind < 4:
            return f"{month} {self.below(28) + 1} , {self.year()}"
        if kind < 5:
            return f"the {self.one_of(ORDINALS)} {day} in {month}"
        if kind < 6:
            return f"{day} the {self.below(28) + 1}th"
        return (day, month, self.one_of(FEASTS[self.held_out]))[kind - 6]

    def year(self) -> str:
        return str(self.one_of(YEARS[self.held_out]))

    def number(self) -> str:
        return self.year() if self.chance(2) else str(self.below(3000) + 2)

    def name(self, lists: tuple[str, str]) -> str:
        return self.one_of(lists[self.held_out].split())

    def one_of(self, choices):
        return choices[self.below(len(choices))]

    def chance(self, one_in: int) -> bool:
        return self.below(one_in) == 0

    def below(self, limit: int) -> int:
        return int(torch.randint(limit, (), generator=self.source))
