"""What FFmpeg's decoder of MPEG-1 and MPEG-2 says only in its log: that it left a macroblock as it found it in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import av.logging

SILENT = frozenset({"mpeg1video", "mpeg2video"})
"""Codecs that hand out such pictures as good, and with several threads those with other damage too: errors of threads are lost."""
_LEFT_OUT = "motion vector out of boundary"


class Complaints:
    """Whether the decoder complained in this thread."""

    def __init__(self) -> None:
        self._logs: list[tuple[int, str, str]] = []

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen to what is decoded inside, by this thread alone, whatever others decode meanwhile."""
        with _log.open(), av.logging.Capture(local=True) as self._logs:
            yield

    def __bool__(self) -> bool:
        return any(_LEFT_OUT in message for _, _, message in self._logs)


class _Log:
    """FFmpeg's log, of which a process has one: it is open while anybody listens, and then as it was before."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners = 0
        self._level: int | None = None
        self._skips = True
        self._elsewhere: av.logging.Capture | None = None
        """What decoders say to which nobody listens, where nothing was to be reported before."""

    @contextmanager
    def open(self) -> Iterator[None]:
        with self._lock:
            self._listeners += 1
            if self._listeners == 1:
                self._begin()
        try:
            yield
        finally:
            with self._lock:
                self._listeners -= 1
                if self._listeners == 0:
                    self._end()
                elif self._elsewhere is not None:
                    self._elsewhere.logs.clear()

    def _begin(self) -> None:
        self._level, self._skips = av.logging.get_level(), av.logging.get_skip_repeated()
        if self._level is None:
            self._elsewhere = av.logging.Capture(local=False)
            self._elsewhere.__enter__()
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.DEBUG)

    def _end(self) -> None:
        av.logging.set_level(self._level)
        av.logging.set_skip_repeated(self._skips)
        if self._elsewhere is not None:
            self._elsewhere.__exit__(None, None, None)
            self._elsewhere = None


_log = _Log()
