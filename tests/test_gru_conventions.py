"""The two GRUs on the page: their JavaScript against torch in node, and the page in a browser, driven by keyboard.

The first part compares every combination of the switches with nn.GRU, with the companion's step, and with references
written here as the other books write them. The rest skips, saying so, where there is no node or no Chromium.
"""

import itertools
import json
import re
import subprocess

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from companion import gru_step
from tests.chromium import find_node
from tests.site_pages import ROOT, parse, site, static_files
from tests.small_book import STATIC, build, need_katex, write_book

FOLDER = STATIC / "gru-conventions"
MARKUP = ROOT / "book" / "_templates" / "gru_conventions.html"
CONVENTIONS = list(itertools.product(("keeps", "admits"), ("after", "before")))
SWITCHES = ("zeroBias", "diagonal", "negated")
T = 35
TELL = """
const conventions = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answer = (task) => {
  if (task.weights) return conventions.unroll(task.inputs, task.h_0, task.weights, task.convention);
  return { ...conventions.compare(task), prepared: conventions.prepare(task) };
};
console.log(JSON.stringify(cases.map(answer)));
"""


# References ---------------------------------------------------------------------------------------------------------


def draw(seed, D=4, H=5):
    """Weights, inputs and a first state, of other sizes than the page's."""
    generator = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    weights = {}
    for gate in "rzn":
        weights |= {f"W_x{gate}": random(H, D), f"W_h{gate}": random(H, H)}
        weights |= {f"b_x{gate}": random(H), f"b_h{gate}": random(H)}
    return weights, random(T, D), random(H)


def pack(weights, kind):
    """The blocks r, z, n of a kind, such as W_x, one below the other."""
    return torch.cat([weights[kind + gate] for gate in "rzn"])


def negated(weights):
    return {name: -value if name[-1] == "z" else value for name, value in weights.items()}


def by_torch(weights, inputs, h_0):
    """z keeps, reset after: nn.GRU itself."""
    layer = nn.GRU(inputs.shape[1], len(h_0), dtype=torch.float64)
    kinds = {"weight_ih_l0": "W_x", "weight_hh_l0": "W_h", "bias_ih_l0": "b_x", "bias_hh_l0": "b_h"}
    layer.load_state_dict({name: pack(weights, kind) for name, kind in kinds.items()})
    with torch.no_grad():
        return layer(inputs, h_0.unsqueeze(0))[0]


def by_loop(step, weights, inputs, h_0):
    outputs = []
    for x in inputs:
        outputs.append(h_0 := step(x, h_0, weights))
    return torch.stack(outputs)


def z_admits(x, h, weights):
    """As in the comparison of gated units by Chung et al. (2014): z near 1 admits the candidate. Reset as in nn."""
    x_r, x_z, x_n = F.linear(x, pack(weights, "W_x"), pack(weights, "b_x")).chunk(3)
    h_r, h_z, h_n = F.linear(h, pack(weights, "W_h"), pack(weights, "b_h")).chunk(3)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    return (1 - z) * h + z * torch.tanh(x_n + r * h_n)


def as_in_d2l(x, h, w):
    """As in Dive into Deep Learning, section 10.2: row vectors, one bias a gate, the reset before the product."""
    Z = torch.sigmoid(x @ w["W_xz"].T + h @ w["W_hz"].T + (w["b_xz"] + w["b_hz"]))
    R = torch.sigmoid(x @ w["W_xr"].T + h @ w["W_hr"].T + (w["b_xr"] + w["b_hr"]))
    candidate = torch.tanh(x @ w["W_xn"].T + (R * h) @ w["W_hn"].T + (w["b_xn"] + w["b_hn"]))
    return Z * h + (1 - Z) * candidate


def admits_and_before(x, h, w):
    """Both at once: the update of Chung et al. around the candidate of d2l."""
    Z = torch.sigmoid(x @ w["W_xz"].T + h @ w["W_hz"].T + (w["b_xz"] + w["b_hz"]))
    R = torch.sigmoid(x @ w["W_xr"].T + h @ w["W_hr"].T + (w["b_xr"] + w["b_hr"]))
    candidate = torch.tanh(x @ w["W_xn"].T + (R * h) @ w["W_hn"].T + (w["b_xn"] + w["b_hn"]))
    return h + Z * (candidate - h)


def reference(convention, weights, inputs, h_0):
    if convention == ("keeps", "after"):
        return by_torch(weights, inputs, h_0)
    step = {("admits", "after"): z_admits, ("keeps", "before"): as_in_d2l, ("admits", "before"): admits_and_before}
    return by_loop(step[convention], weights, inputs, h_0)


def ask_node(cases):
    """What steps.js says of these tasks."""
    node = find_node()
    if node is None:
        pytest.skip("There is no node here, so the page's GRU was not compared with torch.")
    command = [node, "-e", TELL, str(FOLDER / "steps.js")]
    run = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def as_lists(tensors):
    return {name: value.tolist() for name, value in tensors.items()}


def as_tensors(lists):
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in lists.items()}


def distance(ours, theirs):
    return (torch.as_tensor(ours, dtype=torch.float64) - theirs).abs().max().item()


# Against torch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", CONVENTIONS, ids="-".join)
def test_every_convention_gives_the_numbers_of_its_reference(convention):
    drawn = [draw(seed) for seed in range(20)]
    z, reset = convention
    cases = [
        {"weights": as_lists(weights), "inputs": inputs.tolist(), "h_0": h_0.tolist(),
         "convention": {"z": z, "reset": reset}}
        for weights, inputs, h_0 in drawn
    ]
    for states, (weights, inputs, h_0) in zip(ask_node(cases), drawn, strict=True):
        assert len(states) == T + 1 and states[0] == h_0.tolist()
        expected = reference(convention, weights, inputs, h_0)
        assert distance(states[1:], expected) < 1e-9
        others = [other for other in CONVENTIONS if other != convention]
        assert all(distance(reference(other, weights, inputs, h_0), expected) > 1e-2 for other in others)


def test_the_references_agree_with_the_companion():
    weights, inputs, h_0 = draw(99)

    def step(x, h, w):
        return gru_step(F.linear(x, pack(w, "W_x"), pack(w, "b_x")), h, pack(w, "W_h"), pack(w, "b_h"))

    theirs = by_torch(weights, inputs, h_0)
    assert distance(by_loop(step, weights, inputs, h_0), theirs) < 1e-12
    assert distance(by_loop(z_admits, negated(weights), inputs, h_0), theirs) < 1e-12


def page_settings(seeds=(0, 2, 5)):
    """Every position of every switch of the page."""
    positions = itertools.product(seeds, CONVENTIONS, ("zero", "random"), itertools.product((False, True), repeat=3))
    for seed, (z, reset), state, switches in positions:
        yield {"seed": seed, "z": z, "reset": reset, "state": state} | dict(zip(SWITCHES, switches, strict=True))


def test_every_position_of_the_switches_shows_what_torch_computes():
    cases = list(page_settings())
    assert len(cases) == 3 * 2**6
    for case, answer in zip(cases, ask_node(cases), strict=True):
        weights = as_tensors(answer["prepared"]["weights"])
        given = as_tensors({name: answer["prepared"][name] for name in ("inputs", "h_0")})
        inputs, h_0 = given["inputs"], given["h_0"]
        assert (h_0 == 0).all() == (case["state"] == "zero")
        assert (weights["b_hn"] == 0).all() == case["zeroBias"]
        assert torch.equal(weights["W_hn"], weights["W_hn"].diag().diag()) == case["diagonal"]
        nn_outputs = by_torch(weights, inputs, h_0)
        theirs = negated(weights) if case["negated"] else weights
        other = reference((case["z"], case["reset"]), theirs, inputs, h_0)
        assert distance(answer["nn"][1:], nn_outputs) < 1e-9, case
        assert distance(answer["other"][1:], other) < 1e-9, case
        apart = (nn_outputs - other).abs().amax(-1)
        assert answer["apart"][0] == 0 and distance(answer["apart"][1:], apart) < 1e-9, case


def always_agrees(case):
    """What the chapter says: z converts by the sign of its rows; the reset only if W_hn is diagonal without b_hn."""
    same_z = (case["z"] == "admits") == case["negated"]
    same_reset = case["reset"] == "after" or (case["diagonal"] and case["zeroBias"])
    return same_z and same_reset


def test_the_two_agree_where_the_chapter_says_and_nowhere_else():
    cases = list(page_settings(range(20)))
    for case, answer in zip(cases, ask_node(cases), strict=True):
        assert (max(answer["apart"]) < 1e-12) == always_agrees(case), case
        if not always_agrees(case):
            assert max(answer["apart"]) > 0.02, case
        same_z = (case["z"] == "admits") == case["negated"]
        if case["state"] == "zero" and case["zeroBias"] and same_z:
            assert answer["apart"][1] < 1e-12, case


def test_another_seed_gives_other_weights():
    answers = ask_node([settings for settings in page_settings(range(8)) if not any(settings[s] for s in SWITCHES)])
    drawn = {json.dumps(answer["prepared"]["weights"]) for answer in answers}
    assert len(drawn) == 8


# In a page ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    need_katex()
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site") / "html"
    write_book(source, "gru_conventions", FOLDER.name, ".. gru-conventions::")
    return build(source, built)


FILES = ["conventions.css", "steps.js", "conventions.js"]


def test_only_its_page_loads_its_files(book):
    assert static_files(book / "without.html", "gru-conventions") == []
    assert static_files(book / "index.html", "gru-conventions") == FILES


def test_the_chapter_holds_it():
    chapter = site() / "gates" / "gru.html"
    assert static_files(chapter, "gru-conventions") == FILES
    assert len(parse(chapter).select("section > .gru-conventions figure svg")) == 1


def test_without_a_script_a_sentence_stands_there(book):
    assert "needs JavaScript" in parse(book / "index.html").select_one("noscript").get_text()
    assert ":root:not(.scripted) .gru-conventions { display: none; }" in (FOLDER / "conventions.css").read_text()


def test_every_control_has_a_label(book):
    piece = parse(book / "index.html").select_one(".gru-conventions")
    for control in piece.select("input"):
        assert control.get("aria-label") or control.find_parent("label").get_text(strip=True), control
    assert all(button.get_text(strip=True) for button in piece.select("button"))
    assert all(fieldset.legend.get_text(strip=True) for fieldset in piece.select("fieldset"))


def test_a_second_one_is_refused(tmp_path):
    need_katex()
    write_book(tmp_path, "gru_conventions", FOLDER.name, ".. gru-conventions::\n\n.. gru-conventions::")
    with pytest.raises(AssertionError, match="there is one on this page already"):
        build(tmp_path, tmp_path / "html")


def test_the_files_name_no_other_host():
    for path in [*FOLDER.iterdir(), MARKUP]:
        words = re.sub(r"(^|  )//( .*)?$", "", path.read_text(), flags=re.MULTILINE)  # but for comments
        assert not re.search(r"//|@import", words), path.name


@pytest.fixture(scope="module")
def report(book, chromium):
    return chromium("browse_gru_conventions.mjs", (book / "index.html").as_uri())


def test_it_opens_everywhere_without_an_error(report):
    seen = [(visit["width"], visit["colorScheme"]) for visit in report["visits"]]
    assert seen == [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
    assert [visit["errors"] for visit in report["visits"]] == [[]] * 4
    assert [visit["outside"] for visit in report["visits"]] == [[]] * 4
    assert [visit["sideways"] for visit in report["visits"]] == [0] * 4


def test_words_stand_out_from_what_is_behind_them(report):
    assert all(visit["checked"] > 30 for visit in report["visits"])
    assert [visit["faint"] for visit in report["visits"]] == [[]] * 4


def computed(**settings):
    usual = {"seed": 2, "z": "keeps", "reset": "before", "state": "zero", "zeroBias": True, "diagonal": False}
    (answer,) = ask_node([usual | {"negated": False} | settings])
    return answer


def test_the_page_shows_the_numbers_of_steps_js(report):
    start = computed()
    most = max(start["apart"])
    for visit in report["visits"]:
        shown = visit["start"]
        assert shown["step"] == "Step 35 of 35." and f"{start['apart'][35]:.2f}" in shown["apart"]
        assert f"{most:.2f} (step {start['apart'].index(most)})" in shown["largest"]
        assert len(shown["rows"]) == T + 1
        cells = [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in start["nn"][7] + start["other"][7]]
        assert shown["rows"][7][:-1] == ["7", *cells]
        assert "agree at step 1 and differ from step 2 on" in shown["alt"] and f"{most:.2f}" in shown["alt"]


def test_a_step_by_keyboard_moves_lines_and_numbers(report):
    apart = computed()["apart"]
    for visit in report["visits"]:
        first, second = visit["firstStep"], visit["secondStep"]
        assert first["step"] == "Step 1 of 35." and "0 exactly" in first["apart"] and "0 exactly" in first["largest"]
        assert first["points"] == [2] * 6 and second["points"] == [3] * 6      # the first state is a point, too
        assert second["step"] == "Step 2 of 35." and f"{apart[2]:.2f}" in second["apart"]
        assert second["valueText"].startswith("step 2, apart by 0.0")
        assert visit["pressedOn"]["step"] == "Step 3 of 35."


def test_steps_are_not_announced_but_settings_are(report):
    for visit in report["visits"]:
        assert visit["firstStep"]["announced"] == visit["secondStep"]["announced"] == ""
        assert "agree at all 35 steps" in visit["diagonal"]["announced"]
        assert "differ from step 1 on" in visit["admits"]["announced"]
        assert "agree at all 35 steps" in visit["negated"]["announced"]


def test_the_switches_change_the_lines_and_the_code(report):
    for visit in report["visits"]:
        assert visit["start"]["marked"] == ["W_hn @ (r * h) + b_hn"]
        assert visit["admits"]["marked"] == ["(1 - z) * h + z * n"] and visit["after"]["marked"] == []
        assert "0 but for rounding" in visit["diagonal"]["largest"] or "0 exactly" in visit["diagonal"]["largest"]
        expected = max(computed(z="admits", reset="after", diagonal=True)["apart"])
        assert f"{expected:.2f}" in visit["admits"]["alt"]
        expected = max(computed(state="random", zeroBias=False)["apart"])
        assert f"{expected:.2f}" in visit["random"]["alt"]


def test_other_weights_can_be_drawn_and_the_start_comes_back(report):
    for visit in report["visits"]:
        assert visit["redrawn"]["rows"] != visit["random"]["rows"]
        again = visit["afterReset"]
        assert {**again, "announced": ""} == {**visit["start"], "announced": ""}


def test_it_plays_pauses_and_needs_no_motion(report):
    for visit in report["visits"]:
        playing = visit["playing"]
        assert playing["words"] == ["Play", "Pause", "Play"] and 2 <= playing["reached"] < T
        assert playing["stays"]
        still = visit["lessMotion"]
        assert still["word"] == "To the end" and still["step"] == "Step 35 of 35."


def test_focus_is_seen(report):
    assert [visit["focusSeen"] for visit in report["visits"]] == [True] * 4
