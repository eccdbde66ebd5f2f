"""What travels through the stages of an engine, a frame with everything that belongs to it or a marker, and who learns of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from videodag_cli.data import Frame
from videodag_cli.lines import NodeFailure


@dataclass(slots=True)
class Envelope:
    """One frame on its way through the stages."""

    frame: Frame | None
    index: int
    time_s: float
    size: tuple[int, int] | None
    """Width and height of the source frame where they are not the video's."""
    values: list[tuple[Any, ...] | None]
    """By step: its outputs in the source frame's coordinates, until their last reader is done."""
    written: dict[str, Any] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    failure: NodeFailure | None = None
    spent_ns: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Marker:
    """Travels behind a frame and collects each node's state as it passes; None where a node cannot say."""

    index: int
    states: dict[str, Any] = field(default_factory=dict)


Item = Envelope | Marker


class CallLog(Protocol):
    """Learns of every call of a tool, so that somebody else can see what hangs."""

    def name_nodes(self, nodes: Sequence[tuple[str, str]]) -> None:
        """Which node and tool the numbers of `enter` mean."""

    def enter(self, node: int, frame_index: int) -> None:
        """A call begins on this thread; the frame is -1 for a batch."""

    def leave(self) -> None:
        """It is over."""
