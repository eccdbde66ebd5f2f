from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sampled import frames_of
from videodag_cli import Affine, Frame
from videodag_cli.errors import ParamError
from videodag_cli.tool import ToolSpec, spec_of
from videodag_cli.tools import codes, image


def spec(target: object) -> ToolSpec:
    found = spec_of(target)
    assert found is not None
    return found


def make(target: Any, **params: Any) -> Any:
    return target(**spec(target).check_params(params))


def crop(frame: Frame, region: object) -> Frame:
    return image.crop(frame, **spec(image.crop).check_params({"region": region}))


def painted(width: int = 64, height: int = 36) -> Frame:
    return Frame.from_image(np.random.default_rng(1).integers(1, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"width": 32}, (32, 18)),
        ({"height": 72}, (128, 72)),
        ({"width": 10, "height": 30}, (10, 30)),
        ({"max_side": 16}, (16, 9)),
        ({"max_side": 640}, (64, 36)),
        ({"width": 1}, (1, 1)),
    ],
)
def test_resize_keeps_the_aspect_unless_both_sides_are_given(params: dict[str, int], size: tuple[int, int]) -> None:
    frame = painted()
    found = make(image.Resize, **params)(frame)
    assert (found.width, found.height) == size
    assert found.to_source.points((size,)).tolist() == [[64.0, 36.0]]


def test_resize_to_the_same_size_copies_nothing() -> None:
    frame = painted()
    assert make(image.Resize, width=64)(frame) is frame
    assert make(image.Resize, max_side=64)(frame) is frame


@pytest.mark.parametrize("params", [{}, {"max_side": 10, "width": 10}, {"max_side": 10, "height": 10}])
def test_resize_needs_one_way_to_say_the_size(params: dict[str, int]) -> None:
    with pytest.raises(ParamError, match="width and/or height, or else max_side"):
        make(image.Resize, **params)


@pytest.mark.parametrize("params", [{"width": 0}, {"width": 1.5}, {"max_side": 100_000}, {"widht": 3}])
def test_resize_refuses_sizes_that_are_none(params: dict[str, Any]) -> None:
    with pytest.raises(ParamError, match=next(iter(params))):
        spec(image.Resize).check_params(params)


def test_resize_refuses_to_blow_a_frame_up_without_limit() -> None:
    with pytest.raises(ValueError, match="64x36 frame would become"):
        make(image.Resize, height=16384)(painted())


def test_crop_takes_pixels_or_fractions() -> None:
    frame = painted()
    by_pixels = crop(frame, [16, 9, 48, 36])
    by_fractions = crop(frame, [0.25, 0.25, 0.75, 1])
    assert np.array_equal(by_pixels.image, frame.image[9:36, 16:48])
    assert np.array_equal(by_fractions.image, by_pixels.image)
    assert by_pixels.to_source == Affine(offset_x=16, offset_y=9)
    assert crop(frame, [0, 0, 1, 1]).image.shape == frame.image.shape


@pytest.mark.parametrize(
    "region",
    [[10, 10, 10, 20], [10, 20, 20, 10], [1, 2, 3], [-1, 0, 5, 5], [0, 0, float("nan"), 5], "all", [0, 0, 5, 5, 5]],
)
def test_crop_refuses_a_bad_region_before_any_frame(region: object) -> None:
    with pytest.raises(ParamError, match="region"):
        spec(image.crop).check_params({"region": region})


def test_crop_names_region_and_frame_when_they_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\[10\.0, 10\.0, 65\.0, 20\.0\] reaches beyond the 64x36 frame"):
        crop(painted(), [10, 10, 65, 20])
    with pytest.raises(ValueError, match="covers no pixel"):
        crop(painted(), [0.5, 0.5, 0.501, 0.6])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 30), st.integers(2, 64), st.integers(2, 36))
def test_a_rectangular_mask_keeps_exactly_what_crop_cuts_out(x1: int, y1: int, width: int, height: int) -> None:
    x2, y2 = min(64, x1 + width), min(36, y1 + height)
    frame = painted()
    rectangle = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
    kept = make(image.Mask, polygons=[rectangle], keep=True)(frame)
    hidden = make(image.Mask, polygons=[rectangle])(frame)
    assert np.array_equal(kept.image[y1:y2, x1:x2], frame.image[y1:y2, x1:x2])
    assert np.count_nonzero(kept.image) == (x2 - x1) * (y2 - y1) * 3
    assert np.array_equal(hidden.image.astype(int) + kept.image, frame.image)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(2, 40), st.floats(2, 30)), min_size=3, max_size=7))
def test_a_pixel_is_masked_when_its_centre_lies_inside(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    if abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) < 1:
        return
    frame = painted(40 + 1, 31)
    kept = make(image.Mask, polygons=[points], keep=True)(frame)
    for row, column in [(3, 3), (10, 20), (15, 8), (20, 33), (28, 38)]:
        centre_x, centre_y = column + 0.5, row + 0.5
        crossings = 0
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
            if (ay <= centre_y) != (by <= centre_y) and ax + (centre_y - ay) * (bx - ax) / (by - ay) <= centre_x:
                crossings += 1
        assert bool(kept.image[row, column].any()) == (crossings % 2 == 1)


def test_mask_unites_polygons_and_takes_fractions() -> None:
    frame = painted()
    left = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
    middle = [[0.25, 0], [0.75, 0], [0.75, 1], [0.25, 1]]
    hidden = make(image.Mask, polygons=[left, middle])(frame)
    assert not hidden.image[:, :48].any()
    assert np.array_equal(hidden.image[:, 48:], frame.image[:, 48:])
    assert hidden.to_source == frame.to_source


def test_mask_follows_a_frame_of_another_size() -> None:
    mask = make(image.Mask, polygons=[[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]])
    for width in (64, 32, 64):
        found = mask(painted(width))
        assert np.flatnonzero(found.image.any(axis=(0, 2)))[0] == width // 2


@pytest.mark.parametrize(
    "polygons", [[], [[]], [[[0, 0], [5, 5]]], [[[0, 0], [5, 5], [9, 9]]], [[[0, 0], [5, 0], [5, -5]]], [[1, 2, 3]]]
)
def test_mask_refuses_bad_polygons_before_any_frame(polygons: object) -> None:
    with pytest.raises(ParamError, match="polygons"):
        spec(image.Mask).check_params({"polygons": polygons})


def test_mask_names_a_polygon_that_leaves_the_frame() -> None:
    with pytest.raises(ValueError, match=r"polygon \[\[0\.0, 0\.0\], \[65\.0, 0\.0\], .* beyond the 64x36 frame"):
        make(image.Mask, polygons=[[[0, 0], [65, 0], [5, 5]]])(painted())


def test_what_is_found_behind_crop_and_resize_maps_back_to_the_source() -> None:
    frame = frames_of("synthetic.mp4", stride=60)[1]
    direct = codes.read(frame)
    changed = make(image.Resize, height=360)(crop(frame, [0, 180, 320, 360]))
    behind = codes.read(changed).mapped(changed.to_source)
    assert behind.data["text"] == direct.data["text"] == ("F000060",)
    assert np.abs(behind.xyxy - direct.xyxy).max() <= 2
