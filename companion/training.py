"""One training loop for every chapter, and for your own models."""

import copy
import math
import os
import time
from collections.abc import Callable, Iterable, Sized
from dataclasses import asdict, dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.checkpoints import load_all_or_nothing, load_checkpoint, save_checkpoint, strip_prefix
from companion.distributed import OneProcess, inner_model, processes_of, warn_if_apart
from companion.metrics import perplexity
from companion.modes import evaluation_mode
from companion.progress import progress_bar

__all__ = ["choose_device", "detach_state", "evaluate", "fit", "History", "next_token_loss", "one_cycle"]

Loss = Callable[[nn.Module, Any, Any], tuple[Tensor, Any]]


def choose_device() -> torch.device:
    """Choose where to compute.

    Returns:
        The best device there is: ``cuda``, else ``mps`` (Apple), else ``cpu``. Of the processes that ``torchrun``
        has started on a machine, each gets a GPU of its own.

    Examples:
        >>> companion.choose_device().type in ("cuda", "mps", "cpu")
        True
    """
    if torch.cuda.is_available():
        return torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def detach_state(state: Any) -> Any:
    """The same state, cut off from the computation it came from: backpropagation stops here.

    Args:
        state: a tensor, a tuple of such states, or None.

    Returns:
        The same numbers in the same form.

    Examples:
        >>> output, state = nn.LSTM(3, 4)(torch.randn(5, 2, 3))
        >>> state[0].requires_grad, companion.detach_state(state)[0].requires_grad
        (True, False)

    Source: :cite:t:`williams1990`. Taught in *The simple RNN, twice*.
    """
    if state is None:
        return None
    return state.detach() if isinstance(state, Tensor) else tuple(detach_state(part) for part in state)


def next_token_loss(model: nn.Module, batch: tuple[Tensor, Tensor], state: Any = None) -> tuple[Tensor, Any]:
    """The mean cross-entropy of a language model's guesses for one batch, in nats a token.

    Args:
        model: called as ``model(inputs, state)``, returns logits with V last, and the new state.
        batch: the pair (inputs, targets), token numbers of equal shape.
        state: the state before the batch, or None.

    Returns:
        The loss, a scalar tensor, and the state after the batch.

    Examples:
        >>> model = companion.LanguageModel(nn.GRU(8, 16), vocabulary_size=30)
        >>> tokens = torch.randint(30, (36, 4))  # (T + 1, B)
        >>> loss, state = companion.next_token_loss(model, (tokens[:-1], tokens[1:]))
        >>> loss.shape, state.shape
        (torch.Size([]), torch.Size([1, 4, 16]))
    """
    inputs, targets = batch
    logits, state = model(inputs, state)
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten()), state


def one_cycle(progress: float, warmup: float = 0.15) -> float:
    """The share of the peak learning rate after a share of the training: a straight climb, a straight descent to 0.

    Args:
        progress: how much of the training is done, 0 to 1.
        warmup: where the peak is, 0 to 1.

    Returns:
        The factor, 0 to 1.

    Examples:
        >>> [companion.one_cycle(progress, warmup=0.25) for progress in (0.0, 0.25, 0.625, 1.0)]
        [0.0, 1.0, 0.5, 0.0]

    Source: :cite:t:`smith2019`.
    """
    if progress <= warmup:
        return progress / warmup if warmup > 0 else 1.0
    return (1 - progress) / (1 - warmup)


@dataclass
class History:
    """What happened in each epoch.

    Attributes:
        train: mean training loss, nats a token, measured while the weights were changing.
        held_out: mean loss on the held-out part after the epoch; empty if there is none.
        seconds: how long each epoch took, evaluation included.

    Examples:
        >>> history = companion.History(train=[2.0, 1.5, 1.2], held_out=[2.1, 1.7, 1.8], seconds=[1.0, 1.0, 1.0])
        >>> len(history), history.best_epoch
        (3, 1)
    """

    train: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.train)

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 0, with the lowest held-out loss, or training loss if nothing is held out."""
        losses = self.held_out or self.train
        return losses.index(min(losses))

    def plot(self, ax: Any = None) -> Any:
        """Draw the perplexities over the epochs in the house style; returns the Axes."""
        from companion.plotting import plot_curves

        curves = {"training": self.train, "held out": self.held_out}
        curves = {name: [perplexity(loss) for loss in losses] for name, losses in curves.items() if losses}
        return plot_curves(curves, "epoch", "perplexity", start=1, log=True, ax=ax)


def evaluate(model: nn.Module, batches: Iterable, loss: Loss = next_token_loss) -> float:
    """The mean loss over batches, in evaluation mode, weighted by the number of targets.

    Args:
        model: any model that ``loss`` can call.
        batches: an iterable of batches whose last part holds the targets. If it says ``continues = True``, as
            :class:`~companion.text.SequentialBatches` does, the state is carried from batch to batch.
        loss: see :func:`fit`.

    Returns:
        The mean loss, nats a token for the default ``loss``.

    Examples:
        >>> vocabulary = companion.Vocabulary("to keep a little, to let a little go")
        >>> batches = companion.SequentialBatches(vocabulary.encode("to keep a little " * 9), batch_size=2, num_steps=5)
        >>> model = companion.LanguageModel(nn.GRU(8, 16), len(vocabulary))
        >>> _ = [nn.init.zeros_(weight) for weight in model.output.parameters()]  # now it guesses evenly
        >>> round(companion.perplexity(companion.evaluate(model, batches)), 4), len(vocabulary)
        (12.0, 12)
    """
    processes = processes_of(model)
    with processes.random_numbers():
        return _evaluate(model, batches, loss, processes)


def fit(
    model: nn.Module,
    batches: Iterable,
    held_out: Iterable | None = None,
    *,
    epochs: int,
    learning_rate: float = 1e-2,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: Callable[[float], float] | None = one_cycle,
    clip: float | None = 1.0,
    loss: Loss = next_token_loss,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train a model, in place, on the device its parameters are on.

    A model from :func:`~companion.distributed.distributed_model`, or in torch's ``DistributedDataParallel``, is trained
    by several processes: each calls ``fit`` with the same arguments, computes on its part of every batch, and returns
    the same history. The first one writes the checkpoint, all read it.

    Args:
        model: the model.
        batches: an iterable of batches, tuples of tensors whose last one holds the targets; it is read once an epoch
            and has a length. If it says ``continues = True``, the state is carried from batch to batch, detached.
        held_out: batches to evaluate on after every epoch, never trained on; it has a length, too.
        epochs: how many passes over ``batches``.
        learning_rate: the peak learning rate of the default optimizer, Adam. Ignored if ``optimizer`` is given.
        optimizer: another optimizer over the model's parameters.
        schedule: a function from the share of the training that is done, 0 to 1, to a factor for the learning rate;
            None keeps it constant.
        clip: the largest norm allowed for the gradient of all weights together; None clips nothing.
        loss: a function from (model, batch, state) to (mean loss of the batch, new state). With several processes
            the mean is taken to be over :func:`~companion.distributed.count_targets`.
        patience: stop after this many epochs without a better held-out loss, and go back to the best weights.
        checkpoint: a file to write after every epoch, atomically. If it exists, training goes on from there.
        progress: whether to show a progress bar while training.

    Returns:
        A :class:`History`, whose ``plot()`` draws it.

    Raises:
        TypeError: ``batches`` or ``held_out`` has no length, as something that can be read only once.
        ValueError: ``epochs``, ``learning_rate``, ``clip`` or ``patience`` is out of range, ``patience`` comes without
            ``held_out``, there are no batches, or the checkpoint belongs to another model or optimizer; or, with
            several processes, the parts of a batch are not of shapes (T, B, ...) and (B).
        FloatingPointError: a loss is no longer finite. The checkpoint is that of the epoch before.

    Examples:
        >>> vocabulary = companion.Vocabulary("to keep a little, to let a little go")
        >>> batches = companion.SequentialBatches(vocabulary.encode("to keep a little " * 9), batch_size=2, num_steps=5)
        >>> model = companion.LanguageModel(nn.GRU(8, 16), len(vocabulary))
        >>> history = companion.fit(model, batches, epochs=3, progress=False)
        >>> len(history), history.train[-1] < history.train[0]
        (3, True)

    Adam: :cite:t:`kingma2015`. Clipping: :cite:t:`pascanu2013`. Taught in *The simple RNN, twice*; with several
    processes in *More than one machine*.
    """
    _check_arguments(batches, held_out, epochs, learning_rate, clip, patience)
    warn_if_apart(model)
    optimizer = optimizer or torch.optim.Adam([p for p in model.parameters() if p.requires_grad], learning_rate)
    processes = processes_of(model)
    run = _Run(inner_model(model), optimizer, processes)
    schedule = schedule or (lambda done: 1.0)
    bar = progress_bar(epochs * len(batches), "training", progress and processes.rank == 0)
    with processes.random_numbers(), bar:
        if checkpoint is not None and processes.gather(Path(checkpoint).exists())[0]:
            run.load(checkpoint)
        model.train()
        bar.update(len(run.history) * len(batches))
        while len(run.history) < epochs and not run.should_stop(patience):
            start = time.perf_counter()
            step = _training_step(run, schedule, clip, epochs, len(batches), bar)
            run.record(
                _run_epoch(model, batches, loss, processes, step),
                _evaluate(model, held_out, loss, processes) if held_out is not None else None,
                time.perf_counter() - start,
            )
            if checkpoint is not None:
                run.save(checkpoint)
    if patience is not None:
        run.model.load_state_dict(run.best_weights)
    return run.history


def _evaluate(model: nn.Module, batches: Iterable, loss: Loss, processes: OneProcess) -> float:
    with evaluation_mode(model):
        return _run_epoch(inner_model(model), batches, loss, processes)


def _run_epoch(
    model: nn.Module,
    batches: Iterable,
    loss: Loss,
    processes: OneProcess,
    step: Callable[[Tensor], None] | None = None,
) -> float:
    """The mean loss over batches, taking a training step after each if there is one."""
    device = next(model.parameters()).device
    carry = getattr(batches, "continues", False)
    total, count, state = torch.zeros((), device=device), 0, None
    for batch, share, targets in processes.deal(batches):
        batch = tuple(part.to(device) for part in batch)
        value, state = loss(model, batch, detach_state(state) if carry else None)
        if step is not None:
            step(processes.weigh(value, share))
        if share > 0:
            total += value.detach() * (share * targets)  # stays on the device: reading it would wait for the GPU
        count += targets
    if count == 0:
        raise ValueError("batches should hold at least one target, got none")
    return sum(processes.gather(float(total))) / count


def _training_step(
    run: "_Run", schedule: Callable[[float], float], clip: float | None, epochs: int, batches: int, bar: Any
) -> Callable[[Tensor], None]:
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    taken = len(run.history) * batches

    def step(value: Tensor) -> None:
        nonlocal taken
        taken += 1
        factor = schedule(taken / (epochs * batches))
        for group, peak in zip(run.optimizer.param_groups, run.peaks, strict=True):
            group["lr"] = peak * factor
        run.optimizer.zero_grad()
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        run.optimizer.step()
        bar.update()

    return step


class _Run:
    """Everything a training run has to remember between two epochs, in memory and in its checkpoint."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, processes: OneProcess) -> None:
        self.model, self.optimizer, self.processes = model, optimizer, processes
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.history = History()
        self.best_weights: dict[str, Tensor] = copy.deepcopy(model.state_dict())

    def record(self, train: float, held_out: float | None, seconds: float) -> None:
        for name, loss in {"training": train, "held-out": held_out}.items():
            if loss is not None and not math.isfinite(loss):
                epoch = len(self.history) + 1
                raise FloatingPointError(f"the {name} loss became {loss} in epoch {epoch}: lower learning_rate")
        self.history.train.append(train)
        if held_out is not None:
            self.history.held_out.append(held_out)
        self.history.seconds.append(max(self.processes.gather(seconds)))
        if self.history.best_epoch == len(self.history) - 1:
            self.best_weights = copy.deepcopy(self.model.state_dict())

    def should_stop(self, patience: int | None) -> bool:
        if patience is None or len(self.history) == 0:
            return False
        return len(self.history) - 1 - self.history.best_epoch >= patience

    def save(self, path: str | Path) -> None:
        random_states = self.processes.random_states()  # from every process
        if self.processes.rank == 0:
            self._write(path, random_states)
        self.processes.gather(None)  # nobody goes on before the file is there

    def _write(self, path: str | Path, random_states: dict[str, Tensor]) -> None:
        tensors = {f"model.{name}": weight for name, weight in self.model.state_dict().items()}
        tensors |= {f"best.{name}": weight for name, weight in self.best_weights.items()}
        tensors |= {f"random.{name}": state for name, state in random_states.items()}
        state = self.optimizer.state_dict()
        numbers: dict[str, Any] = {}
        for index, entries in state["state"].items():
            for name, value in entries.items():
                target = tensors if isinstance(value, Tensor) else numbers
                target[f"optimizer.{index}.{name}"] = value
        notes = dict(
            history=asdict(self.history),
            peaks=self.peaks,
            optimizer=type(self.optimizer).__name__,
            groups=state["param_groups"],
            numbers=numbers,
        )
        save_checkpoint(path, tensors, notes)

    def load(self, path: str | Path) -> None:
        tensors, notes = load_checkpoint(path)
        if notes.get("optimizer") != type(self.optimizer).__name__:
            written, given = notes.get("optimizer", "nothing known"), type(self.optimizer).__name__
            raise ValueError(f"checkpoint {path} was written with optimizer {written}, got {given}")
        try:
            load_all_or_nothing(self.model, strip_prefix(tensors, "model."))
        except RuntimeError as error:
            raise ValueError(f"checkpoint {path} belongs to another model: {error}") from error
        self.best_weights = strip_prefix(tensors, "best.")
        self.history, self.peaks = History(**notes["history"]), notes["peaks"]
        entries: dict[int, dict[str, Any]] = {}
        for key, value in (strip_prefix(tensors, "optimizer.") | notes["numbers"]).items():
            index, name = key.removeprefix("optimizer.").split(".", 1)
            entries.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": entries, "param_groups": notes["groups"]})
        self.processes.restore_random_states(strip_prefix(tensors, "random."))


def _check_arguments(
    batches: Any, held_out: Any, epochs: Any, learning_rate: Any, clip: Any, patience: Any
) -> None:
    for name, value in dict(batches=batches, held_out=batches if held_out is None else held_out).items():
        if not isinstance(value, Sized):
            raise TypeError(f"{name} should have a length and be read again every epoch, got a {type(value).__name__}")
        if len(value) == 0:
            raise ValueError(f"{name} should hold at least one batch, got none")
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs should be an int of at least 1, got {epochs!r}")
    if not isinstance(learning_rate, Real) or not learning_rate > 0:
        raise ValueError(f"learning_rate should be a number greater than 0, got {learning_rate!r}")
    if clip is not None and (not isinstance(clip, Real) or not clip > 0):
        raise ValueError(f"clip should be a number greater than 0, or None for no clipping, got {clip!r}")
    if patience is not None and held_out is None:
        raise ValueError("patience needs held_out batches to watch, got held_out=None")
    if patience is not None and (not isinstance(patience, int) or patience < 1):
        raise ValueError(f"patience should be an int of at least 1 epoch, got {patience!r}")
