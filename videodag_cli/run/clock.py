"""The instant at which a video's `time_s` is 0: given, read from the file's name, or said by the container.

It is never taken from the time at which the file was written, and a time without a zone is refused: nobody can tell what it means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from videodag_cli.errors import InputError, RequestError, printable
from videodag_cli.times import EPOCH, MICROSECOND, parse_instant, parse_zone, rfc3339

AGREEMENT_US = 2_000_000
"""Two times of one container that are no farther apart mean the same; both are written in whole seconds."""
LAST_SHORT_YEAR = 68
"""From 69 on, two digits are of the last century for POSIX, and of this one for others."""
CONTAINER = "container"
"""The clock is said by the container: `creation_time`."""
_FIELDS = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{2})",
    "d": r"(?P<d>\d{2})",
    "H": r"(?P<H>\d{2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,6})",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
    "s": r"(?P<s>\d{9,11})",
}
WRITTEN = "write an instant with its zone (2026-11-25T08:00:00Z), name:PATTERN such as name:*_%Y%m%d_%H%M%S@+01:00, or container"


@dataclass(frozen=True, slots=True)
class Clock:
    """An instant in microseconds since 1970, UTC."""

    zero_us: int

    def time(self, time_s: float) -> str:
        """The instant of a frame, RFC 3339 in UTC with microseconds."""
        return rfc3339(self.zero_us + round(time_s * 1_000_000))


def check_clock(given: str) -> None:
    """Refuse what is no form of `--clock` at all, before any video is opened. Raises RequestError."""
    if given == CONTAINER:
        return
    if given.startswith("name:"):
        _pattern(given)
        return
    try:
        parse_instant(given)
    except ValueError as error:
        raise RequestError(f"--clock {printable(given, limit=80)!r}: {error}; {WRITTEN}") from error


def resolved(given: str, video: str | Path) -> str:
    """The clock as it belongs to the request: an instant, or `container`. Raises RequestError and, for a name, InputError."""
    if given == CONTAINER:
        return given
    if given.startswith("name:"):
        return rfc3339(_of_name(given, Path(video)))
    check_clock(given)
    return rfc3339(parse_instant(given))


def clock_of(request: str, said: Mapping[str, str | None], shown: str) -> Clock:
    """The clock of a request, over a video whose container says `creation_time` and `recorded_time`. Raises InputError.

    A program that exports a recording writes its own `creation_time` and keeps what the phone said: then they contradict each other.
    """
    if request != CONTAINER:
        return Clock(parse_instant(request))
    created, recorded = said.get("creation_time"), said.get("recorded_time")
    try:
        instants = [parse_instant(_with_colon(text)) for text in (created, recorded) if text]
    except ValueError as error:
        raise _no_time(shown) from error
    if not instants:
        raise _no_time(shown)
    if max(instants) - min(instants) > AGREEMENT_US:
        raise InputError(
            f"{shown}: its container says that it was created at {printable(created, limit=40)} and recorded at "
            f"{printable(recorded, limit=40)}, so --clock container does not decide; give the instant of its time 0",
            word="input.unsupported",
        )
    return Clock(instants[0])


def _no_time(shown: str) -> InputError:
    return InputError(
        f"{shown}: its container says no time of creation, so --clock container has none; give the instant of its time 0",
        word="input.unsupported",
    )


def _with_colon(text: str) -> str:
    """Phones write the offset as `+0200`."""
    return re.sub(r"([+-]\d{2})(\d{2})$", r"\1:\2", text)


def _pattern(given: str) -> tuple[re.Pattern[str], re.Pattern[str], timezone | None]:
    """The pattern with `*` taking as much, and as little, as it can, and the zone behind `@`."""
    shown = f"--clock {printable(given, limit=80)!r}"
    text, at, zone_text = given.removeprefix("name:").partition("@")
    parts, fields, rest = [], [], text
    while rest:
        if rest[0] == "%" and len(rest) > 1 and rest[1] in _FIELDS:
            if rest[1] in fields:
                raise RequestError(f"{shown}: %{rest[1]} appears twice")
            fields.append(rest[1])
            parts.append(_FIELDS[rest[1]])
            rest = rest[2:]
        elif rest[0] == "%":
            raise RequestError(
                f"{shown}: %{printable(rest[1:2])} is unknown; known: {' '.join(f'%{name}' for name in _FIELDS)}"
            )
        else:
            parts.append("*" if rest[0] == "*" else re.escape(rest[0]))
            rest = rest[1:]
    try:
        zone = parse_zone(zone_text) if at else None
    except ValueError as error:
        raise RequestError(f"{shown}: {error}") from error
    if "s" in fields:
        if set(fields) - {"s", "f"} or zone is not None:
            raise RequestError(f"{shown}: %s counts seconds since 1970 UTC; give no other field and no zone with it")
    else:
        if {"Y", "y"} <= set(fields):
            raise RequestError(f"{shown}: %Y and %y are both the year; give one of them")
        missing = [f"%{name}" for name in "YmdHM" if name not in fields and not (name == "Y" and "y" in fields)]
        if missing:
            raise RequestError(f"{shown}: {', '.join(missing)} missing")
        if (zone is None) == ("z" not in fields):
            raise RequestError(f"{shown}: say the zone of the name once: %z in it, or @Z or @+01:00 behind the pattern")
    body = "".join(parts)
    return (
        re.compile(body.replace("*", ".*"), re.ASCII | re.DOTALL),
        re.compile(body.replace("*", ".*?"), re.ASCII | re.DOTALL),
        zone,
    )


def _whole_year(digits: str, shown: str) -> str:
    """2000 to 2068, where every reader of two digits agrees."""
    if int(digits) > LAST_SHORT_YEAR:
        raise InputError(
            f"{shown}: the year {digits} may be 19{digits} or 20{digits}; give the instant of its time 0 itself",
            word="input.unsupported",
        )
    return f"20{digits}"


def _of_name(given: str, video: Path) -> int:
    most, least, zone = _pattern(given)
    name = video.stem
    shown = f"{printable(video.name)}: --clock {printable(given, limit=80)!r}"
    found, other = most.fullmatch(name), least.fullmatch(name)
    if found is None or other is None:
        raise InputError(f"{shown} does not match the file's name without its extension", word="input.unsupported")
    if found.groupdict() != other.groupdict():
        raise InputError(f"{shown} matches the name in several ways; write more of it than *", word="input.unsupported")
    given_fields = {name: text for name, text in found.groupdict().items() if text is not None}
    fraction_us = int(given_fields.get("f", "0").ljust(6, "0"))
    if "s" in given_fields:
        return int(given_fields["s"]) * 1_000_000 + fraction_us
    if "y" in given_fields:
        given_fields["Y"] = _whole_year(given_fields["y"], shown)
    year, month, day, hour, minute, second = (int(given_fields.get(field, "0")) for field in "YmdHMS")
    try:
        when = datetime(year, month, day, hour, minute, second, tzinfo=zone or parse_zone(given_fields["z"]))
    except ValueError as error:
        raise InputError(f"{shown}: {error}", word="input.unsupported") from error
    return (when - EPOCH) // MICROSECOND + fraction_us
