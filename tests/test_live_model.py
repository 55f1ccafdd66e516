"""The live model: its stored weights, its JavaScript against torch, and its page in a browser.

The first part holds the file of the weights to its header, by torch. The second runs gru.js in node on the same
weights. The third opens a page with the directive from the disk, wide and on a phone, light and dark. The last two
skip, saying so, where they cannot run.
"""

import hashlib
import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from companion import Corpus, Vocabulary, load_story
from tests.chromium import find_node
from tests.site_pages import ROOT, parse, site, static_files
from tools import train_live_model as trainer

LIVE = ROOT / "book" / "_static" / "live"
STORED = ROOT / trainer.FILE
MOST_BYTES = 600_000
READ = 1000  # characters that node and torch both read


@pytest.fixture(scope="module")
def stored():
    """The stored model around nn's GRU, and its header."""
    return trainer.load(STORED, nn.GRU)


@pytest.fixture(scope="module")
def story():
    return load_story()


def numbers(header, text):
    """The token numbers of a text, by the header's own list."""
    return torch.tensor([header["tokens"].index(character) for character in text])


def opening_text():
    """The text that the chapter gives the live model to begin with."""
    notebook = nbformat.read(ROOT / "book" / "gates" / "inside-the-gates.ipynb", as_version=4)
    (found,) = re.findall(r"```\{live-model\}\n(.*)\n```", "\n".join(cell.source for cell in notebook.cells))
    return found


# The stored file ----------------------------------------------------------------------------------------------------


def test_the_file_is_small_and_whole():
    header, data = trainer.read(STORED)
    assert STORED.stat().st_size <= MOST_BYTES
    assert header["sha256"] == hashlib.sha256(data).hexdigest()
    shapes = {name: list(weight.shape) for name, weight in trainer.build(len(header["tokens"])).state_dict().items()}
    assert {weight["name"]: weight["shape"] for weight in header["weights"]} == shapes
    assert len(data) == 2 * sum(np.prod(shape) for shape in shapes.values())
    assert np.isfinite(np.frombuffer(data, "<f2")).all()


def test_the_header_says_how_the_file_was_made(story):
    header, _ = trainer.read(STORED)
    assert header["tokens"] == Vocabulary(story.train).tokens
    assert header["recipe"] == trainer.RECIPE and {name: header[name] for name in trainer.SIZES} == trainer.SIZES
    assert header["command"] == trainer.COMMAND and (ROOT / header["command"].split()[-1]).is_file()
    assert set(header["versions"]) == {"python", "torch", "recurrent-companion"}


def test_the_recorded_perplexity_is_found_again(stored, story):
    model, header = stored
    found = trainer.held_out_perplexity(model, numbers(header, story.held_out))
    assert found == pytest.approx(header["held_out_perplexity"], abs=1e-3)
    assert found < 3.7
    exact = header["before_rounding"]
    assert abs(found - exact["held_out_perplexity"]) < 1e-3 and exact["largest_change_of_a_probability"] < 1e-3


def test_the_recorded_units_are_found_again(stored, story):
    model, header = stored
    torch.manual_seed(header["recipe"]["seed"])
    before = trainer.build(len(header["tokens"])).eval()
    found = trainer.find_units(model, before, Vocabulary(story.train), story.held_out)
    for ours, theirs in zip(found, header["units"], strict=True):
        assert [ours[name] for name in ("mark", "part", "unit")] == [theirs[name] for name in ("mark", "part", "unit")]
        assert ours["correlation"] == pytest.approx(theirs["correlation"], abs=0.005)
        assert ours["untrained"] == pytest.approx(theirs["untrained"], abs=0.005)
        assert abs(ours["correlation"]) > ours["untrained"] + 0.3


def test_what_the_chapter_says_of_it_holds(stored, story):
    """A closing mark, with and without its opening one; a reset gate that shuts at first letters and opens behind."""
    model, header = stored
    text, quote = opening_text(), header["tokens"].index('"')
    opening = text.rindex('"')
    chances = {}
    for name, words in {"with": text, "without": text[:opening] + text[opening + 1 :]}.items():
        tokens = numbers(header, words)
        last = trainer.probabilities(model, tokens)[-1]
        chances[name] = (last[quote].item(), last.argmax().item(), trainer.read_gates(model, tokens)["h"][-1, 115])
    assert chances["with"][0] > 0.7 and chances["with"][1] == quote
    assert chances["without"][0] < 0.2 and chances["without"][1] != quote
    assert chances["with"][2] < -0.9 and chances["without"][2] > 0.9
    (of_speech, of_words, _) = header["units"]
    assert (of_speech["mark"], of_speech["part"], of_speech["unit"]) == ("inside speech", "h", 115)
    assert (of_words["mark"], of_words["part"], of_words["unit"]) == ("first letter of a word", "r", 124)
    marks = trainer.mark(story.held_out)
    letter = torch.tensor([character.isalpha() for character in story.held_out])
    first = marks["first letter of a word"]
    r = trainer.read_gates(model, numbers(header, story.held_out))["r"][:, 124]
    behind = letter & ~first & first.roll(1)
    assert r[first].mean() < 0.15 and r[behind].mean() > 0.7


def test_it_began_with_the_weights_of_the_chapters_first_network(story):
    torch.manual_seed(trainer.RECIPE["seed"])
    ours = trainer.build(60, dropout=trainer.RECIPE["dropout"]).state_dict()
    torch.manual_seed(1)
    recurrent = trainer.GRU(64, 128)
    theirs = trainer.LanguageModel(recurrent, 60).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_training_writes_what_it_measured(tmp_path, monkeypatch, capsys, story):
    """A small run of the whole script."""
    monkeypatch.setattr(trainer, "FILE", tmp_path / "small.js")
    monkeypatch.setitem(trainer.RECIPE, "epochs", 1)
    monkeypatch.setattr(trainer, "load_story", lambda: Corpus(story.train[:4000], story.train[4000:6000]))
    threads = torch.get_num_threads()
    try:
        trainer.main()
    finally:
        torch.set_num_threads(threads)
    model, header = trainer.load(tmp_path / "small.js")
    unseen = Vocabulary(story.train[:4000]).encode(story.train[4000:6000])
    assert trainer.held_out_perplexity(model, unseen) == pytest.approx(header["held_out_perplexity"], abs=1e-3)
    assert header["held_out_perplexity"] < len(header["tokens"])
    assert "small.js" in capsys.readouterr().out


def test_weights_come_back_as_float16_holds_them(tmp_path):
    model = trainer.rounded(trainer.build(7))
    layout, data = trainer.pack(model)
    trainer.write(tmp_path / "weights.js", {"tokens": list("abcdefg"), "weights": layout}, data)
    again, _ = trainer.load(tmp_path / "weights.js")
    assert all(torch.equal(again.state_dict()[name], weight) for name, weight in model.state_dict().items())
    (tmp_path / "weights.js").write_text("recurrentWeights.register({}")
    with pytest.raises(ValueError, match="should hold one call"):
        trainer.read(tmp_path / "weights.js")


# Against torch, in node ---------------------------------------------------------------------------------------------

PREPARE = f"""
const folder = {json.dumps(str(LIVE))};
const gru = require(folder + "/gru.js");
globalThis.recurrentWeights = require(folder + "/weights.js");
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
"""
READ_TEXT = """
require("vm").runInThisContext(require("fs").readFileSync(folder + "/story-gru.js", "utf8"));
const { header, model } = recurrentWeights.stored();
const readAll = () => {
  let h = gru.firstState(model);
  return given.tokens.map((token) => {
    const step = gru.read(model, token, h);
    h = step.h;
    return { ...step, probabilities: gru.softmax(step.logits, given.temperature) };
  });
};
const start = performance.now();
const steps = readAll();
const milliseconds = performance.now() - start;
const keep = ["r", "z", "n", "h", "probabilities"];
const columns = keep.map((name) => [name, steps.map((step) => Array.from(step[name]))]);
console.log(JSON.stringify({ ...Object.fromEntries(columns), milliseconds, tokens: header.tokens }));
"""


def ask_node(script, given=None):
    """What a few lines of JavaScript say, which know gru.js, weights.js and what is given."""
    node = find_node()
    if node is None:
        pytest.skip("There is no node here, so the live model's JavaScript was not compared with torch.")
    command = [node, "-e", PREPARE + script]
    run = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def differences(found, expected):
    """The largest difference of each part."""
    return {name: (torch.tensor(found[name]) - values).abs().max().item() for name, values in expected.items()}


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_a_thousand_characters_agree_with_torch(stored, story, temperature):
    model, header = stored
    tokens = numbers(header, story.held_out[:READ])
    found = ask_node(READ_TEXT, {"tokens": tokens.tolist(), "temperature": temperature})
    with torch.no_grad():
        expected = {"probabilities": (model(tokens)[0] / temperature).softmax(-1)}
    if temperature == 1.0:
        expected |= trainer.read_gates(model, tokens)
    gaps = differences(found, expected)
    print(f"{READ} characters in {found['milliseconds']:.0f} ms; largest differences: {gaps}")
    assert max(gaps.values()) < 1e-4  # the book promises 1e-3
    assert found["tokens"] == header["tokens"] and len(found["probabilities"]) == READ
    assert found["milliseconds"] < 5000  # a bound for sanity; a laptop takes a fraction of a second


STEP = """
const layer = {};
for (const [name, values] of Object.entries(given.layer)) layer[name] = Float32Array.from(values);
let h = Float32Array.from(given.h);
const states = given.inputs.map((x) => (h = gru.step(layer, Float32Array.from(x), h).h));
console.log(JSON.stringify({ h: states.map((state) => Array.from(state)) }));
"""


def random_layer():
    """A GRU of sizes that do not divide each other, all its weights and its first state drawn."""
    torch.manual_seed(0)
    layer = nn.GRU(5, 7)
    for weight in layer.parameters():
        nn.init.normal_(weight)
    return layer, torch.randn(35, 5), torch.randn(1, 7)


def states_of(layer, inputs, h_0):
    weights = {name: weight.flatten().tolist() for name, weight in layer.state_dict().items()}
    return ask_node(STEP, {"layer": weights, "inputs": inputs.tolist(), "h": h_0[0].tolist()})


def test_the_step_is_that_of_any_gru():
    layer, inputs, h_0 = random_layer()
    with torch.no_grad():
        expected, _ = layer(inputs, h_0)
    assert differences(states_of(layer, inputs, h_0), {"h": expected})["h"] < 1e-4


@pytest.mark.parametrize("wrong", ["gates exchanged", "reset before the product"])
def test_the_comparison_notices_another_step(wrong):
    layer, inputs, h_0 = random_layer()
    found = states_of(layer, inputs, h_0)
    with torch.no_grad():
        if wrong == "gates exchanged":
            for weight in layer.parameters():
                r, z, n = weight.clone().chunk(3)
                weight.copy_(torch.cat([z, r, n]))
            expected, _ = layer(inputs, h_0)
        else:
            layer.bias_hh_l0[14:] += 0.01  # a bias that only the reset gate after the product scales
            layer.bias_ih_l0[14:] -= 0.01
            expected, _ = layer(inputs, h_0)
    assert differences(found, {"h": expected})["h"] > 1e-3


def test_every_float16_is_read_as_numpy_reads_it():
    expected = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    script = """
    const words = (value) => (Number.isFinite(value) ? value : String(value));
    console.log(JSON.stringify(Array.from({ length: 65536 }, (_, bits) => words(recurrentWeights.fromHalf(bits)))));
    """
    found = np.array([float(value.replace("Infinity", "inf") if isinstance(value, str) else value)
                      for value in ask_node(script)])
    assert np.array_equal(found, expected, equal_nan=True)


def test_too_many_or_too_few_numbers_are_refused():
    script = """
    const layout = [{ name: "output.bias", shape: [given.count] }];
    try { recurrentWeights.unpack(layout, btoa("\\0\\0\\0\\0\\0\\0")); console.log('"read"'); }
    catch (error) { console.log(JSON.stringify(error.constructor.name)); }
    """
    assert [ask_node(script, {"count": count}) for count in (2, 3, 4)] == ["Error", "read", "RangeError"]


def test_a_draw_follows_the_probabilities():
    script = """
    const randoms = Array.from({ length: 1000 }, (_, index) => (index + 0.5) / 1000);
    const drawn = randoms.map((random) => gru.draw(given, random));
    console.log(JSON.stringify([...drawn, gru.draw([0, 0.9, 0.05], 0.99)]));
    """
    drawn = ask_node(script, [0.25, 0, 0.5, 0.25])
    assert [drawn[:-1].count(token) for token in range(4)] == [250, 0, 500, 250]
    assert drawn[-1] == 1  # of probabilities that fall short of 1, the largest


# In a page ----------------------------------------------------------------------------------------------------------

CONFIG = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["sphinx_copybutton", "lean_pages", "live_model"]
project, html_title, html_theme = "Book", "Book", "basic"
templates_path = [{str(ROOT / "book" / "_templates")!r}]
html_static_path = [{str(ROOT / "book" / "_static")!r}]
html_css_files = ["book.css", "live/live.css"]   # as Jupyter Book lists what lies in _static
html_js_files = ["book.js", "live/gru.js", "live/live.js", "live/story-gru.js", "live/view.js", "live/weights.js"]

def setup(app):
    def page_contents(app, pagename, templatename, context, doctree):
        context["generate_toc_html"] = lambda: ""
    app.connect("html-page-context", page_contents)
"""
PAGE = "{title}\n=======\n\n.. meta::\n   :description: A page of the {title} kind.\n\nWords.\n\n{body}\n"
FAR_DOWN = '.. raw:: html\n\n   <div style="height: 3000px"></div>\n\n'
WITH_THE_PAGE = ["live.css", "view.js", "live.js"]
ON_DEMAND = ["gru.js", "weights.js", "story-gru.js"]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A small book in the real template: one page with the live model far down, one without."""
    if not (ROOT / "node_modules" / "katex").is_dir():
        pytest.skip("There is no KaTeX in node_modules (run `npm ci`): no page was built.")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site") / "html"
    (source / "conf.py").write_text(CONFIG)
    (source / "part").mkdir()
    body = f"{FAR_DOWN}.. live-model::\n\n   {opening_text()}\n\nWords after it."
    (source / "part" / "with.rst").write_text(PAGE.format(title="Alive", body=body))
    (source / "index.rst").write_text(PAGE.format(title="Without", body=".. toctree::\n\n   part/with"))
    return build(source, built)


def build(source, built):
    """Build a book with warnings as errors; the folder of its pages."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(source), str(built)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return built


def test_only_its_page_loads_its_files_and_no_page_the_weights(book):
    assert static_files(book / "index.html", "live") == []
    assert static_files(book / "part" / "with.html", "live") == WITH_THE_PAGE
    assert all(tag.has_attr("defer") for tag in parse(book / "part" / "with.html").select("script[src]"))


def test_what_comes_later_is_there_under_a_mark_of_its_content(book):
    page = book / "part" / "with.html"
    addresses = parse(page).select_one(".live-model")["data-scripts"].split()
    assert [address.partition("?")[0] for address in addresses] == [f"../_static/live/{name}" for name in ON_DEMAND]
    for address in addresses:
        name, _, mark = address.partition("?v=")
        assert hashlib.sha256((page.parent / name).resolve().read_bytes()).hexdigest().startswith(mark) and mark
    assert "story-gru.js" not in (book / "index.html").read_text()


def test_the_chapter_holds_it():
    chapter = site() / "gates" / "inside-the-gates.html"
    assert static_files(chapter, "live") == WITH_THE_PAGE
    (place,) = parse(chapter).select("section > .live-model")
    assert place.select_one("textarea").get_text().strip() == opening_text()
    assert "Type, and watch" in place.find_parent("section").h2.get_text()


def test_the_step_on_the_page_is_that_of_the_file(book):
    page = parse(book / "part" / "with.html")
    shown = page.select_one(".live-model details pre").get_text()
    script = (LIVE / "gru.js").read_text()
    assert shown.startswith("/** One step") and "const next" in shown and shown.rstrip().endswith("}")
    assert all(line.strip() in script for line in shown.splitlines())
    assert page.select_one(".live-model details a")["href"] == "../_static/live/gru.js"
    assert max(map(len, shown.splitlines())) <= 88


def test_without_a_script_a_sentence_stands_there(book):
    page = parse(book / "part" / "with.html")
    assert page.select_one(".live-model").has_attr("hidden")
    assert "needs JavaScript" in page.select_one("noscript").get_text()


def test_every_control_has_a_label(book):
    page = parse(book / "part" / "with.html")
    for control in page.select(".live-model :is(input, select, textarea)"):
        assert page.select_one(f".live-model label[for='{control['id']}']").get_text(strip=True), control
    assert all(svg.get("aria-label") for svg in page.select(".live-model svg"))
    buttons = page.select(".live-model button")
    assert all(button.get_text(strip=True) and button["type"] == "button" for button in buttons)
    ids = [tag["id"] for tag in page.select("[id]")]
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize(
    "body, complaint",
    [(".. live-model::\n\n   One.\n\n.. live-model::\n\n   Two.", "there is one on this page already"),
     (".. live-model::", "should be the text to begin with, got none")],
)
def test_a_wrong_use_is_refused(tmp_path, body, complaint):
    if not (ROOT / "node_modules" / "katex").is_dir():
        pytest.skip("There is no KaTeX in node_modules (run `npm ci`): no page was built.")
    (tmp_path / "conf.py").write_text(CONFIG)
    (tmp_path / "index.rst").write_text(PAGE.format(title="Counted", body=body))
    with pytest.raises(AssertionError, match=complaint):
        build(tmp_path, tmp_path / "html")


def test_the_files_name_no_other_host():
    for path in [*LIVE.iterdir(), ROOT / "book" / "_templates" / "live_model.html"]:
        words = re.sub(r"(^|  )//( .*)?$", "", path.read_text(), flags=re.MULTILINE)  # but for comments
        words = re.sub(r'"[\w+/=]{10000,}"', "", words)                               # and the weights
        assert "//" not in words.replace("http://www.w3.org/2000/svg", ""), path.name  # the name of SVG, no address


@pytest.fixture(scope="module")
def report(book, chromium):
    """What a browser saw in the page opened from the disk, and what using it did."""
    return chromium("browse_live_model.mjs", (book / "part" / "with.html").as_uri())


@pytest.fixture(scope="module")
def visits(report):
    return report["visits"]


def close_to(expected, tolerance=2e-3):
    return pytest.approx(expected, abs=tolerance)


def test_it_opens_everywhere_without_an_error(visits):
    seen = [(visit["width"], visit["colorScheme"]) for visit in visits]
    assert seen == [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
    assert [visit["errors"] for visit in visits] == [[]] * 4
    assert [visit["outside"] for visit in visits] == [[]] * 4


def test_nothing_is_loaded_before_the_reader_comes_near(visits, report):
    for visit in [*visits, report["calm"]]:
        assert visit["loadedAtFirst"] == WITH_THE_PAGE
        assert visit["loaded"] == WITH_THE_PAGE + ON_DEMAND


def test_who_saves_data_is_left_to_press_a_button(report):
    saving = report["saving"]
    assert saving["loadedOnArrival"] == WITH_THE_PAGE
    assert "could not be loaded" in saving["failed"]["comes"] and saving["failed"]["text"] == opening_text()
    assert saving["loaded"] == [*WITH_THE_PAGE, *ON_DEMAND, "story-gru.js"]  # only what failed is asked for again
    assert "Perplexity" in saving["ready"]["comes"] and saving["ready"]["bars"][0][0] == '"'


def test_nothing_scrolls_sideways_and_nothing_jumps(visits):
    assert [visit["sideways"] for visit in visits] == [0] * 4
    assert [visit["heightLoaded"] for visit in visits] == [visit["height"] for visit in visits]


def test_words_stand_out_from_what_is_behind_them(visits):
    for visit in visits:
        for found in (visit["watched"], visit["contrast"]):
            assert found["checked"] > 80 and found["faint"] == []


def test_the_page_shows_what_torch_computes(visits, stored):
    model, header = stored
    tokens = numbers(header, opening_text())
    expected = trainer.probabilities(model, tokens)[-1]
    gates = trainer.read_gates(model, tokens)
    names = {" ": "space", "\n": "line break", "<unk>": "unknown"}
    best = expected.topk(7)
    for visit in visits:
        page = visit["atFirst"]
        assert page["strip"] == page["text"] == opening_text() and page["here"] == len(opening_text()) - 1
        words = [names.get(header["tokens"][token], header["tokens"][token]) for token in best.indices.tolist()]
        assert [word for word, _ in page["bars"][:7]] == words
        assert [share for _, share in page["bars"][:7]] == close_to(best.values.tolist())
        assert page["values"] == close_to(gates["h"][:, 115].tolist())
        assert page["opacities"] == close_to(gates["h"][-1].abs().tolist(), 0.006)
        assert page["value"] == f'h of unit 115 after "?": \N{MINUS SIGN}{-gates["h"][-1, 115]:.2f}'
        assert page["cells"] == [128] * 4 and f"{header['held_out_perplexity']:.2f}" in page["comes"]
        high = (gates["z"][-1] > 0.5).sum().item()
        assert f"z, update gate: {high} of 128 units above 0.5" in page["labels"]
        assert page["announced"].startswith('Next: " 7') and page["value"] in page["announced"]


def test_the_bars_always_sum_to_one(visits):
    for visit in visits:
        for moment in ("atFirst", "withoutMark", "placeMoved", "cold", "hot", "written", "typographic", "full"):
            assert sum(share for _, share in visit[moment]["bars"]) == close_to(1, 1e-5), moment
            assert len(visit[moment]["bars"]) == 8
            percents = [float(percent.rstrip("%")) for percent in visit[moment]["percents"]]
            assert percents == close_to([100 * share for _, share in visit[moment]["bars"]], 0.051)


def test_the_opening_mark_makes_the_closing_one_likely(visits):
    for visit in visits:
        chance = {moment: dict(visit[moment]["bars"])['"'] for moment in ("atFirst", "withoutMark", "withMark")}
        assert chance["withoutMark"] < 0.2 < 0.7 < chance["withMark"] == chance["atFirst"]
        assert visit["withoutMark"]["values"][-1] > 0.9 and visit["withMark"]["values"] == visit["atFirst"]["values"]
        assert visit["withMark"]["text"] == opening_text()


def test_the_place_follows_caret_slider_and_click(visits):
    last, opening = len(opening_text()) - 1, opening_text().rindex('"')
    for visit in visits:
        assert visit["atCaret"]["here"] == opening - 1  # the character before the caret
        assert visit["placeMoved"]["here"] == last - 2
        assert visit["placeMoved"]["place"] == [str(last - 1), f"{last - 1} of {last + 1}: o"]
        clicked = visit["placeClicked"]
        assert clicked["here"] == 4 and clicked["value"].startswith('h of unit 115 after "a"')
        assert clicked["bars"] != visit["placeMoved"]["bars"]


def test_a_unit_is_picked_by_list_by_number_and_by_click(visits):
    for visit in visits:
        assert visit["atFirst"]["chosen"] == ["h", "115", "0"] and "correlation" in visit["atFirst"]["about"]
        watched = visit["watched"]
        assert watched["chosen"] == ["r", "124", "1"] and watched["hue"].endswith("reset")
        assert min(watched["values"]) >= 0 and watched["line"] != visit["placeClicked"]["line"]
        assert "r of unit 124 over the text: from 0.00 to 1.00" in watched["labels"]
        typed, clicked = visit["unitTyped"], visit["unitClicked"]
        assert typed["chosen"] == ["r", "7", ""] and "Nothing has been measured" in typed["about"]
        assert typed["corners"] == ["7,0"] * 4 and typed["values"] != watched["values"]
        assert clicked["chosen"] == ["z", "20", ""] and clicked["corners"] == ["4,1"] * 4
        assert clicked["hue"].endswith("update") and clicked["value"].startswith("z of unit 20")
        assert visit["unitTooHigh"]["value"].startswith("z of unit 127")


def test_temperature_sharpens_and_flattens(visits):
    for visit in visits:
        cold, warm, hot = (visit[name]["bars"][0][1] for name in ("cold", "warm", "hot"))
        assert cold > 0.99 > warm > hot and [visit[name]["temperature"] for name in ("cold", "hot")] == ["0.1", "2.0"]


def test_it_writes_until_it_is_stopped(visits, stored):
    _, header = stored
    for visit in visits:
        assert visit["writing"]["buttons"] == ["Stop", "Read it slowly", "Clear"]
        written = visit["written"]
        assert written["buttons"] == ["Write on", "Read it slowly", "Clear"]
        assert visit["stopped"]["text"] == written["text"]  # 0.9 s later
        new = written["text"].removeprefix(opening_text())
        assert 12 <= len(new) < 300 and set(new) <= set(header["tokens"])
        assert written["announced"].startswith(f"Wrote: {new} ")
        assert written["strip"] == written["text"] and written["here"] == len(written["text"]) - 1
        assert written["herePainted"]
    assert len({visit["written"]["text"] for visit in visits}) > 1  # it draws


def test_it_stops_where_the_text_is_full(visits):
    for visit in visits:
        assert len(visit["full"]["text"]) == len(visit["full"]["values"]) == 1000 and visit["full"]["herePainted"]
        assert visit["full"]["buttons"][0] == "Write on"


def test_it_reads_slowly_until_escape(visits):
    for visit in visits:
        assert 2 <= visit["replaying"]["here"] < 40 and visit["replaying"]["buttons"][1] == "Stop"
        before, after = visit["replayStopped"]
        assert before == after < 50


def test_typographic_marks_are_read_as_the_storys_own(visits):
    for visit in visits:
        assert visit["typographic"]["strip"] == '"H\u00fct" - \U0001f600s'
        assert len(visit["typographic"]["values"]) == 10  # a character outside the vocabulary is one, too


def test_an_empty_text_is_no_trouble(visits):
    for visit in visits:
        empty = visit["empty"]
        assert empty["text"] == "" and empty["values"] == [] and set(empty["opacities"]) == {0}
        assert all(share == 0 for _, share in empty["bars"]) and "Type something" in empty["announced"]
        assert len(visit["fromNothing"]["text"]) >= 3


def test_the_step_unfolds_and_focus_is_seen(visits):
    assert [(visit["stepShown"], visit["focusSeen"]) for visit in visits] == [(True, True)] * 4


def test_little_motion_for_who_wants_little(report):
    assert report["calm"]["atOnce"] >= 24 and report["calm"]["transition"] == "0s"
    assert report["calm"]["errors"] == []
