"""Run notebooks top to bottom and store their outputs: python tools/execute.py [NOTEBOOK ...]; none means all.

A notebook in which a cell fails is left as it was.
"""

import base64
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

CELL_TIMEOUT = 600  # seconds


def main(names: list[str]) -> None:
    os.environ["TQDM_DISABLE"] = "1"  # the kernels inherit it: no progress bar in a stored output
    paths = [Path(name) for name in names] or sorted(Path("book").rglob("*.ipynb"))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        sys.exit(f"There is no notebook {', '.join(missing)}.")
    failures = [failure for path in paths if (failure := execute(path))]
    if failures:
        sys.exit("\n".join(failures))


def execute(path: Path) -> str | None:
    """Run one notebook in its own folder and store it; return a sentence if a cell failed."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of an earlier run
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        extra_arguments=["--log-level=ERROR"],  # a kernel warns at each start that it does not encrypt
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    begun = time.perf_counter()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return f"{path} is left as it was, because a cell failed:\n{error}"
    notebook.metadata.get("language_info", {}).pop("version", None)  # differs from machine to machine
    shrink_images(notebook)
    write(notebook, path)
    print(f"{path}: {time.perf_counter() - begun:.1f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)
    return None


def shrink_images(notebook: nbformat.NotebookNode) -> None:
    """Give every PNG a palette of 256 colors: a plot looks the same, and takes about a third of the bytes."""
    images = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    for data in images:
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        smaller = io.BytesIO()
        image.convert("RGB").quantize().save(smaller, "PNG", optimize=True)
        data["image/png"] = min(data["image/png"], base64.b64encode(smaller.getvalue()).decode(), key=len)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Store the notebook in one step, so that breaking off never leaves half a file."""
    draft = path.with_suffix(".ipynb.draft")
    nbformat.write(notebook, draft)
    os.replace(draft, path)


if __name__ == "__main__":
    main(sys.argv[1:])
