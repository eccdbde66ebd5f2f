"""Where lines go, by one rule: a file under its final name is complete.

Lines are written to `<output>.part`, with the request beside it in `<output>.part.json`; at the end the record is written to
`<output>.run.json`, everything is synced, and the part is renamed. Whoever writes holds a lock on the part. Devices, pipes and
standard output are written straight.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from videodag_cli.errors import OutputError, printable
from videodag_cli.record import (
    MAX_ERRORS_KEPT,
    FrameError,
    Identity,
    OutputFacts,
    Request,
    RunRecord,
    differences,
    is_same_input,
    read_record,
)
from videodag_cli.signals import whole_line


def output_error(error: OSError, path: object) -> OutputError:
    """The documented error for an operating system's refusal to write."""
    words = {
        errno.ENOSPC: "output.full",
        errno.EDQUOT: "output.full",
        errno.EFBIG: "output.full",
        errno.EPIPE: "output.closed",
        errno.ENOENT: "output.folder",
        errno.ENOTDIR: "output.folder",
        errno.EACCES: "output.folder",
        errno.EPERM: "output.folder",
        errno.EROFS: "output.folder",
        errno.EISDIR: "output.folder",
    }
    word = words.get(error.errno or 0, "output.failed")
    hint = {
        "output.full": "; free space and run the same command again",
        "output.folder": "; name a file in a folder that exists and can be written",
    }.get(word, "")
    return OutputError(f"{printable(path)}: {(error.strerror or str(error)).lower()}{hint}", word=word)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; a signal waits for its end."""
    with whole_line():
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, data[written:])


class StraightOutput:
    """Standard output, a device or a pipe: nothing is kept, nothing can be continued."""

    def __init__(self, fd: int, name: str, *, owned: bool = False) -> None:
        self._fd = fd
        self._owned = owned
        self.name = name

    @classmethod
    def open(cls, path: Path) -> StraightOutput:
        try:
            return cls(os.open(path, os.O_WRONLY | os.O_CLOEXEC), os.fspath(path), owned=True)
        except OSError as error:
            raise output_error(error, path) from error

    def is_file(self, path: Path) -> bool:
        """Whether this descriptor is the file at `path`."""
        return os.path.samestat(os.fstat(self._fd), os.stat(path))

    def write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise output_error(error, self.name) from error

    def close(self) -> None:
        if self._owned:
            os.close(self._fd)
            self._owned = False


@dataclass(frozen=True)
class Progress:
    """How far an unfinished output has come."""

    kept_bytes: int = 0
    lines: int = 0
    failed: int = 0
    last_frame: int = -1
    written: frozenset[int] | None = None
    errors: tuple[FrameError, ...] = ()
    """The first failed frames."""
    states: dict[str, Any] | None = None
    """The nodes' states behind `last_frame`, where a checkpoint holds them."""


@dataclass
class Decision:
    """What the output rule says."""

    kind: Literal["fresh", "continue", "up_to_date"]
    record: RunRecord | None = None
    remarks: list[str] = field(default_factory=list)


class OutputFile:
    """One output with its part, its note and its record. Use `decide`, then `open`, then `write`, then `finish`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.shown = printable(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.note = self.path.with_name(self.path.name + ".part.json")
        self.record = record_path(self.path)
        self._fd = -1
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, self.part, self.note, self.record)

    def check_place(self, inputs: Sequence[Path]) -> None:
        """Raise `OutputError` if the path is a folder, its folder is missing, or it is one of the inputs."""
        if self.path.is_dir():
            raise OutputError(f"{self.shown}: is a folder; name a file", word="output.folder")
        if not self.path.parent.is_dir():
            raise OutputError(
                f"{self.shown}: the folder {printable(self.path.parent)} does not exist; create it first",
                word="output.folder",
            )
        for input_path in inputs:
            for mine in self.files:
                if _same_file(mine, input_path):
                    raise OutputError(
                        f"{self.shown}: would overwrite the input {printable(input_path)}; choose another name",
                        word="output.input",
                    )

    def decide(self, request: Request, input_path: Path, *, overwrite: bool = False, force: bool = False) -> Decision:
        """What is to be done about what is there. Raises `OutputError` for what must not be touched."""
        decision = self._finished(request, input_path, overwrite=overwrite, force=force)
        if decision is not None:
            return decision
        if force:
            return Decision("fresh")
        note = self._read_note()
        if note is not None and self.part.exists():
            old = Request.model_validate(note["request"])
            if not differences(old, request) and is_same_input(Identity.model_validate(note["input"]), input_path):
                return Decision("continue")
        return Decision("fresh")

    def _finished(self, request: Request, input_path: Path, *, overwrite: bool, force: bool) -> Decision | None:
        if not self.path.exists():
            return None
        record = read_record(self.record)
        why = self._why_not(record, request, input_path)
        if not why and record is not None:
            return None if force else Decision("up_to_date", record)
        if overwrite:
            return None
        raise OutputError(
            f"{self.shown}: exists and {why}; `--overwrite` replaces it once the new result is complete",
            word="output.exists",
        )

    def _why_not(self, record: RunRecord | None, request: Request, input_path: Path) -> str:
        if record is None:
            return "has no run record, so nothing is known about it"
        facts = _facts(self.path)
        if record.output is None or record.output.size != facts[0] or record.output.sha256 != facts[1]:
            return "is not what its run record describes"
        changed = differences(record.request, request)
        if changed:
            return f"is the result of another request ({'; '.join(changed[:5])})"
        if not is_same_input(Identity.model_validate(record.input), input_path):
            return "is the result of another input"
        return ""

    def _read_note(self) -> dict[str, Any] | None:
        try:
            note = orjson.loads(self.note.read_bytes())
            Request.model_validate(note["request"])
            Identity.model_validate(note["input"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return note if isinstance(note, dict) else None

    # --- writing ---

    def lock(self) -> bool:
        """Take the part. False if it was renamed meanwhile: decide again. Raises `OutputError` if a live run has it."""
        try:
            fd = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise output_error(error, self.shown) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN):
                raise OutputError(
                    f"{self.shown}: another run is writing it; wait for it or choose another name", word="output.locked"
                ) from error
            raise output_error(error, self.shown) from error
        if not _same_open_file(fd, self.part):
            os.close(fd)
            return False
        self._fd = fd
        return True

    def start(self, request: Request, identity: Identity) -> None:
        """Begin anew in the locked part."""
        self._guard(lambda: os.ftruncate(self._fd, 0))
        self._digest = hashlib.sha256()
        self.size = 0
        self._write_note(request, identity, None)

    def resume_at(self, kept_bytes: int) -> None:
        """Cut the locked part to its first `kept_bytes` bytes and go on behind them."""
        self._guard(lambda: os.ftruncate(self._fd, kept_bytes))
        self._digest = hashlib.sha256()
        os.lseek(self._fd, 0, os.SEEK_SET)
        left = kept_bytes
        while left > 0:
            block = os.read(self._fd, min(left, 1 << 20))
            self._digest.update(block)
            left -= len(block)
        self.size = kept_bytes

    def progress(self, *, stateless: bool) -> Progress:
        """How far the part has come. With state, only as far as the last checkpoint."""
        note = self._read_note() or {}
        checkpoint = note.get("checkpoint")
        if stateless:
            return _scan(self.part, None)
        if checkpoint is None:
            return Progress()
        found = _scan(self.part, checkpoint["bytes"])
        if found.kept_bytes != checkpoint["bytes"] or found.last_frame > checkpoint["frame_index"]:
            return Progress()
        return Progress(
            found.kept_bytes,
            found.lines,
            found.failed,
            checkpoint["frame_index"],
            found.written,
            found.errors,
            decode_state(checkpoint["states"]),
        )

    def replayed(self) -> Progress:
        """All whole lines of the part, for tools whose state can only be had by running them again."""
        return _scan(self.part, None)

    def write(self, data: bytes) -> None:
        self._guard(lambda: write_all(self._fd, data))
        self._digest.update(data)
        self.size += len(data)

    def checkpoint(self, request: Request, identity: Identity, frame_index: int, states: dict[str, Any]) -> None:
        """Make what was written so far a point to continue at."""
        self._guard(lambda: os.fsync(self._fd))
        note = {"bytes": self.size, "frame_index": frame_index, "states": encode_state(states)}
        self._write_note(request, identity, note)

    def facts(self) -> OutputFacts:
        return OutputFacts(size=self.size, sha256=f"sha256:{self._digest.hexdigest()}")

    def finish(self, record: RunRecord) -> None:
        """Sync the part, write the record, rename, tidy up."""
        self._guard(lambda: os.fsync(self._fd))
        write_atomically(self.record, record.to_json())
        self._guard(lambda: os.replace(self.part, self.path))
        self._guard(lambda: sync_folder(self.path.parent))
        self.note.unlink(missing_ok=True)
        self.close()

    def give_up(self, *, keep: bool) -> None:
        """Leave the part for a later run, cut to whole lines; remove it where it holds nothing or is not to be kept."""
        if self._fd < 0:
            return
        if keep and self.size:
            with contextlib.suppress(OSError):  # the next run cuts a torn tail as well
                os.ftruncate(self._fd, self.size)
                os.fsync(self._fd)
        else:
            self.part.unlink(missing_ok=True)
            self.note.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write_note(self, request: Request, identity: Identity, checkpoint: dict[str, Any] | None) -> None:
        note = {
            "request": request.model_dump(mode="json"),
            "input": identity.model_dump(mode="json"),
            "checkpoint": checkpoint,
        }
        write_atomically(self.note, orjson.dumps(note))

    def _guard(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            raise output_error(error, self.shown) from error


def record_path(output: Path) -> Path:
    """Where the record of a finished output is."""
    return output.with_name(output.name + ".run.json")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise output_error(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(fd)


def _facts(path: Path) -> tuple[int, str]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), f"sha256:{digest}"


def _same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def _same_open_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def is_special(path: Path) -> bool:
    """Whether the path is a device, a pipe or a socket, which is written straight."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _scan(part: Path, limit: int | None) -> Progress:
    """Count the whole frame lines in the first `limit` bytes of a part; a torn or foreign line ends it."""
    kept, lines, failed, last = 0, 0, 0, -1
    written: set[int] = set()
    errors: list[FrameError] = []
    with open(part, "rb") as file:
        for line in file:
            if not line.endswith(b"\n") or (limit is not None and kept + len(line) > limit):
                break
            body = line[1:] if line.startswith(b",") else line
            if kept or not body.startswith(b'{"results":['):
                try:
                    found = orjson.loads(body)
                    last = int(found["frame_index"])
                    if found["result"] is None:
                        failed += 1
                        if len(errors) < MAX_ERRORS_KEPT:
                            errors.append(FrameError(frame_index=last, time_s=found["time_s"], **found["error"]))
                except (ValueError, KeyError, TypeError):
                    break
                lines += 1
                written.add(last)
            kept += len(line)
    return Progress(kept, lines, failed, last, frozenset(written), tuple(errors))


def encode_state(value: Any) -> Any:
    """A tool's state (JSON and numpy arrays) as JSON."""
    import numpy as np

    if isinstance(value, dict):
        return {str(key): encode_state(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_state(item) for item in value]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("a state holds JSON values and numeric numpy arrays")
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"__ndarray__": [value.dtype.str, list(value.shape), data]}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": repr(value)}
    return value


def decode_state(value: Any) -> Any:
    """The inverse of `encode_state`."""
    import numpy as np

    if isinstance(value, dict):
        if value.keys() == {"__ndarray__"}:
            dtype, shape, data = value["__ndarray__"]
            return np.frombuffer(base64.b64decode(data), np.dtype(dtype)).reshape(shape).copy()
        if value.keys() == {"__float__"}:
            return float(value["__float__"])
        return {key: decode_state(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_state(item) for item in value]
    return value
