"""Text classification: which pooling, over several seeds, on made remarks and on the story's own lines.

    .venv/bin/python -m experiments.text_classification

trains every model of :data:`MODELS` on the remarks from :data:`SEEDS`, and those of :data:`LINE_MODELS` on the lines,
each chapter held out once. The weights that are kept are those of the first seed that pools by the maximum.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from companion import Vocabulary, fit, load_story, save_run
from companion.batching import BucketSampler, pad_batch
from companion.classifier import NoRecurrence, SequenceClassifier, class_probabilities, classification_loss
from companion.tasks.remarks import REMARK_KINDS, SPEAKERS, Line, remark_pairs, remarks, spoken_lines

COMMAND = "python -m experiments.text_classification"
SEEDS = range(5)
SIZES = {"train": 3000, "validation": 500, "held out": 1000}
PAIRS = 300
FEATURES, HIDDEN = 32, 32
MODELS = {
    "both ways, last": (True, "last"),
    "both ways, mean": (True, "mean"),
    "both ways, max": (True, "max"),
    "one way, last": (False, "last"),
    "no recurrence, mean": (None, "mean"),
}
KEPT = "both ways, max"
LINE_MODELS = ("both ways, max", "no recurrence, mean")
FOLDS, TALKERS = 6, SPEAKERS[:5]

Examples = list[tuple[Tensor, int]]


def make_model(name: str, vocabulary_size: int, num_classes: int, **dropouts: float) -> SequenceClassifier:
    """An untrained model by its name in :data:`MODELS`."""
    both_ways, pooling = MODELS[name]
    layer = NoRecurrence(FEATURES) if both_ways is None else nn.GRU(FEATURES, HIDDEN, bidirectional=both_ways)
    return SequenceClassifier(layer, vocabulary_size, num_classes, pooling, **dropouts)


def shuffled(examples: Examples, batch_size: int) -> DataLoader:
    """Batches of similar lengths, in a new order in each epoch."""
    lengths = torch.tensor([len(tokens) for tokens, _ in examples])
    return DataLoader(examples, batch_sampler=BucketSampler(lengths, batch_size), collate_fn=pad_batch)


def in_order(examples: Examples) -> DataLoader:
    """Batches in the order of the examples."""
    return DataLoader(examples, 100, collate_fn=pad_batch)


def right(model: SequenceClassifier, examples: Examples) -> Tensor:
    """Which examples the model gets right: booleans of shape (N)."""
    answers = class_probabilities(model, in_order(examples)).argmax(-1)
    return answers == torch.tensor([label for _, label in examples])


# Remarks


def remark_vocabulary(count: int = SIZES["train"]) -> Vocabulary:
    """The words of the training remarks, in small letters."""
    return Vocabulary(" ".join(remark.text for remark in remarks(count, "train", seed=0)).lower(), "word")


def encode_remarks(vocabulary: Vocabulary, texts: Sequence) -> Examples:
    """Pairs (tokens, label)."""
    return [(vocabulary.encode(remark.text.lower()), remark.label) for remark in texts]


def measure_remarks(model: SequenceClassifier, vocabulary: Vocabulary) -> dict[str, float]:
    """Held-out accuracy in percent: of all, of each kind, and of pairs with both right."""
    texts = remarks(SIZES["held out"], "held out", seed=2)
    found = right(model, encode_remarks(vocabulary, texts))
    scores = {"all": percent(found)}
    for kind in REMARK_KINDS:
        scores[kind] = percent(found[[number for number, remark in enumerate(texts) if remark.kind == kind]])
    pairs = [remark for pair in remark_pairs(PAIRS, "held out", seed=3) for remark in pair]
    both = right(model, encode_remarks(vocabulary, pairs)).view(-1, 2).all(1)
    return scores | {"pairs": percent(both)}


def train_on_remarks(
    name: str, seed: int, count: int = SIZES["train"], epochs: int = 7
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Train one model; return what it reaches, with its weights as float16 holds them, and these."""
    torch.set_num_threads(1)
    vocabulary = remark_vocabulary(count)
    examples = encode_remarks(vocabulary, remarks(count, "train", seed=0))
    torch.manual_seed(seed)
    model = make_model(name, len(vocabulary), 2, dropout=0.2, word_dropout=0.05)
    fit(model, shuffled(examples, 32), epochs=epochs, learning_rate=2e-2, loss=classification_loss, progress=False)
    model = model.half().float()
    return measure_remarks(model, vocabulary), model.state_dict()


# Lines of the story


def lines_in_folds() -> list[list[Line]]:
    """The lines of the five who talk most, three chapters a fold."""
    story = load_story()
    folds: list[list[Line]] = [[] for _ in range(FOLDS)]
    for line in spoken_lines(story.train + story.held_out):
        if line.speaker in TALKERS:
            folds[(line.chapter - 1) // 3].append(line)
    return folds


def train_on_lines(name: str, seed: int, epochs: int = 15) -> tuple[float, None]:
    """The accuracy in percent on all lines, each by a model that has not seen its three chapters.

    The next three chapters choose the epoch.
    """
    torch.set_num_threads(1)
    folds, found = lines_in_folds(), []
    for number, held_out in enumerate(folds):
        following = (number + 1) % FOLDS
        train = [line for fold in range(FOLDS) if fold not in (number, following) for line in folds[fold]]
        vocabulary = Vocabulary(" ".join(line.text for line in train), "word", min_frequency=2)
        parts = [
            [(vocabulary.encode(line.text), TALKERS.index(line.speaker)) for line in part]
            for part in (train, folds[following], held_out)
        ]
        torch.manual_seed(seed)
        model = make_model(name, len(vocabulary), len(TALKERS), dropout=0.5, word_dropout=0.1)
        batches, watched = shuffled(parts[0], 16), in_order(parts[1])
        fit(model, batches, watched, epochs=epochs, patience=epochs, loss=classification_loss, progress=False)
        found.append(right(model, parts[2]))
    return percent(torch.cat(found)), None


def percent(found: Tensor) -> float:
    """The share of True, in percent, to two places."""
    return round(100 * found.double().mean().item(), 2)


def main() -> None:
    """Train everything, print the table, store the run."""
    start = time.perf_counter()
    with ProcessPoolExecutor(max_workers=2) as workers:
        on_remarks = {
            (name, seed): workers.submit(train_on_remarks, name, seed) for seed in SEEDS for name in MODELS
        }
        on_lines = {(name, seed): workers.submit(train_on_lines, name, seed) for seed in SEEDS for name in LINE_MODELS}
        scores = {name: [on_remarks[name, seed].result()[0] for seed in SEEDS] for name in MODELS}
        lines = {name: [on_lines[name, seed].result()[0] for seed in SEEDS] for name in LINE_MODELS}
        weights = on_remarks[KEPT, SEEDS[0]].result()[1]
    for name, of_seeds in scores.items():
        values = torch.tensor([list(each.values()) for each in of_seeds])  # (seeds, measures)
        means = " ".join(f"{measure} {mean:.1f}" for measure, mean in zip(of_seeds[0], values.mean(0), strict=True))
        print(f"{name:20} {means}")
    for name, of_seeds in lines.items():
        print(f"lines: {name:20} {of_seeds}")
    results = {"sizes": SIZES, "kept": KEPT, "remarks": scores, "lines": lines}
    save_run("text-classification", weights, results, command=COMMAND, seconds=time.perf_counter() - start)


if __name__ == "__main__":
    main()
