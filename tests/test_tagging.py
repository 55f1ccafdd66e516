"""Tags for capitals and punctuation: there and back, the scores, and the windows a tagger trains on."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion.tagging import RestorationTags, TaggedWindows, TagScore
from companion.text import Vocabulary, load_story
from companion.training import fit
from tests import strategies  # noqa: F401  loads the settings of hypothesis

TAGS = RestorationTags()

# Texts that tags can say in full: words, single spaces, one mark at most after a character, none in front.
letters = st.sampled_from("abcxyzABCXYZ019'-éÉΩω")
some_marks = st.sampled_from(["", "", "", ",", ".", "?", "!"])
words = st.lists(st.tuples(letters, some_marks), min_size=1, max_size=9)
sayable = st.lists(words.map(lambda pairs: "".join(a + b for a, b in pairs)), max_size=8).map(" ".join)

# There and back


def test_a_sentence_by_hand():
    plain, tags = TAGS.encode("Well, I\nsaid: \"Go!\"")
    assert plain == "well i said go"
    names = [TAGS.names[tag] for tag in tags]
    assert names == ["capital", "-", "-", ",", "-", "capital", "-", "-", "-", "-", "-", "-", "capital", "!"]
    assert TAGS.decode(plain, tags) == "Well, I said Go!"


def test_a_capital_may_carry_a_mark():
    plain, tags = TAGS.encode("Am I?")
    assert (plain, TAGS.names[tags[-1]]) == ("am i", "capital ?")


@given(sayable)
def test_what_tags_can_say_comes_back_exactly(text):
    plain, tags = TAGS.encode(text)
    assert TAGS.decode(plain, tags) == text
    assert plain == re.sub("[,.?!]", "", text).lower()
    assert (len(tags), tags.dtype) == (len(plain), torch.int64)


@given(st.text(max_size=60))
def test_any_text_is_said_as_far_as_tags_go(text):
    plain, tags = TAGS.encode(text)
    restored = TAGS.decode(plain, tags)
    assert re.findall(r"[\w'-]", restored) == re.findall(r"[\w'-]", text)  # no letter is lost
    again = TAGS.encode(restored)
    assert again[0] == plain and torch.equal(again[1], tags)  # and nothing is lost twice
    assert not re.search(r"[,.?!\"]", plain) and int(tags.sum()) >= 0


@given(sayable, st.integers(0, 99))
def test_any_tags_of_a_plain_text_can_be_put_back(text, seed):
    plain, _ = TAGS.encode(text)
    tags = torch.randint(len(TAGS), (len(plain),), generator=torch.Generator().manual_seed(seed))
    restored = TAGS.decode(plain, tags)
    assert re.sub("[,.?!]", "", restored).lower() == plain
    flags = TAGS.flags(tags)
    can_be_capital = torch.tensor([character.upper() != character for character in plain], dtype=torch.bool)
    _, found = TAGS.encode(restored)
    assert torch.equal(TAGS.flags(found)[:, 1:], flags[:, 1:])
    assert torch.equal(TAGS.flags(found)[:, 0], flags[:, 0] & can_be_capital)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", ""),
        ("...", ""),
        (", so", " so"),
        ("What?! No...", "What? No."),
        ('"(Yes)"', "Yes"),
        ("a \n\n b", "a b"),
        ("straße ẞ İ ǅ", "straße ẞ İ ǅ"),  # letters whose small form does not lead back stay as they are
    ],
)
def test_what_tags_cannot_say(text, said):
    assert TAGS.decode(*TAGS.encode(text)) == said


def test_the_story_comes_back_but_for_quotation_marks_and_paragraphs():
    for text in load_story():
        expected = re.sub(r"\s+", " ", text.replace('"', ""))
        assert TAGS.decode(*TAGS.encode(text)) == expected


@pytest.mark.parametrize(
    "marks, names", [(".", ("-", ".", "capital", "capital .")), (";:", None), ("]^", None), ("\\", None)]
)
def test_other_marks(marks, names):
    tags = RestorationTags(marks)
    assert len(tags) == 2 * (len(marks) + 1) and names in (None, tags.names)
    text = f"One{marks[0]} two{marks[-1]}"
    assert tags.decode(*tags.encode(text)) == text


@pytest.mark.parametrize(
    "call, error, match",
    [
        (lambda: RestorationTags([","]), TypeError, "marks should be a string of .*, got a list"),
        (lambda: RestorationTags(""), ValueError, "marks should be different punctuation marks"),
        (lambda: RestorationTags(",,"), ValueError, "got ',,'"),
        (lambda: RestorationTags(",a"), ValueError, "got ',a'"),
        (lambda: RestorationTags("-"), ValueError, "none of them an apostrophe or a hyphen"),
        (lambda: TAGS.encode(3), TypeError, "text should be a string, got a int"),
        (lambda: TAGS.decode(None, []), TypeError, "plain should be a string, got a NoneType"),
        (lambda: TAGS.decode("ab", [0]), ValueError, "tags should be one for each of 2 characters, got 1"),
        (lambda: TAGS.decode("ab", [0, 10]), ValueError, "tags should be from 0 to 9, got 0 to 10"),
        (lambda: TAGS.flags(torch.tensor([-100, 2])), ValueError, "from 0 to 9, got -100 to 2"),
        (lambda: TAGS.scores(torch.tensor([0, 1]), torch.tensor([0])), ValueError, r"\(2,\) and \(1,\)"),
    ],
)
def test_what_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


# Scores


def test_a_score_by_hand():
    found = torch.tensor([True, True, True, False, False])
    present = torch.tensor([True, False, False, True, False])
    assert TagScore.of(found, present) == pytest.approx((1 / 3, 1 / 2, 2 / 5, 2))
    assert TagScore.of(~present, present) == (0.0, 0.0, 0.0, 2)
    nothing = torch.zeros(5, dtype=torch.bool)
    assert TagScore.of(nothing, nothing) == (0.0, 0.0, 0.0, 0)
    assert TagScore.of(present, present) == (1.0, 1.0, 1.0, 2)


def test_scores_go_by_kind():
    _, present = TAGS.encode("I, you. He")
    _, found = TAGS.encode("I you, He.")
    scores = TAGS.scores(found, present)
    assert tuple(scores) == TAGS.kinds == ("capital", ",", ".", "?", "!")
    assert scores["capital"].f1 == 1.0 and scores["capital"].count == 2
    assert scores["."] == (0.0, 0.0, 0.0, 1) and scores["?"].count == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=50))
def test_scores_keep_their_definitions(pairs):
    found, present = torch.tensor(pairs).T
    for score in TAGS.scores(found, present).values():
        assert 0 <= min(score[:3]) <= max(score[:3]) <= 1
        total = score.precision + score.recall
        assert score.f1 == pytest.approx(2 * score.precision * score.recall / total if total else 0)
    swapped = TAGS.scores(present, found)
    for kind, score in TAGS.scores(found, present).items():
        assert swapped[kind][:3] == pytest.approx((score.recall, score.precision, score.f1))


# Windows


@given(st.integers(20, 200), st.integers(1, 4), st.integers(1, 10), st.integers(0, 99))
def test_windows_are_cut_from_the_text_and_do_not_overlap(length, batch_size, num_steps, seed):
    torch.manual_seed(seed)
    tokens = torch.arange(length)
    if (length - 2 * num_steps + 1) // num_steps + 1 < batch_size:
        return
    windows = TaggedWindows(tokens, 2 * tokens, batch_size, num_steps)
    batches = list(windows)
    assert len(batches) == len(windows)
    assert all(x.shape == y.shape == (num_steps, batch_size) and torch.equal(y, 2 * x) for x, y in batches)
    assert all(bool((x.diff(dim=0) == 1).all()) for x, _ in batches)
    seen = torch.cat([x.flatten() for x, _ in batches])
    assert len(seen.unique()) == len(seen)


def test_every_place_of_the_text_has_its_turn():
    torch.manual_seed(0)
    windows = TaggedWindows(torch.arange(19), torch.arange(19), 1, 4)
    seen = {int(place) for _ in range(60) for x, _ in windows for place in x}
    assert seen == set(range(19))


def test_the_seed_repeats_the_windows():
    windows = TaggedWindows(torch.arange(100), torch.arange(100), 2, 5)
    passes = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        passes.append(torch.stack([x for x, _ in windows]))
    assert torch.equal(passes[0], passes[1]) and not torch.equal(passes[0], passes[2])


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        (([1, 2], torch.arange(2), 1, 1), TypeError, "tokens should be a 1-D tensor of token numbers"),
        ((torch.arange(9), [1] * 9, 1, 1), TypeError, "tags should be a tensor of tag numbers, got a list"),
        ((torch.arange(9), torch.ones(9), 1, 1), TypeError, "got torch.float32"),
        ((torch.arange(9), torch.arange(8), 1, 1), ValueError, "tags should be one for each of 9 tokens"),
        ((torch.arange(9), torch.arange(9), 0, 1), ValueError, "batch_size should be greater than zero"),
        ((torch.arange(9), torch.arange(9), 1, 2.0), TypeError, "num_steps should be an int"),
        ((torch.arange(9), torch.arange(9), 3, 4), ValueError, "fill batch_size=3 windows of 4, got 9"),
    ],
)
def test_windows_refuse(arguments, error, match):
    with pytest.raises(error, match=match):
        TaggedWindows(*arguments)


def test_fit_trains_on_them():
    """The capitals of a made-up text are easy to learn, in part, from the letter alone."""
    plain, tags = TAGS.encode("Aha. Oho. Uhu. " * 40)
    vocabulary = Vocabulary(plain)
    table = nn.Embedding(len(vocabulary), len(TAGS))

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = table

        def forward(self, tokens, state=None):
            return self.table(tokens), state

    torch.manual_seed(0)
    windows = TaggedWindows(vocabulary.encode(plain), tags, 4, 10)
    history = fit(Table(), windows, epochs=20, learning_rate=0.1, progress=False)
    assert history.train[-1] < 0.7 < history.train[0]
