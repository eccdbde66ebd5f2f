"""H.264 and MPEG-2 pictures written bit by bit, fields and frames, with exactly known pixels.

No encoder at hand writes a field as a picture of its own. Here each H.264 macroblock holds its pixels as they are (I_PCM, ITU-T
H.264, 7.3.5), whatever the type of the slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from tests.clips import paint
from tests.plain_mp4 import box

SIZE = (80, 64)
"""Width and height: a field has two rows of macroblocks."""
Planes = tuple[NDArray[np.uint8], ...]


class Bits:
    """Bits, most significant first."""

    def __init__(self) -> None:
        self.bits: list[str] = []

    def u(self, count: int, value: int) -> Bits:
        if count:
            self.bits.append(f"{value:0{count}b}")
        return self

    def ue(self, value: int) -> Bits:
        code = f"{value + 1:b}"
        self.bits.append("0" * (len(code) - 1) + code)
        return self

    def se(self, value: int) -> Bits:
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def align(self, filler: str = "0") -> Bits:
        spare = -sum(map(len, self.bits)) % 8
        self.bits.append(filler * spare)
        return self

    def raw(self, data: bytes) -> Bits:
        self.bits.append("".join(f"{byte:08b}" for byte in data))
        return self

    def trail(self) -> Bits:
        self.bits.append("1")
        return self.align()

    def done(self) -> bytes:
        text = "".join(self.bits)
        return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def planes(index: int) -> Planes:
    """The painted picture of that index as Y, U and V."""
    frame = av.VideoFrame.from_ndarray(paint(index, SIZE), format="bgr24").reformat(format="yuv420p")
    width, height = SIZE
    quarter = width * height // 4
    flat = np.asarray(frame.to_ndarray(), np.uint8).reshape(-1)
    return (
        flat[: width * height].reshape(height, width),
        flat[width * height : width * height + quarter].reshape(height // 2, width // 2),
        flat[width * height + quarter :].reshape(height // 2, width // 2),
    )


def _unit(kind: int, importance: int, content: bytes) -> bytes:
    """A NAL unit with its length; start codes are prevented inside."""
    escaped = bytearray()
    zeros = 0
    for byte in content:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return (1 + len(escaped)).to_bytes(4, "big") + bytes([importance << 5 | kind]) + bytes(escaped)


def _sps(order_type: int = 0) -> bytes:
    bits = Bits().u(8, 77).u(8, 0).u(8, 30).ue(0).ue(0).ue(order_type)
    if order_type == 0:
        bits.ue(2)  # log2_max_pic_order_cnt_lsb_minus4
    elif order_type == 1:
        bits.u(1, 0).se(-1).se(1).ue(1).se(2)  # deltas are sent; offsets of the cycle
    bits.ue(4).u(1, 0).ue(SIZE[0] // 16 - 1).ue(SIZE[1] // 32 - 1)
    bits.u(1, 0).u(1, 0).u(1, 1).u(1, 0).u(1, 0)  # fields may be, no MBAFF, direct 8x8, no cropping, no VUI
    return bits.trail().done()


def _pps(order_present: bool) -> bytes:
    bits = Bits().ue(0).ue(0).u(1, 0).u(1, int(order_present)).ue(0).ue(0).ue(0).u(1, 0).u(2, 0)
    return bits.se(0).se(0).se(0).u(1, 1).u(1, 0).u(1, 0).trail().done()


def h264_headers(*, order_type: int = 0, order_present: bool = False) -> bytes:
    """The `avcC` box."""
    sps, pps = _unit(7, 3, _sps(order_type))[4:], _unit(8, 3, _pps(order_present))[4:]
    content = b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps
    return box(b"avcC", content + b"\x01" + len(pps).to_bytes(2, "big") + pps)


@dataclass(frozen=True)
class H264Picture:
    """What the slice header says."""

    kind: str
    """`IDR`, `I`, `P` or `B`."""
    frame_number: int
    order: int
    """Picture order count."""
    field: str = ""
    """`top`, `bottom`, or a frame."""
    reference: bool = True
    resets: bool = False
    """Marking operation 5: the order starts anew behind this picture."""
    order_type: int = 0
    order_present: bool = False
    bottom_delta: int = 0
    """With `order_present`: how much later the bottom field of a frame is."""

    def data(self, image: Planes) -> bytes:
        """The picture as a NAL unit; `image` is the whole frame."""
        if self.field:
            image = tuple(plane[self.field == "bottom" :: 2] for plane in image)
        importance = 2 if self.reference else 0
        bits = Bits().ue(0).ue({"IDR": 7, "I": 7, "P": 5, "B": 6}[self.kind]).ue(0).u(4, self.frame_number % 16)
        bits.u(1, bool(self.field))
        if self.field:
            bits.u(1, self.field == "bottom")
        if self.kind == "IDR":
            bits.ue(0)
        if self.order_type == 0:
            bits.u(6, self.order % 64)
            if self.order_present and not self.field:
                bits.se(self.bottom_delta)
        elif self.order_type == 1:
            bits.se(self.order)
            if self.order_present and not self.field:
                bits.se(self.bottom_delta)
        if self.kind == "B":
            bits.u(1, 1)
        if self.kind in "PB":
            bits.u(1, 0)  # the numbers of references are those of the picture parameter set
            bits.u(1, 0)
            if self.kind == "B":
                bits.u(1, 0)
        if self.reference:
            if self.kind == "IDR":
                bits.u(2, 0)
            elif self.resets:
                bits.u(1, 1).ue(5).ue(0)
            else:
                bits.u(1, 0)
        bits.se(0).ue(1)
        prefix, mb_type = {"I": (False, 25), "IDR": (False, 25), "P": (True, 30), "B": (True, 48)}[self.kind]
        luma, *chroma = image
        for row in range(luma.shape[0] // 16):
            for column in range(luma.shape[1] // 16):
                if prefix:
                    bits.ue(0)
                bits.ue(mb_type).align()
                bits.raw(luma[16 * row : 16 * row + 16, 16 * column : 16 * column + 16].tobytes())
                for plane in chroma:
                    bits.raw(plane[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].tobytes())
        return _unit(5 if self.kind == "IDR" else 1, importance, bits.trail().done())


_LUMA_SIZES = ("100", "00", "01", "101", "110", "1110", "11110", "111110", "1111110")
_CHROMA_SIZES = ("00", "01", "10", "110", "1110", "11110", "111110", "1111110", "11111110")
"""dct_dc_size (ITU-T H.262, tables B.12 and B.13)."""


def mpeg2_sequence() -> bytes:
    """Sequence header and extension."""
    bits = Bits().u(32, 0x1B3).u(12, SIZE[0]).u(12, SIZE[1]).u(4, 1).u(4, 3).u(18, 0x3FFFF).u(1, 1).u(10, 100).u(3, 0)
    bits.u(32, 0x1B5).u(4, 1).u(8, 0x48).u(1, 0).u(2, 1).u(4, 0).u(12, 0).u(1, 1).u(8, 0).u(8, 0)
    return bits.done()


@dataclass(frozen=True)
class Mpeg2Picture:
    """All its macroblocks are intra, and each block is of one value."""

    kind: str
    """`I`, `P` or `B`."""
    order: int
    """Temporal reference."""
    field: str = ""

    def data(self, image: Planes) -> bytes:
        """The picture behind its headers; each block has the mean value of `image`, which is the whole frame."""
        if self.field:
            image = tuple(plane[self.field == "bottom" :: 2] for plane in image)
        bits = Bits().u(32, 0x100).u(10, self.order).u(3, "IPB".index(self.kind) + 1).u(16, 0xFFFF)
        bits.u(4 * "IPB".index(self.kind), 0x77 & (1 << 4 * "IPB".index(self.kind)) - 1).u(1, 0).align()
        structure = {"top": 1, "bottom": 2, "": 3}[self.field]
        bits.u(32, 0x1B5).u(4, 8).u(16, 0xFFFF if self.kind == "I" else 0x1111).u(2, 0).u(2, structure)
        bits.u(1, not self.field).u(1, not self.field).u(8, 0).u(1, 0).align()
        luma, blue, red = image
        for row in range(luma.shape[0] // 16):
            bits.u(32, 0x101 + row).u(5, 1).u(1, 0)
            predicted = [128, 128, 128]
            for column in range(luma.shape[1] // 16):
                bits.u(1, 1)
                bits.bits.append("1" if self.kind == "I" else "00011")
                y, x = 16 * row, 16 * column
                blocks = [(0, luma[y + dy : y + dy + 8, x + dx : x + dx + 8]) for dy in (0, 8) for dx in (0, 8)]
                blocks += [
                    (number, plane[y // 2 : y // 2 + 8, x // 2 : x // 2 + 8]) for number, plane in ((1, blue), (2, red))
                ]
                for number, block in blocks:
                    value = round(float(block.mean()))
                    _dc(bits, value - predicted[number], _CHROMA_SIZES if number else _LUMA_SIZES)
                    predicted[number] = value
            bits.align()
        return bits.done()


def _dc(bits: Bits, difference: int, sizes: tuple[str, ...]) -> None:
    size = abs(difference).bit_length()
    bits.bits.append(sizes[size])
    bits.u(size, difference if difference > 0 else difference + (1 << size) - 1)
    bits.bits.append("10")
