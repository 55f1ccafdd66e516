"""A stream gives the numbers of the whole sequence, however it is cut, for all of its rows or some."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion import GRU, LSTM, RNN, SRU, LanguageModel, MinGRU
from companion.streaming import Stream
from tests import strategies  # noqa: F401  loads the settings of hypothesis

KINDS = [nn.RNN, nn.LSTM, nn.GRU, RNN, LSTM, GRU, SRU, MinGRU]


def close(a, b):
    return torch.allclose(a, b, atol=1e-5)


def whole(layer, inputs):
    with torch.no_grad():
        return layer(inputs)[0]


@pytest.mark.parametrize("kind", KINDS)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_chunks_of_any_length_give_the_whole(kind, lengths, seed):
    torch.manual_seed(seed)
    layer, inputs = kind(3, 4), torch.randn(sum(lengths), 2, 3)
    stream = Stream(layer, batch_size=2)
    pieces = [stream.feed(chunk) for chunk in inputs.split(lengths)]
    assert close(torch.cat(pieces), whole(layer, inputs))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, GRU, LSTM, SRU])
@given(turns=st.lists(st.sampled_from([(0,), (1,), (2,), (2, 0), (1, 2), (0, 1, 2)]), min_size=1, max_size=12))
def test_rows_can_be_fed_in_any_turns(kind, turns):
    """Each stream reads its own text, and whoever waits loses nothing."""
    torch.manual_seed(0)
    layer, inputs = kind(3, 4, num_layers=2), torch.randn(12, 3, 3)
    stream, read, found = Stream(layer, batch_size=3), [0, 0, 0], [[], [], []]
    for rows in turns:
        chunk = torch.stack([inputs[read[row], row] for row in rows]).unsqueeze(0)  # (1, rows, D)
        for row, output in zip(rows, stream.feed(chunk, rows=rows)[0], strict=True):
            found[row].append(output)
            read[row] += 1
    for row in range(3):
        if found[row]:
            assert close(torch.stack(found[row]), whole(layer, inputs[: read[row]])[:, row])


def test_the_batch_may_come_first():
    layer, inputs = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 10, 3)
    stream = Stream(layer, batch_size=2)
    pieces = [stream.feed(chunk) for chunk in inputs.split([1, 6, 3], dim=1)]
    assert close(torch.cat(pieces, 1), whole(layer, inputs))
    assert stream.feed(inputs[:1, :2], rows=[1]).shape == (1, 2, 4)


def test_a_language_model_streams_without_dropout_and_is_left_as_it_was():
    model = LanguageModel(GRU(8, 16), 30, dropout=0.9).train()
    tokens = torch.randint(30, (20, 1))
    stream = Stream(model)
    pieces = torch.cat([stream.feed(chunk) for chunk in tokens.split(7)])
    assert model.training and not pieces.requires_grad
    assert close(pieces, whole(model.eval(), tokens))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_reset_begins_anew(kind):
    layer, inputs = kind(3, 4), torch.randn(5, 3, 3)
    stream = Stream(layer, batch_size=3)
    stream.reset()  # before anything was read, too
    stream.reset([1])
    stream.feed(inputs)
    stream.reset()
    assert stream.state is None and close(stream.feed(inputs), whole(layer, inputs))
    stream.reset([0, 2])
    again = stream.feed(inputs)
    assert close(again[:, [0, 2]], whole(layer, inputs)[:, [0, 2]])
    assert not close(again[:, 1], whole(layer, inputs)[:, 1])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_state_that_was_kept_goes_on_later_and_is_not_written_to(kind):
    layer, inputs = kind(3, 4), torch.randn(10, 2, 3)
    stream = Stream(layer, batch_size=2)
    stream.feed(inputs[:4])
    kept = stream.state
    parts = [part.clone() for part in (kept if isinstance(kept, tuple) else [kept])]
    stream.feed(inputs[4:6, [1]], rows=[1])
    stream.reset([0])
    later = Stream(layer, batch_size=2)
    later.state = kept
    assert close(later.feed(inputs[4:]), whole(layer, inputs)[4:])
    assert all(torch.equal(*pair) for pair in zip(parts, kept if isinstance(kept, tuple) else [kept], strict=True))


def test_no_memory_of_how_the_state_was_made():
    stream = Stream(GRU(3, 4))
    stream.feed(torch.randn(5, 1, 3))
    assert stream.state.grad_fn is None and not stream.state.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu():
    layer, inputs = nn.GRU(3, 4, device="cuda"), torch.randn(10, 2, 3, device="cuda")
    stream = Stream(layer, batch_size=2)
    pieces = [stream.feed(inputs[:4, [0]], rows=[0]), stream.feed(inputs[4:, [0]], rows=[0])]
    assert torch.allclose(torch.cat(pieces), whole(layer, inputs)[:, [0]], atol=1e-4)


# What is refused


def test_a_layer_that_reads_backward_is_refused_wherever_it_is():
    for model in (nn.GRU(3, 4, bidirectional=True), LanguageModel(SRU(8, 8, bidirectional=True), 30)):
        with pytest.raises(ValueError, match=r"model should read forward only, got a bidirectional (GRU|SRU)"):
            Stream(model)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"model should be a torch\.nn\.Module, got a str"):
        Stream("model")
    with pytest.raises(TypeError, match="batch_size should be an int"):
        Stream(nn.GRU(3, 4), batch_size=2.0)
    with pytest.raises(ValueError, match="batch_size should be greater than zero"):
        Stream(nn.GRU(3, 4), batch_size=0)


@pytest.mark.parametrize("rows", [[3], [-1], [0, 0], []])
def test_rows_that_there_are_not_are_refused(rows):
    stream = Stream(nn.GRU(3, 4), batch_size=3)
    with pytest.raises(ValueError, match="rows should be different numbers from 0 to 2, got"):
        stream.feed(torch.zeros(1, len(rows), 3), rows=rows)
    with pytest.raises(ValueError, match="rows should be"):
        stream.reset(rows)


@pytest.mark.parametrize("shape", [(3,), (5, 1, 3), (0, 2, 3)])
def test_a_chunk_of_another_shape_is_refused_and_moves_nothing(shape):
    stream = Stream(nn.GRU(3, 4), batch_size=2)
    stream.feed(torch.randn(2, 2, 3))
    before = stream.state
    with pytest.raises(ValueError, match="chunk should have"):
        stream.feed(torch.zeros(shape))
    with pytest.raises(AttributeError, match="chunk should be a tensor"):
        stream.feed([1, 2])
    with pytest.raises(RuntimeError):
        stream.feed(torch.zeros(1, 2, 7))  # the layer's own error
    assert stream.state is before


