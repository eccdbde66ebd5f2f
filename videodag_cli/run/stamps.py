"""What a line says of its moment beside `time_s`: the instant on a clock, and the timecode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from videodag_cli.errors import InputError
from videodag_cli.lines import FrameResult
from videodag_cli.run.clock import Clock, clock_of
from videodag_cli.run.timecode import Timecode
from videodag_cli.video.source import Probe


@dataclass(frozen=True, slots=True)
class Stamps:
    clock: Clock | None
    timecode: Timecode | None

    @classmethod
    def of(cls, clock: str | None, found: Probe, *, timecode: bool) -> Stamps:
        """clock: as in the request. Raises InputError for a video that does not say what is asked of it."""
        facts = found.facts
        said = {"creation_time": facts.creation_time, "recorded_time": facts.recorded_time}
        return cls(
            None if clock is None else clock_of(clock, said, found.shown), _timecode(found) if timecode else None
        )

    def on(self, result: FrameResult) -> FrameResult:
        """The result with its stamps."""
        if self.clock is None and self.timecode is None:
            return result
        return replace(
            result,
            time=None if self.clock is None else self.clock.time(result.time_s),
            timecode=None if self.timecode is None else self.timecode.at(result.frame_index),
        )


def _timecode(found: Probe) -> Timecode:
    facts = found.facts
    if facts.timecode is None:
        raise InputError(f"{found.shown}: it has no timecode; leave out --timecode", word="input.unsupported")
    if facts.variable_frame_rate or facts.frame_rate is None:
        raise InputError(
            f"{found.shown}: its frame rate varies, so frames have no timecode; leave out --timecode",
            word="input.unsupported",
        )
    try:
        return Timecode.parse(facts.timecode, Fraction(facts.frame_rate))
    except ValueError as error:
        raise InputError(f"{found.shown}: {error}; leave out --timecode", word="input.unsupported") from error
