"""Where decoding can start: read from a packet's own bytes, because containers call more packets keyframes than are.

Sources: H.264 (ITU-T H.264, 7.3 and D.2.8), HEVC (ITU-T H.265, 7.4.2.2), MPEG-4 part 2 (ISO/IEC 14496-2, 6.2.5), MPEG-2
(ITU-T H.262, 6.2.3), VP9 bitstream specification 6.2, AV1 bitstream specification 5.9.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

EntryTest = Callable[[memoryview], bool]

INTRA_ONLY = frozenset({"mjpeg", "prores", "dnxhd", "png", "dvvideo", "rawvideo", "v210", "jpeg2000"})
"""Codecs whose every packet stands alone."""
_HEAD_BYTES = 8192


def entry_test(codec: str, extradata: bytes) -> EntryTest | None:
    """A test of packets for `codec`; None where nothing is known, so that decoding only ever starts at the first packet."""
    if codec in INTRA_ONLY:
        return lambda packet: True
    if codec == "h264" and len(extradata) > 4 and extradata[0] == 1:
        length_bytes = (extradata[4] & 3) + 1
        return lambda packet: _is_h264_entry(packet, length_bytes)
    if codec == "hevc" and len(extradata) > 22 and extradata[0] == 1:
        length_bytes = (extradata[21] & 3) + 1
        return lambda packet: _is_hevc_entry(packet, length_bytes)
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


def nal_units(packet: memoryview, length_bytes: int) -> Iterator[memoryview]:
    """The units of a packet, each after its length."""
    at = 0
    while at + length_bytes < len(packet):
        size = int.from_bytes(packet[at : at + length_bytes], "big")
        at += length_bytes
        yield packet[at : at + size]
        at += size


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
    """Whether an SEI unit holds a recovery point with no frame in between."""
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
            return at < len(sei) and bool(sei[at] & 0x80)  # ue(v) of 0 is the single bit 1
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
    at = 0
    while at < len(packet):
        header = packet[at]
        kind = header >> 3 & 15
        at += 2 if header & 4 else 1
        size = len(packet) - at
        if header & 2:
            size = shift = 0
            while at < len(packet) and shift < 56:
                byte = packet[at]
                size |= (byte & 127) << shift
                shift += 7
                at += 1
                if byte < 128:
                    break
        if kind in (3, 6):
            return at < len(packet) and packet[at] >> 4 == 1  # a new key frame that is shown
        at += size
    return False
