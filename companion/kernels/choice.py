"""Which fused kernel there is for a tensor: chosen by its device, its dtype and what is installed."""

import importlib
from functools import cache
from types import ModuleType

import torch

__all__ = ["fused_kernel", "has_fused_kernel"]

NARROW = (torch.float32, torch.bfloat16, torch.float16)


def fused_kernel(device_type: str, dtype: torch.dtype) -> ModuleType | None:
    """The module with the fused kernel for such tensors, or None if there is none.

    Args:
        device_type: of the projected input, such as ``"cpu"``.
        dtype: of the projected input.

    Returns:
        :mod:`companion.kernels.sru_cpu` on a CPU with numba, :mod:`companion.kernels.sru_gpu` on a CUDA device with
        Triton; None for float64, for other devices, and where the package that the kernel needs is missing.
    """
    needs = {"cpu": ("numba", "sru_cpu"), "cuda": ("triton", "sru_gpu")}.get(device_type)
    return None if needs is None or dtype not in NARROW else _load(*needs)


def has_fused_kernel(device_type: str, dtype: torch.dtype) -> bool:
    """Whether :func:`fused_kernel` finds one: an answer that ``torch.compile`` can take as a constant.

    Args:
        device_type: of the projected input, such as ``"cpu"``.
        dtype: of the projected input.

    Returns:
        True if there is one.
    """
    return fused_kernel(device_type, dtype) is not None


# A compiler asks once, and does not look at how it is found out. This is torch.compiler.assume_constant_result, which
# as a decorator would import the compiler whenever this package is imported: a second or more.
has_fused_kernel._dynamo_marked_constant = True


@cache
def _load(package: str, kernel: str) -> ModuleType | None:
    try:
        importlib.import_module(package)
    except ImportError:  # not installed, or not for this NumPy: the recurrence by hand serves
        return None
    return importlib.import_module(f"companion.kernels.{kernel}")
