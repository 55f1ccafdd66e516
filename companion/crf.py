r"""A linear-chain conditional random field: a score for a whole sequence of tags, not for each tag alone.

The score of a path :math:`y_1, ..., y_T` of tags is a sum, and its probability a softmax over all :math:`K^T` paths:

.. math::

    s(y) = a_{y_1} + \sum_{t=1}^{T} e_{t, y_t} + \sum_{t=2}^{T} A_{y_{t-1}, y_t} + b_{y_T}

.. math::

    p(y) = \frac{\exp s(y)}{Z}, \qquad Z = \sum_{y'} \exp s(y')

Shapes: T time steps, B sequences in a batch, K tags. The arguments of all functions are the same:

============  ============================================================================================
argument      what it holds
============  ============================================================================================
emissions     e, a score for every tag at every step, shape (T, B, K), for instance a layer's output
transitions   A, row: the tag before, column: the tag after, shape (K, K)
start, end    a and b, scores for the first tag and the last, shape (K) each
mask          True at a sequence's own steps, False in the padding behind them, shape (T, B), as
              :func:`companion.batching.length_mask` gives it; None where nothing is padded
============  ============================================================================================

All run in a single loop over T, on any device, in log space; memory and work grow with T * B * K * K.
"""

from typing import Any

import torch
from torch import Tensor, nn

from companion.validation import check_positive_int, check_tensor

__all__ = ["ConditionalRandomField", "FORBIDDEN", "log_partition", "path_score", "tag_marginals", "viterbi"]

FORBIDDEN = -1e4
"""What a forbidden transition scores. ``exp`` of it is 0, and unlike minus infinity it gives no nan in a gradient."""


def check_scores(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, mask: Tensor | None) -> Tensor:
    """The mask, all True if it is None; raise TypeError or ValueError unless all shapes belong together."""
    check_tensor("emissions", emissions, "a tensor of shape (T, B, K)")
    if emissions.dim() != 3 or 0 in emissions.shape:
        raise ValueError(f"emissions should have shape (T, B, K), none of them 0, got {tuple(emissions.shape)}")
    T, B, K = emissions.shape
    for name, scores, shape in (("transitions", transitions, (K, K)), ("start", start, (K,)), ("end", end, (K,))):
        check_tensor(name, scores, f"a tensor of shape {shape}")
        if tuple(scores.shape) != shape:
            raise ValueError(f"{name} should have shape {shape} for {K} tags, got {tuple(scores.shape)}")
    if mask is None:
        return torch.ones(T, B, dtype=torch.bool, device=emissions.device)
    check_tensor("mask", mask, f"booleans of shape {(T, B)}")
    if mask.dtype != torch.bool:
        raise TypeError(f"mask should hold booleans, got {mask.dtype}")
    if mask.shape != (T, B):
        raise ValueError(f"mask should have shape {(T, B)}, as emissions do, got {tuple(mask.shape)}")
    if not mask[0].all() or (mask[1:] & ~mask[:-1]).any():
        raise ValueError("mask should be True from the first step of every sequence on, then False, got a gap")
    return mask


def check_tags(tags: Tensor, emissions: Tensor, mask: Tensor) -> Tensor:
    """The tags with 0 in the padding; raise TypeError or ValueError unless there is one for each own step."""
    if not isinstance(tags, Tensor) or tags.dtype != torch.int64:
        found = str(tags.dtype) if isinstance(tags, Tensor) else f"a {type(tags).__name__}"
        raise TypeError(f"tags should be a tensor of tag numbers, int64, got {found}")
    if tags.shape != mask.shape:
        raise ValueError(f"tags should have shape {tuple(mask.shape)}, as emissions do, got {tuple(tags.shape)}")
    tags, K = tags.masked_fill(~mask, 0), emissions.shape[2]
    if not 0 <= int(tags.min()) <= int(tags.max()) < K:
        raise ValueError(f"tags should be from 0 to {K - 1}, got {int(tags.min())} to {int(tags.max())}")
    return tags


def path_score(
    emissions: Tensor, tags: Tensor, transitions: Tensor, start: Tensor, end: Tensor, mask: Tensor | None = None
) -> Tensor:
    """The score s(y) of one path of tags for each sequence.

    Args:
        emissions: see above, shape (T, B, K).
        tags: the path, tag numbers of shape (T, B), int64; the padding may hold anything.
        transitions: shape (K, K).
        start: shape (K).
        end: shape (K).
        mask: shape (T, B), or None.

    Returns:
        Shape (B), no probabilities yet: subtract :func:`log_partition` for their logarithm.

    Raises:
        TypeError: ``tags`` is no int64 tensor, the mask holds no booleans, or anything else is no tensor.
        ValueError: the shapes do not fit, a tag is out of range, or the mask has a gap.

    Examples:
        >>> from companion.crf import path_score
        >>> emissions = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]])  # T = 2, B = 1, K = 2
        >>> transitions = torch.tensor([[0.0, 10.0], [20.0, 30.0]])
        >>> path_score(emissions, torch.tensor([[0], [1]]), transitions, torch.zeros(2), torch.zeros(2))
        tensor([13.])

    Source: :cite:t:`lafferty2001`. Taught in *Tagging*.
    """
    mask = check_scores(emissions, transitions, start, end, mask)
    tags = check_tags(tags, emissions, mask)
    chosen = emissions.gather(2, tags.unsqueeze(2)).squeeze(2)  # (T, B)
    steps = chosen[1:] + transitions[tags[:-1], tags[1:]]  # (T - 1, B)
    last = tags.gather(0, mask.sum(0, keepdim=True) - 1)[0]  # (B)
    return start[tags[0]] + chosen[0] + steps.masked_fill(~mask[1:], 0).sum(0) + end[last]


def log_partition(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, mask: Tensor | None = None
) -> Tensor:
    """The forward algorithm: log Z, over all paths at once, in T steps.

    Args:
        emissions: see above, shape (T, B, K).
        transitions: shape (K, K).
        start: shape (K).
        end: shape (K).
        mask: shape (T, B), or None.

    Returns:
        Shape (B). Its gradient with respect to the emissions are the marginals, see :func:`tag_marginals`.

    Raises:
        TypeError: the mask holds no booleans, or anything else is no tensor.
        ValueError: the shapes do not fit, or the mask has a gap.

    Examples:
        >>> from companion.crf import log_partition
        >>> nothing = torch.zeros(3)
        >>> paths = log_partition(torch.zeros(4, 1, 3), torch.zeros(3, 3), nothing, nothing).exp()
        >>> round(paths.item())  # all scores 0: Z counts the paths
        81

    Source: :cite:t:`rabiner1989` for the recursion, :cite:t:`lafferty2001` for its use. Taught in *Tagging*.
    """
    mask = check_scores(emissions, transitions, start, end, mask)
    alpha = start + emissions[0]  # (B, K)
    for emission, real in zip(emissions[1:], mask[1:].unsqueeze(-1), strict=True):
        longer = torch.logsumexp(alpha.unsqueeze(2) + transitions, dim=1) + emission  # (B, K)
        alpha = torch.where(real, longer, alpha)
    return torch.logsumexp(alpha + end, dim=1)  # (B)


def viterbi(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The best path and its score: the forward algorithm with a maximum in place of the sum, and a way back.

    Args:
        emissions: see above, shape (T, B, K).
        transitions: shape (K, K).
        start: shape (K).
        end: shape (K).
        mask: shape (T, B), or None.

    Returns:
        The tags, shape (T, B), where the padding repeats a sequence's last tag; and their scores, shape (B).

    Raises:
        TypeError: the mask holds no booleans, or anything else is no tensor.
        ValueError: the shapes do not fit, or the mask has a gap.

    Examples:
        >>> from companion.crf import viterbi
        >>> emissions = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]]).unsqueeze(1)  # T = 3, B = 1, K = 2
        >>> stay = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
        >>> tags, score = viterbi(emissions, stay, torch.zeros(2), torch.zeros(2))
        >>> tags.flatten().tolist(), score.item()  # tag by tag it would be 0, 1, 0
        ([0, 0, 0], 8.0)

    Source: :cite:t:`viterbi1967`. Taught in *Tagging*.
    """
    mask = check_scores(emissions, transitions, start, end, mask)
    best, back = start + emissions[0], []  # (B, K)
    stay = torch.arange(len(start), device=start.device)
    for emission, real in zip(emissions[1:], mask[1:].unsqueeze(-1), strict=True):
        longer, before = (best.unsqueeze(2) + transitions).max(dim=1)  # (B, K), (B, K)
        best = torch.where(real, longer + emission, best)
        back.append(torch.where(real, before, stay))
    score, tag = (best + end).max(dim=1)  # (B), (B)
    tags = [tag]
    for before in reversed(back):
        tags.append(before.gather(1, tags[-1].unsqueeze(1)).squeeze(1))
    return torch.stack(tags[::-1]), score  # (T, B), (B)


def tag_marginals(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, mask: Tensor | None = None
) -> Tensor:
    """How probable each tag is at each step, over all paths: the gradient of log Z with respect to the emissions.

    Args:
        emissions: see above, shape (T, B, K).
        transitions: shape (K, K).
        start: shape (K).
        end: shape (K).
        mask: shape (T, B), or None.

    Returns:
        Shape (T, B, K), a distribution over the tags at each own step, and 0 in the padding; without a gradient.

    Raises:
        TypeError: the mask holds no booleans, or anything else is no tensor.
        ValueError: the shapes do not fit, or the mask has a gap.

    Examples:
        >>> from companion.crf import tag_marginals
        >>> nothing = torch.zeros(2)
        >>> tag_marginals(torch.zeros(3, 1, 2), torch.zeros(2, 2), nothing, nothing)[0]
        tensor([[0.5000, 0.5000]])

    Source: :cite:t:`lafferty2001`. Taught in *Tagging*.
    """
    mask = check_scores(emissions, transitions, start, end, mask)
    with torch.enable_grad():
        leaf = emissions.detach().requires_grad_()
        total = log_partition(leaf, transitions.detach(), start.detach(), end.detach(), mask).sum()
    return torch.autograd.grad(total, leaf)[0]  # (T, B, K)


class ConditionalRandomField(nn.Module):
    """Learned scores for transitions, first and last tags, on top of any layer that gives emissions.

    Args:
        num_tags: number K of tags.
        allowed: which tag may follow which, booleans of shape (K, K), row: the tag before; all if None.
            :func:`companion.spans.bio_transitions` gives those of BIO tags.
        allowed_start: which tag may be the first, booleans of shape (K); all if None.
        batch_first: whether emissions, tags and mask are (B, T, ...) instead of (T, B, ...).

    Attributes:
        transitions: the learned scores, (K, K), drawn from U(-0.1, 0.1); forbidden ones have no effect.
        start, end: the learned scores, (K) each, likewise.

    Raises:
        TypeError: ``num_tags`` is no int, or what is allowed are no booleans.
        ValueError: ``num_tags`` is less than 1, a shape does not fit, or no path of any length is allowed.

    Examples:
        >>> crf = companion.ConditionalRandomField(num_tags=5)
        >>> emissions, tags = torch.randn(7, 2, 5), torch.randint(5, (7, 2))  # (T, B, K), (T, B)
        >>> loss = -crf(emissions, tags).mean()
        >>> loss.backward()
        >>> best = crf.decode(emissions)
        >>> best.shape, bool((crf(emissions, best) >= crf(emissions, tags)).all())
        (torch.Size([7, 2]), True)

    Source: :cite:t:`lafferty2001`; above a bidirectional LSTM: :cite:t:`huang2015`. Taught in *Tagging*.
    """

    def __init__(
        self,
        num_tags: int,
        allowed: Tensor | None = None,
        allowed_start: Tensor | None = None,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        check_positive_int("num_tags", num_tags)
        allowed = _check_allowed("allowed", allowed, (num_tags, num_tags))
        allowed_start = _check_allowed("allowed_start", allowed_start, (num_tags,))
        if not allowed_start.any() or not allowed[_reachable(allowed, allowed_start)].any(1).all():
            raise ValueError("allowed should let every path go on, got a tag that may come and has no successor")
        self.num_tags, self.batch_first = num_tags, batch_first
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags))
        self.start, self.end = nn.Parameter(torch.empty(num_tags)), nn.Parameter(torch.empty(num_tags))
        self.register_buffer("allowed", allowed, persistent=False)
        self.register_buffer("allowed_start", allowed_start, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all scores from U(-0.1, 0.1)."""
        for scores in self.parameters():
            nn.init.uniform_(scores, -0.1, 0.1)

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions, start and end as the functions of this module take them, with :data:`FORBIDDEN` filled in."""
        transitions = self.transitions.masked_fill(~self.allowed, FORBIDDEN)
        return transitions, self.start.masked_fill(~self.allowed_start, FORBIDDEN), self.end

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None) -> Tensor:
        """The log-probability of the tags, shape (B); its negative is the loss.

        Args:
            emissions: shape (T, B, K), or (B, T, K) if ``batch_first``.
            tags: tag numbers, shape (T, B) or (B, T), int64; the padding may hold anything.
            mask: booleans of the same shape, or None.

        Raises:
            TypeError: as :func:`path_score`.
            ValueError: as :func:`path_score`, or the tags go a forbidden way.
        """
        emissions, tags, mask = self._time_first(emissions, tags, mask)
        scores = self.scores()
        of_path = path_score(emissions, tags, *scores, mask)
        if (of_path.detach() < FORBIDDEN / 2).any():
            self._check_path(tags, torch.ones_like(tags, dtype=torch.bool) if mask is None else mask)
        return of_path - log_partition(emissions, *scores, mask)

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """The best path by :func:`viterbi`, shape (T, B), or (B, T) if ``batch_first``."""
        emissions, mask = self._time_first(emissions, mask)
        tags, _ = viterbi(emissions, *self.scores(), mask)
        return tags.T if self.batch_first else tags

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """How probable each tag is at each step, by :func:`tag_marginals`, in the shape of the emissions."""
        emissions, mask = self._time_first(emissions, mask)
        chances = tag_marginals(emissions, *self.scores(), mask)
        return chances.transpose(0, 1) if self.batch_first else chances

    def extra_repr(self) -> str:
        """The number of tags, and how many transitions are forbidden."""
        return f"{self.num_tags}, forbidden={int((~self.allowed).sum())}, batch_first={self.batch_first}"

    def _time_first(self, *parts: Any) -> tuple[Any, ...]:
        if not self.batch_first:
            return parts
        return tuple(p.transpose(0, 1) if isinstance(p, Tensor) and p.dim() >= 2 else p for p in parts)

    def _check_path(self, tags: Tensor, mask: Tensor) -> None:
        """Raise ValueError for the first forbidden transition, if it is one that made the score so low."""
        tags = tags.masked_fill(~mask, 0)
        wrong = ~self.allowed[tags[:-1], tags[1:]] & mask[1:]  # (T - 1, B)
        if not self.allowed_start[tags[0]].all():
            number = int((~self.allowed_start[tags[0]]).nonzero()[0])
            raise ValueError(f"tags should begin as allowed_start says, got {int(tags[0, number])} in row {number}")
        if wrong.any():
            step, number = wrong.nonzero()[0].tolist()
            pair = f"{int(tags[step, number])} before {int(tags[step + 1, number])}"
            raise ValueError(f"tags should follow each other as allowed says, got {pair} at step {step}")


def _check_allowed(name: str, allowed: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    if allowed is None:
        return torch.ones(shape, dtype=torch.bool)
    if not isinstance(allowed, Tensor) or allowed.dtype != torch.bool:
        found = str(allowed.dtype) if isinstance(allowed, Tensor) else f"a {type(allowed).__name__}"
        raise TypeError(f"{name} should be a tensor of booleans, got {found}")
    if tuple(allowed.shape) != shape:
        raise ValueError(f"{name} should have shape {shape}, got {tuple(allowed.shape)}")
    return allowed.clone()


def _reachable(allowed: Tensor, allowed_start: Tensor) -> Tensor:
    """Which tags some path can come to."""
    reached = allowed_start
    for _ in range(len(allowed)):
        reached = reached | allowed[reached].any(0)
    return reached
