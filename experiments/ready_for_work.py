"""A character model to take to work, and what fewer bits cost it: five seeds, float32, bfloat16 and small integers."""

import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from torch import nn

from companion import (
    GRU,
    Corpus,
    LanguageModel,
    SequentialBatches,
    Vocabulary,
    evaluate,
    fit,
    load_story,
    perplexity,
    save_run,
)
from companion.precision import bfloat16_loss, round_weights

SEEDS = range(5)
EMBEDDING, HIDDEN, DROPOUT, EPOCHS = 64, 256, 0.3, 10
BATCH, STEPS = 32, 64
BITS = 8, 6, 5, 4, 3, 2


def held_out_batches(corpus: Corpus, vocabulary: Vocabulary) -> SequentialBatches:
    """The text that no training has seen, in one stream, in windows with the state carried over."""
    return SequentialBatches(vocabulary.encode(corpus.held_out), batch_size=1, num_steps=512)


def train(seed: int, corpus: Corpus, vocabulary: Vocabulary, hidden: int = HIDDEN, epochs: int = EPOCHS) -> nn.Module:
    """One model, trained from one seed, its weights as float16 can hold them."""
    torch.manual_seed(seed)
    model = LanguageModel(GRU(EMBEDDING, hidden), len(vocabulary), dropout=DROPOUT)
    batches = SequentialBatches(vocabulary.encode(corpus.train), BATCH, STEPS)
    fit(model, batches, epochs=epochs, learning_rate=5e-3, progress=False)
    return model.half().float().eval()


def with_nn(model: LanguageModel) -> LanguageModel:
    """The same model with the layer of torch.nn."""
    layer, vocabulary_size = model.layer, len(model.output.bias)
    twin = LanguageModel(nn.GRU(layer.input_size, layer.hidden_size), vocabulary_size)
    twin.load_state_dict(model.state_dict())
    return twin.eval()


def quantized(model: LanguageModel) -> nn.Module:
    """PyTorch's own dynamic quantization of the twin with nn's layer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated; the chapter shows the warning
        kinds = {nn.GRU, nn.Linear}
        return torch.ao.quantization.quantize_dynamic(with_nn(model), kinds, dtype=torch.qint8)


def measure(model: LanguageModel, batches: SequentialBatches) -> dict[str, float]:
    """Held-out perplexity by the way the model is run."""
    losses = {
        "float32": evaluate(model, batches),
        "bfloat16, our GRU": evaluate(model, batches, bfloat16_loss),
        "bfloat16, nn.GRU": evaluate(with_nn(model), batches, bfloat16_loss),
        "quantize_dynamic": evaluate(quantized(model), batches),
    }
    losses |= {f"{bits} bits a weight": evaluate(round_weights(model, bits), batches) for bits in BITS}
    return {name: perplexity(loss) for name, loss in losses.items()}


def run_seed(seed: int, hidden: int = HIDDEN, epochs: int = EPOCHS) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Train and measure one seed: its weights, as arrays that go from process to process, and its perplexities."""
    torch.set_num_threads(1)
    corpus = load_story()
    vocabulary = Vocabulary(corpus.train)
    model = train(seed, corpus, vocabulary, hidden, epochs)
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    return weights, measure(model, held_out_batches(corpus, vocabulary))


def main() -> None:
    """Train every seed, two at a time, print the table, store the first seed's weights."""
    begun = time.perf_counter()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        weights, measured = zip(*pool.map(run_seed, SEEDS), strict=True)
    results = {name: [round(one[name], 5) for one in measured] for name in measured[0]}
    command = ".venv/bin/python -m experiments.ready_for_work"
    first = {name: torch.from_numpy(array) for name, array in weights[0].items()}
    save_run("ready-for-work", first, results, command=command, seconds=time.perf_counter() - begun)
    print(f"held-out perplexity, seeds {list(SEEDS)}")
    for name, values in results.items():
        print(f"{name:20}" + "".join(f"{value:9.4f}" for value in values))


if __name__ == "__main__":
    main()
