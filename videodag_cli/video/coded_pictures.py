"""What each packet brings out of the decoder, read from its own bytes: a frame, one field of a frame, or no picture.

Sources: MPEG-4 part 2 (ISO/IEC 14496-2, 6.2.5), MPEG-2 (ITU-T H.262, 6.2.3), VP8 (RFC 6386, 9.1), VP9 bitstream specification 6.2
and annex B, AV1 bitstream specification 5.3 and 5.9.2. What cannot be read counts as a frame: damage is found by decoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from videodag_cli.video.coded_picture import FRAME, NOTHING, CodedPicture
from videodag_cli.video.h264 import H264Pictures
from videodag_cli.video.hevc import HevcPictures
from videodag_cli.video.mpeg4 import read_layer
from videodag_cli.video.vp9 import frames_of

PictureReader = Callable[[memoryview], CodedPicture]

REORDERING = frozenset(
    {"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "vc1", "wmv3", "vvc", "evc", "cavs", "rv40"}
)
"""Codecs that output pictures in another order than that of the packets."""
_LAST = 1 << 30
_VOP = b"\x00\x00\x01\xb6"
_MPEG2_HEADERS = frozenset({0xB2, 0xB3, 0xB5, 0xB7, 0xB8})
_MPEG4_HEADERS = frozenset({*range(0x30), 0xB0, 0xB1, 0xB2, 0xB3, 0xB5})
_PACKED = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:Build|b)\d+p")


def picture_reader(codec: str, extradata: bytes, *, thorough: bool = False) -> PictureReader | None:
    """What tells of each packet, given in decoding order, what it brings; None where every packet is a frame.

    thorough: leave nothing out that can change the order of output.
    """
    if codec == "h264" and len(extradata) > 6 and extradata[0] == 1:
        return H264Pictures(extradata, thorough=thorough)
    if codec == "hevc" and len(extradata) > 22 and extradata[0] == 1:
        return HevcPictures(extradata)
    if codec in ("mpeg2video", "mpeg1video"):
        return Mpeg2Pictures()
    if codec == "mpeg4":
        return Mpeg4Pictures(extradata)
    if codec == "av1":
        return Av1Pictures(extradata)
    return {"vp8": _vp8, "vp9": _vp9}.get(codec)


class _Anchored:
    """The order where each picture that others refer to is output when the next such one comes, and all others at once."""

    def __init__(self) -> None:
        self._anchors = 0
        self._since = 0

    def place(self, *, anchor: bool) -> tuple[int, int]:
        """Sequence and order of the next picture: the anchor comes behind those that follow it in the file."""
        if anchor:
            self._anchors += 1
            self._since = 0
            return self._anchors, _LAST
        self._since += 1
        return self._anchors, self._since

    def unreadable(self) -> CodedPicture:
        """A packet that may have held anything."""
        self._anchors += 2
        self._since = 0
        return FRAME

    @property
    def founded(self) -> bool:
        """Two pictures are there to refer to, or would be, if the file were whole."""
        return self._anchors > 1


class Mpeg2Pictures:
    def __init__(self) -> None:
        self._anchored = _Anchored()
        self._open: tuple[int, int] | None = None
        """Temporal reference and structure of a field whose other one has not come yet."""
        self._closed = False

    def __call__(self, packet: memoryview) -> CodedPicture:
        data = bytes(packet)
        group = data.find(b"\x00\x00\x01\xb8")
        at = data.find(b"\x00\x00\x01\x00")
        if at < 0:
            return NOTHING if _only_codes(data, _MPEG2_HEADERS) else self._anchored.unreadable()
        if 0 <= group < at and group + 7 < len(data):
            self._closed = bool(data[group + 7] & 0x40)
        if at + 6 > len(data):
            return self._anchored.unreadable()
        reference = data[at + 4] << 2 | data[at + 5] >> 6
        kind = data[at + 5] >> 3 & 7
        extension = data.find(b"\x00\x00\x01\xb5", at)
        structure = 3
        if 0 <= extension < len(data) - 6 and data[extension + 4] >> 4 == 8:
            structure = data[extension + 6] & 3
        first, self._open = self._open, None
        if structure != 3:
            if data.find(b"\x00\x00\x01\x00", at + 4) >= 0:
                structure = 3  # both fields are in this packet
            elif first == (reference, 3 - structure):
                return CodedPicture(second=True)
            else:
                self._open = (reference, structure)
        if kind == 3 and not self._anchored.founded and not self._closed:
            return NOTHING  # its references are not in the file
        sequence, order = self._anchored.place(anchor=kind != 3)
        return CodedPicture(True, False, sequence, order)


class Mpeg4Pictures:
    """Follows FFmpeg through DivX's packed streams, where a packet holds two pictures and a later one none."""

    def __init__(self, extradata: bytes) -> None:
        self._anchored = _Anchored()
        self._time_bits: int | None = None
        self._packed = False
        self._queued: int | None = None
        """The type of a picture that comes out in place of what the next packet holds."""
        self._take_headers(extradata)

    def _take_headers(self, data: bytes) -> None:
        layer = read_layer(data)
        if layer is not None:
            self._time_bits = layer.time_bits
        self._packed = self._packed or _PACKED.search(data) is not None

    def __call__(self, packet: memoryview) -> CodedPicture:
        data = bytes(packet)
        at = data.find(_VOP)
        if at < 0:
            empty = data == b"\x7f" or _only_codes(data, _MPEG4_HEADERS)
            return NOTHING if empty else self._anchored.unreadable()
        self._take_headers(data[:at])
        if data.find(b"\x00\x00\x01\xb0") == data.find(b"\x00\x00\x01"):
            self._queued = None
        kind, coded = self._vop(data, at)
        if self._queued is not None:
            following, kind, coded = (kind if coded else None), self._queued, True
        else:
            following = None
            behind = data.find(_VOP, at + 4) if self._packed and coded else -1
            if behind >= 0:
                following, more = self._vop(data, behind)
                following = following if more else None
        if not coded:
            return NOTHING
        self._queued = following
        if kind == 2 and not self._anchored.founded:
            return NOTHING
        sequence, order = self._anchored.place(anchor=kind != 2)
        return CodedPicture(True, False, sequence, order)

    def _vop(self, data: bytes, at: int) -> tuple[int, bool]:
        """Type of a picture, and whether it is coded at all."""
        head = data[at + 4 : at + 16]
        if not head:
            return 0, True
        bits, left = int.from_bytes(head, "big"), 8 * len(head) - 2
        kind = bits >> left
        if self._time_bits is None:
            return kind, True
        while left > 0 and bits >> (left - 1) & 1:
            left -= 1
        left -= 1 + 1 + self._time_bits + 1 + 1
        return kind, left < 0 or bool(bits >> left & 1)


def _only_codes(data: bytes, known: frozenset[int]) -> bool:
    """Whether the data starts with a start code and all its start codes are of these kinds."""
    codes = {data[found.end()] for found in re.finditer(rb"\x00\x00\x01(?=.)", data, re.DOTALL)}
    return data.startswith(b"\x00\x00\x01") and bool(codes) and codes <= known


def _vp8(packet: memoryview) -> CodedPicture:
    if len(packet) < 3 or packet[0] & 0x10:
        return FRAME
    whole = packet[0] & 1 or bytes(packet[3:6]) == b"\x9d\x01\x2a"
    return NOTHING if whole else FRAME


def _vp9(packet: memoryview) -> CodedPicture:
    return NOTHING if all(_vp9_hidden(frame) for frame in frames_of(packet)) else FRAME


def _vp9_hidden(frame: memoryview) -> bool:
    if len(frame) < 2 or frame[0] >> 6 != 2:
        return False
    bits = int.from_bytes(frame[:2], "big")
    at = 4 + (frame[0] >> 4 & 3 == 3)
    existing, shown = bits >> (15 - at) & 1, bits >> (15 - at - 2) & 1
    return not existing and not shown


class Av1Pictures:
    def __init__(self, extradata: bytes) -> None:
        self._reduced = False
        if len(extradata) > 4:
            self(memoryview(extradata)[4:])

    def __call__(self, packet: memoryview) -> CodedPicture:
        at, end = 0, len(packet)
        while at < end:
            header = packet[at]
            kind = header >> 3 & 15
            if header & 0x81 or not (1 <= kind <= 8 or kind == 15):
                return FRAME
            at += 2 if header & 4 else 1
            size = end - at
            if header & 2:
                size = shift = 0
                while True:
                    if at >= end or shift > 49:
                        return FRAME
                    byte = packet[at]
                    at += 1
                    size |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
            if at + size > end:
                return FRAME
            if kind == 1 and size:
                self._reduced = bool(packet[at] >> 3 & 1)
            elif kind in (3, 6) and size and (self._reduced or packet[at] & 0x90):
                return FRAME  # it is shown, or shows one that was hidden
            at += size
        return NOTHING if end else FRAME
