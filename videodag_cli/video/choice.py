"""Which reader takes a video, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videodag_cli.errors import InputError, RequestError, printable
from videodag_cli.video.colour import MATRICES
from videodag_cli.video.decoders import DECODERS
from videodag_cli.video.mpeg4 import is_progressive

if TYPE_CHECKING:
    from videodag_cli.video.probing import Probe

OPENCV_LAYOUTS = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv444p10le", "yuv444p12le"}
)
OPENCV_MATRICES = frozenset({1, 2, 4, 5, 6, 7, 9})
OPENCV_TRANSFERS = frozenset({1, 2, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 17})
OPENCV_PRIMARIES = frozenset({1, 2, 4, 5, 6, 7})
"""Where both readers were measured to give the same bytes (numbers of ITU-T H.273). Above 8 bits they place the chroma of 4:2:0 and 4:2:2
differently."""


@dataclass(frozen=True, slots=True)
class DecoderChoice:
    name: str
    """`opencv` or `pyav`."""
    reason: str


def choose_decoder(probe: Probe, targets: NDArray[np.int64], *, decoder: str = "auto") -> DecoderChoice:
    """The reader for `targets`.

    `auto` is PyAV: it is right on every layout, and where OpenCV is right too their pictures are equal byte for byte, so that
    results never depend on what is sampled. Raises InputError when OpenCV is asked for where it is not proven to be right.
    """
    if decoder not in DECODERS:
        raise RequestError(f"unknown decoder {printable(decoder)!r}; one of: {', '.join(DECODERS)}")
    if decoder == "opencv":
        problem = opencv_problem(probe)
        if problem:
            raise InputError(
                f"{probe.shown}: OpenCV is not known to read this right: {problem}; use --decoder auto",
                word="input.unsupported",
            )
        return DecoderChoice("opencv", "asked for; it does not tell concealed damage")
    if decoder == "pyav":
        return DecoderChoice("pyav", "asked for")
    problem = opencv_problem(probe)
    if problem:
        return DecoderChoice("pyav", f"OpenCV is not known to read this right: {problem}")
    return DecoderChoice("pyav", "right on every layout, and skips what is not sampled")


def opencv_problem(probe: Probe) -> str | None:
    """Why OpenCV is not proven to read this right; None where it is."""
    codec = probe.codec
    if codec not in ("h264", "hevc", "vp9", "mpeg4"):
        return f"codec {codec}"
    progressive = is_progressive(probe.extradata) if codec == "mpeg4" else codec == "vp9" or probe.progressive
    if not progressive:
        return "interlaced, or the header does not tell"
    if probe.description_count != 1:
        return f"{probe.description_count} sample descriptions"
    if probe.orientation.mirrored:
        return "a mirrored picture"
    if not probe.first_video:
        return "the stream is not the first video stream"
    if probe.index.padded or probe.readable_bytes is not None:
        return "the file is cut"
    if probe.index.paired_count:
        return "fields that are stored as samples of their own"
    if probe.index.untimed_count or probe.index.misplaced_count:
        return "times that contradict the order of output"
    times = probe.index.pts[probe.index.position]
    if len(times) > 1 and bool((times[1:] == times[:-1]).any()):
        return "several frames at the same time"
    if probe.colour.layout not in OPENCV_LAYOUTS:
        return f"pictures of layout {probe.colour.layout}"
    if probe.colour.matrix not in OPENCV_MATRICES:
        return f"the colour matrix {MATRICES.get(probe.colour.matrix, probe.colour.matrix)}"
    if probe.colour.transfer not in OPENCV_TRANSFERS or probe.colour.primaries not in OPENCV_PRIMARIES:
        return "its transfer curve or its primaries make OpenCV map the colours"
    try:
        probe.path.encode("utf-8")
    except UnicodeEncodeError:
        return "a file name that is not UTF-8"
    return None
