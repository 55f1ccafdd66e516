"""A pytest plugin that runs the solutions of a chapter where a reader runs them: in its kernel, after its last cell.

nbval makes one test of each code cell of a notebook. Each solution that has code follows as a test of its own, so that
the chapter runs once for both. It passes if nothing is raised and the check it calls says "Right".
"""

import pytest
from nbformat.v4 import new_code_cell
from nbval.plugin import IPyNbCell, IPyNbFile

from tests.solutions import solutions


class Chapter(IPyNbFile):
    """A notebook: its code cells, then its solutions."""

    def collect(self):
        yield from super().collect()
        programs = [solution for solution in solutions(self.path) if solution.code]
        for number, solution in enumerate(programs, start=len(self.nb.cells)):
            yield SolutionCell.from_parent(
                self,
                name=f"Solution {solution.label}",
                cell_num=number,
                cell=new_code_cell(solution.code),  # without stored outputs: nbval compares nothing
                options={"check": False, "check_exception": False, "skip": False},
            )


class SolutionCell(IPyNbCell):
    """A solution: nbval runs it and sees what it raises, this sees what its check says."""

    def runtest(self):
        super().runtest()
        printed = "".join(output.text for output in self.test_outputs if output.output_type == "stream")
        if "Not yet" in printed or ("check_" in self.cell.source and "Right" not in printed):
            self.raise_cell_error(f"The check does not say that it is right. It printed:\n{printed}")

    def reportinfo(self):
        return self.path, 0, self.nodeid


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Take nbval's notebooks, and add their solutions."""
    collectors = yield
    return [
        Chapter.from_parent(parent, path=file_path) if isinstance(collector, IPyNbFile) else collector
        for collector in collectors
    ]
