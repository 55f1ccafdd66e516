"""How long until a character model knows 10,000 characters by heart, at a training perplexity of 1.1?

Both recipes train the same model from the same weights on the same batches: 32 streams, 35 steps, 256 hidden units,
one-hot inputs, gradients clipped to norm 1. The well-known recipe is plain SGD with learning rate 1 and nn's layer.
Ours is companion's layer and `fit` over 26 epochs, with one cycle of the learning rate up to 0.02 and an Adam that
forgets fast, since there are so few steps. They take turns: a whole run of ours, then a piece of the well-known one.

    .venv/bin/python benchmarks/perplexity.py [--layer GRU] [--text timemachine.txt]
"""

import argparse
import re
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from interleaved import describe_machine
from torch import nn

import companion
from companion import LanguageModel, SequentialBatches, Vocabulary, detach_state, next_token_loss, one_hot, perplexity

TARGET, CHARACTERS, BATCH_SIZE, STEPS, HIDDEN, MOST_EPOCHS = 1.1, 10_000, 32, 35, 256, 1000


def read_letters(path: Path | None) -> str:
    """The first characters of a text as the well-known recipe reads them: lower case, all else a space."""
    text = path.read_text(encoding="utf-8") if path else companion.load_story().train
    return re.sub("[^A-Za-z]+", " ", text).lower().strip()[:CHARACTERS]


def build(layer_class: type[nn.Module], vocabulary_size: int, seed: int, device: torch.device) -> LanguageModel:
    """The model that both recipes train; equal seeds give equal weights, whosever the layer is."""
    torch.manual_seed(seed)
    layer = layer_class(vocabulary_size, HIDDEN)
    return LanguageModel(layer, vocabulary_size, embedding=one_hot(vocabulary_size)).to(device)


def well_known_epochs(model: nn.Module, batches: SequentialBatches) -> Iterator[tuple[float, float]]:
    """SGD, learning rate 1, clipped: yields the perplexity and the seconds of every epoch."""
    device = next(model.parameters()).device
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    while True:
        start, total, count, state = time.perf_counter(), 0.0, 0, None
        for inputs, targets in batches:
            loss, state = next_token_loss(model, (inputs.to(device), targets.to(device)), detach_state(state))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            total, count = total + loss.item() * targets.numel(), count + targets.numel()
        yield perplexity(total / count), time.perf_counter() - start


def our_epochs(model: nn.Module, batches: SequentialBatches) -> Iterator[tuple[float, float]]:
    """`fit`, a whole run: the perplexity and the seconds of every epoch."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=2e-2, betas=(0.5, 0.95))
    history = companion.fit(model, batches, epochs=26, optimizer=optimizer, progress=False)
    return zip(map(perplexity, history.train), history.seconds, strict=True)


def time_to_target(epochs: Iterator[tuple[float, float]]) -> tuple[int, float] | None:
    """The number of epochs and the seconds it takes to reach the target; None if these do not."""
    seconds = 0.0
    for number, (reached, duration) in enumerate(epochs, 1):
        seconds += duration
        if reached <= TARGET:
            return number, seconds
    return None


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", choices=["RNN", "GRU", "LSTM"], default="GRU")
    parser.add_argument("--text", type=Path, help="a text file, for instance The Time Machine; the story if not given")
    parser.add_argument("--piece", type=int, default=60, help="epochs of the well-known recipe in one turn")
    options = parser.parse_args()
    device = companion.choose_device()
    text = read_letters(options.text)
    vocabulary = Vocabulary(text)
    batches = SequentialBatches(vocabulary.encode(text), BATCH_SIZE, STEPS)
    print(f"{describe_machine(device)}; {options.layer}, {len(text)} characters of {options.text or 'the story'}")

    theirs = build(getattr(nn, options.layer), len(vocabulary), 0, device)
    epochs = islice(well_known_epochs(theirs, batches), MOST_EPOCHS)
    taken, ours = [], []
    while not taken or (taken[-1][0] > TARGET and len(taken) < MOST_EPOCHS):
        model = build(getattr(companion, options.layer), len(vocabulary), len(ours), device)
        ours.append(time_to_target(our_epochs(model, batches)))
        print(f"  fit, seed {len(ours) - 1}: " + describe(ours[-1]), flush=True)
        for epoch in islice(epochs, options.piece):
            taken.append(epoch)
            if epoch[0] <= TARGET:
                break
        print(f"  well-known recipe: perplexity {taken[-1][0]:.2f} after {len(taken)} epochs", flush=True)
    reached = time_to_target(iter(taken))
    print("well-known recipe: " + describe(reached))
    if reached and all(ours):
        median = statistics.median(seconds for _, seconds in ours)
        print(f"fit: {median:.1f} s (median of {len(ours)}), ratio fit / well-known: {median / reached[1]:.3f}")


def describe(result: tuple[int, float] | None) -> str:
    """One result in words."""
    return f"{TARGET} after {result[0]} epochs, {result[1]:.1f} s" if result else f"never reached {TARGET}"


if __name__ == "__main__":
    main()
