"""One JSON object per line and frame."""

from __future__ import annotations

from collections.abc import Mapping

from videodag_cli.lines import FrameResult


class JsonLines:
    resumable = True

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)

    def header(self) -> bytes:
        return b""

    def frame(self, result: FrameResult, *, first: bool) -> bytes:
        return result.line(self._tags)

    def footer(self) -> bytes:
        return b""


make = JsonLines
