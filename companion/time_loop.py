"""Running a step over time: the only loops over time in the package's layers.

A *step* here is any function from (input at one time, state) to the next state. The state is a tuple of tensors whose
first one is what the layer outputs. Whatever the step computes, these loops carry it through whole sequences, through
packed ones, and backward in time.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["over_time", "over_packed_time"]

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]


def over_time(step: Step, inputs: Sequence[Tensor], state: State, reverse: bool = False) -> tuple[list[Tensor], State]:
    """Carry a state through a sequence, collecting the first part of the state after every step.

    Args:
        step: a function from (input, state) to the next state, a tuple of tensors.
        inputs: the inputs in time order, T tensors of shape (B, ...).
        state: the state before the first step, a tuple of tensors of shape (B, ...).
        reverse: read the inputs from the last to the first.

    Returns:
        The T outputs in time order, whichever way they were computed, and the state after the last step taken.

    Examples:
        >>> from companion.time_loop import over_time
        >>> outputs, (total,) = over_time(lambda x, state: (state[0] + x,), [1, 2, 3], (0,))
        >>> outputs, total
        ([1, 3, 6], 6)

    Taught in *The simple RNN, twice*.
    """
    outputs = []
    for x in reversed(inputs) if reverse else inputs:
        state = step(x, state)
        outputs.append(state[0])
    return outputs[::-1] if reverse else outputs, state


def over_packed_time(
    step: Step, inputs: Sequence[Tensor], state: State, reverse: bool = False
) -> tuple[list[Tensor], State]:
    """The same over packed sequences: sorted longest first, so that the batch only shrinks as time goes on.

    Args:
        step: a function from (input, state) to the next state, a tuple of tensors.
        inputs: T tensors, the one at time t of shape (B_t, ...) with B_t the number of sequences longer than t.
        state: the state before the first step, a tuple of tensors of shape (B_0, ...).
        reverse: read every sequence from its own last input to its first.

    Returns:
        The T outputs in time order, and the state after each sequence's own last step, shape (B_0, ...).
    """
    return (_growing_batch if reverse else _shrinking_batch)(step, inputs, state)


def _shrinking_batch(step: Step, inputs: Sequence[Tensor], state: State) -> tuple[list[Tensor], State]:
    outputs, finished = [], []
    for x in inputs:
        running = x.shape[0]
        if running < state[0].shape[0]:  # some sequences ended: set their states aside
            finished.append(tuple(part[running:] for part in state))
            state = tuple(part[:running] for part in state)
        state = step(x, state)
        outputs.append(state[0])
    longest_first = [state, *reversed(finished)]
    return outputs, tuple(torch.cat(parts) for parts in zip(*longest_first, strict=True))


def _growing_batch(step: Step, inputs: Sequence[Tensor], state: State) -> tuple[list[Tensor], State]:
    outputs, initial = [], state
    state = tuple(part[:0] for part in initial)
    for x in reversed(inputs):
        running = x.shape[0]
        if running > state[0].shape[0]:  # shorter sequences join, each from its own initial state
            joining = tuple(part[state[0].shape[0] : running] for part in initial)
            state = tuple(torch.cat(parts) for parts in zip(state, joining, strict=True))
        state = step(x, state)
        outputs.append(state[0])
    return outputs[::-1], state
