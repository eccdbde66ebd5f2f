"""BlazePose against a decoder that was written apart from it, on real people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sampled import frames_of
from videodag_cli.data import Detections, Frame, Tracks, concatenated
from videodag_cli.lines import plain
from videodag_cli.tools.pose import Landmarks
from videodag_cli.vision.keypoints import BLAZEPOSE_POINTS, COCO_POINTS
from videodag_cli.vision.masks import mask_area, mask_edges

EXPECTED = json.loads((Path(__file__).parent / "blazepose_points.json").read_text())
BOXES = np.array(EXPECTED["boxes"])


def first_frame() -> Frame:
    return frames_of("pedestrians.mp4", stride=1000)[0]


@pytest.mark.parametrize("model", ["full", "lite"])
def test_points_presence_and_masks_are_the_reference_decoders(model: Any) -> None:
    rows = Landmarks(model=model, points="all", min_presence=0, mask=True)(first_frame(), Detections(BOXES)).rows()
    for row, expected in zip(rows, EXPECTED[model], strict=True):
        points = np.array(row["keypoints"])
        assert np.abs(points[:, :2] - expected["points"]).max() < 0.01
        assert np.abs(points[:, 2] - expected["visibility"]).max() < 0.001
        assert abs(row["presence"] - expected["presence"]) < 0.001
        mask = plain(row["mask"])
        assert mask_area(mask) == pytest.approx(expected["mask_area"], rel=0.01)
        place = np.divmod(mask_edges(mask), mask["size"][0])[0]
        assert abs(place.min() - expected["mask_box"][0]) <= 1
        assert abs(place.max() + 1 - expected["mask_box"][2]) <= 1


def test_the_17_are_the_points_of_the_same_names_among_the_33() -> None:
    every = Landmarks(points="all")(first_frame(), Detections(BOXES[:2]))
    coco = Landmarks()(first_frame(), Detections(BOXES[:2]))
    assert every.keypoints is not None
    assert coco.keypoints is not None
    for place, name in enumerate(COCO_POINTS):
        assert (coco.keypoints[:, place] == every.keypoints[:, BLAZEPOSE_POINTS.index(name)]).all()
    nose, left_ankle, right_hip = (coco.keypoints[1][COCO_POINTS.index(n)] for n in ("nose", "left_ankle", "right_hip"))
    assert nose[1] < right_hip[1] < left_ankle[1]


def test_the_documentation_of_the_tool_names_every_point() -> None:
    words = " ".join((Landmarks.__doc__ or "").split())
    assert ", ".join(COCO_POINTS) + "." in words
    assert ", ".join(BLAZEPOSE_POINTS) + "." in words


def test_where_no_whole_person_is_found_a_row_says_so_and_has_no_body() -> None:
    rows = plain(Landmarks(mask=True)(first_frame(), Detections(BOXES, confidence=np.array([0.9, 0.8, 0.7]))))
    assert [row["confidence"] for row in rows] == [0.9, 0.8, 0.7]
    assert [row["presence"] > 0.9 for row in rows] == [True, True, False]
    assert [row["keypoints"] is None for row in rows] == [False, False, True]
    assert [row["mask"] is None for row in rows] == [False, False, True]


def test_boxes_without_an_area_and_no_boxes_are_fine() -> None:
    odd = Detections(np.array([[5, 5, 5, 9], [np.nan, 0, 1, 1], [-50, -50, -20, -10]], np.float64))
    assert [row["keypoints"] for row in plain(Landmarks()(first_frame(), odd))] == [None] * 3
    assert plain(Landmarks(mask=True)(first_frame(), Detections.empty())) == []


def test_many_boxes_at_once_say_what_each_says_alone() -> None:
    many = np.concatenate([BOXES] * 4)
    together = Landmarks()(first_frame(), Detections(many)).rows()
    alone = [row for box in BOXES for row in Landmarks()(first_frame(), Detections(box[None])).rows()]
    assert together == alone * 4


def test_tracks_stay_tracks_and_keep_every_column() -> None:
    tracks = Tracks(BOXES[:2], tracker_id=np.array([4, 9]), data={"note": ("a", "b")})
    found = Landmarks()(first_frame(), tracks)
    assert isinstance(found, Tracks)
    assert [(row["tracker_id"], row["note"], len(row["keypoints"])) for row in found.rows()] == [
        (4, "a", 17),
        (9, "b", 17),
    ]


def test_points_and_masks_found_behind_a_crop_and_a_resize_lie_in_the_source_frame() -> None:
    frame = first_frame()
    direct = Landmarks(mask=True)(frame, Detections(BOXES[:2]))
    cut = frame.cropped(440, 100, 740, 400)
    into = cut.to_source.inverse()
    behind = Landmarks(mask=True)(cut, Detections(BOXES[:2]).mapped(into)).mapped(cut.to_source)
    assert behind.keypoints is not None
    assert direct.keypoints is not None
    assert np.abs(behind.keypoints - direct.keypoints).max() < 0.3  # OpenCV samples at 32nds of a pixel
    assert plain(behind)[0]["mask"]["size"] == [frame.height, frame.width]

    large = frame.resized(2 * frame.width, 2 * frame.height)
    doubled = Landmarks(mask=True)(large, Detections(BOXES[:2] * 2)).mapped(large.to_source)
    assert doubled.keypoints is not None
    assert direct.visibility is not None
    assert np.abs(doubled.keypoints - direct.keypoints)[direct.visibility > 0.99].max() < 2
    for one, two in zip(plain(doubled), plain(direct), strict=True):
        assert one["mask"]["size"] == [frame.height, frame.width]
        assert mask_area(one["mask"]) == pytest.approx(mask_area(two["mask"]), rel=0.1)


def test_boxes_with_and_without_points_go_together_and_other_numbers_of_points_do_not() -> None:
    posed = Landmarks()(first_frame(), Detections(BOXES[:1]))
    joined = concatenated([posed, Detections(BOXES[1:2])])
    assert [row["keypoints"] is None for row in joined.rows()] == [False, True]
    with pytest.raises(ValueError, match="2 and 17 key points cannot be combined"):
        concatenated([posed, Detections(BOXES[1:2], keypoints=np.zeros((1, 2, 2)))])
