"""Checks of the exercises of *The SRU, twice*."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.checks.compare import compare
from companion.checks.inputs import build_quietly, random_numbers, with_random_weights
from companion.sru import SRU
from companion.steps import sru_step

__all__ = [
    "check_count_sru_weights",
    "check_latch_weights",
    "check_settled_output",
    "check_state_gradient",
    "check_to_official",
]


def check_count_sru_weights(answer: Callable) -> bool:
    """Check ``count_sru_weights(D, H, L, S)``: how many weights an SRU has."""

    def reference(D: int, H: int, L: int, S: int) -> int:
        layer = build_quietly(partial(SRU, bidirectional=S == 2), D, H, L)
        return sum(weight.numel() for weight in layer.parameters())

    cases = {
        "one layer, D = 5, H = 3": (5, 3, 1, 1),
        "an input as wide as the output": (6, 6, 1, 1),
        "four layers": (5, 6, 4, 1),
        "two directions": (5, 3, 1, 2),
        "two directions, D = 2 H": (6, 3, 1, 2),
        "two directions, D = H": (3, 3, 1, 2),
        "three layers and two directions": (7, 4, 3, 2),
    }
    hint = (
        "A block has one matrix of H rows, and each direction has its own blocks. Are there three or four? That "
        "depends on whether the layer's input is as wide as its output, S * H. Vectors: two v and two b."
    )
    return compare(answer, reference, cases, hint)


def _latched(weights: Callable, bits: Tensor) -> dict[str, Tensor]:
    """The outputs of the unit that reads bits of shape (T), from a zero state."""
    weight_ih, weight_c, bias = (torch.as_tensor(part).detach().float() for part in weights())
    c, outputs = torch.zeros(1), []
    for x in bits.unsqueeze(1):  # (1)
        h, c = sru_step(F.linear(x, weight_ih), c, weight_c, bias, highway=x)
        outputs.append(h)
    return {"the outputs": torch.cat(outputs)}


def check_latch_weights(answer: Callable) -> bool:
    """Check ``latch_weights()``: one unit that shows 1 from the first 1 on, as weight_ih, weight_c and bias."""

    def reference() -> tuple[Tensor, Tensor, Tensor]:
        return torch.tensor([[1.0], [-60.0], [0.0]]), torch.zeros(2), torch.tensor([30.0, 30.0])

    late = torch.zeros(60)
    late[50] = 1
    cases = {
        "the bits 0 0 1 0 0": (torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]),),
        "no 1 at all": (torch.zeros(100),),
        "a 1, then a thousand 0s": (torch.cat([torch.ones(1), torch.zeros(1000)]),),
        "the first 1 after 50 zeros": (late,),
        "many 1s": (torch.tensor([0.0, 1, 1, 0, 1, 1, 1, 0, 0, 1]),),
    }
    hint = (
        "weight_ih has shape (3, 1): candidate, forget, reset. What has to be the candidate when a 1 is read, and the "
        "forget gate when a 0 is read? The state has to be shown whatever comes, so think of the reset gate's bias."
    )
    return compare(answer, reference, cases, hint, tolerance=0.05, call=_latched)


def check_state_gradient(answer: Callable) -> bool:
    """Check ``state_gradient(layer, inputs, c_0)``: how each unit's last state changes with its own first state."""

    def reference(layer: SRU, inputs: Tensor, c_0: Tensor) -> Tensor:
        v_f, b_f = layer.weight_c_l0.chunk(2)[0], layer.bias_ih_l0.chunk(2)[0]
        c, product = c_0[0].detach(), torch.ones_like(c_0[0])
        with torch.no_grad():
            for x in F.linear(inputs, layer.weight_ih_l0):
                candidate, x_f = x.split(layer.hidden_size, -1)[:2]
                f = torch.sigmoid(x_f + v_f * c + b_f)
                product = product * (f + (c - candidate) * f * (1 - f) * v_f)
                c = torch.lerp(candidate, c, f)
        return product.unsqueeze(0)

    narrow, square = with_random_weights(SRU, 3, 4), with_random_weights(SRU, 5, 5)
    cases = {
        "a single step, one sequence": (narrow, random_numbers(1, 1, 3), random_numbers(1, 1, 4)),
        "eight steps, three sequences": (narrow, random_numbers(8, 3, 3), random_numbers(1, 3, 4)),
        "an input as wide as the state": (square, random_numbers(6, 2, 5), random_numbers(1, 2, 5)),
    }
    hint = (
        "No unit of c_n depends on another unit of c_0, and no sequence on another sequence. So what is the gradient "
        "of the sum of c_n? It has the shape of c_0."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4)


def check_settled_output(answer: Callable) -> bool:
    """Check ``settled_output(layer, x)``: what a layer says after it has read the same x for ever."""

    def reference(layer: SRU, x: Tensor) -> Tensor:
        with torch.no_grad():
            return layer(x.expand(2000, *x.shape))[0][-1]

    rescaled = partial(SRU, rescale=True, highway_bias=-1.0)
    cases = {
        "D = H": (with_random_weights(SRU, 5, 5), random_numbers(3, 5)),
        "D other than H": (with_random_weights(SRU, 3, 5), random_numbers(3, 3)),
        "D = H, rescaled": (with_random_weights(rescaled, 5, 5), random_numbers(3, 5)),
        "D other than H, rescaled": (with_random_weights(rescaled, 3, 5), random_numbers(3, 3)),
    }
    hint = (
        "Under a constant input the state is where it will stay when c = f * c + (1 - f) * candidate. Which c is that? "
        "Put it into the reset gate, and mix it with the highway, whose input depends on the number of blocks."
    )
    return compare(answer, reference, cases, hint, tolerance=1e-4)


def _from_checkpoint(to_official: Callable, layer: SRU) -> dict[str, object]:
    """What our reader makes of the checkpoint."""
    loaded = build_quietly(partial(SRU.from_official, to_official(layer)))
    return {"the layer read from it": str(loaded), "its weights": _all_weights(loaded)}


def _all_weights(layer: SRU) -> Tensor:
    """All weights of a layer, one after another."""
    return torch.cat([weight.detach().flatten() for weight in layer.parameters()])


def check_to_official(answer: Callable) -> bool:
    """Check ``to_official(layer)``: the authors' checkpoint of an SRU of one direction without extras."""

    def reference(layer: SRU) -> dict[str, Tensor]:
        H, checkpoint = layer.hidden_size, {}
        weights = dict(layer.named_parameters())
        for number in range(layer.num_layers):
            W = weights[f"weight_ih_l{number}"].detach()
            checkpoint[f"rnn_lst.{number}.weight"] = torch.stack([block.T for block in W.split(H)], -1).flatten(1)
            checkpoint[f"rnn_lst.{number}.weight_c"] = weights[f"weight_c_l{number}"].detach()
            checkpoint[f"rnn_lst.{number}.bias"] = weights[f"bias_ih_l{number}"].detach()
        return checkpoint

    cases = {
        "one layer, D = H": (with_random_weights(SRU, 4, 4),),
        "one layer, D other than H": (with_random_weights(SRU, 3, 4),),
        "three layers": (with_random_weights(SRU, 3, 4, 3),),
    }
    hint = (
        "Names are rnn_lst.0.weight, .weight_c and .bias, then rnn_lst.1 and so on. The matrix has the inputs along "
        "its rows. Its columns are sorted by unit first, then by block, and an upper layer has three blocks."
    )
    return compare(answer, reference, cases, hint, call=_from_checkpoint)
