"""What the headers of an MPEG-4 Part 2 stream say (ISO/IEC 14496-2, 6.2.3, VideoObjectLayer)."""

from __future__ import annotations

import re
from typing import NamedTuple

from videodag_cli.video.bits import Bits

_VOL = re.compile(rb"\x00\x00\x01[\x20-\x2f]")


class Layer(NamedTuple):
    """What a video object layer says of its pictures."""

    time_bits: int
    """Length of a picture's time within its second."""
    interlaced: bool
    """Pictures may be interlaced."""


def is_progressive(extradata: bytes) -> bool:
    """Whether the stream's header proves that no picture is interlaced; False where it is missing, odd or cut."""
    layer = read_layer(extradata)
    return layer is not None and not layer.interlaced


def read_layer(data: bytes) -> Layer | None:
    """The first layer's header in some data; None where it is missing, odd or cut."""
    start = _VOL.search(data)
    if start is None:
        return None
    bits = Bits(data[start.end() : start.end() + 64])
    try:
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
            return None
        bits.read(1)
        time_bits = max(1, (bits.read(16) - 1).bit_length())
        bits.read(1)
        if bits.read(1):  # fixed_vop_rate
            bits.read(time_bits)
        bits.read(1 + 13 + 1 + 13 + 1)  # width and height between markers
        return Layer(time_bits, bool(bits.read(1)))
    except EOFError:
        return None
