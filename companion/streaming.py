"""Streams: a model that is fed as its input arrives, and goes on from where it was.

Shapes: B streams side by side (``batch_size``), T time, H hidden units.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from companion.modes import evaluation_mode
from companion.validation import check_positive_int, check_tensor

__all__ = ["Stream"]


class Stream:
    """A model and the state of its streams between two chunks: the outputs are those of the whole sequence.

    Each of the B streams has a state of its own: several people at one server, or one of them. They can be fed all at
    once or some at a time, and each can start anew. The model is used in evaluation mode, without gradients.

    Args:
        model: called as ``model(chunk, state)``, returns the output and the new state: a
            :class:`~companion.language_model.LanguageModel`, a recurrent layer, or a model of your own around one.
        batch_size: number B of streams.

    Attributes:
        model: the model.
        batch_size: number B of streams.
        state: the state of all streams, a tensor with the streams in its last dimension but one, such as (L, B, H), or
            a tuple of them; None before the first chunk. Keep it to go on later: it is all that a stream remembers.

    Raises:
        TypeError: ``model`` is no module, or ``batch_size`` is no int.
        ValueError: ``batch_size`` is less than 1, or a layer of the model is bidirectional: its outputs need the end
            of the sequence.

    Examples:
        >>> layer = nn.GRU(3, 4)
        >>> inputs = torch.randn(35, 1, 3)  # (T, B, D)
        >>> stream = companion.Stream(layer)
        >>> chunks = [stream.feed(chunk) for chunk in inputs.split([1, 20, 14])]
        >>> torch.allclose(torch.cat(chunks), layer(inputs)[0], atol=1e-6)
        True

    Taught in *Ready for work*.
    """

    def __init__(self, model: nn.Module, batch_size: int = 1):
        if not isinstance(model, nn.Module):
            raise TypeError(f"model should be a torch.nn.Module, got a {type(model).__name__}")
        check_positive_int("batch_size", batch_size)
        for name, module in model.named_modules():
            if getattr(module, "bidirectional", False):
                where = f" ({name})" if name else ""
                kind = type(module).__name__
                raise ValueError(
                    f"model should read forward only, got a bidirectional {kind}{where}: "
                    "its reverse half starts at the end of the sequence, which a stream does not know"
                )
        self.model, self.batch_size, self.state = model, batch_size, None
        self._batch_dim = 0 if any(getattr(module, "batch_first", False) for module in model.modules()) else 1

    def feed(self, chunk: Tensor, rows: Sequence[int] | None = None) -> Tensor:
        """Read the next steps of all streams, or of some.

        Args:
            chunk: what the model takes: T >= 1 steps, such as tokens (T, B) or inputs (T, B, D); the batch comes first
                if the model's layer is ``batch_first``.
            rows: the numbers of the streams that the chunk is for, in its order; all B by default. The others wait.

        Returns:
            The model's output for these steps.

        Raises:
            AttributeError, TypeError: ``chunk`` is no tensor.
            ValueError: ``chunk`` has another number of streams, or no steps; or ``rows`` names a stream that there is
                not, or one twice. No stream has moved then.
        """
        rows = self._check_rows(rows)
        self._check_chunk(chunk, len(rows))
        everyone = rows == list(range(self.batch_size))
        with evaluation_mode(self.model):
            before = self.state if everyone else _take(self.state, rows)
            output, after = self.model(chunk, before)
            self.state = after if everyone else _put(self.state, rows, after, self.batch_size)
        return output

    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Begin anew from zeros: all streams, or those with these numbers.

        Args:
            rows: the numbers of the streams to begin anew; all B by default.

        Raises:
            ValueError: ``rows`` names a stream that there is not, or one twice.
        """
        rows = self._check_rows(rows)
        if self.state is not None:
            self.state = None if len(rows) == self.batch_size else _zero(self.state, rows)

    def _check_rows(self, rows: Sequence[int] | None) -> list[int]:
        numbers = list(range(self.batch_size)) if rows is None else [int(row) for row in rows]
        if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(self.batch_size)):
            raise ValueError(f"rows should be different numbers from 0 to {self.batch_size - 1}, got {numbers}")
        return numbers

    def _check_chunk(self, chunk: Tensor, streams: int) -> None:
        check_tensor("chunk", chunk, "a tensor with time and batch")
        form = "(B, T, ...)" if self._batch_dim == 0 else "(T, B, ...)"
        if chunk.dim() < 2 or chunk.shape[self._batch_dim] != streams:
            raise ValueError(f"chunk should have shape {form} with B = {streams} streams, got {tuple(chunk.shape)}")
        if chunk.shape[1 - self._batch_dim] == 0:
            raise ValueError(f"chunk should have at least one step, got shape {tuple(chunk.shape)}")


def _take(state: Any, rows: list[int]) -> Any:
    """The state of some streams; None, zeros for the layer, if there is none yet."""
    if state is None:
        return None
    return state[..., rows, :] if isinstance(state, Tensor) else tuple(_take(part, rows) for part in state)


def _put(state: Any, rows: list[int], new: Any, batch_size: int) -> Any:
    """The state of all streams, with a new one for some."""
    if not isinstance(new, Tensor):
        parts = [None] * len(new) if state is None else state
        return tuple(_put(old, rows, part, batch_size) for old, part in zip(parts, new, strict=True))
    if state is None:
        state = new.new_zeros(*new.shape[:-2], batch_size, new.shape[-1])
    after = state.to(new.dtype, copy=True)  # a state that was handed out stays as it was
    after[..., rows, :] = new
    return after


def _zero(state: Any, rows: list[int]) -> Any:
    if not isinstance(state, Tensor):
        return tuple(_zero(part, rows) for part in state)
    after = state.clone()
    after[..., rows, :] = 0
    return after
