"""What the headers of an MPEG-4 Part 2 stream say (ISO/IEC 14496-2, 6.2.3, VideoObjectLayer)."""

from __future__ import annotations

import re

from videodag_cli.video.bits import Bits

_VOL = re.compile(rb"\x00\x00\x01[\x20-\x2f]")


def is_progressive(extradata: bytes) -> bool:
    """Whether the stream's header proves that no picture is interlaced; False where it is missing, odd or cut."""
    start = _VOL.search(extradata)
    if start is None:
        return False
    try:
        return _interlaced_flag(Bits(extradata[start.end() : start.end() + 64])) == 0
    except EOFError:
        return False


def _interlaced_flag(bits: Bits) -> int:
    bits.read(1 + 8)  # random_accessible_vol, video_object_type_indication
    if bits.read(1):  # is_object_layer_identifier
        bits.read(4 + 3)
    if bits.read(4) == 15:  # aspect_ratio_info: extended
        bits.read(8 + 8)
    if bits.read(1):  # vol_control_parameters
        bits.read(2 + 1)
        if bits.read(1):  # vbv_parameters
            bits.read(79)
    if bits.read(2) != 0:  # video_object_layer_shape: anything but rectangular
        return 1
    bits.read(1)
    resolution = bits.read(16)
    bits.read(1)
    if bits.read(1):  # fixed_vop_rate
        bits.read(max(1, (resolution - 1).bit_length()))
    bits.read(1 + 13 + 1 + 13 + 1)  # width and height between markers
    return bits.read(1)
