"""Trainings that give the same with one process and with several; test_distributed.py runs them both ways.

    torchrun --nproc-per-node 2 -m tests.distributed_script FOLDER [--kill]

runs all of them, or the one in which a process is killed, and stores what each process found in FOLDER.
"""

import copy
import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import companion
from companion import LanguageModel, RandomBatches, SequentialBatches, evaluate, fit, next_token_loss
from companion.distributed import distributed_model, inner_model
from companion.states import last_valid

TOKENS = torch.randint(9, (400,), generator=torch.Generator().manual_seed(0))
RANK = int(os.environ.get("RANK", 0))


class WatchedSGD(torch.optim.SGD):
    """SGD that keeps the gradient of every step."""

    def __init__(self, model, lr=0.5):
        super().__init__(model.parameters(), lr)
        self.gradients = []

    def step(self, closure=None):
        parameters = self.param_groups[0]["params"]
        self.gradients.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
        return super().step(closure)


def language_model(layer, seed=0, **choices):
    torch.manual_seed(seed + 100 * RANK)  # every process begins with other weights: the first one's count
    layer.reset_parameters()
    return distributed_model(LanguageModel(layer, 9, **choices))


def train(model, batches, held_out=None, **choices):
    """Fit with SGD; what a process has at the end."""
    optimizer = WatchedSGD(model)
    choices = dict(epochs=3, optimizer=optimizer, clip=0.5, progress=False) | choices
    history = fit(model, batches, held_out, **choices)
    return {
        "gradients": torch.stack(optimizer.gradients),
        "weights": copy.deepcopy(inner_model(model).state_dict()),
        "history": (history.train, history.held_out),
        "seconds": history.seconds,
        "evaluated": evaluate(model, batches),
        "randomness": torch.get_rng_state(),
        "trains": model.training,
    }


# Each returns what should be the same with one process and with several.


def sequential():
    """The state is carried; five streams do not divide evenly, nor do the windows."""
    batches = SequentialBatches(TOKENS, 5, 12)
    return train(language_model(companion.LSTM(4, 8)), batches, SequentialBatches(TOKENS[:90], 2, 20))


def random():
    """The batches come from random numbers, in training and in evaluation."""
    batches = RandomBatches(TOKENS, 4, 12)
    return train(language_model(nn.GRU(4, 8)), batches, RandomBatches(TOKENS, 3, 20))


def uneven():
    """Batches of 3 sequences, of 2, and of 1: then a process has nothing of its own."""
    batches = [tuple(part[:, :size] for part in batch) for size, batch in enumerate(RandomBatches(TOKENS, 3, 9), 1)][:3]
    return train(language_model(companion.GRU(4, 8)), batches, batches[1:])


def one_stream():
    """The state is carried, and there are fewer streams than processes."""
    return train(language_model(companion.GRU(4, 8)), SequentialBatches(TOKENS, 1, 50))


def masked():
    """Targets of -100 are left out of the mean: most of the first sequences', all of them in one batch."""
    batches = []
    for number, (inputs, targets) in enumerate(SequentialBatches(TOKENS, 4, 12)):
        targets = targets.clone()
        targets[: 12 if number == 2 else 9, :2] = -100
        batches.append((inputs, targets))
    # evaluate weighs batches by all their targets, as ever
    return train(language_model(companion.GRU(4, 8)), batches)


def by_hand_masked():
    """A mean over a mask of one's own: where it is empty its gradient is nan."""

    def loss(model, batch, state):
        inputs, targets = batch
        logits, state = model(inputs)
        losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
        mask = (targets != -100).flatten()
        return (losses * mask).sum() / mask.sum(), state

    inputs, targets = next(iter(RandomBatches(TOKENS, 4, 12)))
    targets = targets.clone()
    targets[:, :2] = -100
    model = language_model(companion.GRU(4, 8))
    optimizer = WatchedSGD(model)
    fit(model, [(inputs, targets)], epochs=2, optimizer=optimizer, loss=loss, progress=False)
    return {"gradients": torch.stack(optimizer.gradients)}


class LastOutput(nn.Module):
    """One score for each class after a sequence's own last step."""

    def __init__(self, batch_first=False):
        super().__init__()
        self.embedding, self.output = nn.Embedding(9, 4), nn.Linear(8, 3)
        self.layer = nn.GRU(4, 8, batch_first=batch_first)

    def forward(self, tokens, lengths):
        outputs, _ = self.layer(self.embedding(tokens))
        return self.output(last_valid(outputs, lengths, batch_first=self.layer.batch_first))


def last_output_loss(model, batch, state):
    inputs, lengths, targets = batch
    return F.cross_entropy(model(inputs, lengths), targets), state


def classify(batch_first):
    inputs, lengths = TOKENS[:70].view(10, 7), torch.tensor([10, 3, 7, 1, 5, 10, 2])
    model = LastOutput(batch_first)
    torch.manual_seed(RANK)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    model = distributed_model(model)
    batch = inputs.T.contiguous() if batch_first else inputs, lengths, lengths % 3
    optimizer = WatchedSGD(model)
    history = fit(model, [batch], epochs=3, optimizer=optimizer, loss=last_output_loss, progress=False)
    return {"gradients": torch.stack(optimizer.gradients), "history": history.train}


def lengths():
    """Sequences of different lengths, one target each: shapes (T, B), (B) and (B)."""
    return classify(batch_first=False)


def batch_first():
    """The layer says that the first dimension is the batch: shapes (B, T), (B) and (B)."""
    return classify(batch_first=True)


def told_batch_first():
    """No layer says it; distributed_model is told."""
    torch.manual_seed(RANK)
    model = distributed_model(nn.Linear(3, 2), batch_first=True)
    x = torch.arange(15.0).view(5, 3).sin()

    def mean_square(model, batch, state):
        return F.mse_loss(model(batch[0]), batch[1]), state

    optimizer = WatchedSGD(model)
    fit(model, [(x, x[:, :2])], epochs=3, optimizer=optimizer, loss=mean_square, progress=False)
    return {"gradients": torch.stack(optimizer.gradients)}


def adding():
    """Targets that are no integers, and one for each sequence."""
    torch.manual_seed(RANK)
    model = distributed_model(LanguageModel(nn.GRU(2, 8), 1, embedding=nn.Identity()))
    batches, optimizer = companion.adding_batches(3, 12, 5, seed=0), WatchedSGD(model)
    history = fit(model, batches, epochs=2, optimizer=optimizer, loss=companion.adding_loss, progress=False)
    return {"gradients": torch.stack(optimizer.gradients), "history": history.train}


def frozen():
    """What is not trained has no gradient to be averaged."""
    return train(language_model(nn.GRU(9, 8), embedding=companion.one_hot(9)), RandomBatches(TOKENS, 4, 12))


def early_stop():
    """Processes that see other losses in their own parts stop after the same epoch, at the same weights."""
    batches = SequentialBatches(TOKENS, 4, 12)
    noise = torch.randint(9, (200,), generator=torch.Generator().manual_seed(1))
    return train(language_model(nn.GRU(4, 16)), batches, SequentialBatches(noise, 3, 20), epochs=30, patience=2)


SAME = [
    sequential, random, uneven, one_stream, masked, by_hand_masked, lengths, batch_first, told_batch_first, adding,
    frozen, early_stop,
]  # fmt: skip


# What concerns several processes only


class Interruption(Exception):
    """Stands for the stop button."""


def with_everything(folder, *, seed, stop_after=None, kill_after=None, epochs=4):
    """Train with whatever has a state: momentum, dropout, random batches, a schedule."""
    path, calls, masks = Path(folder) / "run.safetensors", 0, []

    def loss(model, batch, state):
        nonlocal calls
        calls += 1
        if calls == stop_after:
            raise Interruption
        if calls == kill_after and RANK == 1 and not (Path(folder) / "killed").exists():
            epochs_done = len(companion.load_checkpoint(path)[1]["history"]["train"])
            (Path(folder) / "killed").write_text(str(epochs_done))
            os.kill(os.getpid(), signal.SIGKILL)
        value, state = next_token_loss(model, batch, state)
        masks.append(value.item())
        return value, state

    model = language_model(companion.GRU(8, 8, 2, dropout=0.3), seed, dropout=0.3)
    batches = RandomBatches(TOKENS, 4, 20)
    choices = dict(epochs=epochs, learning_rate=0.01, loss=loss, checkpoint=path, progress=False)
    try:
        history = fit(model, batches, SequentialBatches(TOKENS[:100], 2, 20), **choices)
    except Interruption:
        return None
    return {
        "weights": inner_model(model).state_dict(),
        "history": (history.train, history.held_out),
        "randomness": torch.get_rng_state(),
        "epochs": len(history),
        "own loss": masks[0],
    }


CALLS = len(RandomBatches(TOKENS, 4, 20)) + len(SequentialBatches(TOKENS[:100], 2, 20))  # of the loss in an epoch


def only_together(folder):
    """By name, what a process finds where there are several."""
    found = {}
    for name in ("whole", "stopped", "moved"):
        (Path(folder) / name).mkdir(exist_ok=True)
    found["whole"] = with_everything(Path(folder) / "whole", seed=1)
    for seed, stop_after in [(1, CALLS + 2), (7, 2 * CALLS - 1)]:
        assert with_everything(Path(folder) / "stopped", seed=seed, stop_after=stop_after) is None
    found["stopped"] = with_everything(Path(folder) / "stopped", seed=9)
    found["drawn"] = draws()
    found["errors"] = errors()
    found["backend"] = torch.distributed.get_backend()
    return found


def draws():
    """What a process draws inside fit, in a batch and in the model; and the batches it has seen."""
    drawn = []

    def loss(model, batch, state):
        drawn.append((torch.rand(()).item(), batch[0].tolist()))
        return next_token_loss(model, batch, state)

    model = language_model(nn.GRU(4, 8))
    fit(model, RandomBatches(TOKENS, 4, 20), epochs=1, loss=loss, progress=False)
    return drawn


def errors():
    """What a process is told about batches that cannot be shared."""
    model, told = language_model(nn.GRU(4, 8)), {}
    inputs, targets = torch.zeros(5, 3, dtype=torch.long), torch.zeros(4, dtype=torch.long)
    batches = {
        "another B": (inputs, targets),
        "packed": (pack_sequence([inputs[:, 0]]), targets),
        "no dimension": (inputs, torch.tensor(1)),
        "empty": (inputs[:, :0], inputs[:, :0]),
    }
    for name, batch in batches.items():
        try:
            fit(model, [batch], epochs=1, progress=False)
        except (TypeError, ValueError) as error:
            told[name] = f"{type(error).__name__}: {error}"
    return told


def main(folder, *options):
    start = time.perf_counter()
    if options:
        found = {"killed": with_everything(folder, seed=1, kill_after=2 * CALLS + 3)}
    else:
        found = {f"same {run.__name__}": run() for run in SAME} | only_together(folder)
    found["seconds"] = time.perf_counter() - start
    torch.save(found, Path(folder) / f"found-{RANK}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
