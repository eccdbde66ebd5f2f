"""Counts and statistics of the whole run as one JSON object; nothing per frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videodag_cli.lines import FrameResult
from videodag_cli.results.summary import Summary
from videodag_cli.system.documents import document


class SummaryDocument:
    suffix = ".json"
    resumable = False

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)
        self._summary = Summary()

    def header(self) -> bytes:
        return b""

    def frame(self, result: FrameResult, *, first: bool) -> bytes:
        self._summary.feed(result.as_json())
        return b""

    def footer(self) -> bytes:
        return document({**self._tags, **self._summary.as_json()})

    def read(self, line: bytes, *, first: bool) -> dict[str, Any] | None:
        return None


make = SummaryDocument
