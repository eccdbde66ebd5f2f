"""A second video beside the one that is worked on: which of its frames belongs to which, by their times and by what they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Frame, Image, VideoInfo
from videodag_cli.errors import ParamError, printable

TOLERANCE_S = 0.002
"""Two times are the same when no further apart: containers round them differently."""
AROUND = 8
"""Frames of the reference on both sides that each frame is held against."""
SIDE = 32
"""Side of the small grey pictures that tell frames apart."""
CLEARLY = 4.0
"""How many times nearer, in squared differences, another frame has to be."""
SUSPICIOUS = 9.0
"""A squared difference above this is a reason to look for the frame in the whole reference."""
MOST_DIFFERENT = 12.0
"""Grey levels by which frames that belong together differ at most, whatever a codec did to them."""
MOST_SMALL = 1 << 16
"""Small pictures of the whole reference; of a longer one every second, third, ... frame."""
MOST_NAMED = 5


@dataclass(frozen=True)
class ReferenceFrame:
    """A frame of the reference that shows what a frame of the video shows."""

    rank: int
    squared_difference: float
    others_alike: bool = False
    """So does another one."""


class ReferenceVideo:
    """The reference, read forward; all of it once more where a frame is not found near its time."""

    def __init__(self, video: VideoInfo, path: Path, offset_s: float) -> None:
        """Raises `ParamError` where the sizes differ."""
        from videodag_cli.video.opening import open_reader
        from videodag_cli.video.probing import probe

        self._probe = probe(path)
        self.name = printable(path.name, limit=80)
        if (self._probe.info.width, self._probe.info.height) != (video.width, video.height):
            raise ParamError(
                f"reference {self.name} is {self._probe.info.width}x{self._probe.info.height}, the video "
                f"{video.width}x{video.height}: bring both to one size first"
            )
        self.times_us = self._probe.index.times_us()
        self._offset_us = round(offset_s * 1_000_000)
        self._open = open_reader
        self._reader = open_reader(self._probe, np.arange(len(self.times_us)))
        self._frames: Iterator[Frame] | None = None
        self._pictures: dict[int, Image] = {}
        self._small: dict[int, Floats] = {}
        self._read = -1
        self._whole: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None

    def close(self) -> None:
        self._reader.close()

    def time_s(self, rank: int) -> float:
        return int(self.times_us[rank]) / 1_000_000

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

    def differences(self, frame: Frame, ranks: range) -> dict[int, float]:
        """Mean squared difference of the small pictures, of those of these frames that could be decoded."""
        if not ranks:
            return {}
        self._forward(ranks.start, ranks.stop - 1)
        own = _small(frame)
        return {rank: float(np.mean((own - self._small[rank]) ** 2)) for rank in ranks if rank in self._small}

    def picture(self, frame: Frame, *, checked: bool) -> tuple[int, Image] | None:
        """The partner and its picture; None where there is none, or it cannot be decoded.

        checked: raise ValueError where the frame clearly shows another frame of the reference, or none of them.
        """
        rank = self.partner(frame)
        if rank is None:
            return None
        ranks = range(max(0, rank - AROUND), min(len(self.times_us), rank + AROUND + 1))
        found = self.differences(frame, ranks)
        if rank not in found:
            return None
        if checked:
            self._check(frame, rank, found)
        return rank, self._pictures[rank]

    def _check(self, frame: Frame, rank: int, near: dict[int, float]) -> None:
        nearest = min(near, key=lambda other: (near[other], abs(other - rank)))
        best = ReferenceFrame(nearest, near[nearest])
        if not _is_clear(near[rank], best) and near[rank] > SUSPICIOUS:
            best = self.anywhere(frame) or best
        if _is_clear(near[rank], best) and best.squared_difference <= MOST_DIFFERENT**2:
            offset_s = self.time_s(best.rank) - frame.time_s
            raise ValueError(
                f"shows frame {best.rank} of the reference and not frame {rank}, which has its time: the clips are not aligned; "
                f"offset_s={offset_s:.6g} would pair these two, and compare.alignment tells how all frames lie"
            )
        if near[rank] > MOST_DIFFERENT**2:
            raise ValueError(
                f"shows nothing that is in the reference: it differs from frame {rank}, which has its time, by "
                f"{near[rank] ** 0.5:.0f} grey levels, and no other is like it; pairing=time scores the two all the same"
            )

    def anywhere(self, frame: Frame) -> ReferenceFrame | None:
        """The frame of the whole reference that is most like this one."""
        ranks, pictures = self._overview()
        if not len(ranks):
            return None
        own = _small(frame).astype(np.float32).ravel()
        squared = np.empty(len(ranks), np.float32)
        for start in range(0, len(ranks), 1024):
            part = pictures[start : start + 1024] - own
            squared[start : start + 1024] = np.einsum("ij,ij->i", part, part) / own.size
        best = int(np.argmin(squared))
        nearest = float(squared[best])
        alike = int((squared <= CLEARLY / 2 * nearest + CLEARLY / 2).sum()) > 1
        return ReferenceFrame(int(ranks[best]), nearest, alike)

    def _overview(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Small pictures of the whole reference, read when they are first wanted."""
        if self._whole is None:
            step = -(-len(self.times_us) // MOST_SMALL)
            ranks, pictures = [], []
            with self._open(self._probe, np.arange(0, len(self.times_us), step)) as reader:
                for frame in reader:
                    ranks.append(frame.index)
                    pictures.append(_small(frame).astype(np.float32).ravel())
            self._whole = np.array(ranks, np.int64), np.array(pictures, np.float32).reshape(len(ranks), SIDE * SIDE)
        return self._whole

    def _forward(self, first: int, last: int) -> None:
        """Have the pictures of the frames from first to last; earlier ones are forgotten."""
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
        for rank in [rank for rank in self._pictures if rank < first]:
            del self._pictures[rank], self._small[rank]


def _is_clear(squared_difference: float, other: ReferenceFrame) -> bool:
    """Whether another frame is so much nearer that it is the one that is shown."""
    return squared_difference > CLEARLY * other.squared_difference + CLEARLY


def _small(frame: Frame) -> Floats:
    import cv2

    return np.asarray(cv2.resize(frame.gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float64)


class FramePairs:
    """Which frames were paired, for what is to be said behind the last one."""

    def __init__(self, video: VideoInfo, reference: ReferenceVideo) -> None:
        self._reference = reference
        self._every_frame = video.sampled_count == video.frame_count
        self.unpaired = 0
        self._steps_us: Counter[int] = Counter()
        self._last: tuple[int, float] | None = None
        self._last_rank: int | None = None
        self._missing: list[int] = []
        self._missing_count = 0
        self._doubled: list[int] = []
        self._doubled_count = 0

    def add(self, frame: Frame, rank: int | None) -> None:
        """A frame with its partner, or the frame of the reference that it shows."""
        if self._last is not None and len(self._steps_us) < 4096:
            index, time_s = self._last
            self._steps_us[round((frame.time_s - time_s) * 1_000_000 / max(1, frame.index - index))] += 1
        follows = self._last is not None and frame.index == self._last[0] + 1
        self._last = frame.index, frame.time_s
        if rank is None:
            self.unpaired += 1
            return
        before, self._last_rank = self._last_rank, rank
        if before is None or not (follows and self._every_frame):
            return
        if rank == before:
            self._doubled_count += 1
            self._doubled += [frame.index] * (len(self._doubled) < MOST_NAMED)
        elif rank > before + 1:
            self._missing_count += rank - before - 1
            self._missing += range(before + 1, rank)[: MOST_NAMED - len(self._missing)]

    def remarks(self) -> list[str]:
        """What is missing, what is there twice, and that the rates differ."""
        said = []
        own, other = _rate(self._steps_us), _rate(Counter(np.diff(self._reference.times_us).tolist()))
        if own and other and abs(own / other - 1) > 0.0005:
            said.append(
                f"the video has {own:.5g} frames/s and the reference {other:.5g}: only frames of equal time are pairs"
            )
        if self._missing_count:
            said.append(
                f"{_named(self._missing, self._missing_count)} of the reference {_are(self._missing_count)} missing in the video"
            )
        if self._doubled_count:
            said.append(
                f"{_named(self._doubled, self._doubled_count)} of the video {_are(self._doubled_count)} the frame before once more"
            )
        return said


def _named(some: Sequence[int], count: int) -> str:
    """`frame 3`, `frames 3, 4 and 9`, `7 frames (3, 4, 9, 12, 13, ...)`."""
    if count == 1:
        return f"frame {some[0]}"
    listed = ", ".join(map(str, some))
    if count > len(some):
        return f"{count} frames ({listed}, ...)"
    return f"frames {listed.rpartition(', ')[0]} and {some[-1]}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _rate(steps_us: Counter[int]) -> float | None:
    """Frames per second, by the steps that most frames are apart: gaps do not change it."""
    steps = sorted(steps_us.elements())
    if not steps or steps[len(steps) // 2] <= 0:
        return None
    middle = steps[len(steps) // 2]
    usual = [step for step in steps if abs(step - middle) <= 0.02 * middle]
    return 1_000_000 * len(usual) / sum(usual)


class Drift:
    """How the times of frames that belong together lie, by least squares in memory that does not grow."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = np.zeros(5)
        self._low, self._high = np.inf, -np.inf

    def add(self, time_s: float, offset_s: float) -> None:
        self._count += 1
        self._sums += (time_s, offset_s, time_s * time_s, time_s * offset_s, offset_s * offset_s)
        self._low, self._high = min(self._low, offset_s), max(self._high, offset_s)

    def remarks(self) -> list[str]:
        if self._count < 2:
            return []
        if self._high - self._low <= 2 * TOLERANCE_S:
            middle = (self._high + self._low) / 2
            if abs(middle) <= TOLERANCE_S:
                return ["the clips are aligned: frames that belong together have the same time"]
            return [f"every frame shows the reference's frame of {middle:+.6g} s: offset_s={middle:.6g}"]
        t, o, tt, to, oo = self._sums / self._count
        spread, shared, whole = tt - t * t, to - t * o, oo - o * o
        if spread > 0 and shared * shared >= 0.99 * spread * whole:
            return [
                f"the video runs at {1 + shared / spread:.5g} times the speed of the reference: no offset aligns the two"
            ]
        return [f"offsets go from {self._low:.6g} to {self._high:.6g} s: no single one aligns the clips"]
