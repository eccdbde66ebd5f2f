"""Which headers are in force at a packet, and whether a decoder that starts there holds them.

Headers apply until others replace them, so a keyframe alone is no place to start at: the parameter sets it needs may have come
with an earlier packet, or have been replaced there. Sources: H.264 (ITU-T H.264, 7.3.2), HEVC (ITU-T H.265, 7.3.2), MPEG-4
part 2 (ISO/IEC 14496-2, 6.2.3), MPEG-2 (ITU-T H.262, 6.2.2 and 6.2.3.2), AV1 bitstream specification 5.5, JPEG (ITU-T T.81,
B.2.4), `avcC` and `hvcC` (ISO/IEC 14496-15, 5.3.3 and 8.3.3).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

from videodag_cli.video.bits import Bits, unescaped

MAX_UNITS = 4096
"""Units of a packet that are looked at; no picture has as many slices."""


class Header(NamedTuple):
    name: object
    """Its kind, and its number where there are several of a kind: it replaces the one of the same name."""
    content: bytes
    parent: object = None
    """The header that it refers to, and with which it goes when that one is replaced."""


Held = dict[object, Header]
Brought = tuple[list[Header], list[Header]]
"""The headers of a packet: those before the data of its first picture, and the others."""


class Headers(ABC):
    """Follows the headers of a stream through its packets, in decoding order."""

    def __init__(self, extradata: bytes) -> None:
        self.differ = False
        """Some packet so far was to be decoded with other headers than the container's."""
        self.change = False
        """They were not the same for all packets so far."""
        self._opened: Held = {}
        self._give(self._opened, extradata)
        self._described = self._opened
        self._in_force = dict(self._opened)
        self._first: Held | None = None

    def pass_by(self, *, extradata: bytes | None) -> None:
        """A packet that no decoder gets to see. extradata: as in `follow`."""
        if extradata is not None:
            self._describe(extradata)
            self._in_force = {"lost": Header("lost", b"")}
            self.differ = self.change = True

    def follow(self, packet: memoryview, *, extradata: bytes | None) -> bool:
        """Whether a decoder opened for this packet holds at its first picture what one that came here by decoding does.

        extradata: of the sample description that begins with this packet; None where the last one goes on.
        """
        if extradata is not None:
            self._describe(extradata)
            self._give(self._in_force, extradata)
        before, behind = self._brought(packet)
        fresh = self._described
        if before:
            fresh = dict(fresh)
            for header in before:
                _take(fresh, header)
                _take(self._in_force, header)
        stands_alone = fresh == self._in_force
        self.differ = self.differ or self._in_force != self._opened
        for header in behind:
            _take(self._in_force, header)
        if self._first is None:
            self._first = dict(self._in_force)
        self.change = self.change or self._in_force != self._first
        return stands_alone

    def _describe(self, extradata: bytes) -> None:
        self._described = dict(self._opened)
        self._give(self._described, extradata)

    def _give(self, held: Held, extradata: bytes) -> None:
        for header in self._unpacked(extradata):
            _take(held, header)

    @abstractmethod
    def _unpacked(self, extradata: bytes) -> list[Header]:
        """The headers in a sample description."""

    @abstractmethod
    def _brought(self, packet: memoryview) -> Brought: ...


def _take(held: Held, header: Header) -> None:
    name = header.name
    if held.get(name) == header:
        return
    held[name] = header
    for user in [user for user in held.values() if user.parent is not None and user.parent == name]:
        if held.get(user.name) is user:
            _drop(held, user.name)


def _drop(held: Held, name: object) -> None:
    del held[name]
    for user in [user for user in held.values() if user.parent is not None and user.parent == name]:
        if held.get(user.name) is user:
            _drop(held, user.name)


def follower(codec: str, extradata: bytes) -> Headers | None:
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


class NoHeaders(Headers):
    """Codecs whose packets bring all they need."""

    def _unpacked(self, extradata: bytes) -> list[Header]:
        return []

    def _brought(self, packet: memoryview) -> Brought:
        return [], []


class ParameterSets(Headers):
    """H.264 and HEVC in packets of units that follow their lengths; ValueError for a sample description of another form."""

    def __init__(self, extradata: bytes) -> None:
        self.length_bytes, _ = self._unwrap(extradata)
        """Bytes of a unit's length, in the sample description that was last met."""
        self._mysteries = 0
        super().__init__(extradata)

    def _unpacked(self, extradata: bytes) -> list[Header]:
        try:
            self.length_bytes, units = self._unwrap(extradata)
        except ValueError:
            return [self._mystery()]
        return [self._header(unit) for unit in units if self._is_set(unit)]

    def _brought(self, packet: memoryview) -> Brought:
        if self._is_description(packet):
            return [self._mystery()], []
        before: list[Header] = []
        behind: list[Header] = []
        brought = before
        for unit in nal_units(packet, self.length_bytes):
            if self._is_picture(unit):
                brought = behind
            elif self._is_set(unit):
                brought.append(self._header(unit))
                if bytes(unit).find(b"\0\0\1") >= 0:  # more units behind it, without lengths
                    brought.append(self._mystery())
        return before, behind

    def _header(self, unit: memoryview) -> Header:
        content = bytes(unit).rstrip(b"\0")
        try:
            return self._named(content, Bits(unescaped(content[:64])))
        except EOFError:
            return self._mystery()

    def _mystery(self) -> Header:
        """Something that is not understood, so that nothing equals it."""
        self._mysteries += 1
        return Header(("not understood", self._mysteries), b"")

    def in_force(self, name: object) -> Header:
        """The header of that name; LookupError if there is none."""
        return self._in_force[name]

    def _is_description(self, packet: memoryview) -> bool:
        """FFmpeg takes a packet that has this form as global headers."""
        return len(packet) >= 9 and packet[0] == 1 and packet[2] == 0 and packet[4] & 0xFC == 0xFC

    @property
    def one_layer(self) -> bool:
        """The sample description says that there is one temporal layer."""
        return False

    @staticmethod
    @abstractmethod
    def _unwrap(extradata: bytes) -> tuple[int, list[memoryview]]:
        """Bytes of a unit's length, and the units; ValueError where it has another form."""

    @staticmethod
    @abstractmethod
    def _is_picture(unit: memoryview) -> bool: ...

    @staticmethod
    @abstractmethod
    def _is_set(unit: memoryview) -> bool: ...

    @staticmethod
    @abstractmethod
    def _named(content: bytes, bits: Bits) -> Header: ...


class H264Sets(ParameterSets):
    """FFmpeg's decoder also goes by the version of x264 in the first packet: it makes up for faults of old ones."""

    _ENCODER = re.compile(rb"x264 - core (\d{1,9})")
    _MADE_UP_FOR = 151
    """Versions before this one coded pictures of the profile `_LOSSLESS` otherwise than the standard."""
    _LOSSLESS = 244
    """High 4:4:4 Predictive."""
    _FIRST_MADE_UP_FOR = 34
    """The same for B-pictures of every profile."""

    def _brought(self, packet: memoryview) -> Brought:
        before, behind = super()._brought(packet)
        for unit in nal_units(packet, self.length_bytes):
            if self._is_picture(unit):
                break
            if unit[0] & 31 == 6:
                before += self._encoder(bytes(unit), before)
        return before, behind

    def _encoder(self, sei: bytes, before: list[Header]) -> list[Header]:
        """The version of the encoder, where it makes a difference."""
        found = self._ENCODER.search(sei)
        if found is None:
            return []
        version = int(found[1])
        held = [*self._in_force.values(), *before]
        lossless = any(header.content[1:2] == bytes([self._LOSSLESS]) for header in held)
        if version < self._FIRST_MADE_UP_FOR or (version < self._MADE_UP_FOR and lossless):
            return [Header("encoder", found[1])]
        return [Header("encoder", b"")] if "encoder" in self._in_force else []

    @staticmethod
    def _unwrap(extradata: bytes) -> tuple[int, list[memoryview]]:
        if len(extradata) < 7 or extradata[0] != 1:
            raise ValueError("not an avcC")
        at, units = 5, []
        for mask in (31, 255):
            count, at = _byte(extradata, at) & mask, at + 1
            for _ in range(count):
                unit, at = _sized(extradata, at)
                units.append(unit)
        return (extradata[4] & 3) + 1, units

    @staticmethod
    def _is_picture(unit: memoryview) -> bool:
        return unit[0] & 31 in (1, 2, 5)

    @staticmethod
    def _is_set(unit: memoryview) -> bool:
        return unit[0] & 31 in (7, 8)

    @staticmethod
    def _named(content: bytes, bits: Bits) -> Header:
        kind = bits.read(8) & 31
        if kind == 7:
            bits.read(24)
            return Header((7, bits.exp_golomb()), content)
        return Header((8, bits.exp_golomb()), content, parent=(7, bits.exp_golomb()))


class HevcSets(ParameterSets):
    def __init__(self, extradata: bytes) -> None:
        super().__init__(extradata)
        self._one_layer = extradata[21] >> 3 & 7 == 1

    @property
    def one_layer(self) -> bool:
        return self._one_layer

    @staticmethod
    def _unwrap(extradata: bytes) -> tuple[int, list[memoryview]]:
        if len(extradata) < 23 or extradata[0] != 1:
            raise ValueError("not an hvcC")
        at, units = 23, []
        for _ in range(extradata[22]):
            count, at = _byte(extradata, at + 1) << 8 | _byte(extradata, at + 2), at + 3
            for _ in range(count):
                unit, at = _sized(extradata, at)
                units.append(unit)
        return (extradata[21] & 3) + 1, units

    @staticmethod
    def _is_picture(unit: memoryview) -> bool:
        return (unit[0] >> 1) & 63 < 32

    @staticmethod
    def _is_set(unit: memoryview) -> bool:
        return 32 <= (unit[0] >> 1) & 63 <= 34

    @staticmethod
    def _named(content: bytes, bits: Bits) -> Header:
        head = bits.read(16)
        kind, layer = head >> 9 & 63, head >> 3 & 63
        if kind == 32:
            return Header((32, bits.read(4)), content)
        if kind == 34:
            return Header((34, bits.exp_golomb()), content, parent=(33, bits.exp_golomb()))
        parent, sub_layers = (32, bits.read(4)), bits.read(3)
        if layer == 0 or sub_layers != 7:
            _skip_profiles(bits, sub_layers)
        return Header((33, bits.exp_golomb()), content, parent=parent)


def _skip_profiles(bits: Bits, sub_layers: int) -> None:
    """temporal_id_nesting_flag and profile_tier_level."""
    bits.read(1 + 88 + 8)
    told = [(bits.read(1), bits.read(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.read(2 * (8 - sub_layers))
    for profile, level in told:
        bits.read(88 * profile + 8 * level)


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("cut")
    return data[at]


def _sized(data: bytes, at: int) -> tuple[memoryview, int]:
    """A unit behind its length of two bytes, and where it ends."""
    end = at + 2 + (_byte(data, at) << 8 | _byte(data, at + 1))
    if end > len(data) or end == at + 2:
        raise ValueError("cut")
    return memoryview(data)[at + 2 : end], end


def nal_units(packet: memoryview, length_bytes: int) -> Iterator[memoryview]:
    """The units of a packet, each after its length, up to one that is empty or cut: no decoder reads on there."""
    at, end = 0, len(packet)
    for _ in range(MAX_UNITS):
        if at + length_bytes >= end:
            return
        size = int.from_bytes(packet[at : at + length_bytes], "big")
        at += length_bytes
        if size == 0 or at + size > end:
            return
        yield packet[at : at + size]
        at += size


_START = re.compile(rb"\x00\x00\x01")


class StartCodes(Headers):
    """Units behind start codes."""

    wanted: re.Pattern[bytes]
    """The start codes of headers and of pictures' data."""

    def _unpacked(self, extradata: bytes) -> list[Header]:
        before, behind = self._brought(memoryview(extradata))
        return before + behind

    def _brought(self, packet: memoryview) -> Brought:
        before: list[Header] = []
        behind: list[Header] = []
        brought = before
        for found in self.wanted.finditer(packet):
            code = found[0][3]
            if self._is_picture(code):
                brought = behind
                continue
            end = _START.search(packet, found.end())
            brought.extend(self._read(code, bytes(packet[found.end() : end.start() if end else len(packet)])))
        return before, behind

    @staticmethod
    @abstractmethod
    def _is_picture(code: int) -> bool: ...

    @staticmethod
    @abstractmethod
    def _read(code: int, content: bytes) -> list[Header]: ...


class Mpeg4Headers(StartCodes):
    """Decoders also go by the names that encoders leave in user data: other transforms, other faults to make up for."""

    wanted = re.compile(rb"\x00\x00\x01[\x20-\x2f\xb0\xb2\xb5\xb6]")

    @staticmethod
    def _is_picture(code: int) -> bool:
        return code == 0xB6

    @staticmethod
    def _read(code: int, content: bytes) -> list[Header]:
        if code != 0xB2:
            return [Header("layer" if code < 0x30 else code, content)]
        encoder = re.match(rb"DivX|FFmpe|ffmpeg|Lavc|XviD", content)
        return [Header(encoder[0], content)] if encoder else []


class Mpeg2Headers(StartCodes):
    """A sequence header sets the quantiser matrices back, so those that a picture brings last until the next one."""

    wanted = re.compile(rb"\x00\x00\x01[\x01\xb3\xb5]")

    @staticmethod
    def _is_picture(code: int) -> bool:
        return code == 1

    @staticmethod
    def _read(code: int, content: bytes) -> list[Header]:
        if code == 0xB3:
            return [Header("sequence", content), Header("extension 1", b""), Header("extension 3", b"")]
        extension = content[0] >> 4 if content else 0
        return [Header(f"extension {extension}", content)] if extension in (1, 2, 3, 5) else []


class JpegTables(Headers):
    """Quantiser and Huffman tables, and the restart interval: pictures may rely on those of an earlier one."""

    def _unpacked(self, extradata: bytes) -> list[Header]:
        return []

    def _brought(self, packet: memoryview) -> Brought:
        found: list[Header] = []
        at, end = 2, len(packet)
        while at + 4 <= end and packet[at] == 0xFF and packet[at + 1] != 0xDA:
            marker, size = packet[at + 1], packet[at + 2] << 8 | packet[at + 3]
            content = bytes(packet[at + 4 : at + 2 + size])
            if marker == 0xDB:
                found += _tables(marker, content, lambda head, _: 128 if head & 0xF0 else 64)
            elif marker == 0xC4:
                found += _tables(marker, content, lambda _, rest: 16 + sum(rest[:16]))
            elif marker == 0xDD:
                found.append(Header(marker, content))
            at += 2 + max(size, 2)
        return found, []


def _tables(marker: int, content: bytes, size: Callable[[int, bytes], int]) -> list[Header]:
    """The tables of a segment: each is its number and as many bytes as `size` says."""
    found = []
    while content:
        count = 1 + size(content[0], content[1:])
        found.append(Header((marker, content[0] & 0x1F), content[:count]))
        content = content[count:]
    return found


class Av1Headers(Headers):
    """Decoders start with a sequence header from a packet."""

    def _unpacked(self, extradata: bytes) -> list[Header]:
        return []

    def _brought(self, packet: memoryview) -> Brought:
        before: list[Header] = []
        for kind, content in obus(packet):
            if kind in (3, 6):
                break
            if kind == 1:
                before.append(Header(kind, bytes(content)))
        return before, []


def obus(packet: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Kind and content of each unit of an AV1 packet."""
    at = 0
    for _ in range(MAX_UNITS):
        if at >= len(packet):
            return
        header = packet[at]
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
        yield header >> 3 & 15, packet[at : at + size]
        at += size
