"""The clock of a results file whose lines have `time`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from videodag_cli.errors import InputError, printable
from videodag_cli.times import parse_instant


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
