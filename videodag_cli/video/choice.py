"""Which reader takes a video, and why."""

from __future__ import annotations

from dataclasses import dataclass

from videodag_cli.errors import InputError, RequestError, printable
from videodag_cli.video.colour import MATRICES
from videodag_cli.video.decoders import DECODERS
from videodag_cli.video.mpeg4 import is_progressive
from videodag_cli.video.source import SourceStream

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


def choose_decoder(source: SourceStream, *, decoder: str = "auto") -> DecoderChoice:
    """The reader for a stream.

    `auto` is PyAV: it is correct for every layout, and where OpenCV is correct too their pictures are equal byte for byte, so that
    results never depend on what is sampled. Raises InputError when OpenCV is requested where it is not proven to be correct.
    """
    if decoder not in DECODERS:
        raise RequestError(f"unknown decoder {printable(decoder)!r}; one of: {', '.join(DECODERS)}")
    if decoder == "opencv":
        problem = opencv_problem(source)
        if problem:
            raise InputError(
                f"{source.shown}: OpenCV is not known to read this correctly: {problem}; use --decoder auto",
                word="input.unsupported",
            )
        return DecoderChoice("opencv", "requested; it does not report concealed damage")
    if decoder == "pyav":
        return DecoderChoice("pyav", "requested")
    problem = opencv_problem(source)
    if problem:
        return DecoderChoice("pyav", f"OpenCV is not known to read this correctly: {problem}")
    return DecoderChoice("pyav", "correct for every layout, and skips what is not sampled")


def opencv_problem(source: SourceStream) -> str | None:
    """Why OpenCV is not proven to read this correctly; None where it is."""
    codec = source.codec
    if codec not in ("h264", "hevc", "vp9", "mpeg4"):
        return f"codec {codec}"
    progressive = is_progressive(source.extradata) if codec == "mpeg4" else codec == "vp9" or source.progressive
    if not progressive:
        return "interlaced, or the header does not say"
    if source.description_count != 1:
        return f"{source.description_count} sample descriptions"
    if source.orientation.mirrored:
        return "a mirrored picture"
    if not source.first_video:
        return "the stream is not the first video stream"
    if source.index.padded or source.readable_bytes is not None:
        return "the file is cut"
    if source.index.paired_count:
        return "fields that are stored as samples of their own"
    if source.index.untimed_count or source.index.misplaced_count:
        return "times that contradict the order of output"
    times = source.index.pts[source.index.position]
    if len(times) > 1 and bool((times[1:] == times[:-1]).any()):
        return "several frames at the same time"
    if source.colour.layout not in OPENCV_LAYOUTS:
        return f"pictures of layout {source.colour.layout}"
    if source.colour.matrix not in OPENCV_MATRICES:
        return f"the colour matrix {MATRICES.get(source.colour.matrix, source.colour.matrix)}"
    if source.colour.transfer not in OPENCV_TRANSFERS or source.colour.primaries not in OPENCV_PRIMARIES:
        return "its transfer curve or its primaries make OpenCV map the colours"
    try:
        source.path.encode("utf-8")
    except UnicodeEncodeError:
        return "a file name that is not UTF-8"
    return None
