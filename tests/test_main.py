"""The command python -m companion: the table, JSON, and one sentence with exit code 2 for wrong arguments."""

import json
import shlex
import subprocess
import sys

import pytest
from torch import nn

from companion.__main__ import main
from companion.anatomy import KINDS, explain
from companion.sru import SRU

EXAMPLE = "explain LSTM 20 40 --num-layers 4 --bidirectional --input 5,10,20"


def test_the_example_prints_the_table():
    command = [sys.executable, "-m", "companion", *shlex.split(EXAMPLE)]
    process = subprocess.run(command, capture_output=True, text=True)
    layer = nn.LSTM(20, 40, num_layers=4, bidirectional=True)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == f"{explain(layer, (5, 10, 20))}\n"
    assert "(8, 10, 40)" in process.stdout and f"{sum(w.numel() for w in layer.parameters()):,}" in process.stdout


def test_a_wrong_argument_ends_the_process():
    command = [sys.executable, "-m", "companion", "explain", "GRU", "20", "0"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "python -m companion explain: hidden_size should be greater than zero, got 0\n"


COMMANDS = {
    "RNN 3 4 --nonlinearity relu --no-bias": lambda: nn.RNN(3, 4, nonlinearity="relu", bias=False),
    "GRU 3 4 --batch-first": lambda: nn.GRU(3, 4, batch_first=True),
    "LSTM 3 4 --proj-size 2 --num-layers 2 --dropout 0.5": lambda: nn.LSTM(3, 4, 2, proj_size=2, dropout=0.5),
    "LSTMCell 3 4": lambda: nn.LSTMCell(3, 4),
    "SRU 3 4 --projection-size 2 --layer-norm --normalize-after --use-tanh --rescale --highway-bias -1": lambda: SRU(
        3, 4, projection_size=2, layer_norm=True, normalize_after=True, use_tanh=True, rescale=True, highway_bias=-1
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_the_layers_arguments(command, capsys):
    assert main(["explain", *shlex.split(command)]) == 0
    found = capsys.readouterr()
    assert found.out == f"{explain(COMMANDS[command]())}\n" and found.err == ""


@pytest.mark.parametrize("kind", KINDS)
def test_json_is_what_to_dict_gives(kind, capsys):
    main(["explain", kind, "3", "4", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(explain(KINDS[kind](3, 4)).to_dict()))


WRONG = {
    "": "the following arguments are required: command",
    "explain": "the following arguments are required: kind, input_size, hidden_size",
    "explain LSTM 20": "the following arguments are required: hidden_size",
    "explain LSTN 20 40": "invalid choice: 'LSTN'",
    "explain LSTM 20 many": "argument hidden_size: invalid int value: 'many'",
    "explain LSTM 20 40 --input 5,ten,20": "argument --input: should be sizes with commas between, such as 5,10,20",
    "explain LSTM 20 40 --input 5,10,21": "input_shape should end with input_size=20, got (5, 10, 21)",
    "explain LSTM 20 40 --input 5": "input_shape should have 2 or 3 sizes, got 1: (5,)",
    "explain LSTM 20 40 --proj-size 40": "proj_size should be 0 (none) or less than hidden_size=40, got 40",
    "explain GRU 20 40 --proj-size 4": "proj_size is an argument of LSTM only",
    "explain GRU 20 40 --nonlinearity relu": "GRU has no --nonlinearity",
    "explain RNN 20 40 --nonlinearity gelu": "nonlinearity should be 'tanh' or 'relu', got 'gelu'",
    "explain LSTMCell 20 40 --num-layers 2": "LSTMCell has no --num-layers",
    "explain LSTM 20 40 --num-layers 0": "num_layers should be greater than zero, got 0",
    "explain LSTM 20 40 --dropout 2": "dropout should be a number in [0, 1]",
    "explain LSTM 20 40 --hidden 3": "unrecognized arguments: --hidden 3",
    "explain LSTM 99999999999 99999999999": "",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_arguments_end_with_one_sentence(command, capsys):
    with pytest.raises(SystemExit) as ending:
        main(shlex.split(command))
    found = capsys.readouterr()
    assert ending.value.code == 2 and found.out == ""
    assert WRONG[command] in found.err and found.err.count("\n") == 1
    assert found.err.startswith("python -m companion")


def test_a_warning_is_a_note(capsys):
    main(["explain", "LSTM", "3", "4", "--dropout", "0.5"])
    found = capsys.readouterr()
    assert "note: dropout=0.5 does nothing with num_layers=1" in found.err and found.out.startswith("LSTM(3, 4")


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as ending:
        main(["explain", "--help"])
    assert ending.value.code == 0 and "explain LSTM 20 40" in " ".join(capsys.readouterr().out.split())
