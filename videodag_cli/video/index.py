"""The packet index: every packet of one video stream, in the order of decoding and of presentation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEYFRAME = 1
"""The container calls the packet a keyframe."""
ENTRY = 2
"""The packet's own bytes prove that decoding can start here."""
MISSING = 4
"""The packet's bytes are not, or not all, in the file."""

INT64_MAX = 2**63 - 1


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """Packets by `position` (decoding order) and by `rank` (presentation order); 17 bytes for each packet.

    A rank is the `frame_index` of results: packets marked to be discarded have none, equal times keep the order of decoding.
    """

    time_base: Fraction
    """Seconds per tick of `pts`."""
    pts: NDArray[np.int64]
    """By position: presentation time in ticks."""
    rank: NDArray[np.int32]
    """By position: rank of the packet's frame, -1 where it is not presented."""
    flags: NDArray[np.uint8]
    """By position: KEYFRAME, ENTRY and MISSING."""
    position: NDArray[np.int32]
    """By rank: the packet's position."""
    last_ticks: int = 0
    """How long the last frame is shown, in ticks; 0 where the container does not say."""
    padded: bool = False
    """Samples lie beyond the end of the file: it has to be read with zeros in their place."""
    headers_differ: bool = False
    """Some packets are decoded with other headers than those of the container."""
    headers_change: bool = False
    """The headers are not the same for all packets: a decoder holds those of the packets that it came by."""

    @classmethod
    def build(
        cls,
        time_base: Fraction,
        pts: NDArray[np.int64],
        flags: NDArray[np.uint8],
        presented: NDArray[np.bool_],
        *,
        last_ticks: int = 0,
        padded: bool = False,
        headers_differ: bool = False,
        headers_change: bool = False,
    ) -> PacketIndex:
        """Rank the presented packets by time; all arrays are by position."""
        shown = np.flatnonzero(presented).astype(np.int32)
        position = shown[np.argsort(pts[shown], kind="stable")]
        rank = np.full(len(pts), -1, np.int32)
        rank[position] = np.arange(len(position), dtype=np.int32)
        for array in (pts, rank, flags, position):
            array.flags.writeable = False
        return cls(time_base, pts, rank, flags, position, last_ticks, padded, headers_differ, headers_change)

    def __len__(self) -> int:
        """Presented frames."""
        return len(self.position)

    @property
    def packet_count(self) -> int:
        """All packets, with those that are not presented."""
        return len(self.pts)

    @property
    def keyframe(self) -> NDArray[np.bool_]:
        """By rank: whether the container calls the frame a keyframe."""
        return np.asarray((self.flags[self.position] & KEYFRAME) != 0)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """By rank: whether the frame's bytes are not in the file."""
        return np.asarray((self.flags[self.position] & MISSING) != 0)

    @cached_property
    def times_are_unique(self) -> bool:
        """No two packets have the same time."""
        ordered = np.sort(self.pts)
        return not bool((ordered[1:] == ordered[:-1]).any())

    def exact_time_s(self, rank: int) -> Fraction:
        """Presentation time of a frame, exact."""
        return int(self.pts[self.position[rank]]) * self.time_base

    def time_s(self, rank: int) -> float:
        """Presentation time of a frame in seconds, rounded to 6 decimals from the exact value."""
        return float(round(self.exact_time_s(rank), 6))

    def times_us(self) -> NDArray[Any]:
        """By rank: `time_s` in whole microseconds; Python integers where 64 bits would not do."""
        pts = self.pts[self.position]
        scale = self.time_base * 1_000_000
        top = int(np.abs(pts).max(initial=0))
        exact = pts if 2 * top * scale.numerator + scale.denominator <= INT64_MAX else pts.astype(object)
        doubled = 2 * scale.numerator * exact
        # round half to even: floor(x + 1/2), one less where x + 1/2 is odd and nothing was cut off
        rounded = (doubled + scale.denominator) // (2 * scale.denominator)
        halves = (doubled + scale.denominator) % (2 * scale.denominator) == 0
        return np.asarray(rounded - (halves & (rounded % 2 == 1)))

    @property
    def frame_rate(self) -> Fraction | None:
        """Average frames per second from the first frame's time to the last one's; None for fewer than two times."""
        if len(self) < 2:
            return None
        span = self.exact_time_s(len(self) - 1) - self.exact_time_s(0)
        return (len(self) - 1) / span if span > 0 else None
