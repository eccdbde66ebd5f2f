"""Frames, detections and their geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videodag_cli.data import IDENTITY, Affine, Codes, Detections, Frame, Tracks, concatenated

numbers = st.floats(-1000, 1000).filter(lambda v: abs(v) > 1e-3)
affines = st.builds(Affine, numbers, numbers, st.floats(-1000, 1000), st.floats(-1000, 1000))


ONE = np.array([[1.0, 2.0, 3.0, 4.0]])


def some() -> Detections:
    return Detections(
        xyxy=np.array([[0, 0, 10, 20], [5, 5, 6, 6], [1, 2, 3, 4]], float),
        confidence=np.array([0.9, 0.5, 0.1]),
        class_id=np.array([0, 1, 0]),
        class_name=("person", "car", "person"),
        keypoints=np.zeros((3, 2, 2)),
        data={"text": ("a", "b", "c")},
    )


@given(affines, st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)))
def test_a_map_and_its_inverse_cancel(transform: Affine, point: tuple[float, float]) -> None:
    np.testing.assert_allclose(transform.inverse().points(transform.points(point)), point, atol=1e-2, rtol=1e-6)


@given(affines, affines)
def test_maps_compose(first: Affine, second: Affine) -> None:
    point = np.array([3.0, -7.0])
    np.testing.assert_allclose(first.then(second).points(point), second.points(first.points(point)), rtol=1e-6)


def test_boxes_points_and_areas_are_mapped_together() -> None:
    moved = some().mapped(Affine(2, 3, 10, 100))
    assert moved.xyxy[0].tolist() == [10, 100, 30, 160]
    assert moved.keypoints is not None
    assert moved.keypoints[0, 0].tolist() == [10, 100]
    assert some().mapped(IDENTITY).xyxy.tolist() == some().xyxy.tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([True, False, True], ["a", "c"]), ([2, 0], ["c", "a"]), (slice(1, None), ["b", "c"]), ([], []), (1, ["b"])],
)
def test_rows_are_chosen_in_every_column(rows: Any, expected: list[str]) -> None:
    chosen = some()[rows]
    assert list(chosen.data["text"]) == expected
    assert len(chosen) == len(expected)
    assert len(chosen.rows()) == len(expected)


def test_choosing_rows_keeps_the_type_and_its_columns() -> None:
    tracks = Tracks(xyxy=some().xyxy, tracker_id=np.array([4, 5, 6]))
    assert isinstance(tracks[[2]], Tracks)
    assert tracks[[2]].tracker_id.tolist() == [6]


def test_a_row_has_its_keys_in_a_fixed_order() -> None:
    tracks = Tracks(
        xyxy=ONE,
        confidence=np.array([0.5]),
        class_id=np.array([0]),
        class_name=("x",),
        tracker_id=np.array([7]),
        data={"z": (1,)},
    )
    assert list(tracks.rows()[0]) == ["xyxy", "confidence", "class_id", "class_name", "tracker_id", "z"]
    assert list(Codes(xyxy=ONE, keypoints=np.zeros((1, 4, 2))).rows()[0]) == ["xyxy", "corners"]


def test_values_are_immutable() -> None:
    with pytest.raises(ValueError, match="read-only"):
        some().xyxy[0, 0] = 1


def test_columns_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot reshape"):
        Detections(xyxy=ONE, confidence=np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match="1 boxes but 2 class names"):
        Detections(xyxy=ONE, class_name=("a", "b"))
    with pytest.raises(ValueError, match="1 boxes but 0 values of 'text'"):
        Detections(xyxy=ONE, data={"text": ()})


def test_concatenating_fills_what_one_part_lacks() -> None:
    joined = concatenated([some(), Detections(xyxy=np.array([[7.0, 7.0, 8.0, 8.0]])), Detections.empty()])
    assert len(joined) == 4
    assert joined.confidence is not None
    assert joined.confidence[3] == 0
    assert joined.class_name == ("person", "car", "person", "")
    assert joined.data["text"] == ("a", "b", "c", None)
    assert len(concatenated([])) == 0


def test_a_frame_is_read_only_and_computes_views_once() -> None:
    frame = Frame.from_image(np.full((40, 60, 3), 7, np.uint8))
    assert frame.gray is frame.gray
    assert frame.scaled(30) is frame.scaled(30)
    assert (frame.scaled(30).width, frame.scaled(30).height) == (30, 20)
    assert frame.scaled(60) is frame
    for image in (frame.image, frame.gray, frame.scaled(30).image, frame.cropped(1, 1, 5, 5).image):
        with pytest.raises(ValueError, match="read-only"):
            image[0, 0] = 1


def test_derived_frames_know_where_they_are() -> None:
    frame = Frame.from_image(np.zeros((40, 60, 3), np.uint8), index=3, time_s=0.5)
    inner = frame.cropped(10, 20, 50, 40).resized(20, 10)
    assert (inner.index, inner.time_s) == (3, 0.5)
    assert inner.to_source.points([0, 0]).tolist() == [10, 20]
    assert inner.to_source.points([20, 10]).tolist() == [50, 40]


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (0, 4, 3)])
def test_what_is_not_a_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="HxWx3 uint8 BGR"):
        Frame.from_image(np.zeros(shape, np.uint8))


def test_a_frame_prints_as_one_short_line() -> None:
    frame = Frame.from_image(np.zeros((1080, 1920, 3), np.uint8), index=45, time_s=1.5)
    assert frame.gray is not None
    assert repr(frame) == "Frame(1920x1080, index=45, time_s=1.5)"
