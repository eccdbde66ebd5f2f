"""What the slices of H.264 and HEVC say about pictures that are missing or share one packet: decoders keep quiet about them.

Sources: H.264 (ITU-T H.264, 7.3.2.1.1, 7.3.3 and 7.4.3), HEVC (ITU-T H.265, 7.3.6.1).
"""

from __future__ import annotations

from array import array
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.video.bits import Bits, unescaped
from videodag_cli.video.h264 import FRAME_PICTURE, LONG_HEAD_BYTES, SLICES, Pps, Sps, read_pps, read_slice, read_sps
from videodag_cli.video.parameter_sets import HevcSets, ParameterSets, nal_units

FEW = 20
"""Pictures lack slices where so many times as many others have more."""
ENOUGH = 3
"""So many others are evidence against a single one."""
_UNREFERENCED = frozenset(range(0, 16, 2))
"""Kinds of HEVC units: pictures to which none of their temporal layer refers."""


class PacketSlices(NamedTuple):
    """What the slices of one packet show."""

    slices: int = 0
    several: bool = False
    """Slices of more than one picture."""
    gap: bool = False
    """A picture before this one, to which others refer, is not in the stream."""
    disposable: bool = False
    """No other picture refers to this one."""
    field: bool = False
    lacking: bool = False
    """Slices of the picture are not in the packet."""


class Slices:
    """Follows the slices of a stream, packet by packet, in decoding order."""

    def __init__(self, sets: ParameterSets) -> None:
        self._sets = sets
        self._number: int | None = None
        """frame_num of the last picture that others refer to; None where it is not known."""
        self._last = b""
        """The first bytes of that picture's slice."""

    def look(self, packet: memoryview) -> PacketSlices:
        units = list(nal_units(packet, self._sets.length_bytes))
        if sum(map(len, units)) + self._sets.length_bytes * len(units) != len(packet):
            self._number = None
            return PacketSlices()  # damaged, which the decoder finds out
        return self._look_hevc(units) if isinstance(self._sets, HevcSets) else self._look_h264(units)

    def _look_hevc(self, units: list[memoryview]) -> PacketSlices:
        slices = firsts = 0
        disposable = self._sets.one_layer
        for unit in units:
            if len(unit) > 2 and unit[0] & 0x41 == 0 and unit[1] >> 3 == 0:  # a slice of the base layer
                slices += 1
                firsts += unit[2] >> 7
                disposable = disposable and unit[0] >> 1 in _UNREFERENCED
        return PacketSlices(slices, several=firsts > 1, disposable=disposable and slices > 0)

    def _look_h264(self, units: list[memoryview]) -> PacketSlices:
        slices = 0
        gap = several = False
        disposable = True
        fields: list[int] = []
        for unit in units:
            kind = unit[0] & 31
            if kind not in SLICES:
                continue
            try:
                head = read_slice(unit, self._find)
            except (EOFError, LookupError):
                slices += 1
                disposable = disposable and not unit[0] & 0x60
                self._number = None
                continue
            if head.idr and not head.intra:
                continue  # no slice (7.4.3), and no decoder takes it for one
            slices += 1
            disposable = disposable and not head.reference
            if head.begins and not head.redundant:
                several = several or (bool(fields) and (head.structure == FRAME_PICTURE or head.structure in fields))
                fields.append(head.structure)
            if slices > 1 and not head.begins:
                continue
            if head.idr:
                self._number = 0
            elif self._number is not None and not head.sps.gaps_allowed:
                step = (head.number - self._number) % (1 << head.sps.number_bits)
                gap = gap or (step > 1 and not (head.number == 1 and self._was_reset()))
            if head.reference:
                self._number, self._last = head.number, bytes(unit[:LONG_HEAD_BYTES])
        if not units:
            self._number = None
        return PacketSlices(slices, several=several, gap=gap, disposable=disposable and slices > 0, field=any(fields))

    def _was_reset(self) -> bool:
        """Whether the last picture that others refer to starts the count of frames anew."""
        try:
            return read_slice(memoryview(self._last), self._find, thorough=True).resets
        except (EOFError, LookupError):
            return True  # not known

    def _find(self, number: int) -> tuple[Sps, Pps]:
        picture = self._sets.in_force((8, number))
        return _read(self._sets.in_force(picture.parent).content, picture.content)


@lru_cache(maxsize=64)
def _read(sps_unit: bytes, pps_unit: bytes) -> tuple[Sps, Pps]:
    _, sps = read_sps(Bits(unescaped(sps_unit[1:])))
    if sps.separate_planes:
        raise LookupError("three pictures in one")
    return sps, read_pps(Bits(unescaped(pps_unit[1:])))[1]


class SliceCounts:
    """How many slices pictures have, kept apart by what kind of picture it is, to find those that lack some."""

    def __init__(self) -> None:
        self._counts: dict[bool, Counter[int]] = {}
        self._by_position = array("H")
        self._keys = bytearray()
        self._fields = False

    def add(self, seen: PacketSlices, *, keyframe: bool) -> None:
        """The next packet."""
        self._by_position.append(min(seen.slices, 65535))
        self._keys.append(keyframe)
        self._fields = self._fields or seen.field
        if seen.slices and not seen.several:
            self._counts.setdefault(keyframe, Counter())[seen.slices] += 1

    def vary(self) -> bool:
        """The number of slices varies from picture to picture, so that nothing shows whether some are missing."""
        found = set(np.array(self._by_position, np.uint16)[~self.lacking()].tolist()) - {0}
        return len(found) > 1 or (self._fields and found != {1})

    def lacking(self) -> NDArray[np.bool_]:
        """By position: the picture has fewer slices than nearly all others of its kind, none of which has more.

        A decoder does not find that out in HEVC. Where encoders cut pictures as they like, nothing can be said.
        """
        slices = np.array(self._by_position, np.uint16)
        keys = np.frombuffer(bytes(self._keys), np.bool_)
        found = np.zeros(len(slices), bool)
        if not self._fields:
            for keyframe, counts in self._counts.items():
                usual, count = counts.most_common(1)[0]
                fewer = sum(pictures for number, pictures in counts.items() if number < usual)
                if max(counts) == usual and (fewer * FEW <= count or (fewer == 1 and count >= ENOUGH)):
                    found |= (keys == keyframe) & (slices > 0) & (slices < usual)
        return found
