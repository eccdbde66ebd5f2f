"""What may be chosen is the same on the command line, in the library and in suites, and so is what is taken without a choice."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest

from videodag_cli.check.suite import CaseTable
from videodag_cli.cli.convert import convert as convert_command
from videodag_cli.cli.run import run as run_command
from videodag_cli.convert import CONVERT_FORMATS as CONVERT_FORMATS
from videodag_cli.convert import TABLES, ConvertFormat, TableName
from videodag_cli.errors import RequestError
from videodag_cli.lines import FrameResult, NodeFailure
from videodag_cli.run.job import RunOptions
from videodag_cli.run.sinks import OUTPUT_FORMATS, make_sink, written_frames
from videodag_cli.times import parse_seconds
from videodag_cli.video.decoders import DECODERS


def choices(function: Callable[..., Any], option: str) -> tuple[str, ...]:
    return get_args(get_args(get_type_hints(function)[option])[0]) or get_args(get_type_hints(function)[option])


def test_options_of_a_run_have_the_library_s_choices_and_defaults() -> None:
    assert choices(run_command, "format") == OUTPUT_FORMATS
    assert choices(run_command, "decoder") == DECODERS == get_args(CaseTable.model_fields["decoder"].annotation)
    library = RunOptions()
    given = inspect.signature(run_command).parameters
    for name in (
        "format",
        "decoder",
        "on_error",
        "max_errors",
        "strict",
        "overwrite",
        "force",
        "stream",
        "workers",
        "batch_size",
    ):
        assert given[name].default == getattr(library, name), name
    assert given["accept_damage"].default == library.accept_damage_percent
    assert parse_seconds(given["checkpoint_every"].default, what="") == library.checkpoint_every_s
    assert CaseTable.model_fields["decoder"].default == library.decoder


def test_every_format_of_a_run_has_a_sink_and_others_are_refused() -> None:
    for format in OUTPUT_FORMATS:
        sink = make_sink(format, tags={"cam": "7"})
        results = [FrameResult(0, 0.0, {"n": 1}), FrameResult(3, 0.1, None, NodeFailure("n", "t", "E", "why"))]
        written = io.BytesIO(
            sink.header() + b"".join(sink.frame(r, first=r is results[0]) for r in results) + sink.footer()
        )
        assert list(written_frames(written, sink)) == [r.as_json({"cam": "7"}) for r in results if sink.resumable]
    with pytest.raises(RequestError, match="jsonl, list, summary"):
        RunOptions(format="xml")


def test_options_of_convert_have_the_library_s_choices() -> None:
    assert choices(convert_command, "to") == get_args(ConvertFormat) == tuple(CONVERT_FORMATS)
    assert choices(convert_command, "table") == get_args(TableName) == tuple(TABLES)
