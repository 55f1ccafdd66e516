"""The checks of *From sound to digits* pass right answers, and say what is wrong with typical wrong ones."""

import math

import pytest
import torch

from companion.checks import speech
from companion.ctc import greedy_decode

# Right answers, each in another way than the check's own


def snr(tones, noise):
    return 20 * torch.log10(tones.pow(2).mean().sqrt() / noise.pow(2).mean().sqrt())


def least_steps(labels):
    return sum(1 + (place > 0 and labels[place - 1] == label) for place, label in enumerate(labels))


def count_paths(num_steps, labels, may_skip=True):
    states = [0] + [each for label in labels for each in (label, 0)]
    counts = [1] + [0] * (len(states) - 1)
    for _ in range(num_steps):
        new = []
        for s, label in enumerate(states):
            ways = counts[s] + (counts[s - 1] if s else 0)
            if may_skip and s > 1 and label and label != states[s - 2]:
                ways += counts[s - 2]
            new.append(ways)
        counts = new
    return sum(counts[-2:])


def best_alignment(log_probs, labels):
    states = [0] + [each for label in labels for each in (label, 0)]
    best = {0: (0.0, [])}
    for step in log_probs.tolist():
        new = {}
        for s, label in enumerate(states):
            ways = [s, s - 1] + [s - 2] * (s > 1 and label != 0 and label != states[s - 2])
            score, path = max((best[way] for way in ways if way in best), default=(-math.inf, None))
            if path is not None:
                new[s] = (score + step[label], [*path, label])
        best = new
    ends = [best[s] for s in (len(states) - 1, len(states) - 2) if s in best]
    return max(ends)[1]


def bold_decode(log_probs, input_lengths, penalty):
    shifted = torch.cat([log_probs[..., :1] - penalty, log_probs[..., 1:]], -1)
    return greedy_decode(shifted, input_lengths)


RIGHT = [snr, least_steps, count_paths, best_alignment, bold_decode]


@pytest.mark.parametrize("answer", RIGHT, ids=lambda answer: answer.__name__)
def test_a_right_answer_passes(answer, capsys):
    assert getattr(speech, f"check_{answer.__name__}")(answer) is True
    assert "Right" in capsys.readouterr().out


def count_through_equal_labels(num_steps, labels):
    """As if a blank between equal labels could be skipped."""
    return count_paths(num_steps, [2 * place + label for place, label in enumerate(labels)])


def bold_in_place(log_probs, input_lengths, penalty):
    log_probs[..., 0] -= penalty
    return greedy_decode(log_probs, input_lengths)


def greedy(log_probs, labels):
    return log_probs.argmax(-1).tolist()


WRONG = [
    ("snr", lambda tones, noise: 10 * torch.log10(tones.std() / noise.std()), "two sounds of one power", "numbers are"),
    ("snr", lambda a, b: 10 * (a.square().mean() / b.square().mean()).log(), "noise of a tenth", "numbers are off"),
    ("snr", lambda a, b: 10 * torch.log10(a.square().sum() / b.square().sum()), "sounds of different", "numbers are"),
    ("least_steps", len, "a label said twice", "got 2"),
    ("least_steps", lambda labels: 2 * len(labels) - 1, "1 2 3", "got 5"),
    ("least_steps", lambda x: 2 * len(x) - len(set(x)), "equal labels that are not neighbors", "got 4"),
    ("count_paths", lambda steps, labels: count_paths(steps, labels, False), "as many steps as labels", "got 0"),
    ("count_paths", count_through_equal_labels, "a repeated label", "got"),
    ("best_alignment", greedy, "", "got"),
    ("bold_decode", lambda x, lengths, penalty: greedy_decode(x, lengths), "a penalty of 1", "the labels"),
    ("bold_decode", lambda x, lengths, penalty: greedy_decode(x - penalty, lengths), "a penalty of 1", "the labels"),
    ("bold_decode", bold_in_place, "a penalty of 1", "log_probs afterwards"),
]


@pytest.mark.parametrize("name, answer, case, words", WRONG)
def test_a_wrong_answer_learns_what_is_wrong_and_where(name, answer, case, words, capsys):
    assert getattr(speech, f"check_{name}")(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"Not yet. On {case}"), printed
    assert words in printed.splitlines()[0], printed
    assert printed.splitlines()[1].startswith("Hint: ")
