"""Connectionist temporal classification: training on labels without knowing when they occur, and reading them out.

The teaching version stands beside torch's :class:`torch.nn.CTCLoss`: the same arguments and numbers, in readable form.
Shapes: T steps, B sequences, C classes, one of which is the blank, and S labels in the longest target.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from companion.language_model import output_width
from companion.modes import evaluation_mode

__all__ = [
    "collapse",
    "ctc_batch",
    "ctc_forward",
    "ctc_loss",
    "CTCModel",
    "greedy_decode",
    "prefix_beam_search",
    "transcribe",
    "transcription_loss",
    "with_blanks",
]

NEVER = -1e30  # the logarithm of a probability of 0: with -inf itself, gradients would be nan


def collapse(path: Sequence[int], blank: int = 0) -> list[int]:
    """What a path says: of equal neighbors keep one, then leave the blanks out.

    Args:
        path: a class for each step.
        blank: the class that says nothing.

    Returns:
        The labels.

    Examples:
        >>> from companion.ctc import collapse
        >>> collapse([0, 7, 7, 0, 7, 2, 2, 0])
        [7, 7, 2]

    Source: :cite:t:`graves2006`, the map B of section 3.1. Taught in *From sound to digits*.
    """
    return [label for label, _ in groupby(path) if label != blank]


def with_blanks(targets: Tensor, blank: int = 0) -> Tensor:
    """A blank before, between and after the labels.

    Args:
        targets: labels, shape (B, S).
        blank: the class that says nothing.

    Returns:
        Shape (B, 2 S + 1).

    Examples:
        >>> from companion.ctc import with_blanks
        >>> with_blanks(torch.tensor([[7, 7, 2]]))
        tensor([[0, 7, 0, 7, 0, 2, 0]])

    Source: :cite:t:`graves2006`, section 4.1. Taught in *From sound to digits*.
    """
    states = targets.new_full((targets.shape[0], 2 * targets.shape[1] + 1), blank)
    states[:, 1::2] = targets
    return states


def ctc_forward(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int = 0
) -> Tensor:
    """The logarithm of the probability that a path says the target, summed over all paths that do.

    Args:
        log_probs: log-probabilities of the classes at every step, shape (T, B, C).
        targets: labels, padded with any class, shape (B, S).
        input_lengths: the number of steps of each sequence, shape (B).
        target_lengths: the number of labels of each sequence, shape (B).
        blank: the class that says nothing.

    Returns:
        Shape (B); -1e30 or less where no path says the target. Its gradient with respect to ``log_probs`` is the
        probability of each class at each step, given the target.

    Examples:
        >>> from companion.ctc import ctc_forward
        >>> even = torch.full((2, 1, 2), 0.5).log()  # two steps, a blank and one label, evenly likely
        >>> ctc_forward(even, torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1])).exp()  # all but two blanks
        tensor([0.7500])

    Source: :cite:t:`graves2006`, equations 5 to 8. Taught in *From sound to digits*.
    """
    states = with_blanks(targets, blank)                                    # (B, 2S + 1)
    emit = log_probs.gather(2, states.expand(len(log_probs), -1, -1))       # (T, B, 2S + 1)
    may_skip = states != blank
    may_skip[:, 2:] &= states[:, 2:] != states[:, :-2]      # between equal labels stands a blank
    alpha = torch.full_like(emit[0], NEVER)
    alpha[:, 0] = 0                                         # before step 0: at the first blank,
    for t, emitted in enumerate(emit.clamp(min=NEVER).unbind(0)):
        step = F.pad(alpha, (1, 0), value=NEVER)[:, :-1]    # from the state before
        skip = F.pad(alpha, (2, 0), value=NEVER)[:, :-2].where(may_skip, NEVER)
        moved = torch.stack([alpha, step, skip]).logsumexp(0) + emitted
        alpha = torch.where((t < input_lengths)[:, None], moved.clamp(min=NEVER), alpha)
    last = 2 * target_lengths[:, None]                      # the last blank; the label before it
    ends = alpha.gather(1, torch.cat([last, (last - 1).clamp(min=0)], 1))   # (B, 2)
    ends = torch.where(torch.cat([last, last - 1], 1) < 0, NEVER, ends)
    return ends.logsumexp(1)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log-likelihood of targets whose place in time is unknown; the arguments of torch's ``ctc_loss``.

    The gradient with respect to ``log_probs`` is the true one, also where these are no log-softmax. torch's own
    function adds the softmax to it, which makes no difference below a log-softmax.

    Args:
        log_probs: log-probabilities of the classes at every step, shape (T, B, C), or (T, C) without a batch.
        targets: labels without blanks: padded, shape (B, S), or one after the other, shape (sum of target_lengths).
        input_lengths: the number of steps of each sequence, shape (B), or () without a batch.
        target_lengths: the number of labels of each sequence, shape (B), or () without a batch.
        blank: the class that says nothing.
        reduction: ``"none"`` gives each sequence's loss; ``"sum"`` their sum; ``"mean"`` divides each by its number
            of labels and takes the mean.
        zero_infinity: make the loss and gradient 0 where a target does not fit into the steps, instead of inf.

    Returns:
        The loss in nats, shape (B) or () with ``reduction="none"``, else ().

    Raises:
        RuntimeError: a shape, a dtype or a length does not fit, or ``blank`` is no class.
        ValueError: there is no such reduction, or a target is the blank or no class, where torch reads on in silence.

    Examples:
        >>> from companion.ctc import ctc_loss
        >>> log_probs = torch.randn(9, 2, 5).log_softmax(-1)  # (T, B, C)
        >>> arguments = log_probs, torch.tensor([[1, 1, 4], [2, 3, 0]]), torch.tensor([9, 7]), torch.tensor([3, 2])
        >>> torch.allclose(ctc_loss(*arguments), nn.functional.ctc_loss(*arguments))
        True

    Source: :cite:t:`graves2006`. Taught in *From sound to digits*.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction should be 'none', 'mean' or 'sum', got {reduction!r}")
    batched = log_probs.dim() == 3
    log_probs = log_probs if batched else log_probs.unsqueeze(1)  # (T, B, C)
    device = log_probs.device
    input_lengths, target_lengths = (
        torch.as_tensor(lengths, device=device).reshape(-1) for lengths in (input_lengths, target_lengths)
    )
    _check_probabilities(log_probs, blank)
    _check_lengths(log_probs, input_lengths, target_lengths)
    targets = _pad_targets(targets.to(device), target_lengths, batched)
    own = _check_labels(targets, target_lengths, log_probs.shape[2], blank)
    losses = -ctc_forward(log_probs, targets.where(own, blank), input_lengths, target_lengths, blank)
    impossible = losses > -NEVER / 10
    losses = losses.masked_fill(impossible, 0.0 if zero_infinity else torch.inf)
    if reduction == "mean":
        return (losses / target_lengths.clamp(min=1)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses if batched else losses[0]


def greedy_decode(log_probs: Tensor, input_lengths: Tensor, blank: int = 0) -> list[list[int]]:
    """What the most likely path says: the best class at every step, collapsed.

    Args:
        log_probs: scores of the classes at every step, shape (T, B, C).
        input_lengths: the number of steps of each sequence, shape (B).
        blank: the class that says nothing.

    Returns:
        The labels of each of the B sequences.

    Examples:
        >>> from companion.ctc import greedy_decode
        >>> scores = torch.eye(3)[torch.tensor([1, 1, 0, 1, 2])].unsqueeze(1)  # (T, 1, C)
        >>> greedy_decode(scores, torch.tensor([5]))
        [[1, 1, 2]]

    Source: :cite:t:`graves2006`, section 3.2, "best path decoding". Taught in *From sound to digits*.
    """
    paths = log_probs.argmax(-1).T.tolist()     # B lists of T classes
    lengths = input_lengths.tolist()
    return [collapse(path[:length], blank) for path, length in zip(paths, lengths, strict=True)]


def transcribe(model: nn.Module, recordings: Sequence[Tensor]) -> list[list[int]]:
    """What a :class:`CTCModel` reads in recordings, by :func:`greedy_decode`, in evaluation mode, on its device.

    Args:
        model: called as ``model(features, lengths)``, returns log-probabilities of shape (T, B, C), the blank first.
        recordings: the features of each recording, shape (length, D).

    Returns:
        The labels of each recording.

    Examples:
        >>> from companion.ctc import CTCModel, transcribe
        >>> model = CTCModel(nn.GRU(129, 8, bidirectional=True), num_classes=11)
        >>> len(transcribe(model, [torch.randn(60, 129), torch.randn(45, 129)]))
        2

    Taught in *From sound to digits*.
    """
    device = next(model.parameters()).device
    features, lengths = pad_sequence(list(recordings)), torch.tensor([len(each) for each in recordings])
    with evaluation_mode(model):
        return greedy_decode(model(features.to(device), lengths), lengths)


def prefix_beam_search(log_probs: Tensor, beam_width: int = 8, blank: int = 0) -> list[tuple[list[int], float]]:
    """The most likely labels, the probabilities of all paths that say the same summed up.

    For every prefix two numbers are kept, for the paths that end in a blank and for those that do not: only after a
    blank does the same label once more say something new.

    Args:
        log_probs: log-probabilities of the classes at every step of one sequence, shape (T, C).
        beam_width: how many prefixes are kept after every step.
        blank: the class that says nothing.

    Returns:
        At most ``beam_width`` pairs of labels and the logarithm of their probability, the best first. With a beam that
        holds every prefix the probabilities are exact; otherwise they may be too small.

    Raises:
        ValueError: ``log_probs`` has another shape, or ``beam_width`` is less than 1.

    Examples:
        >>> from companion.ctc import prefix_beam_search
        >>> log_probs = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()  # the best path, two blanks, says nothing
        >>> [(labels, round(torch.tensor(score).exp().item(), 2)) for labels, score in prefix_beam_search(log_probs)]
        [([1], 0.64), ([], 0.36)]

    Source: :cite:t:`graves2006`, section 3.2, for the idea of a search over prefixes; the two numbers for each prefix
    :cite:t:`hannun2014`. Taught in *From sound to digits*.
    """
    if log_probs.dim() != 2 or beam_width < 1:
        found = f"{tuple(log_probs.shape)} and {beam_width}"
        raise ValueError(f"log_probs should have shape (T, C), and beam_width be at least 1, got {found}")
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}  # after a blank, after a label
    scale = 0.0  # the logarithm of what all probabilities were divided by, so that none gets too small
    for step in log_probs.double().exp().tolist():
        grown = _grow(beam, step, blank)
        best = sorted(grown, key=lambda prefix: -sum(grown[prefix]))[:beam_width]
        total = sum(sum(grown[prefix]) for prefix in best)
        beam = {prefix: (grown[prefix][0] / total, grown[prefix][1] / total) for prefix in best}
        scale += math.log(total)
    return [(list(prefix), scale + math.log(sum(both))) for prefix, both in beam.items() if sum(both) > 0]


def _grow(
    beam: dict[tuple[int, ...], tuple[float, float]], step: list[float], blank: int
) -> dict[tuple[int, ...], tuple[float, float]]:
    """Every prefix, and every prefix with one more label, after one more step with these probabilities."""
    grown: dict[tuple[int, ...], list[float]] = {}
    for prefix, (after_blank, after_label) in beam.items():
        both = after_blank + after_label
        stays = grown.setdefault(prefix, [0.0, 0.0])
        stays[0] += both * step[blank]
        if prefix:
            stays[1] += after_label * step[prefix[-1]]  # the same label, held on
        for label, probability in enumerate(step):
            if label != blank:
                again = prefix[-1:] == (label,)
                longer = grown.setdefault((*prefix, label), [0.0, 0.0])
                longer[1] += (after_blank if again else both) * probability
    return {prefix: (blanks, labels) for prefix, (blanks, labels) in grown.items()}


class CTCModel(nn.Module):
    """A recurrent layer that reads features, and after it the log-probability of every class at every step.

    Args:
        layer: any recurrent layer with nn's interface that takes packed sequences, ours or :mod:`torch.nn`'s.
        num_classes: number C of classes, the blank among them.

    Examples:
        >>> from companion.ctc import CTCModel
        >>> model = CTCModel(nn.GRU(129, 8, bidirectional=True), num_classes=11)
        >>> model(torch.randn(60, 2, 129), torch.tensor([60, 45])).shape
        torch.Size([60, 2, 11])

    Taught in *From sound to digits*.
    """

    def __init__(self, layer, num_classes):
        super().__init__()
        self.layer = layer
        self.output = nn.Linear(output_width(layer), num_classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Score every class at every step.

        Args:
            features: padded features, shape (T, B, D).
            lengths: the number of steps of each sequence, shape (B).

        Returns:
            Log-probabilities, shape (T, B, C). What stands in the padding means nothing.
        """
        packed = pack_padded_sequence(features, lengths.cpu(), enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.layer(packed)[0])     # (T, B, 2H)
        return self.output(outputs).log_softmax(-1)                 # (T, B, C)


def ctc_batch(examples: Sequence[tuple[Tensor, Sequence[int]]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Put pairs of features and labels into one batch; a ``collate_fn`` for :class:`torch.utils.data.DataLoader`.

    Args:
        examples: pairs of features, shape (length, D), and labels, in order, none of them the blank.

    Returns:
        The features, padded with zeros, shape (T, B, D); their lengths, shape (B); the number of labels of each,
        shape (B); and all labels one after the other, shape (sum of the numbers of labels).

    Examples:
        >>> from companion.ctc import ctc_batch
        >>> batch = ctc_batch([(torch.randn(60, 129), [3, 3, 8]), (torch.randn(45, 129), [1])])
        >>> [tuple(part.shape) for part in batch]
        [(60, 2, 129), (2,), (2,), (4,)]

    Taught in *From sound to digits*.
    """
    features, labels = zip(*examples, strict=True)
    input_lengths = torch.tensor([len(sequence) for sequence in features])
    target_lengths = torch.tensor([len(sequence) for sequence in labels])
    targets = torch.tensor([label for sequence in labels for label in sequence])
    return pad_sequence(list(features)), input_lengths, target_lengths, targets


def transcription_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor], state: Any = None
) -> tuple[Tensor, Any]:
    """The loss of a :class:`CTCModel` in nats a label; a ``loss`` for ``fit`` and ``evaluate``.

    Args:
        model: called as ``model(features, lengths)``, returns log-probabilities of shape (T, B, C), the blank first.
        batch: what :func:`ctc_batch` returns.
        state: passed on: there is none between recordings.

    Returns:
        The loss, a scalar tensor, and ``state``.

    Examples:
        >>> from companion.ctc import CTCModel, ctc_batch, transcription_loss
        >>> batch = ctc_batch([(torch.randn(60, 129), [3, 3, 8]), (torch.randn(45, 129), [1])])
        >>> transcription_loss(CTCModel(nn.GRU(129, 8), 11), batch)[0].shape
        torch.Size([])

    Taught in *From sound to digits*.
    """
    features, input_lengths, target_lengths, targets = batch
    log_probs = model(features, input_lengths)
    loss = F.ctc_loss(log_probs, targets, input_lengths, target_lengths, reduction="sum")
    return loss / len(targets), state


def _check_probabilities(log_probs: Tensor, blank: int) -> None:
    if log_probs.dim() != 3 or log_probs.dtype not in (torch.float32, torch.float64):
        found = f"shape {tuple(log_probs.shape)}, {log_probs.dtype}"
        raise RuntimeError(f"log_probs should have shape (T, B, C) and dtype float32 or float64, got {found}")
    if not 0 <= blank < log_probs.shape[2]:
        raise RuntimeError(f"blank should be one of {log_probs.shape[2]} classes, got {blank}")


def _check_lengths(log_probs: Tensor, input_lengths: Tensor, target_lengths: Tensor) -> None:
    T, B, _ = log_probs.shape
    for name, lengths in {"input_lengths": input_lengths, "target_lengths": target_lengths}.items():
        if lengths.shape != (B,) or lengths.is_floating_point():
            found = f"shape {tuple(lengths.shape)}, {lengths.dtype}"
            raise RuntimeError(f"{name} should be one integer for each of {B} sequences, got {found}")
        if B and int(lengths.min()) < 0:
            raise RuntimeError(f"{name} should not be negative, got {int(lengths.min())}")
    if B and int(input_lengths.max()) > T:
        raise RuntimeError(f"input_lengths should be at most the {T} steps, got {int(input_lengths.max())}")


def _pad_targets(targets: Tensor, target_lengths: Tensor, batched: bool) -> Tensor:
    """The labels in shape (B, S), whichever of the two forms they came in."""
    B = len(target_lengths)
    if targets.dim() == 1 and batched:
        if len(targets) != int(target_lengths.sum()):
            wanted = int(target_lengths.sum())
            raise RuntimeError(f"targets should hold the {wanted} labels of target_lengths, got {len(targets)}")
        return pad_sequence(list(targets.split(target_lengths.tolist())), batch_first=True)
    targets = targets if batched else targets.reshape(1, -1)
    if targets.dim() != 2 or targets.shape[0] != B or targets.shape[1] < int(target_lengths.max()):
        wanted = f"({B}, {int(target_lengths.max())}) or wider"
        raise RuntimeError(f"targets should have shape {wanted}, got {tuple(targets.shape)}")
    return targets


def _check_labels(targets: Tensor, target_lengths: Tensor, classes: int, blank: int) -> Tensor:
    """Which places of the padded targets hold a label, shape (B, S): in the others may stand anything."""
    own = torch.arange(targets.shape[1], device=targets.device) < target_lengths[:, None]  # (B, S)
    wrong = own & ((targets < 0) | (targets >= classes) | (targets == blank))
    if wrong.any():
        found = int(targets[wrong][0])
        raise ValueError(f"targets should be labels 0 to {classes - 1}, and not the blank {blank}, got {found}")
    return own
