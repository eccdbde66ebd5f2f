"""A file that appears whole or not at all: written beside its place, synced, renamed."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from videodag_cli.errors import OutputError, printable
from videodag_cli.output import output_error

PART_SUFFIX = ".part"


@contextmanager
def whole_file(target: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> Iterator[BinaryIO]:
    """A binary stream whose content stands under the name `target` when the block ends well; after an error nothing is left behind.

    `-` is standard output; a device or pipe is written straight. `inputs` are files that must not be overwritten. Raises
    `OutputError`: `output.exists` (without `overwrite`), `output.input`, `output.folder`, `output.locked`, `output.full`,
    `output.closed`, `output.failed`.
    """
    if str(target) == "-":
        with _translated("standard output"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    path = Path(target)
    name = printable(path)
    with _translated(name):
        if not _is_replaceable(path, name, overwrite=overwrite, inputs=inputs):
            with open(path, "wb") as device:
                yield device
            return
    part = path.with_name(path.name + PART_SUFFIX)
    with _translated(name):
        stream = _locked(part, name)
    done = False
    try:
        with _translated(name):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(part, path)
            done = True
            _sync_folder(path.parent)
    finally:
        if not done:
            part.unlink(missing_ok=True)
        try:
            stream.close()
        except OSError:
            if done:
                raise


def _is_replaceable(path: Path, name: str, *, overwrite: bool, inputs: Iterable[str | Path]) -> bool:
    """True for a regular file or a new name; False for a device or pipe. Raises where the target cannot be."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise OutputError(f"{name}: there is no folder {printable(path.parent)}", word="output.folder") from None
        return True
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{name}: a folder; name a file", word="output.folder")
    if not stat.S_ISREG(found.st_mode):
        return False
    for source in inputs:
        if str(source) != "-" and os.path.exists(source) and os.path.samestat(os.stat(source), found):
            raise OutputError(f"{name}: this is an input", word="output.input")
    if not overwrite:
        raise OutputError(f"{name}: exists; --overwrite replaces it", word="output.exists")
    return True


def _locked(part: Path, name: str) -> BinaryIO:
    """`part`, empty and locked. The lock can land on a file that its owner has just renamed: then another is made."""
    while True:
        stream = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if part.exists() and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
                stream.truncate(0)
                return stream
        except BlockingIOError:
            stream.close()
            raise OutputError(f"{name}: another process is writing it", word="output.locked") from None
        except BaseException:
            stream.close()
            raise
        stream.close()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """An operating system's refusal as an `OutputError`."""
    try:
        yield
    except OSError as error:
        raise output_error(error, name) from error
