"""Frames compared with those of a second video, the reference: how alike they are, and which frames belong together.

A frame belongs to the reference's frame of the same presentation time, moved by `offset_s`; where there is none it has no score, and a
frame that plainly shows another frame of the reference fails instead of getting a low score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from videodag_cli.data import Floats, Frame, Image, VideoInfo
from videodag_cli.errors import ParamError, printable
from videodag_cli.tools.params import NotNegative
from videodag_cli.toolspec import tool
from videodag_cli.vision.likeness import mean_squared_errors, ssim

ReferenceVideo = Annotated[Path, Field(description="the video to compare with, MP4 or MOV, of the same size")]
Offset = Annotated[
    float, Field(allow_inf_nan=False, description="seconds added to a frame's time to find its frame in the reference")
]
TOLERANCE_S = 0.002
"""Two times are the same when no further apart: containers round them differently."""
AROUND = 8
"""Frames of the reference on both sides that a frame is held against, to see that the clips are not shifted."""
SIDE = 32
"""Side of the small grey pictures that tell frames apart."""
CLEARLY = 4.0
"""How many times nearer, in squared differences, another frame has to be."""


@dataclass(frozen=True, slots=True)
class Psnr:
    reference_frame: int | None
    """Null where the reference has no frame at this time; then nothing is scored."""
    mse: float | None
    """Mean squared error over red, green and blue; 0 for equal pictures."""
    average: float | None
    """In decibels, of `mse`; null for equal pictures, whose value is infinite."""
    r: float | None
    g: float | None
    b: float | None


@dataclass(frozen=True, slots=True)
class Ssim:
    reference_frame: int | None
    """Null where the reference has no frame at this time; then nothing is scored."""
    average: float | None
    """Mean of red, green and blue; 1 for equal pictures."""
    r: float | None
    g: float | None
    b: float | None


@dataclass(frozen=True, slots=True)
class Alignment:
    reference_frame: int | None
    """The frame of the reference that is most like this one; null where several are, or none within the window."""
    reference_time_s: float | None
    offset_s: float | None
    """Its time minus this frame's: what to give as `offset_s`."""
    difference: float | None
    """Root of the mean squared difference of small grey pictures, 0 to 255, to the most similar one."""


class _Second:
    """The reference, read forward."""

    def __init__(self, video: VideoInfo, path: Path, offset_s: float) -> None:
        from videodag_cli.video.opening import open_reader
        from videodag_cli.video.probing import probe

        self._found = probe(path)
        if (self._found.info.width, self._found.info.height) != (video.width, video.height):
            raise ParamError(
                f"reference {printable(path.name)} is {self._found.info.width}x{self._found.info.height}, the video "
                f"{video.width}x{video.height}: bring both to one size first"
            )
        self.times_us = self._found.index.times_us()
        self._offset_us = round(offset_s * 1_000_000)
        self._reader = open_reader(self._found, np.arange(len(self.times_us)))
        self._frames: Iterator[Frame] | None = None
        self._pictures: dict[int, Image] = {}
        self._small: dict[int, Floats] = {}
        self._read = -1

    def close(self) -> None:
        self._reader.close()

    def partner(self, frame: Frame) -> int | None:
        """The frame of the reference at this frame's time."""
        time_us = round(frame.time_s * 1_000_000) + self._offset_us
        near = int(np.searchsorted(self.times_us, time_us))
        best = min(
            (rank for rank in (near - 1, near) if 0 <= rank < len(self.times_us)),
            key=lambda rank: abs(int(self.times_us[rank]) - time_us),
        )
        return best if abs(int(self.times_us[best]) - time_us) <= TOLERANCE_S * 1_000_000 else None

    def within(self, frame: Frame, window_s: float) -> range:
        """The frames of the reference no further than that from this frame's time."""
        time_us = round(frame.time_s * 1_000_000) + self._offset_us
        low, high = (time_us + sign * round(window_s * 1_000_000) for sign in (-1, 1))
        return range(int(np.searchsorted(self.times_us, low)), int(np.searchsorted(self.times_us, high, side="right")))

    def read(self, first: int, last: int) -> None:
        """Have the small pictures of the frames from first to last; earlier ones are forgotten."""
        if self._frames is None:
            self._frames = iter(self._reader)
        while self._read < min(last, len(self.times_us) - 1):
            found = next(self._frames, None)
            if found is None:
                break
            self._read = found.index
            if found.index >= first:
                self._pictures[found.index] = found.image
                self._small[found.index] = _small(found)
        for kept in (self._pictures, self._small):
            for rank in [rank for rank in kept if rank < first]:
                del kept[rank]

    def differences(self, frame: Frame, ranks: Sequence[int]) -> dict[int, float]:
        """Mean squared difference of the small pictures, of those that could be decoded."""
        own = _small(frame)
        return {rank: float(np.mean((own - self._small[rank]) ** 2)) for rank in ranks if rank in self._small}

    def picture(self, frame: Frame) -> tuple[int, Image] | None:
        """The partner and its picture; None where there is none, or it cannot be decoded.

        Raises ValueError where the frame clearly shows another frame of the reference.
        """
        rank = self.partner(frame)
        if rank is None:
            return None
        ranks = range(max(0, rank - AROUND), min(len(self.times_us), rank + AROUND + 1))
        self.read(ranks.start, ranks.stop - 1)
        found = self.differences(frame, ranks)
        if rank not in found:
            return None
        nearest = min(found, key=lambda other: (found[other], abs(other - rank)))
        if found[rank] > CLEARLY * found[nearest] + CLEARLY:
            offset_s = int(self.times_us[nearest]) / 1_000_000 - frame.time_s
            raise ValueError(
                f"shows frame {nearest} of the reference and not frame {rank}, which has its time: the clips are not aligned; "
                f"offset_s={offset_s:.6g} would pair these two, and compare.alignment tells how all frames lie"
            )
        return rank, self._pictures[rank]


def _small(frame: Frame) -> Floats:
    import cv2

    return np.asarray(cv2.resize(frame.gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float64)


def _whole(frame: Frame) -> Frame:
    if not frame.to_source.is_identity:
        raise ValueError("whole frames are compared: put it before tools that crop or resize")
    return frame


def _unscored(instances: Sequence[object]) -> list[str]:
    count = sum(getattr(instance, "unpaired", 0) for instance in instances)
    return [f"{count} frames have no frame of the reference at their time and no score"] if count else []


@tool(version=1, id="psnr")
class PsnrTool:
    """Peak signal-to-noise ratio against the reference's frame of the same time, in decibels: of red, green, blue, and of all.

    Equals FFmpeg's filter `psnr` on pictures in `gbrp`. A frame without a partner has no score; one that clearly shows another frame of
    the reference fails.
    """

    def __init__(self, video: VideoInfo, *, reference: ReferenceVideo, offset_s: Offset = 0.0) -> None:
        self._second = _Second(video, reference, offset_s)
        self.unpaired = 0

    def __call__(self, frame: Frame) -> Psnr:
        pair = self._second.picture(_whole(frame))
        if pair is None:
            self.unpaired += 1
            return Psnr(None, None, None, None, None, None)
        rank, picture = pair
        b, g, r = mean_squared_errors(frame.image, picture).tolist()
        mse = (r + g + b) / 3
        return Psnr(rank, mse, _decibels(mse), _decibels(r), _decibels(g), _decibels(b))

    def close(self) -> None:
        self._second.close()

    @staticmethod
    def remarks(instances: Sequence[PsnrTool]) -> list[str]:
        return _unscored(instances)


@tool(version=1, id="ssim")
class SsimTool:
    """Structural similarity to the reference's frame of the same time, 1 for equal pictures: of red, green, blue, and their mean.

    Equals FFmpeg's filter `ssim` on pictures in `gbrp`. A frame without a partner has no score; one that clearly shows another frame of
    the reference fails.
    """

    def __init__(self, video: VideoInfo, *, reference: ReferenceVideo, offset_s: Offset = 0.0) -> None:
        if min(video.width, video.height) < 8:
            raise ParamError("compare.ssim needs pictures of at least 8x8 pixels")
        self._second = _Second(video, reference, offset_s)
        self.unpaired = 0

    def __call__(self, frame: Frame) -> Ssim:
        pair = self._second.picture(_whole(frame))
        if pair is None:
            self.unpaired += 1
            return Ssim(None, None, None, None, None)
        rank, picture = pair
        b, g, r = ssim(frame.image, picture).tolist()
        return Ssim(rank, (r + g + b) / 3, r, g, b)

    def close(self) -> None:
        self._second.close()

    @staticmethod
    def remarks(instances: Sequence[SsimTool]) -> list[str]:
        return _unscored(instances)


@tool(version=1, id="alignment")
class AlignmentTool:
    """Which frame of the reference each frame shows, among those around its time: how the clips lie.

    Missing and doubled frames show: `reference_frame` and `offset_s` go up by one frame where the video lacks one, and `reference_frame` is
    the same twice where it has one twice. Null where several frames of the reference are as like, as in a scene without motion.
    """

    def __init__(
        self,
        video: VideoInfo,
        *,
        reference: ReferenceVideo,
        offset_s: Offset = 0.0,
        window_s: Annotated[
            NotNegative, Field(le=60, description="how far from a frame's time its frame is looked for")
        ] = 1.0,
        max_difference: Annotated[
            NotNegative, Field(description="largest difference, in grey levels, of frames that belong together")
        ] = 12.0,
    ) -> None:
        self._second = _Second(video, reference, offset_s)
        self._window_s, self._max_difference = window_s, max_difference

    def __call__(self, frame: Frame) -> Alignment:
        ranks = self._second.within(_whole(frame), self._window_s)
        if not ranks:
            return Alignment(None, None, None, None)
        self._second.read(ranks.start, ranks.stop - 1)
        found = sorted((difference, rank) for rank, difference in self._second.differences(frame, ranks).items())
        if not found:
            return Alignment(None, None, None, None)
        least, rank = found[0]
        difference = math.sqrt(least)
        alike = len(found) > 1 and found[1][0] <= CLEARLY / 2 * least + CLEARLY / 2
        if alike or difference > self._max_difference:
            return Alignment(None, None, None, difference)
        time_s = int(self._second.times_us[rank]) / 1_000_000
        return Alignment(rank, time_s, time_s - frame.time_s, difference)

    def close(self) -> None:
        self._second.close()


def _decibels(mse: float) -> float | None:
    return 10 * math.log10(255 * 255 / mse) if mse else None
