"""What every pytest run of this project has, on one notebook or on everything."""

pytest_plugins = ["tests.run_record", "tests.solution_cells", "tests.chromium"]
