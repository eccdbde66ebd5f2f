"""The clock of a results file whose lines have `time`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from videodag_cli.errors import InputError, printable
from videodag_cli.results.reading import JsonLine
from videodag_cli.times import parse_instant, rfc3339


class ClockSeen:
    """Hands lines on and takes note of the clock of the first one."""

    def __init__(self) -> None:
        self.zero_us: int | None = None

    def watch(self, lines: Iterable[JsonLine], name: str) -> Iterator[JsonLine]:
        for rank, line in enumerate(lines):
            if rank == 0:
                self.zero_us = zero_of((line,), name)
            yield line

    def times(self, start_s: float, end_s: float) -> dict[str, str]:
        """`start_time` and `end_time` where the lines have a clock."""
        if self.zero_us is None:
            return {}
        start_us, end_us = (self.zero_us + round(time_s * 1_000_000) for time_s in (start_s, end_s))
        return {"start_time": rfc3339(start_us), "end_time": rfc3339(end_us)}


def zero_of(lines: Iterable[Mapping[str, Any]], name: str) -> int | None:
    """The instant at which `time_s` is 0, in microseconds since 1970, as the first line says; None where it has no `time`.

    Raises `InputError` for a `time` that is no RFC 3339 time.
    """
    for line in lines:
        if "time" not in line:
            return None
        try:
            return parse_instant(str(line["time"])) - round(float(line["time_s"]) * 1_000_000)
        except ValueError as error:
            raise InputError(f'{printable(name)}: "time" is {error}', word="input.not_results") from error
    return None
