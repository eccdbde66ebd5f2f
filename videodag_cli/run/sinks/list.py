"""The whole result as one JSON document, `{"results":[...]}`, written as a stream: one frame per line."""

from __future__ import annotations

from collections.abc import Mapping

from videodag_cli.lines import FrameResult


class JsonList:
    resumable = True

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)

    def header(self) -> bytes:
        return b'{"results":[\n'

    def frame(self, result: FrameResult, *, first: bool) -> bytes:
        line = result.line(self._tags)
        return line if first else b"," + line

    def footer(self) -> bytes:
        return b"]}\n"


make = JsonList
