"""The motion model and the assignment by themselves."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videodag_cli.data import Floats
from videodag_cli.vision.boxes import iou_matrix
from videodag_cli.vision.tracking import kalman as motion
from videodag_cli.vision.tracking.appearance import LENGTH, looks
from videodag_cli.vision.tracking.association import assign, grown_overlap

BOX = np.array([[100.0, 100.0, 140.0, 180.0]])


def moving() -> tuple[Floats, Floats, Floats]:
    """A box seen at ten even steps of 5 pixels in 0.04 s."""
    mean, cov, scale = motion.initiate(BOX)
    for step in range(1, 11):
        mean, cov = motion.predict(mean, cov, scale, 0.04)
        mean, cov, scale = motion.correct(mean, cov, BOX + np.array([5, 0, 5, 0]) * step, np.ones(1))
    return mean, cov, scale


@given(st.floats(0.001, 2), st.floats(0.001, 2))
@settings(max_examples=50)
def test_predicting_twice_equals_predicting_once(first_s: float, second_s: float) -> None:
    mean, cov, scale = moving()
    twice = motion.predict(*motion.predict(mean, cov, scale, first_s), scale, second_s)
    once = motion.predict(mean, cov, scale, first_s + second_s)
    for a, b in zip(twice, once, strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_velocity_is_learnt_in_pixels_per_second() -> None:
    mean, _, _ = moving()
    assert mean[0, 0, 1] == pytest.approx(125, rel=0.1)
    assert abs(mean[0, 1, 1]) < 1e-9


def test_unseen_boxes_slow_down_and_grow_uncertain() -> None:
    mean, cov, scale = moving()
    ways, deviations = [], []
    for seconds in (0.5, 1.0, 2.0, 60.0):
        later, spread = motion.predict(mean, cov, scale, seconds)
        ways.append(later[0, 0, 0] - mean[0, 0, 0])
        deviations.append(motion.deviation(spread)[0, 0])
    assert np.all(np.diff(ways) > 0)
    assert ways[3] == pytest.approx(mean[0, 0, 1] * motion.CENTRE.memory_s, rel=1e-6)
    assert np.all(np.diff(deviations) > 0)


def test_no_time_changes_nothing() -> None:
    mean, cov, scale = moving()
    for elapsed_s in (0.0, -1.0):
        same = motion.predict(mean, cov, scale, elapsed_s)
        assert np.array_equal(same[0], mean)
        assert np.array_equal(same[1], cov)


def test_variances_stay_positive() -> None:
    mean, cov, scale = motion.initiate(BOX)
    rng = np.random.default_rng(1)
    for _ in range(500):
        mean, cov = motion.predict(mean, cov, scale, float(rng.uniform(0, 0.5)))
        mean, cov, scale = motion.correct(mean, cov, BOX + rng.normal(0, 3, (1, 4)), rng.uniform(0.1, 1, 1))
        assert cov[:, :, 0].min() > 0
        assert (cov[:, :, 0] * cov[:, :, 2] - cov[:, :, 1] ** 2).min() > 0


def test_corners_and_centre_are_inverse() -> None:
    assert np.allclose(motion.to_corners(motion.to_centre(BOX)), BOX)


def test_overlap_without_margin_is_intersection_over_union() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [30.0, 0.0, 40.0, 10.0]])
    assert np.allclose(grown_overlap(boxes, np.zeros((3, 2)), boxes), iou_matrix(boxes, boxes))
    grown = grown_overlap(boxes, np.full((3, 2), 10.0), boxes)
    assert np.allclose(np.diag(grown), 1)
    assert grown[1, 2] > 0


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10_000))
@settings(max_examples=60)
def test_assignment_equals_trying_all(count: int, others: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    overlap, weight = rng.random((count, others)).round(2), rng.random((count, others)).round(2) + 0.01
    rows, columns = assign(overlap, weight, at_least=0.3)
    worth = np.where(overlap >= 0.3, overlap * weight, 0)
    wide = np.hstack([worth, np.zeros((count, count))])
    best = max(sum(wide[i, j] for i, j in enumerate(p)) for p in permutations(range(others + count), count))
    assert (overlap[rows, columns] >= 0.3).all()
    assert len(set(rows)) == len(rows) == len(set(columns))
    assert worth[rows, columns].sum() == pytest.approx(best)


def test_looks_are_unit_vectors_that_tell_colours_and_their_order_apart() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 50:100] = (0, 0, 200)
    image[:50, 100:150], image[50:, 100:150] = (200, 0, 0), (0, 0, 200)
    image[:50, 150:], image[50:, 150:] = (0, 0, 200), (200, 0, 0)
    boxes = np.array([[x, 0, x + 50, 100] for x in (0, 50, 100, 150)] + [[-90, -90, -10, -10]], np.float64)
    found = looks(image, boxes)
    assert found.shape == (5, LENGTH)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    alike = found @ found.T
    assert alike[0, 4] == pytest.approx(1)
    assert alike[~np.eye(5, dtype=bool)].reshape(5, 4)[:4, :3].max() < 0.9
    assert looks(image, np.empty((0, 4))).shape == (0, LENGTH)
