"""The calculator of shapes: its JavaScript against torch itself, and its page in a browser, driven by keyboard.

The first part runs shapes.js in node, and in Python the very lines of code that it shows. The second opens a page with
the directive from the disk, wide and on a phone, light and dark. Either skips, saying so, where it cannot run.
"""

import importlib
import itertools
import json
import random
import re
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

import companion
from companion.anatomy import explain
from tests.chromium import find_node
from tests.site_pages import ROOT, parse, site, static_files

SHAPES = ROOT / "book" / "_static" / "calculator" / "shapes.js"
KINDS = ("RNN", "LSTM", "GRU", "SRU")
DRAWN = 4000
TELL = """
const { describe } = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map((settings) => describe(settings))));
"""


# Settings -----------------------------------------------------------------------------------------------------------


def grid():
    """Right settings: every switch of every layer, with one layer and several, batch or none."""
    own = {
        "RNN": [{"nonlinearity": name} for name in ("tanh", "relu")],
        "LSTM": [{"proj_size": size} for size in (0, 1, 2)],
    }
    for kind, hidden_size, num_layers, switches in itertools.product(KINDS, (3, 4), (1, 2, 3), range(16)):
        bias, batch_first, bidirectional, drops = (bool(switches & bit) for bit in (1, 2, 4, 8))
        # At input_size H, or 2H with two directions, an SRU needs no product for its highway.
        for input_size, dimensions in itertools.product((hidden_size, 2 * hidden_size, 5), (2, 3)):
            shape = [4, input_size] if dimensions == 2 else [4, 2, input_size]
            for extra in own.get(kind, [{}]):
                yield settings(
                    kind, input_size, hidden_size, shape, num_layers=num_layers, bias=bias, batch_first=batch_first,
                    bidirectional=bidirectional, dropout=0.5 if drops else 0, **extra,
                )


def drawn(count, seed=7):
    """Settings as they come: about half are wrong, and some in several ways at once."""
    draw = random.Random(seed)
    for _ in range(count):
        rarely = lambda usual, *odd: draw.choice(odd) if draw.random() < 0.08 else draw.choice(usual)  # noqa: E731
        input_size = rarely(range(1, 7), 0, -2, 2.5)
        features = rarely([input_size], input_size + 1, 0, -1, 3.5)
        sizes = [rarely(range(1, 6), 0, -3, 1.5) for _ in range(3)]
        dimensions = rarely((2, 3), 1, 4)
        kind = draw.choice(KINDS)
        yield settings(
            kind, input_size, rarely(range(1, 7), 0, -1, 0.5), [*sizes[: dimensions - 1], features],
            num_layers=rarely(range(1, 4), 0, -1, 1.5, 0.5),
            nonlinearity=rarely(("tanh", "relu") if kind == "RNN" else ("tanh",), "sigmoid", "relu"),
            bias=draw.random() < 0.5,
            batch_first=draw.random() < 0.5,
            dropout=rarely((0, 0.5, 1, 0.05), 1.5, -0.1, 1e-7, 0.0001, 1.0e16, -1.25e-5, round(draw.random(), 6)),
            bidirectional=draw.random() < 0.5,
            proj_size=rarely((0, 0, 1, 2) if kind == "LSTM" else (0,), 1, 3, 9, -1, 1.5),
        )


def settings(kind, input_size, hidden_size, shape, **arguments):
    """All that shapes.js asks for, the arguments at their defaults if not given."""
    defaults = dict(
        num_layers=1, nonlinearity="tanh", bias=True, batch_first=False, dropout=0, bidirectional=False, proj_size=0
    )
    return dict(kind=kind, input_size=input_size, hidden_size=hidden_size, shape=shape) | defaults | arguments


@pytest.fixture(autouse=True)
def float64():
    """Shapes are the same in every dtype; for this one no layer builds or warms up a fused kernel."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# Both answers -------------------------------------------------------------------------------------------------------


def ask_node(cases):
    """What shapes.js says of these settings."""
    node = find_node()
    if node is None:
        pytest.skip("There is no node here, so the calculator's JavaScript was not compared with torch.")
    run = subprocess.run(
        [node, "-e", TELL, str(SHAPES)], input=json.dumps(cases), capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def ask_python(code):
    """What happens when the lines that shapes.js shows are run, in its words; and the layer, if there is one."""
    names = {"nn": nn, "torch": torch, "companion": companion}
    answer = {"error": None, "weights": None, "count": None, "tensors": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            line = "layer"
            exec(code["layer"], names)
            weights = names["layer"].state_dict()
            answer["weights"] = {name: list(weight.shape) for name, weight in weights.items()}
            answer["count"] = sum(weight.numel() for weight in weights.values())
            for line in ("input", "call"):
                exec(code[line], names)
            tensors = [name for name in ("input", "output", "h_n", "c_n") if name in names]
            answer["tensors"] = {name: list(names[name].shape) for name in tensors}
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            answer["error"] = {"type": type(error).__name__, "message": str(error), "line": line}
    answer["warnings"] = [str(warning.message) for warning in caught]
    return answer, names.get("layer")


def as_python_tells(described):
    """What shapes.js says, in the form of :func:`ask_python`."""
    answer = {name: described[name] for name in ("error", "weights", "count", "tensors", "warnings")}
    if answer["error"]:
        answer["error"] = {name: answer["error"][name] for name in ("type", "message", "line")}
    for name in ("weights", "tensors"):
        answer[name] = answer[name] and {part["name"]: part["shape"] for part in answer[name]}
    return answer


# Against torch ------------------------------------------------------------------------------------------------------


def test_the_grid_agrees_with_torch_and_with_explain():
    cases = list(grid())
    assert len(cases) > 2000
    for case, described in zip(cases, ask_node(cases), strict=True):
        expected, layer = ask_python(described["code"])
        assert expected["error"] is None
        assert as_python_tells(described) == expected, case
        assert list(expected["weights"]) == [weight["name"] for weight in described["weights"]]
        assert_explained(described, explain(layer, case["shape"]).to_dict(), case)


def assert_explained(described, explained, case):
    """The rows of every weight and the axes of every tensor are those that companion.explain names."""
    for ours, theirs in zip(described["weights"], explained["weights"], strict=True):
        rows = [{name: block[name] for name in ("name", "start", "stop")} for block in theirs["blocks"]]
        assert (ours["count"], ours["rows"]) == (theirs["count"], rows), case
    axes = {tensor["name"]: f"({', '.join(tensor['axes'])})" for tensor in described["tensors"]}
    assert axes == explained["axes"], case


def test_drawn_settings_agree_with_torch():
    cases = list(drawn(DRAWN))
    outcomes = set()
    for case, described in zip(cases, ask_node(cases), strict=True):
        expected, _ = ask_python(described["code"])
        assert as_python_tells(described) == expected, (case, described["code"])
        error = expected["error"] or {"type": None, "line": None}
        blamed = described["error"] and described["error"]["argument"]
        outcomes.add((case["kind"], error["line"], error["type"], blamed))
    right = {(kind, None, None, None) for kind in KINDS}
    assert right < outcomes
    for kind in KINDS:  # every way to be wrong was met
        blamed = {argument for name, *_, argument in outcomes if name == kind and argument}
        expected = {"input_size", "hidden_size", "num_layers", "dropout", "proj_size", "nonlinearity"}
        assert blamed >= expected | {"dimensions", "T", "B", "features"}, (kind, blamed)


def test_the_code_shown_leaves_out_the_defaults():
    (plain,) = ask_node([settings("GRU", 10, 20, [5, 3, 10])])
    assert list(plain["code"].values()) == [
        "layer = nn.GRU(10, 20)", "input = torch.randn(5, 3, 10)", "output, h_n = layer(input)"
    ]
    (full,) = ask_node([settings("LSTM", 1, 2, [1], bias=False, dropout=1, num_layers=3, proj_size=1)])
    assert full["code"]["layer"] == "layer = nn.LSTM(1, 2, num_layers=3, bias=False, dropout=1.0, proj_size=1)"


def test_the_comparison_notices_a_difference():
    (described,) = ask_node([settings("LSTM", 2, 3, [4, 2], bidirectional=True)])
    expected, _ = ask_python(described["code"])
    assert as_python_tells(described) == expected
    described["weights"][3]["shape"] = [13]
    assert as_python_tells(described) != expected


# In a page ----------------------------------------------------------------------------------------------------------

CONFIG = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["sphinx_copybutton", "lean_pages", "calculator"]  # a copy button is an SVG of its own
project, html_title, html_theme = "Book", "Book", "basic"
templates_path = [{str(ROOT / "book" / "_templates")!r}]
html_static_path = [{str(ROOT / "book" / "_static")!r}]
html_css_files = ["book.css", "calculator/calculator.css"]   # as Jupyter Book lists what lies in _static
html_js_files = ["calculator/calculator.js", "calculator/picture.js", "book.js", "calculator/shapes.js"]

def setup(app):
    def page_contents(app, pagename, templatename, context, doctree):
        context["generate_toc_html"] = lambda: ""
    app.connect("html-page-context", page_contents)
"""
PAGE = "{title}\n=======\n\n.. meta::\n   :description: A page of the {title} kind.\n\nWords.\n\n{body}\n"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A small book in the real template: one page with the calculator, one without."""
    if not (ROOT / "node_modules" / "katex").is_dir():
        pytest.skip("There is no KaTeX in node_modules (run `npm ci`): no page was built.")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site") / "html"
    (source / "conf.py").write_text(CONFIG)
    contents = ".. calculator::\n\nWords after it.\n\n.. toctree::\n\n   without"
    (source / "index.rst").write_text(PAGE.format(title="Counted", body=contents))
    (source / "without.rst").write_text(PAGE.format(title="Without", body="None here."))
    return build(source, built)


def build(source, built):
    """Build a book with warnings as errors; the folder of its pages."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(source), str(built)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return built


FILES = ["calculator.css", "shapes.js", "picture.js", "calculator.js"]


def test_only_its_page_loads_its_files(book):
    assert static_files(book / "without.html", "calculator") == []
    assert static_files(book / "index.html", "calculator") == FILES
    assert all(tag.has_attr("defer") for tag in parse(book / "index.html").select("script[src]"))


def test_the_chapter_holds_it():
    chapter = site() / "parameters" / "outputs-and-states.html"
    assert static_files(chapter, "calculator") == FILES
    assert len(parse(chapter).select("section > .calculator figure svg")) == 1


def test_without_a_script_a_sentence_stands_there(book):
    page = parse(book / "index.html")
    assert page.select_one(".calculator").has_attr("hidden")
    assert "needs JavaScript" in page.select_one("noscript").get_text()


def test_the_command_in_that_sentence_works(book, capsys):
    command = parse(book / "index.html").select_one("noscript code").get_text()
    assert command.startswith("python -m companion ")
    importlib.import_module("companion.__main__").main(command.split()[3:])
    assert "weight_ih_l1" in capsys.readouterr().out


def test_every_control_has_a_label(book):
    form = parse(book / "index.html").select_one(".calculator form")
    for control in form.select("input, select"):
        labels = control.find_parent("label") or form.select_one(f"label[for='{control.get('id')}']")
        assert control.get("aria-label") or labels.get_text(strip=True), control
    assert all(fieldset.legend.get_text(strip=True) for fieldset in form.select("fieldset"))
    ids = [tag["id"] for tag in parse(book / "index.html").select("[id]")]
    assert sorted(ids) == sorted(set(ids))


def test_a_second_calculator_is_refused(tmp_path):
    if not (ROOT / "node_modules" / "katex").is_dir():
        pytest.skip("There is no KaTeX in node_modules (run `npm ci`): no page was built.")
    (tmp_path / "conf.py").write_text(CONFIG)
    (tmp_path / "index.rst").write_text(PAGE.format(title="Counted", body=".. calculator::\n\n.. calculator::"))
    with pytest.raises(AssertionError, match="there is one on this page already"):
        build(tmp_path, tmp_path / "html")


def test_the_files_name_no_other_host():
    for path in [*SHAPES.parent.iterdir(), ROOT / "book" / "_templates" / "calculator.html"]:
        words = re.sub(r"(^|  )//( .*)?$", "", path.read_text(), flags=re.MULTILINE)  # but for comments
        assert "//" not in words, path.name


@pytest.fixture(scope="module")
def report(book, chromium):
    """What a browser saw in the page opened from the disk, and what using it did."""
    return chromium("browse_calculator.mjs", (book / "index.html").as_uri())


def test_it_opens_everywhere_without_an_error(report):
    seen = [(visit["width"], visit["colorScheme"]) for visit in report["visits"]]
    assert seen == [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
    assert [visit["errors"] for visit in report["visits"]] == [[]] * 4
    assert [visit["outside"] for visit in report["visits"]] == [[]] * 4


def test_nothing_scrolls_sideways(report):
    assert [visit["sideways"] for visit in report["visits"]] == [0] * 4


def test_words_stand_out_from_what_is_behind_them(report):
    assert all(visit["checked"] > 40 for visit in report["visits"])
    assert [visit["faint"] for visit in report["visits"]] == [[]] * 4


def test_axe_finds_nothing(report):
    """At the start, and with an argument that is wrong."""
    assert [visit["barriers"] for visit in report["visits"]] == [[]] * 4


def test_a_switch_changes_tables_and_picture(report):
    for visit in report["visits"]:
        before, after = visit["before"], visit["afterSwitch"]
        assert before["boxes"] == 2 and after["boxes"] == 4
        assert len(before["weights"]) == 8 and len(after["weights"]) == 16
        assert "weight_hh_l1_reverse" in after["weights"] and "weight_hh_l1_reverse" not in before["weights"]
        assert before["tensors"]["output"] == "(5, 3, 20)" and after["tensors"]["output"] == "(5, 3, 40)"
        assert after["tensors"]["c_n"] == "(4, 3, 20)" and "bidirectional=True" in after["code"]
        assert before["total"] == f"{companion.count_parameters('LSTM', 10, 20, num_layers=2):,}"
        both = companion.count_parameters("LSTM", 10, 20, num_layers=2, bidirectional=True)
        assert after["total"] == f"{both:,}" and after["total"] in after["announced"]
        assert before["alt"] != after["alt"] and "forward and reverse" in after["alt"]
        joined = "2 \N{MULTIPLICATION SIGN} 20 = 40 features"
        assert {"h_n[3]: 20 wide", "c_n[3]: 20 wide", joined} <= set(after["words"])
        assert "output (5, 3, 40)" in after["words"] and "output (5, 3, 20)" in before["words"]


def test_a_slider_and_its_field_move_together(report):
    for visit in report["visits"]:
        assert visit["slider"] == {"field": "3", "rows": "(6, 3, 20)"}


def test_a_wrong_argument_says_what_torch_raises(report):
    message = "ValueError: proj_size has to be smaller than hidden_size"
    for visit in report["visits"]:
        wrong = visit["wrong"]
        assert message in wrong["says"] and message in wrong["announced"] and "Line 1 raises" in wrong["says"]
        assert wrong["invalid"] == ["proj_size"] and wrong["raises"].startswith("layer = nn.LSTM(10, 20,")
        assert not wrong["pictureShown"] and wrong["weights"] == []


def test_a_wrong_input_keeps_the_layer(report):
    for visit in report["visits"]:
        wrong = visit["wrongInput"]
        assert "input.size(-1) must be equal to input_size. Expected 10, got 7" in wrong["says"]
        assert wrong["invalid"] == ["features"] and wrong["pictureShown"] and len(wrong["weights"]) > 0
        assert wrong["tensors"] == {}


def test_a_warning_of_torch_is_shown_beside_the_result(report):
    for visit in report["visits"]:
        assert "UserWarning: dropout option adds dropout after all but last" in visit["warned"]["says"]
        assert "output (5, 3, 20)" in visit["warned"]["says"]
        count = companion.count_parameters("LSTM", 10, 20)
        assert f"num_layers=1. {count:,} numbers in 4 weights." in visit["warned"]["announced"]


def test_what_the_page_cannot_count_it_says(report):
    for visit in report["visits"]:
        assert "hidden_size should be a number" in visit["empty"]["says"]
        assert "counts num_layers up to 1,000" in visit["large"]["says"]
        assert "840 weights more" in visit["many"]["weights"][-1] and visit["many"]["boxes"] == 3


def test_reset_goes_back_to_the_start(report):
    for visit in report["visits"]:
        assert visit["afterReset"] == visit["before"]


def test_focus_is_seen(report):
    assert [visit["focusSeen"] for visit in report["visits"]] == [True] * 4
