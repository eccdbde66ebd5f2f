"""Memory that a process and those it starts all see, in an unnamed file whose descriptor they inherit."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

_NUMBER = struct.Struct("<q")


def unnamed_file(size: int) -> int:
    """The descriptor of a new file of so many zeros."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("videodag")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.truncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


class SharedNumber:
    """A whole number that one process sets and others read, at any time."""

    def __init__(self, fd: int) -> None:
        """fd: of a number that another process has made."""
        self.fd = fd
        self._memory = mmap.mmap(fd, _NUMBER.size)

    @classmethod
    def create(cls, value: int) -> SharedNumber:
        fd = unnamed_file(_NUMBER.size)
        try:
            number = cls(fd)
        except BaseException:
            os.close(fd)
            raise
        number.value = value
        return number

    @property
    def value(self) -> int:
        found: int = _NUMBER.unpack_from(self._memory)[0]
        return found

    @value.setter
    def value(self, value: int) -> None:
        _NUMBER.pack_into(self._memory, 0, value)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)
