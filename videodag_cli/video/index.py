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
PICTURELESS = 8
"""No picture comes out for the packet, and that is in order."""
BROKEN = 16
"""The picture cannot be correct: slices of it, or pictures before it, are not in the stream, or slices of another one are mixed with
its own."""
DISPOSABLE = 32
"""H.264, HEVC and MPEG-2: no other picture refers to this one."""

INT64_MAX = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the packets hold; all arrays are by position."""

    shown: NDArray[np.bool_]
    """A picture comes out of the decoder for it."""
    first: NDArray[np.int32]
    """The packet that begins the frame; the packet itself, but for a frame's second field."""
    sequence: NDArray[np.int32]
    """Pictures of one sequence are output by `order`; -1 where the order is not known."""
    order: NDArray[np.int64]

    @classmethod
    def frames(cls, count: int) -> Pictures:
        """Every packet is a frame, and nothing is known of their order."""
        own = np.arange(count, dtype=np.int32)
        return cls(np.ones(count, bool), own, np.full(count, -1, np.int32), np.zeros(count, np.int64))


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """Packets by `position` (decoding order) and by `rank` (presentation order); 17 bytes for each packet.

    A rank is the `frame_index` of results. Packets marked to be discarded and those without a picture have none; the two fields
    of a frame have one together. Equal times keep the order of output.
    """

    time_base: Fraction
    """Seconds per tick of `pts`."""
    pts: NDArray[np.int64]
    """By position: presentation time in ticks, of the frame that the packet belongs to."""
    rank: NDArray[np.int32]
    """By position: rank of the packet's frame, -1 where it is not presented."""
    flags: NDArray[np.uint8]
    """By position: KEYFRAME, ENTRY, MISSING, PICTURELESS, BROKEN and DISPOSABLE."""
    position: NDArray[np.int32]
    """By rank: the packet that completes the frame."""
    packet_pts: NDArray[np.int64]
    """By position: what the container says; `pts` differs where that contradicts the order of output."""
    begins: NDArray[np.int32]
    """By rank: the packet that begins the frame, and whose time its picture has; `position`, but for frames of two fields."""
    last_ticks: int = 0
    """How long the last frame is shown, in ticks; 0 where the container does not say."""
    coded_bytes: int = 0
    """Bytes of all packets; no more than the file has."""
    padded: bool = False
    """Samples lie beyond the end of the file: it has to be read with zeros in their place."""
    headers_differ: bool = False
    """Some packets are decoded with other headers than those of the container."""
    headers_change: bool = False
    """The headers are not the same for all packets: a decoder holds those of the packets that it came by."""
    slices_vary: bool = False
    """Nothing in the packets shows whether H.264 or HEVC pictures lack slices."""
    untimed_count: int = 0
    """Frames that got another frame's time, because the container's times follow the order of decoding."""
    misplaced_count: int = 0
    """Frames that got another frame's time, because the container's times follow no order at all."""

    @classmethod
    def build(
        cls,
        time_base: Fraction,
        pts: NDArray[np.int64],
        flags: NDArray[np.uint8],
        presented: NDArray[np.bool_],
        *,
        pictures: Pictures | None = None,
        last_ticks: int = 0,
        coded_bytes: int = 0,
        padded: bool = False,
        headers_differ: bool = False,
        headers_change: bool = False,
        slices_vary: bool = False,
    ) -> PacketIndex:
        """Rank the presented frames by time; all arrays are by position."""
        count = len(pts)
        pictures = pictures or Pictures.frames(count)
        flags = flags | np.where(pictures.shown, 0, PICTURELESS).astype(np.uint8)
        first = pictures.first
        last = np.arange(count, dtype=np.int32)
        last[first] = np.arange(count, dtype=np.int32)  # of equal places, the last one stays
        second = first != np.arange(count)
        frames = np.flatnonzero(presented & pictures.shown & ~second).astype(np.int32)
        times, turn, untimed, misplaced = _in_order_of_output(
            pts[frames], pictures.sequence[frames], pictures.order[frames]
        )
        ranked = np.lexsort((turn, times))
        begins = frames[ranked]
        position = last[begins] if second.any() else begins
        own = pts
        if second.any() or untimed or misplaced:
            own = pts.copy()
            own[begins] = times[ranked]
        rank = np.full(count, -1, np.int32)
        rank[begins] = np.arange(len(begins), dtype=np.int32)
        if second.any():
            own[second] = own[first[second]]
            rank[second] = rank[first[second]]
            flags[second] &= ~np.uint8(ENTRY)
            flags[position] |= flags[begins] & (KEYFRAME | MISSING)
        for array in (own, rank, flags, position, pts, begins):
            array.flags.writeable = False
        return cls(
            time_base,
            own,
            rank,
            flags,
            position,
            pts,
            begins,
            last_ticks,
            coded_bytes,
            padded,
            headers_differ,
            headers_change,
            slices_vary,
            untimed,
            misplaced,
        )

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

    @property
    def pictureless(self) -> NDArray[np.bool_]:
        """By position: whether no picture comes out for the packet, which is not damage."""
        return np.asarray((self.flags & PICTURELESS) != 0)

    @property
    def paired_count(self) -> int:
        """Frames whose two fields are two packets."""
        return int((self.begins != self.position).sum())

    @cached_property
    def times_are_unique(self) -> bool:
        """No two packets have the same time in the container."""
        ordered = np.sort(self.packet_pts)
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


def _in_order_of_output(
    times: NDArray[np.int64], sequence: NDArray[np.int32], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    """Times that do not contradict the order of output, and each frame's turn among equal times; in order of decoding.

    The times of a sequence that contradicts itself are kept, and given to its frames in their order of output. Also how many
    frames changed theirs, if all times follow the order of decoding, and if not.
    """
    times = times.copy()
    turn = np.arange(len(times), dtype=np.int64)
    by_output = np.lexsort((order, sequence))
    by_output = by_output[np.searchsorted(sequence[by_output], 0) :]
    same = sequence[by_output][1:] == sequence[by_output][:-1]
    repeated = same & (order[by_output][1:] == order[by_output][:-1])
    backward = same & (times[by_output][1:] < times[by_output][:-1])
    tied = same & (times[by_output][1:] == times[by_output][:-1])
    untrusted = frozenset(sequence[by_output][1:][repeated].tolist())
    follow_decoding = bool((times[1:] >= times[:-1]).all())
    changed = 0
    for number in dict.fromkeys(sequence[by_output][1:][backward | tied].tolist()):
        if number in untrusted:
            continue
        low, high = np.searchsorted(sequence[by_output], [number, number + 1])
        members = by_output[low:high]
        ordered = np.sort(times[members])
        changed += int((times[members] != ordered).sum())
        times[members] = ordered
        turn[members] = np.sort(members)
    return times, turn, changed if follow_decoding else 0, 0 if follow_decoding else changed
