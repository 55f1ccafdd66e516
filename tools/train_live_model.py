"""Train the character model that runs in the page of *Inside the gates*, and write its weights for the browser.

    .venv/bin/python tools/train_live_model.py

takes about a minute on one core and writes book/_static/live/story-gru.js: a header that says what the model is, how it
was made and how good it is, and the weights as float16 in base64. On the same machine and versions the same file comes
out; elsewhere the last digits of a training differ, and so do the units. tests/test_live_model.py holds the file to
its header.

It stands here, and neither among the benchmarks nor in a chapter, since what it makes is a part of the site.
"""

import base64
import copy
import hashlib
import json
import platform
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from companion import GRU, LanguageModel, SequentialBatches, Vocabulary, evaluate, fit, load_story, perplexity
from companion.probes import correlate_with, record_gates

FILE = Path("book/_static/live/story-gru.js")
COMMAND = ".venv/bin/python tools/train_live_model.py"
SIZES = {"input_size": 64, "hidden_size": 128}
RECIPE = {"seed": 1, "epochs": 16, "learning_rate": 1e-2, "dropout": 0.1, "batch_size": 32, "num_steps": 35}
FIRST_LINES = """// The weights of the live model, written by tools/train_live_model.py: do not edit.
// They are float16, one weight after the other in the order of the header, row by row, in base64: a page opened from a
// disk may load a script, but no other file. weights.js reads them.
"""


# The model ----------------------------------------------------------------------------------------------------------


def build(vocabulary_size: int, layer_class: type[nn.Module] = GRU, dropout: float = 0.0) -> LanguageModel:
    """Embedding, GRU, linear output, with the sizes of the live model."""
    return LanguageModel(layer_class(**SIZES), vocabulary_size, dropout=dropout)


def train(vocabulary: Vocabulary, text: str) -> tuple[LanguageModel, LanguageModel]:
    """The model before the training and after it."""
    torch.manual_seed(RECIPE["seed"])
    model = build(len(vocabulary), dropout=RECIPE["dropout"])
    before = copy.deepcopy(model).eval()
    windows = SequentialBatches(vocabulary.encode(text), RECIPE["batch_size"], RECIPE["num_steps"])
    fit(model, windows, epochs=RECIPE["epochs"], learning_rate=RECIPE["learning_rate"])
    return before, model.eval()


def rounded(model: LanguageModel) -> LanguageModel:
    """A copy whose weights are those that float16 can hold."""
    return copy.deepcopy(model).half().float()


def held_out_perplexity(model: LanguageModel, tokens: Tensor) -> float:
    """On one stream, the state carried from the first character to the last."""
    return perplexity(evaluate(model, SequentialBatches(tokens, batch_size=1, num_steps=1000)))


@torch.no_grad()
def probabilities(model: LanguageModel, tokens: Tensor) -> Tensor:
    """What the model expects after each token of one sequence, shape (T, V)."""
    return model(tokens)[0].softmax(-1)


# Its units ----------------------------------------------------------------------------------------------------------


def mark(text: str) -> dict[str, Tensor]:
    """What a unit may go along with: a bool at each character."""
    letter = torch.tensor([character.isalpha() for character in text])
    quotes = torch.tensor([character == '"' for character in text])
    return {
        "inside speech": quotes.cumsum(0) % 2 == 1,  # after an odd number of quotation marks
        "first letter of a word": letter & ~letter.roll(1),
        "capital": torch.tensor([character.isupper() for character in text]),
    }


@torch.no_grad()
def read_gates(model: LanguageModel, tokens: Tensor) -> dict[str, Tensor]:
    """r, z, n and h of every unit at every token, each (T, H)."""
    return record_gates(model.layer, model.embedding(tokens))["l0"]


def find_units(model: LanguageModel, before: LanguageModel, vocabulary: Vocabulary, text: str) -> list[dict]:
    """For each mark the unit that goes along with it best, beside the best that there was before the training."""
    after, untrained = (read_gates(each, vocabulary.encode(text)) for each in (model, before))
    found = []
    for name, where in mark(text).items():
        part, unit, correlation = strongest(after, where)
        found.append({
            "mark": name, "part": part, "unit": unit, "correlation": round(correlation, 3),
            "untrained": round(abs(strongest(untrained, where)[2]), 3),
        })
    return found


def strongest(page: dict[str, Tensor], where: Tensor) -> tuple[str, int, float]:
    """Among all r, z and h, the one with the largest correlation: its part, its unit, and the correlation."""
    candidates = []
    for part in ("r", "z", "h"):
        correlations = correlate_with(page[part], where)
        unit = correlations.abs().argmax().item()
        candidates.append((part, unit, correlations[unit].item()))
    return max(candidates, key=lambda candidate: abs(candidate[2]))


# Its file -----------------------------------------------------------------------------------------------------------


def pack(model: LanguageModel) -> tuple[list[dict], bytes]:
    """The names and shapes of the weights in their order, and the weights as bytes: float16, little-endian."""
    weights = {name: weight.numpy().astype("<f2") for name, weight in model.state_dict().items()}
    layout = [{"name": name, "shape": list(weight.shape)} for name, weight in weights.items()]
    return layout, b"".join(weight.tobytes() for weight in weights.values())


def unpack(layout: list[dict], data: bytes) -> dict[str, Tensor]:
    """A state_dict of float32 from what :func:`pack` gave."""
    numbers = torch.from_numpy(np.frombuffer(data, "<f2").astype(np.float32))
    sizes = [int(np.prod(weight["shape"])) for weight in layout]
    parts = numbers.split(sizes)
    return {weight["name"]: part.view(weight["shape"]) for weight, part in zip(layout, parts, strict=True)}


def write(path: Path, header: dict, data: bytes) -> None:
    """Store a model as a script that a page can load."""
    words = json.dumps(header, indent=1)
    words = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), words)  # a list of numbers: one line
    packed = base64.b64encode(data).decode()
    path.write_text(f'{FIRST_LINES}recurrentWeights.register({words}, "{packed}");\n', encoding="ascii")


def read(path: Path) -> tuple[dict, bytes]:
    """The header of a stored model, and its weights as bytes.

    Raises:
        ValueError: the file is none that :func:`write` has written.
    """
    text = path.read_text(encoding="ascii")
    found = re.fullmatch(r'(?s)(?://[^\n]*\n)*recurrentWeights\.register\((\{.*\}), "([\w+/=]*)"\);\n', text)
    if not found:
        raise ValueError(f"{path} should hold one call of recurrentWeights.register, as {COMMAND} writes it")
    return json.loads(found[1]), base64.b64decode(found[2])


def load(path: Path, layer_class: type[nn.Module] = GRU) -> tuple[LanguageModel, dict]:
    """The stored model, around our GRU or nn's, and its header."""
    header, data = read(path)
    model = build(len(header["tokens"]), layer_class)
    model.load_state_dict(unpack(header["weights"], data))
    return model.eval(), header


def main() -> None:
    """Train, round, measure, store; print what came of it."""
    torch.set_num_threads(1)  # the order of sums, and with it the last digits, would depend on the number of threads
    story = load_story()
    vocabulary = Vocabulary(story.train)
    unseen = vocabulary.encode(story.held_out)
    before, exact = train(vocabulary, story.train)
    model = rounded(exact)
    change = (probabilities(model, unseen[:1000]) - probabilities(exact, unseen[:1000])).abs().max().item()
    layout, data = pack(model)
    header = {
        "model": "GRU", **SIZES,
        "held_out_perplexity": round(held_out_perplexity(model, unseen), 4),
        "before_rounding": {
            "held_out_perplexity": round(held_out_perplexity(exact, unseen), 4),
            "largest_change_of_a_probability": round(change, 6),
        },
        "units": find_units(model, before, vocabulary, story.held_out),
        "command": COMMAND, "recipe": RECIPE,
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in
                     ("torch", "recurrent-companion")}},
        "weights": layout,
        "sha256": hashlib.sha256(data).hexdigest(),
        "tokens": vocabulary.tokens,
    }
    write(FILE, header, data)
    told = {name: header[name] for name in ("held_out_perplexity", "before_rounding", "units", "versions")}
    print(json.dumps(told, indent=1))
    print(f"{FILE}: {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
