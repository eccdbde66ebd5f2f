"""Lengths of time and places on a time line as people write them: one grammar for options, suites, expressions and moments.

| written | means |
|---|---|
| `90`, `1.5`, `.5`, `90s` | seconds (in an expression a unit is needed: `for 90s`) |
| `200ms`, `2m` or `2min`, `1h` | milliseconds, minutes, hours; decimals and a space before the unit are allowed |
| `1:30`, `1:02:03.5` | minutes and seconds; hours, minutes and seconds |
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

from videodag_cli.errors import RequestError, printable

LENGTH = re.compile(
    r"(?:(?:(?P<hours>\d{1,9}):)?(?P<minutes>\d{1,9}):(?P<seconds>\d{1,2}(?:\.\d{0,30})?)"
    r"|(?P<value>\d{1,15}(?:\.\d{0,30})?|\.\d{1,30})\s*(?P<unit>ms|s|min|m|h)?)(?![A-Za-z0-9_.:])",
    re.ASCII,
)
"""A length of time; nothing that would go on with it comes behind."""
UNITS = {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60), "m": Fraction(60), "h": Fraction(3600)}
"""In seconds."""
WRITTEN = "seconds (90 or 1.5), 200ms, 2min, 1h, or minutes and seconds (1:30)"


def seconds_of(found: re.Match[str]) -> Fraction:
    """The seconds of a match of `LENGTH`. Raises `ValueError` for minutes or seconds from 60 on after a colon."""
    if found["value"] is not None:
        return Fraction(found["value"].rstrip(".")) * UNITS[found["unit"] or "s"]
    tail = Fraction(found["seconds"].rstrip("."))
    if tail >= 60 or (found["hours"] is not None and int(found["minutes"]) >= 60):
        raise ValueError("minutes and seconds after a colon are below 60")
    return int(found["hours"] or 0) * 3600 + int(found["minutes"]) * 60 + tail


def parse_seconds(text: str, *, what: str, written: str = WRITTEN) -> Fraction:
    """A length of time in seconds. Raises `RequestError`: `--gap 2 weeks: is not a length of time; write ...`.

    what: the option, or what else the text is for.
    """
    found = LENGTH.fullmatch(text.strip())
    shown = f"{what} {printable(text, limit=60)!r}"
    if found is None:
        raise RequestError(f"{shown} is not a length of time; write {written}")
    try:
        return seconds_of(found)
    except ValueError as error:
        raise RequestError(f"{shown}: {error}") from error


def microseconds(seconds: Fraction) -> int:
    """The nearest whole number of microseconds, the unit in which times are compared."""
    return round(seconds * 1_000_000)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_ZONE = re.compile(r"Z|([+-])(\d{2}):?(\d{2})", re.ASCII)


def rfc3339(instant_us: int) -> str:
    """`2026-11-25T08:00:00.000000Z`. Raises RequestError outside of the years 1 to 9999."""
    try:
        when = EPOCH + timedelta(microseconds=instant_us)
    except OverflowError as error:
        raise RequestError("--clock: the time of a frame is outside of the years 1 to 9999") from error
    return when.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_instant(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time. Raises ValueError."""
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a date and time with a zone")
    day, hour, fraction, zone = found.groups()
    when = datetime.fromisoformat(f"{day}T{hour}").replace(tzinfo=parse_zone(zone.upper()))
    return (when - EPOCH) // MICROSECOND + (int(fraction[1:].ljust(6, "0")) if fraction else 0)


def parse_zone(text: str) -> timezone:
    """`Z` or `+01:00`. Raises ValueError."""
    found = _ZONE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time zone; write Z or +01:00")
    if found[1] is None:
        return UTC
    away = timedelta(hours=int(found[2]), minutes=int(found[3]))
    if int(found[3]) > 59 or away >= timedelta(days=1):
        raise ValueError(f"{text!r} is not a time zone; write Z or +01:00")
    return timezone(-away if found[1] == "-" else away)
