"""Moments of a video as people read them."""

from __future__ import annotations


def timestamp(time_s: float) -> str:
    """`00:00:06.2`: hours, minutes, seconds and tenths."""
    sign = "-" if time_s < 0 else ""
    tenths = round(abs(time_s) * 10)
    return f"{sign}{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def timestamp_ms(time_s: float) -> str:
    """`m:ss.mmm`, with hours from one hour on."""
    milliseconds = round(abs(time_s) * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if time_s < 0 else ""
    seconds = f"{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
    return f"{sign}{hours}:{minutes:02d}:{seconds}" if hours else f"{sign}{minutes}:{seconds}"
