"""The encoder-decoder against its parts by hand, alone and in company, step by step and at once, in every layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import companion
from companion.attention import AdditiveAttention, DotProductAttention
from companion.decoding import beam_search
from companion.encoder_decoder import END, EncoderDecoder, PairBatches, shift_right, translate, translation_loss
from companion.sru import SRU
from companion.tasks.memory import IGNORED
from companion.text import Vocabulary
from companion.training import evaluate, fit

SOURCE, TARGET = Vocabulary("one two three four five six"), Vocabulary("123456" + END)
PAIRS = [("one", "1"), ("two three", "23"), ("four five six", "456"), ("six", "6")]
LAYERS = {
    "nn.GRU": nn.GRU, "nn.LSTM": nn.LSTM, "nn.RNN": nn.RNN, "companion.GRU": companion.GRU,
    "companion.LSTM": companion.LSTM, "companion.RNN": companion.RNN, "companion.SRU": SRU,
}  # fmt: skip
ATTENTION = {"none": lambda: None, "dot product": DotProductAttention, "additive": lambda: AdditiveAttention(12, 12, 5)}
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
each_attention = pytest.mark.parametrize("attention", ATTENTION.values(), ids=ATTENTION)


def build(layer=nn.GRU, attention=DotProductAttention, bidirectional=True, num_layers=1):
    torch.manual_seed(0)
    encoder = layer(8, 6, num_layers=num_layers, bidirectional=bidirectional)
    return EncoderDecoder(encoder, layer(8, 12, num_layers=num_layers), SOURCE, TARGET, attention())


def batch_of(pairs=PAIRS):
    return next(iter(PairBatches(pairs, SOURCE, TARGET, batch_size=len(pairs))))


@each_layer
@each_attention
@pytest.mark.parametrize("bidirectional, num_layers", [(True, 1), (False, 2), (True, 2)])
def test_a_text_alone_is_read_as_in_a_padded_batch(layer, attention, bidirectional, num_layers):
    model = build(layer, attention, bidirectional, num_layers)
    sources, lengths, targets = batch_of()
    reads = shift_right(targets, TARGET.index[END])
    logits = model(sources, lengths, reads)
    assert logits.shape == (*targets.shape, len(TARGET))
    for b, length in enumerate(lengths.tolist()):
        alone = model(sources[:length, b : b + 1], lengths[b : b + 1], reads[:, b : b + 1])
        torch.testing.assert_close(alone[:, 0], logits[:, b], rtol=1e-4, atol=1e-5)


@each_layer
@each_attention
def test_step_by_step_is_all_at_once(layer, attention):
    model = build(layer, attention)
    sources, lengths, targets = batch_of()
    reads = shift_right(targets, TARGET.index[END])
    whole, _, weights = model.decode(reads, model.encode(sources, lengths))
    state, steps = model.encode(sources, lengths), []
    for token in reads:
        logits, state, _ = model.decode(token.unsqueeze(0), state)
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps), whole, rtol=1e-4, atol=1e-5)
    assert (weights is None) == (model.attention is None)


@each_layer
def test_our_layers_and_nns_give_the_same_numbers(layer):
    theirs = getattr(nn, layer.__name__, None)
    if theirs is None or layer is theirs:
        pytest.skip("this layer has no twin in nn")
    ours, twin = build(layer), build(theirs)
    twin.load_state_dict(ours.state_dict())
    losses = [translation_loss(model, batch_of())[0] for model in (ours, twin)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(*losses)
    for (name, weight), other in zip(ours.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, msg=name, rtol=1e-3, atol=1e-6)


def test_the_first_state_joins_the_directions_of_each_layer():
    model = build(num_layers=2)
    sources, lengths, _ = batch_of(PAIRS[:1])
    (state, _, _), (_, h_n) = model.encode(sources, lengths), model.encoder(model.source_embedding(sources))
    for number in range(2):
        both = torch.cat([h_n[2 * number], h_n[2 * number + 1]], -1)
        torch.testing.assert_close(state[number], model.bridges[0](both))


def test_the_loss_is_the_mean_over_real_targets():
    model = build()
    loss, state = translation_loss(model, batch_of())
    singles = [translation_loss(model, batch_of([pair]))[0] for pair in PAIRS]
    counts = [len(answer) + 1 for _, answer in PAIRS]
    expected = sum(one * count for one, count in zip(singles, counts, strict=True)) / sum(counts)
    torch.testing.assert_close(loss, expected)
    assert state is None


def test_targets_are_moved_by_one_place_and_padding_becomes_the_start():
    targets = torch.tensor([[5, 6], [1, 7], [IGNORED, 8], [IGNORED, 1]])
    assert shift_right(targets, start=1).tolist() == [[1, 1], [5, 6], [1, 7], [1, 8]]


# Batches


def test_batches_hold_every_pair_once_a_pass():
    batches = PairBatches(PAIRS, SOURCE, TARGET, batch_size=3)
    assert len(batches) == 2 and not batches.continues
    found = []
    for sources, lengths, targets in batches:
        assert sources.shape == (int(lengths.max()), len(lengths))
        for source, length, target in zip(sources.T, lengths.tolist(), targets.T, strict=True):
            assert (source[length:] == 0).all() and (target[target != IGNORED] == target[: (target >= 0).sum()]).all()
            found.append((SOURCE.decode(source[:length]), TARGET.decode(target[target >= 0]).removesuffix(END)))
    assert sorted(found) == sorted(PAIRS)


# Translation


@pytest.fixture(scope="module")
def trained():
    model = build()
    fit(model, PairBatches(PAIRS, SOURCE, TARGET, 4), epochs=150, learning_rate=2e-2, loss=translation_loss)
    return model


@pytest.mark.parametrize("width", [1, 3])
def test_a_trained_model_translates_and_is_left_as_it_was(trained, width):
    trained.train()
    before = {name: weight.clone() for name, weight in trained.state_dict().items()}
    assert translate(trained, [text for text, _ in PAIRS], width) == [answer for _, answer in PAIRS]
    assert trained.training and all(torch.equal(before[name], w) for name, w in trained.state_dict().items())
    assert evaluate(trained, PairBatches(PAIRS, SOURCE, TARGET, 2), translation_loss) < 0.05


@each_layer
@each_attention
def test_greedy_is_a_beam_of_one(layer, attention):
    model = build(layer, attention)

    def step(tokens, state):
        logits, state, _ = model.decode(tokens.unsqueeze(0), state)
        return logits[0].log_softmax(-1), state

    for text, answer in zip(["one", "four five"], translate(model, ["one", "four five"], max_length=6), strict=True):
        state = model.encode(SOURCE.encode(text).unsqueeze(1), torch.tensor([len(text)]))
        end = TARGET.index[END]
        (best,) = beam_search(step, state, end, width=1, max_length=6, end=end)
        assert TARGET.decode(best.tokens).partition(END)[0] == answer


def test_a_wider_beam_is_never_less_probable():
    model = build()

    def log_probability(text, answer):
        """Of an answer that ends."""
        sources, lengths, targets = batch_of([(text, answer)])
        logits = model(sources, lengths, shift_right(targets, TARGET.index[END]))
        return -F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")

    model.output.bias.data[TARGET.index[END]] += 3.0  # so that answers end
    greedy, beam = (translate(model, ["two three"], width)[0] for width in (1, 20))
    assert log_probability("two three", beam) >= log_probability("two three", greedy) - 1e-5


def test_translations_are_stopped():
    model = build()
    model.output.bias.data[TARGET.index[END]] = -100.0
    assert [len(text) for text in translate(model, ["one", "two"], max_length=7)] == [7, 7]
    assert translate(model, []) == []


def test_on_a_gpu(trained):
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    texts = [text for text, _ in PAIRS]
    try:
        assert [translate(trained.cuda(), texts, width) for width in (1, 3)] == [[a for _, a in PAIRS]] * 2
    finally:
        trained.cpu()


# Bad input


@pytest.mark.parametrize(
    "change, error, words",
    [
        (dict(encoder=nn.Linear(2, 2)), TypeError, "should be a recurrent layer"),
        (dict(encoder=nn.GRU(8, 6, batch_first=True)), ValueError, "encoder should have the time first"),
        (dict(decoder=nn.GRU(8, 12, bidirectional=True)), ValueError, "decoder should read one way"),
        (dict(decoder=nn.LSTM(8, 12)), ValueError, "states of one form, got GRU .* and LSTM"),
        (dict(decoder=nn.GRU(8, 12, num_layers=2)), ValueError, "states of one form"),
        (dict(source="abc"), TypeError, "source should be a Vocabulary, got a str"),
        (dict(target=Vocabulary("123")), ValueError, "target should hold the token"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, error, words):
    good = dict(encoder=nn.GRU(8, 6), decoder=nn.GRU(8, 12), source=SOURCE, target=TARGET)
    with pytest.raises(error, match=words):
        EncoderDecoder(**(good | change))


@pytest.mark.parametrize(
    "texts, arguments, error, words",
    [
        ("one", {}, TypeError, "texts should be a list of texts"),
        (["one", ""], {}, ValueError, "texts should not be empty, got an empty one at 1"),
        (["one"], dict(width=0), ValueError, "width should be greater than zero"),
        (["one"], dict(max_length=2.0), TypeError, "max_length should be an int"),
    ],
)
def test_bad_requests_are_refused(texts, arguments, error, words):
    with pytest.raises(error, match=words):
        translate(build(), texts, **arguments)


@pytest.mark.parametrize(
    "pairs, target, size, words",
    [
        ([], TARGET, 2, "lengths should hold at least one"),
        ([("", "1")], TARGET, 2, "lengths should be at least 1"),
        (PAIRS, TARGET, 0, "batch_size should be greater than zero"),
        (PAIRS, SOURCE, 2, "target should hold the token"),
    ],
)
def test_bad_pairs_are_refused(pairs, target, size, words):
    with pytest.raises(ValueError, match=words):
        PairBatches(pairs, SOURCE, target, size)
