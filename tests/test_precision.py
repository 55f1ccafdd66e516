"""Weights as small integers: never farther off than half a scale; and a loss in bfloat16 that is nearly the loss."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from companion import GRU, LanguageModel, next_token_loss
from companion.precision import bfloat16_loss, dequantize_rows, quantize_rows, round_weights
from tests import strategies  # noqa: F401  loads the settings of hypothesis


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 7),
    bits=st.integers(2, 8),
    size=st.sampled_from([1e-30, 1e-3, 1.0, 1e6]),
    seed=st.integers(0, 999),
)
def test_no_number_is_farther_off_than_half_a_scale(rows, columns, bits, size, seed):
    torch.manual_seed(seed)
    weight = size * torch.randn(rows, columns)
    codes, scales = quantize_rows(weight, bits)
    largest = 2 ** (bits - 1) - 1
    assert codes.dtype == torch.int8 and codes.shape == weight.shape and scales.shape == (rows, 1)
    assert codes.abs().amax(1).tolist() == [largest] * rows  # the row's largest number has the largest code
    assert ((dequantize_rows(codes, scales) - weight).abs() <= 0.5001 * scales).all()


def test_what_integers_can_say_comes_back_exactly():
    codes = torch.tensor([[-127, 0, 3], [127, -64, 1]], dtype=torch.int8)
    scales = torch.tensor([[0.5], [0.25]])
    again, their_scales = quantize_rows(dequantize_rows(codes, scales))
    assert torch.equal(again, codes) and torch.equal(their_scales, scales)


def test_zeros_stay_zeros():
    codes, scales = quantize_rows(torch.zeros(2, 3))
    assert not codes.any() and scales.isfinite().all() and not dequantize_rows(codes, scales).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_keep_theirs(dtype):
    weight = torch.rand(500, 2).to(dtype)
    codes, scales = quantize_rows(weight)
    assert codes.dtype == torch.int8 and scales.dtype == dtype
    assert (codes >= 0).all() and (codes.amax(1) >= 126).all()  # never 128, which int8 would make -128


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_a_model_is_copied_and_its_matrices_are_rounded(bits):
    model = LanguageModel(nn.GRU(8, 16), 30)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    rounded = round_weights(model, bits)
    for name, weight in rounded.state_dict().items():
        assert torch.equal(model.state_dict()[name], before[name])
        if weight.dim() == 2:
            assert torch.equal(weight, dequantize_rows(*quantize_rows(before[name], bits)))
            assert max(len(row.unique()) for row in weight) <= 2**bits - 1
        else:
            assert torch.equal(weight, before[name])


def test_more_bits_are_nearer():
    torch.manual_seed(0)
    weight = torch.randn(20, 20)
    errors = [(dequantize_rows(*quantize_rows(weight, bits)) - weight).norm().item() for bits in range(2, 9)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, GRU])
def test_the_loss_in_bfloat16_is_nearly_the_loss(kind):
    torch.manual_seed(0)
    model, tokens = LanguageModel(kind(8, 16), 30), torch.randint(30, (36, 4))
    batch, state = (tokens[:-1], tokens[1:]), None
    for _ in range(2):  # the second time with the state it gave
        plain, _ = next_token_loss(model, batch)
        loss, state = bfloat16_loss(model, batch, state)
        assert loss.dtype == torch.float32 and abs(loss - plain) < 0.05
    assert not torch.is_autocast_enabled("cpu")


def test_wrong_arguments_are_named():
    weight = torch.ones(2, 3)
    for bits in (1, 9, 0):
        with pytest.raises(ValueError, match=f"bits should be from 2 to 8, got {bits}"):
            quantize_rows(weight, bits)
    with pytest.raises(TypeError, match=r"bits should be an int, got 8\.0"):
        quantize_rows(weight, 8.0)
    with pytest.raises(TypeError, match=r"weight should be a floating-point tensor, got torch\.int64"):
        quantize_rows(weight.long())
    with pytest.raises(TypeError, match="weight should be a floating-point tensor, got list"):
        quantize_rows([[1.0]])
    with pytest.raises(ValueError, match="weight should be a matrix"):
        quantize_rows(weight[0])
    with pytest.raises(ValueError, match="finite"):
        quantize_rows(weight / 0)
    with pytest.raises(ValueError, match=r"scales should be one for each row of codes, shape \(2, 1\)"):
        dequantize_rows(torch.ones(2, 3, dtype=torch.int8), torch.ones(3))
