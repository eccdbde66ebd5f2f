"""Parameter sets of H.264 and HEVC in packets of units that follow their lengths. Sources: see `headers`."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator

from videodag_cli.video.bits import Bits, unescaped
from videodag_cli.video.headers import MAX_UNITS, Brought, Header, Headers


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
