"""The OpenCV reader: forward only, each picture matched to the packet index by its time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Frame
from videodag_cli.errors import InputError
from videodag_cli.video import demux
from videodag_cli.video.choice import DecoderChoice
from videodag_cli.video.pyav import PyavReader
from videodag_cli.video.reader import Reader
from videodag_cli.video.source import Probe
from videodag_cli.video.vp9 import stated_sizes

if TYPE_CHECKING:
    import cv2


class OpencvReader(Reader):
    """Reads forward with `grab()`; `retrieve()` only for targets.

    OpenCV ends at damage as at the end of the file, without a word. Whatever is missing then, and everything after a picture
    that matches no packet, is read with PyAV. What OpenCV conceals it does not report: such pictures are handed out.
    """

    def __init__(
        self, probe: Probe, targets: NDArray[np.int64], choice: DecoderChoice, *, threads: int | None = None
    ) -> None:
        super().__init__(probe, targets, choice)
        self._threads = threads
        self._capture: cv2.VideoCapture | None = None
        self._rest: Reader | None = None

    @property
    def undecodable(self) -> NDArray[np.int64]:
        return super().undecodable if self._rest is None else self._rest.undecodable

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None
        if self._rest is not None:
            self._rest.close()

    def _frames(self) -> Iterator[Frame]:
        try:
            handed = 0
            # Nothing is known of how OpenCV takes to headers in the packets that are not the container's.
            if len(self.targets) and not (self.probe.index.headers_differ or self._changes_size()):
                for frame in self._forward():
                    handed += 1
                    yield frame
            if handed < len(self.targets):
                yield from self._continue_with_pyav(handed)
        finally:
            self.close()

    def _forward(self) -> Iterator[Frame]:
        index = self.probe.index
        times_us = index.times_us()
        first_us = int(times_us[0])
        capture = self._capture = self._open()
        rank = -1
        for target in self.targets:
            started = perf_counter()
            while rank < target:
                if not capture.grab():
                    return
                self.decoded_count += 1
                rank += 1
                if not self._matches(capture, int(times_us[rank]) - first_us):
                    return
            middle = perf_counter()
            ok, image = capture.retrieve()
            self.decode_s += middle - started
            self.convert_s += perf_counter() - middle
            if not ok or image.shape != (self.probe.info.height, self.probe.info.width, 3):
                return
            yield Frame(np.asarray(image, np.uint8), int(target), index.time_s(int(target)))

    def _open(self) -> cv2.VideoCapture:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
            f"protocol_whitelist;file|format_whitelist;{demux.CONTAINER_FORMATS}|max_pixels;{self.probe.limits.max_pixels}"
        )
        # on a damaged file FFmpeg and OpenCV would print up to a hundred lines on stderr; OpenCV reads this when it first opens a video
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        import cv2

        if "OPENCV_LOG_LEVEL" not in os.environ:
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        options = [cv2.CAP_PROP_N_THREADS, self._threads] if self._threads else []
        capture = cv2.VideoCapture(self.probe.path, cv2.CAP_FFMPEG, options)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        if not capture.isOpened():
            raise InputError(f"{self.probe.shown}: OpenCV cannot open it; use --decoder auto", word="input.unsupported")
        return capture

    def _matches(self, capture: cv2.VideoCapture, wanted_us: int) -> bool:
        """`POS_MSEC` counts from the first presented packet, in floating point."""
        import cv2

        return abs(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000 - wanted_us) < 2

    def _changes_size(self) -> bool:
        """Whether a VP9 video has frames of other sizes, which OpenCV scales to the first one without a word."""
        if self.probe.codec != "vp9":
            return False
        with demux.open_container(self.probe.path, max_pixels=self.probe.limits.max_pixels, known=True) as container:
            stream = demux.video_stream(container, self.probe.stream_index)
            demux.only(container, stream)
            return any(
                size != self.probe.stored_size
                for packet in demux.packets(container, stream)
                for size in stated_sizes(memoryview(packet))
            )

    def _continue_with_pyav(self, handed: int) -> Iterator[Frame]:
        if self._capture is not None:
            self._capture.release()
            self._capture = None
        self._rest = PyavReader(self.probe, self.targets[handed:], self.choice, threads=self._threads)
        yield from self._rest
        for problem in self._rest.problems:
            self._problem(problem)
        for remark in self._rest.remarks:
            self._remark(remark)
        self.decoded_count += self._rest.decoded_count
        self.after_damage_count += self._rest.after_damage_count
        self.decode_s += self._rest.decode_s
        self.convert_s += self._rest.convert_s
