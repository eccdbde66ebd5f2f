"""An unfinished output: which whole lines it holds, and which states of tools were kept beside it."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videodag_cli.run.record import MAX_ERRORS_KEPT, FrameError
from videodag_cli.run.sinks import Sink


@dataclass(frozen=True)
class PartProgress:
    """How far an unfinished output has come."""

    kept_bytes: int = 0
    """Whole lines end here; on a stream, what was written."""
    lines: int = 0
    failed: int = 0
    last_frame: int = -1
    """The last frame with a line."""
    written: frozenset[int] = frozenset()
    """The frames with a line."""
    errors: tuple[FrameError, ...] = ()
    """The first failed frames."""
    state_frame: int = -1
    """The tools can go on behind this frame; what they say up to `last_frame` is written already."""
    states: Mapping[str, Any] | None = None
    """The nodes' states behind `state_frame`, where a checkpoint holds them."""


class Written:
    """Counts the lines of a sink as they are written or read again."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.kept_bytes = 0
        self.frames: list[int] = []
        self.failed = 0
        self.errors: list[FrameError] = []

    def add(self, line: bytes) -> bool:
        """Count a whole line; False where it does not continue those before."""
        header = self._sink.header()
        if header and not self.kept_bytes:
            if line != header:
                return False
        elif not self._add_frame(self._sink.read(line, first=not self.frames)):
            return False
        self.kept_bytes += len(line)
        return True

    def _add_frame(self, line: dict[str, Any] | None) -> bool:
        if line is None or (self.frames and line["frame_index"] <= self.frames[-1]):
            return False
        if line.get("result") is None:
            if len(self.errors) < MAX_ERRORS_KEPT:
                try:
                    error = FrameError(frame_index=line["frame_index"], time_s=line["time_s"], **line["error"])
                except (TypeError, ValueError):
                    return False
                self.errors.append(error)
            self.failed += 1
        self.frames.append(line["frame_index"])
        return True

    def progress(self) -> PartProgress:
        return PartProgress(
            kept_bytes=self.kept_bytes,
            lines=len(self.frames),
            failed=self.failed,
            last_frame=self.frames[-1] if self.frames else -1,
            written=frozenset(self.frames),
            errors=tuple(self.errors),
        )


def scan(part: Path, sink: Sink) -> PartProgress:
    """How far a part that the sink wrote has come; a torn, foreign or disordered line ends it."""
    written = Written(sink)
    with open(part, "rb") as file:
        for line in file:
            if not line.endswith(b"\n") or not written.add(line):
                break
    return written.progress()


def encode_state(value: Any) -> Any:
    """A tool's state (JSON values with text keys, numpy arrays and scalars) as JSON; tuples become lists.

    Raises `TypeError` for anything else: what cannot come back as it was is not kept.
    """
    import numpy as np

    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"the keys of a state must be text, not {type(key).__name__}")
        return {key: encode_state(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_state(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject or value.dtype.names is not None:
            raise TypeError(f"a state may contain only plain numpy arrays, not {value.dtype}")
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        kind = "__ndarray__" if isinstance(value, np.ndarray) else "__numpy__"
        return {kind: [value.dtype.str, list(value.shape), data]}
    if type(value) is float:
        return value if math.isfinite(value) else {"__float__": repr(value)}
    if value is None or type(value) in (bool, int, str):
        return value
    raise TypeError(f"a state may contain only JSON values and numpy arrays, not {type(value).__name__}")


def decode_state(value: Any) -> Any:
    """The inverse of `encode_state`. Raises `ValueError` for what is damaged."""
    import numpy as np

    if isinstance(value, dict):
        if value.keys() == {"__ndarray__"} or value.keys() == {"__numpy__"}:
            ((kind, content),) = value.items()
            try:
                dtype, shape, data = content
                array = np.frombuffer(base64.b64decode(data, validate=True), np.dtype(dtype)).reshape(shape).copy()
            except (TypeError, binascii.Error) as error:
                raise ValueError("an array of a state is damaged") from error
            return array if kind == "__ndarray__" else array[()]
        if value.keys() == {"__float__"}:
            return float(value["__float__"])
        return {key: decode_state(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_state(item) for item in value]
    return value
