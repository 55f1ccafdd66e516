"""A progress bar that is there while you wait and gone when the work is done."""

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(total: int, description: str, show: bool = True) -> tqdm:
    """A tqdm bar for whoever is watching: in a terminal, or in a live notebook.

    When nobody is (a pipe, a notebook run from its first to its last cell by a program), there is no bar, and so no
    trace of it in the stored notebook. In a live notebook the bar is an output of its own, emptied at the end.

    Args:
        total: how many steps there will be.
        description: what is being done.
        show: False for no bar at all.

    Returns:
        The bar, a context manager; call its ``update()`` after every step.
    """
    notebook = _live_notebook()
    watched = notebook or sys.stderr.isatty()
    file = _NotebookOutput() if notebook and show else None
    return tqdm(total=total, desc=description, file=file, leave=False, disable=not (show and watched))


def _live_notebook() -> bool:
    """Whether this is a Jupyter kernel with a person at it: a program that runs notebooks allows no input."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    kernel: Any = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))


class _NotebookOutput:
    """A file whose last line is shown in one output of the cell, which ends up empty."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def write(self, text: str) -> None:
        line = text.rsplit("\r", 1)[-1].strip()
        self._handle.update({"text/plain": line}, raw=True)

    def flush(self) -> None:
        """Nothing is held back."""
