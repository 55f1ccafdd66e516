"""Trainings whose results the chapters quote and that take too long to run in them: `python -m experiments.NAME`."""
