"""Text by RapidOCR (PP-OCR models inside its wheel): finding lines, and reading them.

RapidOCR keeps its switches from call to call, so every call states all of them; its sessions are replaced by shared ones of one thread,
which also means that it never looks for model files, let alone downloads any. Lines are read one by one: in a batch, what a line is padded
with would depend on its neighbours.

RapidOCR lays tall crops on their side, so what it reads is upright or upside down. Its classifier says which, but not surely enough: it
left 25 of 200 turned lines upside down, and takes an upright 000099 for turned with 0.9997. So the reader decides: what it is not all but
certain of is read the other way round too, and that reading counts where the reader is surer of it by more than `_SURER`,
unless both are made of characters that read as well upside down (000068 and 890000): such a line is read as it is.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from videodag_cli.data import Floats, Image
from videodag_cli.errors import ParamError
from videodag_cli.vision.onnx.scores import check_boxes, checked_scores
from videodag_cli.vision.onnx.session import load_runtime, open_session, read_model

DETECTION_MODEL = "PP-OCRv6_det_small.onnx"
RECOGNITION_MODEL = "PP-OCRv6_rec_small.onnx"
MAX_ENLARGEMENT = 3.0
MAX_SIDE = 2000
"""Longer pictures are shrunk before lines are looked for."""
_DUPLICATE = 0.7
"""A line that lies inside a larger one by more than this share is a second reading of it."""
_BOX_SCORE, _GROWTH = 0.5, 1.6  # RapidOCR's own defaults, stated because it keeps what it was last given
_TALL = 1.5
"""RapidOCR takes what is so many times as high as wide for a line on its side."""
_SURER = 0.01
"""Digits such as 000096 read as well upside down: the confidences then differ by less than 0.001, those of other text by more."""


_BOTH_WAYS = frozenset("01689HINOSXZosxz.:- ")
"""What is itself or another character of this set upside down."""


class ReadLine(NamedTuple):
    text: str
    confidence: float
    corners: Floats
    """(4, 2) top left, top right, bottom right, bottom left of the text as one reads it, in the picture's pixels."""


class TextReader:
    """One RapidOCR; not for several threads at once. Raises ModuleNotFoundError where RapidOCR is not installed.

    With `rotate`, lines turned by 90, 180 or 270 degrees are read too; without, tall ones only if they run from top to bottom.
    """

    def __init__(self, *, min_side: int, rotate: bool) -> None:
        load_runtime()  # before RapidOCR does
        import rapidocr
        from omegaconf import flag_override

        folder = Path(rapidocr.__file__).parent / "models"
        self._min_side, self._rotate = min_side, rotate
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

    def lines(self, image: Image) -> list[ReadLine]:
        """Lines of text in a picture, from top to bottom."""
        import cv2
        from rapidocr.utils.process_img import map_boxes_to_original

        height, width = image.shape[:2]
        factor = min(
            MAX_ENLARGEMENT, max(1.0, self._min_side / min(width, height)), max(1.0, MAX_SIDE / max(width, height))
        )
        size = (round(width * factor), round(height * factor))
        enlarged = image
        if size != (width, height):
            enlarged = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        prepared, record = self._engine.preprocess_img(np.ascontiguousarray(enlarged))
        found, _, _, crops = self._steps(prepared, record, find=True)
        if found.boxes is None:
            return []
        check_boxes(np.asarray(found.boxes, np.float64), DETECTION_MODEL)
        scale = np.array((width / size[0], height / size[1]))
        limit = np.array((width, height), np.float64)
        # Copied: a box that lies at a border is moved in place.
        boxes = map_boxes_to_original(np.array(found.boxes), record, size[1], size[0])
        lines = []
        for box, found_box, crop in zip(boxes, found.boxes, crops, strict=True):
            corners = np.clip(np.asarray(box, np.float64).reshape(4, 2) * scale, 0, limit)
            line = self._read(crop, corners, is_turned=_is_tall(found_box))
            if line.text:
                lines.append(line)
        return _without_duplicates(lines)

    def line(self, image: Image) -> ReadLine:
        """The picture read as one line."""
        height, width = image.shape[:2]
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
        prepared, _ = self._engine.preprocess_img(np.ascontiguousarray(image))
        is_turned = self._rotate and height >= _TALL * width
        return self._read(np.rot90(prepared) if is_turned else prepared, corners, is_turned=is_turned)

    def _read(self, crop: Image, corners: Floats, *, is_turned: bool) -> ReadLine:
        """A line from its crop, which `is_turned` if it was tall and laid on its side, as if it ran from top to bottom."""
        turned = int(is_turned)
        text, confidence = self._text(crop)
        if self._rotate:
            others = [(turned + 2, 2)]
            if is_turned:  # a single letter or digit is tall too
                others.append((0, -1))
            for corner, quarters in others:
                if confidence >= 1 - _SURER and _is_text(text):
                    break
                other, surer = self._text(np.rot90(crop, quarters))
                undecided = _reads_both_ways(text) and _reads_both_ways(other)
                if _is_text(other) and ((surer > confidence + _SURER and not undecided) or not _is_text(text)):
                    text, confidence, turned = other, surer, corner
        return ReadLine(text, confidence, np.roll(corners, -turned, axis=0))

    def _text(self, crop: Image) -> tuple[str, float]:
        _, _, read, _ = self._steps(crop, {}, find=False)
        if not read.txts:
            return "", 0.0
        return read.txts[0].strip(), float(checked_scores(read.scores, RECOGNITION_MODEL)[0])

    def _steps(self, image: Image, record: dict[str, Any], *, find: bool) -> Any:
        """Where lines are and their crops (tall ones laid on their side), or what the picture reads as one line."""
        self._engine.update_params(
            use_det=find,
            use_cls=False,
            use_rec=not find,
            return_word_box=False,
            return_single_char_box=False,
            text_score=0.0,
            box_thresh=_BOX_SCORE,
            unclip_ratio=_GROWTH,
        )
        return self._engine.run_ocr_steps(np.ascontiguousarray(image), record)


def _is_tall(box: Any) -> bool:
    """Whether RapidOCR has laid the crop of this box on its side."""
    box = np.asarray(box, np.float32).reshape(4, 2)
    width = int(max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3])))
    height = int(max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2])))
    return height >= _TALL * width


def _reads_both_ways(text: str) -> bool:
    """Whether turned by 180 degrees it would be text as well, so that no confidence shows which way up it is."""
    return all(character in _BOTH_WAYS for character in text)


def _is_text(text: str) -> bool:
    return any(map(str.isalnum, text))


@lru_cache(maxsize=4)
def _session(path: Path) -> Any:
    if not path.is_file():
        raise ParamError(
            f"this version of rapidocr does not carry the model {path.name}; install rapidocr 3.10 or newer",
            word="param.file",
        )
    content, digest = read_model(path)
    return open_session(content, digest, name=path.name, one_shape=False)


def _without_duplicates(lines: list[ReadLine]) -> list[ReadLine]:
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
