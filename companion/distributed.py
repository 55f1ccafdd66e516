"""Several processes that train one model: each reads its own part of every batch, and the gradients are averaged."""

import atexit
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from companion.checkpoints import random_states, restore_random_states
from companion.tasks import IGNORED

__all__ = ["count_targets", "distributed_model", "shard"]

Batch = tuple[Tensor, ...]


def distributed_model(model: nn.Module, batch_first: bool | None = None) -> nn.Module:
    """Join the processes that ``torchrun`` has started, so that they train this model together.

    Build the model as ever, call this, and hand the result to :func:`~companion.training.fit` or
    :func:`~companion.training.evaluate`, in every process alike. Each process computes on its own part of each batch,
    its :func:`shard`, and after every backward pass all hold the gradient of the whole batch.

    A process that no launcher started has nobody to join: it gets its model back as it is. So one script does for both,
    ``python train.py`` and ``torchrun --nproc-per-node 2 train.py``.

    Args:
        model: the model, on the CPU or on a GPU. Process number k of a machine moves it to the GPU number k. All start
            from the weights of the first process.
        batch_first: whether every tensor of a batch has the sequences in its first dimension, shape (B, ...). By
            default it has if a layer of the model says ``batch_first=True``; else the shapes are (T, B, ...), or (B).

    Returns:
        The model in a ``torch.nn.parallel.DistributedDataParallel``, which communicates by NCCL on GPUs and by
        gloo on CPUs; or ``model`` itself if there is one process. The model inside is its attribute ``module``.
        A ``loss`` has to use what it gets by calling it, ``model(...)``: only then are the gradients averaged.

    Raises:
        TypeError: ``model`` is no module.
        ValueError: ``model`` is on a device that is neither, or a machine has more processes than GPUs.

    Examples:
        >>> model = companion.LanguageModel(nn.GRU(8, 16), vocabulary_size=30)
        >>> companion.distributed_model(model) is model  # one process
        True

    Source: :cite:t:`li2020`. Taught in *More than one machine*.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model should be a torch.nn.Module, got a {type(model).__name__}")
    if isinstance(model, DistributedDataParallel) or int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return model
    device = next(model.parameters()).device
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"model should be on the CPU or on a GPU with CUDA to be distributed, got {device}")
    own_gpu = None
    if device.type == "cuda":
        own_gpu = [_choose_gpu()]
        model.to(own_gpu[0])
    if not dist.is_initialized():
        _join("nccl" if own_gpu else "gloo")
    joined = DistributedDataParallel(model, device_ids=own_gpu)
    if batch_first is not None:
        joined.batch_first = batch_first
    return joined


def _choose_gpu() -> torch.device:
    """The GPU of this process: the first process of a machine takes the first, and so on."""
    number, there_are = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= there_are:
        raise ValueError(f"model should have a GPU for each process of a machine, got number {number} of {there_are}")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _join(backend: str) -> None:
    """Meet the other processes, at the place that the launcher names in the environment."""
    place = {}
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and os.environ.get("GROUP_WORLD_SIZE") == "1":
        # torchrun keeps one table of addresses over all restarts. Without a name for each attempt a restarted process
        # may find the address of a dead one, and wait for it: github.com/pytorch/pytorch/issues/135712
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        table = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), size, is_master=False)
        attempt = f"attempt-{os.environ['TORCHELASTIC_RESTART_COUNT']}"
        place = dict(store=dist.PrefixStore(attempt, table), rank=rank, world_size=size)
    dist.init_process_group(backend, **place)
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def shard(batch: Batch, rank: int, size: int, batch_first: bool = False) -> Batch:
    """One process's part of a batch: neighboring sequences, as many as for the others, or one more or less.

    Args:
        batch: tensors with the sequences in dimension 1, shape (T, B, ...), or, if they have one dimension, (B).
        rank: which process, from 0 to below ``size``.
        size: the number of processes.
        batch_first: whether the sequences are in dimension 0 of every tensor instead.

    Returns:
        Views of the tensors. If there are more processes than sequences, some parts are empty.

    Examples:
        >>> from companion.distributed import shard
        >>> inputs, lengths = torch.arange(10).view(2, 5), torch.tensor([2, 2, 2, 1, 1])  # (T, B), (B)
        >>> [part.tolist() for part in shard((inputs, lengths), rank=1, size=2)]
        [[[2, 3, 4], [7, 8, 9]], [2, 1, 1]]

    Taught in *More than one machine*.
    """

    def own(part: Tensor) -> Tensor:
        dim = 0 if batch_first or part.dim() == 1 else 1
        B = part.shape[dim]
        first, end = rank * B // size, (rank + 1) * B // size
        return part.narrow(dim, first, end - first)

    return tuple(own(part) for part in batch)


def count_targets(batch: Batch) -> int:
    """The number of targets that the mean loss of a batch is a mean of.

    Args:
        batch: tensors, the last of which holds the targets.

    Returns:
        The number of its elements; where they are integers, without those that are -100, which cross-entropy leaves
        out.

    Examples:
        >>> from companion.distributed import count_targets
        >>> inputs, targets = torch.zeros(3, 2), torch.tensor([[4, 1], [2, -100], [7, -100]])
        >>> count_targets((inputs, targets))
        4

    Taught in *More than one machine*.
    """
    targets = batch[-1]
    if targets.is_floating_point():
        return targets.numel()
    return int((targets != IGNORED).sum())


class OneProcess:
    """What the training loop asks of the other processes, where there are none."""

    rank, size = 0, 1

    def random_numbers(self) -> AbstractContextManager[None]:
        """Torch's random numbers are as they are."""
        return nullcontext()

    def deal(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, float, int]]:
        """Yield every batch, the share of its targets that are in it, and their number."""
        for batch in batches:
            yield batch, 1.0, batch[-1].numel()

    def weigh(self, value: Tensor, share: float) -> Tensor:
        """The loss to go back from."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """What each process has here."""
        return [value]

    def random_states(self) -> dict[str, Tensor]:
        """What a checkpoint has to know of the random numbers."""
        return random_states()

    def restore_random_states(self, states: dict[str, Tensor]) -> None:
        """Go on with the random numbers of a checkpoint."""
        restore_random_states(states)


class ManyProcesses(OneProcess):
    """The processes around a model in a ``DistributedDataParallel``.

    They have to see the same batches in the same order, but should not drop the same units. So there are two sequences
    of random numbers: a common one for whoever makes the batches, and one of each process for all else. The common one
    goes on where the first process's stood, so that random batches are those that a single process would see.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        self.model, self.group = model, model.process_group
        self.rank, self.size = dist.get_rank(self.group), dist.get_world_size(self.group)
        self.batch_first = any(getattr(module, "batch_first", False) for module in model.modules())
        if "batch_first" in vars(model):  # distributed_model was told
            self.batch_first = model.batch_first
        self.common = torch.get_rng_state()

    @contextmanager
    def random_numbers(self) -> Iterator[None]:
        """Inside, every process has random numbers of its own; afterwards all go on with the common ones."""
        self.common = self.gather(torch.get_rng_state())[0]
        self._seed_own()
        try:
            yield
        finally:
            torch.set_rng_state(self.common)

    def _seed_own(self) -> None:
        source = torch.Generator()
        source.set_state(self.common)
        torch.manual_seed(int(torch.randint(2**62, (), generator=source)) + self.rank)

    @contextmanager
    def _common_numbers(self) -> Iterator[None]:
        own = torch.get_rng_state()
        torch.set_rng_state(self.common)
        try:
            yield
        finally:
            self.common = torch.get_rng_state()
            torch.set_rng_state(own)

    def deal(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, float, int]]:
        """Yield of every batch the own part, the share of the targets that are in it, and the number in all parts.

        Every process has to compute something, since the others wait for its gradients. If there are more of them than
        sequences, those left over get the first sequence, with a share of 0.
        """
        with self._common_numbers():
            iterator = iter(batches)
        while True:
            with self._common_numbers():
                batch = next(iterator, None)
            if batch is None:
                return
            sequences = check_batch(batch, self.batch_first)
            part, targets = shard(batch, self.rank, self.size, self.batch_first), batch[-1].numel()
            if self.rank * sequences // self.size == (self.rank + 1) * sequences // self.size:
                yield shard(batch, 0, sequences, self.batch_first), 0.0, targets
            else:
                yield part, self._share(part, batch), targets

    def _share(self, part: Batch, batch: Batch) -> float:
        return count_targets(part) / max(count_targets(batch), 1)

    def weigh(self, value: Tensor, share: float) -> Tensor:
        """The loss to go back from: DistributedDataParallel takes the mean of the gradients, and we want their sum."""
        if share > 0:
            return value * (share * self.size)
        # The loss may be a mean of nothing, 0 / 0. All weights get a gradient of zero without it.
        return sum(0.0 * weight.sum() for weight in self.model.parameters() if weight.requires_grad)

    def gather(self, value: Any) -> list[Any]:
        """What each process has here, in the order of their ranks. It waits for all."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def random_states(self) -> dict[str, Tensor]:
        """The common ones under the names a single process gives its own, and then those of each process."""
        states, everyone = {}, self.gather(random_states())
        for rank, own in enumerate(everyone):
            states |= {f"{rank}.{name}": state for name, state in own.items()}
        return everyone[0] | states | {"cpu": self.common}

    def restore_random_states(self, states: dict[str, Tensor]) -> None:
        """Go on with the random numbers of a checkpoint, also if fewer or more processes have written it."""
        self.common = states["cpu"]
        if f"{self.size - 1}.cpu" in states and f"{self.size}.cpu" not in states:
            prefix = f"{self.rank}."
            restore_random_states(
                {key.removeprefix(prefix): state for key, state in states.items() if key.startswith(prefix)}
            )
        else:
            self._seed_own()


def processes_of(model: nn.Module) -> OneProcess:
    """Who trains this model: this process, or all that share it."""
    return ManyProcesses(model) if isinstance(model, DistributedDataParallel) else OneProcess()


def warn_if_apart(model: nn.Module) -> None:
    """Say so if there are several processes, and each trains a model of its own."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not isinstance(model, DistributedDataParallel):
        warnings.warn(
            f"model is trained by each of {os.environ['WORLD_SIZE']} processes on its own: "
            f"distributed_model(model) lets them train it together",
            stacklevel=3,
        )


def inner_model(model: nn.Module) -> nn.Module:
    """The model itself, whose weights have the same names with one process and with many."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def check_batch(batch: Any, batch_first: bool) -> int:
    """The number of sequences in a batch; TypeError or ValueError unless each of its parts has that many."""
    if not all(isinstance(part, Tensor) and part.dim() > 0 for part in batch):
        found = ", ".join(type(part).__name__ for part in batch)
        raise TypeError(f"batches should hold tensors of at least one dimension to be sharded, got {found}")
    sizes = {part.shape[0 if batch_first or part.dim() == 1 else 1] for part in batch}
    if len(sizes) != 1 or sizes == {0}:
        form = "(B, ...)" if batch_first else "(T, B, ...) or (B)"
        shapes = ", ".join(str(tuple(part.shape)) for part in batch)
        other = "" if batch_first else "; for (B, ...) call distributed_model(model, batch_first=True)"
        raise ValueError(f"batches should hold tensors of shape {form} with one B, at least 1, got {shapes}{other}")
    return sizes.pop()
