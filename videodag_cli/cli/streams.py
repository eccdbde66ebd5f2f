"""What commands write to the standard streams: lines for people, documents for machines, errors."""

from __future__ import annotations

import sys

from videodag_cli.errors import VideodagError, printable
from videodag_cli.system.failure_lines import error_line


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

    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    try:
        return orjson.dumps(value, option=option, default=str)
    except TypeError:  # a name that is not UTF-8: escaped, as in messages
        return orjson.dumps(_printable(value), option=option, default=lambda other: printable(str(other)))


def _printable(value: object) -> object:
    if isinstance(value, dict):
        return {_printable(key): _printable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    return printable(value) if isinstance(value, str) else value


def print_json(value: object) -> None:
    """A document for machines on standard output."""
    import typer

    typer.echo(document(value).decode(), nl=False)


def say_error(error: VideodagError, **known: str | None) -> None:
    """The line (and, for several problems, the list) that every non-zero exit prints.

    known: `where` and `right` of `error_line`.
    """
    say(error_line(error, **known))
