"""What the slices of H.264 and HEVC tell of pictures that are missing or stand in one packet: decoders keep quiet about them.

Sources: H.264 (ITU-T H.264, 7.3.2.1.1, 7.3.3 and 7.4.3), HEVC (ITU-T H.265, 7.3.6.1).
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from videodag_cli.video.bits import Bits
from videodag_cli.video.headers import HevcSets, ParameterSets, nal_units, without_escapes

ODD_SHARE = 20
"""One in so many pictures may have fewer slices than all the others: then it lacks some."""
ODD_COUNT = 3
_HEAD_BYTES = 24
_UNREFERENCED = frozenset(range(0, 16, 2))
"""Kinds of HEVC units: pictures to which none of their temporal layer refers."""
_CHROMA_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


class Seen(NamedTuple):
    """What the slices of one packet show."""

    slices: int = 0
    several: bool = False
    """Slices of more than one picture."""
    gap: bool = False
    """A picture before this one, to which others refer, is not in the stream."""
    disposable: bool = False
    """No other picture refers to this one."""


class Slices:
    """Follows the slices of a stream, packet by packet, in decoding order."""

    def __init__(self, sets: ParameterSets) -> None:
        self._sets = sets
        self._reference: int | None = None
        """frame_num of the last picture that others refer to; None where it is not known."""

    def look(self, packet: memoryview) -> Seen:
        units = list(nal_units(packet, self._sets.length_bytes))
        if sum(map(len, units)) + self._sets.length_bytes * len(units) != len(packet):
            self._reference = None
            return Seen()  # damaged, which the decoder finds out
        return self._look_hevc(units) if isinstance(self._sets, HevcSets) else self._look_h264(units)

    def _look_hevc(self, units: list[memoryview]) -> Seen:
        slices = firsts = 0
        disposable = self._sets.one_layer
        for unit in units:
            if len(unit) > 2 and unit[0] & 0x41 == 0 and unit[1] >> 3 == 0:  # a slice of the base layer
                slices += 1
                firsts += unit[2] >> 7
                disposable = disposable and unit[0] >> 1 in _UNREFERENCED
        return Seen(slices, several=firsts > 1, disposable=disposable and slices > 0)

    def _look_h264(self, units: list[memoryview]) -> Seen:
        slices = 0
        gap = several = False
        disposable = True
        fields: list[int] = []
        for unit in units:
            kind = unit[0] & 31
            if kind not in (1, 2, 5):
                continue
            slices += 1
            disposable = disposable and not unit[0] & 0x60
            begins = len(unit) > 1 and unit[1] & 0x80  # first_mb_in_slice is 0
            if slices > 1 and not begins:
                continue
            try:
                number, field, format = self._number(unit)
            except (EOFError, LookupError):
                self._reference = None
                continue
            several = several or (bool(fields) and (field == 0 or field in fields))
            fields.append(field)
            if kind == 5:
                self._reference = 0
            elif self._reference is not None and not format.gaps:
                # 1 also follows a picture that set the count back.
                gap = gap or number not in (self._reference, (self._reference + 1) % format.numbers, 1)
            if unit[0] & 0x60:
                self._reference = number
        if not slices:
            self._reference = None
        return Seen(slices, several=several, gap=gap, disposable=disposable and slices > 0)

    def _number(self, unit: memoryview) -> tuple[int, int, _Format]:
        """frame_num of a slice; 0 for a frame, 1 and 2 for a top and a bottom field; the format."""
        bits = Bits(without_escapes(bytes(unit[1:_HEAD_BYTES])))
        bits.exp_golomb()
        bits.exp_golomb()
        format = _format(self._sets.sps_of(bits.exp_golomb()))
        number = bits.read(format.number_bits)
        field = 0
        if format.fields and bits.read(1):
            field = 1 + bits.read(1)
        return number, field, format


class _Format(NamedTuple):
    """What the slice headers of H.264 take from their sequence parameter set."""

    number_bits: int
    gaps: bool
    """Pictures may be missing without harm."""
    fields: bool

    @property
    def numbers(self) -> int:
        return 1 << self.number_bits


@lru_cache(maxsize=64)
def _format(sps: bytes) -> _Format:
    bits = Bits(without_escapes(sps[1:]))
    profile = bits.read(8)
    bits.read(16)
    bits.exp_golomb()
    if profile in _CHROMA_PROFILES:
        chroma = bits.exp_golomb()
        if chroma == 3 and bits.read(1):
            raise LookupError("three pictures in one")
        bits.exp_golomb()
        bits.exp_golomb()
        bits.read(1)
        if bits.read(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.read(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    number_bits = bits.exp_golomb() + 4
    if number_bits > 16:
        raise LookupError("not a parameter set")
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.read(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.exp_golomb()):
            bits.signed()
    bits.exp_golomb()
    gaps = bool(bits.read(1))
    bits.exp_golomb()
    bits.exp_golomb()
    return _Format(number_bits, gaps, fields=not bits.read(1))


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def lacking(slices: Counter[int]) -> int:
    """Pictures with fewer slices than this lack some; slices: how many pictures have so many."""
    if not slices:
        return 0
    usual, count = slices.most_common(1)[0]
    fewer = sum(pictures for number, pictures in slices.items() if number < usual)
    total = sum(slices.values())
    if total - count != fewer:
        return 0  # the encoder cuts pictures as it likes
    return usual if fewer <= max(ODD_COUNT, total // ODD_SHARE) and count > fewer else 0
