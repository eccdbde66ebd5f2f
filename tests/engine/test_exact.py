"""Kept values come back exactly as they were, or not at all."""

from __future__ import annotations

import contextlib
import math
import struct
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from videodag_cli.data import Affine, Codes, Detections, Points, TextLines, Tracks
from videodag_cli.engine.exact import InexactError, from_bytes, to_bytes
from videodag_cli.vision.masks import InstanceMask

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
DTYPES: Any = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_, "<U3", ">i4"])
ARRAYS: Any = npst.arrays(DTYPES, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


def same(one: Any, other: Any) -> bool:
    """Equal in type, value, bits and layout."""
    if type(one) is not type(other):
        return False
    if type(one) is float:
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        layout = (one.dtype, one.shape, one.flags.writeable)
        strides = one.strides == other.strides or one.size < 2 or 1 in one.shape
        return (
            layout == (other.dtype, other.shape, other.flags.writeable) and strides and one.tobytes() == other.tobytes()
        )
    if isinstance(one, np.generic):
        return bool(one.dtype == other.dtype and one.tobytes() == other.tobytes())
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one == other)


@given(PLAIN)
def test_plain_values_come_back(value: Any) -> None:
    assert same(from_bytes(to_bytes(value)), value)


@given(ARRAYS, st.permutations(range(3)), st.booleans())
def test_arrays_come_back_with_their_layout(array: Any, axes: list[int], writeable: bool) -> None:
    turned = array.transpose([axis for axis in axes if axis < array.ndim])
    turned.flags.writeable = writeable
    assert same(from_bytes(to_bytes(turned)), turned)
    if array.size:
        assert same(from_bytes(to_bytes(array.flat[0])), array.flat[0])


def test_what_tools_return_comes_back() -> None:
    random = np.random.default_rng(3)
    masks = tuple(
        InstanceMask(random.random((3, 4), np.float32), Affine(0.5, 2), (64, 48), random.random(4)) for _ in range(3)
    )
    common: dict[str, Any] = {
        "xyxy": random.random((3, 4)),
        "confidence": random.random(3),
        "class_name": ("a", "b", "ü"),
    }
    for value in (
        Detections(**common, data={"mask": masks, "corners": tuple(Points(random.random((4, 2))) for _ in masks)}),
        Tracks(
            **common, tracker_id=np.arange(3), keypoints=np.full((3, 2, 2), math.nan), visibility=random.random((3, 2))
        ),
        Codes.empty(),
        TextLines(**common, data={"text": ("one", "two", "three")}),
    ):
        back = from_bytes(to_bytes((value,)))[0]
        assert same(back, value)


@dataclass(frozen=True)
class Elsewhere:
    x: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", self.x + 1)


def test_a_class_of_somebody_else_needs_to_be_named() -> None:
    with pytest.raises(InexactError):
        to_bytes(Elsewhere(1))
    data = to_bytes(Elsewhere(1), modules={__name__})
    assert from_bytes(data, modules={__name__}) == Elsewhere(1)
    with pytest.raises(InexactError):
        from_bytes(data)


class Loud(float):
    pass


@pytest.mark.parametrize(
    "value", [object(), {1}, Loud(1), np.zeros(6)[::2], np.array([None]), np.datetime64("2020"), len, Elsewhere, 1 + 2j]
)
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(InexactError):
        to_bytes(value)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_foreign_bytes_are_refused_or_plain(data: bytes, at: int) -> None:
    good = bytearray(to_bytes((Detections(np.ones((1, 4))),)))
    good[at % len(good) : at % len(good) + 3] = data[:3]
    for some in (data, bytes(good)):
        with contextlib.suppress(InexactError):
            from_bytes(some)
