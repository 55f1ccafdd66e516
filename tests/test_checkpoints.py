"""Checkpoints: they come back as they were, and a failed write leaves the one before."""

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import companion
from companion import LanguageModel, load_checkpoint, load_weights, save_checkpoint

TENSORS = {
    "single": torch.randn(3, 4),
    "double": torch.randn(2).double(),
    "half": torch.randn(5).bfloat16(),
    "whole": torch.arange(6).view(2, 3),
    "bytes": torch.get_rng_state(),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "turned": torch.randn(3, 4).T,
    "with a gradient": torch.randn(2, requires_grad=True),
}
NOTES = {"history": [1.5, 2.25], "name": "Sallow", "nothing": None, "nested": {"flag": True}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def test_tensors_and_notes_come_back_as_they_were(path):
    save_checkpoint(path, TENSORS, NOTES)
    tensors, notes = load_checkpoint(path)
    assert notes == NOTES
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(tensors[name], tensor.detach(), rtol=0, atol=0)


def test_tensors_that_share_memory_are_written_one_by_one(path):
    whole = torch.randn(4, 4)
    save_checkpoint(path, {"whole": whole, "same": whole, "part": whole[1:3], "column": whole[:, 0]}, {})
    tensors, _ = load_checkpoint(path)
    for name, expected in {"whole": whole, "same": whole, "part": whole[1:3], "column": whole[:, 0]}.items():
        torch.testing.assert_close(tensors[name], expected, rtol=0, atol=0)


def test_the_path_may_be_a_string_in_a_folder_that_is_not_there_yet(tmp_path):
    path = tmp_path / "runs" / "today" / "run.safetensors"
    save_checkpoint(str(path), TENSORS, NOTES)
    assert load_checkpoint(str(path))[1] == NOTES


def test_a_new_checkpoint_takes_the_place_of_the_old_and_leaves_nothing_else(path):
    save_checkpoint(path, TENSORS, {"epoch": 1})
    save_checkpoint(path, {}, {"epoch": 2})
    assert load_checkpoint(path) == ({}, {"epoch": 2})
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("function", ["replace", "fsync", "fdopen"])
@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()], ids=["full", "stopped"])
@pytest.mark.parametrize("before", [{"epoch": 1}, None], ids=["over an old one", "the first"])
def test_a_failed_write_leaves_the_old_one_and_nothing_else(path, monkeypatch, function, error, before):
    if before is not None:
        save_checkpoint(path, TENSORS, before)
    content = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    def fail(*arguments, **keywords):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        save_checkpoint(path, TENSORS, {"epoch": 2})
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == content


def test_all_bytes_are_on_the_disk_before_the_name_is_given(path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(os.fstat(file).st_size), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("named"), replace(*paths)))
    save_checkpoint(path, TENSORS, NOTES)
    assert events == [path.stat().st_size, "named"]


def test_notes_that_json_cannot_hold_are_refused_before_the_old_one_is_touched(path):
    save_checkpoint(path, TENSORS, NOTES)
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_checkpoint(path, TENSORS, {"model": nn.Linear(2, 2)})
    assert load_checkpoint(path)[1] == NOTES
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_checkpoint_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"path should name a checkpoint, but there is no file .*run\.safetens"):
        load_checkpoint(path)


@pytest.mark.parametrize("damage", ["other bytes", "cut short", "empty", "without notes", "notes that are no JSON"])
def test_another_file_is_refused(path, damage):
    save_checkpoint(path, TENSORS, NOTES)
    if damage == "without notes":
        save_file({"weight": torch.zeros(2)}, path)
    elif damage == "notes that are no JSON":
        save_file({"weight": torch.zeros(2)}, path, {"notes": "written by hand"})
    else:
        whole = path.read_bytes()
        path.write_bytes({"other bytes": b"PK" + whole, "cut short": whole[:-7], "empty": b""}[damage])
    with pytest.raises(ValueError, match="path should name a checkpoint written by fit"):
        load_checkpoint(path)


# Weights alone


def make_model(seed, hidden_size=6):
    torch.manual_seed(seed)
    return LanguageModel(companion.GRU(4, hidden_size), 9)


def save_model(path, model):
    save_checkpoint(path, {f"model.{name}": weight for name, weight in model.state_dict().items()}, {})


def test_weights_are_loaded_into_a_model_of_the_same_shape(path):
    trained, fresh = make_model(0), make_model(1)
    save_model(path, trained)
    load_weights(fresh, path)
    torch.testing.assert_close(fresh.state_dict(), trained.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("other", [lambda: make_model(1, hidden_size=7), lambda: nn.Linear(4, 6)])
def test_weights_of_another_shape_are_refused_and_none_is_loaded(path, other):
    save_model(path, make_model(0))
    model = other()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="state_dict"):
        load_weights(model, path)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_a_checkpoint_is_as_readable_as_any_new_file(path):
    save_checkpoint(path, TENSORS, NOTES)
    beside = path.with_name("beside")
    beside.touch()
    assert path.stat().st_mode == beside.stat().st_mode
