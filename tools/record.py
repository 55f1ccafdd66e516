"""Keep the last test run's record for the page "Tested on": copies _build/records/*.json to book/records.

A run that failed, or that did not run every cell of every notebook, is refused.
"""

import json
import shutil
import sys
from pathlib import Path

BUILT = Path("_build/records")
KEPT = Path("book/records")


def main() -> None:
    paths = sorted(BUILT.glob("*.json"))
    if not paths:
        sys.exit("There is no run record yet: make test writes one.")
    complaints = [complaint for path in paths if (complaint := keep(path))]
    if complaints:
        sys.exit("\n".join(complaints))


def keep(path: Path) -> str | None:
    """Copy one record to book/records, or return a sentence that says why not."""
    record = json.loads(path.read_text(encoding="utf-8"))
    reason = shortcoming(record, code_cells(Path("book")))
    if reason:
        return f"{path} is not kept: {reason}"
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, KEPT / path.name)
    print(f"{KEPT / path.name}: {record['device']}, {len(record['notebooks'])} notebooks")
    return None


def shortcoming(record: dict, expected: dict[str, int]) -> str | None:
    """Return what a record lacks to stand for the whole book, whose notebooks have these numbers of code cells."""
    if not record["passed"]:
        return f"that run did not pass ({record['tests']['failed']} failed)."
    run = {notebook["path"]: notebook["cells"] for notebook in record["notebooks"]}
    for path, cells in expected.items():
        if path not in run:
            return f"that run left out {path}."
        if run[path] != cells:
            return f"that run ran {run[path]} cells of {path}, which has {cells}."
    gone = sorted(set(run) - set(expected))
    return f"the book has no {', '.join(gone)} any more." if gone else None


def code_cells(book: Path) -> dict[str, int]:
    """Return how many code cells each notebook of the book has."""
    return {path.relative_to(book).as_posix(): count_code_cells(path) for path in sorted(book.rglob("*.ipynb"))}


def count_code_cells(path: Path) -> int:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return sum(cell["cell_type"] == "code" for cell in notebook["cells"])


if __name__ == "__main__":
    main()
