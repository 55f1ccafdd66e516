"""Run Lighthouse on pages of the built site and print their scores: python -m tools.measure_pages [RUNS [PAGE...]].

Without pages it takes the opening page, the longest chapter, and of the package's reference the first and the
longest page. With several runs a row holds the one whose performance is the median. Speed depends on the machine and
on what else it does; the other three scores do not, and anything below 100 in them is an error.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tools.static_host import serving

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
LIGHTHOUSE = ROOT / "tools" / "lighthouse"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
CATEGORIES = ("performance", "accessibility", "best practices", "SEO")
GOALS = (95, 100, 100, 100)


def main(runs: str = "1", *pages: str) -> None:
    if not runs.isdigit() or int(runs) < 1:
        sys.exit(f"RUNS must be a number from 1 on, not {runs!r}: make lighthouse RUNS=3")
    names = dict.fromkeys(pages) or choose_pages(SITE, chapters(ROOT / "book"))
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    complaint = missing(SITE, list(names), browser)
    if complaint:
        sys.exit(complaint)
    with serving(SITE) as address:
        found = list(measure(browser, int(runs), [address + page for page in names]))
    rows = [(name or page, median([run for run in found if page_of(run) == page])) for page, name in names.items()]
    print_table(rows)
    if any(scores(run)[1:] != list(GOALS[1:]) for _, run in rows):
        sys.exit(1)


def choose_pages(site: Path, chapters: list[str]) -> dict[str, str]:
    """The pages to measure, with what to call them."""
    longest = max(chapters, key=lambda page: (site / page).stat().st_size)
    reference = [path.relative_to(site).as_posix() for path in sorted((site / "reference").glob("*.html"))]
    longest_reference = max(reference, key=lambda page: (site / page).stat().st_size)
    return {
        "index.html": "opening page",
        longest: f"longest chapter ({longest})",
        "reference/index.html": "API page (reference/index.html)",
        longest_reference: f"longest API page ({longest_reference})",
    }


def chapters(book: Path) -> list[str]:
    """The pages that come from notebooks, as addresses in the site."""
    return sorted(path.relative_to(book).with_suffix(".html").as_posix() for path in book.rglob("*.ipynb")
                  if ".ipynb_checkpoints" not in path.parts)


def missing(site: Path, pages: list[str], browser: str | None) -> str | None:
    """Say in a sentence what is not there."""
    if browser is None:
        return "There is no Chromium on PATH, which Lighthouse needs."
    lost = [page for page in pages if not (site / page).is_file()]
    return f"The built site has no page {', '.join(lost)}." if lost else None


def measure(browser: str, runs: int, addresses: list[str]) -> Iterator[dict]:
    """Run Lighthouse on each address, some times over, and give what each run found."""
    script = LIGHTHOUSE / "measure.mjs"
    command = ["node", str(script), browser, str(runs), *addresses]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=LIGHTHOUSE, env=environment()) as process:
        for line in process.stdout:
            run = json.loads(line)
            if sys.stderr.isatty():
                print(f"{page_of(run)}: {scores(run)}", file=sys.stderr)
            yield run
    if process.returncode:
        sys.exit("Lighthouse did not finish.")


def environment() -> dict[str, str]:
    """The environment with the node of .venv first."""
    return dict(os.environ, PATH=f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")


def page_of(run: dict) -> str:
    return urlsplit(run["address"]).path.lstrip("/")


def scores(run: dict) -> list[int]:
    """The four scores from 0 to 100, as Lighthouse shows them; 0 where it gave none."""
    return [round((score or 0) * 100) for score in run["scores"]]


def median(runs: list[dict]) -> dict:
    """The run in the middle by performance; of an even number the lower of the two there."""
    return sorted(runs, key=lambda run: run["scores"][0] or 0)[(len(runs) - 1) // 2]


def print_table(rows: list[tuple[str, dict]]) -> None:
    """A row a page: its name, then its four scores; below it, the figures behind the speed and what cost points."""
    width = max(len(name) for name, _ in rows)
    print(f"Lighthouse {rows[0][1]['version']}, mobile\n")
    print(f"{'page':{width}}  {'  '.join(CATEGORIES)}")
    for name, run in rows:
        cells = (f"{score:>{len(category)}}" for score, category in zip(scores(run), CATEGORIES, strict=True))
        print(f"{name:{width}}  {'  '.join(cells)}")
    print()
    for name, run in rows:
        print(f"{name}: {run.get('error') or describe(run['figures'])}")
        if any(score < goal for score, goal in zip(scores(run), GOALS, strict=True)):
            lost = "; ".join(f"{audit} ({words})" for audit, words in run["lost"].items())
            print(f"  below {'/'.join(map(str, GOALS))}: {lost}")


def describe(figures: dict) -> str:
    """The figures behind the speed, in words."""
    return (f"first paint {figures['firstPaint'] / 1000:.1f} s, largest {figures['largestPaint'] / 1000:.1f} s, "
            f"blocked {figures['blocking']:.0f} ms, layout shift {figures['shift']:.3f}, "
            f"{figures['bytes'] / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
