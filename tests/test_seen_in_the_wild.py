"""The page *Seen in the wild* answers every claim on its list: a cell checks it, and a chapter is named."""

import ast
import re
from functools import cache

import nbformat
import pytest
from myst_parser.mdit_to_docutils.base import default_slugify

from tests.solutions import BOOK, ROOT

PAGE = BOOK / "parameters" / "seen-in-the-wild.ipynb"

# The list: its number, and what a reader believes who meets it.
CLAIMS = {
    1: "a default layer takes the batch first",
    2: "the output is hidden_size * bidirectional wide",
    3: "num_layers > 0 makes it multi-layer",
    4: "hidden_size is the width of the output; the source is in RNN.py",
    5: "batch_first turns every tensor",
    6: "the directions are added or concatenated",
    7: "z near 1 takes the new state",
    8: "the textbook's GRU is nn.GRU",
    9: "a perplexity near 1 is that of the predicted text",
    10: "the formulas update the weights",
    11: "31.8 against 255 thousand tokens a second is scratch against nn",
    12: "a GRU is an LSTM with two gates merged",
    13: "dropout drops each unit with probability p",
    14: "proj_size makes the model smaller",
    15: "a GRU's outputs lie within [-1, 1]",
    16: "output equals h_n[-1]",
    17: "gates cure vanishing and exploding gradients",
    18: "a GRU cannot be parallelized",
    19: "SRU stands for Simplified Recurrent Unit",
    20: "PyTorch has functions for the SRU",
    21: "an SRU is one weight matrix",
}
# Answers beside "False": what the claim is true of, or the condition that got lost
ANSWER = re.compile(r"\*\*(?P<answer>.+?)\.\*\* \S")
ROW = re.compile(r"^\| \[(?P<heading>.+)\]\(#(?P<slug>\S+)\) \| (?P<answer>.+) \|$", re.MULTILINE)
LINK = re.compile(r"\{doc\}`/([a-z0-9/-]+)`")


@cache
def cells():
    return nbformat.read(PAGE, as_version=4).cells


@cache
def sections():
    """For every claim on the page, in order: its heading, and the cells below that heading."""
    found = []
    for cell in cells():
        if cell.cell_type == "markdown" and (title := re.search(r"^### (.+)$", cell.source, re.MULTILINE)):
            found.append((title[1], [cell]))
        elif cell.id == "exercises":
            break
        elif found:
            found[-1][1].append(cell)
    return found


def code_cells(of):
    return [cell for cell in of if cell.cell_type == "code"]


def claim_number(cell):
    """The number on the list that a code cell's id names, or None."""
    match = re.match(r"claim-(\d\d)-", cell.id)
    return int(match[1]) if match else None


def claims_checked(source):
    """How many times a cell's code prints something, or asserts it."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call | ast.Assert)]
    return sum(isinstance(node, ast.Assert) or ast.unparse(node.func) == "print" for node in calls)


def test_every_claim_of_the_list_has_its_cells():
    assert {number for cell in code_cells(cells()) if (number := claim_number(cell))} == set(CLAIMS)


@pytest.mark.parametrize("number", CLAIMS, ids=lambda number: f"claim-{number:02}")
def test_a_claim_has_one_section_with_a_check_that_ran(number):
    """All its cells are in one section, with no other's; what they printed is stored, for nbval to compare."""
    own = [of for _, of in sections() if any(claim_number(cell) == number for cell in code_cells(of))]
    assert len(own) == 1
    assert {claim_number(cell) for cell in code_cells(own[0])} == {number}
    assert sum(claims_checked(cell.source) for cell in code_cells(own[0])) > 0
    printed = "".join(output.text for cell in code_cells(own[0]) for output in cell.outputs)
    assert re.search(r"True|False|\d|[a-z]_[a-z]", printed)


@pytest.mark.parametrize("heading", [heading for heading, _ in sections()])
def test_every_section_has_claim_check_answer_and_chapter(heading):
    first, *code, last = dict(sections())[heading]
    assert [cell.cell_type for cell in (first, last)] == ["markdown"] * 2
    assert code and {cell.cell_type for cell in code} == {"code"}
    assert claims_checked(code[-1].source) > 0
    assert len(first.source.split("\n\n")) >= 2, "What people meet stands under the heading."
    assert ANSWER.match(last.source), last.source
    assert LINK.search(last.source), "No chapter is named."


def test_cells_without_output_assert():
    """Only definitions, preparations, and what needs a GPU print nothing."""
    silent = [of[-2] for _, of in sections() if not of[-2].outputs]
    assert [cell.id for cell in silent if "\n    assert " not in cell.source] == []
    assert len(silent) <= 1


def test_cells_are_short():
    assert [cell.id for cell in code_cells(cells()) if len(cell.source.splitlines()) > 8] == []


def test_the_table_lists_every_claim_with_the_answer_that_is_given_below():
    table = [match.groups() for match in ROW.finditer(next(cell.source for cell in cells() if cell.id == "all-claims"))]
    headings = [heading for heading, _ in sections()]
    answers = [ANSWER.match(of[-1].source)["answer"] for _, of in sections()]
    slugs = [default_slugify(heading.replace("`", "").replace("*", "")) for heading in headings]
    assert table == list(zip(headings, slugs, answers, strict=True))
    assert len(set(slugs)) == len(slugs) >= len(CLAIMS)


def test_not_all_answers_are_the_same():
    """A reader who predicts should not be right by always saying no."""
    answers = [ANSWER.match(of[-1].source)["answer"] for _, of in sections()]
    assert "True" in answers and answers.count("False") < 0.7 * len(answers)


def test_nobody_is_named():
    """No address, and of books and sites no name."""
    text = "\n".join(cell.source for cell in cells())
    assert re.findall(r"https?://|www\.|\.(?:com|io|org|ai)\b", text) == []
    assert re.findall(r"d2l|dive into|medium|towards|stack ?overflow|kaggle", LINK.sub("", text), re.IGNORECASE) == [
        "medium"
    ] * text.count(":class: medium")


def test_the_chapters_named_are_those_of_the_contents():
    """A page that is linked exists, or the site would not build; held here so that it shows without building."""
    contents = set(re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
    if "parameters/seen-in-the-wild" not in contents:
        pytest.skip("The page is not in the table of contents.")
    named = {page for cell in cells() if cell.cell_type == "markdown" for page in LINK.findall(cell.source)}
    assert named - contents == set()
