"""The checks of *Text generation* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch

from companion.checks import text_generation
from companion.decoding import beam_search, keep_top_k

# Right answers, each in another way than the check's own


def keep_likely(logits, share):
    keep = logits >= logits.max(-1, keepdim=True).values + math.log(share)
    return torch.where(keep, logits, -torch.inf)


def copied_share(text, source, length):
    marked = set()
    for start in range(len(text)):
        run = text[start : start + length]
        if len(run) == length and run in source:
            marked |= set(range(start, start + length))
    return len(marked) / len(text)


def rule_out_repeats(logits, written, length):
    grams = {tuple(written[start : start + length]) for start in range(len(written) - length + 1)}
    beginning = tuple(written[len(written) - length + 1 :])
    repeated = torch.tensor([(*beginning, token) in grams for token in range(len(logits))])
    return logits.masked_fill(repeated, -torch.inf)


def best_of_all(step, state, start, length):
    V = step(torch.tensor([start]), state)[0].shape[1]
    best = beam_search(step, state, start, width=V**length, max_length=length)[0]
    return best.tokens, best.log_probability


RIGHT = {
    "beam_by_hand": [(("bca", "bcb"), (0.18, 0.108)), (["bca", "bcb"], [0.18, 0.11])],
    "keep_likely": [(keep_likely,)],
    "copied_share": [(copied_share,)],
    "rule_out_repeats": [(rule_out_repeats,)],
    "best_of_all": [(best_of_all,)],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(text_generation, f"check_{name}")(*answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(text_generation.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(text_generation.__all__)


# Wrong answers, as people give them


def keep_absolute(logits, share):
    return logits.masked_fill(logits.softmax(-1) < share, -torch.inf)


def one_bar_for_all(logits, share):
    return logits.masked_fill(logits.softmax(-1) < share * logits.softmax(-1).max(), -torch.inf)


def counted_twice(text, source, length):
    found = [text[start : start + length] in source for start in range(len(text) - length + 1)]
    return length * sum(found) / len(text)


def with_short_ends(text, source, length):
    marked = set()
    for start in range(len(text)):
        if text[start : start + length] in source:
            marked |= set(range(start, min(start + length, len(text))))
    return len(marked) / len(text)


def only_the_last(logits, written, length):
    result = logits.clone()
    if len(written) >= length:
        result[written[-1]] = -torch.inf
    return result


def no_case_for_one(logits, written, length):
    beginning = written[-(length - 1) :]  # all of it if length is 1
    result = logits.clone()
    for start in range(len(written) - length + 1):
        if written[start : start + length - 1] == beginning:
            result[written[start + length - 1]] = -torch.inf
    return result


def greedy(step, state, start, length):
    best = beam_search(step, state, start, width=1, max_length=length)[0]
    return best.tokens, best.log_probability


def beam_of_2(step, state, start, length):
    best = beam_search(step, state, start, width=2, max_length=length)[0]
    return best.tokens, best.log_probability


def same_state_for_all(step, state, start, length):
    if length == 0:
        return (), 0.0
    scores, _ = step(torch.tensor([start]), state)
    rest = {token: same_state_for_all(step, state, token, length - 1) for token in range(scores.shape[1])}
    best = max(rest, key=lambda token: scores[0, token] + rest[token][1])
    return (best, *rest[best][0]), scores[0, best].item() + rest[best][1]


WRONG = [
    ("beam_by_hand", (("bca", "aaa"), (0.18, 0.096)), "the two texts", "not it"),
    ("beam_by_hand", (("bca", "bcb"), (0.5, 0.3)), "their chances", "not it"),
    ("keep_likely", (keep_absolute,), "a share of 0.1", "off"),
    ("keep_likely", (one_bar_for_all,), "a sure row and an unsure one", "off"),
    ("keep_likely", (lambda logits, share: keep_top_k(logits, 3),), "a share of 0.1", "off"),
    ("copied_share", (counted_twice,), "two runs that overlap", "off"),
    ("copied_share", (with_short_ends,), "two runs that overlap", "off"),
    ("rule_out_repeats", (only_the_last,), "pairs, 0 1 0", "off"),
    ("rule_out_repeats", (no_case_for_one,), "single tokens", "off"),
    ("best_of_all", (greedy,), "3 tokens, length 4", ""),
    ("best_of_all", (beam_of_2,), "3 tokens, length 4", ""),
    ("best_of_all", (same_state_for_all,), "3 tokens, length 4", ""),
]
SECRETS = {
    "beam_by_hand": ["bca", "bcb", "0.18", "0.11"],
    "keep_likely": ["log(", ".log", "difference"],
    "copied_share": ["set(", "True"],
    "rule_out_repeats": ["len(written)", "inf"],
    "best_of_all": ["best_of_all(", "max("],
}


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(text_generation, f"check_{name}")(*answer) is False
    printed = capsys.readouterr().out
    first, _, hint = printed.partition("\nHint: ")
    assert first.startswith(f"Not yet. On {case}"), printed
    assert words in first, printed
    assert hint and [secret for secret in SECRETS[name] if secret in hint] == []
