"""Text by RapidOCR (PP-OCR models inside its wheel): finding lines, and reading them.

RapidOCR keeps its switches from call to call, so every call states all of them; its sessions are replaced by shared ones of one thread,
which also means that it never looks for model files, let alone downloads any. Lines are read one by one: in a batch, what a line is padded
with would depend on its neighbours.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from videodag_cli.data import Floats, Image
from videodag_cli.errors import ParamError
from videodag_cli.onnx.scores import check_boxes, checked_scores
from videodag_cli.onnx.session import load_runtime, open_session, read_model

DETECTION_MODEL = "PP-OCRv6_det_small.onnx"
RECOGNITION_MODEL = "PP-OCRv6_rec_small.onnx"
MAX_ENLARGEMENT = 3.0
MAX_SIDE = 2000
"""Longer pictures are shrunk before lines are looked for."""
_DUPLICATE = 0.7
"""A line that lies inside a larger one by more than this share is a second reading of it."""
_BOX_SCORE, _GROWTH = 0.5, 1.6  # RapidOCR's own defaults, stated because it keeps what it was last given


class Line(NamedTuple):
    text: str
    confidence: float
    corners: Floats
    """(4, 2) top left, top right, bottom right, bottom left of the text, in the picture's pixels."""


class Reader:
    """One RapidOCR; not for several threads at once. Raises ModuleNotFoundError where RapidOCR is not installed."""

    def __init__(self, *, min_side: int) -> None:
        load_runtime()  # before RapidOCR does
        import rapidocr
        from omegaconf import flag_override

        folder = Path(rapidocr.__file__).parent / "models"
        self._min_side = min_side
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.max_side_len": MAX_SIDE,
                "Det.limit_side_len": 32,
                "Det.limit_type": "min",
                "Rec.rec_batch_num": 1,
            }
        )
        with flag_override(self._engine.cfg, "allow_objects", True):
            self._engine.cfg.Det.session = _session(folder / DETECTION_MODEL)
            self._engine.cfg.Rec.session = _session(folder / RECOGNITION_MODEL)

    def lines(self, image: Image) -> list[Line]:
        """Lines of text in a picture, from top to bottom."""
        import cv2

        height, width = image.shape[:2]
        factor = min(
            MAX_ENLARGEMENT, max(1.0, self._min_side / min(width, height)), max(1.0, MAX_SIDE / max(width, height))
        )
        size = (round(width * factor), round(height * factor))
        enlarged = image
        if size != (width, height):
            enlarged = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        found = self._call(enlarged, find=True)
        if found.txts is None or found.boxes is None:
            return []
        scores = checked_scores(found.scores, RECOGNITION_MODEL)
        check_boxes(np.asarray(found.boxes, np.float64), DETECTION_MODEL)
        scale = np.array((width / size[0], height / size[1]))
        limit = np.array((width, height), np.float64)
        lines = [
            Line(text.strip(), float(score), np.clip(np.asarray(box, np.float64).reshape(4, 2) * scale, 0, limit))
            for text, score, box in zip(found.txts, scores, found.boxes, strict=True)
        ]
        return _without_duplicates(lines)

    def line(self, image: Image) -> Line | None:
        """The picture read as one line."""
        found = self._call(image, find=False)
        if not found.txts:
            return None
        height, width = image.shape[:2]
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
        return Line(found.txts[0].strip(), float(checked_scores(found.scores, RECOGNITION_MODEL)[0]), corners)

    def _call(self, image: Image, *, find: bool) -> Any:
        return self._engine(
            np.ascontiguousarray(image),
            use_det=find,
            use_cls=False,
            use_rec=True,
            return_word_box=False,
            return_single_char_box=False,
            text_score=0.0,
            box_thresh=_BOX_SCORE,
            unclip_ratio=_GROWTH,
        )


@lru_cache(maxsize=4)
def _session(path: Path) -> Any:
    if not path.is_file():
        raise ParamError(
            f"this version of rapidocr does not carry the model {path.name}; install rapidocr 3.10 or newer",
            word="param.file",
        )
    content, digest = read_model(path)
    return open_session(content, digest, name=path.name, one_shape=False)


def _without_duplicates(lines: list[Line]) -> list[Line]:
    """Without lines that lie inside a larger one."""
    import cv2

    shapes = [np.asarray(line.corners, np.float32) for line in lines]
    areas = [float(cv2.contourArea(shape)) for shape in shapes]
    kept: list[int] = []
    for i in sorted(range(len(lines)), key=lambda i: (-areas[i], i)):
        inside = (cv2.intersectConvexConvex(shapes[i], shapes[k])[0] for k in kept)
        if areas[i] > 0 and not any(shared > _DUPLICATE * areas[i] for shared in inside):
            kept.append(i)
    return [lines[i] for i in sorted(kept)]
