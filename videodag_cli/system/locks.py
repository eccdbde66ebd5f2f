"""Locks of files and folders, held by a process until it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from videodag_cli.errors import OutputError, printable
from videodag_cli.system.refusals import writing

_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EBADF}
"""What file systems without locks answer."""


def lock_file(fd: int) -> bool:
    """Take the lock of an open file; False if somebody has it. File systems without locks count as free."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return True
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of an existing folder; nothing is written for it. Raises `OutputError` if a live process has it.

    File systems that cannot lock a folder count as free.
    """
    with writing(folder):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with writing(folder):
            free = lock_file(fd)
        if not free:
            raise OutputError(
                f"{printable(folder, limit=300)}: another batch is writing to this folder; wait for it to end",
                word="output.locked",
            )
        yield
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Whether a live process holds the lock of an existing file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return not lock_file(fd)
    except OSError:
        return False
    finally:
        os.close(fd)


def wait_for_lock(fd: int) -> None:
    """Take the lock of an open file once nobody else has it; without locks, go on."""
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX)


@contextmanager
def lock_path(path: Path, taken: str) -> Iterator[None]:
    """Hold the lock of a file that is made for nothing else, for this user only. Raises `OutputError` that says `taken`."""
    with writing(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not lock_file(fd):
            raise OutputError(taken, word="output.locked")
        yield
    finally:
        os.close(fd)
