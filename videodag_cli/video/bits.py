"""Reading headers bit by bit."""

from __future__ import annotations


class Bits:
    """The bits of `data` from the first one on; raises EOFError behind the last one."""

    __slots__ = ("_left", "_value")

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def read(self, count: int) -> int:
        """A number of `count` bits."""
        if count > self._left:
            raise EOFError
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        """A number in Exp-Golomb code (ITU-T H.264, 9.1)."""
        rest = self._value & ((1 << self._left) - 1)
        length = rest.bit_length()
        zeros = self._left - length
        if length <= zeros:
            raise EOFError
        self._left = length - zeros - 1
        return (rest >> self._left) - 1

    def signed_exp_golomb(self) -> int:
        """A signed number in Exp-Golomb code."""
        code = self.exp_golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def unescaped(unit: bytes) -> bytes:
    """The content of an H.264 or HEVC unit without the bytes that keep start codes out of it."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00")
