"""The synthetic tasks: each target is read again from its input in another way, seeds repeat, bad input is refused."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion import tasks
from companion.language_model import LanguageModel
from companion.tasks import (
    ADDING_BASELINE,
    IGNORED,
    adding_batches,
    adding_loss,
    copy_batches,
    first_letter_batches,
    parity_batches,
    task_accuracy,
)
from companion.training import evaluate, fit, next_token_loss
from tests import strategies  # noqa: F401  loads the settings of hypothesis

TASKS = [first_letter_batches, copy_batches, parity_batches, adding_batches]
VOCABULARIES = [(first_letter_batches, 8), (copy_batches, 10), (parity_batches, 2)]
each_task = pytest.mark.parametrize("task", TASKS)

sizes, seeds = st.integers(2, 9), st.integers(0, 999)


def columns(batches):
    """Every sequence of the batches by itself: (list of its inputs, list of its targets)."""
    for inputs, targets in batches:
        assert inputs.shape == targets.shape
        yield from zip(inputs.T.tolist(), targets.T.tolist(), strict=True)


# What is asked is right


@given(sizes, sizes, sizes, seeds)
def test_the_first_letter_is_asked_for_at_the_end(num_steps, batch_size, num_letters, seed):
    batches = first_letter_batches(2, num_steps, batch_size, num_letters, seed)
    assert [letters.shape for letters, _ in batches] == [(num_steps, batch_size)] * 2
    for (first, *noise), targets in columns(batches):
        assert targets == [IGNORED] * len(noise) + [first]
        assert first in range(num_letters)
        assert all(letter in range(num_letters, 2 * num_letters) for letter in noise)


@given(sizes, sizes, sizes, sizes, seeds)
def test_a_copy_is_asked_for_in_order_after_the_marker(delay, length, batch_size, num_symbols, seed):
    blank, marker = num_symbols, num_symbols + 1
    batches = copy_batches(2, delay, length, batch_size, num_symbols, seed)
    assert [tokens.shape for tokens, _ in batches] == [(delay + 2 * length, batch_size)] * 2
    for tokens, targets in columns(batches):
        at = tokens.index(marker)
        symbols = [token for token in tokens if token < num_symbols]
        assert tokens == symbols + [blank] * (delay - 1) + [marker] + [blank] * length
        assert len(symbols) == length and at == length + delay - 1
        assert targets == [IGNORED] * (at + 1) + symbols


@given(sizes, sizes, seeds)
def test_parity_counts_the_ones(num_steps, batch_size, seed):
    batches = parity_batches(2, num_steps, batch_size, seed)
    assert [bits.shape for bits, _ in batches] == [(num_steps, batch_size)] * 2
    for bits, targets in columns(batches):
        assert set(bits) <= {0, 1}
        assert targets == [bits[: end + 1].count(1) % 2 for end in range(num_steps)]


@given(sizes, sizes, seeds)
def test_the_sum_is_that_of_the_marked_numbers(num_steps, batch_size, seed):
    for inputs, sums in adding_batches(2, num_steps, batch_size, seed):
        assert (inputs.shape, sums.shape) == ((num_steps, batch_size, 2), (batch_size,))
        for sequence, expected in zip(inputs.transpose(0, 1).tolist(), sums.tolist(), strict=True):
            marked = [place for place, (_, mark) in enumerate(sequence) if mark == 1]
            assert sorted({mark for _, mark in sequence}) in ([0, 1], [1])
            assert len(marked) == 2 and marked[0] < num_steps // 2 <= marked[1]
            assert all(0 <= number < 1 for number, _ in sequence)
            assert math.isclose(expected, sum(sequence[place][0] for place in marked), rel_tol=1e-5)


def test_everything_that_may_be_drawn_is_drawn_evenly():
    ((letters, _),) = first_letter_batches(1, 5, 8000, 4, seed=0)
    ((tokens, _),) = copy_batches(1, 3, 4, 2000, 8, seed=0)
    ((bits, _),) = parity_batches(1, 10, 800, seed=0)
    ((inputs, _),) = adding_batches(1, 8, 8000, seed=0)
    places = inputs[..., 1].nonzero()[:, 0]
    for drawn, kinds in [(letters[0], 4), (letters[1:] - 4, 4), (tokens[:4], 8), (bits, 2), (places, 8)]:
        shares = drawn.flatten().bincount() / drawn.numel()
        assert len(shares) == kinds and (shares - 1 / kinds).abs().max() < 0.02


# Chance and baselines


class Blind(nn.Module):
    """Gives the same outputs whatever it reads."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(outputs))

    def forward(self, inputs, state=None):
        return self.outputs.expand(*inputs.shape[:2], -1), state


@pytest.mark.parametrize(
    "batches, kinds, tokens",
    [(first_letter_batches(4, 5, 2000, 5, 1), 5, 10), (copy_batches(4, 3, 2, 2000, 8, 1), 8, 10),
     (parity_batches(4, 9, 2000, 1), 2, 2)],
    ids=["first letter", "copy", "parity"],
)  # fmt: skip
def test_who_remembers_nothing_is_right_by_chance(batches, kinds, tokens):
    fair = [0.0] * kinds + [-1e9] * (tokens - kinds)  # every answer that can be right is as likely
    assert math.isclose(evaluate(Blind(fair), batches), math.log(kinds), rel_tol=1e-5)
    assert abs(task_accuracy(Blind(fair), batches) - 1 / kinds) < 0.02


def test_the_loss_of_the_paper_is_that_of_its_baseline():
    """Asked for blanks as well, who remembers nothing knows when to give one, and guesses when not."""
    ((_, targets),) = copy_batches(1, delay=30, length=10, batch_size=500, num_symbols=8, seed=0)
    asked = targets != IGNORED
    targets[~asked] = 8
    logits = torch.full((50, 500, 10), -1e9)
    logits[..., 8][~asked] = 0
    logits[..., :8][asked] = 0
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert math.isclose(loss, 10 * math.log(8) / 50, rel_tol=1e-5)


def test_always_guessing_one_has_the_error_of_the_baseline():
    batches = adding_batches(10, 20, 2000, seed=0)
    assert abs(evaluate(Blind([1.0]), batches, adding_loss) - ADDING_BASELINE) < 0.005
    assert math.isclose(ADDING_BASELINE, 1 / 12 + 1 / 12)  # two numbers, each of variance 1/12
    for other in (0.9, 1.1):
        assert evaluate(Blind([other]), batches, adding_loss) > ADDING_BASELINE


# A model that is right


class Oracle(nn.Module):
    """Looks the answers up: reads all of the input, and is wrong on a share of the sequences."""

    def __init__(self, answers, tokens, wrong=0):
        super().__init__()
        self.answers, self.tokens, self.wrong = answers, tokens, wrong
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs, state=None):
        answers = self.answers.clamp(min=0)
        answers[:, : self.wrong] = (answers[:, : self.wrong] + 1) % self.tokens
        return F.one_hot(answers, self.tokens).float(), state


@pytest.mark.parametrize("task, tokens", VOCABULARIES)
@pytest.mark.parametrize("wrong", [0, 8, 32])
def test_accuracy_counts_what_is_asked(task, tokens, wrong):
    ((inputs, targets),) = task(1, seed=3)
    assert task_accuracy(Oracle(targets, tokens, wrong), [(inputs, targets)]) == 1 - wrong / 32


def test_accuracy_is_measured_in_evaluation_mode_and_leaves_the_model_as_it_was():
    model = LanguageModel(nn.RNN(2, 4), 2, dropout=0.9)
    batches = parity_batches(2, 5, seed=0)
    assert task_accuracy(model, batches) == task_accuracy(model, batches)
    assert model.training and all(weight.grad is None for weight in model.parameters())


def test_the_adding_loss_reads_the_last_output_and_hands_the_state_on():
    ((inputs, sums),) = adding_batches(1, 6, 5, seed=0)
    outputs = torch.randn(6, 5, 1)
    loss, state = adding_loss(lambda inputs, state: (outputs, ("after", state)), (inputs, sums), "before")
    errors = [(outputs[5, b, 0] - sums[b]) ** 2 for b in range(5)]
    assert torch.isclose(loss, sum(errors) / 5) and state == ("after", "before")


# They train


@pytest.mark.parametrize("task, tokens", VOCABULARIES)
def test_a_model_trains_on_each_task_with_tokens(task, tokens):
    torch.manual_seed(0)
    model = LanguageModel(nn.GRU(8, 16), tokens)
    before = evaluate(model, task(2, seed=0))
    history = fit(model, task(5, seed=1), task(2, seed=0), epochs=2, progress=False)
    assert len(history) == 2 and history.held_out[-1] < before


def test_a_model_learns_to_add():
    torch.manual_seed(0)
    model = LanguageModel(nn.GRU(2, 16), 1, embedding=nn.Identity())
    fit(model, adding_batches(150, 6, seed=1), epochs=2, loss=adding_loss, progress=False)
    assert evaluate(model, adding_batches(5, 6, seed=0), adding_loss) < ADDING_BASELINE / 5


def test_a_model_learns_the_first_letter():
    torch.manual_seed(0)
    model = LanguageModel(nn.GRU(8, 16), 8)
    fit(model, first_letter_batches(200, 5), epochs=1, progress=False)
    assert task_accuracy(model, first_letter_batches(4, 5)) > 0.95


# Seeds and devices


@each_task
def test_a_seed_repeats_and_leaves_other_random_numbers_alone(task):
    before = torch.get_rng_state()
    first, again, other = task(3, seed=1), task(3, seed=1), task(3, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for one, two in zip(first, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(first[0][0], other[0][0])
    assert not torch.equal(first[0][0], first[1][0])


@each_task
def test_without_a_seed_the_random_numbers_are_torchs(task):
    torch.manual_seed(5)
    first, second = task(1), task(1)
    torch.manual_seed(5)
    assert torch.equal(task(1)[0][0], first[0][0]) and not torch.equal(first[0][0], second[0][0])
    assert torch.equal(task(1, seed=5)[0][0], first[0][0])


@each_task
def test_the_first_batches_do_not_depend_on_how_many_there_are(task):
    for few, many in zip(task(2, seed=1), task(4, seed=1), strict=False):
        assert torch.equal(few[0], many[0])


@each_task
def test_batches_are_made_on_the_cpu(task):
    assert [part.device.type for part in task(1)[0] + task(1, seed=0)[0]] == ["cpu"] * 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@each_task
def test_a_model_on_the_gpu_takes_them(task):
    adding = task is adding_batches
    layer = nn.GRU(2 if adding else 8, 16)
    model = LanguageModel(layer, 1, embedding=nn.Identity()) if adding else LanguageModel(layer, 10)
    model = model.cuda()
    fit(model, task(2), epochs=1, loss=adding_loss if adding else next_token_loss, progress=False)
    if not adding:
        on_the_gpu = [tuple(part.cuda() for part in batch) for batch in task(2, seed=0)]
        assert task_accuracy(model, task(2, seed=0)) == task_accuracy(model, on_the_gpu)


# Bad input


@each_task
def test_every_size_is_checked(task):
    for name, parameter in inspect.signature(task).parameters.items():
        if name == "seed":
            continue
        given = {"count": 1} | {name: 0}
        with pytest.raises(ValueError, match=f"^{name} should be at least [12], got 0"):
            task(**given)
        with pytest.raises(TypeError, match=f"^{name} should be an int, got 2.5 of type float"):
            task(**(given | {name: 2.5}))
        assert name == "count" or isinstance(parameter.default, int)


@pytest.mark.parametrize(
    "task, name",
    [(first_letter_batches, "num_steps"), (first_letter_batches, "num_letters"), (copy_batches, "num_symbols"),
     (adding_batches, "num_steps")],
)  # fmt: skip
def test_a_task_that_would_ask_nothing_is_refused(task, name):
    with pytest.raises(ValueError, match=f"^{name} should be at least 2, got 1"):
        task(1, **{name: 1})
    assert task(1, **{name: 2})


@each_task
@pytest.mark.parametrize("seed", ["1", 1.0, torch.Generator()])
def test_a_seed_is_an_int(task, seed):
    with pytest.raises(TypeError, match=r"^seed should be an int or None, got"):
        task(1, seed=seed)


def test_an_accuracy_of_nothing_is_refused():
    model = LanguageModel(nn.RNN(2, 4), 2)
    with pytest.raises(ValueError, match="every target is -100, or there is no batch"):
        task_accuracy(model, [])
    bits, targets = parity_batches(1)[0]
    with pytest.raises(ValueError, match="every target is -100"):
        task_accuracy(model, [(bits, torch.full_like(targets, IGNORED))])


def test_an_accuracy_at_adding_is_refused():
    model = LanguageModel(nn.RNN(2, 4), 1, embedding=nn.Identity())
    with pytest.raises(TypeError, match=r"got torch.float32: use evaluate with adding_loss"):
        task_accuracy(model, adding_batches(1))


def test_a_model_that_gives_more_than_one_number_cannot_add():
    model = LanguageModel(nn.RNN(2, 4), 3, embedding=nn.Identity())
    with pytest.raises(ValueError, match=r"shape \(50, 32, 1\), got \(50, 32, 3\)"):
        fit(model, adding_batches(1), epochs=1, loss=adding_loss, progress=False)


def test_ignored_is_what_torch_leaves_out():
    assert inspect.signature(F.cross_entropy).parameters["ignore_index"].default == tasks.IGNORED
