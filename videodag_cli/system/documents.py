"""Documents for machines: JSON, indented, with a line's end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from videodag_cli.errors import printable


def document(value: object, *, default: Callable[[Any], Any] | None = None) -> bytes:
    """default: what becomes of a value that JSON does not know; without it such a value is an error."""
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=default)


def shown_document(value: object) -> bytes:
    """For a reader of what a command prints: paths and the like become text, and a name that is not UTF-8 is escaped as in messages."""
    try:
        return document(value, default=str)
    except TypeError:
        return document(_printable(value), default=lambda other: printable(str(other)))


def _printable(value: object) -> object:
    if isinstance(value, dict):
        return {_printable(key): _printable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    return printable(value) if isinstance(value, str) else value
