"""What commands write to the standard streams: lines for people, documents for machines, errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from videodag_cli.errors import VideodagError
from videodag_cli.system.documents import shown_document
from videodag_cli.system.failure_lines import error_line

if TYPE_CHECKING:
    from videodag_cli.system.straight import StraightOutput


def say(text: str) -> None:
    """A line for people on standard error; a stream that cannot be written is no reason to fail."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def print_json(value: object, out: StraightOutput | None = None) -> None:
    """A document for machines on standard output, or on what a command has claimed of it; paths and the like become text."""
    import typer

    data = shown_document(value)
    if out is None:
        typer.echo(data.decode(), nl=False)
    else:
        out.write(data)


def say_error(error: VideodagError, **known: str | None) -> None:
    """The line (and, for several problems, the list) that every non-zero exit prints.

    known: `where` and `right` of `error_line`.
    """
    say(error_line(error, **known))
