"""A folder of kept results: files that are written once, whole, and never changed, so that any number of runs can use it without locks.

A file belongs to one key, the digest of everything that decides what its entries hold, and each entry has a checksum over key, slot
and content: what is damaged, or belongs elsewhere, is not there. The files used least recently go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from videodag_cli.errors import OutputError, printable
from videodag_cli.system.files import remove, write_atomically
from videodag_cli.system.refusals import writing

DEFAULT_BYTES = 2 << 30
TAG = "CACHEDIR.TAG"
_TAG_TEXT = b"Signature: 8a477f597d28d172789f06886806bc55\n# Results that videodag keeps; `videodag cache clear` removes them.\n"
"""What backup programs look for, https://bford.info/cachedir/."""
_SUFFIX = ".kept"
_MAGIC = b"videodag kept 1\n"
_ENTRY = struct.Struct("<BI16s")
_SCAN_SHARE = 64
"""The folder is looked through again after this share of its size was written."""
_ABANDONED_S = 3600.0

_numbers = itertools.count()


@dataclass(frozen=True)
class KeptFile:
    """A file of kept results."""

    path: Path
    size: int
    used_ns: int
    """When it was written or last read."""


class CacheFolder:
    """Reads and writes kept results; never more than about `max_bytes` of them."""

    def __init__(self, folder: Path, *, max_bytes: int = DEFAULT_BYTES) -> None:
        """Raises `OutputError` where the folder cannot be made or written to, or holds other files."""
        self.folder = folder
        self.max_bytes = max_bytes
        self._known = 0
        """Bytes when the folder was last looked through, and what this process has written since."""
        self._since = 0
        shown = printable(folder, limit=300)
        with writing(shown):
            folder.mkdir(parents=True, exist_ok=True)
            if not is_cache(folder):
                if any(not name.startswith(TAG) for name in os.listdir(folder)):
                    raise OutputError(
                        f"{shown}: holds other files; name an empty or a new folder for kept results",
                        word="output.folder",
                    )
                write_atomically(folder / TAG, _TAG_TEXT)
        if not os.access(folder, os.W_OK):
            raise OutputError(f"{shown}: cannot be written to; choose another folder", word="output.folder")

    def read(self, key: str, *, most_bytes: int) -> dict[bytes, bytes]:
        """The whole entries of a key, by slot; none of a file that goes beyond `most_bytes` together with those before."""
        found: dict[bytes, bytes] = {}
        for path in sorted(self._place(key).glob(f"*{_SUFFIX}")):
            with contextlib.suppress(OSError):
                most_bytes -= path.stat().st_size
                if most_bytes < 0:
                    break
                found.update(_entries(path.read_bytes(), key))
                os.utime(path)
        return found

    def write(self, key: str, entries: Mapping[bytes, bytes], about: Mapping[str, Any]) -> None:
        """Keep entries by slot. about: what they are, in words. Raises `OutputError`."""
        head = orjson.dumps({**about, "entries": len(entries)})
        parts = [_MAGIC, struct.pack("<I", len(head)), head]
        for slot, content in entries.items():
            parts += [_ENTRY.pack(len(slot), len(content), _checksum(key, slot, content)), slot, content]
        data = b"".join(parts)
        if len(data) > self.max_bytes:
            return
        path = self._place(key) / f"{time.time_ns():016x}-{os.getpid():x}-{next(_numbers):x}{_SUFFIX}"
        if self._since == 0 or self._known + len(data) > self.max_bytes or self._since > self.max_bytes // _SCAN_SHARE:
            self.trim(room=len(data))
        with writing(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(path, data)
        except OutputError as error:
            if error.word != "output.folder" or not self.folder.is_dir():
                raise
            with writing(self.folder):  # emptied meanwhile
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        self._known += len(data)
        self._since += len(data)

    def files(self) -> list[KeptFile]:
        """Everything that is kept, those used least recently first."""
        found = []
        for path in self.folder.glob(f"??/*/*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append(KeptFile(path, stat.st_size, stat.st_mtime_ns))
        return sorted(found, key=lambda kept: (kept.used_ns, kept.path.name))

    def trim(self, *, room: int = 0) -> None:
        """Remove what was used least recently until there is `room` for so many bytes more, and what killed writers left."""
        files = self.files()
        total = sum(kept.size for kept in files)
        for kept in files:
            if total + room <= self.max_bytes:
                break
            _remove(kept.path)
            total -= kept.size
        self._known, self._since = total, 0
        old = time.time() - _ABANDONED_S
        for left in self.folder.glob("??/*/*.tmp"):
            with contextlib.suppress(OSError):
                if left.stat().st_mtime < old:
                    _remove(left)

    def clear(self) -> int:
        """Remove everything; returns how many files that were."""
        files = [kept.path for kept in self.files()]
        for path in [*files, *self.folder.glob("??/*/*.tmp")]:
            remove(path)
            _remove_empty(path.parent)
        return len(files)

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / key


def is_cache(folder: Path) -> bool:
    """Whether a folder holds kept results."""
    try:
        return (folder / TAG).read_bytes() == _TAG_TEXT
    except OSError:
        return False


def contents(folder: Path) -> dict[str, Any]:
    """What is kept in a folder, by tool and video, those with most bytes first; as plain data."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    files = CacheFolder(folder).files()
    for kept in files:
        said = _about(kept.path)
        place = str(said.get("tool", "unreadable")), str(said.get("video", ""))
        row = rows.setdefault(
            place, {"tool": place[0], "video": place[1], "results": 0, "bytes": 0, "last_used_s": 0.0}
        )
        row["results"] += said.get("entries", 0) if said.get("of_frames") else 0
        row["bytes"] += kept.size
        row["last_used_s"] = max(row["last_used_s"], kept.used_ns / 1e9)
    return {
        "folder": printable(folder),
        "bytes": sum(kept.size for kept in files),
        "files": len(files),
        "kept": sorted(rows.values(), key=lambda row: (-row["bytes"], row["tool"], row["video"])),
    }


def _about(path: Path) -> dict[str, Any]:
    """What a file says of its entries; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return {}
            (length,) = struct.unpack("<I", file.read(4))
            said = orjson.loads(file.read(min(length, 1 << 16)))
    except (OSError, ValueError, struct.error):
        return {}
    return said if isinstance(said, dict) else {}


def digest_of(*parts: Any) -> str:
    """A key: the digest of plain data."""
    data = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def _checksum(key: str, slot: bytes, content: bytes) -> bytes:
    made = hashlib.blake2b(f"{key} {len(slot)} ".encode(), digest_size=16)
    made.update(slot)
    made.update(content)
    return made.digest()


def _entries(data: bytes, key: str) -> Iterator[tuple[bytes, bytes]]:
    """Those with a correct checksum; a wrong length ends them."""
    if not data.startswith(_MAGIC) or len(data) < len(_MAGIC) + 4:
        return
    (length,) = struct.unpack_from("<I", data, len(_MAGIC))
    at = len(_MAGIC) + 4 + length
    while at + _ENTRY.size <= len(data):
        slot_bytes, content_bytes, checksum = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        slot = data[at : at + slot_bytes]
        content = data[at + slot_bytes : at + slot_bytes + content_bytes]
        at += slot_bytes + content_bytes
        if at <= len(data) and _checksum(key, slot, content) == checksum:
            yield slot, content


def _remove(path: Path) -> None:
    """Another run may have been faster."""
    with contextlib.suppress(OutputError):
        remove(path)
        _remove_empty(path.parent)


def _remove_empty(folder: Path) -> None:
    for each in (folder, folder.parent):
        with contextlib.suppress(OSError):
            each.rmdir()
