"""Handwritten digits read row by row and pixel by pixel by five layers, in models of equal weight.

    .venv/bin/python -m experiments.images_as_sequences

takes about a quarter of an hour on one core. All forms have one recipe, which was tuned for none of them; the images of
the test part are looked at after the training only. Reading pixel by pixel is slow, so it has three seeds, and reading
row by row five.
"""

import time
from statistics import fmean, stdev

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from companion.anatomy import count_parameters
from companion.images import accuracy_by_step, last_step_loss, read_pixels, read_rows
from companion.language_model import LanguageModel
from companion.layers import GRU, LSTM, RNN
from companion.runs import save_run
from companion.scan import MinGRU
from companion.sru import SRU
from companion.training import fit

COMMAND = ".venv/bin/python -m experiments.images_as_sequences"
TRAIN = 1297  # the first images
BUDGET = 5_000  # weights of a model
LAYERS = {"RNN": (RNN, 1), "LSTM": (LSTM, 1), "GRU": (GRU, 1), "SRU": (SRU, 1), "SRU, 2 layers": (SRU, 2),
          "MinGRU": (MinGRU, 1), "MinGRU, 2 layers": (MinGRU, 2)}  # fmt: skip
READINGS = {"rows": (read_rows, 8, 5), "pixels": (read_pixels, 1, 3)}  # what a step is, its features, the seeds
RECIPE = {"epochs": 50, "learning_rate": 1e-2}
KEPT = ("GRU", "pixels")  # whose weights are stored, of the first seed


def load() -> tuple[Tensor, Tensor]:
    """All 1,797 images, from 0 to 1, shape (N, 8, 8), and their digits, in the file's order."""
    digits = load_digits()
    return torch.tensor(digits.images, dtype=torch.float32) / 16, torch.tensor(digits.target)


def hidden_size(name: str, features: int) -> int:
    """The most units that the budget pays for, the linear output included."""
    kind, layers = LAYERS[name]
    size = 1
    while count_parameters(kind.__name__, features, size, num_layers=layers) + 10 * (size + 1) <= BUDGET:
        size += 1
    return size - 1


def build(name: str, features: int, seed: int) -> LanguageModel:
    """A model of one form, its weights drawn from a seed."""
    torch.manual_seed(seed)
    kind, layers = LAYERS[name]
    layer = kind(features, hidden_size(name, features), num_layers=layers, batch_first=True)
    return LanguageModel(layer, 10, embedding=nn.Identity())


def train(name: str, features: int, sequences: Tensor, labels: Tensor, seed: int, **recipe) -> LanguageModel:
    """A model trained on these sequences, its weights rounded to those that will be stored."""
    model = build(name, features, seed)
    batches = DataLoader(TensorDataset(sequences, labels), batch_size=50, shuffle=True)
    fit(model, batches, **RECIPE | recipe, loss=last_step_loss, progress=False)
    return model.half().float().eval()


def score(model: nn.Module, sequences: Tensor, labels: Tensor) -> float:
    """The share of right answers after the last step."""
    return accuracy_by_step(model, sequences, labels)[-1].item()


def run(name: str, reading: str, images: Tensor, labels: Tensor, **recipe) -> tuple[dict, list[dict[str, Tensor]]]:
    """One form on one reading: what came out, and the trained weights of every seed."""
    read, features, seeds = READINGS[reading]
    sequences, scores, weights = read(images), [], []
    for seed in range(seeds):
        model = train(name, features, sequences[:TRAIN], labels[:TRAIN], seed, **recipe)
        scores.append(round(score(model, sequences[TRAIN:], labels[TRAIN:]), 4))
        weights.append(model.state_dict())
    return {"hidden_size": hidden_size(name, features), "test": scores}, weights


def main() -> None:
    """Train all forms on both readings, print the table, and store the run."""
    torch.set_num_threads(1)
    start, (images, labels), results = time.process_time(), load(), {}
    for reading in READINGS:
        results[reading] = {}
        for name in LAYERS:
            found, weights = run(name, reading, images, labels)
            results[reading][name] = found
            if (name, reading) == KEPT:
                kept = weights[0]
            mean, spread = fmean(found["test"]), stdev(found["test"])
            print(f"{reading:7} {name:17} H {found['hidden_size']:4} "
                  f"{mean:.3f} ± {spread:.3f}  {time.process_time() - start:.0f} s", flush=True)  # fmt: skip
    seconds = time.process_time() - start
    save_run("images-as-sequences", kept, results, command=COMMAND, seconds=seconds)


if __name__ == "__main__":
    main()
