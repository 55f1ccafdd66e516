"""Our layers as modules: copied, stored, moved, printed, listed and transformed as nn's are, and a little more."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

import companion
from tests.strategies import KINDS, Case, make_input, make_layer, make_state, make_twins, pack_state, unpack_state

STACKED = {"num_layers": 2, "bidirectional": True}
ARGUMENTS = [
    ("RNN", {}),
    ("RNN", STACKED | {"nonlinearity": "relu", "bias": False}),
    ("GRU", {}),
    ("GRU", STACKED | {"batch_first": True, "dropout": 0.5}),
    ("LSTM", {}),
    ("LSTM", STACKED | {"proj_size": 2}),
    ("LSTM", {"proj_size": 2, "bias": False}),
]
SIZES = ["input_size", "hidden_size", "num_layers", "proj_size"]
ATTRIBUTES = [*SIZES, "bias", "batch_first", "dropout", "bidirectional", "training"]

each_kind = pytest.mark.parametrize("kind", KINDS)
each_layer = pytest.mark.parametrize(
    "kind, arguments", [pytest.param(kind, arguments, id=f"{kind} {arguments}") for kind, arguments in ARGUMENTS]
)


def make_both(kind, arguments, **more):
    return [getattr(library, kind)(3, 4, **arguments, **more) for library in (nn, companion)]


def equal_weights(a, b):
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(name == other and torch.equal(weight, copied) for (name, weight), (other, copied) in pairs)


# What a caller of nn's layers relies on


@each_layer
def test_names_shapes_and_order_of_the_weights(kind, arguments):
    theirs, ours = make_both(kind, arguments)
    shapes = [[(name, weight.shape) for name, weight in layer.named_parameters()] for layer in (theirs, ours)]
    assert shapes[0] == shapes[1]


@each_layer
def test_the_same_seed_gives_the_same_weights(kind, arguments):
    torch.manual_seed(5)
    theirs = getattr(nn, kind)(3, 4, **arguments)
    torch.manual_seed(5)
    ours = getattr(companion, kind)(3, 4, **arguments)
    assert equal_weights(ours, theirs)


@each_layer
def test_attributes(kind, arguments):
    theirs, ours = make_both(kind, arguments)
    names = [*ATTRIBUTES, "nonlinearity"] if kind == "RNN" else ATTRIBUTES
    assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]


@each_layer
def test_repr(kind, arguments):
    theirs, ours = make_both(kind, arguments)
    assert repr(ours) == repr(theirs)


@each_layer
def test_all_weights(kind, arguments):
    theirs, ours = make_twins(Case(kind, arguments))
    torch.testing.assert_close(ours.all_weights, theirs.all_weights, rtol=0, atol=0)
    assert ours.all_weights[0][0] is ours.weight_ih_l0


@each_kind
def test_positional_arguments_have_the_order_of_nn(kind):
    middle = ("relu",) if kind == "RNN" else ()
    positional = (3, 4, 2, *middle, False, True, 0.25, True)
    theirs, ours = getattr(nn, kind)(*positional), getattr(companion, kind)(*positional)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@each_kind
@pytest.mark.parametrize("receiver", ["ours", "nn's"])
@pytest.mark.parametrize("change", ["missing", "unexpected", "another shape"])
def test_a_strict_state_dict_is_strict_both_ways(kind, receiver, change):
    theirs, ours = make_both(kind, {})
    source, target = (theirs, ours) if receiver == "ours" else (ours, theirs)
    weights = source.state_dict()
    if change == "missing":
        del weights["bias_hh_l0"]
    elif change == "unexpected":
        weights["weight_hr_l0"] = torch.zeros(2, 4)
    else:
        weights["weight_hh_l0"] = torch.zeros(7, 7)
    with pytest.raises(RuntimeError, match="Error"):
        target.load_state_dict(weights, strict=True)


@each_kind
def test_flatten_parameters_is_harmless(kind):
    _, layer = make_both(kind, {})
    before = copy.deepcopy(layer)
    assert layer.flatten_parameters() is None
    assert equal_weights(layer, before)


@each_kind
def test_reset_parameters_draws_new_weights_within_the_bound(kind):
    _, layer = make_both(kind, STACKED)
    before = copy.deepcopy(layer)
    layer.reset_parameters()
    assert not equal_weights(layer, before)
    largest = max(float(weight.detach().abs().max()) for weight in layer.parameters())
    assert 0.9 * 4**-0.5 < largest <= 4**-0.5


@each_kind
def test_train_and_eval(kind):
    _, layer = make_both(kind, {})
    assert layer.training
    assert not layer.eval().training
    assert layer.train().training


# Copies, files, devices and dtypes

COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "torch.save": lambda layer: torch_saved(layer),
}


def torch_saved(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@each_layer
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_copy_computes_the_same_with_weights_of_its_own(kind, arguments, duplicate):
    case = Case(kind, arguments, training=False)
    layer = make_layer(companion, case)
    copied = duplicate(layer)
    x = make_input(case)
    torch.testing.assert_close(copied(x), layer(x), rtol=0, atol=0)
    assert repr(copied) == repr(layer)
    assert copied.weight_ih_l0.data_ptr() != layer.weight_ih_l0.data_ptr()


@each_kind
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtype_at_construction_and_after(kind, dtype):
    for layer in (getattr(companion, kind)(3, 4, dtype=dtype), getattr(companion, kind)(3, 4).to(dtype)):
        output, state = layer(torch.randn(5, 2, 3, dtype=dtype))
        assert {part.dtype for part in (output, *unpack_state(state))} == {dtype}


@each_kind
def test_device_meta_holds_shapes_without_numbers(kind):
    for layer in (getattr(companion, kind)(3, 4, device="meta"), getattr(companion, kind)(3, 4).to("meta")):
        assert all(weight.is_meta for weight in layer.parameters())
        output, _ = layer(torch.zeros(5, 2, 3, device="meta"))
        assert output.is_meta and output.shape == (5, 2, 4)
    on_cpu = layer.to_empty(device="cpu")
    on_cpu.reset_parameters()
    assert on_cpu(torch.zeros(5, 2, 3))[0].isfinite().all()


@each_kind
def test_the_default_dtype_and_device_are_taken(kind):
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            weight = getattr(companion, kind)(3, 4).weight_ih_l0
    finally:
        torch.set_default_dtype(torch.float32)
    assert (weight.dtype, weight.device.type) == (torch.float64, "meta")


# What functions of torch make of a layer


@each_kind
def test_functional_call_computes_with_other_weights(kind):
    case = Case(kind, STACKED)
    theirs, ours = make_twins(case)
    before = copy.deepcopy(ours)
    weights = {name: weight * 2 for name, weight in ours.named_parameters()}
    x, state = make_input(case), pack_state(make_state(case))
    torch.testing.assert_close(
        functional_call(ours, weights, (x, state)), functional_call(theirs, weights, (x, state))
    )
    assert equal_weights(ours, before)


@each_kind
def test_vmap_gives_the_gradient_of_every_example(kind):
    case = Case(kind, STACKED, lengths=(5,) * 4)
    layer = make_layer(companion, case)
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}
    x = make_input(case).detach()  # (T, B, D)

    def loss(weights, example):
        output, _ = functional_call(layer, weights, (example,))
        return output.pow(2).sum()

    together = vmap(grad(loss), in_dims=(None, 1))(weights, x)
    for number in range(4):
        alone = torch.autograd.grad(layer(x[:, number])[0].pow(2).sum(), list(layer.parameters()))
        torch.testing.assert_close([gradient[number] for gradient in together.values()], list(alone))


@each_kind
def test_vmap_runs_many_layers_at_once(kind):
    layers = [make_layer(companion, Case(kind)) for _ in range(3)]
    weights, _ = torch.func.stack_module_state(layers)
    x = make_input(Case(kind))
    outputs, _ = vmap(lambda weights: functional_call(layers[0], weights, (x,)))(weights)
    torch.testing.assert_close(outputs, torch.stack([layer(x)[0] for layer in layers]))


@each_kind
def test_compile_without_a_graph_break(kind):
    case = Case(kind, STACKED, lengths=(3, 3))
    layer = make_layer(companion, case)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, state = make_input(case), make_state(case)
    sources = [x, *state, *layer.parameters()]
    results = []
    for function in (layer, compiled):
        output, final = function(x, pack_state(state))
        results.append([output, *unpack_state(final), *torch.autograd.grad(output.pow(2).sum(), sources)])
    torch.testing.assert_close(results[1], results[0])


@each_layer
def test_autocast(kind, arguments):
    """In bfloat16, close to single precision; the gradients of the weights stay in single precision."""
    case = Case(kind, arguments, dtype=torch.float32, training=False)
    layer = make_layer(companion, case)
    x, state = make_input(case), pack_state(make_state(case))
    expected, _ = layer(x, state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, final = layer(x, state)
    assert {part.dtype for part in (output, *unpack_state(final))} == {torch.bfloat16}
    torch.testing.assert_close(output.float(), expected, atol=0.03, rtol=0)
    output.sum().backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.isfinite().all() for weight in layer.parameters())


@each_kind
def test_the_layer_fits_into_nn_containers(kind):
    """A ModuleList of layers trains as a part of a model, and its weights are found."""
    layers = nn.ModuleList([getattr(companion, kind)(3, 4), getattr(companion, kind)(4, 4)])
    x = torch.randn(5, 2, 3)
    for layer in layers:
        x, _ = layer(x)
    x.sum().backward()
    assert all(weight.grad is not None for weight in layers.parameters())
    assert len(layers.state_dict()) == 8
