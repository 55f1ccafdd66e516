"""The tagger of names: what is encoded, that padding and company do not matter, and that it learns."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import companion
from companion.crf import ConditionalRandomField
from companion.entities import EntityTagger, SentenceEncoder, tagging_loss
from companion.spans import bio_tags, bio_transitions, span_f1
from companion.tasks.reports import LABELS, draw_reports
from companion.training import fit

TAGS = bio_tags(LABELS)
REPORTS = draw_reports(24, seed=0)
ENCODER = SentenceEncoder(REPORTS, TAGS)


def make(library=nn, kind="LSTM", with_crf=True, **arguments):
    layer, speller = getattr(library, kind), getattr(library, kind)
    crf = ConditionalRandomField(len(TAGS), *bio_transitions(TAGS)) if with_crf else None
    layers = layer(24, 10, bidirectional=True), speller(6, 4, bidirectional=True)
    return EntityTagger(*layers, *ENCODER.sizes, crf=crf, **arguments)


# Numbers


def test_words_are_small_and_characters_are_not():
    encoder = SentenceEncoder([(["Wren", "WREN", "wren"], ["O"] * 3)], ["O"])
    words, characters, tags = encoder.encode((["WREN", "Wrén", "ok"], ["O"] * 3))
    assert words.tolist() == [1, 0, 0] and tags.tolist() == [0, 0, 0]
    assert (characters == 0).sum(1).tolist() == [0, 0, 2]
    assert characters[1].tolist().count(1) == 1 and characters[2].tolist()[:2] == [1, 1]
    assert encoder.sizes == (2, 2 + len(set("WrenWRENwren")), 1)


def test_a_batch_holds_every_sentence():
    words, characters, lengths, tags = next(iter(ENCODER.batches(REPORTS, batch_size=24, shuffle=False)))
    assert lengths.tolist() == [len(report.words) for report in REPORTS]
    for b, report in enumerate(REPORTS):
        alone = ENCODER.encode(report)
        length, width = alone[1].shape
        assert torch.equal(words[:length, b], alone[0]) and torch.equal(tags[:length, b], alone[2])
        assert torch.equal(characters[:length, b, :width], alone[1])
        assert not characters[:, b, width:].any() and not characters[length:, b].any()
        assert (tags[length:, b] == -100).all()


def test_shuffled_batches_hold_each_sentence_once():
    torch.manual_seed(0)
    sums = sorted(int(words[:, b].sum()) for words, *_ in ENCODER.batches(REPORTS, 5) for b in range(words.shape[1]))
    assert sums == sorted(int(ENCODER.encode(report)[0].sum()) for report in REPORTS)


# The tagger


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_ours_and_theirs_are_the_same(kind):
    ours, theirs = make(companion, kind).eval(), make(nn, kind).eval()
    ours.load_state_dict(theirs.state_dict())
    batch = next(iter(ENCODER.batches(REPORTS, shuffle=False)))
    torch.testing.assert_close(ours(*batch[:3]), theirs(*batch[:3]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("with_crf", [True, False])
def test_company_does_not_matter(with_crf):
    model = make(with_crf=with_crf).eval()
    together = model.tag(ENCODER.batches(REPORTS, 24, shuffle=False), TAGS)
    assert together == model.tag(ENCODER.batches(REPORTS, 1, shuffle=False), TAGS)
    batch = next(iter(ENCODER.batches(REPORTS, 24, shuffle=False)))
    each = [tagging_loss(model, next(iter(ENCODER.batches([report])))) for report in REPORTS]
    losses = torch.stack([loss for loss, _ in each])
    weighted = (losses * batch[2]).sum() / batch[2].sum()
    torch.testing.assert_close(tagging_loss(model, batch)[0], weighted)


def test_the_loss_without_a_crf_is_the_mean_cross_entropy():
    model = make(with_crf=False).eval()
    batch = next(iter(ENCODER.batches(REPORTS[:3], shuffle=False)))
    emissions, total, count = model(*batch[:3]), 0.0, 0
    for b, length in enumerate(batch[2].tolist()):
        total += F.cross_entropy(emissions[:length, b], batch[3][:length, b], reduction="sum")
        count += length
    torch.testing.assert_close(tagging_loss(model, batch)[0], total / count)


def test_words_are_hidden_in_training_only():
    model = make(dropout=0.0, hide_words=1.0)
    words, characters, lengths, _ = next(iter(ENCODER.batches(REPORTS, shuffle=False)))
    unknown = torch.zeros_like(words)
    assert torch.equal(model(words, characters, lengths), model(unknown, characters, lengths))
    model.eval()
    assert not torch.equal(model(words, characters, lengths), model(unknown, characters, lengths))


def test_spelling_matters():
    model = make().eval()
    (one, two) = (ENCODER.collate([ENCODER.encode(([word, "slept"], ["O", "O"]))]) for word in ("Zzx", "ZZX"))
    assert torch.equal(one[0], two[0]) and not torch.allclose(model(*one[:3]), model(*two[:3]))


@pytest.mark.parametrize("with_crf", [True, False])
def test_it_learns_its_sentences(with_crf):
    torch.manual_seed(0)
    model = make(with_crf=with_crf, dropout=0.0, hide_words=0.0)
    fit(model, ENCODER.batches(REPORTS, 8), epochs=60, learning_rate=0.02, loss=tagging_loss, progress=False)
    found = model.tag(ENCODER.batches(REPORTS, shuffle=False), TAGS)
    assert span_f1(found, [report.tags for report in REPORTS]) > 0.9
    assert model.training


# What is refused


def test_no_sentences_are_refused():
    with pytest.raises(ValueError, match="sentences should hold at least one word"):
        SentenceEncoder([], TAGS)


@pytest.mark.parametrize("sentence", [(["Wren"], []), ([], [])])
def test_unequal_numbers_of_words_and_tags_are_refused(sentence):
    with pytest.raises(ValueError, match="tags should be one for each of"):
        ENCODER.encode(sentence)


@pytest.mark.parametrize(
    "layer, speller, crf, message",
    [
        (nn.LSTM(8, 4), nn.LSTM(4, 4, bidirectional=True), None, "more than the 8 features of speller, got 8"),
        (nn.LSTM(9, 4, batch_first=True), nn.LSTM(4, 4), None, "time first"),
        (nn.LSTM(9, 4), nn.LSTM(4, 4), ConditionalRandomField(3), "crf should be for num_tags=7, got one for 3"),
    ],
)
def test_parts_that_do_not_fit_are_refused(layer, speller, crf, message):
    with pytest.raises(ValueError, match=message):
        EntityTagger(layer, speller, 10, 10, 7, crf=crf)
