"""The house style, and the few figures the chapters share. The only module that knows matplotlib.

Every color has one meaning, everywhere in the book. The hues stay apart for color-blind eyes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

__all__ = [
    "COLORS",
    "plot_bars",
    "plot_curves",
    "plot_gradient_norms",
    "plot_heatmap",
    "plot_saturation",
    "plot_text_heat",
    "use_style",
]

BLUE, VERMILLION, GREEN, PURPLE, GRAY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#5F6B7A"

COLORS = {
    "state": BLUE,
    "reset": VERMILLION,
    "forget": VERMILLION,
    "update": GREEN,
    "input gate": GREEN,
    "candidate": PURPLE,
    "input": GRAY,
    "baseline": GRAY,
}

STYLE = {
    "figure.figsize": (6, 2.5),
    "figure.dpi": 144,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.prop_cycle": plt.cycler(color=[BLUE, VERMILLION, GREEN, PURPLE], linestyle=["-", "--", "-.", ":"]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRAY,
    "axes.titlesize": 9,
    "axes.grid": True,
    "grid.color": "#E3E6EA",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "image.cmap": "RdBu_r",
}


def use_style() -> None:
    """Draw in the house style from now on: 6 x 2.5 inches, 9 points, four hues, quiet axes."""
    plt.rcParams.update(STYLE)


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style inside, and leave every other setting as it was outside."""
    with plt.rc_context(STYLE):
        yield
        interactive = plt.isinteractive()
    plt.interactive(interactive)  # a notebook's first figure turns this on: undone, no later figure would be shown


def plot_curves(
    curves: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    start: int = 0,
    log: bool = False,
    ax: Any = None,
) -> Any:
    """Draw named curves over their index.

    Args:
        curves: values by name. A name in :data:`COLORS` has its color; the others take the next ones.
        xlabel: what the index counts, with its unit.
        ylabel: what the values are, with their unit.
        start: the first index.
        log: whether the values are on a logarithmic axis.
        ax: the Axes to draw into; a new figure if None.

    Returns:
        The Axes.

    Examples:
        >>> from companion.plotting import plot_curves
        >>> ax = plot_curves({"training": [9.0, 6.0, 5.0], "held out": [8.0, 6.5, 6.0]}, "epoch", "perplexity", start=1)
        >>> [line.get_label() for line in ax.lines]
        ['training', 'held out']
    """
    with house_style():
        ax = ax or plt.subplots()[1]
        for name, values in curves.items():
            color = {"color": COLORS[name]} if name in COLORS else {}
            ax.plot(range(start, start + len(values)), values, label=name, **color)
        ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
        if log:
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("{x:g}")
        if len(curves) > 1:
            ax.legend()
    return ax


def plot_bars(values: Mapping[str, float], xlabel: str, highlight: str | None = None, ax: Any = None) -> Any:
    """Draw one horizontal bar for each name, its value written at its end.

    Args:
        values: by name, drawn from top to bottom.
        xlabel: what the values are, with their unit.
        highlight: the bar drawn in the color of the state; the others are gray.
        ax: the Axes to draw into; a new figure if None.

    Returns:
        The Axes.

    Examples:
        >>> from companion.plotting import plot_bars
        >>> ax = plot_bars({"counting": 9.1, "GRU": 5.2}, "perplexity", highlight="GRU")
        >>> ax.get_xlabel(), len(ax.patches)
        ('perplexity', 2)
    """
    with house_style():
        ax = ax or plt.subplots()[1]
        names = list(values)
        colors = [COLORS["state"] if name == highlight else COLORS["baseline"] for name in names]
        bars = ax.barh(names, list(values.values()), color=colors, height=0.6)
        ax.bar_label(bars, fmt="{:.3g}", padding=3)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(xlabel)
        ax.margins(x=0.12)
    return ax


def plot_heatmap(
    matrix: Any,
    xlabel: str,
    ylabel: str,
    xticklabels: Sequence[str] | None = None,
    limit: float | None = None,
    label: str = "value",
    ax: Any = None,
) -> Any:
    """Draw a matrix as colored cells, zero white, with a color bar.

    Args:
        matrix: numbers of shape (rows, columns), a tensor or an array.
        xlabel: what the columns are.
        ylabel: what the rows are.
        xticklabels: one label for each column, for instance the characters read.
        limit: the value of the strongest color, by default the largest magnitude in the matrix.
        label: what the numbers are, with their unit, beside the color bar.
        ax: the Axes to draw into; a new figure if None.

    Returns:
        The Axes.

    Examples:
        >>> from companion.plotting import plot_heatmap
        >>> ax = plot_heatmap(torch.randn(4, 10), "time step", "unit", limit=3.0)
        >>> ax.images[0].get_clim()
        (-3.0, 3.0)
    """
    values = _numbers(matrix)
    limit = limit if limit is not None else float(np.abs(values).max())
    with house_style():
        ax = ax or plt.subplots()[1]
        image = ax.imshow(values, aspect="auto", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.figure.colorbar(image, ax=ax, label=label)
        ax.grid(visible=False)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        if xticklabels is not None:
            ax.set_xticks(range(len(xticklabels)), xticklabels)
    return ax


def plot_text_heat(
    text: str,
    values: Any,
    label: str = "value",
    width: int = 60,
    limit: float | None = None,
    ax: Any = None,
) -> Any:
    """Set a text in lines of equal length, each character on the color of its value, zero white.

    Args:
        text: the characters read; a line break is shown as ↵.
        values: one number for each character, for instance a gate or a state of one unit.
        label: what the numbers are, with their unit, beside the color bar.
        width: characters in a line.
        limit: the value of the strongest color, by default the largest magnitude of the values.
        ax: the Axes to draw into; a new figure if None.

    Returns:
        The Axes.

    Raises:
        ValueError: ``text`` is empty, or there are not as many values as characters.

    Examples:
        >>> from companion.plotting import plot_text_heat
        >>> ax = plot_text_heat("keep", [0.9, 0.1, 0.2, 0.8], label="update gate", width=4)
        >>> "".join(text.get_text() for text in ax.texts)
        'keep'

    Source: :cite:t:`karpathy2015`. Taught in *Inside the gates*.
    """
    values = _numbers(values)
    if not text or values.shape != (len(text),):
        raise ValueError(f"values should be one for each of {len(text)} characters, at least 1, got {values.shape}")
    limit = (float(np.abs(values).max()) if limit is None else limit) or 1.0
    padded = np.append(values, [np.nan] * (-len(values) % width))
    with house_style():
        ax = ax or plt.subplots()[1]
        image = ax.imshow(padded.reshape(-1, width), aspect="auto", vmin=-limit, vmax=limit, interpolation="nearest")
        bar = ax.figure.colorbar(image, ax=ax, label=label)
        bar.ax.set_ylim(0 if values.min() >= 0 else -limit, limit)
        for place, (character, value) in enumerate(zip(text, values, strict=True)):
            ink = "white" if abs(value) > 0.6 * limit else "black"
            shown = "\u21b5" if character == "\n" else character
            ax.text(place % width, place // width, shown, color=ink, family="monospace", ha="center", va="center")
        ax.set_axis_off()
    return ax


def plot_gradient_norms(norms: Mapping[str, Any], ylabel: str = "norm of the gradient", ax: Any = None) -> Any:
    """Draw how gradients fade, or grow, on their way back through time, on a logarithmic axis.

    Args:
        norms: by name, T numbers in the order of time, as :func:`companion.probes.gradient_norms` gives them. A name
            in :data:`COLORS` has its color; the others take the next ones.
        ylabel: what the norms are of.
        ax: the Axes to draw into; a new figure if None.

    Returns:
        The Axes, with the last time step at the left, 0 steps back.

    Examples:
        >>> from companion.plotting import plot_gradient_norms
        >>> ax = plot_gradient_norms({"RNN": [0.01, 0.1, 1.0]})
        >>> ax.lines[0].get_ydata()  # the last time step comes first
        array([1.  , 0.1 , 0.01])

    Taught in *Inside the gates*.
    """
    backward = {name: _numbers(values)[::-1] for name, values in norms.items()}
    ax = plot_curves(backward, "steps back from the last", ylabel, ax=ax)
    ax.set_yscale("log")
    return ax


def plot_saturation(shares: Mapping[str, tuple[Any, Any]], ax: Any = None) -> Any:
    """Draw every unit as a circle: how often its gate is nearly open, against how often it is nearly shut.

    Args:
        shares: by the gate's name, the shares of time steps left- and right-saturated, (H) each, as
            :func:`companion.probes.saturation` gives them. A name in :data:`COLORS` has its color.
        ax: the Axes to draw into; a new figure if None.

    Returns:
        The Axes. No circle lies above the line from corner to corner: a gate cannot be both.

    Examples:
        >>> from companion.plotting import plot_saturation
        >>> ax = plot_saturation({"forget": companion.saturation(torch.rand(50, 8))})
        >>> ax.get_xlabel()
        'share of steps nearly open'

    Source: :cite:t:`karpathy2015`. Taught in *Inside the gates*.
    """
    with house_style():
        ax = ax or plt.subplots()[1]
        ax.plot([0, 1], [1, 0], color=GRAY, linestyle=":", linewidth=0.8)
        hues = iter([BLUE, VERMILLION, GREEN, PURPLE])
        for name, (left, right) in shares.items():
            color = COLORS[name] if name in COLORS else next(hues)
            ax.scatter(_numbers(right), _numbers(left), s=22, facecolors="none", edgecolors=color, label=name)
        ax.set(xlabel="share of steps nearly open", ylabel="share of steps nearly shut")
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        if len(shares) > 1:
            ax.legend()
    return ax


def _numbers(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
