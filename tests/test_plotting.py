"""The house style: what the figures show, and that a color always means the same."""

import colorsys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb

from companion.plotting import (
    COLORS,
    STYLE,
    plot_bars,
    plot_curves,
    plot_gradient_norms,
    plot_heatmap,
    plot_saturation,
    plot_text_heat,
    use_style,
)

GRAY = COLORS["baseline"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def settings_of_matplotlib():
    with plt.rc_context():
        yield plt.rcParams


def is_gray(color):
    return colorsys.rgb_to_hsv(*to_rgb(color))[1] < 0.3


def test_there_are_at_most_four_hues_and_grays():
    hues = {color for color in COLORS.values() if not is_gray(color)}
    assert len(hues) <= 4
    assert set(STYLE["axes.prop_cycle"].by_key()["color"]) == hues
    assert is_gray(GRAY)


def test_gates_that_do_the_same_have_one_color_and_the_others_have_their_own():
    assert COLORS["reset"] == COLORS["forget"] and COLORS["update"] == COLORS["input gate"]
    assert len({COLORS[name] for name in ("state", "reset", "update", "candidate", "input")}) == 5


def test_use_style_sets_the_size_and_the_type(settings_of_matplotlib):
    use_style()
    assert list(settings_of_matplotlib["figure.figsize"]) == [6, 2.5]
    assert settings_of_matplotlib["font.size"] == 9


def test_curves_are_drawn_over_their_index_in_their_color():
    ax = plot_curves({"state": [1, 4, 2], "mine": [3, 3]}, "time step", "activation", start=1)
    state, mine = ax.lines
    assert state.get_xdata().tolist() == [1, 2, 3] and state.get_ydata().tolist() == [1, 4, 2]
    assert mine.get_xdata().tolist() == [1, 2]
    assert to_hex(state.get_color()).lower() == COLORS["state"].lower()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("time step", "activation", "linear")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["state", "mine"]
    assert ax.figure.get_size_inches().tolist() == [6, 2.5]


def test_one_curve_needs_no_legend_and_a_logarithm_is_written_in_plain_numbers():
    ax = plot_curves({"loss": [3.0, 0.02]}, "epoch", "loss", log=True)
    assert ax.get_legend() is None
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_yticklabels() + ax.get_yticklabels(minor=True)]
    assert any(labels) and not any("10^" in label for label in labels)


def test_bars_say_their_values_and_one_is_highlighted():
    ax = plot_bars({"uniform": 60.0, "bigram": 12.34, "GRU": 4.567}, "held-out perplexity", highlight="GRU")
    assert [bar.get_width() for bar in ax.patches] == [60.0, 12.34, 4.567]
    assert [to_hex(bar.get_facecolor()).lower() for bar in ax.patches] == (
        [GRAY.lower()] * 2 + [COLORS["state"].lower()]
    )
    assert [text.get_text() for text in ax.texts] == ["60", "12.3", "4.57"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["uniform", "bigram", "GRU"]
    assert ax.yaxis_inverted()  # the first on top
    assert ax.get_xlabel() == "held-out perplexity"


@pytest.mark.parametrize("kind", ["tensor", "tensor with a gradient", "array", "list"])
def test_a_heatmap_is_white_at_zero(kind):
    values = torch.tensor([[0.0, -2.0, 1.0], [0.5, 0.0, 0.25]], requires_grad="gradient" in kind)
    matrix = {"array": values.detach().numpy(), "list": values.tolist()}.get(kind, values)
    ax = plot_heatmap(matrix, "time step", "unit", xticklabels="the", label="activation")
    (image,) = ax.images
    np.testing.assert_allclose(image.get_array(), values.detach().numpy())
    assert image.get_clim() == (-2, 2)
    assert image.cmap(image.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.05)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time step", "unit")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["t", "h", "e"]
    assert image.colorbar.ax.get_ylabel() == "activation"


def test_a_limit_makes_heatmaps_comparable():
    assert plot_heatmap(torch.eye(2), "x", "y", limit=5).images[0].get_clim() == (-5, 5)


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plot_curves({"a": [1, 2]}, "x", "y", ax=ax),
        lambda ax: plot_bars({"a": 1.0}, "x", ax=ax),
        lambda ax: plot_heatmap(torch.eye(2), "x", "y", ax=ax),
        lambda ax: plot_text_heat("ab", [1.0, 0.5], ax=ax),
        lambda ax: plot_gradient_norms({"a": [1.0, 2.0]}, ax=ax),
        lambda ax: plot_saturation({"a": ([0.5], [0.5])}, ax=ax),
    ],
    ids=["curves", "bars", "heatmap", "text", "gradient norms", "saturation"],
)
def test_a_figure_is_drawn_where_you_say_and_settings_are_left_alone(draw, settings_of_matplotlib):
    before = dict(settings_of_matplotlib)
    _, axes = plt.subplots(1, 2)
    assert draw(axes[1]) is axes[1]
    assert not axes[0].has_data()
    assert draw(None) not in axes
    assert dict(settings_of_matplotlib) == before


def test_a_text_is_set_in_lines_on_the_colors_of_its_values():
    values = torch.tensor([0.0, -1.0, 0.25, 0.5, 0.1], requires_grad=True)
    ax = plot_text_heat("go\non", values, label="z of unit 3", width=2)
    (image,) = ax.images
    shown = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_allclose(shown, [[0.0, -1.0], [0.25, 0.5], [0.1, np.nan]])
    assert image.get_clim() == (-1, 1)
    assert image.cmap(image.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.05)
    characters = {(text.get_position(), text.get_text()) for text in ax.texts}
    assert characters == {((0, 0), "g"), ((1, 0), "o"), ((0, 1), "\u21b5"), ((1, 1), "o"), ((0, 2), "n")}
    inks = {text.get_text(): text.get_color() for text in ax.texts if text.get_position() != (1, 1)}
    assert inks["o"] == "white" and inks["g"] == "black"  # readable on a strong color and on white
    assert image.colorbar.ax.get_ylabel() == "z of unit 3"


def test_a_gate_fills_only_the_upper_half_of_the_color_bar():
    gate, state = (plot_text_heat("ab", [value, 0.9], limit=1).images[0].colorbar for value in (0.2, -0.2))
    assert gate.ax.get_ylim() == (0, 1)
    assert state.ax.get_ylim() == (-1, 1)


def test_a_text_whose_values_are_all_zero_is_white():
    (image,) = plot_text_heat("ab", [0.0, 0.0], width=2).images
    np.testing.assert_allclose(image.cmap(image.norm(image.get_array()))[..., :3], 1, atol=0.05)


@pytest.mark.parametrize("text, values", [("abc", [1.0, 2.0]), ("", []), ("ab", [[1.0, 2.0]])])
def test_a_text_needs_one_value_for_each_character(text, values):
    with pytest.raises(ValueError, match="values should be one for each"):
        plot_text_heat(text, values)


def test_gradient_norms_run_back_from_the_last_step():
    ax = plot_gradient_norms({"state": torch.tensor([1e-3, 1e-2, 1.0]), "mine": [0.1, 0.2, 0.3]}, "|dL/dh|")
    state, mine = ax.lines
    assert state.get_xdata().tolist() == [0, 1, 2]
    np.testing.assert_allclose(state.get_ydata(), [1.0, 1e-2, 1e-3])
    np.testing.assert_allclose(mine.get_ydata(), [0.3, 0.2, 0.1])
    assert to_hex(state.get_color()).lower() == COLORS["state"].lower()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("steps back from the last", "|dL/dh|", "log")


def test_every_unit_is_a_circle_by_its_two_shares():
    left, right = torch.tensor([0.1, 0.0]), torch.tensor([0.5, 0.9])
    ax = plot_saturation({"update": (left, right), "mine": ([0.2], [0.3])})
    update, mine = ax.collections
    np.testing.assert_allclose(update.get_offsets(), [[0.5, 0.1], [0.9, 0.0]], atol=1e-6)
    np.testing.assert_allclose(mine.get_offsets(), [[0.3, 0.2]])
    assert to_hex(update.get_edgecolors()[0]).lower() == COLORS["update"].lower()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["update", "mine"]
