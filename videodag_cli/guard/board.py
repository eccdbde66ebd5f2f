"""What a run is doing right now, in memory that a watching parent process can read even if the run hangs or dies.

Each thread that runs tools has a slot with the node, the frame and the start time (`time.monotonic`, which processes share). A
slot is written in a fixed order, so a reader sees a slot that is empty or true.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from videodag_cli.system.shared_memory import unnamed_file

SLOTS = 256
_HEADER = 1 << 16
_SLOT = struct.Struct("<iiqd")  # in use, node, frame index, started
_ACTIVE = struct.Struct("<i")
_FINISHED = 8
"""Offset of the byte that says the run ended by itself."""
_NAMES = 16
"""Offset of the node names: a JSON text behind its length."""


@dataclass(frozen=True)
class Activity:
    """A tool call that has not returned."""

    node: str
    tool: str
    frame_index: int
    started_s: float


class Board:
    """The shared memory, from either side; on the run's it is the engine's `CallLog`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _HEADER + SLOTS * _SLOT.size)
        self._local = threading.local()
        self._next_slot = 0
        self._lock = threading.Lock()

    @classmethod
    def create(cls) -> Board:
        """A new board in an unnamed file."""
        fd = unnamed_file(_HEADER + SLOTS * _SLOT.size)
        try:
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    # --- the run's side ---

    def name_nodes(self, nodes: Sequence[tuple[str, str]]) -> None:
        """Say which node and tool the numbers in the slots mean."""
        text = json.dumps(nodes).encode()
        while len(text) > _HEADER - 64:
            nodes = nodes[: len(nodes) // 2]
            text = json.dumps(nodes).encode()
        self._memory[_NAMES : _NAMES + 4 + len(text)] = struct.pack("<i", len(text)) + text

    def enter(self, node: int, frame_index: int) -> None:
        offset = self._offset()
        _SLOT.pack_into(self._memory, offset, 0, node, frame_index, time.monotonic())
        _ACTIVE.pack_into(self._memory, offset, 1)

    def leave(self) -> None:
        _ACTIVE.pack_into(self._memory, self._offset(), 0)

    def finish(self) -> None:
        self._memory[_FINISHED] = 1

    def _offset(self) -> int:
        offset: int | None = getattr(self._local, "offset", None)
        if offset is None:
            with self._lock:
                offset = _HEADER + (self._next_slot % SLOTS) * _SLOT.size
                self._next_slot += 1
            self._local.offset = offset
        return offset

    # --- the parent's side ---

    @property
    def finished(self) -> bool:
        return self._memory[_FINISHED] == 1

    def activities(self) -> list[Activity]:
        """The calls under way, oldest first."""
        (length,) = struct.unpack_from("<i", self._memory, _NAMES)
        names = json.loads(self._memory[_NAMES + 4 : _NAMES + 4 + length]) if length else []
        found = []
        for slot in range(SLOTS):
            active, node, frame_index, started_s = _SLOT.unpack_from(self._memory, _HEADER + slot * _SLOT.size)
            if active:
                name, tool = names[node] if node < len(names) else (f"number {node}", "unknown")
                found.append(Activity(name, tool, frame_index, started_s))
        return sorted(found, key=lambda activity: activity.started_s)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)
