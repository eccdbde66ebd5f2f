"""Which headers are in force at a packet, and whether a decoder that starts there holds them.

Headers apply until others replace them, so a keyframe alone is no place to start at: the parameter sets it needs may have come
with an earlier packet, or have been replaced there. Sources: H.264 (ITU-T H.264, 7.3.2), HEVC (ITU-T H.265, 7.3.2), MPEG-4
part 2 (ISO/IEC 14496-2, 6.2.3), MPEG-2 (ITU-T H.262, 6.2.2 and 6.2.3.2), AV1 bitstream specification 5.5, JPEG (ITU-T T.81,
B.2.4), `avcC` and `hvcC` (ISO/IEC 14496-15, 5.3.3 and 8.3.3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

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


class NoHeaders(Headers):
    """Codecs whose packets bring all they need."""

    def _unpacked(self, extradata: bytes) -> list[Header]:
        return []

    def _brought(self, packet: memoryview) -> Brought:
        return [], []
