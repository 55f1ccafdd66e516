"""The CRF against all paths listed one by one, its gradients against finite differences, and what it refuses."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion.batching import length_mask
from companion.crf import ConditionalRandomField, log_partition, path_score, tag_marginals, viterbi
from companion.spans import bio_tags, bio_transitions, count_illegal
from tests import strategies  # noqa: F401  loads the settings of hypothesis

TAGS = bio_tags(["person", "place"])
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def draw(T, B, K, seed=0, dtype=torch.float64, size=1.0):
    source = torch.Generator().manual_seed(seed)
    shapes = (T, B, K), (K, K), (K,), (K,)
    return [size * torch.randn(shape, generator=source, dtype=dtype) for shape in shapes]


def score(emissions, path, transitions, start, end):
    """The definition, in plain Python numbers: emissions of one sentence, (T, K)."""
    total = start[path[0]].item() + end[path[-1]].item()
    total += sum(emissions[step, tag].item() for step, tag in enumerate(path))
    return total + sum(transitions[pair].item() for pair in pairwise(path))


def every_path(emissions, transitions, start, end):
    paths = list(product(range(emissions.shape[1]), repeat=emissions.shape[0]))
    return paths, torch.tensor([score(emissions, path, transitions, start, end) for path in paths])


# All paths


@given(st.integers(1, 4), st.integers(1, 3), st.data())
def test_everything_is_as_the_list_of_all_paths_says(K, B, data):
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 4), min_size=B, max_size=B)))
    emissions, *others = draw(int(lengths.max()), B, K, data.draw(st.integers(0, 99)))
    mask = length_mask(lengths)
    log_z, (tags, best) = log_partition(emissions, *others, mask), viterbi(emissions, *others, mask)
    marginals, of_best = tag_marginals(emissions, *others, mask), path_score(emissions, tags, *others, mask)
    for b, length in enumerate(lengths.tolist()):
        paths, scores = every_path(emissions[:length, b], *others)
        assert log_z[b].item() == pytest.approx(scores.double().logsumexp(0).item(), abs=1e-5)
        assert best[b].item() == pytest.approx(scores.max().item(), abs=1e-5)
        assert of_best[b].item() == pytest.approx(best[b].item())
        assert score(emissions[:, b], tags[:length, b].tolist(), *others) == pytest.approx(best[b].item())
        assert (tags[length:, b] == tags[length - 1, b]).all()
        chances, expected = scores.softmax(0), torch.zeros(length, K)
        for path, chance in zip(paths, chances, strict=True):
            expected[torch.arange(length), list(path)] += chance
        torch.testing.assert_close(marginals[:length, b].float(), expected, atol=1e-5, rtol=0)
        assert not marginals[length:, b].any()


def test_all_probabilities_add_up_to_one():
    crf, emissions = ConditionalRandomField(3), torch.randn(4, 1, 3)
    paths = torch.tensor(list(product(range(3), repeat=4))).T  # (T, 81)
    total = crf(emissions.expand(-1, 81, -1), paths).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0))


def test_without_transitions_it_is_a_softmax_for_each_word():
    emissions, tags = torch.randn(5, 2, 3), torch.randint(3, (5, 2))
    nothing = torch.zeros(3, 3), torch.zeros(3), torch.zeros(3)
    found = path_score(emissions, tags, *nothing) - log_partition(emissions, *nothing)
    expected = -nn.functional.cross_entropy(emissions.flatten(0, 1), tags.flatten(), reduction="none").view(5, 2).sum(0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(tag_marginals(emissions, *nothing), emissions.softmax(-1))
    assert torch.equal(viterbi(emissions, *nothing)[0], emissions.argmax(-1))


# Gradients


@pytest.mark.parametrize("lengths", [[4, 4], [4, 1]])
def test_gradients(lengths):
    inputs = [part.requires_grad_() for part in draw(4, 2, 3)]
    mask, tags = length_mask(torch.tensor(lengths)), torch.randint(3, (4, 2))
    assert torch.autograd.gradcheck(lambda *x: log_partition(*x, mask), inputs)
    assert torch.autograd.gradgradcheck(lambda *x: log_partition(*x, mask), inputs)
    assert torch.autograd.gradcheck(lambda e, *x: path_score(e, tags, *x, mask), inputs)


def test_nothing_in_the_padding_matters():
    emissions, *others = draw(5, 2, 3)
    mask, tags = length_mask(torch.tensor([5, 2])), torch.randint(3, (5, 2))
    other, other_tags = emissions.clone(), tags.clone()
    other[2:, 1], other_tags[2:, 1] = float("nan"), -100
    for function in (log_partition, tag_marginals, lambda *x: viterbi(*x)[0]):
        assert torch.equal(function(emissions, *others, mask), function(other, *others, mask))
    one, two = path_score(emissions, tags, *others, mask), path_score(other, other_tags, *others, mask)
    assert torch.equal(one, two)


@pytest.mark.parametrize("device", DEVICES)
def test_large_scores_stay_finite_in_float32(device):
    emissions, *others = (part.to(device) for part in draw(200, 3, 5, dtype=torch.float32, size=300.0))
    emissions.requires_grad_()
    log_z, (_, best) = log_partition(emissions, *others), viterbi(emissions, *others)
    log_z.sum().backward()
    assert log_z.isfinite().all() and emissions.grad.isfinite().all() and bool((log_z >= best - 1).all())
    # float32 has steps of 1/128 at such sums: no more can be asked
    torch.testing.assert_close(emissions.grad.sum(-1), torch.ones(200, 3, device=device), atol=0.02, rtol=0)


def test_long_sequences_agree_with_float64():
    single = draw(300, 2, 7, dtype=torch.float32)
    expected = log_partition(*(part.double() for part in single))
    torch.testing.assert_close(log_partition(*single).double(), expected, rtol=1e-5, atol=0)


# The module


@pytest.mark.parametrize("device", DEVICES)
def test_forbidden_transitions_never_occur_and_get_no_gradient(device):
    crf = ConditionalRandomField(len(TAGS), *bio_transitions(TAGS)).to(device)
    with torch.no_grad():
        crf.transitions[~crf.allowed] = 50.0  # as if it had learned them
    emissions = 5 * torch.randn(12, 40, len(TAGS), device=device)
    mask = length_mask(torch.randint(1, 13, (40,), device=device), 12)
    tags = crf.decode(emissions, mask)
    names = [[TAGS[tag] for tag in row] for row in tags.T.tolist()]
    assert sum(map(count_illegal, names)) == 0
    free = ConditionalRandomField(len(TAGS)).to(device).decode(emissions, mask)
    assert sum(count_illegal([TAGS[tag] for tag in row]) for row in free.T.tolist()) > 0
    (-crf(emissions, tags, mask)).sum().backward()
    assert not crf.transitions.grad[~crf.allowed].any() and crf.transitions.grad.isfinite().all()
    assert not crf.start.grad[~crf.allowed_start].any()
    assert crf.marginals(emissions, mask)[0, :, ~crf.allowed_start].max() == 0


def test_legal_paths_share_all_probability():
    tags = bio_tags(["date"])
    crf = ConditionalRandomField(3, *bio_transitions(tags))
    paths = [path for path in product(range(3), repeat=4) if count_illegal([tags[tag] for tag in path]) == 0]
    emissions = torch.randn(4, 1, 3).expand(-1, len(paths), -1)
    torch.testing.assert_close(crf(emissions, torch.tensor(paths).T).exp().sum(), torch.tensor(1.0))


def test_batch_first_is_the_same_transposed():
    one, other = ConditionalRandomField(4), ConditionalRandomField(4, batch_first=True)
    other.load_state_dict(one.state_dict())
    emissions, tags, mask = torch.randn(5, 3, 4), torch.randint(4, (5, 3)), length_mask(torch.tensor([5, 3, 1]))
    turned = emissions.transpose(0, 1), tags.T, mask.T
    torch.testing.assert_close(one(emissions, tags, mask), other(*turned))
    assert torch.equal(one.decode(emissions, mask).T, other.decode(turned[0], mask.T))
    assert torch.equal(one.marginals(emissions, mask).transpose(0, 1), other.marginals(turned[0], mask.T))


def test_it_learns_what_only_transitions_can_tell():
    """Emissions say nothing; each tag is followed by the next one."""
    crf = ConditionalRandomField(3)
    tags = (torch.arange(9).unsqueeze(1) + torch.arange(3)) % 3  # (T, B)
    optimizer = torch.optim.Adam(crf.parameters(), 0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss = -crf(torch.zeros(9, 3, 3), tags).mean()
        loss.backward()
        optimizer.step()
    hints = torch.zeros(9, 3, 3).scatter_(2, tags[:1].unsqueeze(2), 1.0)  # the first tag only
    assert torch.equal(crf.decode(hints), tags)


def test_only_scores_are_stored():
    crf = ConditionalRandomField(3)
    assert set(crf.state_dict()) == {"transitions", "start", "end"}
    assert "forbidden=0" in repr(crf)


# What is refused

GOOD = dict(zip(("emissions", "transitions", "start", "end"), draw(4, 2, 3), strict=True))
BAD = {
    "no tensor": ({"emissions": [1.0]}, TypeError, "emissions should be a tensor"),
    "two dimensions": ({"emissions": torch.randn(4, 3)}, ValueError, r"emissions .* \(T, B, K\)"),
    "no steps": ({"emissions": torch.randn(0, 2, 3)}, ValueError, "none of them 0"),
    "transitions": ({"transitions": torch.randn(3, 2)}, ValueError, r"transitions should have shape \(3, 3\)"),
    "start": ({"start": torch.randn(2)}, ValueError, r"start should have shape \(3,\)"),
    "end": ({"end": None}, TypeError, "end should be a tensor"),
    "mask of numbers": ({"mask": torch.ones(4, 2)}, TypeError, "mask should hold booleans"),
    "mask's shape": ({"mask": torch.ones(2, 4, dtype=torch.bool)}, ValueError, r"mask should have shape \(4, 2\)"),
    "a gap": ({"mask": torch.tensor([[1, 1], [0, 1], [1, 1], [1, 1]]).bool()}, ValueError, "got a gap"),
    "an empty sequence": ({"mask": torch.tensor([[1, 0]] * 4).bool()}, ValueError, "mask should be True from"),
}


@pytest.mark.parametrize("changes, error, message", BAD.values(), ids=BAD)
def test_bad_scores_are_refused(changes, error, message):
    for function in (log_partition, viterbi, tag_marginals):
        with pytest.raises(error if changes.get("emissions") != [1.0] else (error, AttributeError), match=message):
            function(**(GOOD | changes))


@pytest.mark.parametrize(
    "tags, error, message",
    [
        ([0, 1], TypeError, "tags should be a tensor"),
        (torch.zeros(4, 2), TypeError, "int64, got torch.float32"),
        (torch.zeros(2, 4, dtype=torch.long), ValueError, r"tags should have shape \(4, 2\)"),
        (torch.full((4, 2), 3), ValueError, "tags should be from 0 to 2, got 3 to 3"),
        (torch.full((4, 2), -100), ValueError, "got -100"),
    ],
)
def test_bad_tags_are_refused(tags, error, message):
    with pytest.raises(error, match=message):
        path_score(tags=tags, **GOOD)


def test_a_forbidden_path_is_refused():
    crf = ConditionalRandomField(3, *bio_transitions(bio_tags(["date"])))
    emissions, mask = torch.randn(3, 2, 3), length_mask(torch.tensor([3, 2]))
    with pytest.raises(ValueError, match=r"got 0 before 2 at step 1"):
        crf(emissions, torch.tensor([[0, 0], [0, 1], [2, 0]]), mask)
    with pytest.raises(ValueError, match=r"got 2 in row 1"):
        crf(emissions, torch.tensor([[0, 2], [0, 2], [0, 0]]), mask)
    crf(emissions, torch.tensor([[0, 0], [0, 0], [0, 2]]), mask)  # it is the padding that is illegal


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((2.0,), TypeError, "num_tags should be an int"),
        ((0,), ValueError, "num_tags should be greater than zero"),
        ((2, torch.ones(2, 2)), TypeError, "allowed should be a tensor of booleans"),
        ((2, torch.ones(2, 3, dtype=torch.bool)), ValueError, r"allowed should have shape \(2, 2\)"),
        ((2, None, torch.ones(3, dtype=torch.bool)), ValueError, r"allowed_start should have shape \(2,\)"),
        ((2, torch.zeros(2, 2, dtype=torch.bool)), ValueError, "let every path go on"),
        ((2, None, torch.zeros(2, dtype=torch.bool)), ValueError, "let every path go on"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        ConditionalRandomField(*arguments)


def test_a_dead_end_that_nothing_leads_to_is_allowed():
    ConditionalRandomField(2, torch.tensor([[True, False], [False, False]]), torch.tensor([True, False]))
