"""Key points and masks are compared as COCO's evaluation compares them."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core.mask import encode

from videodag_cli.compare.tolerance import Tolerances
from videodag_cli.compare.values import FrameComparer
from videodag_cli.vision.keypoints import oks

BOX = [10.0, 20.0, 70.0, 140.0]
POINTS = [[10 + 3.5 * i, 20 + 7.0 * i, 1.0] for i in range(17)]
BITS = np.zeros((40, 60), np.uint8)
BITS[5:25, 10:30] = 1


def moved(by: float, count: int = 17) -> list[list[float]]:
    return [[x + by, y, v] for x, y, v in POINTS[:count]] + POINTS[count:]


def row(**more: Any) -> dict[str, Any]:
    return {"xyxy": BOX, "class_name": "person", **more}


def written(bits: Any) -> dict[str, Any]:
    return {"size": list(bits.shape), "counts": encode(np.asfortranarray(bits))["counts"].decode()}


def differences(before: dict[str, Any], after: dict[str, Any], **tolerance: Any) -> list[str]:
    tolerances = Tolerances.of({"*": tolerance})
    return [words for _, _, words in FrameComparer(tolerances).compare({"p": [before]}, {"p": [after]})]


@pytest.mark.parametrize("by", [0.0, 1.0, 3.0, 8.0, 30.0])
def test_the_likeness_of_key_points_is_that_of_cocos_evaluation(by: float) -> None:
    """COCO's size is the square root of the annotation's area, which is the box's here."""
    flat = [v for x, y, _ in POINTS for v in (x, y, 2)]
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [10, 20, 60, 120],
        "area": 7200,
        "iscrowd": 0,
        "num_keypoints": 17,
        "keypoints": flat,
    }
    image = {"id": 1, "width": 200, "height": 200}
    found = annotation | {"keypoints": [v for x, y, _ in moved(by) for v in (x, y, 2)], "score": 0.9}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO({"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "person"}]})
        evaluation = COCOeval_faster(truth, truth.loadRes([found]), "keypoints")
    evaluation._prepare()
    theirs = evaluation.computeOks(1, 1)[0][0]
    # COCO adds the smallest double to the area
    assert oks(POINTS, moved(by), BOX) == pytest.approx(theirs, abs=1e-6)


def test_key_points_may_move_as_far_as_the_tolerance_says() -> None:
    assert differences(row(keypoints=POINTS), row(keypoints=moved(1.5))) == []
    assert differences(row(keypoints=POINTS), row(keypoints=moved(25))) == ["person keypoints moved (OKS 0.15)"]
    assert differences(row(keypoints=POINTS), row(keypoints=moved(25)), oks=0.1) == []


def test_points_that_are_not_seen_may_be_anywhere_and_a_change_of_what_is_seen_is_one() -> None:
    hidden = [*POINTS[:16], [0.0, 0.0, 0.1]]
    far = [*POINTS[:16], [500.0, 500.0, 0.2]]
    assert differences(row(keypoints=hidden), row(keypoints=far)) == []
    assert differences(row(keypoints=hidden), row(keypoints=POINTS)) == [
        "person visibility of a key point changed by 0.90"
    ]
    assert differences(row(keypoints=POINTS), row(keypoints=POINTS[:5])) == ["person has 5 key points, 17 expected"]


def test_key_points_and_masks_that_come_or_go_are_differences() -> None:
    assert differences(row(keypoints=POINTS), row(keypoints=None)) == ["person keypoints a list of 17 -> null"]
    assert differences(row(mask=None), row(mask=written(BITS))) == ["person mask null -> an object"]
    assert differences(row(keypoints=None), row(keypoints=None)) == []


def test_masks_are_compared_by_the_overlap_of_their_pixels() -> None:
    one_column, half = BITS.copy(), BITS.copy()
    one_column[:, 29] = 0
    half[:, 20:] = 0
    assert differences(row(mask=written(BITS)), row(mask=written(one_column))) == []
    assert differences(row(mask=written(BITS)), row(mask=written(half))) == ["person mask changed (IoU 0.50)"]
    assert differences(row(mask=written(BITS)), row(mask=written(half)), mask_iou=0.5) == []
    broken = written(BITS) | {"counts": "zz"}
    assert len(differences(row(mask=written(BITS)), row(mask=broken))) == 1
