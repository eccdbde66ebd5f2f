"""Headers of codecs whose packets bring them between start codes, markers or in units of their own: MPEG-4, MPEG-2, JPEG, AV1.

Sources: see `headers`.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator

from videodag_cli.video.headers import MAX_UNITS, Brought, Header, Headers

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
