"""The reports: legal tags, names held out, seeds that repeat, and bad input refused."""

import hashlib
import re
from collections import Counter

import pytest
import torch

from companion.spans import bio_tags, count_illegal, tags_to_spans
from companion.tasks import reports
from companion.tasks.reports import LABELS, PARTS, draw_reports

LISTS = (reports.FORENAMES, reports.SURNAMES, reports.EITHER, reports.GROUNDS, reports.WORDS, reports.FEASTS)


@pytest.fixture(scope="module")
def drawn():
    return {part: draw_reports(1500, part, seed=3) for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_tags_are_legal_and_all_occur(drawn, part):
    tags = Counter(tag for report in drawn[part] for tag in report.tags)
    assert set(tags) == set(bio_tags(LABELS))
    for report in drawn[part]:
        assert len(report.words) == len(report.tags) and count_illegal(report.tags) == 0
        assert not re.search(r"[{}\s]", "".join(report.words)) and all(report.words)


def names(drawn, part):
    return [
        {word.lower() for word in report.words[span.start : span.end]}
        for report in drawn[part]
        for span in tags_to_spans(report.tags)
        if span.label != "date"
    ]


@pytest.mark.parametrize("part", PARTS[1:])
def test_every_held_out_name_has_a_word_that_training_does_not_hold(drawn, part):
    known = {word.lower() for report in drawn["train"] for word in report.words}
    all_known = {" ".join(name) for name in names(drawn, part) if name <= known}
    assert all_known == {"may", "june"}


def words_of(pair, number):
    found = pair[number]
    return {word.lower() for text in ([found] if isinstance(found, str) else found) for word in text.split()}


def test_the_lists_do_not_meet():
    built = [
        {(stem + ending).lower() for stem in reports.STEMS[k].split() for ending in reports.ENDINGS[k].split()}
        for k in (0, 1)
    ]
    first = set().union(built[0], *(words_of(pair, 0) for pair in LISTS))
    second = set().union(built[1], *(words_of(pair, 1) for pair in LISTS))
    assert first & second == set()
    assert set(reports.YEARS[0]) & set(reports.YEARS[1]) == set()


def test_no_template_is_in_both():
    assert len(set(reports.TEMPLATES) | set(reports.NEW_TEMPLATES)) == 78 == 58 + len(reports.NEW_TEMPLATES)


@pytest.mark.parametrize("part", PARTS)
def test_words_are_ambiguous(drawn, part):
    """Many words are a person in one sentence, and a place or an ordinary word in another."""
    roles = {}
    for report in drawn[part]:
        for word, tag in zip(report.words, report.tags, strict=True):
            roles.setdefault(word.lower(), set()).add(tag[2:])
    assert sum({"person", "place"} <= kinds for kinds in roles.values()) >= 10
    assert sum({"person", ""} <= kinds for kinds in roles.values()) >= 10
    assert sum({"date", ""} <= kinds and word.isdigit() for word, kinds in roles.items()) >= 10


def test_a_sixth_are_telegrams(drawn):
    share = sum("".join(report.words).isupper() for report in drawn["train"]) / 1500
    assert 0.13 < share < 0.21


def test_seeds_repeat_on_every_machine():
    assert draw_reports(20, seed=5) == draw_reports(20, seed=5) != draw_reports(20, seed=6)
    assert draw_reports(20, seed=5)[:10] == draw_reports(10, seed=5)
    torch.manual_seed(4)
    first = draw_reports(5)
    torch.manual_seed(4)
    assert draw_reports(5) == first
    text = " ".join(word for part in PARTS for report in draw_reports(50, part, seed=0) for word in report.words)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "c2db51b6267f8124"


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"count": 0}, ValueError, "count should be at least 1, got 0"),
        ({"count": 2.0}, TypeError, "count should be an int"),
        ({"count": 2, "part": "test"}, ValueError, "part should be one of 'train', 'new names', 'new sentences'"),
        ({"count": 2, "seed": 0.5}, TypeError, "seed should be an int or None"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        draw_reports(**arguments)
