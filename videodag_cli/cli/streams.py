"""What commands write to the standard streams: lines for people, documents for machines, errors."""

from __future__ import annotations

import sys

from videodag_cli.errors import VideodagError


def say(text: str) -> None:
    """A line for people on standard error; a stream that cannot be written is no reason to fail."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def print_json(value: object) -> None:
    """A document for machines on standard output, indented; paths and the like become text."""
    import orjson
    import typer

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def say_error(error: VideodagError) -> None:
    """The line (and, for several problems, the list) that every non-zero exit prints."""
    say(f"videodag: error[{error.word}]: {error.message}")
