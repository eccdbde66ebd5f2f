"""One JSON object per line and frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videodag_cli.lines import FrameResult, frame_line


class JsonLines:
    suffix = ".jsonl"
    resumable = True

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)

    def header(self) -> bytes:
        return b""

    def frame(self, result: FrameResult, *, first: bool) -> bytes:
        return result.line(self._tags)

    def footer(self) -> bytes:
        return b""

    def read(self, line: bytes, *, first: bool) -> dict[str, Any] | None:
        return frame_line(line)


make = JsonLines
