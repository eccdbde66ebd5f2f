"""Numbers of bytes as people write them: `500M`, `2G`, `1.5GiB`; K, M and G are powers of 1024."""

from __future__ import annotations

import re

from videodag_cli.errors import RequestError, printable

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,12})?)([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_byte_count(text: str, *, what: str) -> int:
    """`500M` in bytes. what: the option, for messages. Raises `RequestError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise RequestError(f"{what} {printable(text, limit=60)!r}: give a size such as 500M or 2G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def shown_size(count: int) -> str:
    """`300 MB`, `1.5 GB`: for people, in powers of 1024."""
    return f"{count / (1 << 30):.1f} GB" if count >= 1 << 30 else f"{count >> 20} MB"
