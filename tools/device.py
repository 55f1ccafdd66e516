"""Say which device the notebooks run on: python tools/device.py [--require-gpu]."""

import platform
import subprocess
import sys
from pathlib import Path

import torch

from companion.training import choose_device


def describe_device() -> tuple[str, str]:
    """Return the kind (cuda, mps or cpu) and the name of the device that the chapters choose."""
    kind = choose_device().type
    return kind, torch.cuda.get_device_name() if kind == "cuda" else processor_name()


def processor_name() -> str:
    """Return the processor's model name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return platform.machine()


def missing_gpu() -> str | None:
    """Return a sentence if there is no GPU that torch can use."""
    kind, name = describe_device()
    if kind == "cpu":
        return f"There is no GPU that torch {torch.__version__} can use here, only the CPU ({name}): run make test."
    return None


if __name__ == "__main__":
    sys.exit(missing_gpu() if "--require-gpu" in sys.argv else print(*describe_device(), sep=", "))
