"""Which fused kernel there is for a tensor: chosen by its device, its dtype and what is installed."""

import importlib
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

__all__ = ["fused_kernel"]

NARROW = (torch.float32, torch.bfloat16, torch.float16)


def fused_kernel(U: Tensor) -> ModuleType | None:
    """The module with the fused kernel for a tensor, or None if there is none.

    Args:
        U: the projected input.

    Returns:
        :mod:`companion.kernels.sru_cpu` on a CPU with numba, :mod:`companion.kernels.sru_gpu` on a CUDA device with
        Triton; None for float64, for other devices, and where the package that the kernel needs is missing.
    """
    needs = {"cpu": ("numba", "sru_cpu"), "cuda": ("triton", "sru_gpu")}.get(U.device.type)
    return None if needs is None or U.dtype not in NARROW else _load(*needs)


@cache
def _load(package: str, kernel: str) -> ModuleType | None:
    try:
        importlib.import_module(package)
    except ImportError:  # not installed, or not for this NumPy: the recurrence by hand serves
        return None
    return importlib.import_module(f"companion.kernels.{kernel}")
