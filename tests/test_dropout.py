"""Dropout acts between layers, in training, and nowhere else."""

import warnings

import pytest
import torch
from torch import nn

import companion
from tests.strategies import FORMS, KINDS, Case, assert_same, compute, make_twins

each_kind = pytest.mark.parametrize("kind", KINDS)
each_form = pytest.mark.parametrize("form", FORMS)
LENGTHS = {"2-D": (9,), "3-D": (9,) * 4, "packed": (3, 9, 1, 9)}


def counter(num_layers, dropout, hidden_size=200):
    """A ReLU RNN whose first layer gives ones, and whose others sum what they read now: they show every mask."""
    layer = companion.RNN(1, hidden_size, num_layers, nonlinearity="relu", dropout=dropout)
    for name, weight in layer.named_parameters():
        nn.init.constant_(weight, float(name == "bias_ih_l0"))
        if name.startswith("weight_ih") and name != "weight_ih_l0":
            nn.init.eye_(weight)
    return layer


# The same as nn


@each_kind
@each_form
@pytest.mark.parametrize("dropout, training", [(0.0, True), (0.5, False), (1.0, False)])
def test_without_effect_it_is_nn_exactly(kind, form, dropout, training):
    case = Case(kind, {"num_layers": 3, "dropout": dropout}, form=form, lengths=LENGTHS[form], training=training)
    theirs, ours = make_twins(case)
    assert_same(compute(ours, case), compute(theirs, case), tolerance=1e-11)


@each_kind
@each_form
@pytest.mark.parametrize("dropout", [0.3, 1.0])
def test_in_training_the_same_seed_gives_the_numbers_of_nn(kind, form, dropout):
    arguments = {"num_layers": 3, "dropout": dropout, "bidirectional": True, "batch_first": True}
    case = Case(kind, arguments, form=form, lengths=LENGTHS[form])
    results = []
    for layer in make_twins(case):
        torch.manual_seed(11)
        results.append(compute(layer, case))
    assert_same(results[1], results[0], tolerance=1e-11)


@each_kind
def test_with_one_layer_it_does_nothing_and_warns_as_nn_does(kind):
    with pytest.warns(UserWarning, match="dropout"):
        theirs = getattr(nn, kind)(3, 4, dropout=0.5).eval()
    with pytest.warns(UserWarning, match="dropout=0.5 does nothing with num_layers=1") as record:
        ours = getattr(companion, kind)(3, 4, dropout=0.5)
    assert [warning.filename for warning in record] == [__file__]  # it points at the line that asked for it
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(ours(x), theirs(x))


@each_kind
@pytest.mark.parametrize("num_layers, dropout", [(1, 0.0), (2, 0.5)])
def test_it_does_not_warn_otherwise(kind, num_layers, dropout):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(companion, kind)(3, 4, num_layers, dropout=dropout)


# Where and how much


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_it_zeroes_a_share_p_and_scales_the_rest(p):
    torch.manual_seed(0)
    output = counter(2, p)(torch.zeros(50, 10, 1))[0].detach()  # 100,000 elements
    assert output.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    assert float((output == 0).float().mean()) == pytest.approx(p, abs=0.01)
    assert float(output.mean()) == pytest.approx(1, abs=0.02)


def test_the_mask_is_fresh_at_every_step_for_every_sequence_and_in_every_call():
    torch.manual_seed(0)
    layer, x = counter(2, 0.5), torch.zeros(20, 4, 1)
    first, second = layer(x)[0] == 0, layer(x)[0] == 0  # (T, B, H)
    for kept, other in [(first[0], first[1]), (first[:, 0], first[:, 1]), (first, second)]:
        assert float((kept == other).float().mean()) == pytest.approx(0.5, abs=0.1)  # as unrelated masks agree


def test_it_spares_the_outputs_of_the_last_layer_and_the_input():
    torch.manual_seed(0)
    layer = counter(2, 0.5)
    nn.init.constant_(layer.bias_ih_l1, 1.0)  # the last layer gives 1 + 0 or 1 + 2: never 0
    output, _ = layer(torch.zeros(50, 10, 1))
    assert set(output.unique().tolist()) == {1.0, 3.0}
    nn.init.constant_(layer.bias_ih_l0, 0.0)
    nn.init.constant_(layer.weight_ih_l0, 1.0)  # now the first layer passes on the input: dropped, it gave 1 + 4 too
    output, _ = layer(torch.ones(50, 10, 1))
    assert set(output.unique().tolist()) == {1.0, 3.0}


def test_it_spares_the_recurrent_path():
    """The first layer counts the steps in its state; no step is ever forgotten by it."""
    torch.manual_seed(0)
    layer = counter(2, 0.5)
    nn.init.eye_(layer.weight_hh_l0)
    output, final = layer(torch.zeros(30, 4, 1))
    steps = torch.arange(1.0, 31).view(-1, 1, 1)
    assert bool(((output == 0) | (output == 2 * steps)).all())
    assert bool((final[0] == 30).all())


def test_three_layers_have_two_masks():
    torch.manual_seed(0)
    output, _ = counter(3, 0.5)(torch.zeros(50, 10, 1))
    assert set(output.unique().tolist()) == {0.0, 4.0}
    assert float((output == 0).float().mean()) == pytest.approx(0.75, abs=0.01)


def test_a_mask_is_also_the_mask_of_the_gradient():
    torch.manual_seed(0)
    layer, x = counter(2, 0.5), torch.zeros(1, 1, 1)
    output, _ = layer(x)
    output.sum().backward()
    torch.testing.assert_close(layer.bias_ih_l0.grad, output[0, 0].detach())
