"""A language model around any recurrent layer."""

import pytest
import torch
from torch import nn

import companion
from companion import LanguageModel, one_hot
from companion.language_model import output_width

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

LAYERS = {
    "RNN": ("RNN", {}),
    "GRU bidirectional": ("GRU", {"bidirectional": True}),
    "LSTM": ("LSTM", {"num_layers": 2}),
    "LSTM projected": ("LSTM", {"proj_size": 3, "bidirectional": True}),
    "GRU batch first": ("GRU", {"batch_first": True}),
}
each_layer = pytest.mark.parametrize("kind, arguments", LAYERS.values(), ids=LAYERS)
each_library = pytest.mark.parametrize("library", [companion, nn], ids=["ours", "nn"])


@each_layer
@each_library
@pytest.mark.parametrize("shape", [(7, 3), (7,)], ids=["batch", "one text"])
def test_every_token_gets_a_score_for_every_next_one(library, kind, arguments, shape):
    model = LanguageModel(getattr(library, kind)(5, 6, **arguments), vocabulary_size=11)
    logits, state = model(torch.randint(11, shape))
    assert logits.shape == (*shape, 11)
    again, _ = model(torch.randint(11, shape), state)
    assert again.shape == logits.shape


@each_layer
def test_the_width_of_the_output_is_the_layers(kind, arguments):
    layer = getattr(companion, kind)(5, 6, **arguments)
    assert output_width(layer) == layer(torch.zeros(1, 1, 5))[0].shape[-1]


@each_library
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_it_is_embedding_layer_and_linear_output(library, kind):
    model = LanguageModel(getattr(library, kind)(5, 6), vocabulary_size=11)
    tokens = torch.randint(11, (7, 3))
    outputs, _ = model.layer(model.embedding.weight[tokens])
    torch.testing.assert_close(model(tokens)[0], outputs @ model.output.weight.T + model.output.bias)


def test_a_guess_depends_on_the_past_and_not_on_the_future():
    torch.manual_seed(0)
    model = LanguageModel(companion.GRU(5, 6), vocabulary_size=11)
    tokens = torch.randint(11, (9, 1))
    changed = tokens.clone()
    changed[4] = (changed[4] + 1) % 11
    difference = (model(tokens)[0] - model(changed)[0]).abs().sum((1, 2))
    assert difference[:4].eq(0).all() and difference[4:].gt(0).all()


def test_one_hot_is_the_identity_and_is_never_trained():
    model = LanguageModel(companion.RNN(11, 6), 11, embedding=one_hot(11))
    tokens = torch.tensor([3, 0, 10])
    assert torch.equal(model.embedding(tokens), nn.functional.one_hot(tokens, 11).float())
    model(tokens)[0].sum().backward()
    assert model.embedding.weight.grad is None
    assert model.layer.weight_ih_l0.grad is not None


def test_any_module_may_embed():
    embedding = nn.Sequential(nn.Embedding(11, 2), nn.Linear(2, 5))
    logits, _ = LanguageModel(companion.RNN(5, 6), 11, embedding=embedding)(torch.randint(11, (7, 3)))
    assert logits.shape == (7, 3, 11)


def test_tied_weights_are_one_matrix():
    untied = LanguageModel(companion.LSTM(5, 5), 11)
    tied = LanguageModel(companion.LSTM(5, 5), 11, tie_weights=True)
    assert tied.output.weight is tied.embedding.weight
    assert sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters()) == 11 * 5
    tied(torch.tensor([0]))[0].sum().backward()
    assert tied.embedding.weight.grad[1:].ne(0).any()  # from the output: only token 0 was read


def test_dropout_acts_on_the_input_and_the_output_of_the_layer_in_training():
    torch.manual_seed(0)
    model = LanguageModel(companion.RNN(4, 4), 11, dropout=1.0)
    tokens = torch.randint(11, (7, 3))
    torch.testing.assert_close(model(tokens)[0], model.output.bias.expand(7, 3, 11))  # everything was zeroed
    seen = []
    model.layer.register_forward_pre_hook(lambda layer, arguments: seen.append(arguments[0]))
    model(tokens)
    assert seen[0].eq(0).all()
    model.eval()
    assert not torch.allclose(model(tokens)[0], model.output.bias)
    assert seen[1].ne(0).any()


@pytest.mark.parametrize(
    "layer, arguments, name",
    [
        (companion.RNN(5, 6), {"embedding": nn.Embedding(11, 4)}, "embedding"),
        (companion.RNN(5, 6), {"embedding": one_hot(11)}, "embedding"),
        (companion.RNN(5, 6), {"tie_weights": True}, "tie_weights"),
        (companion.GRU(5, 5, bidirectional=True), {"tie_weights": True}, "tie_weights"),
        (companion.GRU(5, 5), {"embedding": nn.Embedding(12, 5), "tie_weights": True}, "embedding"),
        (companion.GRU(5, 5), {"embedding": nn.Embedding(12, 5)}, "embedding"),
        (companion.GRU(5, 5), {"dropout": 1.5}, "dropout"),
    ],
)
def test_wrong_arguments_are_named(layer, arguments, name):
    with pytest.raises(ValueError, match=name):
        LanguageModel(layer, 11, **arguments)


@pytest.mark.parametrize("size, error", [(0, ValueError), (-1, ValueError), (2.0, TypeError)])
def test_wrong_vocabulary_sizes_are_named(size, error):
    with pytest.raises(error, match="vocabulary_size"):
        LanguageModel(companion.RNN(5, 6), size)
