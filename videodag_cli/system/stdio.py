"""The three standard streams of the process: none of them is ever confused with another file."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from videodag_cli.errors import OutputError
from videodag_cli.system.loading import UTF8_MARK

if TYPE_CHECKING:
    from videodag_cli.system.straight import StraightOutput

_closed: set[int] = set()
_PLAINER = "videodag.plainer"
_PLAIN = {"─": "-", "│": "|", "├": "|", "└": "`", "→": "->", "·": "-", "…": "...", "×": "x"}
"""What replaces the characters of drawings where a terminal cannot show them."""


class _Forgiving(io.FileIO):
    """What people may read: that nobody does, or that it cannot be kept, is no reason to fail."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError:
            return memoryview(data).nbytes


def _for_people(fd: int, *, encoding: str) -> TextIO:
    """A text stream that loses no text when threads print at once, as Python's buffered ones do."""
    raw = io.BufferedWriter(_Forgiving(fd, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding, _PLAINER, line_buffering=True, write_through=True)


def prepare() -> None:
    """Standard output is UTF-8 whatever the locale says; a terminal of another encoding is given what it can show.

    Standard error may go away.
    """
    codecs.register_error(_PLAINER, _plainer)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=_understood(sys.stdout) if sys.stdout.isatty() else "utf-8", errors=_PLAINER)
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr.fileno() == 2:
        sys.stderr = _for_people(2, encoding=_understood(sys.stderr))


def _understood(stream: TextIO) -> str:
    """The encoding of people's terminals: the locale's, also where Python was told to take another one for the names of files."""
    if UTF8_MARK not in sys._xoptions or "PYTHONIOENCODING" in os.environ:
        return stream.encoding
    from locale import getencoding

    return getencoding()


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name, as os.fsdecode keeps it
        code -= 0xDC00
    escaped = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return _PLAIN.get(character, escaped)


def fill_closed() -> None:
    """Put /dev/null on standard streams that were closed, so that no file opened later takes their place."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            _closed.add(fd)
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is fd
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115


def claim_stdout() -> StraightOutput | None:
    """Standard output for data alone; from now on what tools print, from Python or C, goes to standard error.

    Standard input is emptied: what asks a question gets the end of the file, and a `while read` loop keeps its lines.
    None where standard output was closed.
    """
    from videodag_cli.system.straight import StraightOutput

    sys.stdout.flush()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.fileno() == 1:
        sys.stdout = _for_people(1, encoding=sys.stderr.encoding)
    data = None if 1 in _closed else os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return None if data is None else StraightOutput(data, "standard output", owned=True)


def means_stdout(output: str) -> bool:
    """Whether an output's name means standard output, which a tool's prints must not reach by that name."""
    return output in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def require_stdout(claimed: StraightOutput | None) -> StraightOutput:
    if claimed is None:
        raise OutputError("standard output is closed; redirect it or give -o FILE")
    return claimed
