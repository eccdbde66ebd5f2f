"""Results files as inputs of a conversion, and the boxes in their lines."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videodag_cli.errors import RequestError, printable
from videodag_cli.results.reading import JsonLine, JsonRow, corners, is_boxes, leaves, read_lines, read_record


@dataclass(frozen=True)
class ResultsFile:
    """One results file."""

    name: str
    """As the user gave it, with bytes that are not UTF-8 escaped; `-` for standard input."""
    path: str | Path
    record: dict[str, Any] | None = None

    def lines(self) -> Iterator[JsonLine]:
        return read_lines(self.path)

    @property
    def stem(self) -> str:
        """The video's name without its extension; the results file's where no record names the video."""
        video = (self.record or {}).get("input", {}).get("path")
        return Path(str(video or self.name)).stem.lstrip("-") or "stdin"

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the upright picture, as the record says."""
        facts = (self.record or {}).get("input", {}).get("video") or {}
        width, height = facts.get("width"), facts.get("height")
        return (width, height) if isinstance(width, int) and isinstance(height, int) else None


@contextmanager
def opened_results(names: Sequence[str | Path], *, twice: bool) -> Iterator[list[ResultsFile]]:
    """The sources of these names; with `twice`, standard input is kept in a temporary file so that it can be read again."""
    with ExitStack() as stack:
        found = []
        for name in names:
            path: str | Path = name
            if str(name) == "-" and twice:
                kept = stack.enter_context(tempfile.NamedTemporaryFile(prefix="videodag-", suffix=".jsonl"))
                shutil.copyfileobj(sys.stdin.buffer, kept)
                kept.flush()
                path = kept.name
            found.append(ResultsFile(printable(name), path, read_record(name)))
        yield found


def chosen(path: str, nodes: Sequence[str]) -> bool:
    """Whether the output `path` was asked for; all are where `nodes` is empty."""
    return not nodes or any(path == node or path.startswith(f"{node}.") for node in nodes)


def boxes(result: JsonRow, nodes: Sequence[str] = ()) -> Iterator[tuple[str, int, JsonRow]]:
    """`(output path, rank in its list, row)` of every box in a result."""
    for path, value in leaves(result):
        if is_boxes(value) and chosen(path, nodes):
            for index, row in enumerate(value):
                if isinstance(row, dict) and corners(row) is not None:
                    yield path, index, row


def number(row: JsonRow, name: str) -> float | None:
    value = row.get(name)
    return value if type(value) in (int, float) else None


def integer_field(row: JsonRow, name: str) -> int | None:
    """An integer field that fits into 64 bits."""
    value = row.get(name)
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def one_output(found: Sequence[str], *, form: str, what: str) -> None:
    """Refuse to mix the boxes of several outputs unasked."""
    if len(found) > 1:
        listed = ", ".join(printable(path, limit=60) for path in found)
        raise RequestError(f"{form}: {what} are in several outputs ({listed}); choose with --node")
