"""The trainings of *Text generation*: variants over seeds, memorization over the epochs, and a second book."""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import nn

from companion import (
    LanguageModel,
    NGramModel,
    SequentialBatches,
    Vocabulary,
    evaluate,
    fit,
    generate,
    load_story,
    load_time_machine,
    perplexity,
    save_run,
)
from companion.metrics import longest_copied_run
from companion.text import find_time_machine

NAME = "text-generation"
COMMAND = "python -m experiments.text_generation"
HIDDEN, BATCH_SIZE, NUM_STEPS = 128, 16, 50
PIECE, PROMPT = 1000, 60  # characters of a piece that is looked through for copies, and of the prompt before it

VARIANTS = {
    "dropout and tying": dict(),
    "no dropout": dict(dropout=0.0),
    "no tying": dict(tie_weights=False),
}


def split_parts(corpus, part):
    """Three texts: the last ``part`` of what may be learned from is for choices only, the held-out part for the end."""
    return corpus.train[:part], corpus.train[part:], corpus.held_out


def story_parts():
    """The story without its last three chapters, the first of these, and the last two."""
    story = load_story()
    return split_parts(story, story.train.rindex("\nChapter "))


def build_model(vocabulary_size, layer=nn.LSTM, dropout=0.2, tie_weights=True, hidden_size=128):
    """The chapter's model; a test compares the two."""
    model = LanguageModel(
        layer(hidden_size, hidden_size), vocabulary_size, dropout=dropout, tie_weights=tie_weights
    )
    nn.init.normal_(model.embedding.weight, std=hidden_size**-0.5)
    return model


class Texts:
    """Training, validation and test part as numbers."""

    def __init__(self, train, validation, test):
        self.train, self.validation, self.test = train, validation, test
        self.vocabulary = Vocabulary(train)
        tokens = [self.vocabulary.encode(text) for text in (train, validation, test)]
        self.tokens = tokens
        self.batches = SequentialBatches(tokens[0], BATCH_SIZE, NUM_STEPS)
        self.validation_batches = SequentialBatches(tokens[1], 1, 500)
        self.test_batches = SequentialBatches(tokens[2], 1, 500)


def best_ngram(texts, orders=(5, 6, 7, 8, 9), strengths=(5, 10, 20, 50)):
    """The order and strength with the lowest validation loss, and that model's perplexity on both parts."""
    train, validation, test = texts.tokens
    found = []
    for order in orders:
        model = NGramModel(train, len(texts.vocabulary), order)
        for strength in strengths:
            model.strength = strength
            found.append((model.loss(validation), order, strength))
    loss, order, strength = min(found)
    test_loss = NGramModel(train, len(texts.vocabulary), order, strength).loss(test)
    return dict(order=order, strength=strength, validation=perplexity(loss), test=perplexity(test_loss))


def train(texts, seed, epochs, patience, learning_rate, **variant):
    """One model with early stopping, and what came of it."""
    torch.manual_seed(seed)
    model = build_model(len(texts.vocabulary), **variant)
    history = fit(
        model, texts.batches, texts.validation_batches, epochs=epochs, learning_rate=learning_rate,
        patience=patience, progress=False,
    )
    model.half().float()  # measured as it is stored
    return model, dict(
        seed=seed,
        epochs=len(history),
        best_epoch=history.best_epoch + 1,
        training=perplexity(evaluate(model, SequentialBatches(texts.tokens[0], 1, 500))),
        validation=perplexity(evaluate(model, texts.validation_batches)),
        test=perplexity(evaluate(model, texts.test_batches)),
    )


def copied(pieces, source):
    """The mean length of the longest run that a piece shares with the source."""
    return fmean(len(longest_copied_run(piece, source)) for piece in pieces)


def human_pieces(text):
    return [text[start : start + PIECE] for start in range(0, len(text) - PIECE + 1, PIECE)]


def written_pieces(model, texts, count):
    """What a model writes on from as many places of the test part, without the prompts."""
    starts = range(0, len(texts.test) - PROMPT, len(texts.test) // count)
    prompts = [texts.test[start : start + PROMPT] for start in list(starts)[:count]]
    return [
        generate(model, texts.vocabulary, prompt, PIECE, seed=seed)[PROMPT:] for seed, prompt in enumerate(prompts)
    ]


def first_chapters(text, count):
    """A text up to its chapter number ``count + 1``."""
    return "\nChapter ".join(text.split("\nChapter ")[:count])


def follow_memorization(texts, epochs, count, learning_rate, seed=0, hidden_size=HIDDEN):
    """Train far beyond the best epoch, without dropout, and look at the same model again and again."""
    torch.manual_seed(seed)
    model = build_model(len(texts.vocabulary), dropout=0.0, hidden_size=hidden_size)
    lengths = []
    with tempfile.TemporaryDirectory() as folder:
        for epoch in epochs:  # each call of fit goes on where the checkpoint stands
            history = fit(
                model, texts.batches, texts.validation_batches, epochs=epoch, learning_rate=learning_rate,
                schedule=None, checkpoint=Path(folder) / "model.safetensors", progress=False,
            )
            lengths.append(copied(written_pieces(model, texts, count), texts.train))
            print(f"epoch {epoch}: perplexity {perplexity(history.train[-1]):.2f}, "
                  f"validation {perplexity(history.held_out[-1]):.2f}, copied {lengths[-1]:.1f}", flush=True)
    return dict(
        characters=len(texts.train),
        training=[perplexity(loss) for loss in history.train],
        validation=[perplexity(loss) for loss in history.held_out],
        epochs=list(epochs),
        copied=lengths,
        human=copied(human_pieces(texts.test), texts.train),
        pieces=count,
        piece=PIECE,
    )


def second_book(seeds, epochs, patience, learning_rate):
    """The same on *The Time Machine*, where it is cached; None where it is not. Nothing is fetched."""
    file = find_time_machine()
    if file is None:
        return None
    corpus = load_time_machine(file.parent)
    texts = Texts(*split_parts(corpus, corpus.train.rindex("\n", 0, len(corpus.train) * 9 // 10) + 1))
    runs = [train(texts, seed, epochs, patience, learning_rate) for seed in range(seeds)]
    pieces = written_pieces(runs[0][0], texts, 4)
    return dict(
        characters=[len(text) for text in (texts.train, texts.validation, texts.test)],
        ngram=best_ngram(texts),
        runs=[record for _, record in runs],
        copied=copied(pieces, texts.train),
        human=copied(human_pieces(texts.test), texts.train),
    )


def report(name, records):
    tests = [record["test"] for record in records]
    spread = f" ± {stdev(tests):.3f}" if len(tests) > 1 else ""
    print(f"{name:18} test perplexity {fmean(tests):.3f}{spread}", records, flush=True)


def main(seeds=3, epochs=14, patience=3, learning_rate=1e-2, folder=None, book_epochs=14,
         memorization_epochs=(1, 5, 10, 20, 40, 60, 80, 100), pieces=4, parts=None):
    """Run everything and store it."""
    start = time.process_time()
    train_part, validation, test = parts or story_parts()
    texts = Texts(train_part, validation, test)
    ngram = best_ngram(texts)
    print("n-gram", ngram, flush=True)
    variants, kept = {}, None
    for name, variant in VARIANTS.items():
        runs = [train(texts, seed, epochs, patience, learning_rate, **variant) for seed in range(seeds)]
        variants[name] = [record for _, record in runs]
        report(name, variants[name])
        if kept is None:  # of the first variant, the seed that does best on the validation part
            kept = min(runs, key=lambda run: run[1]["validation"])
    beginning = Texts(first_chapters(train_part, 4), validation, test)
    memorization = follow_memorization(beginning, memorization_epochs, pieces, learning_rate=5e-3)
    book = second_book(seeds, book_epochs, patience, learning_rate)
    if book is None:
        print("The Time Machine is not cached here: its part of the record stays empty.")
    else:
        report("The Time Machine", book["runs"])
        print(book["ngram"], book["copied"], book["human"])
    model, record = kept
    results = dict(
        settings=dict(hidden_size=HIDDEN, batch_size=BATCH_SIZE, num_steps=NUM_STEPS, epochs=epochs,
                      patience=patience, learning_rate=learning_rate),
        ngram=ngram, variants=variants, checkpoint=record, memorization=memorization, time_machine=book,
    )
    save_run(NAME, model.state_dict(), results, command=COMMAND, seconds=time.process_time() - start, folder=folder)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    main()
