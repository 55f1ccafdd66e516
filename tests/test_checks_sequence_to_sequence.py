"""The checks of *Sequence to sequence* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from companion.attention import DotProductAttention
from companion.checks import sequence_to_sequence

# Right answers, each in another way than the check's own

SIGNS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2}
UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}


def attention_entropy(weights):
    return -(weights * weights.clamp(min=1e-30).log2()).sum(-1)


def read_chinese(text):
    total = current = 0
    for sign in text:
        if sign in UNITS:
            total, current = total + (current or 1) * UNITS[sign], 0
        elif sign in SIGNS:
            current = SIGNS[sign]
        else:
            return None
    return total + current


def read_elided(text):
    if len(text) < 3 or text[-2] not in "百千万" or text[-1] not in SIGNS:
        return None
    return read_chinese(text[:-1]) + SIGNS[text[-1]] * UNITS[text[-2]] // 10


def mix_reads(targets, guesses, coin, start):
    written = guesses * coin + targets * ~coin
    return torch.cat([torch.full_like(targets[:1], start), written[:-1]])


def two_heads(query, keys, mask):
    half = query.shape[-1] // 2
    parts = [DotProductAttention()(query[..., cut], keys[..., cut], mask=mask)[0]
             for cut in (slice(0, half), slice(half, None))]  # fmt: skip
    return torch.cat(parts, -1)


RIGHT = {
    "attention_entropy": [attention_entropy, lambda w: torch.special.entr(w).sum(-1) / math.log(2)],
    "read_elided": [read_elided],
    "mix_reads": [mix_reads],
    "two_heads": [two_heads],
}


@pytest.mark.parametrize("name, answer", [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_passes(name, answer, capsys):
    before = torch.get_rng_state()
    assert getattr(sequence_to_sequence, f"check_{name}")(answer) is True
    assert capsys.readouterr().out.startswith("Right, on all")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_is_tried():
    assert sorted(f"check_{name}" for name in RIGHT) == sorted(sequence_to_sequence.__all__)
    assert {f"check_{name}" for name, *_ in WRONG} == set(sequence_to_sequence.__all__)


# Wrong answers, as people give them


def shifted_before_choosing(targets, guesses, coin, start):
    shifted = torch.cat([torch.full_like(targets[:1], start), targets[:-1]])
    return torch.where(coin, guesses, shifted)


def one_scale_for_both(query, keys, mask):
    scale = 1 / math.sqrt(query.shape[-1])
    heads = (part.view(*part.shape[:2], 2, -1).permute(1, 2, 0, 3) for part in (query, keys, keys))
    found = F.scaled_dot_product_attention(*heads, mask.T[:, None, None], scale=scale)
    return found.permute(2, 0, 1, 3).flatten(2)


def without_a_mask(query, keys, mask):
    return two_heads(query, keys, torch.ones_like(mask))


WRONG = [
    ("attention_entropy", lambda w: -(w * w.log2()).sum(-1), "weights with padding", "numbers are off"),
    ("attention_entropy", lambda w: torch.special.entr(w).sum(-1), "even weights", "numbers are off"),
    ("attention_entropy", lambda w: torch.special.entr(w).sum(), "even weights", "shape (1, 2)"),
    ("read_elided", read_chinese, "三万五", "got 30005"),
    ("read_elided", lambda text: 10 * read_chinese(text), "三万五", "got 300050"),
    ("read_elided", lambda text: read_elided(text) or read_chinese(text), "三万零五", "got 30005"),
    ("mix_reads", lambda t, g, coin, start: torch.where(coin, g, t), "a coin that never", "numbers are off"),
    ("mix_reads", shifted_before_choosing, "a coin that always does", "numbers are off"),
    ("two_heads", lambda q, k, mask: DotProductAttention()(q, k, mask=mask)[0], "no padding", "numbers are off"),
    ("two_heads", one_scale_for_both, "no padding", "numbers are off"),
    ("two_heads", without_a_mask, "lengths 5, 2 and 3", "numbers are off"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(sequence_to_sequence, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
