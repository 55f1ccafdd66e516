"""The training loop: what it does to a model, what it carries, when it stops, and that it can be interrupted."""

import copy
import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import companion
from companion import (
    History,
    LanguageModel,
    RandomBatches,
    SequentialBatches,
    Vocabulary,
    choose_device,
    detach_state,
    evaluate,
    fit,
    load_checkpoint,
    next_token_loss,
    one_cycle,
    one_hot,
    perplexity,
)

TEXT = "keep a little, let a little go. " * 12
VOCABULARY = Vocabulary(TEXT)
TOKENS = VOCABULARY.encode(TEXT)


def make_model(layer=None, seed=0, **choices):
    layer = layer or companion.GRU(8, 16)
    torch.manual_seed(seed)
    layer.reset_parameters()  # it was made before the seed was set
    return LanguageModel(layer, len(VOCABULARY), **choices)


def sequential(batch_size=4, num_steps=12):
    return SequentialBatches(TOKENS, batch_size, num_steps)


def weights_of(model):
    return copy.deepcopy(model.state_dict())


def assert_equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


# Learning


@pytest.mark.parametrize("library", [companion, nn], ids=["ours", "nn"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("batches", [sequential(), RandomBatches(TOKENS, 4, 12)], ids=["sequential", "random"])
def test_a_small_text_is_learned(library, kind, batches):
    torch.manual_seed(0)
    model = make_model(getattr(library, kind)(8, 32))
    history = fit(model, batches, sequential(), epochs=15, learning_rate=0.03, progress=False)
    assert len(history) == len(history.train) == len(history.held_out) == len(history.seconds) == 15
    assert perplexity(history.train[0]) > 8
    assert perplexity(history.held_out[-1]) < 1.5
    assert evaluate(model, sequential()) == history.held_out[-1]


@pytest.mark.parametrize("library", [companion, nn], ids=["ours", "nn"])
def test_a_batch_first_model_learns(library):
    torch.manual_seed(0)
    batches = [(inputs.T.contiguous(), targets.T.contiguous()) for inputs, targets in RandomBatches(TOKENS, 4, 12)]
    history = fit(make_model(library.GRU(8, 32, batch_first=True)), batches, epochs=15, learning_rate=0.03)
    assert history.train[-1] < history.train[0] / 2


def test_another_loss_trains_another_model():
    torch.manual_seed(0)
    x = torch.randn(4, 16, 3)

    def mean_square(model, batch, state):
        inputs, targets = batch
        return F.mse_loss(model(inputs), targets), state

    model = nn.Linear(3, 2)
    history = fit(model, [(x[0], x[0, :, :2])], epochs=150, learning_rate=0.1, loss=mean_square, progress=False)
    torch.testing.assert_close(model.weight.detach(), torch.eye(2, 3), atol=0.05, rtol=0)
    assert history.train[-1] < 1e-3


def test_what_is_frozen_stays():
    model = make_model(companion.RNN(len(VOCABULARY), 8), embedding=one_hot(len(VOCABULARY)))
    before = weights_of(model)
    fit(model, sequential(), epochs=1, progress=False)
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == before.keys() - {"embedding.weight"}


def test_training_is_training_and_evaluation_is_evaluation():
    modes = []

    def watch(model, batch, state):
        modes.append((model.training, torch.is_grad_enabled()))
        return next_token_loss(model, batch, state)

    batches = sequential()
    fit(make_model(), batches, batches, epochs=2, loss=watch, progress=False)
    assert modes == ([(True, True)] * len(batches) + [(False, False)] * len(batches)) * 2


# The state


def recorder(states):
    """The usual loss, which notes the states it gets and gives."""

    def loss(model, batch, state):
        value, after = next_token_loss(model, batch, state)
        states.append((state, after))
        return value, after

    return loss


@pytest.mark.parametrize("layer", [companion.GRU(8, 16), companion.LSTM(8, 16), nn.LSTM(8, 16)])
@pytest.mark.parametrize("run", ["fit", "evaluate"])
def test_the_state_is_carried_and_cut_off_where_batches_continue(layer, run):
    states, batches = [], sequential()
    if run == "fit":
        fit(make_model(layer), batches, epochs=2, loss=recorder(states), progress=False)
    else:
        evaluate(make_model(layer), batches, loss=recorder(states))
    for number, (before, _) in enumerate(states):
        if number % len(batches) == 0:
            assert before is None  # every pass begins anew
        else:
            assert_equal(before, detach_state(states[number - 1][1]))
            parts = before if isinstance(before, tuple) else (before,)
            assert not any(part.requires_grad for part in parts)


@pytest.mark.parametrize("batches", [RandomBatches(TOKENS, 4, 12), list(sequential())], ids=["random", "a list"])
def test_every_batch_begins_anew_where_they_do_not_continue(batches):
    states = []
    fit(make_model(), batches, batches, epochs=2, loss=recorder(states), progress=False)
    assert [before for before, _ in states] == [None] * len(states)


def test_a_carried_state_makes_windows_into_one_text():
    """The loss over windows is the loss over the whole text, if the state is carried, and only then."""
    model = make_model()
    fit(model, sequential(), epochs=5, progress=False)
    whole = evaluate(model, SequentialBatches(TOKENS, 1, len(TOKENS)))
    windows = SequentialBatches(TOKENS, 1, 10)
    assert evaluate(model, windows) == pytest.approx(whole, rel=1e-5)
    assert evaluate(model, list(windows)) != pytest.approx(whole, rel=1e-3)


def test_detach_state_takes_every_form():
    h = torch.randn(3, requires_grad=True) * 2
    assert detach_state(None) is None
    assert not detach_state(h).requires_grad and torch.equal(detach_state(h), h)
    nested = detach_state((h, (h, None)))
    assert nested[1][1] is None
    assert not any(part.requires_grad for part in (nested[0], nested[1][0]))
    assert h.requires_grad


# Losses


def test_next_token_loss_is_the_mean_cross_entropy():
    model, (inputs, targets) = make_model(), next(iter(sequential()))
    value, state = next_token_loss(model, (inputs, targets))
    logits, expected_state = model(inputs)
    by_hand = [-logits[t, b].log_softmax(-1)[targets[t, b]] for t in range(12) for b in range(4)]
    torch.testing.assert_close(value, torch.stack(by_hand).mean())
    assert_equal(state, expected_state)


def test_evaluate_weighs_batches_by_their_targets_and_leaves_the_model_alone():
    model, batches = make_model(dropout=0.5), sequential(num_steps=50)  # windows of 50 steps and of 45
    model.embedding.eval()
    before, modes = weights_of(model), [module.training for module in model.modules()]
    assert len({len(inputs) for inputs, _ in batches}) == 2
    mean = evaluate(model, list(batches))
    assert [module.training for module in model.modules()] == modes
    assert_equal(model.state_dict(), before)
    model.eval()
    total = sum(next_token_loss(model, batch)[0].item() * batch[1].numel() for batch in batches)
    assert mean == pytest.approx(total / sum(targets.numel() for _, targets in batches), rel=1e-5)


def test_the_history_holds_the_mean_training_loss():
    values = []

    def loss(model, batch, state):
        value, state = next_token_loss(model, batch, state)
        values.append((value.item(), batch[1].numel()))
        return value, state

    history = fit(make_model(), sequential(num_steps=50), epochs=1, loss=loss, progress=False)
    assert history.train == [pytest.approx(sum(v * n for v, n in values) / sum(n for _, n in values), rel=1e-5)]


# The steps of the optimizer


class Watched(torch.optim.SGD):
    """SGD that notes the learning rate and the norm of the gradient at every step."""

    def __init__(self, model, lr=0.1):
        super().__init__(model.parameters(), lr)
        self.rates, self.norms = [], []

    def step(self, closure=None):
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        self.rates.append(self.param_groups[0]["lr"])
        self.norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
        return super().step(closure)


def watch(**choices):
    model = make_model()
    optimizer = Watched(model)
    fit(model, sequential(), epochs=2, optimizer=optimizer, progress=False, **choices)
    return optimizer


def test_clipping_bounds_the_norm_of_the_whole_gradient():
    free = watch(clip=None).norms
    assert min(free) > 0.05
    clipped = watch(clip=0.05).norms
    assert clipped == pytest.approx([0.05] * len(clipped), rel=1e-3)
    assert watch(clip=1000.0).norms == free  # a bound that is never reached changes nothing


def test_the_default_clip_is_1():
    model, large = make_model(), lambda model, batch, state: scaled(1e3, model, batch, state)
    optimizer = Watched(model, lr=1e-6)
    fit(model, sequential(), epochs=1, optimizer=optimizer, loss=large, progress=False)
    assert optimizer.norms == pytest.approx([1.0] * len(optimizer.norms), rel=1e-3)


def scaled(factor, model, batch, state):
    value, state = next_token_loss(model, batch, state)
    return factor * value, state


def test_the_schedule_is_called_with_the_share_of_the_training_done():
    steps = 2 * len(sequential())
    expected = [0.1 * one_cycle(step / steps) for step in range(1, steps + 1)]
    assert watch().rates == pytest.approx(expected)
    assert watch(schedule=None).rates == [0.1] * steps
    assert watch(schedule=lambda done: done**2).rates[-1] == pytest.approx(0.1)


def test_one_cycle_climbs_to_1_and_falls_to_0():
    assert [one_cycle(done) for done in (0, 0.075, 0.15, 0.575, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert [one_cycle(done, warmup=0) for done in (0, 0.25, 1)] == pytest.approx([1, 0.75, 0])
    assert [one_cycle(done, warmup=1) for done in (0, 0.25, 1)] == pytest.approx([0, 0.25, 1])


def test_every_group_of_parameters_keeps_its_own_peak():
    model = make_model()
    groups = [{"params": model.layer.parameters(), "lr": 0.2}, {"params": model.output.parameters(), "lr": 0.1}]
    optimizer = torch.optim.SGD(groups)
    fit(model, sequential(), epochs=1, optimizer=optimizer, schedule=lambda done: 0.5, progress=False)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05]


# Interruptions


class Interruption(Exception):
    """Stands for a power cut, or for the stop button."""


def interrupted_after(calls):
    """The usual loss, until it has been called so often."""
    left = iter(range(calls))

    def loss(model, batch, state):
        if next(left, None) is None:
            raise Interruption
        return next_token_loss(model, batch, state)

    return loss


HELD_OUT = sequential(2, 60)
OPTIMIZERS = {
    "Adam": lambda parameters: torch.optim.Adam(parameters, 0.01),
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, 0.01, centered=True),
}


def train_in_a_new_process(seed, batches, make_optimizer, checkpoint=None, stop_after=None):
    """Train for 4 epochs with whatever has a state: momentum, dropout, a schedule, random batches. None if stopped."""
    model = make_model(companion.GRU(8, 8, 2, dropout=0.2), seed, dropout=0.2)
    optimizer = make_optimizer(model.parameters())
    loss = next_token_loss if stop_after is None else interrupted_after(stop_after)
    arguments = dict(epochs=4, optimizer=optimizer, loss=loss, checkpoint=checkpoint, progress=False)
    try:
        history = fit(model, batches, HELD_OUT, **arguments)
    except Interruption:
        return None
    return SimpleNamespace(
        weights=model.state_dict(), optimizer=optimizer.state_dict(), randomness=torch.get_rng_state(), history=history
    )


@pytest.mark.parametrize("batches", [sequential(4, 30), RandomBatches(TOKENS, 4, 20)], ids=["sequential", "random"])
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_interrupted_run_is_the_uninterrupted_run(batches, make_optimizer, tmp_path):
    calls, path = len(batches) + len(HELD_OUT), tmp_path / "run.safetensors"  # calls of the loss in an epoch
    whole = train_in_a_new_process(1, batches, make_optimizer)
    for seed, stop_after in [(1, calls + 2), (98, calls + len(batches) + 1)]:  # while training, while evaluating
        assert train_in_a_new_process(seed, batches, make_optimizer, path, stop_after) is None
    resumed = train_in_a_new_process(99, batches, make_optimizer, path)
    assert_equal(resumed.weights, whole.weights)
    assert_equal(resumed.optimizer["state"], whole.optimizer["state"])
    assert resumed.optimizer["param_groups"] == [with_lists(group) for group in whole.optimizer["param_groups"]]
    assert torch.equal(resumed.randomness, whole.randomness)
    assert (resumed.history.train, resumed.history.held_out) == (whole.history.train, whole.history.held_out)


def with_lists(group):
    """As JSON keeps it, which has no tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in group.items()}


@pytest.mark.parametrize("position", ["in the first batch", "in the last batch", "in the evaluation"])
def test_an_interruption_loses_at_most_one_epoch(position, tmp_path):
    batches, path = sequential(), tmp_path / "run.safetensors"
    calls = len(batches) + len(HELD_OUT)
    into_the_epoch = {"in the first batch": 0, "in the last batch": len(batches) - 1}.get(position, calls - 1)
    loss = interrupted_after(3 * calls + into_the_epoch)
    with pytest.raises(Interruption):
        fit(make_model(), batches, HELD_OUT, epochs=9, loss=loss, checkpoint=path, progress=False)
    _, notes = load_checkpoint(path)
    assert len(notes["history"]["train"]) == 3


def test_a_finished_run_trains_no_more_and_more_epochs_go_on(tmp_path):
    arguments = dict(checkpoint=tmp_path / "run.safetensors", progress=False)
    first = fit(make_model(), sequential(), epochs=2, **arguments)
    model = make_model(seed=5)
    assert fit(model, sequential(), epochs=2, loss=interrupted_after(0), **arguments).train == first.train
    tensors, _ = load_checkpoint(arguments["checkpoint"])
    assert_equal(model.output.bias.detach(), tensors["model.output.bias"])
    longer = fit(model, sequential(), epochs=3, **arguments)
    assert len(longer) == 3 and longer.train[:2] == first.train


def test_a_checkpoint_goes_on_with_its_own_learning_rate(tmp_path):
    model, path = make_model(), tmp_path / "run.safetensors"
    with pytest.raises(Interruption):
        fit(
            model, sequential(), epochs=2, optimizer=Watched(model), checkpoint=path, progress=False,
            loss=interrupted_after(len(sequential()) + 1),
        )  # fmt: skip
    optimizer = Watched(model, lr=123.0)
    fit(model, sequential(), epochs=2, optimizer=optimizer, checkpoint=path, progress=False)
    assert optimizer.rates == watch().rates[len(sequential()) :]


@pytest.mark.parametrize(
    "act, name",
    [
        (lambda path: fit(make_model(companion.GRU(8, 7)), sequential(), epochs=2, checkpoint=path), "another model"),
        (lambda path: fit(make_model(companion.RNN(8, 16)), sequential(), epochs=2, checkpoint=path), "another model"),
        (
            lambda path: fit(
                model := make_model(), sequential(), epochs=2, checkpoint=path, optimizer=Watched(model)
            ),
            "optimizer Adam",
        ),
    ],
    ids=["another size", "another kind", "another optimizer"],
)
def test_a_checkpoint_of_something_else_is_refused(act, name, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(make_model(), sequential(), epochs=1, checkpoint=path, progress=False)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=name):
        act(path)
    assert path.read_bytes() == content


def test_a_refused_checkpoint_leaves_the_model_as_it_was(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(make_model(companion.GRU(8, 7)), sequential(), epochs=1, checkpoint=path, progress=False)
    model = make_model(seed=3)
    before = weights_of(model)
    with pytest.raises(ValueError, match="another model"):
        fit(model, sequential(), epochs=2, checkpoint=path)
    assert_equal(model.state_dict(), before)


def test_tied_weights_stay_tied_in_a_checkpoint(tmp_path):
    def tied(seed):
        return make_model(companion.LSTM(8, 8), seed, tie_weights=True)

    arguments = dict(epochs=3, checkpoint=tmp_path / "run.safetensors", progress=False)
    whole, resumed = tied(0), tied(7)
    fit(whole, sequential(), epochs=3, progress=False)
    with pytest.raises(Interruption):
        fit(tied(0), sequential(), loss=interrupted_after(2 * len(sequential()) + 1), **arguments)
    fit(resumed, sequential(), **arguments)
    assert resumed.output.weight is resumed.embedding.weight
    assert_equal(resumed.state_dict(), whole.state_dict())


# Stopping


def scripted(held_out_losses, weights):
    """Trains as usual; the held-out losses come from a list, and the weights they belong to are noted."""
    losses = iter(held_out_losses)

    def loss(model, batch, state):
        if model.training:
            return next_token_loss(model, batch, state)
        weights.append(weights_of(model))
        return torch.tensor(next(losses)), state

    return loss


ONE_BATCH = [next(iter(sequential()))]


@pytest.mark.parametrize(
    "patience, losses, epochs, best",
    [
        (1, [3.0, 2.0, 2.5, 0.1], 3, 1),
        (2, [3.0, 2.0, 2.5, 1.5, 1.6, 1.7, 0.1], 6, 3),
        (2, [3.0, 2.0, 2.0, 2.0, 0.1], 4, 1),  # as good is no better
        (3, [3.0, 2.0, 2.5], 3, 1),  # the epochs are over first
        (5, [3.0, 2.0, 1.0], 3, 2),
    ],
)
def test_early_stop_goes_back_to_the_best_weights(patience, losses, epochs, best):
    model, weights = make_model(), []
    loss = scripted(losses, weights)
    history = fit(model, sequential(), ONE_BATCH, epochs=len(losses), patience=patience, loss=loss, progress=False)
    assert history.held_out == pytest.approx(losses[:epochs])
    assert history.best_epoch == best
    assert_equal(model.state_dict(), weights[best])


def test_without_patience_the_last_weights_stay():
    model, weights = make_model(), []
    fit(model, sequential(), ONE_BATCH, epochs=3, loss=scripted([1.0, 2.0, 3.0], weights), progress=False)
    assert_equal(model.state_dict(), weights[-1])


def test_a_stopped_run_stays_stopped_and_knows_its_best_weights(tmp_path):
    arguments = dict(epochs=9, patience=2, checkpoint=tmp_path / "run.safetensors", progress=False)
    weights = []
    fit(make_model(), sequential(), ONE_BATCH, loss=scripted([3.0, 1.0, 2.0, 2.0], weights), **arguments)
    model = make_model(seed=8)
    history = fit(model, sequential(), ONE_BATCH, loss=interrupted_after(0), **arguments)
    assert history.held_out == [3.0, 1.0, 2.0, 2.0]
    assert_equal(model.state_dict(), weights[1])


@pytest.mark.parametrize("part", ["training", "held-out"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_raised_and_the_checkpoint_is_good(part, value, tmp_path):
    model, path, calls = make_model(), tmp_path / "run.safetensors", []

    def loss(model, batch, state):
        calls.append(model.training)
        broken = calls.count(False) >= 2 and model.training == (part == "training")
        value_now, state = next_token_loss(model, batch, state)
        return value_now * (value if broken else 1), state

    with pytest.raises(FloatingPointError, match=rf"the {part} loss became (nan|inf) in epoch \d: lower"):
        fit(model, sequential(), ONE_BATCH, epochs=9, loss=loss, checkpoint=path, progress=False)
    tensors, notes = load_checkpoint(path)
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
    assert all(math.isfinite(loss) for loss in notes["history"]["train"] + notes["history"]["held_out"])
    assert 1 <= len(notes["history"]["train"]) <= 2


@pytest.mark.parametrize(
    "arguments, error, name",
    [
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": 1.5}, ValueError, "epochs"),
        ({"learning_rate": 0}, ValueError, "learning_rate"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, ValueError, "learning_rate"),
        ({"clip": 0}, ValueError, "clip"),
        ({"clip": "hard"}, ValueError, "clip"),
        ({"patience": 1}, ValueError, "patience"),
        ({"patience": 0, "held_out": ONE_BATCH}, ValueError, "patience"),
        ({"patience": 0.5, "held_out": ONE_BATCH}, ValueError, "patience"),
        ({"batches": []}, ValueError, "batches"),
        ({"batches": iter(ONE_BATCH)}, TypeError, "batches"),
        ({"batches": None}, TypeError, "batches"),
        ({"held_out": []}, ValueError, "held_out"),
        ({"held_out": iter(ONE_BATCH)}, TypeError, "held_out"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_done(arguments, error, name, tmp_path):
    model, path = make_model(), tmp_path / "run.safetensors"
    before = weights_of(model)
    with pytest.raises(error, match=f"^{name} "):
        fit(model, **({"batches": ONE_BATCH, "epochs": 1, "checkpoint": path} | arguments))
    assert_equal(model.state_dict(), before)
    assert not path.exists()


def test_evaluating_on_nothing_is_refused():
    with pytest.raises(ValueError, match="batches"):
        evaluate(make_model(), [])


# The history, and the device


def test_the_best_epoch_is_that_of_the_held_out_loss_if_there_is_one():
    assert History(train=[3.0, 2.0, 1.0], held_out=[3.0, 1.0, 2.0]).best_epoch == 1
    assert History(train=[3.0, 2.0, 1.0]).best_epoch == 2


@pytest.mark.parametrize("held_out, names", [([3.0, 2.5], ["training", "held out"]), ([], ["training"])])
def test_a_history_draws_perplexities_over_epochs(held_out, names):
    history = History(train=[3.0, 2.0], held_out=held_out, seconds=[1.0, 1.0])
    ax = history.plot()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "perplexity", "log")
    assert [line.get_label() for line in ax.lines] == names
    assert ax.lines[0].get_xdata().tolist() == [1, 2]
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([math.exp(3), math.exp(2)])
    assert history.plot(ax) is ax
    plt.close(ax.figure)


@pytest.mark.parametrize(
    "cuda, mps, expected", [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_is_chosen(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device() == torch.device(expected)


@pytest.mark.parametrize("device", ["cpu"] + ["cuda"] * torch.cuda.is_available())
def test_batches_follow_the_model_to_its_device(device):
    devices = set()

    def loss(model, batch, state):
        devices.update(part.device.type for part in batch)
        return next_token_loss(model, batch, state)

    fit(make_model().to(device), sequential(), ONE_BATCH, epochs=1, loss=loss, progress=False)
    assert devices == {device}
