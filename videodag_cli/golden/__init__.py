"""Compares two results of one pipeline on one video, with tolerances.

`tolerance` says what counts as equal, `rows` pairs the rows of lists, `values` compares one frame's outputs, `compare` goes through two
streams of lines, `changes` says what differs between two run records.
"""

from videodag_cli.golden.changes import Change, changes, thresholds, told
from videodag_cli.golden.compare import Comparison, Difference, compare_files, compare_lines
from videodag_cli.golden.tolerance import Tolerance, Tolerances

__all__ = [
    "Change",
    "Comparison",
    "Difference",
    "Tolerance",
    "Tolerances",
    "changes",
    "compare_files",
    "compare_lines",
    "thresholds",
    "told",
]
