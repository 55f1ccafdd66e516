"""Dates and numbers in words to ISO forms: two kinds of attention, and none with twice the training.

    .venv/bin/python -m experiments.sequence_to_sequence
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from companion.attention import AdditiveAttention, DotProductAttention
from companion.encoder_decoder import END, EncoderDecoder, PairBatches, translate, translation_loss
from companion.runs import save_run
from companion.tasks.dates import Written, dates_and_numbers
from companion.text import Vocabulary
from companion.training import fit

NAME = "sequence-to-sequence"
SEEDS = (0, 1, 2)
EPOCHS = 6
FEATURES, HIDDEN = 32, 96
STORED = {"dot product": "dot", "none": "none"}  # the weights of their first seed go into the file, with a prefix
KINDS = {
    "dot product": (DotProductAttention, EPOCHS),
    "additive": (lambda: AdditiveAttention(HIDDEN, HIDDEN, HIDDEN), EPOCHS),
    "none": (lambda: None, 2 * EPOCHS),  # it learns more slowly
}

Pairs = Sequence[Written]


def build(kind: str, train: Pairs) -> EncoderDecoder:
    """A fresh model for these texts."""
    source, target = Vocabulary("".join(pair.text for pair in train)), Vocabulary("0123456789-" + END)
    encoder = nn.GRU(FEATURES, HIDDEN // 2, bidirectional=True)
    return EncoderDecoder(encoder, nn.GRU(FEATURES, HIDDEN), source, target, KINDS[kind][0]())


def train_model(kind: str, seed: int, train: Pairs, epochs: int) -> EncoderDecoder:
    """Train from a seed; the weights are as float16 holds them."""
    torch.manual_seed(seed)
    model = build(kind, train)
    batches = PairBatches(train, model.source, model.target, batch_size=64)
    fit(model, batches, epochs=epochs, learning_rate=5e-3, loss=translation_loss)
    return model.half().float()


def exact_match(model: EncoderDecoder, held_out: Pairs, width: int = 1) -> float:
    """The share of held-out texts that are translated without a mistake."""
    answers = translate(model, [pair.text for pair in held_out], width)
    return sum(answer == pair.iso for answer, pair in zip(answers, held_out, strict=True)) / len(held_out)


def measure(job: tuple[str, int]) -> dict[str, Any]:
    """Train one kind from one seed, and test it."""
    torch.set_num_threads(1)
    (kind, seed), begun = job, time.process_time()
    train, held_out = dates_and_numbers(count=6000, held_out=1000, seed=0)
    model = train_model(kind, seed, train, KINDS[kind][1])
    shares = {"greedy": round(exact_match(model, held_out), 3)}
    if kind == "dot product":
        shares["beam of 5"] = round(exact_match(model, held_out, width=5), 3)
    seconds = time.process_time() - begun
    print(f"{kind}, seed {seed}: {shares} ({seconds:.0f} s)", flush=True)
    return shares | {"seconds": seconds, "weights": model.state_dict()}


def store(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    """Write the record, with the weights of one model with and one without attention."""
    results = {decoder: {} for decoder in ("greedy", "beam of 5")}
    for decoder, table in results.items():
        for kind, seed in found:
            if decoder in found[kind, seed]:
                table.setdefault(kind, []).append(found[kind, seed][decoder])
    weights = {
        f"{prefix}.{name}": weight
        for kind, prefix in STORED.items()
        for name, weight in found[kind, SEEDS[0]]["weights"].items()
    }
    seconds = sum(result["seconds"] for result in found.values())
    save_run(NAME, weights, results, command="python -m experiments.sequence_to_sequence", seconds=seconds)


def main() -> None:
    store({(kind, seed): measure((kind, seed)) for seed in SEEDS for kind in KINDS})


if __name__ == "__main__":
    main()
