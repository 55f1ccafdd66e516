"""What a loss means, perplexity and bits a character; and the longest run that one text copied from another."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from companion import bits_per_character, load_story, perplexity
from companion.metrics import distinct_share, longest_copied_run
from tests import strategies  # noqa: F401  loads the settings of hypothesis


@pytest.mark.parametrize("size", [2, 29, 50_000])
def test_a_uniform_guess_has_the_vocabulary_as_its_perplexity(size):
    loss = F.cross_entropy(torch.zeros(4, size), torch.tensor([0, 1, 1, 0])).item()
    assert perplexity(loss) == pytest.approx(size, rel=1e-5)
    assert bits_per_character(loss) == pytest.approx(math.log2(size), rel=1e-5)


def test_a_certain_guess_has_perplexity_1_and_needs_no_bits():
    assert perplexity(0.0) == 1
    assert bits_per_character(0.0) == 0


def test_perplexity_is_two_to_the_bits():
    assert perplexity(1.7) == pytest.approx(2 ** bits_per_character(1.7))


# What was copied

few_letters = st.text("ab ", max_size=14)  # few, so that runs repeat and overlap


def all_runs(text):
    """Every run of a text, the empty one among them."""
    return {text[start:end] for start in range(len(text) + 1) for end in range(start, len(text) + 1)}


@given(few_letters, few_letters)
def test_the_longest_copied_run_is_the_longest_of_all_that_both_have(text, source):
    run = longest_copied_run(text, source)
    shared = all_runs(text) & all_runs(source)
    assert run in shared
    assert len(run) == max(map(len, shared))
    assert text.index(run) == min(text.index(other) for other in shared if len(other) == len(run))  # the first


@given(few_letters, few_letters, few_letters)
def test_what_was_pasted_in_is_found(before, run, after):
    assert len(longest_copied_run(before + run + after, f"#{run}#")) >= len(run)


@given(few_letters, few_letters)
def test_its_length_is_the_same_both_ways(text, source):
    assert len(longest_copied_run(text, source)) == len(longest_copied_run(source, text))


def test_a_text_copied_whole_is_found_whole():
    story = load_story().train
    assert longest_copied_run(story[7000:18000], story) == story[7000:18000]
    assert longest_copied_run("#" + story[7000:9000] + "#", story) == story[7000:9000]


@pytest.mark.parametrize("text, source, run", [("", "abc", ""), ("abc", "", ""), ("abc", "xyz", ""), ("abc", "c", "c")])
def test_little_or_nothing_in_common(text, source, run):
    assert longest_copied_run(text, source) == run


@pytest.mark.parametrize("name, arguments", [("text", (["a"], "a")), ("source", ("a", b"a")), ("text", (None, "a"))])
def test_what_is_no_string_is_named(name, arguments):
    with pytest.raises(TypeError, match=f"{name} should be a string"):
        longest_copied_run(*arguments)


# What is repeated


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 4))
def test_the_distinct_share_counts_every_ngram_once(tokens, length):
    if len(tokens) < length:
        return
    seen = []
    for start in range(len(tokens) - length + 1):
        if tokens[start : start + length] not in seen:
            seen.append(tokens[start : start + length])
    assert distinct_share(tokens, length) == pytest.approx(len(seen) / (len(tokens) - length + 1))


def test_one_word_again_and_again_has_one_pair():
    assert distinct_share(["go"] * 11) == pytest.approx(0.1)
    assert distinct_share("abcdef", 3) == 1


@pytest.mark.parametrize("name, arguments", [("length", ("abc", 0)), ("tokens", ("abc", 4)), ("tokens", ("", 1))])
def test_a_distinct_share_of_nothing_is_an_error(name, arguments):
    with pytest.raises(ValueError, match=f"{name} should be"):
        distinct_share(*arguments)
