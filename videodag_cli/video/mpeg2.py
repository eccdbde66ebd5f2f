"""What the slices of MPEG-2 pictures tell of rows that are missing (ITU-T H.262, 6.2.2 to 6.2.4 and 6.1.2.2): FFmpeg hands out
pictures without their last row as good, with what was in memory there."""

from __future__ import annotations

import re

from videodag_cli.video.slices import PacketSlices

_CODE = re.compile(rb"\x00\x00\x01([\x00-\xaf\xb3\xb5])", re.DOTALL)
_PICTURE, _SEQUENCE, _EXTENSION = 0, 0xB3, 0xB5
_FRAME = 3
_B_PICTURE = 3
MAX_HEIGHT = 2800
"""In higher pictures, the code of a slice does not tell its row alone."""


class Mpeg2Rows:
    """Call `look` with each packet: every row of macroblocks begins with a slice, in MPEG-2 but not in MPEG-1."""

    def __init__(self, extradata: bytes) -> None:
        self._height = 0
        self.look(memoryview(extradata))

    def look(self, packet: memoryview) -> PacketSlices:
        data = bytes(packet)
        lacking = False
        disposable: bool | None = None
        structure = 0
        rows: set[int] = set()
        for found in _CODE.finditer(data):
            code, at = data[found.end() - 1], found.end()
            if code == _PICTURE:
                lacking = lacking or self._lacks(rows, structure)
                rows, structure = set(), 0
                b_picture = at + 1 < len(data) and data[at + 1] >> 3 & 7 == _B_PICTURE
                disposable = b_picture and disposable is not False
            elif code == _SEQUENCE and at + 2 < len(data):
                self._height = (data[at + 1] & 15) << 8 | data[at + 2]
            elif code == _EXTENSION:
                if disposable is not None and at + 2 < len(data) and data[at] >> 4 == 8:
                    structure = data[at + 2] & 3
            elif code:
                rows.add(code)
        return PacketSlices(lacking=lacking or self._lacks(rows, structure), disposable=bool(disposable))

    def _lacks(self, rows: set[int], structure: int) -> bool:
        if not structure or not 0 < self._height <= MAX_HEIGHT:
            return False
        lines = self._height if structure == _FRAME else (self._height + 1) // 2
        return not rows.issuperset(range(1, (lines + 15) // 16 + 1))
