"""What HEVC packets hold: a picture, one that is not output, or none, and the order of output (ITU-T H.265, 7.3 and 8.3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from videodag_cli.video.bits import Bits, unescaped
from videodag_cli.video.coded_picture import FRAME, NOTHING, CodedPicture

_HEAD_BYTES = 64
_PICTURELESS = frozenset({32, 33, 34, 35, 36, 37, 38, 39, 40})
_END_OF_SEQUENCE = frozenset({36, 37})
_CRA = 21
_IDR = (19, 20)
_SKIPPED = (8, 9)
"""Leading pictures that refer to what is before their entry point (RASL)."""
_LEADING = (6, 7, 8, 9)


class _Sps(NamedTuple):
    separate_planes: bool
    order_bits: int


class _Pps(NamedTuple):
    sps: int
    output_flag: bool
    extra_bits: int


class HevcPictures:
    """Call it with each packet in decoding order.

    Where fields are coded as pictures (`field_seq_flag`), each is one picture of its own, as for every HEVC decoder.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length_bytes = (extradata[21] & 3) + 1
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, _Pps] = {}
        self._sequence = 0
        self._previous = (0, 0)
        self._begins = True
        """The next picture begins a sequence, so that nothing before it can be referred to."""
        self._skipping = False
        self._lost = True
        for unit in _headers(extradata):
            self._take_set(unit)

    def __call__(self, packet: memoryview) -> CodedPicture:
        at, end = 0, len(packet)
        found: CodedPicture | None = None
        while at < end:
            start = at + self._length_bytes
            size = int.from_bytes(packet[at:start], "big")
            at = start + size
            if size < 2 or at > end:
                return found or self._unknown()
            kind = packet[start] >> 1 & 63
            if (packet[start] & 1) << 5 | packet[start + 1] >> 3:
                continue  # another layer
            if kind in (33, 34):
                self._take_set(bytes(packet[start:at]))
            elif kind in _END_OF_SEQUENCE:
                self._begins = True
            elif kind < 32 and found is None:
                found = self._picture(kind, packet[start:at])
            elif kind >= 32 and kind not in _PICTURELESS and kind < 48:
                return found or self._unknown()
        return found or (NOTHING if end else self._unknown())

    def _unknown(self) -> CodedPicture:
        self._lost = True
        self._begins = False  # what refers to it is damaged too
        return FRAME

    def _take_set(self, unit: bytes) -> None:
        try:
            bits = Bits(unescaped(unit[2:]))
            if unit[0] >> 1 & 63 == 33:
                number, sps = _read_sps(bits)
                self._sps[number] = sps
            elif unit[0] >> 1 & 63 == 34:
                pps_number, sps_number = bits.exp_golomb(), bits.exp_golomb()
                bits.read(1)
                self._pps[pps_number] = _Pps(sps_number, bool(bits.read(1)), bits.read(3))
        except (EOFError, IndexError):
            self._lost = True

    def _picture(self, kind: int, unit: memoryview) -> CodedPicture:
        try:
            return self._read_picture(kind, unit)
        except (EOFError, KeyError):
            return self._unknown()

    def _read_picture(self, kind: int, unit: memoryview) -> CodedPicture:
        bits = Bits(unescaped(bytes(unit[2:_HEAD_BYTES])))
        if not bits.read(1):
            raise EOFError  # the picture's first slice is missing
        entry = 16 <= kind <= 23
        if entry:
            bits.read(1)
        pps = self._pps[bits.exp_golomb()]
        sps = self._sps[pps.sps]
        bits.read(pps.extra_bits)
        bits.exp_golomb()
        shown = not pps.output_flag or bool(bits.read(1))
        if sps.separate_planes:
            bits.read(2)
        low = 0 if kind in _IDR else bits.read(sps.order_bits)
        if entry:
            # All before an entry in decoding order are output before it: no order has to be known across.
            self._sequence += 1
            self._lost = False
            self._skipping = self._begins or kind != _CRA
            if self._skipping:
                self._previous = (0, low)
        self._begins = False
        before, span = self._previous, 1 << sps.order_bits
        high = before[0]
        if low < before[1] and before[1] - low >= span // 2:
            high += span
        elif low > before[1] and low - before[1] > span // 2:
            high -= span
        if unit[1] & 7 == 1 and kind not in _LEADING and (kind > 14 or kind & 1):
            self._previous = (high, low)
        if kind in _SKIPPED and self._skipping:
            return NOTHING
        return CodedPicture(shown, False, -1 if self._lost else self._sequence, high + low)


def _headers(extradata: bytes) -> Iterator[bytes]:
    """The parameter sets of an `hvcC` box (ISO/IEC 14496-15, 8.3.3.1)."""
    if len(extradata) < 23:
        return
    at = 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            if size == 0 or at >= len(extradata):
                return
            yield extradata[at + 2 : at + 2 + size]
            at += 2 + size


def _read_sps(bits: Bits) -> tuple[int, _Sps]:
    bits.read(4)
    layers = bits.read(3)
    bits.read(1)
    bits.read(88)  # general profile and its flags
    bits.read(8)
    present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    if layers:
        bits.read(2 * (8 - layers))
    for profile, level in present:
        bits.read(88 * profile + 8 * level)
    number = bits.exp_golomb()
    chroma = bits.exp_golomb()
    separate = chroma == 3 and bool(bits.read(1))
    bits.exp_golomb()
    bits.exp_golomb()
    if bits.read(1):
        for _ in range(4):
            bits.exp_golomb()
    bits.exp_golomb()
    bits.exp_golomb()
    return number, _Sps(separate, bits.exp_golomb() + 4)
