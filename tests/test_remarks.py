"""The remarks and the lines: labels are read again from the text, parts share no words, lines are the story's."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.tasks import remarks as room
from companion.tasks.remarks import (
    REMARK_KINDS,
    REMARK_PARTS,
    SPEAKERS,
    Remark,
    remark_pairs,
    remarks,
    spoken_lines,
)
from companion.text import load_story, split_tokens
from tests import strategies  # noqa: F401  loads the settings of hypothesis

seeds = st.integers(0, 999)
each_part = pytest.mark.parametrize("part", REMARK_PARTS)
NEGATIONS = re.compile(r"\b(not|no means|nobody)\b")


def words(text):
    return split_tokens(text.lower(), "word")


def opinion(clause):
    """1 if a clause praises, 0 if it complains, read from its words."""
    good = bool(set(words(clause)) & set(room.PLEASANT))
    assert good != bool(set(words(clause)) & set(room.UNPLEASANT))
    return int(good != bool(NEGATIONS.search(clause)))


def decisive(text):
    """The sentence without its asides, in small letters."""
    asides = {aside for part in room.ASIDES.values() for aside in part}
    return ". ".join(part for part in text.lower().rstrip(".").split(". ") if part not in asides)


def read_again(remark):
    """The label, worked out from the text alone, without the generator."""
    text = decisive(remark.text)
    if remark.kind in ("plain", "negated"):
        return opinion(text)
    if remark.kind == "turned":
        if ", but " in text:
            return opinion(text.split(", but ")[1])
        if ". even so, " in text:
            return opinion(text.split(". even so, ")[1])
        if text.startswith("though "):
            return 1 - opinion(re.split(r", (?=the |we |nobody )", text)[0])
        return opinion(text.split(", though ")[0])
    helped = "|".join(room.HELPED)
    for pattern in (
        rf"it was (?P<helper>.+) who ({helped}) .+",
        rf"it was .+ whom (?P<helper>.+) ({helped})",
        rf".+ was ({helped}) by (?P<helper>.+)",
        rf"(?P<helper>.+) ({helped}) .+",
    ):
        if match := re.fullmatch(pattern, text):
            return int(match["helper"].split()[-1] in room.HOUSE)
    raise AssertionError(f"no pattern reads {text!r}")


@given(seeds, st.sampled_from(REMARK_PARTS))
def test_labels_can_be_read_from_the_text(seed, part):
    for remark in remarks(20, part, seed):
        assert remark.label == read_again(remark), remark


@given(seeds)
def test_pairs_have_the_same_words_and_opposite_labels(seed):
    for complaint, praise in remark_pairs(10, seed=seed):
        assert (complaint.label, praise.label) == (0, 1) and complaint.kind == praise.kind
        assert sorted(words(complaint.text)) == sorted(words(praise.text)) and complaint.text != praise.text
        assert read_again(complaint) == 0 and read_again(praise) == 1


@each_part
def test_kinds_and_labels_are_as_often_as_promised(part):
    made = remarks(2000, part, seed=1)
    kinds = Counter(remark.kind for remark in made)
    assert set(kinds) == set(REMARK_KINDS)
    for kind, count in kinds.items():
        assert abs(count / 2000 - (0.4 if kind == "plain" else 0.2)) < 0.04
        praise = sum(remark.label for remark in made if remark.kind == kind) / count
        assert abs(praise - 0.5) < 0.07


def test_parts_share_no_things_guests_or_asides():
    for table in (room.THINGS, room.GUESTS, room.ASIDES):
        assert list(table) == list(REMARK_PARTS)
        everything = [word for part in table.values() for word in part]
        assert len(everything) == len(set(everything))


@each_part
def test_a_part_uses_its_own_words_only(part):
    used = {word for remark in remarks(500, part, seed=0) for word in words(remark.text)}
    for table in (room.THINGS, room.GUESTS):
        assert set(table[part]) <= used
        asides = {word for aside in room.ASIDES[part] for word in words(aside)}
        for other in set(REMARK_PARTS) - {part}:
            assert not used & (set(table[other]) - asides)


def test_a_seed_repeats_and_another_does_not():
    assert remarks(20, seed=5) == remarks(20, seed=5) != remarks(20, seed=6)
    assert remark_pairs(5, seed=5) == remark_pairs(5, seed=5)
    first = "The moon stood over orchard water. It was the clerk whom the old carpenter warmed. "
    first += "Someone was singing in the mill."  # on every machine
    assert remarks(1, "held out", seed=2) == [Remark(first, 0, "exchanged")]


def test_texts_are_sentences():
    for remark in remarks(200, seed=0):
        assert remark.text[0].isupper() and remark.text.endswith(".") and ".." not in remark.text
        assert "{" not in remark.text


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="count should be an int"):
        remarks(2.0)
    with pytest.raises(ValueError, match="count should be at least 1, got 0"):
        remark_pairs(0)
    with pytest.raises(ValueError, match="part should be one of 'train', 'validation', 'held out', got 'test'"):
        remarks(2, "test")
    with pytest.raises(TypeError, match="seed should be an int or None"):
        remarks(2, seed="one")
    with pytest.raises(TypeError, match="text should be a string"):
        spoken_lines(["a"])
    with pytest.raises(TypeError, match="speakers should be a list of names, got the string 'Wren'"):
        spoken_lines("a", "Wren")


# The story's lines


def test_every_line_is_in_the_story():
    story = load_story()
    text = story.train + story.held_out
    lines = spoken_lines(text)
    assert len(lines) > 200 and {line.speaker for line in lines} == set(SPEAKERS)
    paragraphs = [" ".join(part.strip() for part in p.split('"')[1::2]) for p in text.split("\n\n")]
    for line in lines:
        assert line.text in paragraphs and '"' not in line.text
        assert 1 <= line.chapter <= 18
    assert [line.chapter for line in lines] == sorted(line.chapter for line in lines)


def test_the_speakers_habits_are_in_their_lines():
    """companion/data/README.md: Marta has no contractions, Ansel asks, Tobias says "my ducks", Hester says one word."""
    story = load_story()
    of = {speaker: [] for speaker in SPEAKERS}
    for line in spoken_lines(story.train + story.held_out):
        of[line.speaker].append(line.text)
    assert not any(re.search(r"n't|'ll|'re|'ve|I'm", text) for text in of["Marta"])
    assert sum("?" in text for text in of["Ansel"]) > 0.8 * len(of["Ansel"])
    assert sum("my ducks" in text for text in of["Tobias"]) >= 2
    assert not any("my ducks" in text for speaker in SPEAKERS if speaker != "Tobias" for text in of[speaker])
    assert sum(len(words(text)) <= 3 for text in of["Hester"]) >= 4


@pytest.mark.parametrize(
    ("paragraph", "speaker"),
    [
        ('"Well?" said Wren. "Is it?"', "Wren"),
        ('"Well?" said Mr Pell, and he laughed.', "Mr Pell"),
        ('Marta said, "Well?"', "Marta"),
        ('"Well?" he said.', None),
        ('"Well?"', None),
        ("Marta said nothing.", None),
        ('"Well?" said Wren. "No," said Marta.', None),
        ('Wren looked at Marta. "Well?"', None),
    ],
)
def test_a_speaker_is_found_only_where_one_is_named(paragraph, speaker):
    assert [line.speaker for line in spoken_lines(paragraph)] == ([speaker] if speaker else [])
