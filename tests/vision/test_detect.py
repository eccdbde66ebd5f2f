"""Built-in models: arithmetic against stored raw outputs, people on a real clip, batches, threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.onnx_models import brightness_model
from videodag_cli import Detections, Frame
from videodag_cli.errors import ParamError
from videodag_cli.tools.detect import FaceFinder, Objects
from videodag_cli.toolspec import spec_of
from videodag_cli.vision.boxes import iou_matrix, nms
from videodag_cli.vision.onnx.bridges import without_bridges
from videodag_cli.vision.onnx.builtin import FACE_MODELS, OBJECT_MODELS, alike_map
from videodag_cli.vision.onnx.detector_opening import open_detector
from videodag_cli.vision.onnx.faces import FaceDetector
from videodag_cli.vision.onnx.layouts import blazeface
from videodag_cli.vision.onnx.preprocessing import placed

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "sample_videos" / "pedestrians.mp4"
RAW = Path(__file__).parents[1] / "raw_outputs"
LARGEST_DIFFERENCE = 1e-4
"""Pixels, between this package's arithmetic in double precision and the reference scripts' in single; 4.4e-5 was seen."""


@pytest.fixture(scope="module")
def clip() -> dict[int, Frame]:
    """Frames 0, 60 and 62 of the pedestrian clip."""
    capture = cv2.VideoCapture(str(CLIP))
    frames = {}
    for index in range(63):
        image = np.asarray(capture.read()[1], np.uint8)
        if index in (0, 60, 62):
            frames[index] = Frame.from_image(image, index=index)
    capture.release()
    return frames


def stored(name: str) -> dict[str, NDArray[Any]]:
    with np.load(RAW / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize(("model", "file"), [("people", "nanodet"), ("vehicles", "ssd")])
def test_decoding_equals_the_reference_on_stored_raw_outputs(model: str, file: str) -> None:
    """The stored boxes are those of the models' reference scripts (suppression within each class) on frame 60, not rounded."""
    data = stored(file)
    shipped = OBJECT_MODELS[model]
    detector = open_detector(shipped.path(), labels=shipped.names())
    outputs = {key.removeprefix("raw."): value for key, value in data.items() if key.startswith("raw.")}
    boxes = detector.layout.decode(outputs, 0, detector.size, shipped.confidence)
    back = placed(np.zeros((576, 768, 3), np.uint8), detector.size, detector.form)[1]
    boxes = boxes.chosen(nms(boxes.xyxy, boxes.scores, iou=shipped.iou, groups=boxes.class_ids))
    assert [detector.label(int(i)).replace(" ", "_") for i in boxes.class_ids] == data["names"].tolist()
    assert np.abs(back.boxes(boxes.xyxy) - data["boxes"]).max() < LARGEST_DIFFERENCE
    assert np.abs(boxes.scores - data["scores"]).max() < 1e-6


@pytest.mark.parametrize(("model", "file"), [("full", "full_range"), ("short", "short_range")])
def test_decoding_of_faces_equals_the_reference_on_stored_raw_outputs(model: str, file: str) -> None:
    data = stored(file)
    side = FACE_MODELS[model].side
    height, width = data["shape"].tolist()
    found = blazeface.decode_blazeface(data["regressors"][0], data["logits"][0], side, 0.5)
    rows = nms(found.xyxy, found.scores, iou=0.3)
    assert len(rows) == len(data["boxes"]) == 1
    square = max(height, width)  # the reference puts the picture into the middle of a square before it scales
    border = np.array(((square - width) // 2, (square - height) // 2) * 2)
    assert np.abs(found.xyxy[rows] * square / side - border - data["boxes"]).max() < LARGEST_DIFFERENCE
    assert found.scores[rows] == pytest.approx(data["scores"], abs=1e-6)


def test_running_the_model_gives_the_stored_boxes(clip: dict[int, Frame]) -> None:
    data = stored("nanodet")
    found = Objects(classes=["person"])([clip[60]])[0]
    expected = data["boxes"][data["names"] == "person"]
    assert (iou_matrix(found.xyxy, expected).max(axis=1) > 0.97).all()


PEOPLE_62 = [
    (343, 163, 374, 238),
    (376, 178, 402, 258),
    (400, 178, 430, 261),
    (463, 199, 495, 285),
    (499, 197, 530, 283),
    (617, 233, 651, 340),
]
"""Drawn by hand around the people of frame 62 who are in full view."""


@pytest.mark.parametrize("tiles", ["1x1", "1x2", "2x2"])
def test_people_in_full_view_are_found_once(clip: dict[int, Frame], tiles: str) -> None:
    found = Objects(classes=["person"], tiles=tiles)([clip[62]])[0]
    overlap = iou_matrix(np.array(PEOPLE_62), found.xyxy)
    assert ((overlap > 0.5).sum(axis=1) >= 1).all(), overlap.max(axis=1)
    assert np.triu(iou_matrix(found.xyxy, found.xyxy), 1).max() < 0.6
    assert set(found.class_name or ()) == {"person"}


def test_cars_and_trucks_suppress_each_other(clip: dict[int, Frame]) -> None:
    found = Objects(classes=["car", "truck", "bus"])([clip[60]])[0]
    assert len(found) == 2
    assert np.triu(iou_matrix(found.xyxy, found.xyxy), 1).max() < 0.3
    alike = alike_map(("person", "car", "bus", "truck"), (("car", "truck", "bus"),))
    assert alike is not None
    assert alike.tolist() == [0, 1, 1, 1]


def test_a_box_between_two_better_ones_goes_and_an_overlapping_neighbour_stays() -> None:
    left, right, between, beside = (0, 0, 34, 80), (36, 0, 66, 80), (16, 0, 48, 80), (80, 0, 110, 80)
    boxes = np.array([left, right, between, beside], np.float64)
    assert without_bridges(boxes, np.zeros(4, np.int64)).tolist() == [0, 1, 3]
    assert without_bridges(boxes, np.array([0, 1, 0, 0])).tolist() == [0, 1, 2, 3]
    assert without_bridges(boxes[[0, 2, 3]], np.zeros(3, np.int64)).tolist() == [0, 1, 2]


def test_vehicles_are_found_by_the_open_images_model(clip: dict[int, Frame]) -> None:
    tool = Objects(model="vehicles", classes=["car", "vehicle"])
    found = tool([clip[60]])[0]
    assert set(found.class_name or ()) == {"Car"}
    assert (found.xyxy[:, 0] > 600).all()
    assert tool.describe()["labels"].startswith("24: ???, Bicycle, Boot, ")


def test_a_frame_behind_a_crop_is_read_in_its_own_pixels(clip: dict[int, Frame]) -> None:
    tool = Objects(classes=["person"])
    whole = tool([clip[62]])[0]
    part = tool([clip[62].cropped(300, 100, 768, 451)])[0]
    moved = part.mapped(clip[62].cropped(300, 100, 768, 451).to_source)
    assert (iou_matrix(moved.xyxy, whole.xyxy).max(axis=1) > 0.6).sum() >= 5


def test_any_batch_size_gives_the_same_bytes(tmp_path: Path) -> None:
    tool = Objects(model=brightness_model(tmp_path / "open.onnx"), confidence=0.0)
    assert tool.batch_size == 4
    frames = [Frame.from_image(np.full((50, 90, 3), 20 * i + 7, np.uint8)) for i in range(9)]
    one_by_one = [tool([frame])[0] for frame in frames]
    for size in (2, 3, 9):
        batched = [d for start in range(0, 9, size) for d in tool(frames[start : start + size])]
        for a, b in zip(one_by_one, batched, strict=True):
            assert a.xyxy.tobytes() == b.xyxy.tobytes()
            assert a.confidence is not None
            assert b.confidence is not None
            assert a.confidence.tobytes() == b.confidence.tobytes()
    assert len({d.confidence[0] for d in one_by_one if d.confidence is not None}) == 9


def test_a_model_with_a_fixed_batch_is_given_one_picture_at_a_time(tmp_path: Path) -> None:
    tool = Objects(model=brightness_model(tmp_path / "fixed.onnx", batch=1), confidence=0.0)
    assert tool.batch_size == 1
    assert len(tool([Frame.from_image(np.full((50, 90, 3), 9 * i + 9, np.uint8)) for i in range(5)])) == 5
    assert Objects().batch_size == 1


def test_instances_of_a_model_share_one_session_and_agree_from_several_threads(clip: dict[int, Frame]) -> None:
    tools = [Objects() for _ in range(4)]
    assert len({id(tool._detector.session) for tool in tools}) == 1
    expected = tools[0]([clip[60]])[0].xyxy.tobytes()
    results: list[bytes] = []

    def work(tool: Objects) -> None:
        results.append(tool([clip[60]])[0].xyxy.tobytes())

    threads = [threading.Thread(target=work, args=(tool,)) for tool in tools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_faces_of_people_are_found_inside_their_boxes_and_not_without(clip: dict[int, Frame]) -> None:
    people = Objects(classes=["person"])([clip[0]])[0]
    tool = FaceFinder()
    assert len(tool(clip[0])) == 0
    faces = tool(clip[0], people)
    assert isinstance(faces, Detections)
    assert len(faces) == len(people) == 3
    for box, points in zip(faces.xyxy, faces.keypoints if faces.keypoints is not None else [], strict=True):
        person = people.xyxy[iou_matrix(box, people.xyxy).argmax()]
        assert person[0] < (box[0] + box[2]) / 2 < person[2]
        assert box[3] < person[1] + 0.3 * (person[3] - person[1])
        assert points.shape == (6, 2)
        assert box[0] <= points[2][0] <= box[2]
    assert len(tool(clip[0], Detections.empty())) == 0


def test_a_face_found_in_two_boxes_counts_once(clip: dict[int, Frame]) -> None:
    box = (499.0, 156.0, 529.0, 231.0)
    twice = Detections(xyxy=np.array([box, (490, 150, 540, 240), (0, 0, 3, 3)]))
    assert len(FaceFinder()(clip[0], twice)) == 1
    assert FaceDetector("short").describe()["layout"] == "blazeface, 896 anchors"


def test_classes_are_checked_against_the_labels() -> None:
    with pytest.raises(ParamError, match="unknown class 'persn'; did you mean 'person'"):
        Objects(classes=["persn"])
    with pytest.raises(ParamError, match="has its own names"):
        Objects(labels=["a"])


@pytest.mark.parametrize("given", ["person,car", '["person", "car"]', ["person", "car"], "person , car"])
def test_classes_are_a_list_or_names_with_commas(given: object) -> None:
    spec = spec_of(Objects)
    assert spec is not None
    assert spec.check_params({"classes": given})["classes"] == ["person", "car"]


def test_tiles_provider_and_size_are_checked() -> None:
    with pytest.raises(ParamError, match="rows x columns such as '1x2'"):
        Objects(tiles="0x9")
    with pytest.raises(ParamError, match=r"'NoProvider' is not in this onnxruntime; installed: .*CPUExecutionProvider"):
        Objects(provider="NoProvider")
    with pytest.raises(ParamError, match="takes pictures of 416x416 only; param size asks for 640x640"):
        Objects(size="640")
