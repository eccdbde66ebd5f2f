"""The only place that writes files: nothing is torn, no link is followed to a part, every refusal has its documented error."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from videodag_cli.errors import OutputError, printable
from videodag_cli.system.locks import lock_file, wait_for_lock
from videodag_cli.system.output_names import part_path
from videodag_cli.system.refusals import writing
from videodag_cli.system.signals import whole_line


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; a signal waits for its end."""
    with whole_line():
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:  # somebody who shares the pipe made it so
                select.select([], [fd], [])


def open_part(part: Path, shown: str) -> int | None:
    """A descriptor of the file `part`, which is made if it is missing, and locked; never of what a link leads to.

    None if it was renamed meanwhile: decide again. Raises `OutputError`, `output.locked` if a live process has it.
    """
    with writing(shown):
        try:
            fd = os.open(
                part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o666
            )
        except OSError as error:
            if error.errno != errno.ELOOP or not part.is_symlink():
                raise
            raise OutputError(f"{printable(part)}: is a symbolic link; remove it", word="output.failed") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OutputError(f"{printable(part)}: is not a file; remove it", word="output.failed")
        with writing(shown):
            free = lock_file(fd)
        if not free:
            raise OutputError(
                f"{shown}: another run is writing it; wait for it or choose another name", word="output.locked"
            )
        if is_open_file(fd, part):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def file_path(name: str | os.PathLike[str], *, otherwise: str = "") -> Path:
    """The path of a file to write. Raises `OutputError` where the name is one of a folder, which `Path` would forget."""
    text = os.fspath(name)
    if text.endswith((os.sep, f"{os.sep}.", f"{os.sep}..")) or text in ("", ".", ".."):
        raise OutputError(
            f"{printable(text, limit=300) or 'empty name'}: is the name of a folder; name a file{otherwise}",
            word="output.folder",
        )
    return Path(text)


def check_place(path: Path, shown: str, *, inputs: Iterable[str | Path], beside: Iterable[Path] = ()) -> None:
    """Raise `OutputError` if a file cannot be at `path`, or if it or one of those `beside` it is one of the inputs."""
    with writing(shown):
        if is_folder(path):
            raise OutputError(f"{shown}: is a folder; name a file", word="output.folder")
    if not is_folder(path.parent):
        raise OutputError(
            f"{shown}: the folder {printable(path.parent)} does not exist; create it first", word="output.folder"
        )
    for given in inputs:
        if str(given) != "-" and any(is_same_file(mine, given) for mine in (path, *beside)):
            raise OutputError(
                f"{shown}: would overwrite the input {printable(given)}; choose another name", word="output.input"
            )


@contextmanager
def whole_file(target: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> Iterator[BinaryIO]:
    """A binary stream whose content is the file `target` when the block ends well; after an error nothing is left behind.

    `-` is standard output; a device or pipe is written straight, a symbolic link is followed. `inputs` are files that must not be
    overwritten. Raises `OutputError`: `output.exists` (without `overwrite`), `output.input`, `output.folder`, `output.locked`,
    `output.full`, `output.closed`, `output.failed`.
    """
    if str(target) == "-":
        with writing("standard output"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    shown = printable(target, limit=300)
    if is_special(file_path(target)):
        with writing(shown), open(target, "wb") as device:
            yield device
        return
    path = Path(os.path.realpath(target))
    part = part_path(path)
    check_place(path, shown, inputs=inputs, beside=[part])
    _require_free(path, shown, overwrite=overwrite)
    fd = None
    while fd is None:
        fd = open_part(part, shown)
    done = False
    stream = os.fdopen(fd, "r+b")
    try:
        with writing(shown):
            stream.truncate(0)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            _require_free(path, shown, overwrite=overwrite)  # nothing may have appeared meanwhile
            os.replace(part, path)
            done = True
            sync_folder(path.parent)
    finally:
        if not done:
            part.unlink(missing_ok=True)
        try:
            stream.close()
        except OSError:
            if done:
                raise


def _require_free(path: Path, shown: str, *, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{shown}: exists; --overwrite replaces it", word="output.exists")


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file that others may add to as well. Raises `OutputError`."""
    with writing(path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all; what is left of a killed writer is written over.

    A device or a pipe is written straight, a symbolic link is followed. Raises `OutputError`.
    """
    with writing(path):
        if is_special(path):
            _write_straight(path, data)
            return
        final = Path(os.path.realpath(path))
        temporary = _temporary(final)
        fd = _own(temporary)
        try:
            write_all(fd, data)
            os.ftruncate(fd, len(data))  # only now: it may be room that was kept
            os.fsync(fd)
            os.replace(temporary, final)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(fd)


def keep_room(path: Path, sizes: Iterable[int]) -> None:
    """Take room on the disk for the `write_in_room` that is to succeed though the disk is full by then: the first of these sizes there is.

    What was taken before is kept. Where none can be had, nothing happens.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with contextlib.suppress(OSError):
        fd = _own(_room(path))
        try:
            for size in sizes:
                with contextlib.suppress(OSError):
                    os.posix_fallocate(fd, 0, size)
                    break
        finally:
            os.close(fd)


def write_in_room(path: Path, data: bytes) -> None:
    """`write_atomically` for the last time, into the room that was kept, if any."""
    with contextlib.suppress(OSError):
        os.replace(_room(path), _temporary(Path(os.path.realpath(path))))
    write_atomically(path, data)


def _room(path: Path) -> Path:
    final = Path(os.path.realpath(path))
    return final.with_name(final.name + ".room")


def _temporary(final: Path) -> Path:
    return final.with_name(final.name + ".tmp")


def _write_straight(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def _own(temporary: Path) -> int:
    """A descriptor of a temporary file that no other live process writes."""
    while True:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            wait_for_lock(fd)
            if is_open_file(fd, temporary):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some file systems cannot sync a folder
            raise
    finally:
        os.close(fd)


def is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_same_file(first: str | Path, second: str | Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def is_open_file(fd: int, path: Path) -> bool:
    """Whether the open file is (still) the one at `path`."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def is_special(path: Path) -> bool:
    """Whether the path is a device, a pipe or a socket, which is written straight."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def remove(path: Path) -> None:
    """Remove a file if it is there. Raises `OutputError`."""
    with writing(path):
        path.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Give a whole file another name, in place of what had it, and have the folders know it. Inside of `writing`."""
    os.replace(source, target)
    for folder in {source.parent, target.parent}:
        sync_folder(folder)


def made_once(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """The file `path`, which is written when it is first asked for; of several who do so at once, each makes the same."""
    if not path.exists():
        made = path.with_name(f"{secrets.token_hex(8)}{path.suffix}")
        with whole_file(made) as stream:
            write(stream)
        os.replace(made, path)
    return path


def open_new(path: Path) -> int:
    """A descriptor of a file that was not there before, for this user only; no link is followed. Inside of `writing`."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
