"""The trainings of *More than one machine*: one process, two that share its batch, two with twice the batch."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import nn

from companion import LanguageModel, SequentialBatches, Vocabulary, evaluate, fit, load_story, perplexity, save_run
from companion.distributed import distributed_model, inner_model

NAME = "more-than-one-machine"
COMMAND = "python -m experiments.more_than_one_machine"
HIDDEN, NUM_STEPS, EPOCHS, SEEDS = 64, 35, 6, (0, 1, 2)
BATCH_SIZE, RATE = 16, 0.01

ONE, TWO = "one process", "two processes, the same batch"
# By name: the size of the whole batch, and the peak of the learning rate.
TOGETHER = {
    TWO: (BATCH_SIZE, RATE),
    "two processes, twice the batch": (2 * BATCH_SIZE, RATE),
    "two processes, twice the batch, twice the rate": (2 * BATCH_SIZE, 2 * RATE),
}


def read_story(characters=None):
    """The vocabulary, and the tokens of both parts; of each only so many, if they are limited."""
    story = load_story()
    vocabulary = Vocabulary(story.train)
    return vocabulary, *(vocabulary.encode(text[:characters]) for text in story)


def build_model(vocabulary, seed, hidden_size=HIDDEN):
    """Equal seeds give equal weights."""
    torch.manual_seed(seed)
    return LanguageModel(nn.GRU(hidden_size // 2, hidden_size), len(vocabulary))


def held_out_batches(tokens):
    """The same for every training: eight streams."""
    return SequentialBatches(tokens, 8, 100)


def train(seed, batch_size, rate, epochs=EPOCHS, characters=None, hidden_size=HIDDEN):
    """One training, by this process or, under torchrun, by all: the model, and its held-out perplexity."""
    vocabulary, tokens, held_out = read_story(characters)
    model = distributed_model(build_model(vocabulary, seed, hidden_size))
    batches = SequentialBatches(tokens, batch_size, NUM_STEPS)
    fit(model, batches, epochs=epochs, learning_rate=rate, progress=False)
    alone = inner_model(model).half().float()  # as the record keeps it
    return alone, perplexity(evaluate(alone, held_out_batches(held_out)))


def train_together(folder, **sizes):
    """What each of the processes does that torchrun starts: all trainings; the first stores them."""
    reached = {}
    for name, (batch_size, rate) in TOGETHER.items():
        for seed in SEEDS:
            model, value = train(seed, batch_size, rate, **sizes)
            reached.setdefault(name, []).append(value)
            if int(os.environ.get("RANK", 0)) == 0 and (name, seed) == (TWO, SEEDS[0]):
                torch.save(model.state_dict(), Path(folder) / "weights.pt")
            if int(os.environ.get("RANK", 0)) == 0:
                print(f"{name}, seed {seed}: {value:.4f}", flush=True)
                (Path(folder) / "reached.json").write_text(json.dumps(reached))


def run_together():
    """Start two processes that train together; their weights, and the perplexities by name."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*launcher, "-m", "experiments.more_than_one_machine", "--together", folder], check=True)
        reached = json.loads((Path(folder) / "reached.json").read_text())
        return torch.load(Path(folder) / "weights.pt"), reached


def main():
    """Train everything, print the table, store the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--together", help=argparse.SUPPRESS)  # what the processes do that torchrun starts
    folder = parser.parse_args().together
    torch.set_num_threads(1)
    if folder:
        train_together(folder)
        return
    begun, reached, weights = time.perf_counter(), {ONE: []}, {}
    for seed in SEEDS:
        model, value = train(seed, BATCH_SIZE, RATE)
        reached[ONE].append(value)
        if seed == SEEDS[0]:
            weights = {f"one.{name}": weight for name, weight in model.state_dict().items()}
        print(f"{ONE}, seed {seed}: {value:.4f}", flush=True)
    theirs, also_reached = run_together()
    reached |= also_reached
    weights |= {f"two.{name}": weight for name, weight in theirs.items()}
    for name, values in reached.items():
        print(f"{name:50} {fmean(values):.3f} ± {stdev(values):.3f}")
    results = {"held-out perplexity": reached, "seeds": list(SEEDS), "epochs": EPOCHS, "hidden_size": HIDDEN}
    save_run(NAME, weights, results, command=COMMAND, seconds=time.perf_counter() - begun)


if __name__ == "__main__":
    main()
