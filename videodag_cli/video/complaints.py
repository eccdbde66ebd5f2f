"""What FFmpeg's decoder of MPEG-1 and MPEG-2 says only in its log: that it left a macroblock as it found it in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
        """Listen to what is decoded inside, by this thread alone; elsewhere FFmpeg says what it did before."""
        level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
        with av.logging.Capture(local=True) as self._logs:
            av.logging.set_skip_repeated(False)
            av.logging.set_level(av.logging.DEBUG)
            try:
                yield
            finally:
                av.logging.set_level(level)
                av.logging.set_skip_repeated(skips)

    def __bool__(self) -> bool:
        return any(_LEFT_OUT in message for _, _, message in self._logs)
