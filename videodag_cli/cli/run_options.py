"""What the options of `run` mean: each value checked, and made into what the library takes."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from videodag_cli.errors import RequestError, printable
from videodag_cli.times import parse_seconds

if TYPE_CHECKING:
    from videodag_cli.expressions.assertions import Assertion
    from videodag_cli.graph.plan import Plan
    from videodag_cli.guard.guard_limits import GuardLimits
    from videodag_cli.video.limits import Limits


def is_many(
    videos: list[str],
    pipelines: list[str],
    output_dir: Path | None,
    from_file: str | None,
    output: str,
    record: Path | None,
) -> bool:
    """Whether a batch is requested. Raises `RequestError` where that takes an output folder and none is given."""
    if len(videos) == 0 and from_file is None:
        raise RequestError("no video is named; give MP4 or MOV files, a folder of them, or --from-file LIST")
    if output_dir is not None:
        if output != "-" or record is not None:
            raise RequestError("--output-dir names every output and its record; leave out -o and --record")
        return True
    one = from_file is None and len(videos) == 1 and not os.path.isdir(videos[0])
    if one and not os.path.lexists(videos[0]) and glob.glob(videos[0], recursive=True):
        one = False
    if not one:
        raise RequestError(
            "many videos, a folder or a list need --output-dir DIR: each video gets an output of its own there"
        )
    if len(pipelines) > 1:
        from videodag_cli.cli.several import output_names

        output_names(output, ())
        if record is not None:
            raise RequestError("--record is for one pipeline; each output has a record beside it")
    return False


def positive(option: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise RequestError(f"{option} {value}: must be a whole number of at least 1")
    return value


def seconds(option: str, text: str, *, positive: bool = False) -> float:
    found = parse_seconds(text, what=option)
    if positive and not found:
        raise RequestError(f"{option} {text}: must be a time above 0")
    return float(found)


def guard_limits(
    timeout: str | None, node_timeout: str | None, max_memory: str | None, isolate: bool, max_errors: int | None
) -> GuardLimits:
    """The limits a parent process has to keep."""
    from videodag_cli.guard.guard_limits import DEFAULT_CRASHES, GuardLimits

    return GuardLimits(
        timeout_s=None if timeout is None else seconds("--timeout", timeout, positive=True),
        node_timeout_s=None if node_timeout is None else seconds("--node-timeout", node_timeout, positive=True),
        max_memory_bytes=None if max_memory is None else byte_count("--max-memory", max_memory),
        isolate=isolate,
        max_crashes=DEFAULT_CRASHES if max_errors is None else max_errors,
    )


def byte_count(option: str, text: str) -> int:
    """A number of bytes above 0."""
    from videodag_cli.system.byte_counts import parse_byte_count

    found = parse_byte_count(text, what=option)
    if not found:
        raise RequestError(f"{option} {printable(text)!r}: give a size above 0")
    return found


def video_limits(
    max_pixels: int | None, max_index_frames: int | None, max_frame_rate: int | None, max_pixels_per_byte: int | None
) -> Limits:
    """What is refused before anything is decoded."""
    from videodag_cli.video.limits import Limits

    given = {
        "max_pixels": max_pixels,
        "max_frames": max_index_frames,
        "max_frame_rate": max_frame_rate,
        "max_pixels_per_byte": max_pixels_per_byte,
    }
    return Limits(**{name: value for name, value in given.items() if value is not None})


def parse_tags(given: list[str]) -> dict[str, str]:
    """Those of `--tag`."""
    found: dict[str, str] = {}
    for text in given:
        try:
            text = os.fsencode(text).decode()  # whatever the locale took it for
        except UnicodeError as error:
            raise RequestError(f"--tag {printable(text)!r}: is not valid UTF-8") from error
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise RequestError(f"--tag {printable(text)!r}: give KEY=VALUE")
        if key in found:
            raise RequestError(f"--tag {printable(key)!r}: is given twice")
        found[key] = value
    return found


def assertions(texts: list[str], plan: Plan) -> list[Assertion]:
    """Those of `--assert`, about the output nodes of a plan."""
    if not texts:
        return []
    from videodag_cli.expressions.assertions import parse_assertion
    from videodag_cli.toolspec import unknown_name

    found = [parse_assertion(text) for text in texts]
    for assertion in found:
        for node in sorted(assertion.nodes - set(plan.pipeline.output_nodes)):
            raise RequestError("--assert: " + unknown_name("output node", node, list(plan.pipeline.output_nodes)))
    return found
