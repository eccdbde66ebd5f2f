"""The lines of a finished job: by number, as they stand in the file."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path

EVERY = 100
"""The place of every such line is kept."""
FILES = 32
READ_BYTES = 1 << 20


class LineIndex:
    """Where lines begin, found when first asked for, for the files that were asked for last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, int], tuple[array[int], int]] = OrderedDict()

    def count(self, path: Path) -> int:
        return self._of(path)[1]

    def lines(self, path: Path, offset: int, limit: int) -> list[bytes]:
        """`limit` lines from number `offset` on, without their ends."""
        places, count = self._of(path)
        if offset >= count or limit <= 0:
            return []
        found: list[bytes] = []
        with open(path, "rb") as file:
            file.seek(places[offset // EVERY])
            for _ in range(offset % EVERY):
                file.readline()
            while len(found) < limit and (line := file.readline()):
                found.append(line.rstrip(b"\n"))
        return found

    def stream(self, path: Path, offset: int, limit: int | None) -> Generator[bytes]:
        """Those lines with their ends, in pieces."""
        places, count = self._of(path)
        left = count - offset if limit is None else min(limit, count - offset)
        if left <= 0:
            return
        with open(path, "rb") as file:
            file.seek(places[offset // EVERY])
            for _ in range(offset % EVERY):
                file.readline()
            piece = bytearray()
            for _ in range(left):
                piece += file.readline()
                if len(piece) >= READ_BYTES:
                    yield bytes(piece)
                    piece.clear()
            yield bytes(piece)

    def _of(self, path: Path) -> tuple[array[int], int]:
        found = path.stat()
        key = (str(path), found.st_size, found.st_mtime_ns)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _scan(path)
            while len(self._known) > FILES:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return known


def _scan(path: Path) -> tuple[array[int], int]:
    places, count, at = array("Q"), 0, 0
    with open(path, "rb") as file:
        for line in file:
            if count % EVERY == 0:
                places.append(at)
            count += 1
            at += len(line)
    return places, count
