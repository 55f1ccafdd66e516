"""The progress bar: there for whoever watches, and no trace of it afterwards."""

import io
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from companion.progress import progress_bar

TRAINING = """
import torch
import companion
tokens = torch.arange(600) % 5
model = companion.LanguageModel(companion.GRU(4, 8), 5)
history = companion.fit(model, companion.SequentialBatches(tokens, 4, 10), epochs=3)
"""


class WatchedClient(NotebookClient):
    """A program that runs notebooks, and notes everything the kernel sends for display."""

    def process_message(self, message, cell, cell_index):
        self.messages.append((message["header"]["msg_type"], message["content"]))
        return super().process_message(message, cell, cell_index)


@pytest.fixture(scope="module")
def kernel():
    notebook = new_notebook(cells=[])
    client = WatchedClient(notebook, kernel_name="python3", timeout=120)
    client.messages = []
    with client.setup_kernel():
        yield client


def run(client, source, with_a_person):
    """Run a cell. A person at a live notebook can be asked for input; a program that runs notebooks cannot."""
    client.messages.clear()
    client.kc.allow_stdin = with_a_person
    client.nb.cells.append(nbformat.from_dict(new_code_cell(source)))
    return client.execute_cell(client.nb.cells[-1], len(client.nb.cells) - 1).outputs


def test_a_notebook_run_by_a_program_stores_no_trace(kernel):
    assert run(kernel, TRAINING, with_a_person=False) == []
    assert not {"stream", "display_data"} & {kind for kind, _ in kernel.messages}


def test_a_live_notebook_shows_the_bar_and_ends_with_an_empty_output(kernel):
    outputs = run(kernel, TRAINING, with_a_person=True)
    assert [(output.output_type, dict(output.data)) for output in outputs] == [("display_data", {"text/plain": ""})]
    shown = [content["data"]["text/plain"] for kind, content in kernel.messages if "display_data" in kind]
    assert any("training" in text and "0%" in text for text in shown)
    assert shown[-1] == ""


def test_a_live_notebook_that_asks_for_no_bar_gets_none(kernel):
    assert run(kernel, TRAINING.replace("epochs=3", "epochs=3, progress=False"), with_a_person=True) == []


def test_the_output_is_empty_after_an_error_too(kernel):
    source = TRAINING.replace("epochs=3", "epochs=3, loss=lambda *_: 1 / 0")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run(kernel, source, with_a_person=True)
    shown = [content["data"]["text/plain"] for kind, content in kernel.messages if "display_data" in kind]
    assert shown[-1] == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def is_shown_while_working(show=True):
    with progress_bar(5, "training", show) as bar:
        for _ in range(5):
            bar.update()
        return not bar.disable


def test_a_pipe_gets_nothing(capsys):
    assert not is_shown_while_working()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_that_is_wiped_at_the_end(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert is_shown_while_working()
    *_, wiped, last = terminal.getvalue().split("\r")
    assert "training" in terminal.getvalue()
    assert wiped.strip() == last == ""


def test_a_terminal_that_asks_for_no_bar_gets_none(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert not is_shown_while_working(show=False)
    assert terminal.getvalue() == ""
