"""Where decoding can start: read from a packet's own bytes, because containers call more packets keyframes than are.

Sources: H.264 (ITU-T H.264, 7.3 and D.2.8), HEVC (ITU-T H.265, 7.4.2.2), MPEG-4 part 2 (ISO/IEC 14496-2, 6.2.5), MPEG-2
(ITU-T H.262, 6.2.3), VP9 bitstream specification 6.2, AV1 bitstream specification 5.9.2.
"""

from __future__ import annotations

from collections.abc import Callable

from videodag_cli.video.headers import H264Sets, Headers, HevcSets, follower, nal_units, obus

PictureTest = Callable[[memoryview], bool]

INTRA_ONLY = frozenset({"mjpeg", "prores", "dnxhd", "png", "dvvideo", "rawvideo", "v210", "jpeg2000"})
"""Codecs whose every picture stands alone."""
_HEAD_BYTES = 8192


class Entries:
    """Finds the packets at which decoding can start, from all packets in their order."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self.headers = follower(codec, extradata)
        self._intra_only = codec in INTRA_ONLY
        self._test = None if self.headers is None else _picture_test(codec, self.headers)

    def begins(self, packet: memoryview, *, keyframe: bool, extradata: bytes | None) -> bool:
        """Whether the packet is one; extradata: of a sample description that begins with it."""
        if self.headers is None:
            return False
        has_headers = self.headers.follow(packet, extradata=extradata)
        if self._intra_only:
            return has_headers
        return keyframe and has_headers and self._test is not None and self._test(packet)

    def pass_by(self, *, extradata: bytes | None) -> None:
        """A packet whose bytes are not in the file."""
        if self.headers is not None:
            self.headers.pass_by(extradata=extradata)

    @property
    def headers_differ(self) -> bool:
        """Some packets are to be decoded with other headers than the container's; True where they are not understood."""
        return self.headers is None or self.headers.differ

    @property
    def headers_change(self) -> bool:
        """The headers are not the same for all packets; True where they are not understood."""
        return self.headers is None or self.headers.change


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
