"""The classifier and its poolings: against sequences read one at a time, in any company, with any layer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_sequence

import companion
from companion.batching import BucketSampler, pad_batch
from companion.classifier import (
    POOLINGS,
    NoRecurrence,
    SequenceClassifier,
    class_probabilities,
    classification_loss,
    last_pool,
    max_pool,
    mean_pool,
)
from companion.training import evaluate, fit
from tests import strategies  # noqa: F401  loads the settings of hypothesis

POOLS = {"last": last_pool, "mean": mean_pool, "max": max_pool}
each_pool = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
each_pooling = pytest.mark.parametrize("pooling", POOLINGS)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]

lengths_of_batches = st.lists(st.integers(1, 7), min_size=1, max_size=5)


def alone(pool, sequence, bidirectional=False):
    """What each pooling says of one sequence (T, F) without padding, by plain indexing."""
    if pool is last_pool and bidirectional:
        half = sequence.shape[1] // 2
        return torch.cat([sequence[-1, :half], sequence[0, half:]])
    return {last_pool: lambda x: x[-1], mean_pool: lambda x: x.mean(0), max_pool: lambda x: x.amax(0)}[pool](sequence)


# The poolings


@each_pool
@pytest.mark.parametrize("padding", [0.0, 7.0, -7.0, float("nan"), float("inf")])
@given(lengths=lengths_of_batches, more=st.integers(0, 2))
def test_a_sequence_is_pooled_as_if_alone(pool, padding, lengths, more):
    sequences = [torch.randn(length, 4) for length in lengths]
    output = pad_sequence([*sequences, torch.zeros(max(lengths) + more, 4)], padding_value=padding)[:, :-1]
    found = pool(output, torch.tensor(lengths))
    assert torch.allclose(found, torch.stack([alone(pool, sequence) for sequence in sequences]), atol=1e-6)


@given(lengths=lengths_of_batches)
def test_the_last_of_both_directions_is_the_layers_final_state(lengths):
    layer = nn.GRU(3, 4, bidirectional=True)
    packed = pack_sequence([torch.randn(length, 3) for length in lengths], enforce_sorted=False)
    output, h_n = layer(packed)
    output, _ = nn.utils.rnn.pad_packed_sequence(output)
    assert torch.equal(last_pool(output, torch.tensor(lengths), bidirectional=True), torch.cat([*h_n], -1))


@each_pool
def test_gradients_are_right_and_none_flow_into_the_padding(pool):
    output = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 1, 2])
    assert torch.autograd.gradcheck(lambda x: pool(x, lengths), output)
    pool(output, lengths).sum().backward()
    for row, length in enumerate(lengths.tolist()):
        assert not output.grad[length:, row].any() and output.grad[:length, row].any()


@each_pool
def test_what_does_not_fit_is_refused(pool):
    output, lengths = torch.randn(4, 2, 3), torch.tensor([4, 2])
    with pytest.raises(TypeError, match="output should be a padded tensor"):
        pool(pack_sequence([torch.randn(3, 2)]), lengths)
    with pytest.raises(ValueError, match=r"output should have shape \(T, B, F\), got shape \(4, 2\)"):
        pool(output[..., 0], lengths)
    with pytest.raises(ValueError, match="one for each of 2 sequences, got 3"):
        pool(output, torch.tensor([4, 2, 1]))
    with pytest.raises(ValueError, match="at most the 4 steps of output, got 5"):
        pool(output, torch.tensor([4, 5]))
    with pytest.raises(ValueError, match="lengths should be at least 1, got 0 at 1"):
        pool(output, torch.tensor([4, 0]))
    with pytest.raises(TypeError, match="lengths should be a 1-D tensor of integers"):
        pool(output, [4, 2])


# The classifier


LAYERS = {
    "nn.RNN": lambda **arguments: nn.RNN(3, 4, **arguments),
    "nn.LSTM": lambda **arguments: nn.LSTM(3, 4, **arguments),
    "nn.GRU, two layers": lambda **arguments: nn.GRU(3, 4, 2, **arguments),
    "companion.LSTM": lambda **arguments: companion.LSTM(3, 4, **arguments),
    "companion.GRU": lambda **arguments: companion.GRU(3, 4, **arguments),
    "companion.SRU": lambda **arguments: companion.SRU(3, 4, **arguments),
    "companion.MinGRU": lambda **arguments: companion.MinGRU(3, 4, **arguments),
}
BOTH_WAYS = {"one way": {}, "both ways": {"bidirectional": True}}


def takes_both_ways(name):
    return name != "companion.MinGRU"


LAYER_CASES = [
    pytest.param(make, arguments, id=f"{name}, {way}")
    for name, make in LAYERS.items()
    for way, arguments in BOTH_WAYS.items()
    if way == "one way" or takes_both_ways(name)
]


@each_pooling
@pytest.mark.parametrize(("make", "arguments"), LAYER_CASES)
def test_the_answer_does_not_depend_on_the_company(make, arguments, pooling):
    torch.manual_seed(0)
    model = SequenceClassifier(make(**arguments), 10, 3, pooling)
    sequences = [torch.randint(10, (length,)) for length in (5, 1, 3)]
    found = model(pad_sequence(sequences), torch.tensor([5, 1, 3]))
    each = torch.cat([model(sequence.unsqueeze(1)) for sequence in sequences])
    packed = model(pack_sequence(sequences, enforce_sorted=False))
    assert found.shape == (3, 3)
    assert torch.allclose(found, each, atol=1e-6) and torch.equal(found, packed)


@each_pooling
@settings(max_examples=20)
@given(lengths=lengths_of_batches)
def test_what_stands_in_the_padding_does_not_matter(pooling, lengths):
    model = SequenceClassifier(nn.GRU(3, 4, bidirectional=True), 10, 2, pooling)
    tokens = torch.randint(10, (max(lengths), len(lengths)))
    other = tokens.clone()
    for row, length in enumerate(lengths):
        other[length:, row] = torch.randint(10, (max(lengths) - length,))
    assert torch.equal(model(tokens, torch.tensor(lengths)), model(other, torch.tensor(lengths)))


@each_pooling
def test_batch_first_is_the_same_in_another_order(pooling):
    torch.manual_seed(0)
    layer, other = nn.GRU(3, 4, bidirectional=True), nn.GRU(3, 4, bidirectional=True, batch_first=True)
    model, twin = (SequenceClassifier(each, 10, 2, pooling) for each in (layer, other))
    twin.load_state_dict(model.state_dict())
    tokens, lengths = torch.randint(10, (6, 3)), torch.tensor([2, 6, 4])
    assert torch.equal(model(tokens, lengths), twin(tokens.T, lengths))


@each_pooling
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_one_line_changes_the_layer(name, pooling):
    torch.manual_seed(0)
    theirs = SequenceClassifier(getattr(nn, name)(3, 4, bidirectional=True), 10, 2, pooling)
    ours = SequenceClassifier(getattr(companion, name)(3, 4, bidirectional=True), 10, 2, pooling)
    ours.load_state_dict(theirs.state_dict())
    batch = torch.randint(10, (40, 3)), torch.tensor([40, 2, 35]), torch.tensor([1, 0, 1])
    (one, _), (other, _) = (classification_loss(model, batch) for model in (theirs, ours))
    assert torch.allclose(one, other, atol=1e-6)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss, model in ((one, theirs), (other, ours))]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))


def test_without_recurrence_order_does_not_matter():
    model = SequenceClassifier(NoRecurrence(3), 10, 2, "mean")
    tokens = torch.tensor([[1, 2, 2, 7]]).T
    assert torch.allclose(model(tokens), model(tokens.flip(0)), atol=1e-6)
    expected = model.output(model.embedding(tokens[:, 0]).mean(0))
    assert torch.allclose(model(tokens)[0], expected, atol=1e-6)


def test_an_lstm_with_a_projection_is_as_wide_as_it():
    model = SequenceClassifier(nn.LSTM(3, 6, proj_size=4, bidirectional=True), 10, 2, "max")
    assert model.output.in_features == 8 and model(torch.randint(10, (5, 2))).shape == (2, 2)


def test_word_dropout_makes_words_unknown_in_training_only():
    model = SequenceClassifier(NoRecurrence(3), 10, 2, "mean", word_dropout=1.0)
    tokens = torch.randint(1, 10, (4, 2))
    unknown = model.eval()(torch.zeros_like(tokens))
    assert torch.equal(model.train()(tokens), unknown)
    assert not torch.allclose(model.eval()(tokens), unknown)


def test_dropout_acts_in_training_only():
    model = SequenceClassifier(nn.GRU(3, 4), 10, 2, dropout=0.5)
    tokens = torch.randint(10, (4, 2))
    assert not torch.equal(model(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))


@pytest.mark.parametrize("device", DEVICES)
def test_it_learns_which_comes_first(device):
    """1 before 2, or 2 before 1, among noise: no bag of words can tell."""
    torch.manual_seed(0)
    examples = []
    for _ in range(200):
        label = int(torch.randint(2, ()))
        sequence = torch.randint(3, 8, (int(torch.randint(4, 9, ())),))
        first, second = torch.randperm(len(sequence))[:2].sort().values
        sequence[first], sequence[second] = (1, 2) if label else (2, 1)
        examples.append((sequence, label))
    lengths = torch.tensor([len(sequence) for sequence, _ in examples])
    loader = torch.utils.data.DataLoader(examples, batch_sampler=BucketSampler(lengths, 20), collate_fn=pad_batch)
    model = SequenceClassifier(nn.GRU(8, 16, bidirectional=True), 8, 2, "max").to(device)
    fit(model, loader, epochs=12, learning_rate=2e-2, loss=classification_loss, progress=False)
    plain = torch.utils.data.DataLoader(examples, 50, collate_fn=pad_batch)
    found = class_probabilities(model, plain)
    assert found.shape == (200, 2) and found.device.type == "cpu"
    right = found.argmax(-1) == torch.tensor([label for _, label in examples])
    assert right.float().mean() > 0.95
    assert evaluate(model, plain, classification_loss) < 0.2


# What is refused


def test_bad_arguments_are_named():
    layer = nn.GRU(3, 4)
    with pytest.raises(ValueError, match="pooling should be one of 'last', 'mean', 'max', got 'sum'"):
        SequenceClassifier(layer, 10, 2, "sum")
    with pytest.raises(ValueError, match="num_classes should be greater than zero, got 0"):
        SequenceClassifier(layer, 10, 0)
    with pytest.raises(TypeError, match="vocabulary_size should be an int"):
        SequenceClassifier(layer, 10.0, 2)
    with pytest.raises(ValueError, match=r"embedding should give layer\.input_size=3 features, got 5"):
        SequenceClassifier(layer, 10, 2, embedding=nn.Embedding(10, 5))
    for word_dropout in (1.5, "much", None):
        with pytest.raises(ValueError, match="word_dropout should be a probability from 0 to 1"):
            SequenceClassifier(layer, 10, 2, word_dropout=word_dropout)
    with pytest.raises(ValueError, match="features should be greater than zero"):
        NoRecurrence(0)


def test_bad_input_is_named():
    model = SequenceClassifier(nn.GRU(3, 4), 10, 2)
    tokens, lengths = torch.randint(10, (5, 2)), torch.tensor([5, 3])
    with pytest.raises(TypeError, match=r"tokens should be a tensor of token numbers.*got torch\.float32"):
        model(tokens.float(), lengths)
    with pytest.raises(TypeError, match=r"tokens should be a tensor of token numbers.*got list"):
        model(tokens.tolist(), lengths)
    with pytest.raises(ValueError, match=r"tokens should have shape \(T, B\), got shape \(5,\)"):
        model(tokens[:, 0], lengths)
    with pytest.raises(ValueError, match="one for each of 2 sequences and at most 5, got 2 lengths up to 6"):
        model(tokens, torch.tensor([6, 3]))
    with pytest.raises(ValueError, match="lengths should be at least 1, got 0 at 1"):
        model(tokens, torch.tensor([5, 0]))
    with pytest.raises(ValueError, match="lengths should be None with a PackedSequence"):
        model(pack_sequence([tokens[:, 0]]), lengths)
    with pytest.raises(TypeError, match=r"tokens\.data should be a tensor of token numbers"):
        model(pack_sequence([torch.randn(3)]))
    with pytest.raises(ValueError, match="batches should hold at least one batch"):
        class_probabilities(model, [])
