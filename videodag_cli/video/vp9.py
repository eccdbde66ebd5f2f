"""The sizes that VP9 frames state (VP9 bitstream specification, 6.2 and annex B)."""

from __future__ import annotations

from collections.abc import Iterator

from videodag_cli.video.bits import Bits

_SYNC = 0x498342
_HEADER_BYTES = 24


def frames_of(packet: memoryview) -> list[memoryview]:
    """The frames of a superframe (annex B), or the packet itself."""
    marker = packet[-1] if len(packet) else 0
    if marker & 0xE0 == 0xC0:
        count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
        start = len(packet) - 2 - count * width
        if start >= 0 and packet[start] == marker:
            frames, at = [], 0
            for number in range(count):
                place = start + 1 + number * width
                size = int.from_bytes(packet[place : place + width], "little")
                frames.append(packet[at : at + size])
                at += size
            return frames
    return [packet]


def stated_sizes(packet: memoryview) -> Iterator[tuple[int, int]]:
    """Width and height of each frame of a packet that states them; others take them from a frame they refer to."""
    for frame in frames_of(packet):
        try:
            size = _stated_size(Bits(bytes(frame[:_HEADER_BYTES])))
        except EOFError:
            size = None
        if size is not None:
            yield size


def _stated_size(bits: Bits) -> tuple[int, int] | None:
    if bits.read(2) != 2:
        return None
    profile = bits.read(1) | bits.read(1) << 1
    if profile == 3:
        bits.read(1)
    if bits.read(1):  # shows a frame again
        return None
    inter, shown, resilient = bits.read(1), bits.read(1), bits.read(1)
    if inter:
        intra_only = 0 if shown else bits.read(1)
        if not resilient:
            bits.read(2)
        if intra_only:
            if bits.read(24) != _SYNC:
                return None
            if profile > 0:
                _skip_colour(bits, profile)
            bits.read(8)
        else:
            bits.read(8 + 3 * 4)
            if any(bits.read(1) for _ in range(3)):  # stops at the first reference whose size it takes
                return None
    else:
        if bits.read(24) != _SYNC:
            return None
        _skip_colour(bits, profile)
    width, height = bits.read(16) + 1, bits.read(16) + 1
    return width, height


def _skip_colour(bits: Bits, profile: int) -> None:
    if profile >= 2:
        bits.read(1)
    if bits.read(3) != 7:
        bits.read(1)
        if profile in (1, 3):
            bits.read(3)
    elif profile in (1, 3):
        bits.read(1)
