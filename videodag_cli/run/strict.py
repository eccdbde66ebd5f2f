"""`--strict`: every frame of the video is decoded, whether anybody asked for it or not, and a gap ends the run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Frame
from videodag_cli.errors import StoppedError
from videodag_cli.video.reader import Reader


def every_frame(reader: Reader, wanted: NDArray[np.int64]) -> Iterator[Frame]:
    """The `wanted` frames (ascending) of a reader that reads all of them.

    Raises `StoppedError` at the first frame that cannot be decoded, and where decoder and container contradict each other.
    """
    left = iter(wanted.tolist())
    next_wanted = next(left, -1)
    for frame in reader:
        _require_no_gap(reader)
        if frame.index == next_wanted:
            next_wanted = next(left, -1)
            yield frame
    _require_no_gap(reader)


def _require_no_gap(reader: Reader) -> None:
    missing = reader.undecodable
    if len(missing):
        frame = int(missing[0])
        raise StoppedError(
            f"{reader.probe.shown}: frame {frame} at {reader.probe.index.time_s(frame):.3f} s could not be decoded, "
            "and --strict was given",
            word="stopped.strict",
        )
    if reader.problems:
        raise StoppedError(
            f"{reader.probe.shown}: {reader.problems[0]}, and --strict was given",
            word="stopped.strict",
        )
