"""The SRU's fused kernels, on a CPU and on a GPU: the numbers of the recurrence by hand, and what PyTorch demands.

Where there is no GPU, the kernel for GPUs runs in Triton's interpreter: slowly, so on small tensors.
"""

import importlib
import itertools
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from companion.kernels import choice, sru_recurrence
from companion.kernels.choice import fused_kernel
from companion.kernels.fused import _operator, sru_by_operator, sru_fused
from companion.kernels.sru_eager import sru_by_hand, sru_plain

GPU = torch.cuda.is_available()


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def kernel(request):
    """Each fused kernel; the one for GPUs in Triton's interpreter where there is none."""
    if request.param == "cpu":
        pytest.importorskip("numba")
        yield fused_kernel("cpu", torch.float32)
        return
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        if not GPU:  # a fresh module: the variable is read when the kernels are defined
            patch.setenv("TRITON_INTERPRET", "1")
            patch.delitem(sys.modules, "companion.kernels.sru_gpu", raising=False)
        yield importlib.import_module("companion.kernels.sru_gpu")


@pytest.fixture
def device(kernel):
    return "cuda" if GPU and kernel.__name__.endswith("gpu") else "cpu"


def drawn(T=7, B=3, H=5, fourth=False, bias=True, masked=False, padded=False, dtype=torch.float32, device="cpu"):
    """Arguments of the recurrence, from U to lengths."""
    generator = torch.Generator().manual_seed(T * B * H)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    U, x = normal(T, B, (3 + fourth) * H), None if fourth else normal(T, B, H)
    weight_c, c_0 = normal(2 * H), normal(B, H)
    mask = (torch.rand(B, H, generator=generator) > 0.3).to(device, dtype) / 0.7 if masked else None
    lengths = torch.randint(1, T + 1, (B,), generator=generator).to(device) if padded else None
    return [U, x, weight_c, normal(2 * H) if bias else None, c_0, mask, lengths]


def results(run, inputs, options, dtype=None):
    """Outputs, last state, and the gradients of U, x, weight_c, bias and c_0."""
    inputs = [
        part if part is None or not part.is_floating_point() else part.detach().to(dtype or part.dtype).requires_grad_()
        for part in inputs
    ]
    h, c_n = run(*inputs, *options)
    generator = torch.Generator().manual_seed(1)
    d_h, d_c_n = (torch.randn(part.shape, generator=generator).to(part) for part in (h, c_n))
    wanted = [part for part in inputs[:5] if part is not None]
    return [h, c_n, *torch.autograd.grad((h, c_n), wanted, (d_h, d_c_n))]


def run_with(kernel):
    return lambda *arguments: sru_fused(kernel, *arguments)


def assert_equal(found, expected, tolerance):
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        gap = (one.double() - other.double()).abs() / other.double().abs().clamp(min=1)
        assert not gap.numel() or gap.max() < tolerance, f"result {number} is off by {gap.max():.1e}"


OPTIONS = list(itertools.product([False, True], repeat=6))


@pytest.mark.parametrize("fourth, bias, masked, padded, use_tanh, reverse", OPTIONS)
def test_a_kernel_gives_the_numbers_and_gradients_of_the_loop_in_double_precision(
    kernel, device, fourth, bias, masked, padded, use_tanh, reverse
):
    inputs = drawn(fourth=fourth, bias=bias, masked=masked, padded=padded, device=device)
    options = (1.0 if fourth else 1.7, use_tanh, reverse)
    expected = results(sru_plain, inputs, options, torch.float64)
    assert_equal(results(run_with(kernel), inputs, options), expected, 1e-5)


@pytest.mark.parametrize("T, B, H", [(1, 1, 1), (2, 1, 300), (3, 5, 129), (40, 2, 17)])
def test_sizes_that_do_not_fill_a_block(kernel, device, T, B, H):
    inputs = drawn(T, B, H, padded=True, device=device)
    expected = results(sru_plain, inputs, (1.5, False, False), torch.float64)
    assert_equal(results(run_with(kernel), inputs, (1.5, False, False)), expected, 1e-5)


def test_an_empty_batch(kernel, device):
    found = results(run_with(kernel), drawn(B=0, device=device), (1.0, False, False))
    assert found[0].shape == (7, 0, 5) and found[1].shape == (0, 5)
    assert not found[4].any() and not found[5].any()  # nothing read, no gradient of the weights


def test_sums_that_open_or_close_a_gate_wholly(kernel, device):
    inputs = drawn(device=device)
    inputs[0] = inputs[0] * 1e4
    expected = results(sru_by_hand, inputs, (1.0, True, False), torch.float64)
    found = results(run_with(kernel), inputs, (1.0, True, False))
    assert_equal(found[:1], expected[:1], 1e-3)  # inputs of 1e4 in float32: 1e-3 is their rounding
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
def test_narrow_numbers_are_rounded_once_at_the_end(kernel, device, dtype, tolerance):
    inputs = drawn(35, 2, 8, dtype=dtype, device=device)
    expected = results(sru_plain, inputs, (1.0, False, False), torch.float64)
    found = results(run_with(kernel), inputs, (1.0, False, False))
    assert {part.dtype for part in found} == {dtype}
    assert_equal(found, expected, tolerance)
    if dtype == torch.float16 or GPU or kernel.__name__.endswith("cpu"):  # the interpreter cuts bfloat16's digits off
        rounded = expected[0].to(dtype)
        assert (found[0] == rounded).float().mean() > 0.95  # only where a rounding was close may it differ


def test_dtypes_may_differ_as_under_autocast(kernel, device):
    inputs = drawn(device=device)
    inputs[0] = inputs[0].bfloat16()
    expected = results(sru_plain, inputs, (1.0, False, False), torch.float64)
    found = results(run_with(kernel), inputs, (1.0, False, False))
    assert [part.dtype for part in found[:4]] == [torch.bfloat16] * 3 + [torch.float32]
    assert_equal(found, expected, 3e-2)


def test_memory_that_is_not_contiguous(kernel, device):
    inputs = drawn(device=device)
    strided = [part if part is None else part.mT.contiguous().mT if part.dim() > 1 else part for part in inputs]
    assert not strided[0].is_contiguous()
    expected = results(run_with(kernel), inputs, (1.0, False, False))
    for one, other in zip(results(run_with(kernel), strided, (1.0, False, False)), expected, strict=True):
        assert torch.equal(one, other)


def test_inputs_stay_as_they_are_and_outputs_may_be_written_into(kernel, device):
    inputs = drawn(masked=True, padded=True, device=device)
    before = [None if part is None else part.clone() for part in inputs]
    weight = inputs[2].requires_grad_()
    h, c_n = sru_fused(kernel, *inputs)
    with torch.no_grad():
        h.zero_()
        c_n.zero_()
    assert all(one is None or torch.equal(one, other) for one, other in zip(inputs, before, strict=True))
    assert not weight.grad_fn


@pytest.mark.parametrize("padded", [False, True])
def test_without_gradients_the_numbers_are_the_same_and_nothing_is_kept(kernel, device, padded):
    inputs = drawn(padded=padded, device=device)
    with torch.no_grad():
        found = sru_fused(kernel, *inputs)
        assert kernel.forward(*inputs, 1.0, False, False, keep=False)[2] is None
    assert all(torch.equal(one, other) for one, other in zip(found, sru_fused(kernel, *inputs), strict=True))


def test_gradients_of_gradients(kernel, device):
    inputs = [part if part is None else part.requires_grad_() for part in drawn(3, 2, 2, device=device)]
    penalties = []
    for run in (run_with(kernel), sru_plain):
        h, _ = run(*inputs)
        (slope,) = torch.autograd.grad(h.square().sum(), inputs[0], create_graph=True)
        penalties.append(torch.autograd.grad(slope.square().sum(), inputs[2])[0])
    assert torch.allclose(*penalties, atol=1e-4)


# The choice, and the operator for compilers


def test_float64_has_no_fused_kernel():
    assert fused_kernel("cpu", torch.float64) is None


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_without_its_package_a_kernel_is_not_chosen(monkeypatch, device):
    monkeypatch.setitem(sys.modules, "numba", None)  # an import raises ImportError
    choice._load.cache_clear()
    try:
        assert fused_kernel(device, torch.float32) is None
    finally:
        choice._load.cache_clear()


@pytest.mark.parametrize("dtype, operations", [(torch.float32, 1), (torch.float64, 0)])
def test_a_compiled_graph_holds_one_operation_a_layer_where_there_is_a_kernel(dtype, operations):
    pytest.importorskip("numba")
    found = []

    def backend(graph, _):
        found.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    inputs = drawn(dtype=dtype, padded=True)
    compiled = torch.compile(sru_recurrence, fullgraph=True, backend=backend)
    assert_equal(compiled(*inputs), sru_plain(*inputs), 1e-5)
    assert sum("companion" in name for name in found) == operations
    compiled(*drawn(T=9, dtype=dtype, padded=True))


@pytest.mark.parametrize("fourth, padded", [(False, False), (True, True)])
def test_the_operator_passes_pytorchs_own_checks(fourth, padded):
    pytest.importorskip("numba")
    inputs = [
        part.requires_grad_() if part is not None and part.is_floating_point() else part
        for part in drawn(fourth=fourth, padded=padded)
    ]
    torch.library.opcheck(_operator, (*inputs, 1.0, False, False))


def test_the_operator_has_the_kernels_numbers():
    pytest.importorskip("numba")
    inputs = drawn(masked=True, padded=True)
    options = (1.3, True, True)
    found = results(sru_by_operator, inputs, options)
    expected = results(run_with(fused_kernel("cpu", torch.float32)), inputs, options)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


ONE_THREAD = """
import sys, torch
torch.set_num_threads(1)
import companion
assert "torch._dynamo" not in sys.modules and "numba" not in sys.modules, "imported too early"
companion.SRU(3, 4)(torch.zeros(5, 2, 3))
assert "numba" in sys.modules
print(torch.get_num_threads())
"""


def test_numba_comes_late_and_leaves_torchs_threads_alone():
    pytest.importorskip("numba")
    done = subprocess.run([sys.executable, "-c", ONE_THREAD], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
