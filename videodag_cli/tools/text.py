"""Reading text in pictures."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from videodag_cli.data import Detections, Floats, Frame, TextLines
from videodag_cli.tools.params import Share
from videodag_cli.toolspec import tool
from videodag_cli.vision.onnx.ocr import DETECTION_MODEL, RECOGNITION_MODEL, ReadLine, TextReader

MIN_SIDE = 8
"""Boxes with a shorter side than this many pixels hold no text that could be read."""


@tool(version=2, stateless=True, requires="ocr", cache=True)
class Read:
    """Lines of text with their box, corners and confidence, from top to bottom.

    With detections as a second input, reads inside each of their boxes, and `detection` is the number of the box (its index among the
    detections, from 0). Lines without a letter or digit are left out. Corners go clockwise from the text's own top left, so they show how
    it is turned. Text that reads as well upside down, such as 0096 and 9600, is read as it is, or from top to bottom.
    """

    def __init__(
        self,
        *,
        mode: Annotated[
            Literal["find", "line"],
            Field(
                description="find: look for lines, then read them; line: the picture, or each detection, is one line: "
                "surest and fastest for a counter or a plate"
            ),
        ] = "find",
        min_confidence: Annotated[Share, Field(description="lowest confidence of a line of text")] = 0.6,
        min_length: Annotated[
            int,
            Field(
                ge=1, description="fewest characters of a line; 1 lets single digits through, and more that is not text"
            ),
        ] = 2,
        min_side: Annotated[
            int,
            Field(
                ge=32,
                le=2000,
                description="pictures are enlarged, at most 3 times, until their shorter side has this many pixels; less is faster",
            ),
        ] = 480,
        margin: Annotated[
            float,
            Field(
                ge=0,
                le=2,
                description="how far a detection's box is grown before reading inside, as a share of its sides",
            ),
        ] = 0.05,
        rotate: Annotated[
            bool,
            Field(
                description="also read lines turned by 90, 180 and 270 degrees; false is faster where no text is turned, "
                "and reads turned text wrong"
            ),
        ] = True,
    ) -> None:
        self._reader = TextReader(min_side=min_side, rotate=rotate)
        self._one_line = mode == "line"
        self._min_confidence, self._min_length, self._margin = min_confidence, min_length, margin

    def __call__(self, frame: Frame, detections: Detections | None = None) -> TextLines:
        if detections is None:
            lines = self._inside(frame, (0, 0, frame.width, frame.height))
            return _text_lines(lines, None)
        lines, rows = [], []
        for row, box in enumerate(detections.xyxy):
            found = self._inside(frame, _grown(box, self._margin, frame))
            lines += found
            rows += [row] * len(found)
        return _text_lines(lines, rows)

    def describe(self) -> dict[str, str]:
        """What the models are, for `pipelines validate --load`."""
        return {
            "layout": "pp-ocr",
            "input": "any size",
            "file": f"{DETECTION_MODEL} and {RECOGNITION_MODEL} of rapidocr",
        }

    def _inside(self, frame: Frame, region: tuple[int, int, int, int]) -> list[ReadLine]:
        left, top, right, bottom = region
        if min(right - left, bottom - top) < MIN_SIDE:
            return []
        picture = frame.image[top:bottom, left:right]
        found = [self._reader.line(picture)] if self._one_line else self._reader.lines(picture)
        offset = np.array((left, top), np.float64)
        return [line._replace(corners=line.corners + offset) for line in found if self._counts(line)]

    def _counts(self, line: ReadLine) -> bool:
        return (
            line.confidence >= self._min_confidence
            and len(line.text) >= self._min_length
            and any(character.isalnum() for character in line.text)
        )


def _grown(box: Floats, margin: float, frame: Frame) -> tuple[int, int, int, int]:
    """A box with its margin in whole pixels of the frame."""
    grow = margin * (box[2:] - box[:2])
    left, top = np.floor(box[:2] - grow)
    right, bottom = np.ceil(box[2:] + grow)
    return max(0, int(left)), max(0, int(top)), min(frame.width, int(right)), min(frame.height, int(bottom))


def _text_lines(lines: list[ReadLine], rows: list[int] | None) -> TextLines:
    corners = np.array([line.corners for line in lines], np.float64).reshape(-1, 4, 2)
    data: dict[str, tuple[str | int, ...]] = {"text": tuple(line.text for line in lines)}
    if rows is not None:
        data["detection"] = tuple(rows)
    return TextLines(
        xyxy=np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1) if lines else np.empty((0, 4)),
        confidence=np.array([line.confidence for line in lines], np.float64),
        keypoints=corners,
        data=data,
    )
