"""Tools that cost nothing, or exactly what they say: for measuring what is around them."""

from __future__ import annotations

import time
import zlib
from typing import Annotated, NewType

from pydantic import Field

from videodag_cli import Frame, tool

Index = NewType("Index", int)
Checksum = NewType("Checksum", int)
Moment = NewType("Moment", float)
Doubled = NewType("Doubled", int)
Halved = NewType("Halved", float)
Waited = NewType("Waited", int)


@tool
def null(frame: Frame) -> Index:
    """The frame's index."""
    return Index(frame.index)


@tool
def crc(frame: Frame) -> Checksum:
    """CRC-32 of the pixels."""
    return Checksum(zlib.crc32(frame.image.data))


@tool
def moment(frame: Frame) -> Moment:
    """The frame's time in seconds."""
    return Moment(frame.time_s)


@tool
def double(index: Index) -> Doubled:
    return Doubled(index * 2)


@tool
def halve(doubled: Doubled, moment: Moment) -> Halved:
    return Halved(doubled / 2 + moment)


@tool
class Wait:
    """Keeps state, and keeps every frame for so many milliseconds without using a CPU."""

    def __init__(self, *, wait_ms: Annotated[float, Field(ge=0, le=10_000)] = 10.0) -> None:
        self._wait_s = wait_ms / 1000
        self._count = 0

    def __call__(self, frame: Frame) -> Waited:
        time.sleep(self._wait_s)
        self._count += 1
        return Waited(self._count)
