"""Where lines go, by one rule: a file under its final name is complete.

Lines are written to `<output>.part`, with the request beside it in `<output>.part.json`; at the end the record is written to
`<output>.run.json`, everything is synced, and the part is renamed. Whoever writes holds a lock on the part. Devices, pipes and
standard output are written straight.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from videodag_cli.errors import OutputError, printable
from videodag_cli.run.part import PartProgress, decode_state, encode_state, scan
from videodag_cli.run.record import Identity, OutputFacts, Request, RunRecord, differences, is_same_input, load_record
from videodag_cli.run.sinks import Sink
from videodag_cli.system.files import check_place, move, open_part, write_all, write_atomically
from videodag_cli.system.output_names import note_path, part_path, record_path
from videodag_cli.system.refusals import writing


@dataclass
class Decision:
    """What the output rule says."""

    kind: Literal["fresh", "continue", "up_to_date"]
    record: RunRecord | None = None


class OutputFile:
    """One output with its part, its note and its record. Use `decide`, `lock`, `start` or `resume_at`, `write`, and `finish`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.shown = printable(path, limit=300)
        self.part = part_path(self.path)
        self.note = note_path(self.path)
        self.record = record_path(self.path)
        self._fd = -1
        self._replaces = False
        self._digest = hashlib.sha256()
        self._size = 0
        self._lines: int | None = None

    @property
    def _temporary_note(self) -> Path:
        return self.note.with_name(self.note.name + ".tmp")

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, self.part, self.note, self.record)

    def check_place(self, inputs: Sequence[Path]) -> None:
        """Raise `OutputError` if the path is a folder, its folder is missing, or it is one of the inputs."""
        check_place(self.path, self.shown, inputs=inputs, beside=self.files[1:])
        with writing(self.shown), contextlib.suppress(FileNotFoundError):
            os.lstat(self._temporary_note)  # the longest of the names

    def decide(self, request: Request, input_path: Path, *, overwrite: bool = False, force: bool = False) -> Decision:
        """What is to be done about what is there. Raises `OutputError` for what must not be touched."""
        self._replaces = overwrite or force
        with writing(self.shown):
            decision = self._finished(request, input_path, overwrite=overwrite, force=force)
            if decision is not None:
                return decision
            note = None if force else self._read_note()
            if note is not None and self.part.exists():
                old = Request.model_validate(note["request"])
                if not differences(old, request) and is_same_input(Identity.model_validate(note["input"]), input_path):
                    return Decision("continue")
            return Decision("fresh")

    def _finished(self, request: Request, input_path: Path, *, overwrite: bool, force: bool) -> Decision | None:
        if not self.path.exists():
            return None
        record = load_record(self.record)
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
        if record.output is None or not is_as_recorded(self.path, record.output):
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
        fd = open_part(self.part, self.shown)
        if fd is None:
            return False
        self._fd = fd
        return True

    def start(self, request: Request, identity: Identity) -> None:
        """Begin anew in the locked part."""
        with writing(self.shown):
            self.note.unlink(missing_ok=True)
            os.ftruncate(self._fd, 0)
        self._lines = 0
        self.keep_note(request, identity)

    def progress(self, sink: Sink) -> PartProgress:
        """How far the locked part has come, with the states of its checkpoint if there is one."""
        with writing(self.shown):
            found = scan(self.part, sink)
        checkpoint = (self._read_note() or {}).get("checkpoint")
        if checkpoint is None:
            return found
        try:
            frame = int(checkpoint["frame_index"])
            if int(checkpoint["bytes"]) > found.kept_bytes or frame > found.last_frame:
                return found
            return replace(found, state_frame=frame, states=decode_state(checkpoint["states"]))
        except (ValueError, KeyError, TypeError):
            return found

    def resume_at(self, progress: PartProgress) -> None:
        """Cut the locked part behind its whole lines and go on there."""
        with writing(self.shown):
            os.ftruncate(self._fd, progress.kept_bytes)
            self._digest = hashlib.sha256()
            os.lseek(self._fd, 0, os.SEEK_SET)
            while block := os.read(self._fd, 1 << 20):
                self._digest.update(block)
        self._size = progress.kept_bytes
        self._lines = progress.lines

    def write(self, data: bytes, *, lines: int = 0) -> None:
        """Append data that holds so many whole frame lines."""
        with writing(self.shown):
            write_all(self._fd, data)
        self._digest.update(data)
        self._size += len(data)
        self._lines = (self._lines or 0) + lines

    def keep_note(
        self,
        request: Request,
        identity: Identity,
        *,
        state_frame: int = -1,
        states: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the note: whose part it is and, given states, that a run can go on behind what was written so far.

        Raises `TypeError` and `ValueError` for states that cannot be kept.
        """
        checkpoint = None
        if states is not None:
            checkpoint = {"bytes": self._size, "frame_index": state_frame, "states": encode_state(dict(states))}
            with writing(self.shown):
                os.fsync(self._fd)
        note = {
            "request": request.model_dump(mode="json"),
            "input": identity.model_dump(mode="json"),
            "checkpoint": checkpoint,
        }
        write_atomically(self.note, orjson.dumps(note))

    def facts(self) -> OutputFacts:
        """Of the locked part, which keeps its time and inode when it is renamed."""
        found = os.fstat(self._fd)
        return OutputFacts(
            size=self._size,
            sha256=f"sha256:{self._digest.hexdigest()}",
            mtime_ns=found.st_mtime_ns,
            inode=found.st_ino,
        )

    def finish(self, record: RunRecord) -> None:
        """Sync the part, write the record, rename, tidy up.

        Raises `OutputError`, and leaves the part, where a file that nobody allowed to replace has appeared meanwhile.
        """
        with writing(self.shown):
            os.fsync(self._fd)
            if not self._replaces and os.path.lexists(self.path):
                raise OutputError(
                    f"{self.shown}: was made by something else while this run was writing; move it away and run again to finish",
                    word="output.exists",
                )
            write_atomically(self.record, record.to_json())
            move(self.part, self.path)
        self.tidy()
        self.close()

    def tidy(self) -> None:
        """Remove the notes of a part that is not there any more, as a run leaves them that was killed at its very end."""
        with contextlib.suppress(OSError):
            if not self.part.exists():  # else another run has begun, and the notes are its own
                self.note.unlink(missing_ok=True)
                self._temporary_note.unlink(missing_ok=True)

    def give_up(self) -> None:
        """Leave the part for a later run, cut to whole lines; remove it where it holds no frame."""
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):  # the next run cuts a torn tail as well
            if self._lines == 0 or (self._lines is None and not os.fstat(self._fd).st_size):
                self.note.unlink(missing_ok=True)
                self.part.unlink(missing_ok=True)
            elif self._size:
                os.ftruncate(self._fd, self._size)
                os.fsync(self._fd)
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_as_recorded(path: Path, facts: OutputFacts) -> bool:
    """Whether the file is the one that was finished."""
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_size != facts.size:
            return False
        if (found.st_mtime_ns, found.st_ino) == (facts.mtime_ns, facts.inode):
            return True
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == facts.sha256
