"""What exceptions say, as it stands in lines and records."""

from __future__ import annotations

import re

from videodag_cli.errors import printable

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(?:/[^\s/'\":,;()<>]+)+/([^\s/'\":,;()<>]+)")


def clean_message(text: str) -> str:
    """A message on one line of at most 500 characters, without addresses and absolute paths (names remain)."""
    return printable(_ABSOLUTE_PATH.sub(r"\1", _ADDRESS.sub("0x…", text)), limit=500)


def message_of(error: BaseException) -> str:
    """What an exception says, cleaned; empty where its text cannot be had."""
    try:
        return clean_message(str(error))
    except BaseException:
        return ""
