"""Tiles cover the picture, and what they find is joined without doubles, halves or mix-ups."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videodag_cli.errors import ParamError
from videodag_cli.vision.onnx.layouts.base import Candidates
from videodag_cli.vision.onnx.tiles import Grid, Parts, cut_sides, joined, parse_grid

WIDTH, HEIGHT = 200, 100
GRID = Grid(1, 2, 0.2)
"""Two tiles: columns 0 to 112 and 88 to 200."""


def seen(*objects: tuple[float, float, float, float], scores: tuple[float, ...] | None = None) -> Candidates:
    """What the tiles of `GRID` report together of these objects: each tile the part that it sees."""
    xyxy, tile_of, cut, confidence, groups = [], [], [], [], []
    for number, tile in enumerate(GRID.tiles(WIDTH, HEIGHT)):
        left, top, right, bottom = tile
        for i, box in enumerate(objects):
            part = np.clip(np.array([box]), (left, top) * 2, (right, bottom) * 2)
            if (part[0, 2] - part[0, 0]) < 4:
                continue
            xyxy.append(part[0])
            tile_of.append(number)
            cut.append(cut_sides(part, tile, WIDTH, HEIGHT)[0])
            confidence.append((scores or (0.9,) * len(objects))[i])
            groups.append(0)
    boxes = Candidates.of(np.array(xyxy), confidence, groups)
    parts = Parts(boxes, np.array(tile_of), np.array(cut), np.array(groups))
    return joined(parts, iou=0.5)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 8), st.integers(1, 8), st.floats(0, 0.9))
def test_tiles_cover_every_pixel_and_stay_inside(
    width: int, height: int, rows: int, columns: int, overlap: float
) -> None:
    tiles = Grid(rows, columns, overlap).tiles(width, height)
    assert len(tiles) == rows * columns
    for axis, length in ((0, width), (1, height)):
        spans = sorted({(tile[axis], tile[axis + 2]) for tile in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(start <= before for (_, before), (start, _) in pairwise(spans))
        assert all(0 <= start < end <= length for start, end in spans)


def test_neighbours_share_the_overlap_asked_for() -> None:
    assert GRID.tiles(WIDTH, HEIGHT) == [(0, 0, 112, 100), (88, 0, 200, 100)]
    assert Grid().tiles(WIDTH, HEIGHT) == [(0, 0, WIDTH, HEIGHT)]


@pytest.mark.parametrize(
    "box", [(10, 10, 40, 60), (90, 10, 110, 60), (95, 5, 150, 95), (70, 5, 105, 95), (60, 20, 150, 70)]
)
def test_an_object_anywhere_is_one_box_of_its_full_size(box: tuple[float, float, float, float]) -> None:
    assert seen(box).xyxy.tolist() == [list(box)]


def test_two_objects_side_by_side_at_a_seam_stay_two() -> None:
    left, right = (70.0, 10.0, 108.0, 90.0), (100.0, 12.0, 140.0, 92.0)
    found = seen(left, right)
    assert sorted(found.xyxy.tolist()) == [list(left), list(right)]


def test_a_small_object_inside_a_large_one_that_is_whole_stays() -> None:
    found = seen((5, 5, 85, 95), (20, 20, 50, 60))
    assert len(found.xyxy) == 2


def test_the_best_come_first() -> None:
    found = seen((10, 10, 40, 60), (120, 10, 150, 60), (60, 20, 150, 70), scores=(0.5, 0.9, 0.7))
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_nothing_found_stays_nothing() -> None:
    empty = Parts(Candidates.of([], [], []), np.empty(0, np.int64), np.empty((0, 4), bool), np.empty(0, np.int64))
    assert len(joined(empty, iou=0.5).xyxy) == 0


@pytest.mark.parametrize("text", ["", "2", "x", "0x2", "2x0", "9x9", "-1x2", "2x2x2", "1x2\n3"])
def test_tiles_are_rows_times_columns(text: str) -> None:
    with pytest.raises(ParamError, match="rows x columns"):
        parse_grid(text, 0.2)
