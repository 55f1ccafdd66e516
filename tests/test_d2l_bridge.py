"""The well-known course's own package takes our layers: it imports, it trains them, and nothing is fetched for it."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

import companion
from companion.d2l_bridge import prepare_d2l
from companion.text import find_time_machine

ROOT = Path(__file__).resolve().parents[1]
TIME_MACHINE = ROOT.parent / "shared" / "data" / "timemachine.txt"
needs_time_machine = pytest.mark.skipif(not TIME_MACHINE.is_file(), reason="there is no ../shared/data/timemachine.txt")


def run_python(code, **kwargs):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **kwargs)


@pytest.fixture(scope="module")
def d2l():
    assert prepare_d2l(), "d2l and torchvision are installed by `make`, without their dependencies"
    from d2l import torch as d2l

    return d2l


@pytest.fixture
def offline(monkeypatch, d2l):
    def refuse(*args, **kwargs):
        raise AssertionError(f"something asked the network: {args}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(d2l.requests, "get", refuse)


# The import


def test_d2l_imports_in_a_fresh_process_and_a_second_call_does_nothing():
    code = (
        "from companion.d2l_bridge import prepare_d2l\n"
        "assert prepare_d2l() is True and prepare_d2l() is True\n"
        "from d2l import torch as d2l\n"
        "assert prepare_d2l() is True\n"
        "print(d2l.RNNLM.__name__)"
    )
    done = run_python(code)
    assert (done.returncode, done.stdout) == (0, "RNNLM\n"), done.stderr


def test_the_bridge_mends_a_torchvision_without_its_operators():
    plain = run_python("import torchvision")
    if plain.returncode == 0:
        pytest.skip("torchvision fits torch here: there is nothing to mend")
    assert "torchvision::nms" in plain.stderr
    mended = run_python("from companion.d2l_bridge import prepare_d2l; prepare_d2l(); import torchvision")
    assert mended.returncode == 0, mended.stderr


def test_another_fault_of_torchvision_is_not_hidden(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the disk is full')\n")
    search = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    done = run_python(search + "from companion.d2l_bridge import prepare_d2l; prepare_d2l()")
    assert done.returncode == 1 and done.stderr.endswith("RuntimeError: the disk is full\n")


@pytest.mark.parametrize("missing", ["d2l", "torchvision"])
def test_it_says_when_there_is_nothing_to_prepare(monkeypatch, missing):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    assert prepare_d2l() is False


# The text, from where it lies


def test_no_time_machine_is_found_in_an_empty_folder_and_none_is_fetched(tmp_path, monkeypatch, offline):
    monkeypatch.setenv("RECURRENT_COMPANION_DATA", str(tmp_path))
    assert find_time_machine() is None
    assert find_time_machine(tmp_path / "nowhere") is None
    assert list(tmp_path.iterdir()) == []


def test_another_text_under_its_name_is_not_taken(tmp_path):
    (tmp_path / "timemachine.txt").write_text("A quite different book.\n")
    assert find_time_machine(tmp_path) is None


@needs_time_machine
def test_the_time_machine_is_found_by_folder_and_by_variable(tmp_path, monkeypatch, offline):
    shutil.copy(TIME_MACHINE, tmp_path)
    assert find_time_machine(tmp_path) == tmp_path / "timemachine.txt"
    monkeypatch.setenv("RECURRENT_COMPANION_DATA", str(tmp_path))
    assert find_time_machine() == tmp_path / "timemachine.txt"


@needs_time_machine
def test_d2l_reads_the_copy_that_lies_where_it_looks(tmp_path, monkeypatch, d2l, offline):
    (tmp_path / "data").mkdir()
    (tmp_path / "chapter").mkdir()
    shutil.copy(TIME_MACHINE, tmp_path / "data")
    monkeypatch.chdir(tmp_path / "chapter")
    data = d2l.TimeMachine(batch_size=8, num_steps=16)
    assert len(data.vocab) == 28 and data.X.shape[1] == 16
    assert find_time_machine("../data").resolve() == tmp_path / "data" / "timemachine.txt"


# d2l's models and trainer around our layers


@pytest.fixture(scope="module")
def data(d2l):
    class Story(d2l.TimeMachine):
        def _download(self):
            return companion.load_story().train[:6_000]

    return Story(batch_size=32, num_steps=16, num_train=960, num_val=320)


def language_models(d2l, data, theirs, ours):
    """d2l's language model around its layer and around ours, with the same weights."""
    size = len(data.vocab)
    wrapper = d2l.GRU(size, 16, theirs.num_layers) if isinstance(theirs, torch.nn.GRU) else d2l.RNN(size, 16)
    other = d2l.RNN(size, 16)
    wrapper.rnn, other.rnn = theirs, ours
    models = d2l.RNNLM(wrapper, size, lr=1), d2l.RNNLM(other, size, lr=1)
    for model in models:
        model(data.X[:1])
    models[1].load_state_dict(models[0].state_dict(), strict=True)
    return models


PAIRS = {
    "RNN": (torch.nn.RNN, companion.RNN, {}),
    "GRU": (torch.nn.GRU, companion.GRU, {}),
    "two-layer GRU": (torch.nn.GRU, companion.GRU, {"num_layers": 2}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_same_weights_give_d2l_the_same_loss_and_gradients(d2l, data, name):
    theirs, ours, options = PAIRS[name]
    size = len(data.vocab)
    torch.manual_seed(0)
    models = language_models(d2l, data, theirs(size, 16, **options), ours(size, 16, **options))
    losses = [model.loss(model(data.X[:64]), data.Y[:64]) for model in models]
    assert torch.allclose(*losses, atol=1e-6)
    for loss in losses:
        loss.backward()
    pairs = zip(models[0].named_parameters(), models[1].named_parameters(), strict=True)
    for (name, weight), (_, other) in pairs:
        assert torch.allclose(weight.grad, other.grad, atol=1e-6), name


def test_d2ls_trainer_trains_ours_as_its_own(d2l, data):
    size = len(data.vocab)
    torch.manual_seed(1)
    models = language_models(d2l, data, torch.nn.GRU(size, 16), companion.GRU(size, 16))
    curves = []
    for model in models:
        model.board.display = False
        torch.manual_seed(2)
        d2l.Trainer(max_epochs=3, gradient_clip_val=1).fit(model, data)
        curves.append({part: [float(point.y) for point in points] for part, points in model.board.data.items()})
    assert set(curves[0]) == {"train_ppl", "val_ppl"} and len(curves[0]["val_ppl"]) == 3
    for part in curves[0]:
        assert curves[1][part] == pytest.approx(curves[0][part], rel=1e-3)
    assert curves[1]["train_ppl"][-1] < 0.8 * curves[1]["train_ppl"][0]


def test_its_language_model_takes_our_layer_without_a_wrapper(d2l, data):
    model = d2l.RNNLM(companion.GRU(len(data.vocab), 16), len(data.vocab))
    assert model(data.X[:5]).shape == (5, 16, len(data.vocab))


def test_a_board_that_does_not_display_draws_no_figure(d2l, data):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    model = d2l.RNNLM(companion.GRU(len(data.vocab), 8), len(data.vocab), lr=1)
    model.board.display = False
    d2l.Trainer(max_epochs=1).fit(model, data)
    assert plt.get_fignums() == before and model.board.fig is None


# The chapter's section


def run_section(*endings):
    """Run these cells of the chapter's section on d2l, as they stand there; return their names and stored outputs."""
    cells = {cell.id: cell for cell in nbformat.read(ROOT / "book/gates/gru.ipynb", as_version=4).cells}
    namespace = {}
    exec("import torch\nfrom companion import GRU, load_story\nfrom companion.text import find_time_machine", namespace)
    exec("story = load_story()", namespace)
    stored = ""
    for ending in endings:
        cell = cells[f"d2l-{ending}"]
        exec(cell.source, namespace)
        stored += "".join(output.text for output in cell.outputs)
    return namespace, stored


def test_the_section_says_so_and_runs_on_where_d2l_is_missing(monkeypatch, capsys):
    monkeypatch.setattr("companion.d2l_bridge.prepare_d2l", lambda: False)
    namespace, _ = run_section("import", "data", "model", "train")
    assert namespace["d2l"] is None
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "not installed" in printed


@pytest.mark.parametrize("where", ["story", pytest.param("time machine", marks=needs_time_machine)])
def test_the_section_prints_the_same_with_either_text(tmp_path, monkeypatch, capsys, offline, where):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECURRENT_COMPANION_DATA", str(TIME_MACHINE.parent if where == "time machine" else tmp_path))
    namespace, stored = run_section("import", "data", "model")
    assert (namespace["file"] is None) == (where == "story")
    assert capsys.readouterr().out == stored
