"""What the operating system refuses to write, as the documented errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from videodag_cli.errors import OutputError, printable

_WORDS = {
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
_HINTS = {
    "output.full": "; free space and run the same command again",
    "output.folder": "; name a file in a folder that exists and can be written to",
}


def output_error(error: OSError, path: object) -> OutputError:
    """The documented error for an operating system's refusal to write."""
    word = _WORDS.get(error.errno or 0, "output.failed")
    reason = (error.strerror or str(error)).lower()
    hint = _HINTS.get(word, "")
    if error.errno == errno.EFBIG:
        hint = "; raise the limit on file sizes (ulimit -f) and run the same command again"
    if error.errno == errno.ENAMETOOLONG:
        hint = (
            "; rename the video, or give -o a shorter name: with '.part.json' behind it, it must have at most 255 bytes"
        )
    return OutputError(f"{printable(path, limit=300)}: {printable(reason)}{hint}", word=word)


@contextmanager
def writing(path: object) -> Iterator[None]:
    """Inside, what the operating system refuses is an `OutputError` about `path`."""
    try:
        yield
    except OSError as error:
        raise output_error(error, path) from error
