"""Times as people write them."""

from __future__ import annotations


def clock(time_s: float) -> str:
    """`00:00:06.2`: hours, minutes, seconds and tenths."""
    sign = "-" if time_s < 0 else ""
    tenths = round(abs(time_s) * 10)
    return f"{sign}{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
