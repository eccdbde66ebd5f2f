"""Results that are kept from run to run, for an engine: what it need not compute, and what it is to keep.

An entry is one node's values for one frame, in the source frame's coordinates. Failures are not kept: they are tried again.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from videodag_cli.data import VideoInfo
from videodag_cli.engine.cache_folder import CacheFolder, digest_of
from videodag_cli.engine.definitions import Definition, definitions
from videodag_cli.engine.exact import InexactError, from_bytes, to_bytes
from videodag_cli.errors import OutputError, VideodagError
from videodag_cli.graph.plan import Plan, Step
from videodag_cli.toolspec import runtime_type

MOST_HELD_BYTES = 256 << 20
"""Kept results that a run holds in memory; what is beyond is computed again."""
WRITE_BYTES, WRITE_ENTRIES, WRITE_S = 1 << 20, 512, 10.0
"""When what is to be kept is written: at so many bytes, entries, or seconds after the last time."""

_DESCRIBED = b"described"
_REMARKS = b"remarks "
_READING = b"reading"


class KeptResults:
    """What is kept of one video, for one sampling of it; shared by the engines of a run."""

    def __init__(self, folder: CacheFolder, video_key: str, frames: Sequence[int], *, shown: str) -> None:
        """video_key: of the input's content and how it is decoded. frames: those that the sampling asks for. shown: the video's name."""
        self.folder = folder
        self.video_key = video_key
        self.frames = frames
        self.shown = shown
        self._sampling = hashlib.blake2b(b"".join(_frame_slot(f) for f in frames), digest_size=20).hexdigest()
        self._most_bytes = MOST_HELD_BYTES
        self.may_write: Callable[[], bool] = lambda: True
        """Whether what was computed so far is of the video that the key is about, and of undamaged pictures."""
        self.stopped: str | None = None
        """Why nothing is kept any more."""

    @property
    def remarks_slot(self) -> bytes:
        return _REMARKS + self._sampling.encode()

    def read(self, key: str) -> dict[bytes, bytes]:
        found = self.folder.read(key, most_bytes=self._most_bytes)
        self._most_bytes -= sum(map(len, found.values()))
        return found

    def write(self, key: str, entries: dict[bytes, bytes], about: dict[str, Any]) -> None:
        """Keep entries, unless something says that they may be wrong. A folder that cannot be written to is no reason to stop a run."""
        if self.stopped is not None or not entries:
            return
        if not self.may_write():
            self.stopped = ""
            return
        try:
            self.folder.write(key, entries, {"video": self.shown, **about})
        except OutputError as error:
            self.stopped = error.message

    # --- how the video was read ---

    @property
    def _reading_key(self) -> str:
        return digest_of("reading", self.video_key, self._sampling)

    def reading(self) -> dict[str, Any] | None:
        """What `keep_reading` was given for this sampling."""
        found = self.read(self._reading_key).get(_READING)
        return None if found is None else orjson.loads(found)

    def keep_reading(self, reading: dict[str, Any]) -> None:
        """Note that every frame of this sampling was decoded, without a sign of damage."""
        self.write(self._reading_key, {_READING: orjson.dumps(reading)}, {"tool": "decoding"})

    def nodes(self, plan: Plan, video: VideoInfo) -> dict[str, KeptNode]:
        """What is kept of each node that can be; the others are left out."""
        kept, _ = definitions(plan, video, self.video_key)
        return {name: KeptNode(self, plan.by_id[name], definition) for name, definition in kept.items()}


class KeptNode:
    """The results of one node."""

    def __init__(self, results: KeptResults, step: Step, definition: Definition) -> None:
        self._results = results
        self._step = step
        self._key = definition.key
        self.by_inputs = definition.by_inputs
        outputs = [runtime_type(kind).__module__ for kind in step.spec.signature.outputs]
        self._modules = frozenset({step.spec.target.__module__, *outputs})
        self._entries = results.read(self._key)
        self._lock = threading.Lock()
        self._pending: dict[bytes, bytes] = {}
        self._pending_bytes = 0
        self._written_s = time.monotonic()
        self.recalled = 0
        self.is_whole = self._is_whole()
        """Every frame of the sampling is kept, and what the tool says of itself: it need not be made."""

    def _is_whole(self) -> bool:
        if self.by_inputs or _DESCRIBED not in self._entries or not len(self._results.frames):
            return False
        if not all(_frame_slot(frame) in self._entries for frame in self._results.frames):
            return False
        try:
            self._value(self._entries[_frame_slot(self._results.frames[0])])
        except InexactError:
            return False
        return True

    def _value(self, content: bytes) -> tuple[Any, ...]:
        value = from_bytes(content, modules=self._modules)
        if type(value) is not tuple or len(value) != len(self._step.spec.signature.outputs):
            raise InexactError("not the outputs of this node")
        return value

    def slot(self, frame_index: int, inputs: Iterable[Any]) -> bytes | None:
        """Where the values for a frame are kept; None where they cannot be. inputs: what the node is given beside frames."""
        if not self.by_inputs:
            return _frame_slot(frame_index)
        try:
            data = to_bytes(tuple(inputs), modules=self._modules)
        except InexactError:
            return None
        return _frame_slot(frame_index) + hashlib.blake2b(data, digest_size=16).digest()

    def recall(self, slot: bytes) -> tuple[Any, ...] | None:
        content = self._entries.get(slot)
        if content is None:
            return None
        try:
            value = self._value(content)
        except InexactError as error:
            if self.is_whole:
                raise VideodagError(
                    f"node {self._step.id!r}: a kept result cannot be read ({error}); remove it with `videodag cache clear`"
                ) from error
            return None
        with self._lock:
            self.recalled += 1
        return value

    def keep(self, slot: bytes | None, value: tuple[Any, ...]) -> None:
        if slot is None or self._results.stopped is not None:
            return
        try:
            content = to_bytes(value, modules=self._modules)
        except InexactError:
            return
        due = None
        with self._lock:
            self._pending[slot] = content
            self._pending_bytes += len(content)
            late = time.monotonic() - self._written_s >= WRITE_S
            if late or self._pending_bytes >= WRITE_BYTES or len(self._pending) >= WRITE_ENTRIES:
                due = self._taken()
        if due:
            self._write(due)

    def flush(self) -> None:
        """Write what is to be kept."""
        with self._lock:
            due = self._taken()
        self._write(due)

    def _taken(self) -> dict[bytes, bytes]:
        due, self._pending, self._pending_bytes = self._pending, {}, 0
        self._written_s = time.monotonic()
        return due

    def _write(self, entries: dict[bytes, bytes], *, of_frames: bool = True) -> None:
        about = {"tool": self._step.tool_name, "node": self._step.id, "of_frames": of_frames}
        self._results.write(self._key, entries, about)

    # --- what the tool says of itself ---

    @property
    def described(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """What `describe()` and `description` said, where the tool has them."""
        says, description = orjson.loads(self._entries.get(_DESCRIBED, b"[null,null]"))
        return says, description

    @property
    def remarks(self) -> list[str]:
        """What the tool had to say behind the last frame of this sampling."""
        found = self._entries.get(self._results.remarks_slot)
        return [] if found is None else list(orjson.loads(found))

    def finish(self, described: tuple[Any, Any], remarks: list[str], *, every_frame: bool) -> None:
        """Behind the last frame: keep what the tool says of itself; its remarks where it has seen every frame of the sampling."""
        notes = {}
        said = orjson.dumps(described, default=str)
        if self._entries.get(_DESCRIBED) != said:
            notes[_DESCRIBED] = said
        if every_frame and not self.recalled:
            notes[self._results.remarks_slot] = orjson.dumps(remarks)
        self.flush()
        self._write(notes, of_frames=False)


def _frame_slot(frame_index: int) -> bytes:
    return struct.pack(">Q", int(frame_index))
