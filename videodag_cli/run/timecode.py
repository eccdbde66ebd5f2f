"""SMPTE timecode: `01:00:00:00`, with a semicolon before the frames where numbers are dropped (`01:00:00;00`).

Drop-frame counting leaves out the numbers 00 and 01 (00 to 03 at 59.94) of each minute that is not a multiple of ten, so that the clock
keeps up with 30000/1001 frames per second (SMPTE ST 12-1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_TEXT = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Timecode:
    """The timecode of a video's first frame, and how it counts on."""

    start: int
    """The number of the first frame, counted from 00:00:00:00."""
    rate: int
    """Frame numbers in a second: 30 for 29.97."""
    drop: bool

    @classmethod
    def parse(cls, text: str, frame_rate: Fraction) -> Timecode:
        """Raises ValueError for text that is not a timecode at this rate."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a timecode")
        hours, minutes, seconds, frames = (int(found[group]) for group in (1, 2, 3, 5))
        drop = found[4] != ":"
        rate = round(frame_rate)
        if rate < 1 or frame_rate not in (Fraction(rate), Fraction(rate * 1000, 1001)):
            raise ValueError(f"{frame_rate} frames per second have no timecode")
        if drop and (frame_rate.denominator == 1 or rate % 30):
            raise ValueError(
                f"drop-frame timecode belongs to 30000/1001 and 60000/1001 frames per second, not to {frame_rate}"
            )
        if hours > 23 or minutes > 59 or seconds > 59 or frames >= rate:
            raise ValueError(f"{text!r} is not a timecode at {rate} frames per second")
        dropped = rate // 15
        if drop and minutes % 10 and not seconds and frames < dropped:
            raise ValueError(f"{text!r} is a number that drop-frame counting leaves out")
        number = ((hours * 60 + minutes) * 60 + seconds) * rate + frames
        if drop:
            total = hours * 60 + minutes
            number -= dropped * (total - total // 10)
        return cls(number, rate, drop)

    def at(self, frame_index: int) -> str:
        """The timecode of a frame; after 24 hours it begins anew."""
        number = self.start + frame_index
        if self.drop:
            dropped = self.rate // 15
            minute = self.rate * 60 - dropped
            ten = minute * 10 + dropped
            number %= ten * 144
            tens, rest = divmod(number, ten)
            number += dropped * 9 * tens + dropped * max(0, (rest - dropped) // minute)
        seconds, frames = divmod(number, self.rate)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        width = 3 if self.rate > 100 else 2
        return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{';' if self.drop else ':'}{frames:0{width}d}"
