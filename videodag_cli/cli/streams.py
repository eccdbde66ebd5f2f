"""The three standard streams of the process: none of them is ever confused with another file."""

from __future__ import annotations

import os
import sys

from typing import TYPE_CHECKING

from videodag_cli.errors import OutputError, VideodagError

if TYPE_CHECKING:
    from videodag_cli.output import StraightOutput

_closed: set[int] = set()


def fill_closed() -> None:
    """Put /dev/null on standard streams that were closed, so that no file opened later takes their place."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            _closed.add(fd)
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is fd
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115


def claim_stdout() -> StraightOutput | None:
    """Standard output for data alone; from now on what tools print, from Python or C, goes to standard error.

    None where standard output was closed.
    """
    from videodag_cli.output import StraightOutput

    sys.stdout.flush()
    data = None if 1 in _closed else os.dup(1)
    os.dup2(2, 1)
    return None if data is None else StraightOutput(data, "standard output", owned=True)


def require_stdout(claimed: StraightOutput | None) -> StraightOutput:
    if claimed is None:
        raise OutputError("standard output is closed; redirect it or give -o FILE")
    return claimed


def say(text: str) -> None:
    """A line for people on standard error; a stream that cannot be written is no reason to fail."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def say_error(error: VideodagError) -> None:
    """The line (and, for several problems, the list) that every non-zero exit prints."""
    say(f"videodag: error[{error.word}]: {error.message}")
