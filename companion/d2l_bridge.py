"""Makes ``from d2l import torch`` work where torchvision's compiled operators are missing.

d2l imports torchvision, and torchvision asks torch about two operators while it is imported. Beside a build of torch
they were not compiled for (a CPU wheel, often) they are missing, and the import fails, though nothing about recurrent
networks needs them. Declared here without an implementation, they let the import pass.
"""

import importlib.util

import torch

__all__ = ["prepare_d2l"]

_declared: list[torch.library.Library] = []  # a Library takes its declarations with it when it is collected


def prepare_d2l() -> bool:
    """Call this before ``from d2l import torch as d2l``. A second call does nothing.

    Returns:
        Whether d2l, and torchvision that it imports, are installed: without them there is nothing to prepare. Taught
        in *The GRU, twice*.
    """
    if not all(importlib.util.find_spec(name) for name in ("d2l", "torchvision")):
        return False
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):  # "operator torchvision::nms does not exist"
            raise
        _declare_operators()
    return True


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
