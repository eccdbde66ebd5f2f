"""Masks: what a COCO library reads of them is what the network's grid says, wherever it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco
from hypothesis import given
from hypothesis import strategies as st

from videodag_cli.data import Affine, Frame
from videodag_cli.lines import plain
from videodag_cli.vision.masks import InstanceMask, is_mask, mask_area, mask_iou, read_counts

SIZE = (40, 30)
FRAME = Frame.from_image(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
pictures = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.builds(
        lambda width, height, share: np.random.default_rng(seed).random((height, width)) < share,
        st.integers(1, 25),
        st.integers(1, 25),
        st.sampled_from((0.0, 0.1, 0.5, 0.9, 1.0)),
    )
)


def read(mask: InstanceMask) -> Any:
    """(height, width) as a COCO library reads the line."""
    return coco.decode(plain(mask)).astype(bool)


def of_bits(bits: Any) -> InstanceMask:
    height, width = bits.shape
    return InstanceMask.on(Frame.from_image(np.zeros((height, width, 3), np.uint8)), bits, Affine())


@given(pictures)
def test_a_coco_library_reads_the_pixels_and_writes_the_same_text(bits: Any) -> None:
    written = plain(of_bits(bits))
    assert (coco.decode(written) == bits).all()
    theirs = coco.encode(np.asfortranarray(bits.astype(np.uint8)))
    assert written == {"size": list(bits.shape), "counts": theirs["counts"].decode()}
    assert mask_area(written) == bits.sum()


@given(pictures, st.integers(0, 100))
def test_overlap_is_that_of_the_pixels(bits: Any, seed: int) -> None:
    other = np.random.default_rng(seed).random(bits.shape) < 0.5
    union = (bits | other).sum()
    expected = (bits & other).sum() / union if union else 1.0
    assert mask_iou(plain(of_bits(bits)), plain(of_bits(other))) == pytest.approx(expected)


@pytest.mark.parametrize("place", [(0, 0), (33, 22), (-4, -3), (36, 27), (60, 5), (0, -9)])
def test_a_grid_of_pixels_lies_where_it_is_put_and_is_cut_by_the_picture(place: tuple[int, int]) -> None:
    cells = np.random.default_rng(1).random((8, 9)) < 0.5
    expected = np.zeros((60, 100), bool)
    expected[20 + place[1] : 28 + place[1], 20 + place[0] : 29 + place[0]] = cells
    mask = InstanceMask.on(FRAME, cells, Affine(offset_x=place[0], offset_y=place[1]))
    assert (read(mask) == expected[20:50, 20:60]).all()


def test_a_coarse_grid_becomes_pixels_by_their_middles() -> None:
    """Whole cells of 4x4 pixels: the border between a cell that belongs to it and one that does not lies in the middle."""
    cells = np.zeros((7, 10), bool)
    cells[2:5, 3:6] = True
    expected = np.zeros((30, 40), bool)
    expected[8:20, 12:24] = True
    found = read(InstanceMask.on(FRAME, cells, Affine(4, 4)))
    ramps = np.zeros_like(expected)
    ramps[[8, 8, 19, 19], [12, 23, 12, 23]] = True  # values between four cells round the corners off
    assert (found | ramps == expected).all()


def test_a_box_limits_a_mask_by_the_middles_of_pixels() -> None:
    limits = np.array([3.4, 5.6, 10.5, 12.4])
    found = read(InstanceMask.on(FRAME, np.ones(SIZE[::-1]), Affine(), limits))
    expected = np.zeros(SIZE[::-1], bool)
    expected[6:12, 3:10] = True
    assert (found == expected).all()


def test_a_mask_found_behind_a_crop_and_a_resize_is_in_the_pixels_of_the_source_frame() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    source = Frame.from_image(image)
    inner = source.cropped(20, 10, 140, 110).resized(60, 50)
    bits = np.zeros((50, 60), bool)
    bits[5:25, 10:30] = True
    expected = np.zeros((120, 160), bool)
    expected[10 + 10 : 10 + 50, 20 + 20 : 20 + 60] = True
    found = read(InstanceMask.on(inner, bits, Affine()).mapped(inner.to_source))
    assert found.shape == (120, 160)
    wrong = np.argwhere(found != expected).tolist()
    assert wrong == [[20, 40], [20, 79], [49, 40], [49, 79]][: len(wrong)]
    assert len(wrong) in (0, 4)


def test_text_that_is_no_run_lengths_is_refused() -> None:
    for text in ("\x10", "o", "P"):
        with pytest.raises(ValueError, match="run"):
            read_counts(text)
    assert not is_mask({"size": [1, 2], "counts": [1]})
    assert is_mask({"size": [1, 2], "counts": "2"})
