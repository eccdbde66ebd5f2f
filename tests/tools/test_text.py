"""Reading text: the burned-in counter of the synthetic clip, whole, cropped, and inside detections."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest

from videodag_cli import Detections, Frame, TextLines
from videodag_cli.tools.text import Read
from videodag_cli.toolspec import spec_of

pytestmark = pytest.mark.slow

pytest.importorskip("rapidocr")

CLIP = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
COUNTER = (440, 290, 640, 360)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    capture = cv2.VideoCapture(str(CLIP))
    found = [Frame.from_image(np.asarray(capture.read()[1], np.uint8), index=i) for i in range(120)]
    capture.release()
    return found


def painted(*lines: tuple[str, tuple[int, int]], size: tuple[int, int] = (640, 240)) -> Frame:
    image = np.full((size[1], size[0], 3), 235, np.uint8)
    for text, place in lines:
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 2, cv2.LINE_AA)
    return Frame.from_image(image)


def test_the_counter_is_read_exactly(frames: list[Frame]) -> None:
    tool = Read(mode="line")
    read = [tool(frame.cropped(*COUNTER)).data["text"] for frame in frames[::3]]
    assert read == [(f"{i:06d}",) for i in range(0, 120, 3)]


def test_the_counter_is_found_in_a_crop_and_its_box_is_in_the_crops_pixels(frames: list[Frame]) -> None:
    tool = Read()
    for frame in frames[::12]:
        found = tool(frame.cropped(*COUNTER))
        assert found.data["text"] == (f"{frame.index:06d}",)
        left, top, right, bottom = found.xyxy[0]
        assert 15 < left < 35
        assert 170 < right < 190
        assert 10 < top < 30
        assert 55 < bottom < 70


def test_lines_come_from_top_to_bottom_with_their_corners() -> None:
    found = Read()(painted(("second line", (200, 180)), ("First", (40, 60))))
    assert isinstance(found, TextLines)
    assert found.data["text"] == ("First", "second line")
    assert set(found.rows()[0]) == {"xyxy", "confidence", "corners", "text"}
    assert found.keypoints is not None
    assert (found.keypoints.min(axis=1) == found.xyxy[:, :2]).all()
    assert (found.keypoints.max(axis=1) == found.xyxy[:, 2:]).all()
    assert 35 < found.xyxy[0, 0] < 50
    assert 190 < found.xyxy[1, 0] < 210


@pytest.mark.parametrize("mode", ["find", "line"])
def test_text_in_detections_says_which_box_it_belongs_to(mode: Literal["find", "line"]) -> None:
    frame = painted(("AB123", (60, 70)), ("XY789", (400, 190)))
    boxes = Detections(xyxy=np.array([(300, 10, 330, 40), (390, 155, 540, 205), (50, 35, 200, 85), (0, 0, 3, 3)]))
    found = Read(mode=mode)(frame, boxes)
    assert dict(zip(found.data["detection"], found.data["text"], strict=True)) == {1: "XY789", 2: "AB123"}
    row = found.data["detection"].index(1)
    assert 380 < found.xyxy[row, 0] < 405
    assert len(Read(mode=mode)(frame, Detections.empty())) == 0


PLATE = painted(("PLATE AB-1234", (120, 150)))
READING = [(1, 0), (0, -1), (-1, 0), (0, 1)]
"""The way one reads, in the picture, after so many quarter turns against the clock."""


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mode", ["find", "line"])
def test_a_turned_line_is_read_and_its_corners_say_how_it_is_turned(
    mode: Literal["find", "line"], quarters: int
) -> None:
    image = PLATE.image if mode == "find" else PLATE.image[110:165, 110:360]
    found = Read(mode=mode)(Frame.from_image(np.ascontiguousarray(np.rot90(image, quarters))))
    assert found.data["text"] == ("PLATE AB-1234",)
    assert found.keypoints is not None
    top_left, top_right, _, bottom_left = found.keypoints[0]
    along, down = top_right - top_left, bottom_left - top_left
    assert along / np.linalg.norm(along) == pytest.approx(READING[quarters], abs=0.05)
    assert down / np.linalg.norm(down) == pytest.approx(READING[quarters - 1], abs=0.2)


@pytest.mark.parametrize("quarters", range(4))
def test_turned_text_inside_detections_is_read(quarters: int) -> None:
    image = np.ascontiguousarray(np.rot90(PLATE.image, quarters))
    box = np.zeros(image.shape[:2], np.uint8)
    np.rot90(box, -quarters)[110:165, 110:360] = 1
    ys, xs = np.nonzero(box)
    boxes = Detections(xyxy=np.array([(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)], np.float64))
    for mode in ("find", "line"):
        assert Read(mode=mode)(Frame.from_image(image), boxes).data["text"] == ("PLATE AB-1234",)


@pytest.mark.parametrize("text", ["000096", "000099", "006890"])
def test_digits_that_read_as_well_upside_down_are_taken_as_they_stand(text: str) -> None:
    frame = painted((text, (120, 150)))
    assert Read()(frame).data["text"] == (text,)


def test_a_single_tall_digit_is_not_read_on_its_side() -> None:
    digit = painted(("7", (40, 60)), size=(100, 100)).image[32:66, 38:60]
    boxed = Read(mode="line", min_length=1)(Frame.from_image(np.ascontiguousarray(digit)))
    assert boxed.data["text"] == ("7",)


@pytest.mark.parametrize("quarters", [0, 2])
def test_without_rotation_lines_are_those_of_rapidocr_itself_without_its_classifier(quarters: int) -> None:
    import rapidocr

    own: Any = rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.limit_side_len": 32,
            "Det.limit_type": "min",
            "Rec.rec_batch_num": 1,
            "Global.text_score": 0.0,
        }
    )
    image = np.ascontiguousarray(
        np.rot90(painted(("PLATE AB-1234", (40, 120)), ("second", (60, 400)), size=(640, 480)).image, quarters)
    )
    expected = own(image, use_det=True, use_cls=False, use_rec=True)
    found = Read(rotate=False, min_confidence=0)(Frame.from_image(image))
    assert found.data["text"] == tuple(expected.txts)
    assert found.confidence == pytest.approx(expected.scores, abs=1e-4)
    assert found.keypoints == pytest.approx(expected.boxes, abs=0.01)
    assert (found.data["text"] == ("PLATE AB-1234", "second")) == (quarters == 0)


def test_short_and_doubtful_lines_and_lines_without_letters_are_left_out() -> None:
    frame = painted(("7", (60, 70)), ("hello", (300, 180)))
    assert Read()(frame).data["text"] == ("hello",)
    assert Read(min_length=6)(frame).data["text"] == ()
    assert Read(min_confidence=1.0)(frame).data["text"] == ()
    assert Read()(painted(("-- --", (60, 70)))).data["text"] == ()


def test_finding_after_reading_one_line_still_finds(frames: list[Frame]) -> None:
    whole, part = Read(), Read(mode="line")
    before = whole(frames[45]).rows()
    part(frames[45].cropped(*COUNTER))
    assert whole(frames[45]).rows() == before
    assert "000045" in [row["text"] for row in before]


def test_empty_and_tiny_pictures_hold_no_text() -> None:
    for shape in ((240, 320, 3), (5, 300, 3), (300, 5, 3), (9, 9, 3)):
        blank = Frame.from_image(np.full(shape, 128, np.uint8))
        assert len(Read()(blank)) == len(Read(mode="line")(blank)) == 0


def test_the_tool_needs_the_extra_ocr() -> None:
    spec = spec_of(Read)
    assert spec is not None
    assert spec.requires == "ocr"


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], frames: list[Frame]) -> None:
    Read()(frames[3])
    Read()(Frame.from_image(np.zeros((64, 64, 3), np.uint8)))
    assert capfd.readouterr() == ("", "")
