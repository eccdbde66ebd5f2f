"""CenterFace by a small model built from the authors' formula, and faces that are backs of heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.onnx_models import constant_model
from tests.sampled import frames_of
from videodag_cli import Detections, Frame
from videodag_cli.errors import ParamError
from videodag_cli.tools.detect import FaceFinder, Objects
from videodag_cli.vision.boxes import iou_matrix
from videodag_cli.vision.onnx.layouts.centerface import size_for

WIDTH, HEIGHT = 128, 64
FACE = np.array([30.0, 20.0, 54.0, 52.0])
"""In the network's pixels; its centre lies in the cell that begins at (40, 36)."""
POINTS = np.array([[36.0, 30.0], [48.0, 31.0], [42.0, 38.0], [37.0, 45.0], [47.0, 46.0]])


def centerface(path: Path, *, named: bool = True) -> Path:
    maps = {c: np.zeros((1, c, HEIGHT // 4, WIDTH // 4), np.float32) for c in (1, 2, 10)}
    row, column = 9, 10
    scale, offset = np.zeros_like(maps[2]), np.zeros_like(maps[2])
    maps[1][0, 0, row, column], maps[1][0, 0, row, column + 1] = 0.9, 0.7
    width, height = FACE[2:] - FACE[:2]
    cx, cy = (FACE[:2] + FACE[2:]) / 2
    for cell in (column, column + 1):
        scale[0, :, row, cell] = np.log(height / 4), np.log(width / 4)
        offset[0, :, row, cell] = cy / 4 - row - 0.5, cx / 4 - cell - 0.5
        shares = (POINTS - FACE[:2]) / (width, height)
        maps[10][0, :, row, cell] = shares[:, ::-1].ravel()
    names = ("heatmap", "scale", "offset", "landmarks") if named else ("537", "538", "539", "540")
    return constant_model(
        path, dict(zip(names, (maps[1], scale, offset, maps[10]), strict=True)), shape=(1, 3, HEIGHT, WIDTH)
    )


@pytest.mark.parametrize("named", [True, False])
def test_centerface_gives_the_face_and_its_points_in_the_picture(tmp_path: Path, named: bool) -> None:
    tool = FaceFinder(model=centerface(tmp_path / "c.onnx", named=named))
    found = tool(Frame.from_image(np.zeros((128, 512, 3), np.uint8)))
    assert found.xyxy == pytest.approx(FACE[None] * (4, 2, 4, 2), abs=1e-4)
    assert found.keypoints == pytest.approx(POINTS[None] * (4, 2), abs=1e-3)
    assert found.confidence == pytest.approx([0.9])
    assert tool.describe()["layout"] == "centerface"


def test_what_centerface_sees_has_sides_that_are_multiples_of_32() -> None:
    assert [size_for(*size) for size in ((1920, 1080), (640, 352), (640, 360), (30, 100), (1, 5000))] == [
        (640, 384),
        (640, 352),
        (640, 384),
        (96, 320),
        (32, 640),
    ]


def test_another_model_is_no_face_detector(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "y.onnx", {"output0": np.zeros((1, 7, 84), np.float32)})
    with pytest.raises(
        ParamError, match=r"is not a known face detector: expected CenterFace's outputs.*output0 1x7x84"
    ):
        FaceFinder(model=path)


def test_numbers_that_are_none_fail_the_frame(tmp_path: Path) -> None:
    shapes = {"heatmap": 1, "scale": 2, "offset": 2, "landmarks": 10}
    outputs = {name: np.full((1, c, 16, 32), np.nan, np.float32) for name, c in shapes.items()}
    path = constant_model(tmp_path / "n.onnx", outputs, shape=(1, 3, HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="outputs values that are not numbers"):
        FaceFinder(model=path)(Frame.from_image(np.zeros((64, 128, 3), np.uint8)))


def test_faces_of_people_seen_from_behind_are_dropped_on_request() -> None:
    """In frame 80 one man looks at the camera, and a woman with fair hair walks away from it; read off the picture."""
    frame = frames_of("pedestrians.mp4", stride=80)[1]
    people = Objects(classes=["person"])([frame])[0]
    every = FaceFinder()(frame, people)
    kept = FaceFinder(backs="drop")(frame, people)
    assert 0 < len(kept) < len(every)
    dropped = every[[i for i, box in enumerate(every.xyxy.tolist()) if box not in kept.xyxy.tolist()]]
    poses = people.xyxy[iou_matrix(dropped.xyxy, people.xyxy).argmax(axis=1)]
    assert len(poses) == 1
    hair = frame.image[
        int(dropped.xyxy[0, 1]) : int(dropped.xyxy[0, 3]), int(dropped.xyxy[0, 0]) : int(dropped.xyxy[0, 2])
    ]
    assert hair.mean() > 60
    assert len(FaceFinder(backs="drop")(frame, Detections.empty())) == len(FaceFinder()(frame, Detections.empty()))
