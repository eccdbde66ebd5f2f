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


def document(value: object) -> bytes:
    """A document for machines, indented; paths and the like become text."""
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str)


def print_json(value: object) -> None:
    """A document for machines on standard output."""
    import typer

    typer.echo(document(value).decode(), nl=False)


def say_error(error: VideodagError) -> None:
    """The line (and, for several problems, the list) that every non-zero exit prints."""
    say(f"videodag: error[{error.word}]: {error.message}")
