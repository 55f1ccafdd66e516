"""What the launch buttons open: copies of the chapters that Colab and Jupyter can show, and the package's wheel."""

import ast
import functools
import http.server
import os
import re
import runpy
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from tests.site_pages import ROOT, parse, resolves, site
from tools import colab
from tools.drawing_files import drawing_style
from tools.plain_markdown import BOOK, Book, Page, figure_numbers

FORK = "someone/fork"
ADDRESS = "https://someone.github.io/fork"
CHAPTERS = sorted(path.relative_to(BOOK).with_suffix("").as_posix() for path in BOOK.rglob("*.ipynb")
                  if ".ipynb_checkpoints" not in path.parts)
ON_COLAB = {  # preinstalled, or with torch
    "torch", "numpy", "matplotlib", "safetensors", "numba", "triton", "IPython", "sklearn", "statsmodels"
}
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
# What a reader would see of MyST: a directive's braces, a role's, an option, a fence of colons, a label.
MYST = re.compile(
    r"\{[\w:.+-]+\}|^\s*[`~:]{3,}\s*\{|^:(alt|name|label|class):|^:{3,}|^\([\w-]+\)=|\{\{", re.MULTILINE
)

WORD = re.compile(r"[^\W\d]+|\d+")

each_chapter = pytest.mark.parametrize("name", CHAPTERS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What the tool writes for a fork: (the folder of the site, the folder of the branch)."""
    built, folder = tmp_path_factory.mktemp("html"), tmp_path_factory.mktemp("colab")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BOOK_SITE", raising=False)
        colab.main(["--repository", FORK, "--built", str(built), "--folder", str(folder)])
    return built, folder


@pytest.fixture
def copy(written):
    """Reads a chapter's copy by the chapter's name."""
    return lambda name: nbformat.read(written[1] / "book" / f"{name}.ipynb", as_version=4)


def original(name):
    return nbformat.read(BOOK / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def render(text):
    """The text as a notebook's reader sees it, without what is code or mathematics."""
    parser = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
    tree = BeautifulSoup(parser.render(text), "html.parser")
    for tag in tree.select("pre, code, .math"):
        tag.replace_with(" ")
    return tree


# The copies --------------------------------------------------------------------------------------------------


@each_chapter
def test_a_copy_shows_no_myst(copy, name):
    text = text_of(copy(name))
    shown = render(text)
    assert MYST.findall(shown.get_text()) == []
    fences = [token.info for token in MarkdownIt("commonmark").parse(text) if token.type == "fence"]
    assert [info for info in fences if "{" in info] == []


@each_chapter
def test_the_check_finds_myst(name):
    """In the committed chapter, which is full of it."""
    text = text_of(original(name))
    assert MYST.findall(render(text).get_text())
    assert any("{" in token.info for token in MarkdownIt("commonmark").parse(text))


@each_chapter
def test_a_copy_has_the_same_code_and_outputs(copy, name):
    notebook = copy(name)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    added = [cell for cell in code_cells(notebook) if cell.id in ("get-companion", "get-the-rest")]
    assert code_cells(notebook)[: len(added)] == added and added[0].id == "get-companion"
    assert code_cells(notebook)[len(added) :] == code_cells(original(name))


@each_chapter
def test_a_copy_leaves_plain_text_as_it_was(copy, name):
    """The cells without MyST are the same to the letter, and every sentence outside of it is still there."""
    plain = {cell.source for cell in copy(name).cells if cell.cell_type == "markdown"}
    untouched = [cell.source for cell in original(name).cells if cell.cell_type == "markdown" and "{" not in cell.source
                 and "](#" not in cell.source]
    assert set(untouched) <= plain and len(untouched) > 0


@each_chapter
def test_everything_a_copy_names_is_on_the_site(written, copy, name):
    """Its pages with their anchors, and its drawings."""
    built, shown = written[0], render(text_of(copy(name)))
    for image in shown.select("img"):
        assert image["src"].startswith(f"{ADDRESS}/launch/") and len(image["alt"]) >= 40
        assert (built / image["src"].removeprefix(f"{ADDRESS}/")).is_file()
    links = [link["href"] for link in shown.select("a")]
    assert [link for link in links if not link.startswith("https://")] == []
    folder = site()
    ours = [link.removeprefix(f"{ADDRESS}/") for link in links if link.startswith(f"{ADDRESS}/")]
    assert [link for link in ours if not resolves(link, folder / "index.html")] == []


@each_chapter
def test_numbers_and_works_are_those_of_the_page(copy, name):
    page = parse(site() / f"{name}.html")
    text = text_of(copy(name))

    def of_page(selector):
        return [" ".join(tag.get_text().split()) for tag in page.select(selector)]

    figures = [number.rstrip() for number in of_page("figcaption .caption-number")]
    assert re.findall(r"^\*\*(Fig\. [\d.]+)\*\*", text, re.MULTILINE) == figures
    exercises = [number.rstrip() for number in of_page(".exercise .caption-number")]
    assert re.findall(r"^### (Exercise [\d.]+):", text, re.MULTILINE) == exercises
    solutions = [re.match(r"Solution to (Exercise [\d.]+)", words)[1] for words in of_page("details.solution summary")]
    assert re.findall(r"^<summary>Solution to (Exercise [\d.]+)", text, re.MULTILINE) == solutions
    works = " ".join(link.get_text() for link in render(text).select("a[href$='bibliography.html']"))
    assert Counter(WORD.findall(works)) == Counter(WORD.findall(" ".join(of_page(".bibtex-citation"))))


@each_chapter
def test_every_captioned_plot_of_a_copy_has_its_caption(copy, name):
    cells = copy(name).cells
    for cell, following in pairwise(cells):
        if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
            assert following.cell_type == "markdown" and following.source.startswith("**Fig. ")
            assert render(following.source).get_text().split()[-1] == render(caption).get_text().split()[-1]


def test_the_committed_notebooks_name_no_address():
    assert [name for name in CHAPTERS if re.search(r"github\.io|\.whl", (BOOK / f"{name}.ipynb").read_text())] == []


# The first cell ----------------------------------------------------------------------------------------------


@each_chapter
def test_the_first_cell_asks_for_the_wheel_beside_the_site(written, copy, name):
    (wheel,) = (written[0] / "launch").glob("*.whl")
    source = code_cells(copy(name))[0].source
    assert f'WHEEL = "{ADDRESS}/launch/{wheel.name}"' in source
    assert max(map(len, source.splitlines())) <= 120 and len(source.splitlines()) <= 12
    ast.parse(source)  # no magic: it is the same in every version of IPython


@pytest.fixture
def first_cell(copy):
    return code_cells(copy(CHAPTERS[0]))[0].source


def test_where_the_package_is_the_first_cell_does_nothing(first_cell, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError(f"it ran {arguments}")

    monkeypatch.setattr(subprocess, "run", refuse)
    exec(first_cell, {})


def test_where_the_package_is_the_cell_for_the_rest_adds_only_what_is_missing(copy, first_cell, monkeypatch):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: asked.append(command))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else object())
    exec(f"{first_cell}\n{code_cells(copy('parameters/moving-weights'))[1].source}", {})
    (command,) = asked
    assert "--no-deps" in command and command[-1] == colab.pinned_versions()["onnxruntime"]


@pytest.fixture
def served(written):
    """The site's folder on a server of this machine."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(written[0])))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def run_first_cell(source, target):
    """Run the cell as on a machine without the package, whose pip installs into a folder of its own."""
    blind = "import importlib.util\nimportlib.util.find_spec = lambda name: None\n"
    environment = os.environ | {"PIP_TARGET": str(target), "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-c", blind + source]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_where_it_is_missing_the_first_cell_gets_it_and_only_it(first_cell, served, tmp_path):
    done = run_first_cell(first_cell.replace(ADDRESS, served), tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["companion", "recurrent_companion-0.1.0.dist-info"]
    assert (tmp_path / "companion" / "data" / "story.txt").is_file()
    there = {path.relative_to(ROOT) for path in (ROOT / "companion").rglob("*.py")}
    assert {path.relative_to(tmp_path) for path in (tmp_path / "companion").rglob("*.py")} == there


def test_a_wheel_that_is_gone_stops_the_first_cell(first_cell, served, tmp_path):
    done = run_first_cell(first_cell.replace(ADDRESS, f"{served}/gone"), tmp_path)
    assert done.returncode != 0 and "404" in done.stderr


def test_chapters_need_nothing_that_colab_lacks_without_saying_so(copy):
    known = set(sys.stdlib_module_names) | ON_COLAB | {"companion"}
    for name in CHAPTERS:
        others = colab.imported_modules(original(name)) - known
        assert others <= set(colab.EXTRAS), f"{name} imports {others}"
        words = text_of(copy(name))
        assert all(f"`{module}`" in words and "which Colab may lack" in words for module in others)
        assert ("get-the-rest" in {cell.id for cell in copy(name).cells}) == bool(others)


# The buttons -------------------------------------------------------------------------------------------------


@pytest.fixture
def launch(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "book" / "_ext"), *sys.path])
    import launch_buttons

    return launch_buttons


@each_chapter
def test_every_button_opens_a_file_of_the_branch(written, launch, name):
    links = {link["text"]: urlsplit(link["url"])
             for link in launch.page_links(launch.Repository(f"https://github.com/{FORK}"), name)}
    opened = links["Open in Colab"]
    owner, repository, branch, path = re.fullmatch(r"/github/([^/]+)/([^/]+)/blob/([^/]+)/(.+)", opened.path).groups()
    assert (opened.netloc, f"{owner}/{repository}") == ("colab.research.google.com", FORK)
    assert branch == pushed_branch() and (written[1] / unquote(path)).is_file()
    opened = links["Open in Binder"]
    place = parse_qs(opened.query)["urlpath"][0].removeprefix("lab/tree/")
    assert (opened.netloc, opened.path) == ("mybinder.org", f"/v2/gh/{FORK}/{pushed_branch()}")
    assert (written[1] / place).is_file()


@pytest.mark.parametrize(
    "repository, address",
    [
        ("someone/fork", "https://someone.github.io/fork"),
        ("SomeOne/Fork", "https://someone.github.io/Fork"),
        ("someone/someone.github.io", "https://someone.github.io"),
    ],
)
def test_the_site_of_a_repository(launch, repository, address):
    assert launch.site_address(launch.Repository(f"https://github.com/{repository}")) == address


def test_a_site_of_its_own_address(monkeypatch, tmp_path):
    monkeypatch.setenv("BOOK_SITE", "https://book.example/")
    monkeypatch.setattr(colab, "build_wheel", lambda folder: folder / "companion.whl")
    folder = tmp_path / "colab"
    colab.main(["--repository", FORK, "--built", str(tmp_path / "html"), "--folder", str(folder)])
    first = code_cells(nbformat.read(folder / "book" / f"{CHAPTERS[0]}.ipynb", as_version=4))[0]
    assert '"https://book.example/launch/companion.whl"' in first.source


@pytest.mark.parametrize("repository", ["https://gitlab.com/someone/fork", "https://git.school.example/someone/fork"])
def test_copies_are_for_github(repository, tmp_path):
    with pytest.raises(SystemExit, match="on GitHub only"):
        colab.main(["--repository", repository, "--built", str(tmp_path), "--folder", str(tmp_path / "colab")])


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(SystemExit, match=r"holds thesis\.txt, which this tool did not write"):
        colab.main(["--repository", FORK, "--built", str(tmp_path / "html"), "--folder", str(tmp_path)])
    assert (tmp_path / "thesis.txt").read_text() == "all of it" and not (tmp_path / "html").exists()


# Binder ------------------------------------------------------------------------------------------------------


def test_binder_has_what_it_reads(written):
    for name in ("environment.yml", "postBuild"):
        assert (written[1] / "binder" / name).read_bytes() == (ROOT / "binder" / name).read_bytes()
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt", "requirements-d2l.txt"):
        assert (written[1] / name).is_file()  # what postBuild installs from
    assert subprocess.run(["bash", "-n", str(ROOT / "binder" / "postBuild")]).returncode == 0


def test_binder_gets_pinned_packages_for_every_chapter():
    script = (ROOT / "binder" / "postBuild").read_text()
    pins = colab.pinned_versions()
    packages = re.search(r"--constraint requirements\.txt \\\n(.*)", script)[1].split()
    assert [package for package in packages if package not in pins] == []
    conda = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    there = {*packages, *(pins.keys() & {"d2l", "torchvision"}), "companion"} | set(sys.stdlib_module_names)
    assert any(re.match(r"pytorch-cpu\b", package) for package in conda)
    there |= {{"scikit-learn": "sklearn"}.get(package, package) for package in there}
    needed = set().union(*(colab.imported_modules(original(name)) for name in CHAPTERS)) - {"IPython"}  # with Jupyter
    assert needed - there == {"torch", "triton"}  # torch from conda; triton where it is: the chapter does without


# The workflow ------------------------------------------------------------------------------------------------


def steps(job):
    return WORKFLOW["jobs"][job]["steps"]


def push_script():
    (script,) = [step["run"] for step in steps("copies") if "run" in step]
    return script


def pushed_branch():
    return re.search(r"git push .*\s(\S+)\n?$", push_script())[1]


def test_only_the_job_that_pushes_may_write():
    rights = {name: job.get("permissions", WORKFLOW["permissions"]) for name, job in WORKFLOW["jobs"].items()}
    assert [name for name, granted in rights.items() if granted.get("contents") == "write"] == ["copies"]
    assert rights["copies"] == {"contents": "write"} and WORKFLOW["permissions"] == {"contents": "read"}
    assert rights["deploy"] == {"pages": "write", "id-token": "write"}


def test_the_workflow_publishes_what_the_tool_writes():
    runs = [step["run"] for step in steps("build") if "run" in step]
    assert runs == ["make launch"]
    assert re.search(r"^launch: build .*\n\t@\$\(RUN\) tools/colab\.py$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    paths = {step["uses"].partition("@")[0]: step["with"]["path"] for step in steps("build") if "upload" in str(step)}
    defaults = colab.read_options([])
    assert ROOT / paths["actions/upload-pages-artifact"] == defaults.built
    assert ROOT / paths["actions/upload-artifact"] == defaults.folder
    assert WORKFLOW["jobs"]["deploy"]["needs"] == "build" and WORKFLOW["jobs"]["copies"]["needs"] == "deploy"


def test_no_part_of_the_workflow_names_a_repository():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        words = [word for word in re.findall(r"[\w.-]+/[\w.-]+", path.read_text()) if not word.startswith("actions/")]
        assert not [word for word in words if word.startswith("github.com") or ".github.io" in word]


def test_the_workflow_replaces_the_branch(written, tmp_path):
    """The script of the workflow itself, twice, in a clone of a repository of this machine."""
    monkey = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(tmp_path)}
    environment = os.environ | monkey | {"RUNNER_TEMP": str(tmp_path), "GITHUB_SHA": "abc123"}

    def git(*arguments, cwd=tmp_path):
        done = subprocess.run(["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    git("init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git("clone", "--quiet", "origin.git", "first")
    git("config", "user.name", "A", cwd=tmp_path / "first")
    git("config", "user.email", "a@example.org", cwd=tmp_path / "first")
    (tmp_path / "first" / "kept.txt").write_text("kept")
    git("add", "kept.txt", cwd=tmp_path / "first")
    git("commit", "--quiet", "--message", "Begin", cwd=tmp_path / "first")
    git("push", "--quiet", "origin", "HEAD:main", cwd=tmp_path / "first")
    (tmp_path / "colab").symlink_to(written[1])
    for checkout in ("second", "third"):
        git("clone", "--quiet", "--depth=1", f"file://{tmp_path}/origin.git", checkout)
        script = ["bash", "-eo", "pipefail", "-c", push_script()]
        subprocess.run(script, cwd=tmp_path / checkout, env=environment, check=True)
    assert git("ls-tree", "-r", "--name-only", "main", cwd=tmp_path / "origin.git").split() == ["kept.txt"]
    pushed = set(git("ls-tree", "-r", "--name-only", "colab", cwd=tmp_path / "origin.git").splitlines())
    assert pushed == {path.relative_to(written[1]).as_posix() for path in written[1].rglob("*") if path.is_file()}
    assert git("log", "--format=%s", "colab", cwd=tmp_path / "origin.git").splitlines() == [
        "Copy the notebooks of abc123 for Colab and Binder"
    ]


# From MyST to plain Markdown ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book():
    return Book(ADDRESS, f"https://github.com/{FORK}")


@pytest.mark.parametrize(
    "source, expected",
    [
        ("Plain *text*, `code`, $x_{t-1}$ and {braces}.", "Plain *text*, `code`, $x_{t-1}$ and {braces}."),
        ("{doc}`/gates/lstm`", f"[The LSTM, twice]({ADDRESS}/gates/lstm.html)"),
        ("{doc}`the other\n  one </gates/lstm>`.", f"[the other one]({ADDRESS}/gates/lstm.html)."),
        ("`{doc}` and {doc}`x </gates/lstm>`", f"`{{doc}}` and [x]({ADDRESS}/gates/lstm.html)"),
        ("``{doc}`x </gates/lstm>` `` or {doc}`x </gates/lstm>`",
         f"``{{doc}}`x </gates/lstm>` `` or [x]({ADDRESS}/gates/lstm.html)"),
        ("- a {doc}`x\n  </gates/lstm>`\n- **{doc}`y </gates/gru>`**",
         f"- a [x]({ADDRESS}/gates/lstm.html)\n- **[y]({ADDRESS}/gates/gru.html)**"),
        ("| {doc}`x </gates/lstm>` | {doc}`x </gates/gru>` |\n| - | - |\n| {doc}`x </gates/gru>` | b |",
         f"| [x]({ADDRESS}/gates/lstm.html) | [x]({ADDRESS}/gates/gru.html) |\n| - | - |\n"
         f"| [x]({ADDRESS}/gates/gru.html) | b |"),
        ("> {cite:t}`elman1990`", f"> [Elman (1990)]({ADDRESS}/bibliography.html)"),
        ("{cite:p}`hochreiter1997,cho2014`",
         f"([Cho *et al.*, 2014]({ADDRESS}/bibliography.html); "
         f"[Hochreiter and Schmidhuber, 1997]({ADDRESS}/bibliography.html))"),
        ("{class}`~companion.layers.GRU`", f"[`GRU`]({ADDRESS}/reference/layers.html#companion.layers.GRU)"),
        ("{func}`companion.steps.gru_step`",
         f"[`companion.steps.gru_step()`]({ADDRESS}/reference/steps.html#companion.steps.gru_step)"),
        ("{mod}`companion.bptt`", f"[`companion.bptt`]({ADDRESS}/reference/bptt.html#module-companion.bptt)"),
        ("{class}`nn.Module <torch.nn.Module>`",
         "[`nn.Module`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module)"),
        ("{repository}`link`", f"[{FORK}](https://github.com/{FORK})"),
        ("{repository}`git+{url}`", f"`git+https://github.com/{FORK}`"),
        ("See {numref}`fig-a`, {numref}`drawing {number} <fig-a>`.", "See Fig. 7.3, drawing 7.3."),
        ("[below](#a_b)", f"[below]({ADDRESS}/gates/gru.html#a-b)"),
        ("(a-label)=\n# Title\n\n% a remark\n\nText.", "\n# Title\n\n\n\nText."),
        ("```python\nx = {doc}`y`\n```", "```python\nx = {doc}`y`\n```"),
        ("$$\na &= b \\\\\nc &= d\n$$", "$$\n\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}\n$$"),
        (":::{note}\nSee {doc}`x </gates/lstm>`.\n:::", f"> **Note**\n>\n> See [x]({ADDRESS}/gates/lstm.html)."),
        ("```{admonition} All of it\n:class: note dropdown\n\n*Text*\n```",
         "<details>\n<summary>All of it</summary>\n\n*Text*\n\n</details>"),
        ("```{live-model}\n```", f"*Here [the chapter's page]({ADDRESS}/gates/gru.html) has something to try out.*"),
        ("```{diagram} /_static/diagrams/gru-state.svg\n:alt: A [box]\n:name: fig\n\n"
         "See *n*,\n{doc}`x </gates/lstm>`.\n```",
         f"![A \\[box\\]]({ADDRESS}/launch/diagrams/gru-state.svg)\n\n"
         f"**Fig. 7.1** See *n*, [x]({ADDRESS}/gates/lstm.html)."),
        ("````{exercise} Two *gates*\n:label: ex\n:class: easy\n\nWrite.\n\n```python\nx\n```\n````\n\n"
         "````{solution} ex\n:class: dropdown\n\n$x$\n````",
         "### Exercise 7.1: Two *gates* (easy)\n\nWrite.\n\n```python\nx\n```\n\n"
         "<details>\n<summary>Solution to Exercise 7.1</summary>\n\n$x$\n\n</details>"),
    ],
)
def test_myst_becomes_plain_markdown(book, source, expected):
    assert Page(book, "gates/gru", {"fig-a": "7.3"}, {"#a_b": "#a-b"}).convert(source) == expected


@pytest.mark.parametrize(
    "source, complaint",
    [
        ("```{mermaid}\na --> b\n```", r"directive \{mermaid\}"),
        ("{kbd}`x`", r"role \{kbd\}"),
        ("{doc}`/gates/gone`", "no page gates/gone"),
        ("{cite:p}`gone1999`", "has no gone1999"),
        ("{numref}`fig-gone`", "called fig-gone"),
        ("{class}`gone.Name`", "gone.Name is documented neither"),
        ("- a\n\n  ```{note}\n  b\n  ```", "inside a list"),
        ("[a](lstm.ipynb)", "lstm.ipynb leads nowhere"),
        ("[a](#gone)", "#gone leads nowhere"),
        ("![A picture](picture.png)", "picture.png"),
        ("{{ name }}", "substitution_block name"),
        ("a {{ name }}", "substitution_inline"),
    ],
)
def test_what_has_no_plain_markdown_is_named(book, source, complaint):
    with pytest.raises(ValueError, match=complaint):
        Page(book, "gates/gru").convert(source)


def test_the_tool_names_the_chapter(monkeypatch, tmp_path):
    (tmp_path / "part").mkdir()
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("{kbd}`x`")])
    nbformat.write(broken, tmp_path / "part" / "broken.ipynb")
    monkeypatch.setattr(colab, "BOOK", tmp_path)
    with pytest.raises(ValueError, match=r"book/part/broken\.ipynb: .*\{kbd\}"):
        colab.write_copies(tmp_path / "copies", Book(ADDRESS, ""), "companion.whl")


def test_figures_are_numbered_in_the_order_of_the_page():
    plot = {"mystnb": {"figure": {"caption": "A plot.", "name": "fig-plot"}}}
    cells = [
        nbformat.v4.new_markdown_cell("```{diagram} a.svg\n:name: fig-a\n:alt: a\n\nA.\n```"),
        nbformat.v4.new_code_cell("plot()", metadata=plot),
        nbformat.v4.new_markdown_cell("````{exercise} E\n```{diagram} b.svg\n:name: fig-b\n:alt: b\n\nB.\n```\n````"),
    ]
    assert figure_numbers(cells, "7.") == {"fig-a": "7.1", "fig-plot": "7.2", "fig-b": "7.3"}


# The drawings ------------------------------------------------------------------------------------------------


def test_drawings_bring_their_style(written):
    drawings = sorted((written[0] / "launch" / "diagrams").glob("*.svg"))
    assert [path.name for path in drawings] == [path.name for path in sorted((BOOK / "_static/diagrams").glob("*.svg"))]
    for path in drawings:
        root = ElementTree.parse(path).getroot()
        style, ground = root[0], root[1]
        assert root.get("class") == "diagram" and ground.get("fill") == "#ffffff"
        assert root.get("viewBox").split() == [ground.get(side) for side in ("x", "y", "width", "height")]
        named = set(re.findall(r"var\((--[\w-]+)", style.text))
        assert named <= set(re.findall(r"(--[\w-]+):", style.text))


def test_a_drawing_takes_its_rules_from_the_style_sheet():
    sheet = "/* c */ :root { --paper: #fff; } a { x: y } .diagram svg { color: red }"
    sheet += " .diagram .box { fill: var(--paper) }"
    assert drawing_style(sheet) == (
        ":root { --paper: #fff; }\n.diagram { color: red }\n.diagram .box { fill: var(--paper) }"
    )
    with pytest.raises(ValueError, match="no rules"):
        drawing_style("a { x: y }")


def test_the_tool_runs_as_a_program():
    options = runpy.run_path(str(ROOT / "tools" / "colab.py"), run_name="colab")["read_options"](["--repository", FORK])
    assert options.repository == FORK and options.folder.name == "colab"
