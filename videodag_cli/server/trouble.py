"""What a server says on standard error while it serves: one line for what is its own fault, and nothing that clients can cause.

Nobody may read it. What a pipe or a terminal does not take at once is dropped, so that no answer waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import traceback

from videodag_cli.errors import VideodagError, printable
from videodag_cli.system.failure_lines import error_line

PIECE_BYTES = 4096
"""A pipe that takes anything takes so much at once."""


def report(where: str, error: BaseException) -> None:
    """Tell an unexpected error; where: a request, or a task of the server."""
    message = f"{where}: {type(error).__name__}: {printable(error, limit=300)}"
    if os.environ.get("VIDEODAG_DEBUG") == "1":
        _say("".join(traceback.format_exception(error)).rstrip())
    else:
        message += "; VIDEODAG_DEBUG=1 shows where; please report it"
    _say(error_line(VideodagError(message, word="internal")))


def listen() -> None:
    """From now on, errors that libraries log are told in the same way."""
    logging.basicConfig(handlers=[_Lines(logging.ERROR)], force=True)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            report(record.name, record.exc_info[1])
        else:
            message = printable(record.getMessage().partition("\n")[0], limit=300)
            _say(error_line(VideodagError(f"{record.name}: {message}", word="internal")))


def _say(text: str) -> None:
    data = memoryview(f"{text}\n".encode("utf-8", "backslashreplace"))
    with contextlib.suppress(OSError, ValueError):
        while data and select.select([], [2], [], 0)[1]:
            data = data[os.write(2, data[:PIECE_BYTES]) :]
