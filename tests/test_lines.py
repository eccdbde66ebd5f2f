"""How values look as JSON."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, NewType, TypedDict

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from videodag_cli.data import Detections, Frame, Tracks
from videodag_cli.errors import printable
from videodag_cli.lines import FrameResult, NodeFailure, json_form, plain


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    score: float = 0.12345678


@dataclass
class Pair:
    confidence: float
    xyxy: tuple[float, ...]


class Typed(TypedDict):
    x: int


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(json_values)
def test_plain_values_survive_a_round_trip_up_to_rounding(value: object) -> None:
    encoded = plain(value)
    assert orjson.loads(orjson.dumps(encoded)) == encoded
    assert plain(encoded) == encoded


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_have_six_decimals(value: float) -> None:
    assert plain(value) == round(value, 6)
    assert math.copysign(1, plain(-abs(value) * 1e-300)) == 1 or abs(value) * 1e-300 > 1e-7


def test_rounding_depends_on_what_a_number_is() -> None:
    assert plain(Pair(0.123456, (1.23456, 2))) == {"confidence": 0.1235, "xyxy": [1.23, 2]}
    rows = Detections(np.array([[1.005, 2.555, 3, 4]]), np.array([1 / 3]), area=np.array([2 / 3]))
    assert plain(rows) == [{"xyxy": [1.0, 2.56, 3.0, 4.0], "confidence": 0.3333, "area": 0.67}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.1), 0.1),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1.5, np.nan]]), [[1.5, None]]),
        (np.str_("x"), "x"),
        (Colour.RED, "red"),
        (Model(), {"score": 0.123457}),
        ((1, (2, 3)), [1, [2, 3]]),
        (-0.0, 0.0),
        (math.inf, None),
    ],
)
def test_values_with_a_documented_form(value: Any, expected: object) -> None:
    assert plain(value) == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"x", "bytes has no JSON form"),
        ({1, 2}, "set has no JSON form"),
        (object(), "object has no JSON form"),
        (1j, "complex has no JSON form"),
        ({1: 2}, "a key of type int"),
        (2**64, "does not fit into 64 bits"),
        ("\udcff", "lone surrogate"),
        ({"\udcff": 1}, "lone surrogate"),
        (np.array(["2020-01-01"], "datetime64[D]"), "has no JSON form"),
        (np.array([object()]), "object has no JSON form"),
        (Detections, "has no JSON form"),
    ],
)
def test_values_without_one_are_refused(value: object, problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        plain(value)


def test_only_types_that_can_be_written_may_be_outputs() -> None:
    writable: list[Any] = [
        Tracks,
        NewType("A", float),
        NewType("B", dict),
        Pair,
        Model,
        Typed,
        Colour,
        NewType("C", np.ndarray),
    ]
    assert all(map(json_form, writable))
    others: list[Any] = [Frame, NewType("D", Frame), NewType("E", bytes), NewType("F", set)]
    assert not any(map(json_form, others))


def test_the_keys_of_a_line_have_a_fixed_order() -> None:
    failure = NodeFailure("n", "p.t", "ValueError", "no")
    assert list(FrameResult(3, 0.12, {"a": 1}).as_json({"camera": "3"})) == [
        "camera",
        "frame_index",
        "time_s",
        "result",
    ]
    assert FrameResult(3, 0.12, None, failure).line() == (
        b'{"frame_index":3,"time_s":0.12,"result":null,'
        b'"error":{"node":"n","tool":"p.t","type":"ValueError","message":"no"}}\n'
    )


@given(st.text())
def test_printable_text_stays_on_one_line_and_is_valid_unicode(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
