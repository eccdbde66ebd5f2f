"""The sampling options by name: one list for `run`, suites and the service, and a schema that says what is accepted."""

from __future__ import annotations

import inspect
from fractions import Fraction
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from videodag_cli.check.suite import CaseTable
from videodag_cli.cli.check import check
from videodag_cli.cli.run import SAMPLING, run
from videodag_cli.errors import RequestError
from videodag_cli.server.request import Options
from videodag_cli.times import parse_seconds
from videodag_cli.video.sampling import decimal, parse_position
from videodag_cli.video.sampling_options import LENGTH_PATTERN, POSITION_PATTERN, SamplingOptions, number_text

SCHEMA = SamplingOptions.model_json_schema()
NUMBERS = st.floats(1e-12, 1e14)


def test_run_suites_and_the_service_have_the_same_options() -> None:
    hints = get_type_hints(run, include_extras=True)
    told = {name: get_args(hint)[1] for name, hint in hints.items() if get_args(hint)}
    fields = SamplingOptions.model_fields
    assert {name: info.help for name, info in told.items() if info.rich_help_panel == SAMPLING} == {
        name: field.description for name, field in fields.items()
    }
    assert set(fields) <= set(inspect.signature(check).parameters), "check --add makes cases with all of them"
    assert CaseTable.model_fields["sampling"].annotation is SamplingOptions
    assert list(Options.model_fields)[: len(fields)] == list(fields)


@given(st.from_regex(LENGTH_PATTERN, fullmatch=True))
def test_what_the_schema_calls_a_length_is_read_as_one(text: str) -> None:
    assert parse_seconds(text, what="every") > 0


@given(st.from_regex(POSITION_PATTERN, fullmatch=True))
def test_what_the_schema_calls_a_position_is_read_as_one(text: str) -> None:
    parse_position(text)


@given(NUMBERS)
def test_a_number_is_taken_exactly(value: float) -> None:
    exact = Fraction(repr(value))
    text = number_text(value)
    assert isinstance(text, str)
    assert parse_seconds(text, what="every") == exact
    assert Fraction(decimal(exact)) == exact
    options = Options.model_validate({"every": value, "start": -value})
    sampling = options.sampling()
    assert sampling.every_s == exact
    assert sampling.start is not None
    assert sampling.start.time_s == -exact
    assert SamplingOptions.model_validate(sampling.as_json()).sampling() == sampling


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "frame_stride": st.sampled_from([None, 1, 5, 2**53, 0, 2.5, "3"]),
            "every": st.sampled_from([None, "2s", "0s", 0.1, 1e-40, "x"]),
            "keyframes": st.booleans(),
            "num_frames": st.sampled_from([None, 1, 100, -1]),
            "start": st.sampled_from([None, "12f", -1, 0, "soon"]),
            "max_frames": st.sampled_from([None, 3, 0]),
            "stride": st.just(1),
        },
    )
)
def test_the_schema_says_what_the_service_accepts(given_: dict[str, Any]) -> None:
    try:
        jsonschema.validate(given_, SCHEMA)
    except jsonschema.ValidationError:
        with pytest.raises((ValidationError, RequestError)):
            Options.model_validate(given_).sampling()
    else:
        Options.model_validate(given_).sampling()
