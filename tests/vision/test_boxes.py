"""Overlap and non-maximum suppression, compared with plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from videodag_cli.vision.boxes import box_areas, intersection_matrix, iou_matrix, nms

corner = st.integers(0, 20)
box = st.tuples(corner, corner, st.integers(1, 12), st.integers(1, 12)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
boxes = st.lists(box, max_size=12)


def pixels(b: tuple[int, int, int, int]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}


@given(boxes, boxes)
@settings(max_examples=60)
def test_iou_equals_counting_pixels(a: list[tuple[int, int, int, int]], b: list[tuple[int, int, int, int]]) -> None:
    expected = [[len(pixels(p) & pixels(q)) / len(pixels(p) | pixels(q)) for q in b] for p in a]
    assert np.allclose(iou_matrix(a, b), np.reshape(expected, (len(a), len(b))))


def test_boxes_without_area_overlap_nothing() -> None:
    a = [(5, 5, 5, 9), (9, 9, 3, 3), (0, 0, 10, 10)]
    assert box_areas(a).tolist() == [0, 0, 100]
    assert iou_matrix(a, a).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert intersection_matrix(a, a)[0].tolist() == [0, 0, 0]


def test_touching_boxes_do_not_overlap() -> None:
    assert iou_matrix([(0, 0, 10, 10)], [(10, 0, 20, 10)]).tolist() == [[0.0]]


def test_empty_inputs_have_the_right_shape() -> None:
    assert iou_matrix([], [(0, 0, 1, 1)]).shape == (0, 1)
    assert iou_matrix([(0, 0, 1, 1)], []).shape == (1, 0)
    assert nms([], [], iou=0.5).tolist() == []
    assert nms([], [], iou=0.5, groups=[]).dtype == np.int64


def test_nms_keeps_the_better_of_two_and_orders_by_score() -> None:
    xyxy = [(0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)]
    assert nms(xyxy, [0.5, 0.6, 0.9], iou=0.5).tolist() == [2, 1]
    assert nms(xyxy, [0.5, 0.5, 0.9], iou=0.5).tolist() == [2, 0]


def test_a_suppressed_box_does_not_suppress() -> None:
    chain = [(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)]
    assert nms(chain, [0.9, 0.8, 0.7], iou=0.3).tolist() == [0, 2]


def test_overlap_equal_to_the_limit_stays() -> None:
    xyxy = [(0, 0, 10, 10), (0, 0, 10, 5)]
    assert nms(xyxy, [0.9, 0.8], iou=0.5).tolist() == [0, 1]
    assert nms(xyxy, [0.9, 0.8], iou=0.49).tolist() == [0]


@given(st.lists(st.tuples(box, st.integers(0, 9), st.sampled_from(["car", "bus"])), max_size=14), st.floats(0.05, 0.95))
@settings(max_examples=80)
def test_nms_equals_the_plain_loop(found: list[tuple[tuple[int, int, int, int], int, str]], iou: float) -> None:
    xyxy, scores, names = ([f[i] for f in found] for i in range(3))
    for groups in (None, names):
        kept: list[int] = []
        for i in sorted(range(len(found)), key=lambda i: (-found[i][1], i)):
            rivals = [k for k in kept if groups is None or groups[k] == groups[i]]
            if all(iou_matrix([xyxy[i]], [xyxy[k]])[0, 0] <= iou for k in rivals):
                kept.append(i)
        assert nms(xyxy, scores, iou=iou, groups=groups).tolist() == kept
