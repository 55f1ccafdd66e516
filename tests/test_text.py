"""Text as numbers: corpora, vocabularies and batches."""

import shutil
import string
from itertools import pairwise
from pathlib import Path

import pooch
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion import (
    RandomBatches,
    SequentialBatches,
    Vocabulary,
    load_story,
    load_time_machine,
    split_tokens,
)
from companion.text import find_time_machine
from tests import strategies  # noqa: F401  loads the settings of hypothesis

TIME_MACHINE = Path(__file__).resolve().parents[2] / "shared" / "data" / "timemachine.txt"

# The story


def test_the_story_is_long_plain_and_partly_held_out():
    train, held_out = load_story()
    assert len(train + held_out) >= 60_000
    assert (train + held_out).isascii()
    assert 0.08 <= len(held_out) / len(train + held_out) <= 0.15
    assert train.startswith("Chapter One") and held_out.startswith("Chapter ")


def test_the_story_repeats_no_paragraph():
    paragraphs = [paragraph.split() for paragraph in "".join(load_story()).split("\n\n") if paragraph.strip()]
    assert len(paragraphs) > 300
    assert [paragraph for paragraph in paragraphs if paragraphs.count(paragraph) > 1] == []


def test_no_character_of_the_held_out_part_is_new():
    train, held_out = load_story()
    vocabulary = Vocabulary(train)
    assert set(held_out) <= set(train)
    assert int((vocabulary.encode(held_out) == 0).sum()) == 0


def test_every_call_gives_the_same_story():
    assert load_story() == load_story()


# The Time Machine


@pytest.fixture
def no_network(monkeypatch):
    """A download fails as it does without a network."""

    def fail(*arguments, **keywords):
        raise OSError("the network is unreachable")

    monkeypatch.setattr(pooch.downloaders.HTTPDownloader, "__call__", fail)


def download(content):
    """A download that gives this."""
    return lambda self, url, output_file, *arguments, **keywords: Path(output_file).write_bytes(content)


@pytest.fixture
def copy_of_the_time_machine(tmp_path):
    if not TIME_MACHINE.is_file():
        pytest.skip("there is no ../shared/data/timemachine.txt, and tests download nothing")
    return Path(shutil.copy(TIME_MACHINE, tmp_path / "timemachine.txt"))


def test_a_file_in_the_folder_is_taken(copy_of_the_time_machine, no_network):
    train, held_out = load_time_machine(copy_of_the_time_machine.parent)
    assert (train + held_out).encode() == copy_of_the_time_machine.read_bytes().replace(b"\r\n", b"\n")
    assert len(held_out) / len(train + held_out) == pytest.approx(0.1, abs=0.005)
    assert train.endswith("\n")


def test_the_environment_names_the_folder(copy_of_the_time_machine, no_network, monkeypatch):
    monkeypatch.setenv("RECURRENT_COMPANION_DATA", str(copy_of_the_time_machine.parent))
    assert load_time_machine() == load_time_machine(copy_of_the_time_machine.parent)


def test_a_file_that_is_there_is_found(copy_of_the_time_machine):
    assert find_time_machine(copy_of_the_time_machine.parent) == copy_of_the_time_machine


def test_no_file_and_another_file_are_not_found(tmp_path):
    assert find_time_machine(tmp_path) is None
    (tmp_path / "timemachine.txt").write_text("The Time Traveller was late.")
    assert find_time_machine(tmp_path) is None


def test_a_download_is_kept(copy_of_the_time_machine, monkeypatch, tmp_path):
    monkeypatch.setattr(pooch.downloaders.HTTPDownloader, "__call__", download(copy_of_the_time_machine.read_bytes()))
    fetched = load_time_machine(tmp_path / "cache")
    assert fetched == load_time_machine(copy_of_the_time_machine.parent)
    assert (tmp_path / "cache" / "timemachine.txt").read_bytes() == copy_of_the_time_machine.read_bytes()


def test_offline_the_error_names_the_story(no_network, tmp_path):
    with pytest.raises(ConnectionError, match=r"Offline, use load_story\(\)"):
        load_time_machine(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_other_bytes_is_not_taken(no_network, tmp_path):
    (tmp_path / "timemachine.txt").write_text("The Time Traveller was late.")
    with pytest.raises(ConnectionError, match="load_story"):
        load_time_machine(tmp_path)


def test_a_download_with_other_bytes_is_not_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(pooch.downloaders.HTTPDownloader, "__call__", download(b"<html>Please log in.</html>"))
    with pytest.raises(ConnectionError, match="load_story"):
        load_time_machine(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Tokens and vocabularies


def test_words_keep_their_apostrophes_and_punctuation_stands_alone():
    text = "\"Don't,\" said Marta; the lock's 2 gates hold."
    assert split_tokens(text, "word") == (
        ['"', "Don't", ",", '"', "said", "Marta", ";", "the", "lock's", "2", "gates", "hold", "."]
    )
    assert split_tokens("A b", "character") == ["A", " ", "b"]


@given(st.text(min_size=1))
def test_characters_round_trip(text):
    vocabulary = Vocabulary(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert sorted(vocabulary.tokens[1:]) == sorted(set(text))


@given(st.lists(st.text(string.ascii_lowercase, min_size=1), min_size=1))
def test_words_round_trip(words):
    text = " ".join(words)
    vocabulary = Vocabulary(text, "word")
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert len(vocabulary) == len(set(words)) + 1


def test_tokens_are_numbered_by_frequency_after_the_unknown_one():
    vocabulary = Vocabulary("bbbaac")
    assert vocabulary.tokens == ["<unk>", "b", "a", "c"]
    numbers = vocabulary.encode("cabx")
    assert numbers.tolist() == [3, 2, 1, 0]
    assert numbers.dtype == torch.int64
    assert vocabulary.decode(numbers) == "cab<unk>"


def test_ties_are_numbered_in_the_same_order_everywhere():
    assert Vocabulary("cabcab").tokens == ["<unk>", "a", "b", "c"]


def test_rare_tokens_become_the_unknown_one():
    vocabulary = Vocabulary("the lock the gate", "word", min_frequency=2)
    assert vocabulary.tokens == ["<unk>", "the"]
    assert vocabulary.decode(vocabulary.encode("the lock")) == "the <unk>"


def test_an_empty_text_encodes_to_no_numbers():
    numbers = Vocabulary("a").encode("")
    assert numbers.shape == (0,)
    assert numbers.dtype == torch.int64


@pytest.mark.parametrize(
    "act, error, name",
    [
        (lambda: Vocabulary(""), ValueError, "text"),
        (lambda: Vocabulary(" ", "word"), ValueError, "text"),
        (lambda: Vocabulary(["a"]), TypeError, "text"),
        (lambda: Vocabulary("a", "letter"), ValueError, "level"),
        (lambda: split_tokens("a", "sentence"), ValueError, "level"),
        (lambda: split_tokens(b"a"), TypeError, "text"),
    ],
)
def test_wrong_arguments_are_named(act, error, name):
    with pytest.raises(error, match=name):
        act()


# Batches

sizes = given(st.integers(0, 120), st.integers(1, 5), st.integers(1, 9))


@sizes
def test_sequential_batches_read_every_token_in_order(extra, batch_size, num_steps):
    tokens = torch.arange(batch_size + 1 + extra)
    batches = SequentialBatches(tokens, batch_size, num_steps)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))  # (length, B)
    used = inputs.numel()
    assert inputs.T.flatten().tolist() == list(range(used))  # stream by stream: nothing is left out or read twice
    assert len(tokens) - 1 - used < batch_size
    assert torch.equal(targets, inputs + 1)


@sizes
def test_sequential_streams_go_on_in_the_next_batch(extra, batch_size, num_steps):
    batches = list(SequentialBatches(torch.arange(batch_size + 1 + extra), batch_size, num_steps))
    assert all(inputs.shape == targets.shape == (num_steps, batch_size) for inputs, targets in batches[:-1])
    assert 1 <= len(batches[-1][0]) <= num_steps
    for (_, targets), (inputs, _) in pairwise(batches):
        assert torch.equal(targets[-1], inputs[0])


@sizes
def test_random_batches_cover_the_text_without_overlap(extra, batch_size, num_steps):
    tokens = torch.arange((batch_size + 1) * num_steps + extra)
    batches = RandomBatches(tokens, batch_size, num_steps)
    torch.manual_seed(extra)
    inputs, targets = (torch.stack(parts) for parts in zip(*batches, strict=True))  # (number, T, B)
    assert inputs.shape[1:] == (num_steps, batch_size)
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs, inputs[:, :1] + torch.arange(num_steps).view(-1, 1))  # windows of neighbors
    assert inputs.unique().numel() == inputs.numel()
    assert len(tokens) - inputs.numel() < (batch_size + 1) * num_steps  # only what fills no batch is left out


@pytest.mark.parametrize("count", [40, 41, 47, 49])
def test_random_batches_read_every_token_in_time(count):
    batches = RandomBatches(torch.arange(count), batch_size=1, num_steps=10)
    torch.manual_seed(0)
    passes = [torch.stack([torch.stack(pair) for pair in batches]) for _ in range(300)]  # (windows, 2, T, 1)
    inputs, targets = torch.cat(passes).unbind(1)
    assert inputs.unique().tolist() == list(range(count - 1))
    assert targets.unique().tolist() == list(range(1, count))


def test_random_batches_differ_between_passes_and_repeat_with_a_seed():
    batches = RandomBatches(torch.arange(1000), 4, 10)

    def one_pass():
        return torch.stack([inputs for inputs, _ in batches])

    torch.manual_seed(0)
    first, second = one_pass(), one_pass()
    torch.manual_seed(0)
    assert torch.equal(one_pass(), first)
    assert not torch.equal(first, second)
    assert first[0, 0].diff().abs().ne(10).any()  # shuffled, not in reading order
    assert (first[0, 0, 0] - second[0, 0, 0]) % 10 != 0  # cut at another offset


@pytest.mark.parametrize("batches", [SequentialBatches, RandomBatches])
def test_batches_have_a_length_and_can_be_read_again(batches):
    batches = batches(torch.arange(100), 3, 7)
    assert len(batches) == len(list(batches)) == len(list(batches))


@pytest.mark.parametrize("batches", [SequentialBatches, RandomBatches])
@pytest.mark.parametrize(
    "tokens, batch_size, num_steps, error, name",
    [
        (torch.arange(3), 3, 2, ValueError, "tokens"),
        (torch.arange(100), 0, 2, ValueError, "batch_size"),
        (torch.arange(100), 3.0, 2, TypeError, "batch_size"),
        (torch.arange(100), 3, 0, ValueError, "num_steps"),
        (torch.arange(100), 3, "2", TypeError, "num_steps"),
        (list(range(100)), 3, 2, TypeError, "tokens"),
        (torch.zeros(10, 10), 3, 2, TypeError, "tokens"),
        (torch.zeros(100), 3, 2, TypeError, "tokens"),
    ],
)
def test_wrong_sizes_are_named(batches, tokens, batch_size, num_steps, error, name):
    with pytest.raises(error, match=name):
        batches(tokens, batch_size, num_steps)


def test_only_sequential_batches_say_that_a_state_goes_on():
    assert SequentialBatches.continues and not RandomBatches.continues
