"""Stored runs: what is written is read back, weights and record belong together, and each can be made again."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from companion.runs import load_run, save_run

ROOT = Path(__file__).resolve().parents[1]
STORED = sorted(path.stem for path in (ROOT / "companion" / "data" / "runs").glob("*.json"))
MADE = {"command": "python -m experiments.example", "seconds": 2.04}


def test_a_run_comes_back(tmp_path):
    save_run(
        "example",
        {"weight": torch.randn(3, 2), "step": torch.tensor(7)},
        {"loss": [0.5, 0.25]},
        **MADE,
        folder=tmp_path,
    )
    run = load_run("example", tmp_path)
    assert run.command == MADE["command"] and run.results == {"loss": [0.5, 0.25]} and run.made_with["seconds"] == 2.0
    assert run.weights["weight"].dtype == torch.float32 and run.weights["step"].dtype == torch.int64


def test_weights_come_back_as_float16_holds_them(tmp_path):
    weight = torch.randn(100)
    save_run("example", {"weight": weight}, {}, **MADE, folder=tmp_path)
    assert torch.equal(load_run("example", tmp_path).weights["weight"], weight.half().float())


def test_other_weights_are_refused(tmp_path):
    save_run("example", {"weight": torch.zeros(3)}, {}, **MADE, folder=tmp_path)
    save_run("other", {"weight": torch.ones(3)}, {}, **MADE, folder=tmp_path)
    (tmp_path / "other.safetensors").replace(tmp_path / "example.safetensors")
    with pytest.raises(ValueError, match=r"example\.safetensors should be the file of its record"):
        load_run("example", tmp_path)


def test_an_unknown_name_lists_those_there_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="got 'example': there are none"):
        load_run("example", tmp_path)
    save_run("other", {"weight": torch.ones(3)}, {}, **MADE, folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="got 'example': other"):
        load_run("example", tmp_path)


@pytest.mark.parametrize("name", STORED)
def test_a_stored_run_says_how_it_was_made_and_is_small(name):
    run = load_run(name)
    module = run.command.rpartition("-m ")[2].split()[0]
    assert module.startswith("experiments.") and importlib.util.find_spec(module) is not None, run.command
    assert run.results and run.made_with["seconds"] > 0 and run.weights
    assert all(tensor.isfinite().all() for tensor in run.weights.values())
    assert (ROOT / "companion" / "data" / "runs" / f"{name}.safetensors").stat().st_size <= 600_000


def test_no_weights_lie_about_without_a_record():
    folder = ROOT / "companion" / "data" / "runs"
    assert {path.stem for path in folder.glob("*.safetensors")} == set(STORED)
    assert all(json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["results"] for name in STORED)
