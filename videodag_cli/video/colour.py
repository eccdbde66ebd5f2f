"""What the colour tags of a stream (ITU-T H.273) mean for its BGR pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

UNSPECIFIED = 2
RGB, YCGCO, DERIVED = 0, 8, 12
LIMITED, FULL = 1, 2
"""FFmpeg's numbers for the range."""
MATRICES = {
    0: "RGB",
    1: "BT.709",
    4: "FCC",
    5: "BT.601",
    6: "BT.601",
    7: "SMPTE 240M",
    8: "YCgCo",
    9: "BT.2020",
    10: "BT.2020 constant luminance",
    11: "SMPTE 2085",
    12: "derived from the primaries",
    13: "derived from the primaries, constant luminance",
    14: "ICtCp",
    15: "IPT-PQ-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
RANGES = {LIMITED: "limited range", FULL: "full range"}
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
WIDE_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
LINEAR = frozenset({1, 4, 5, 6, 7, 9})
"""Matrices of which the weights of red and blue are all there is to know."""
VIDEO_RANGE_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mpeg2video"})
"""Codecs whose pictures have the limited range unless they say otherwise, also those without colour."""
_RGB_CODECS = ("h264", "hevc", "av1")
"""Codecs in whose headers the number 0 means RGB; in the others it means nothing."""
_SAME_AS_DERIVED = {1: 1, 9: 9}
"""Primaries -> the matrix whose weights are derived from them."""


@dataclass(frozen=True, slots=True)
class Colour:
    """The colour tags of a stream's headers."""

    layout: str
    """FFmpeg's name of the pixel format."""
    has_chroma: bool
    """Stored as luma and chroma."""
    matrix: int
    range: int
    transfer: int
    primaries: int

    @classmethod
    def of(cls, context: Any) -> Colour:
        """Of a codec context."""
        layout = context.format
        return cls(
            "" if layout is None else layout.name,
            layout is None or has_chroma(layout),
            int(context.colorspace),
            int(context.color_range),
            int(context.color_trc),
            int(context.color_primaries),
        )

    def __str__(self) -> str:
        """Empty where the headers say nothing."""
        matrix = MATRICES.get(self.matrix) if self.matrix != RGB or self.has_chroma else None
        return ", ".join(filter(None, (matrix, RANGES.get(self.range), HDR_TRANSFERS.get(self.transfer))))


def weights_of(matrix: int, primaries: int, codec: str) -> int:
    """The matrix whose weights apply: `UNSPECIFIED` (read as BT.601) where the stream gives none or a reserved number.

    Raises ValueError, in words, for one that is known and not converted.
    """
    if matrix == DERIVED and primaries in _SAME_AS_DERIVED:
        return _SAME_AS_DERIVED[primaries]
    if matrix in LINEAR or matrix == YCGCO:
        return matrix
    if matrix == UNSPECIFIED or matrix not in MATRICES or (matrix == RGB and codec not in _RGB_CODECS):
        return UNSPECIFIED
    if matrix == RGB:
        raise ValueError("the colour matrix is RGB (0), but the pictures are stored as luma and chroma")
    raise ValueError(f"the colour matrix {MATRICES[matrix]} ({matrix}) is not converted")


def has_chroma(layout: Any) -> bool:
    """Whether a `VideoFormat` stores luma and chroma: it is neither RGB, nor a palette, nor gray."""
    return not layout.is_rgb and len(layout.components) >= 3 and not layout.name.startswith("xyz")


def expands(codec: str, pixel_format: str, range: int) -> bool:
    """Whether gray or RGB pictures have the limited range, which swscale takes to be full in these layouts."""
    if pixel_format.startswith("gray"):
        return range == LIMITED or (range != FULL and codec in VIDEO_RANGE_CODECS)
    return pixel_format.startswith("gbrp") and range == LIMITED and codec in ("h264", "hevc")
