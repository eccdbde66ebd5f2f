"""Frames compared with those of a second video, the reference: how alike they are, and which frames belong together.

A frame belongs to the reference's frame of the same presentation time, moved by `offset_s`; where there is none it has no score, and a
frame that plainly shows another frame of the reference fails instead of getting a low score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from videodag_cli.data import Frame, VideoInfo
from videodag_cli.errors import ParamError
from videodag_cli.tools.params import NotNegative
from videodag_cli.toolspec import tool
from videodag_cli.vision.likeness import mean_squared_errors, ssim
from videodag_cli.vision.reference import CLEARLY, MOST_DIFFERENT, Drift, FramePairs, ReferenceFrame, ReferenceVideo

Reference = Annotated[Path, Field(description="the video to compare with, MP4 or MOV, of the same size")]
Offset = Annotated[
    float, Field(allow_inf_nan=False, description="seconds added to a frame's time to find its frame in the reference")
]
Pairing = Annotated[
    Literal["checked", "time"],
    Field(
        description="checked: a frame that clearly shows another frame of the reference than the one at its time, or none, fails; time: it "
        "is scored against that one whatever it shows"
    ),
]


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


def _whole(frame: Frame) -> Frame:
    if not frame.to_source.is_identity:
        raise ValueError("whole frames are compared: put it before tools that crop or resize")
    return frame


def _pairing_remarks(instances: Sequence[PsnrTool | SsimTool]) -> list[str]:
    said = []
    for instance in instances:
        count = instance.pairs.unpaired
        if count:
            said.append(f"{count} frames have no frame of the reference at their time and no score")
        said += instance.pairs.remarks()
    return said


@tool(version=2, id="psnr")
class PsnrTool:
    """Peak signal-to-noise ratio against the reference's frame of the same time, in decibels: of red, green, blue, and of all.

    Equals FFmpeg's filter `psnr` on pictures in `gbrp`. A frame without a partner has no score; one that clearly shows another frame of
    the reference fails.
    """

    def __init__(
        self, video: VideoInfo, *, reference: Reference, offset_s: Offset = 0.0, pairing: Pairing = "checked"
    ) -> None:
        self._second = ReferenceVideo(video, reference, offset_s)
        self.pairs = FramePairs(video, self._second)
        self._checked = pairing == "checked"

    def __call__(self, frame: Frame) -> Psnr:
        pair = self._second.picture(_whole(frame), checked=self._checked)
        self.pairs.add(frame, None if pair is None else pair[0])
        if pair is None:
            return Psnr(None, None, None, None, None, None)
        rank, picture = pair
        b, g, r = mean_squared_errors(frame.image, picture).tolist()
        mse = (r + g + b) / 3
        return Psnr(rank, mse, _decibels(mse), _decibels(r), _decibels(g), _decibels(b))

    def close(self) -> None:
        self._second.close()

    @staticmethod
    def remarks(instances: Sequence[PsnrTool]) -> list[str]:
        return _pairing_remarks(instances)


@tool(version=2, id="ssim")
class SsimTool:
    """Structural similarity to the reference's frame of the same time, 1 for equal pictures: of red, green, blue, and their mean.

    Equals FFmpeg's filter `ssim` on pictures in `gbrp`. A frame without a partner has no score; one that clearly shows another frame of
    the reference fails.
    """

    def __init__(
        self, video: VideoInfo, *, reference: Reference, offset_s: Offset = 0.0, pairing: Pairing = "checked"
    ) -> None:
        if min(video.width, video.height) < 8:
            raise ParamError("compare.ssim needs pictures of at least 8x8 pixels")
        self._second = ReferenceVideo(video, reference, offset_s)
        self.pairs = FramePairs(video, self._second)
        self._checked = pairing == "checked"

    def __call__(self, frame: Frame) -> Ssim:
        pair = self._second.picture(_whole(frame), checked=self._checked)
        self.pairs.add(frame, None if pair is None else pair[0])
        if pair is None:
            return Ssim(None, None, None, None, None)
        rank, picture = pair
        b, g, r = ssim(frame.image, picture).tolist()
        return Ssim(rank, (r + g + b) / 3, r, g, b)

    def close(self) -> None:
        self._second.close()

    @staticmethod
    def remarks(instances: Sequence[SsimTool]) -> list[str]:
        return _pairing_remarks(instances)


@tool(version=2, id="alignment")
class AlignmentTool:
    """Which frame of the reference each frame shows, among those around its time: how the clips lie.

    Missing and doubled frames show: `reference_frame` and `offset_s` go up by one frame where the video lacks one, and `reference_frame` is
    the same twice where it has one twice. Null where several frames of the reference are as like, as in a scene without motion.
    """

    def __init__(
        self,
        video: VideoInfo,
        *,
        reference: Reference,
        offset_s: Offset = 0.0,
        window_s: Annotated[
            NotNegative,
            Field(
                le=60,
                description="how far from a frame's time its frame is looked for first; then in the whole reference",
            ),
        ] = 1.0,
        max_difference: Annotated[
            NotNegative, Field(description="largest difference, in grey levels, of frames that belong together")
        ] = MOST_DIFFERENT,
    ) -> None:
        self._second = ReferenceVideo(video, reference, offset_s)
        self.pairs = FramePairs(video, self._second)
        self.drift = Drift()
        self._window_s, self._max_difference = window_s, max_difference

    def __call__(self, frame: Frame) -> Alignment:
        near = self._second.differences(frame, self._second.within(_whole(frame), self._window_s))
        found = sorted((difference, rank) for rank, difference in near.items())
        best = ReferenceFrame(found[0][1], found[0][0]) if found else None
        alike = len(found) > 1 and found[1][0] <= CLEARLY / 2 * found[0][0] + CLEARLY / 2
        if best is None or best.squared_difference > self._max_difference**2:
            elsewhere = self._second.anywhere(frame)
            if elsewhere is not None and (best is None or elsewhere.squared_difference < best.squared_difference):
                best, alike = elsewhere, elsewhere.others_alike
        if best is None:
            return Alignment(None, None, None, None)
        difference = math.sqrt(best.squared_difference)
        if alike or difference > self._max_difference:
            return Alignment(None, None, None, difference)
        time_s = self._second.time_s(best.rank)
        self.pairs.add(frame, best.rank)
        self.drift.add(frame.time_s, time_s - frame.time_s)
        return Alignment(best.rank, time_s, time_s - frame.time_s, difference)

    def close(self) -> None:
        self._second.close()

    @staticmethod
    def remarks(instances: Sequence[AlignmentTool]) -> list[str]:
        return [text for instance in instances for text in (*instance.drift.remarks(), *instance.pairs.remarks())]


def _decibels(mse: float) -> float | None:
    return 10 * math.log10(255 * 255 / mse) if mse else None
