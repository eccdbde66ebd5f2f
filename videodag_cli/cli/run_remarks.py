"""What `run` says on standard error about one video, and the error it ends with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from videodag_cli.cli import streams
from videodag_cli.cli.device import put_on_device
from videodag_cli.cli.timestamps import timestamp
from videodag_cli.cli.verdict import bottleneck, profile_table
from videodag_cli.errors import DifferenceError, IncompleteError, RequestError, printable, told
from videodag_cli.graph.assignments import overrides
from videodag_cli.graph.pipeline import find_pipeline, load_pipeline, search_places
from videodag_cli.graph.plan import Overrides, Plan, make_plan
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.record import RunRecord
from videodag_cli.vision.onnx.devices import Device

if TYPE_CHECKING:
    from videodag_cli.run.opened import RunStart


class Remarks:
    """What a run says on standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.opening: list[str] = []
        """Said once the video has turned out to be usable, so that a refusal is a single line."""

    def shown(self, name: str) -> str:
        return printable(name, limit=60)

    def say(self, text: str) -> None:
        if not self.quiet:
            streams.say(text)

    def started(self, start: RunStart) -> None:
        for line in self.opening:
            self.say(line)
        self.opening.clear()  # once, also for several pipelines
        if start.continued_at:
            self.say(f"continuing after the {start.continued_at} lines of an earlier run")

    def finished(self, record: RunRecord, output: str, *, profile: bool) -> None:
        if profile:
            self.say(profile_table(record))
        a = record.accounting
        if record.status == "up_to_date":
            self.say(f"{self.shown(output)} is up to date; --force runs it anyway")
            return
        rate = a.sampled / record.wall_time_s if record.wall_time_s else 0.0
        where = "" if output == "-" else f" -> {self.shown(output)}"
        count = f"{a.ok} {'frame' if a.ok == 1 else 'frames'} ok"
        if a.failed or a.undecodable:
            count = f"sampled {a.sampled} = ok {a.ok} + failed {a.failed} + undecodable {a.undecodable}"
        self.say(f"{count}, {record.wall_time_s:.1f} s, {rate:.1f} frames/s{where}; {bottleneck(record)}")
        if not (a.undecodable or a.contradictions):
            for problem in record.problems[:1]:
                self.say(f"note: {problem}")
        for remark in record.remarks:
            self.say(f"note: {remark}")


def raise_for(record: RunRecord, video: str) -> None:
    """The error a finished run ends with, if any."""
    a = record.accounting
    shown = printable(video, limit=200)
    parts = []
    if a.undecodable:
        first = f", first at {timestamp(a.first_missing_time_s)}" if a.first_missing_time_s is not None else ""
        traces = f", {a.after_damage} after them may show traces" if a.after_damage else ""
        parts.append(f"damaged: {a.undecodable} of {a.sampled} sampled frames could not be decoded{first}{traces}")
    if a.contradictions:
        parts.append(record.problems[0] if parts else f"damaged: {record.problems[0]}")
    if a.failed:
        error = record.errors[0] if record.errors else None
        what = (
            f", first frame {error.frame_index} in node {error.node!r}: {told(error.type, error.message)}"
            if error
            else ""
        )
        parts.append(f"{a.failed} of {a.sampled} sampled frames failed{what}")
    if record.exit_code == 4:
        raise IncompleteError(f"{shown}: {'; '.join(parts)}")
    if parts:
        streams.say(f"videodag: accepted: {shown}: {'; '.join(parts)}")
    broken = [a["message"] for a in record.assertions if not a["holds"]]
    if broken:
        raise DifferenceError("; ".join(broken), word="check.assertion")


def plans(
    names: list[str],
    registry: Registry,
    folders: list[Path] | None,
    params: Path | None,
    assignments: list[str],
    device: Device | None,
    remarks: Remarks,
) -> list[tuple[Plan, Overrides]]:
    """The plan of each pipeline, with the parameters given for it."""
    places = search_places(folders or ())
    found = [find_pipeline(name, places) for name in names]
    loaded = [load_pipeline(item.path) for item in found]
    ids = [item.pipeline.id for item in loaded]
    for pipeline_id in ids:
        if ids.count(pipeline_id) > 1:
            raise RequestError(f"--pipeline {printable(pipeline_id)!r} is given twice")
    given = overrides([item.pipeline for item in loaded], registry, params, assignments)
    if device is not None:
        put_on_device([item.pipeline for item in loaded], registry, given, device)
    made: list[tuple[Plan, Overrides]] = []
    for place, item, values in zip(found, loaded, given, strict=True):
        plan = make_plan(item, registry, overrides=values)
        pipeline_id = printable(item.pipeline.id)
        origin = f"builtin:{item.pipeline.id}" if place.place.label == "builtin" else str(place.path)
        remarks.opening.append(f"pipeline {pipeline_id}: {printable(origin)} ({item.digest[:15]})")
        for hidden in place.hides:
            remarks.opening.append(f"  hides {printable(hidden)}; builtin:{pipeline_id} means the built-in one")
        remarks.opening += [f"  {warning}" for warning in plan.warnings]
        made.append((plan, values))
    return made
