from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sampled import frames_of
from videodag_cli import Affine, Frame, VideoInfo
from videodag_cli.errors import ParamError
from videodag_cli.tools import codes, image
from videodag_cli.toolspec import ToolSpec, spec_of

VIDEO = VideoInfo(64, 36)


def spec(target: object) -> ToolSpec:
    found = spec_of(target)
    assert found is not None
    return found


def make(target: Any, **params: Any) -> Any:
    """An instance for a 64x36 video, with params checked as in a pipeline."""
    video = (VIDEO,) if spec(target).signature.wants_video else ()
    return target(*video, **spec(target).check_params(params))


def crop(frame: Frame, region: list[float], units: str = "pixel") -> Frame:
    return make(image.Crop, region=region, units=units)(frame)  # type: ignore[no-any-return]


def mask(*polygons: Any, units: str = "pixel", keep: bool = False) -> Any:
    zones = [{"name": f"zone {i}", "polygon": polygon} for i, polygon in enumerate(polygons)]
    return make(image.Mask, zones=zones, units=units, keep=keep)


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
    by_fractions = crop(frame, [0.25, 0.25, 0.75, 1], "fraction")
    assert np.array_equal(by_pixels.image, frame.image[9:36, 16:48])
    assert np.array_equal(by_fractions.image, by_pixels.image)
    assert by_pixels.to_source == Affine(offset_x=16, offset_y=9)
    assert crop(frame, [0, 0, 1, 1], "fraction").image.shape == frame.image.shape


@pytest.mark.parametrize(
    "region",
    [[10, 10, 10, 20], [10, 20, 20, 10], [1, 2, 3], [-1, 0, 5, 5], [0, 0, float("nan"), 5], "all", [0, 0, 5, 5, 5]],
)
def test_crop_refuses_what_is_no_region(region: object) -> None:
    with pytest.raises(ParamError, match="region"):
        spec(image.Crop).check_params({"region": region})


@pytest.mark.parametrize(
    ("region", "units", "message"),
    [
        ([10, 10, 65, 20], "pixel", r"the region \[10, 10, 65, 20\] extends beyond the picture, 64x36"),
        ([0.5, 0.5, 1.01, 1], "fraction", r"the region \[0.5, 0.5, 1.01, 1\] extends beyond the picture, 0 to 1"),
        ([0, 0, 0.5, 1], "pixel", "units=fraction"),
    ],
)
def test_crop_refuses_a_region_outside_the_picture_before_the_first_frame(
    region: list[float], units: str, message: str
) -> None:
    with pytest.raises(ParamError, match=message):
        make(image.Crop, region=region, units=units)


def test_crop_is_in_source_pixels_behind_a_resize_and_another_crop() -> None:
    frame = painted()
    half = make(image.Resize, width=32)(frame)
    direct = crop(frame, [16, 8, 48, 24])
    behind = crop(half, [16, 8, 48, 24])
    assert (behind.width, behind.height) == (16, 8)
    assert behind.to_source == Affine(2, 2, 16, 8)
    assert np.array_equal(crop(direct, [20, 10, 30, 20]).image, frame.image[10:20, 20:30])
    assert np.array_equal(crop(direct, [0, 0, 30, 20]).image, frame.image[8:20, 16:30])
    with pytest.raises(ValueError, match="covers no pixel of this 32x16 frame"):
        crop(direct, [50, 8, 60, 24])


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(0, 30), st.integers(2, 64), st.integers(2, 36))
def test_a_rectangular_mask_keeps_exactly_what_crop_cuts_out(x1: int, y1: int, width: int, height: int) -> None:
    x2, y2 = min(64, x1 + width), min(36, y1 + height)
    frame = painted()
    rectangle = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
    kept = mask(rectangle, keep=True)(frame)
    hidden = mask(rectangle)(frame)
    assert np.array_equal(kept.image[y1:y2, x1:x2], frame.image[y1:y2, x1:x2])
    assert np.count_nonzero(kept.image) == (x2 - x1) * (y2 - y1) * 3
    assert np.array_equal(hidden.image.astype(int) + kept.image, frame.image)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-5, 70), st.floats(-5, 40)), min_size=3, max_size=7))
def test_a_pixel_is_filled_when_its_centre_lies_inside(points: list[tuple[float, float]]) -> None:
    filled = image._filled(np.array(points), 36, 64)
    for row, column in [(0, 0), (3, 3), (10, 20), (15, 60), (20, 33), (35, 63)]:
        centre_x, centre_y = column + 0.5, row + 0.5
        crossings = 0
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
            if (ay < centre_y + 1e-12 and ay <= centre_y) != (by <= centre_y):
                crossings += ax + (centre_y - ay) * (bx - ax) / (by - ay) <= centre_x
        assert bool(filled[row, column]) == (crossings % 2 == 1)


def test_mask_unites_zones_and_takes_fractions() -> None:
    frame = painted()
    left = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
    middle = [[0.25, 0], [0.75, 0], [0.75, 1], [0.25, 1]]
    hidden = mask(left, middle, units="fraction")(frame)
    assert not hidden.image[:, :48].any()
    assert np.array_equal(hidden.image[:, 48:], frame.image[:, 48:])
    assert hidden.to_source == frame.to_source


def test_mask_hides_the_same_place_behind_a_resize_and_a_crop() -> None:
    frame = painted()
    hide = mask([[16, 8], [48, 8], [48, 24], [16, 24]])
    half = hide(make(image.Resize, width=32)(frame))
    part = hide(crop(frame, [32, 0, 64, 36]))
    whole = hide(frame)
    assert not half.image[4:12, 8:24].any()
    assert half.image[:4].all()
    assert np.array_equal(part.image, whole.image[:, 32:])
    assert part.to_source.offset_x == 32


def test_mask_reads_zones_from_a_file(tmp_path: Path) -> None:
    polygon = [[0, 0], [32, 0], [32, 36], [0, 36]]
    file = tmp_path / "zones.json"
    file.write_text(json.dumps([{"name": "left", "polygon": polygon}]))
    by_file = make(image.Mask, zones=str(file))(painted())
    assert np.array_equal(by_file.image, mask(polygon)(painted()).image)


@pytest.mark.parametrize(
    "polygon", [[], [[0, 0], [5, 5]], [[0, 0], [5, 5], [9, 9]], [[0, 0], [5, 0], [5, -5]], [1, 2, 3]]
)
def test_mask_refuses_what_is_no_polygon(polygon: object) -> None:
    with pytest.raises(ParamError, match="zones"):
        spec(image.Mask).check_params({"zones": [{"name": "a", "polygon": polygon}]})


def test_mask_refuses_a_zone_outside_the_picture_before_the_first_frame() -> None:
    with pytest.raises(ParamError, match=r"zone 'zone 0': the point \(65, 0\) is outside the picture"):
        mask([[0, 0], [65, 0], [5, 5]])


def test_what_is_found_behind_crop_and_resize_maps_back_to_the_source() -> None:
    frame = frames_of("synthetic.mp4", stride=60)[1]
    direct = codes.read(frame)
    video = VideoInfo(frame.width, frame.height)
    lower_left = image.Crop(video, region=image.Rectangle(0, 180, 320, 360))
    changed = image.Resize(height=360)(lower_left(frame))
    behind = codes.read(changed).mapped(changed.to_source)
    assert behind.data["text"] == direct.data["text"] == ("F000060",)
    assert np.abs(behind.xyxy - direct.xyxy).max() <= 2
