"""Where decoding can start: read from a packet's own bytes, because containers call more packets keyframes than are.

Sources: H.264 (ITU-T H.264, 7.3 and D.2.8), HEVC (ITU-T H.265, 7.4.2.2), MPEG-4 part 2 (ISO/IEC 14496-2, 6.2.5), MPEG-2
(ITU-T H.262, 6.2.3), VP9 bitstream specification 6.2, AV1 bitstream specification 5.9.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from videodag_cli.video.headers import Headers, NoHeaders
from videodag_cli.video.index import BROKEN, DISPOSABLE, ENTRY
from videodag_cli.video.mpeg2 import Mpeg2Rows
from videodag_cli.video.packet_headers import Av1Headers, JpegTables, Mpeg2Headers, Mpeg4Headers, obus
from videodag_cli.video.parameter_sets import H264Sets, HevcSets, ParameterSets, nal_units
from videodag_cli.video.slices import PacketSlices, SliceCounts, Slices

PictureTest = Callable[[memoryview], bool]

INTRA_ONLY = frozenset({"mjpeg", "prores", "dnxhd", "png", "dvvideo", "rawvideo", "v210", "jpeg2000"})
"""Codecs in which every picture can be decoded on its own."""
_HEAD_BYTES = 8192


class Entries:
    """Finds the packets at which decoding can start, and those whose picture cannot be correct, from all packets in their order."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._headers = _follower(codec, extradata)
        self._slices: Slices | Mpeg2Rows | None = None
        if isinstance(self._headers, ParameterSets):
            self._slices = Slices(self._headers)
        elif codec == "mpeg2video":
            self._slices = Mpeg2Rows(extradata)
        self._intra_only = codec in INTRA_ONLY
        self._test = None if self._headers is None else _picture_test(codec, self._headers)
        self._counts = SliceCounts()

    def look(self, packet: memoryview, *, keyframe: bool, extradata: bytes | None) -> int:
        """ENTRY, BROKEN and DISPOSABLE, as far as they are true of the packet.

        extradata: of a sample description that begins with it.
        """
        if self._headers is None:
            self._counts.add(PacketSlices(), keyframe=keyframe)
            return 0
        has_headers = self._headers.follow(packet, extradata=extradata)
        seen = PacketSlices() if self._slices is None else self._slices.look(packet)
        self._counts.add(seen, keyframe=keyframe)
        if self._intra_only:
            return ENTRY if has_headers else 0
        begins = keyframe and has_headers and self._test is not None and self._test(packet)
        found = ENTRY if begins else 0
        if seen.several or seen.lacking or (seen.gap and not begins):
            found |= BROKEN
        if seen.disposable and not seen.several and not seen.gap:
            found |= DISPOSABLE
        return found

    def lacking(self) -> NDArray[np.bool_]:
        """By position: slices of the picture are missing."""
        return self._counts.lacking()

    def slices_vary(self) -> bool:
        """Nothing shows whether pictures lack slices."""
        return self._counts.vary()

    def pass_by(self, *, extradata: bytes | None) -> None:
        """A packet whose bytes are not in the file."""
        self._counts.add(PacketSlices(), keyframe=False)
        if self._headers is not None:
            self._headers.pass_by(extradata=extradata)

    @property
    def headers_differ(self) -> bool:
        """Some packets are to be decoded with other headers than the container's; True where they are not understood."""
        return self._headers is None or self._headers.differ

    @property
    def headers_change(self) -> bool:
        """The headers are not the same for all packets; True where they are not understood."""
        return self._headers is None or self._headers.change


def _picture_test(codec: str, headers: Headers) -> PictureTest | None:
    """A test of packets' first pictures; None where nothing is known, so that decoding only ever starts at the first packet."""
    if isinstance(headers, H264Sets):
        return lambda packet: _is_h264_entry(packet, headers.length_bytes)
    if isinstance(headers, HevcSets):
        return lambda packet: _is_hevc_entry(packet, headers.length_bytes)
    return {"mpeg4": _is_mpeg4_entry, "mpeg2video": _is_mpeg2_entry, "vp9": _is_vp9_entry, "av1": _is_av1_entry}.get(
        codec
    )


def droppable(codec: str, extradata: bytes) -> bool:
    """Whether a decoder may drop the frames it finds unreferenced without changing any other frame.

    Not so in HEVC with temporal layers, where such a frame may be referenced from a higher layer.
    """
    if codec == "hevc" and len(extradata) > 22:
        return (extradata[21] >> 3) & 7 == 1
    return codec in ("h264", "mpeg2video")


def _is_h264_entry(packet: memoryview, length_bytes: int) -> bool:
    recovers = False
    for nal in nal_units(packet, length_bytes):
        kind = nal[0] & 31 if len(nal) else 0
        if kind == 6:
            recovers = recovers or _recovers_at_once(bytes(nal[1:_HEAD_BYTES]))
        elif kind in (1, 2, 5):
            return kind == 5 or (recovers and kind == 1)
    return False


def _recovers_at_once(sei: bytes) -> bool:
    """Whether an SEI unit holds a recovery point with no frame in between, from which all is exact."""
    sei = sei.replace(b"\x00\x00\x03", b"\x00\x00")
    at = 0
    while at + 2 < len(sei):
        numbers = []
        for _ in range(2):
            value = 0
            while at < len(sei) and sei[at] == 255:
                value += 255
                at += 1
            if at >= len(sei):
                return False
            numbers.append(value + sei[at])
            at += 1
        kind, size = numbers
        if kind == 6:
            return at < len(sei) and sei[at] & 0xC0 == 0xC0  # recovery_frame_cnt, ue(v) of 0; exact_match_flag
        at += size
    return False


def _is_hevc_entry(packet: memoryview, length_bytes: int) -> bool:
    for nal in nal_units(packet, length_bytes):
        kind = (nal[0] >> 1) & 63 if len(nal) else 63
        if kind < 32:
            return 16 <= kind <= 21
    return False


def _is_mpeg4_entry(packet: memoryview) -> bool:
    head = bytes(packet[:_HEAD_BYTES])
    at = head.find(b"\x00\x00\x01\xb6")
    return 0 <= at < len(head) - 4 and head[at + 4] >> 6 == 0


def _is_mpeg2_entry(packet: memoryview) -> bool:
    head = bytes(packet[:_HEAD_BYTES])
    at = head.find(b"\x00\x00\x01\x00")
    return 0 <= at < len(head) - 5 and (head[at + 5] >> 3) & 7 == 1


def _is_vp9_entry(packet: memoryview) -> bool:
    if len(packet) < 5 or packet[0] >> 6 != 2:
        return False
    profile = (packet[0] >> 5 & 1) | (packet[0] >> 4 & 1) << 1
    bits = int.from_bytes(packet[:5], "big")
    at = 4 + (profile == 3)
    show_existing, frame_type = bits >> (39 - at) & 1, bits >> (38 - at) & 1
    sync = bits >> (40 - at - 4 - 24) & 0xFFFFFF if at == 4 else 0x498342
    return not show_existing and not frame_type and sync == 0x498342


def _is_av1_entry(packet: memoryview) -> bool:
    for kind, content in obus(packet):
        if kind in (3, 6):
            return len(content) > 0 and content[0] >> 4 == 1  # a new key frame that is shown
    return False


def _follower(codec: str, extradata: bytes) -> Headers | None:
    """What follows the headers of a stream; None where they are not understood."""
    try:
        if codec == "h264":
            return H264Sets(extradata)
        if codec == "hevc":
            return HevcSets(extradata)
    except ValueError:
        return None
    if codec == "mpeg4":
        return Mpeg4Headers(extradata)
    if codec == "mpeg2video":
        return Mpeg2Headers(extradata)
    if codec == "mjpeg":
        return JpegTables(extradata)
    if codec == "av1":
        return Av1Headers(extradata)
    return NoHeaders(extradata)
