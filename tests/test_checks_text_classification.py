"""The checks of *Text classification* pass right answers, and say what is wrong with typical wrong ones."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix, f1_score

from companion.checks import text_classification as checks

# Right answers, each in another way than the check's own


def confusion(truth, answers, num_classes):
    return torch.tensor(confusion_matrix(truth, answers, labels=range(num_classes)))


def macro_f1(truth, answers, num_classes):
    return float(f1_score(truth, answers, labels=range(num_classes), average="macro", zero_division=0))


def where_max(output, lengths):
    real = torch.arange(len(output))[:, None, None] < lengths[:, None]
    chosen = torch.where(real, output, -torch.inf).argmax(0)  # (B, F)
    return F.one_hot(chosen, len(output)).float().mean(1).T


def attention_pool(output, scores, lengths):
    real = torch.arange(len(output))[:, None] < lengths
    weights = torch.where(real, scores, -torch.inf).softmax(0)
    return torch.einsum("tb,tbf->bf", weights, output)


RIGHT = {
    checks.check_confusion: confusion,
    checks.check_macro_f1: macro_f1,
    checks.check_where_max: where_max,
    checks.check_attention_pool: attention_pool,
}


@pytest.mark.parametrize("check", RIGHT, ids=lambda check: check.__name__)
def test_a_right_answer_passes(check, capsys):
    assert check(RIGHT[check])
    assert capsys.readouterr().out.startswith("Right, on all")


def transposed(truth, answers, num_classes):
    return confusion(truth, answers, num_classes).T


def one_class_too_few(truth, answers, num_classes):
    return torch.tensor(confusion_matrix(truth, answers))


def accuracy(truth, answers, num_classes):
    return (truth == answers).double().mean().item()


def f1_of_those_that_occur(truth, answers, num_classes):
    return float(f1_score(truth, answers, average="macro", zero_division=0))


def max_with_the_padding(output, lengths):
    return F.one_hot(output.argmax(0), len(output)).float().mean(1).T


def counts_in_place_of_shares(output, lengths):
    return where_max(output, lengths) * output.shape[2]


def weights_in_the_padding(output, scores, lengths):
    return torch.einsum("tb,tbf->bf", scores.softmax(0), output)


def weights_over_the_batch(output, scores, lengths):
    real = torch.arange(len(output))[:, None] < lengths
    return torch.einsum("tb,tbf->bf", torch.where(real, scores, -1e9).softmax(1), output)


@pytest.mark.parametrize(
    ("check", "answer", "where"),
    [
        (checks.check_confusion, transposed, "class 0 taken for class 1"),
        (checks.check_confusion, one_class_too_few, "a class that never occurs"),
        (checks.check_macro_f1, accuracy, "a class that is never answered"),
        (checks.check_macro_f1, f1_of_those_that_occur, "a class that never occurs"),
        (checks.check_where_max, max_with_the_padding, "lengths 5 and 2"),
        (checks.check_where_max, counts_in_place_of_shares, "no padding"),
        (checks.check_attention_pool, weights_in_the_padding, "lengths 5 and 2"),
        (checks.check_attention_pool, weights_over_the_batch, "no padding"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_wrong_answer_is_told_where(check, answer, where, capsys):
    assert not check(answer)
    said = capsys.readouterr().out
    assert f"On {where}" in said and "Hint: " in said


def test_the_checks_leave_the_readers_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    for check, answer in RIGHT.items():
        check(answer)
    assert torch.equal(torch.rand(1), expected)
