"""BIO tags and spans: there and back, what may follow what, and scores counted by hand."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion.spans import (
    Span,
    bio_tags,
    bio_transitions,
    count_illegal,
    span_f1,
    span_scores,
    spans_to_tags,
    tags_to_spans,
)
from tests import strategies  # noqa: F401  loads the settings of hypothesis

TAGS = bio_tags(["person", "place"])
sentences = st.lists(st.sampled_from(TAGS), max_size=8)


def test_spans_of_a_legal_sentence():
    tags = ["B-person", "I-person", "O", "B-place", "B-place", "I-place"]
    assert tags_to_spans(tags) == [Span("person", 0, 2), Span("place", 3, 4), Span("place", 4, 6)]
    assert tags_to_spans([]) == [] and tags_to_spans(["O"]) == []


def test_an_illegal_i_begins_a_span():
    assert tags_to_spans(["I-person", "I-person", "I-place"]) == [Span("person", 0, 2), Span("place", 2, 3)]
    assert tags_to_spans(["B-person", "O", "I-person"]) == [Span("person", 0, 1), Span("person", 2, 3)]


@given(sentences)
def test_there_and_back(tags):
    """Legal tags come back; illegal ones come back legal, with the same spans."""
    spans = tags_to_spans(tags)
    again = spans_to_tags(reversed(spans), len(tags))
    assert (again == tags) == (count_illegal(tags) == 0)
    assert count_illegal(again) == 0 and tags_to_spans(again) == spans


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_rules_count_as_illegal_what_they_forbid(length):
    allowed, start = bio_transitions(TAGS)
    for path in product(range(len(TAGS)), repeat=length):
        broken = int(not start[path[0]]) + sum(int(not allowed[pair]) for pair in pairwise(path))
        assert count_illegal([TAGS[tag] for tag in path]) == broken


def test_the_rules_do_not_depend_on_the_order_of_tags():
    allowed, start = bio_transitions(TAGS[::-1])
    same, same_start = bio_transitions(TAGS)
    assert torch.equal(allowed.flip(0, 1), same) and torch.equal(start.flip(0), same_start)


def test_scores_counted_by_hand():
    present = [["B-person", "I-person", "O"], ["B-place", "O", "B-place"], ["O"]]
    found = [["B-person", "O", "O"], ["B-place", "O", "B-person"], ["B-place"]]
    scores = span_scores(found, present)
    assert list(scores) == ["person", "place", "all"]
    assert scores["person"][:2] == (0.0, 0.0) and scores["person"].count == 1
    assert scores["place"] == (1 / 2, 1 / 2, 1 / 2, 2)
    assert scores["all"] == (1 / 4, 1 / 3, 2 / 7, 3) and span_f1(found, present) == 2 / 7


@given(sentences, sentences)
def test_f1_is_one_where_all_is_right_and_symmetric(one, other):
    other = (other + ["O"] * len(one))[: len(one)]
    assert span_f1([one], [one]) == (1.0 if tags_to_spans(one) else 0.0)
    assert span_f1([one], [other]) == span_f1([other], [one])


def test_the_same_place_in_another_sentence_is_not_right():
    assert span_f1([["B-date"], ["O"]], [["O"], ["B-date"]]) == 0.0


def test_nothing_to_find():
    assert span_scores([["O"]], [["O"]]) == {"all": (0.0, 0.0, 0.0, 0)}


@pytest.mark.parametrize("function", [tags_to_spans, count_illegal, bio_transitions])
@pytest.mark.parametrize("tag", ["", "B", "I-", "X-person", "person"])
def test_what_is_no_tag_is_refused(function, tag):
    with pytest.raises(ValueError, match="tags should be 'O', 'B-label' or 'I-label'"):
        function(["O", tag])


@pytest.mark.parametrize("labels", [["date", "date"], [""]])
def test_bad_labels_are_refused(labels):
    with pytest.raises(ValueError, match="labels should be different and not empty"):
        bio_tags(labels)


@pytest.mark.parametrize("spans", [[Span("a", 1, 1)], [Span("a", -1, 1)], [Span("a", 2, 4)]])
def test_spans_outside_are_refused(spans):
    with pytest.raises(ValueError, match="spans should lie within 3 words"):
        spans_to_tags(spans, 3)


def test_overlapping_spans_are_refused():
    with pytest.raises(ValueError, match="spans should not overlap"):
        spans_to_tags([Span("a", 0, 2), Span("b", 1, 3)], 3)


def test_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="found should have 2 sentences"):
        span_f1([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="found should have 2 tags in sentence 0, got 1"):
        span_f1([["O"]], [["O", "O"]])
