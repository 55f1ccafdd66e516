"""Tagging: taggers of reports with a CRF, with a softmax for each word, and with no words hidden in training.

All are tested on names never seen, in known sentences and in new ones; the softmax also with illegal tags ruled out
when it decodes, which needs no training.
"""

import sys
import time
from collections.abc import Sequence
from statistics import fmean, stdev

import torch
from torch import nn

from companion.crf import ConditionalRandomField
from companion.entities import EntityTagger, SentenceEncoder, tagging_loss
from companion.runs import save_run
from companion.spans import bio_tags, bio_transitions, count_illegal, span_scores, tags_to_spans
from companion.tasks.reports import LABELS, PARTS, Report, draw_reports
from companion.training import fit

COMMAND = ".venv/bin/python -m experiments.tagging"
TAGS = bio_tags(LABELS)
HELD_OUT = PARTS[1:]
KINDS = {  # whether it has a CRF, and which share of the words is hidden in training
    "softmax": (False, 0.2),
    "CRF": (True, 0.2),
    "CRF, no word hidden": (True, 0.0),
}


def draw(count: int = 1600, held_out: int = 1000) -> tuple[list[Report], dict[str, list[Report]]]:
    """The training reports, and the held-out ones by part; the same as in the chapter."""
    return draw_reports(count, seed=0), {part: draw_reports(held_out, part, seed=1) for part in HELD_OUT}


def build(encoder: SentenceEncoder, with_crf: bool, hide_words: float = 0.2) -> EntityTagger:
    """A tagger with fresh weights."""
    crf = ConditionalRandomField(len(TAGS), *bio_transitions(TAGS)) if with_crf else None
    layer, speller = nn.LSTM(64, 48, bidirectional=True), nn.LSTM(16, 8, bidirectional=True)
    return EntityTagger(layer, speller, *encoder.sizes, crf=crf, hide_words=hide_words)


def train(encoder: SentenceEncoder, reports: list[Report], kind: str, seed: int, epochs: int = 8) -> EntityTagger:
    """A trained tagger of a kind, its weights as float16 holds them."""
    torch.manual_seed(seed)
    model = build(encoder, *KINDS[kind])
    fit(model, encoder.batches(reports), epochs=epochs, loss=tagging_loss, progress=False)
    return model.half().float()


def ruled(model: EntityTagger) -> EntityTagger:
    """A tagger without a CRF gets one that has learned nothing: it only forbids what BIO forbids."""
    model.crf = ConditionalRandomField(len(TAGS), *bio_transitions(TAGS))
    for scores in model.crf.parameters():
        nn.init.zeros_(scores)
    return model


def torn(found: Sequence[Sequence[str]], present: Sequence[Sequence[str]]) -> int:
    """How many of the right spans are covered by pieces of two or more."""
    pairs = [(tags_to_spans(one), tags_to_spans(other)) for one, other in zip(found, present, strict=True)]
    return sum(
        sum(piece.start < span.end and span.start < piece.end for piece in pieces) > 1
        for pieces, spans in pairs
        for span in spans
    )


def measure(model: EntityTagger, encoder: SentenceEncoder, reports: list[Report]) -> dict[str, float]:
    """Span F1, illegal tags and torn spans."""
    found, present = model.tag(encoder.batches(reports, 100, shuffle=False), TAGS), [report.tags for report in reports]
    scores = {label: round(score.f1, 4) for label, score in span_scores(found, present).items()}
    return {**scores, "illegal": sum(map(count_illegal, found)), "torn": torn(found, present)}


def run(seeds: int = 5, epochs: int = 8, **sizes: int) -> tuple[dict, dict]:
    """Train every kind from every seed; returns the weights of the CRF and the softmax of seed 0, and the results."""
    reports, held_out = draw(**sizes)
    encoder, weights, results = SentenceEncoder(reports, TAGS), {}, {part: {} for part in held_out}
    for seed in range(seeds):
        for kind in KINDS:
            model = train(encoder, reports, kind, seed, epochs)
            if seed == 0 and KINDS[kind][1]:
                weights |= {f"{kind}.{name}": weight for name, weight in model.state_dict().items()}
            for name in (kind, "softmax, ruled") if kind == "softmax" else (kind,):
                model = model if name == kind else ruled(model)
                for part, tests in held_out.items():
                    results[part].setdefault(name, []).append(measure(model, encoder, tests))
            sys.stderr.write(f"seed {seed}, {kind}: done\n")
    return weights, results


def table(results: dict) -> str:
    """Mean and standard deviation over the seeds."""
    lines = []
    for part, kinds in results.items():
        for name, rows in kinds.items():
            f1 = [row["all"] for row in rows]
            spread = stdev(f1) if len(f1) > 1 else 0.0
            counts = ", ".join(f"{fmean(row[key] for row in rows):.1f} {key}" for key in ("illegal", "torn"))
            lines.append(f"{part:14} {name:20} F1 {fmean(f1):.3f} ± {spread:.3f}, {counts}")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    begun = time.perf_counter()
    stored, measured = run()
    sys.stdout.write(table(measured) + "\n")
    save_run("tagging", stored, measured, command=COMMAND, seconds=time.perf_counter() - begun)
