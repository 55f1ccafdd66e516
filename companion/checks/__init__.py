"""Instant feedback for the book's exercises: one module a chapter, one check an exercise.

A check runs your answer on several inputs beside a right one. It says what differs, on which input, and gives a hint.
It never gives the answer; that is folded away under the exercise.
"""
