"""Which boxes go on, and several detectors' boxes as one set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.commands import python
from tests.walks import boxed
from videodag_cli.data import Codes, Detections, Tracks, VideoInfo
from videodag_cli.errors import ParamError
from videodag_cli.tools.codes import read
from videodag_cli.tools.detect import Objects
from videodag_cli.tools.filter import DetectionFilter, TrackFilter
from videodag_cli.tools.merge import merged
from videodag_cli.toolspec import spec_of
from videodag_cli.vision.regions import Zone

VIDEO = VideoInfo(640, 360)
FOUND = boxed(
    [(0, 0, 10, 10), (100, 0, 164, 36), (300, 100, 400, 200), (600, 300, 640, 360)],
    [0.9, 0.5, 0.3, 0.7],
    class_name=("cat", "dog", "cat", "bird"),
    data={"n": (0, 1, 2, 3)},
)
CORNER = Zone(name="corner", polygon=((600, 340), (640, 340), (620, 360)))


def kept(**params: Any) -> list[int]:
    return list(DetectionFilter(VIDEO, **params)(FOUND).data["n"])


@pytest.mark.parametrize(
    ("params", "rows"),
    [
        ({}, [0, 1, 2, 3]),
        ({"classes": ["cat"]}, [0, 2]),
        ({"classes": ["cat", "bird"], "exclude": ["bird"]}, [0, 2]),
        ({"exclude": ["cat"]}, [1, 3]),
        ({"min_confidence": 0.5}, [0, 1, 3]),
        ({"min_confidence": 0.5, "max_confidence": 0.7}, [1, 3]),
        ({"min_area": 2304}, [1, 2, 3]),
        ({"max_area": 0.01, "units": "fraction"}, [0, 1]),
        ({"min_area": 0.01, "max_area": 0.02, "units": "fraction"}, [1, 3]),
        ({"zones": [Zone(name="right", polygon=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))], "units": "fraction"}, [2, 3]),
        ({"zones": [Zone(name="top", polygon=((0, 0), (640, 0), (640, 40), (0, 40)))]}, [0, 1]),
        ({"zones": [Zone(name="top", polygon=((0, 0), (99, 0), (0, 20))), CORNER]}, [0, 3]),
        ({"classes": ["cat"], "min_confidence": 0.5}, [0]),
        ({"classes": ["fish"]}, []),
    ],
)  # fmt: skip
def test_every_condition_given_must_hold(params: dict[str, Any], rows: list[int]) -> None:
    assert kept(**params) == rows


def test_boxes_without_what_is_asked_for() -> None:
    bare = boxed([(0, 0, 10, 10)])
    assert len(DetectionFilter(VIDEO, min_confidence=0.9)(bare)) == 1
    assert len(DetectionFilter(VIDEO, classes=["cat"])(bare)) == 0
    assert len(DetectionFilter(VIDEO, classes=["cat"], min_area=1)(Detections.empty())) == 0


def test_tracks_keep_their_ids_and_subclasses_their_type() -> None:
    tracks = Tracks(FOUND.xyxy, class_name=FOUND.class_name, tracker_id=np.array([4, 5, 6, 7]))
    assert TrackFilter(VIDEO, classes=["cat"])(tracks).tracker_id.tolist() == [4, 6]
    codes = Codes(FOUND.xyxy, data={"text": ("a", "b", "c", "d")})
    assert type(DetectionFilter(VIDEO, min_area=200)(codes)) is Codes


def test_contradicting_limits_are_refused() -> None:
    with pytest.raises(ParamError, match=r"min_confidence 0.9 is above max_confidence 0.5"):
        DetectionFilter(VIDEO, min_confidence=0.9, max_confidence=0.5)
    with pytest.raises(ParamError, match="units=pixel"):
        DetectionFilter(VIDEO, min_area=400, units="fraction")


NAMED = [(DetectionFilter, "classes"), (TrackFilter, "exclude"), (Objects, "classes"), (read, "formats")]


@pytest.mark.parametrize(("target", "param"), NAMED)
@pytest.mark.parametrize(
    "text", ["EAN13,QRCode", " EAN13 , QRCode ", '["EAN13", "QRCode"]', "['EAN13', 'QRCode']", ' ["EAN13","QRCode"]']
)
def test_lists_of_names_are_read_the_same_by_every_tool(target: Any, param: str, text: str) -> None:
    spec = spec_of(target)
    assert spec
    found = spec.check_params({param: spec.parse_text(param, text)})[param]
    assert list(found) == ["EAN13", "QRCode"]
    assert spec.check_params({param: ["EAN13", "QRCode"]})[param] == found


@pytest.mark.parametrize(("target", "param"), NAMED)
@pytest.mark.parametrize("text", ['["EAN13"', "[1, 2]", "[EAN13]", '{"EAN13": 1'])
def test_text_that_is_no_list_of_names_is_refused_by_every_tool(target: Any, param: str, text: str) -> None:
    spec = spec_of(target)
    assert spec
    with pytest.raises(ParamError, match=param):
        spec.check_params({param: spec.parse_text(param, text)})


@pytest.mark.parametrize(("target", "param"), NAMED[:3])
def test_only_these_of_no_names_is_refused(target: Any, param: str) -> None:
    spec = spec_of(target)
    assert spec
    for value in ([], "", ",", [""], [" "]):
        with pytest.raises(ParamError, match=param):
            spec.check_params({param: value})


def test_class_names_of_a_filter_are_those_of_a_detector_in_upper_or_lower_case() -> None:
    assert (
        len(DetectionFilter(VIDEO, classes=["CAT"])(FOUND)) == len(DetectionFilter(VIDEO, classes=["cat"])(FOUND)) > 0
    )
    assert len(DetectionFilter(VIDEO, exclude=["Cat"])(FOUND)) == len(DetectionFilter(VIDEO, exclude=["cat"])(FOUND))


A = boxed([(0, 0, 10, 10), (50, 0, 60, 10)], [0.6, 0.9], class_name=("cat", "cat"))
B = boxed([(1, 0, 11, 10), (200, 0, 210, 10)], [0.8, 0.7], class_name=("cat", "dog"))


def test_merge_keeps_the_best_of_overlapping_boxes_best_first() -> None:
    assert merged(A, B).xyxy[:, 0].tolist() == [50, 1, 200]
    assert merged(A, B, iou=0.9).xyxy[:, 0].tolist() == [50, 1, 200, 0]


def test_merge_tells_classes_apart_by_name_unless_told_otherwise() -> None:
    dog = boxed([(0, 0, 10, 10)], [0.95], class_id=[0], class_name=("dog",))
    assert merged(A, dog).xyxy[:, 0].tolist() == [0, 50, 0]
    assert merged(A, dog, class_agnostic=True).class_name == ("dog", "cat")


def test_boxes_without_confidence_win_and_equals_follow_the_edges() -> None:
    certain = boxed([(1, 0, 11, 10)], class_name=("cat",))
    assert merged(A, certain).xyxy[:, 0].tolist() == [1, 50]
    assert merged(A, A).xyxy.tolist() == [[50, 0, 60, 10], [0, 0, 10, 10]]


def test_merging_one_or_nothing_still_suppresses() -> None:
    assert len(merged(boxed([(0, 0, 10, 10), (0, 0, 10, 9)], [0.5, 0.6]))) == 1
    assert len(merged(Detections.empty(), Detections.empty())) == 0


def test_loading_the_tools_loads_no_heavy_package() -> None:
    """The catalogue of tools is shown without OpenCV, SciPy or a network runtime."""
    modules = ", ".join(f"videodag_cli.tools.{name}" for name in ("track", "zones", "filter", "merge"))
    code = f"import sys, {modules}; print([m for m in ('cv2', 'scipy', 'av', 'onnxruntime') if m in sys.modules])"
    assert python(code).strip() == "[]"
