"""Two processes under torchrun train as one: gradients, shards, history, checkpoint, and a killed worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import companion
from companion.distributed import check_batch, count_targets, distributed_model, processes_of, shard
from tests import distributed_script

ROOT = Path(__file__).resolve().parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]


def torchrun(folder, *options, restarts=0):
    """Run the script in two processes; what each of them found."""
    command = [*TORCHRUN, "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    environment = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    log = (folder / "log").open("w+")
    run = subprocess.Popen(
        [*command, "-m", "tests.distributed_script", str(folder), *options],
        cwd=ROOT, env=environment | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        run.wait(timeout=240)
    finally:
        run.terminate()  # if it hangs: torchrun takes its workers along, which kill() would leave behind
        run.wait(timeout=40)
        log.seek(0)
        text = log.read()
    assert run.returncode == 0, text[-4000:]
    return [torch.load(folder / f"found-{rank}.pt") for rank in range(2)], text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def together(folder):
    return torchrun(folder)[0]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    found, log = torchrun(folder, "--kill", restarts=1)
    return folder, [each["killed"] for each in found], log


def assert_equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


# One step, many steps: the same as a single process


@pytest.mark.parametrize("run", distributed_script.SAME, ids=lambda run: run.__name__)
def test_two_processes_train_as_one(run, together):
    """Every gradient of every step, the weights, the history: equal to rounding."""
    alone = run()
    assert torch.linalg.vector_norm(alone["gradients"], dim=1).min() > 1e-3
    for found in together:
        found = found[f"same {run.__name__}"]
        assert found.keys() == alone.keys()
        torch.testing.assert_close(found["gradients"], alone["gradients"], rtol=1e-4, atol=2e-6)
        for name in ("weights", "history", "evaluated"):
            if name in alone:
                torch.testing.assert_close(found[name], alone[name], rtol=1e-5, atol=1e-5)
        if "randomness" in alone:  # batches, and whatever comes after fit, draw what they would have drawn
            assert torch.equal(found["randomness"], alone["randomness"])
            assert found["trains"] is alone["trains"]


@pytest.mark.parametrize("run", distributed_script.SAME, ids=lambda run: run.__name__)
def test_all_processes_end_with_the_same_numbers(run, together):
    first, second = (found[f"same {run.__name__}"] for found in together)
    assert_equal(first, second)  # to the last bit: weights, history, seconds


def test_the_mean_of_means_would_be_another_gradient():
    """What the weighing is for: in these runs the plain mean over the processes is wrong, and would be seen."""
    for batch in next(iter(companion.SequentialBatches(distributed_script.TOKENS, 5, 12))), masked_batch():
        torch.manual_seed(0)
        model = companion.LanguageModel(nn.GRU(4, 8), 9)
        whole = gradient(model, companion.next_token_loss(model, batch)[0])
        parts = [shard(batch, rank, 2) for rank in range(2)]
        losses = [companion.next_token_loss(model, part)[0] for part in parts]
        shares = [count_targets(part) / count_targets(batch) for part in parts]
        weighed = gradient(model, sum(share * loss for share, loss in zip(shares, losses, strict=True)))
        assert sum(shares) == pytest.approx(1)
        torch.testing.assert_close(weighed, whole, rtol=1e-4, atol=1e-6)
        assert (gradient(model, sum(losses) / 2) - whole).abs().max() > 1e-3


def masked_batch():
    inputs, targets = next(iter(companion.SequentialBatches(distributed_script.TOKENS, 4, 12)))
    targets = targets.clone()
    targets[:9, :2] = -100
    return inputs, targets


def gradient(model, loss):
    parts = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


def test_the_script_ran_by_gloo(together):
    assert [found["backend"] for found in together] == ["gloo", "gloo"]


# Parts


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("B", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("first", [False, True])
def test_the_parts_are_the_batch(size, B, first):
    shapes = [(B, 4), (B,), (B, 2, 3)] if first else [(4, B), (B,), (2, B, 3)]
    batch = tuple(torch.randn(shape) for shape in shapes)
    parts = [shard(batch, rank, size, first) for rank in range(size)]
    for place, whole in enumerate(batch):
        dim = 0 if first or whole.dim() == 1 else 1
        assert torch.equal(torch.cat([part[place] for part in parts], dim), whole)
        sizes = [part[place].shape[dim] for part in parts]
        assert max(sizes) - min(sizes) <= 1
        storage = whole.untyped_storage().data_ptr()
        assert {part[place].untyped_storage().data_ptr() for part in parts} == {storage}  # views


@pytest.mark.parametrize(
    "targets, count",
    [
        (torch.tensor([[1, 2], [-100, 3]]), 3),
        (torch.tensor([1, 2, -100], dtype=torch.int32), 2),
        (torch.tensor([1.0, -100.0]), 2),  # a number like any other
        (torch.tensor([True, False]), 2),
        (torch.full((3,), -100), 0),
    ],
)
def test_targets_are_counted(targets, count):
    assert count_targets((torch.zeros(9, 9), targets)) == count


def test_processes_draw_common_batches_and_own_numbers(together):
    first, second = (found["drawn"] for found in together)
    assert len(first) == len(second) > 3
    assert not {value for value, _ in first} & {value for value, _ in second}  # as dropout would
    for (_, mine), (_, other) in zip(first, second, strict=True):
        assert [len(row) for row in mine] == [2] * 20 and mine != other


def test_dropout_differs_between_the_processes(together):
    assert together[0]["whole"]["own loss"] != together[1]["whole"]["own loss"]


TOLD = {
    "another B": "ValueError: batches should hold tensors of shape (T, B, ...) or (B) with one B, at least 1, "
    "got (5, 3), (4,); for (B, ...) call distributed_model(model, batch_first=True)",
    "packed": "TypeError: batches should hold tensors of at least one dimension to be sharded, "
    "got PackedSequence, Tensor",
    "no dimension": "TypeError: batches should hold tensors of at least one dimension to be sharded, "
    "got Tensor, Tensor",
    "empty": "ValueError: batches should hold tensors of shape (T, B, ...) or (B) with one B, at least 1, got (5, 0), "
    "(5, 0); for (B, ...) call distributed_model(model, batch_first=True)",
}


def test_batches_that_cannot_be_shared_are_refused_by_every_process(together):
    assert [found["errors"] for found in together] == [TOLD, TOLD]


def test_a_batch_says_how_many_sequences_it_has():
    assert check_batch((torch.zeros(5, 3), torch.zeros(3)), batch_first=False) == 3
    assert check_batch((torch.zeros(5, 3), torch.zeros(5)), batch_first=True) == 5
    with pytest.raises(ValueError, match=r"shape \(B, ...\) with one B, at least 1, got \(5, 3\), \(3,\)$"):
        check_batch((torch.zeros(5, 3), torch.zeros(3)), batch_first=True)


# Checkpoints


def test_an_interrupted_run_is_the_uninterrupted_run(together):
    """Stopped while training and while evaluating, with dropout, Adam, random batches and a schedule."""
    for found in together:
        for name in ("weights", "history", "randomness"):
            assert_equal(found["stopped"][name], found["whole"][name])


def test_one_process_writes_the_checkpoint(folder, together):
    assert sorted(path.name for path in (folder / "whole").iterdir()) == ["run.safetensors"]
    tensors, notes = companion.load_checkpoint(folder / "whole" / "run.safetensors")
    assert {name for name in tensors if name.startswith("random.")} >= {"random.cpu", "random.0.cpu", "random.1.cpu"}
    assert not torch.equal(tensors["random.0.cpu"], tensors["random.1.cpu"])
    assert notes["history"]["train"] == together[0]["whole"]["history"][0]


def test_a_single_process_goes_on_from_it_and_reads_its_weights(folder, together, tmp_path):
    """The names of the weights are those of the model, not of what is around it."""
    whole = together[0]["whole"]
    (tmp_path / "run.safetensors").write_bytes((folder / "whole" / "run.safetensors").read_bytes())
    model = companion.LanguageModel(companion.GRU(8, 8, 2), 9)
    companion.load_weights(model, tmp_path / "run.safetensors")
    assert_equal(dict(model.state_dict()), dict(whole["weights"]))
    longer = distributed_script.with_everything(tmp_path, seed=5, epochs=5)
    assert longer["epochs"] == 5 and longer["history"][0][:4] == whole["history"][0]


# A killed worker


def test_a_killed_worker_loses_nothing(killed, together):
    """torchrun starts all again, fit goes on from the checkpoint, and the run ends as if nothing had happened."""
    folder, found, log = killed
    assert (folder / "killed").read_text() == "2"  # epochs in the checkpoint when it was killed, in the third
    assert "exitcode: -9" in log
    for rank, mine in enumerate(found):
        assert mine["epochs"] == 4 and len(mine["history"][1]) == 4
        for name in ("weights", "history", "randomness"):
            assert_equal(mine[name], together[rank]["whole"][name])


# Without a launcher


def test_a_single_process_gets_its_model_back(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    model = nn.GRU(2, 3)
    assert distributed_model(model) is model
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert distributed_model(model, batch_first=True) is model
    assert processes_of(model).size == 1 and not torch.distributed.is_initialized()


@pytest.mark.parametrize("model", [None, nn.GRU, lambda x: x])
def test_what_is_no_model_is_named(model):
    with pytest.raises(TypeError, match=r"^model should be a torch\.nn\.Module, got a "):
        distributed_model(model)


def test_a_device_without_a_way_to_communicate_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"^model should be on the CPU or on a GPU with CUDA .* got meta"):
        distributed_model(nn.Linear(2, 2, device="meta"))


def test_more_processes_than_gpus_are_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "99")
    monkeypatch.setenv("LOCAL_RANK", "98")
    model = nn.Linear(2, 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(nn.Module, "parameters", lambda self: iter([FakeWeight()]))
    with pytest.raises(ValueError, match=r"^model should have a GPU for each process .* got number 98 of 2"):
        distributed_model(model)


class FakeWeight:
    """A weight on a GPU, on machines that have none."""

    device = torch.device("cuda", 0)


def test_processes_that_train_apart_are_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    model = companion.LanguageModel(nn.GRU(4, 8), 9)
    batches = companion.SequentialBatches(distributed_script.TOKENS, 4, 12)
    with pytest.warns(UserWarning, match=r"each of 2 processes on its own: distributed_model\(model\)") as caught:
        companion.fit(model, batches, epochs=1, progress=False)
    assert caught[0].filename == __file__


def test_each_process_of_a_machine_chooses_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert companion.choose_device() == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert companion.choose_device() == torch.device("cuda", 1)
