"""Checks of the exercises of *Moving weights*."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import torch
from torch import Tensor, nn

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights
from companion.conversion import reorder_gates
from companion.layers import LSTM

__all__ = [
    "check_find_forget_block",
    "check_find_order",
    "check_from_basic_cell",
    "check_merge_biases",
    "check_without_projection",
]


def check_find_forget_block(answer: Callable) -> bool:
    """Check ``find_forget_block(bias)``: which of the four blocks of an LSTM's bias has been started at 1."""

    def reference(bias: Tensor) -> int:
        return int(bias.view(4, -1).mean(1).argmax())

    def case(block: int, H: int, noise: float = 0.0) -> tuple[Tensor]:
        bias = torch.zeros(4, H)
        bias[block] = 1
        return ((bias + noise * random_numbers(4, H, seed=block)).flatten(),)

    cases = {
        "a new bias, its ones in the second block": case(1, 16),
        "a new bias, its ones in the third block": case(2, 16),
        "a new bias, its ones in the last block": case(3, 8),
        "a trained bias of 48 units": case(1, 48, noise=1.5),
        "a trained bias of 32 units": case(2, 32, noise=0.4),
        "a single unit": case(1, 1),
    }
    hint = (
        "Cut the bias into four blocks. After training no number is exactly 1 any more, and the largest of all may lie "
        "anywhere. What do a block's numbers have in common?"
    )
    return compare(answer, reference, cases, hint, call=lambda find, bias: int(find(bias)))


def check_merge_biases(answer: Callable) -> bool:
    """Check ``merge_biases(weights)``: zeros in a GRU's ``bias_hh_l0`` wherever the outputs stay the same."""

    def case(D: int, H: int) -> tuple:
        layer = with_random_weights(nn.GRU, D, H)
        return layer.state_dict(), random_numbers(35, 4, D), random_numbers(1, 4, H)

    def outputs(merge: Callable, weights: dict, x: Tensor, h: Tensor) -> dict:
        merged = merge(weights)
        layer = build_quietly(nn.GRU, x.shape[-1], h.shape[-1])
        layer.load_state_dict(merged)
        left = int(torch.count_nonzero(merged["bias_hh_l0"]))
        return {"the outputs": layer(x, h)[0], "how many numbers of bias_hh_l0 are not 0": left}

    def reference(weights: dict) -> dict:
        rows = 2 * weights["weight_hh_l0"].shape[1]
        moved = weights["bias_hh_l0"].clone()
        moved[rows:] = 0
        biases = {"bias_ih_l0": weights["bias_ih_l0"] + moved, "bias_hh_l0": weights["bias_hh_l0"] - moved}
        return weights | biases

    sizes = {"8 features, 16 units": (8, 16), "one feature, one unit": (1, 1), "3 features, 5 units": (3, 5)}
    cases = {name: case(*pair) for name, pair in sizes.items()}
    hint = (
        "Look at the equations: where do the two biases of a block enter as a sum, and where does something stand "
        "between them? Only the first kind can move. Nothing may be lost on the way."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=outputs)


def check_find_order(answer: Callable) -> bool:
    """Check ``find_order(weights, inputs, outputs)``: the order of the blocks in which the LSTM gives these outputs."""

    def reference(weights: dict, inputs: Tensor, outputs: Tensor) -> str:
        gaps = {}
        for letters in permutations("ifgo"):
            order = "".join(letters)
            layer = build_quietly(nn.LSTM, inputs.shape[-1], outputs.shape[-1])
            layer.load_state_dict({name: reorder_gates(weight, order, "ifgo") for name, weight in weights.items()})
            gaps[order] = float((layer(inputs)[0].detach() - outputs).abs().max())
        return min(gaps, key=gaps.get)

    def case(order: str, D: int, H: int) -> tuple:
        layer, inputs = with_random_weights(nn.LSTM, D, H), random_numbers(12, 3, D)
        weights = {name: reorder_gates(weight, "ifgo", order) for name, weight in layer.state_dict().items()}
        return weights, inputs, layer(inputs)[0].detach()

    cases = {
        "an unknown order, 8 features and 16 units": case("iofg", 8, 16),
        "another one, 3 features and 5 units": case("gofi", 3, 5),
        "a third one, 4 features and 4 units": case("fiog", 4, 4),
    }
    hint = (
        "Four blocks can stand in 24 orders, and `itertools.permutations` lists them. Put the blocks into the order of "
        "nn for each guess, run the layer from zeros, and see which guess gives the outputs. Numbers are rounded."
    )
    return compare(answer, reference, cases, hint)


def check_from_basic_cell(answer: Callable) -> bool:
    """Check ``from_basic_cell(kernel, bias, forget_bias)``: the cell's weights as a state_dict for nn.LSTM."""

    def reference(kernel: Tensor, bias: Tensor, forget_bias: float) -> dict:
        H = len(bias) // 4
        bias = bias.clone()
        bias[2 * H : 3 * H] += forget_bias
        rows = {"weight_ih_l0": kernel[:-H].T, "weight_hh_l0": kernel[-H:].T, "bias_ih_l0": bias}
        weights = {name: reorder_gates(weight, "igfo", "ifgo") for name, weight in rows.items()}
        return weights | {"bias_hh_l0": torch.zeros(4 * H)}

    def case(D: int, H: int, forget_bias: float) -> tuple:
        kernel, bias = random_numbers(D + H, 4 * H) / 2, random_numbers(4 * H) / 2
        return kernel, bias, forget_bias, random_numbers(35, 4, D), random_numbers(2, 1, 4, H)

    def outputs(convert: Callable, *arguments: Any) -> Tensor:
        *weights, x, state = arguments
        layer = build_quietly(nn.LSTM, x.shape[-1], state.shape[-1])
        layer.load_state_dict(convert(*weights))
        return layer(x, tuple(state))[0]

    cases = {
        "8 features, 16 units, a forget bias of 0": case(8, 16, 0.0),
        "8 features, 16 units, a forget bias of 1": case(8, 16, 1.0),
        "as many features as units": case(6, 6, 1.0),
        "one feature, one unit": case(1, 1, 2.0),
    }
    hint = (
        "Four things differ from nn: both matrices are one, they multiply from the other side, the blocks have another "
        "order, and a number is added that no array holds. Take them one at a time, and say of each which blocks it "
        "concerns."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4, call=outputs)


def check_without_projection(answer: Callable) -> bool:
    """Check ``without_projection(layer)``: an LSTM without one, and what makes the layer's outputs of its own."""

    def outputs(take_apart: Callable, layer: LSTM, x: Tensor) -> dict:
        parts = take_apart(layer)
        if isinstance(parts, LSTM) and parts.proj_size:  # the layer itself, as the reference gives it
            return {"the outputs": parts(x)[0], "the projection": 0}
        plain, linear = parts
        return {"the outputs": linear(plain(x)[0]), "the projection": plain.proj_size}

    def case(D: int, H: int, P: int, T: int = 35) -> tuple:
        layer = with_random_weights(lambda *sizes: LSTM(*sizes, proj_size=P), D, H)  # nn's would warn of oneDNN
        return layer, random_numbers(T, 4, D)

    cases = {
        "8 features, 16 units, a projection to 4": case(8, 16, 4),
        "a single step": case(8, 16, 4, T=1),
        "5 features, 5 units, a projection to 3": case(5, 5, 3),
    }
    hint = (
        "The projected state is a product of `weight_hr` with the state as it was before. Write down what the gates do "
        "with it at the next step: two matrices stand side by side. What shape has their product?"
    )
    return compare(answer, lambda layer: layer, cases, hint, tolerance=1e-4, call=outputs)
