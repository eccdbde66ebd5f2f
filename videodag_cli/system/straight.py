"""Outputs that are written straight: standard output, devices and pipes."""

from __future__ import annotations

import os
from pathlib import Path

from videodag_cli.system.files import write_all
from videodag_cli.system.refusals import writing


class StraightOutput:
    """Standard output, a device or a pipe: nothing is kept, nothing can be continued."""

    def __init__(self, fd: int, name: str, *, owned: bool = False) -> None:
        self._fd = fd
        self._owned = owned
        self.name = name

    @classmethod
    def open(cls, path: Path) -> StraightOutput:
        with writing(path):
            return cls(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY), os.fspath(path), owned=True)

    def is_file(self, path: Path) -> bool:
        """Whether this descriptor is the file at `path`."""
        return os.path.samestat(os.fstat(self._fd), os.stat(path))

    def write(self, data: bytes) -> None:
        with writing(self.name):
            write_all(self._fd, data)

    def close(self) -> None:
        if self._owned:
            os.close(self._fd)
            self._owned = False
