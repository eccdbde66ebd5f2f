"""What H.264 packets hold: frames, fields, or no picture, and their order of output (ITU-T H.264, 7.3.2 to 7.4.3 and 8.2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from videodag_cli.video.bits import Bits, unescaped
from videodag_cli.video.coded_picture import FRAME, NOTHING, CodedPicture

_INTRA = (2, 4)
"""Kinds of slices: I and SI."""
SLICES = (1, 2, 5)
_PICTURELESS = frozenset({6, 7, 8, 9, 10, 11, 12, 13, 15})
"""Units that a packet without a picture may hold: messages, parameter sets, delimiters, ends and filler."""
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_HEAD_BYTES = 64
LONG_HEAD_BYTES = 2048
FRAME_PICTURE, TOP, BOTTOM = 0, 1, 2


class Sps(NamedTuple):
    separate_planes: bool
    chroma: bool
    number_bits: int
    gaps_allowed: bool
    order_type: int
    order_bits: int
    no_deltas: bool
    non_reference_offset: int
    top_to_bottom: int
    cycle: tuple[int, ...]
    frames_only: bool


class Pps(NamedTuple):
    sps: int
    order_present: bool
    references: tuple[int, int]
    weighted: bool
    weighted_b: int
    redundant: bool


class Slice(NamedTuple):
    sps: Sps
    reference: bool
    idr: bool
    number: int
    structure: int
    lsb: int
    deltas: tuple[int, int]
    resets: bool
    """It starts the count of frames anew; only known when it was read thoroughly."""
    begins: bool
    """It holds the first macroblock."""
    redundant: bool
    """Slices may be there twice."""
    intra: bool


class H264Pictures:
    """Call it with each packet in decoding order.

    thorough: read reference marking too, which can start the order anew; it takes longer.
    """

    def __init__(self, extradata: bytes, *, thorough: bool = False) -> None:
        self._thorough = thorough
        self._length_bytes = (extradata[4] & 3) + 1
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, Pps] = {}
        self._in_force: Sps | None = None
        self._sequence = 0
        self._lost = False
        self._previous_order = (0, 0)
        self._number = 0
        self._number_offset = 0
        self._was_reset = False
        self._open: Slice | None = None
        """The field whose other one has not come yet."""
        for unit in _headers(extradata):
            self._take_set(unit)

    def __call__(self, packet: memoryview) -> CodedPicture:
        units = self._units(packet)
        for unit in units:
            if unit is None:
                return self._unknown()
            kind = unit[0] & 31
            if kind in (7, 8):
                self._take_set(bytes(unit))
            elif kind in SLICES:
                head = self._slice(unit)
                if head is None:
                    return self._unknown()
                if head.structure != FRAME_PICTURE and self._has_both(units, head):
                    head = head._replace(structure=FRAME_PICTURE)
                return self._picture(head)
            elif kind not in _PICTURELESS:
                return self._unknown()
        return NOTHING if len(packet) else self._unknown()

    def _units(self, packet: memoryview) -> Iterator[memoryview | None]:
        """The units of a packet; None where their lengths make no sense."""
        at, end = 0, len(packet)
        while at < end:
            start = at + self._length_bytes
            size = int.from_bytes(packet[at:start], "big")
            at = start + size
            if size == 0 or at > end:
                yield None
                return
            yield packet[start:at]

    def _has_both(self, units: Iterator[memoryview | None], first: Slice) -> bool:
        """Whether the rest of the packet holds the other field too."""
        for unit in units:
            if unit is None:
                return False
            if unit[0] & 31 in (1, 5):
                head = self._slice(unit)
                if head is not None and head.structure not in (FRAME_PICTURE, first.structure):
                    return True
        return False

    def _unknown(self) -> CodedPicture:
        self._lost = True
        self._open = None
        return FRAME

    def _take_set(self, unit: bytes) -> None:
        try:
            bits = Bits(unescaped(unit[1:]))
            if unit[0] & 31 == 7:
                number, sps = read_sps(bits)
                self._sps[number] = sps
            else:
                number, pps = read_pps(bits)
                self._pps[number] = pps
        except (EOFError, IndexError):
            self._lost = True

    def _slice(self, unit: memoryview) -> Slice | None:
        try:
            return read_slice(unit, self._sets, thorough=self._thorough)
        except (EOFError, KeyError):
            return None

    def _sets(self, number: int) -> tuple[Sps, Pps]:
        pps = self._pps[number]
        return self._sps[pps.sps], pps

    def _picture(self, head: Slice) -> CodedPicture:
        first, self._open = self._open, None
        second = (
            first is not None
            and not head.idr
            and head.structure + first.structure == TOP + BOTTOM
            and head.structure != FRAME_PICTURE
            and head.number == first.number
            and head.reference == first.reference
        )
        if head.structure != FRAME_PICTURE and not second:
            self._open = head
        jumps = not head.idr and not head.sps.gaps_allowed and not self._continues(head)
        if head.idr or head.resets or jumps or head.sps != self._in_force:
            # What was before says nothing about the order of what comes now.
            self._sequence += 1
            self._lost = False
        self._in_force = head.sps
        order = self._order(head)
        return CodedPicture(True, second, -1 if self._lost else self._sequence, order)

    def _continues(self, head: Slice) -> bool:
        numbers = 1 << head.sps.number_bits
        return (head.number - self._number) % numbers in (0, 1)

    def _order(self, head: Slice) -> int:
        """Picture order count, and what the next picture has to know."""
        sps = head.sps
        if sps.order_type == 0:
            order = self._order_by_lsb(head)
        else:
            if head.idr:
                self._number_offset = 0
            elif not self._was_reset and head.number < self._number:
                self._number_offset += 1 << sps.number_bits
            elif self._was_reset:
                self._number_offset = (1 << sps.number_bits) if head.number < self._number else 0
            count = self._number_offset + head.number
            order = 2 * count - (not head.reference) if sps.order_type == 2 else _cycled(head, count)
        self._was_reset = head.resets
        if head.resets:
            order = 0
            self._number = self._number_offset = 0
        elif head.reference or sps.order_type != 0:
            self._number = head.number
        return order

    def _order_by_lsb(self, head: Slice) -> int:
        span = 1 << head.sps.order_bits
        high, low = (0, 0) if head.idr else self._previous_order
        if head.lsb < low and low - head.lsb >= span // 2:
            high += span
        elif head.lsb > low and head.lsb - low > span // 2:
            high -= span
        order = high + head.lsb
        bottom = order + head.deltas[0]
        lowest = min(order, bottom) if head.structure == FRAME_PICTURE else order
        if head.resets:
            self._previous_order = (0, 0 if head.structure == BOTTOM else order - lowest)
        elif head.reference:
            self._previous_order = (high, head.lsb)
        return lowest


def read_slice(unit: memoryview, sets: Callable[[int], tuple[Sps, Pps]], *, thorough: bool = False) -> Slice:
    """The header of a slice, whose parameter sets are found by the number of the picture's; EOFError where it is cut.

    thorough: read as far as reference marking.
    """
    idr, reference = unit[0] & 31 == 5, unit[0] & 0x60 != 0
    bits = Bits(unescaped(bytes(unit[1 : LONG_HEAD_BYTES if thorough else _HEAD_BYTES])))
    first_block = bits.exp_golomb()
    kind = bits.exp_golomb() % 5
    sps, pps = sets(bits.exp_golomb())
    if sps.separate_planes:
        bits.read(2)
    number = bits.read(sps.number_bits)
    structure = FRAME_PICTURE
    if not sps.frames_only and bits.read(1):
        structure = BOTTOM if bits.read(1) else TOP
    if idr:
        bits.exp_golomb()
    lsb, first, second = 0, 0, 0
    both = pps.order_present and structure == FRAME_PICTURE
    if sps.order_type == 0:
        lsb = bits.read(sps.order_bits)
        first = bits.signed_exp_golomb() if both else 0
    elif sps.order_type == 1 and not sps.no_deltas:
        first = bits.signed_exp_golomb()
        second = bits.signed_exp_golomb() if both else 0
    resets = thorough and reference and not idr and _resets(bits, kind, sps, pps)
    return Slice(
        sps,
        reference,
        idr,
        number,
        structure,
        lsb,
        (first, second),
        resets,
        first_block == 0,
        pps.redundant,
        kind in _INTRA,
    )


def _headers(extradata: bytes) -> Iterator[bytes]:
    """The parameter sets of an `avcC` box (ISO/IEC 14496-15, 5.3.3.1)."""
    at = 5
    for mask in (31, 255):
        if at >= len(extradata):
            return
        count = extradata[at] & mask
        at += 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            if size:
                yield extradata[at + 2 : at + 2 + size]
            at += 2 + size


def read_sps(bits: Bits) -> tuple[int, Sps]:
    """Number and content of a sequence parameter set, behind the byte that tells what the unit is."""
    profile = bits.read(8)
    bits.read(16)
    number = bits.exp_golomb()
    chroma, separate = 1, False
    if profile in _HIGH_PROFILES:
        chroma = bits.exp_golomb()
        separate = chroma == 3 and bool(bits.read(1))
        bits.exp_golomb()
        bits.exp_golomb()
        bits.read(1)
        if bits.read(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.read(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    number_bits = bits.exp_golomb() + 4
    order_type = bits.exp_golomb()
    order_bits, no_deltas, non_reference, top_to_bottom = 0, False, 0, 0
    cycle: tuple[int, ...] = ()
    if order_type == 0:
        order_bits = bits.exp_golomb() + 4
    elif order_type == 1:
        no_deltas = bool(bits.read(1))
        non_reference, top_to_bottom = bits.signed_exp_golomb(), bits.signed_exp_golomb()
        cycle = tuple(bits.signed_exp_golomb() for _ in range(min(bits.exp_golomb(), 255)))
    bits.exp_golomb()
    gaps = bool(bits.read(1))
    bits.exp_golomb()
    bits.exp_golomb()
    frames_only = bool(bits.read(1))
    return number, Sps(
        separate,
        chroma != 0 and not separate,
        number_bits,
        gaps,
        order_type,
        order_bits,
        no_deltas,
        non_reference,
        top_to_bottom,
        cycle,
        frames_only,
    )


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_exp_golomb()) % 256
        last = following or last


def read_pps(bits: Bits) -> tuple[int, Pps]:
    """Likewise, of a picture parameter set; EOFError for one with slice groups too."""
    number, sps = bits.exp_golomb(), bits.exp_golomb()
    bits.read(1)
    order_present = bool(bits.read(1))
    if bits.exp_golomb():
        raise EOFError  # slice groups: only in profiles without anything to find here
    references = (bits.exp_golomb() + 1, bits.exp_golomb() + 1)
    weighted, weighted_b = bool(bits.read(1)), bits.read(2)
    for _ in range(3):
        bits.signed_exp_golomb()
    bits.read(2)
    return number, Pps(sps, order_present, references, weighted, weighted_b, bool(bits.read(1)))


def _cycled(head: Slice, count: int) -> int:
    """Picture order count of type 1 (8.2.1.2)."""
    sps = head.sps
    length = len(sps.cycle)
    place = count if length else 0
    if not head.reference and place > 0:
        place -= 1
    expected = 0
    if place > 0:
        rounds, rest = divmod(place - 1, length)
        expected = rounds * sum(sps.cycle) + sum(sps.cycle[: rest + 1])
    if not head.reference:
        expected += sps.non_reference_offset
    top = expected + head.deltas[0]
    if head.structure == FRAME_PICTURE:
        return min(top, top + sps.top_to_bottom + head.deltas[1])
    return top if head.structure == TOP else expected + sps.top_to_bottom + head.deltas[0]


def _resets(bits: Bits, kind: int, sps: Sps, pps: Pps) -> bool:
    """Whether reference marking holds operation 5, read from behind the picture order count of a slice header."""
    if pps.redundant:
        bits.exp_golomb()
    counts = list(pps.references)
    if kind == 1:
        bits.read(1)
    if kind in (0, 1, 3) and bits.read(1):
        counts[0] = bits.exp_golomb() + 1
        if kind == 1:
            counts[1] = bits.exp_golomb() + 1
    lists = {0: 1, 1: 2, 3: 1}.get(kind, 0)
    for _ in range(lists):
        if bits.read(1):
            while bits.exp_golomb() != 3:
                bits.exp_golomb()
    if (pps.weighted and kind in (0, 3)) or (pps.weighted_b == 1 and kind == 1):
        bits.exp_golomb()
        if sps.chroma:
            bits.exp_golomb()
        for count in counts[:lists]:
            for _ in range(min(count, 32)):
                for values in (2, 4) if sps.chroma else (2,):
                    if bits.read(1):
                        for _ in range(values):
                            bits.signed_exp_golomb()
    if not bits.read(1):
        return False
    while operation := bits.exp_golomb():
        if operation == 5:
            return True
        for _ in range({1: 1, 2: 1, 3: 2, 4: 1, 6: 1}.get(operation, 0)):
            bits.exp_golomb()
    return False
