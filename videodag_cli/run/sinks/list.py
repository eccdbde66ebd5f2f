"""The whole result as one JSON document, `{"results":[...]}`, written as a stream: one frame per line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videodag_cli.lines import FrameResult, frame_line

HEADER = b'{"results":[\n'
BETWEEN = b","
FOOTER = b"]}\n"


class JsonList:
    suffix = ".json"
    resumable = True

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)

    def header(self) -> bytes:
        return HEADER

    def frame(self, result: FrameResult, *, first: bool) -> bytes:
        line = result.line(self._tags)
        return line if first else BETWEEN + line

    def footer(self) -> bytes:
        return FOOTER

    def read(self, line: bytes, *, first: bool) -> dict[str, Any] | None:
        if first:
            return frame_line(line)
        return frame_line(line.removeprefix(BETWEEN)) if line.startswith(BETWEEN) else None


make = JsonList
