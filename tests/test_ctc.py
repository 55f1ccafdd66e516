"""The CTC loss: torch's values, gradients and errors, brute force over all paths; decoding, and the model."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion.ctc import (
    CTCModel,
    collapse,
    ctc_batch,
    ctc_forward,
    ctc_loss,
    greedy_decode,
    prefix_beam_search,
    transcribe,
    transcription_loss,
    with_blanks,
)
from companion.layers import GRU
from tests import strategies  # noqa: F401  loads the settings of hypothesis

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
REDUCTIONS = ("none", "sum", "mean")


def random_case(seed, most_steps=14, most_labels=6):
    """Logits and targets of random sizes, some of which do not fit; any class may be the blank."""
    source = torch.Generator().manual_seed(seed)

    def draw(low, high, shape=()):
        return torch.randint(low, high + 1, shape, generator=source)

    T, B, C, S = int(draw(1, most_steps)), int(draw(1, 4)), int(draw(2, 5)), int(draw(0, most_labels))
    logits = 3 * torch.randn(T, B, C, generator=source, dtype=torch.double)
    blank = int(draw(0, C - 1))
    targets = draw(0, C - 2, (B, S))
    targets += targets >= blank
    return logits.requires_grad_(), targets, draw(0, T, (B,)), draw(0, S, (B,)), blank


@given(st.integers(0, 10_000))
def test_values_and_gradients_are_torchs(seed):
    logits, *arguments, blank = random_case(seed)
    for reduction in REDUCTIONS:
        expected, found = (
            loss(logits.log_softmax(-1), *arguments, blank, reduction, True) for loss in (F.ctc_loss, ctc_loss)
        )
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(loss.sum(), logits)[0] for loss in (found, expected)]
        torch.testing.assert_close(*gradients)


@given(st.integers(0, 10_000))
def test_what_does_not_fit_is_infinite_as_torchs(seed):
    logits, *arguments, blank = random_case(seed, most_steps=5)
    for reduction in REDUCTIONS:
        expected, found = (
            loss(logits.log_softmax(-1), *arguments, blank, reduction) for loss in (F.ctc_loss, ctc_loss)
        )
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_long_sequences_in_float32(device):
    torch.manual_seed(0)
    logits = torch.randn(200, 5, 11, device=device, requires_grad=True)
    targets, lengths = torch.randint(1, 4, (5, 20), device=device), torch.tensor([200, 150, 90, 200, 61])
    arguments = targets, lengths.to(device), torch.tensor([20, 3, 7, 1, 20], device=device)
    losses = [loss(logits.log_softmax(-1), *arguments, reduction="none") for loss in (F.ctc_loss, ctc_loss)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-4)
    gradients = [torch.autograd.grad(loss.sum(), logits)[0] for loss in losses]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("steps, classes", [(5, 3), (7, 2), (4, 4)])
def test_brute_force_over_all_paths(steps, classes):
    torch.manual_seed(steps)
    log_probs = torch.randn(steps, 1, classes, dtype=torch.double).log_softmax(-1)
    probability = {}
    for path in itertools.product(range(classes), repeat=steps):
        says = tuple(collapse(path))
        one = log_probs[torch.arange(steps), 0, torch.tensor(path)].sum().exp().item()
        probability[says] = probability.get(says, 0.0) + one
    assert sum(probability.values()) == pytest.approx(1)
    for says, expected in probability.items():
        target = torch.tensor([says], dtype=torch.long)
        found = ctc_forward(log_probs, target, torch.tensor([steps]), torch.tensor([len(says)])).exp().item()
        assert found == pytest.approx(expected, rel=1e-9), says


def test_gradcheck():
    """With respect to the log-probabilities themselves, where torch's own gradient is another."""
    torch.manual_seed(0)
    log_probs = torch.randn(7, 3, 4, dtype=torch.double).log_softmax(-1).requires_grad_()
    targets = torch.tensor([[1, 1, 2], [3, 2, 0], [2, 0, 0]])
    lengths = torch.tensor([7, 5, 6]), torch.tensor([3, 2, 0])
    assert torch.autograd.gradcheck(lambda x: ctc_loss(x, targets, *lengths, reduction="none"), log_probs)


def test_the_gradient_is_the_probability_of_each_class_at_each_step():
    torch.manual_seed(0)
    steps, labels = 5, [1, 1]
    log_probs = torch.randn(steps, 1, 3, dtype=torch.double).log_softmax(-1).requires_grad_()
    log_p = ctc_forward(log_probs, torch.tensor([labels]), torch.tensor([steps]), torch.tensor([2]))
    (found,) = torch.autograd.grad(log_p.sum(), log_probs)
    expected = torch.zeros(steps, 3, dtype=torch.double)
    for path in itertools.product(range(3), repeat=steps):
        if collapse(path) == labels:
            one = log_probs[torch.arange(steps), 0, torch.tensor(path)].sum().exp().detach()
            expected[torch.arange(steps), torch.tensor(path)] += one
    torch.testing.assert_close(found[:, 0], expected / log_p.exp().detach())


def test_impossible_probabilities_spoil_nothing():
    """Classes of probability 0 give no nan, where a path goes around them."""
    probabilities = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]).unsqueeze(1)
    log_probs = probabilities.log().requires_grad_()
    loss = ctc_loss(log_probs, torch.tensor([[1, 2]]), torch.tensor([3]), torch.tensor([2]), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, log_probs)
    assert loss.item() == pytest.approx(math.log(2)) and gradient.isfinite().all()


def test_every_form_of_the_targets():
    torch.manual_seed(0)
    log_probs = torch.randn(9, 2, 5).log_softmax(-1)
    padded, lengths = torch.tensor([[1, 2, 2], [4, -1, 99]]), torch.tensor([9, 6])
    expected = F.ctc_loss(log_probs, torch.tensor([1, 2, 2, 4]), lengths, torch.tensor([3, 1]))
    torch.testing.assert_close(ctc_loss(log_probs, padded, lengths, torch.tensor([3, 1])), expected)
    joined = torch.tensor([1, 2, 2, 4])
    torch.testing.assert_close(ctc_loss(log_probs, joined, (9, 6), (3, 1)), expected)
    alone = log_probs[:, 0], torch.tensor([1, 2, 2]), torch.tensor(9), torch.tensor(3)
    for reduction in REDUCTIONS:
        torch.testing.assert_close(ctc_loss(*alone, reduction=reduction), F.ctc_loss(*alone, reduction=reduction))


def good():
    return dict(
        log_probs=torch.zeros(5, 2, 4).log_softmax(-1),
        targets=torch.tensor([[1, 2], [3, 0]]),
        input_lengths=torch.tensor([5, 4]),
        target_lengths=torch.tensor([2, 1]),
    )


BAD = {
    "too many steps": (dict(input_lengths=torch.tensor([5, 6])), "input_lengths should be at most the 5 steps, got 6"),
    "negative steps": (dict(input_lengths=torch.tensor([5, -1])), "input_lengths should not be negative, got -1"),
    "a length too few": (dict(target_lengths=torch.tensor([2])), "target_lengths should be one integer for each of 2"),
    "targets too narrow": (dict(target_lengths=torch.tensor([3, 1])), r"targets should have shape \(2, 3\) or wider"),
    "one target of two": (dict(targets=torch.tensor([[1, 2]])), r"targets should have shape \(2, 2\) or wider"),
    "joined targets too short": (dict(targets=torch.tensor([1, 2])), "targets should hold the 3 labels"),
    "no such blank": (dict(blank=4), "blank should be one of 4 classes, got 4"),
    "five dimensions": (dict(log_probs=torch.zeros(5, 1, 1, 2, 4)), r"log_probs should have shape \(T, B, C\)"),
    "half": (dict(log_probs=torch.zeros(5, 2, 4).half()), "dtype float32 or float64"),
}


@pytest.mark.parametrize("change, words", BAD.values(), ids=BAD)
def test_bad_input_raises_what_torch_raises(change, words):
    with pytest.raises(RuntimeError):
        F.ctc_loss(**good() | change)
    with pytest.raises(RuntimeError, match=words):
        ctc_loss(**good() | change)


def test_no_such_reduction():
    for loss in (F.ctc_loss, ctc_loss):
        with pytest.raises(ValueError, match="reduction"):
            loss(**good(), reduction="median")


@pytest.mark.parametrize("label", [4, -1, 0])
def test_targets_that_are_no_labels_are_refused(label):
    """torch reads on in silence, outside the tensor if need be."""
    with pytest.raises(ValueError, match=f"targets should be labels 0 to 3, and not the blank 0, got {label}"):
        ctc_loss(**good() | {"targets": torch.tensor([[1, label], [3, 0]])})


# Reading out


@pytest.mark.parametrize(
    "path, says",
    [([], []), ([0, 0], []), ([1, 1, 1], [1]), ([1, 0, 1], [1, 1]), ([0, 2, 2, 0, 0, 2, 3, 3], [2, 2, 3])],
)
def test_collapse(path, says):
    assert collapse(path) == says
    assert collapse([{0: 9}.get(label, label) for label in path], blank=9) == says


def test_with_blanks():
    assert with_blanks(torch.tensor([[1, 2], [2, 2]]), blank=3).tolist() == [[3, 1, 3, 2, 3], [3, 2, 3, 2, 3]]
    assert with_blanks(torch.zeros(2, 0, dtype=torch.long)).tolist() == [[0], [0]]


def test_greedy_decoding_stops_at_each_length():
    scores = F.one_hot(torch.tensor([[1, 2], [0, 2], [1, 0], [1, 2]]), 3)  # (T, B, C)
    assert greedy_decode(scores, torch.tensor([4, 2])) == [[1, 1], [2]]


@given(st.integers(0, 10_000))
def test_a_wide_beam_is_exact(seed):
    source = torch.Generator().manual_seed(seed)
    log_probs = (2 * torch.randn(5, 3, generator=source, dtype=torch.double)).log_softmax(-1)
    found = prefix_beam_search(log_probs, beam_width=1000)
    assert sum(math.exp(score) for _, score in found) == pytest.approx(1)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    for labels, score in found[:6]:
        target = torch.tensor([labels], dtype=torch.long)
        exact = ctc_forward(log_probs[:, None], target, torch.tensor([5]), torch.tensor([len(labels)]))
        assert score == pytest.approx(exact.item(), abs=1e-9)


def test_a_narrow_beam_underestimates_and_another_blank_is_only_a_name():
    torch.manual_seed(0)
    log_probs = torch.randn(300, 4, dtype=torch.double).log_softmax(-1)
    (labels, score), *others = prefix_beam_search(log_probs, beam_width=4)
    assert len(others) == 3
    target = torch.tensor([labels])
    assert score <= ctc_forward(log_probs[:, None], target, torch.tensor([300]), torch.tensor([len(labels)])).item()
    renamed = prefix_beam_search(log_probs[:, [3, 1, 2, 0]], beam_width=4, blank=3)[0]
    assert [{0: 3}.get(label, label) for label in renamed[0]] == labels and renamed[1] == pytest.approx(score)


@pytest.mark.parametrize("log_probs, width", [(torch.zeros(3, 1, 2), 4), (torch.zeros(3, 2), 0)])
def test_beam_search_refuses_what_it_cannot_read(log_probs, width):
    with pytest.raises(ValueError, match="log_probs should have shape"):
        prefix_beam_search(log_probs, width)


# The model


def recordings():
    torch.manual_seed(0)
    return [(torch.randn(20, 5), [1, 1, 2]), (torch.randn(12, 5), [3])]


def test_a_batch_is_padded_and_its_targets_joined():
    features, input_lengths, target_lengths, targets = ctc_batch(recordings())
    assert features.shape == (20, 2, 5) and input_lengths.tolist() == [20, 12]
    assert target_lengths.tolist() == [3, 1] and targets.tolist() == [1, 1, 2, 3]
    assert features[12:, 1].abs().sum() == 0


@pytest.mark.parametrize("layer", [nn.GRU, GRU])
def test_padding_changes_nothing(layer):
    torch.manual_seed(1)
    model = CTCModel(layer(5, 6, bidirectional=True), 4)
    features, lengths, *_ = ctc_batch(recordings())
    together = model(features, lengths)
    torch.testing.assert_close(together[:12, 1:], model(features[:12, 1:], lengths[1:]))
    alone = [transcribe(model, [example]) for example, _ in recordings()]
    assert [labels for (labels,) in alone] == transcribe(model, [example for example, _ in recordings()])


def test_transcribing_leaves_the_model_as_it_was():
    model = CTCModel(nn.GRU(5, 6), 4)
    transcribe(model, [torch.randn(7, 5)])
    assert model.training


def test_the_loss_is_a_mean_over_labels():
    model = CTCModel(nn.GRU(5, 6), 4)
    batch = ctc_batch(recordings())
    mean, state = transcription_loss(model, batch, None)
    singles = [transcription_loss(model, ctc_batch([example]))[0] for example in recordings()]
    torch.testing.assert_close(mean, (3 * singles[0] + singles[1]) / 4)
    assert state is None
