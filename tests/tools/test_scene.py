from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import orjson
import pytest
import scenedetect
from hypothesis import given, settings
from hypothesis import strategies as st
from scenedetect.common import FrameTimecode
from scenedetect.detector import FlashFilter
from scenedetect.stats_manager import StatsManager

from tests.sampled import SAMPLES, frames_of
from videodag_cli import Frame, VideoInfo
from videodag_cli.tools import scene

VIDEO = VideoInfo(640, 360, Fraction(25))
Detector = scene.Content | scene.Adaptive


def make(name: str, **params: Any) -> Detector:
    return scene.Content(VIDEO, **params) if name == "content" else scene.Adaptive(VIDEO, **params)


def values(detector: Detector, frames: Sequence[Frame]) -> list[scene.Cut]:
    """One value per frame, lined up as the engine does: a call's value belongs to the frame `lookahead` calls before."""
    returned = [detector(frame) for frame in frames]
    return returned[detector.lookahead :] + detector.finish()


def cuts(detector: Detector, frames: Sequence[Frame]) -> list[int]:
    found = values(detector, frames)
    return [frame.index for frame, value in zip(frames, found, strict=True) if value.cut]


def flashing() -> list[Frame]:
    """Noisy gray pictures with hard cuts at 40, one on each frame from 80 to 100, and one at 140."""
    levels = [20] * 40 + [200] * 40 + [60, 240] * 10 + [150] * 40 + [30] * 40
    rng = np.random.default_rng(0)
    return [
        Frame.from_image(
            np.repeat(level + rng.integers(-3, 4, (90, 160, 1), dtype=np.int16), 3, axis=2).astype(np.uint8),
            index=i,
            time_s=i / 25,
        )
        for i, level in enumerate(levels)
    ]


@pytest.mark.parametrize("name", ["content", "adaptive"])
@pytest.mark.parametrize("clip", ["synthetic.mp4", "synthetic.mov"])
@pytest.mark.parametrize(("stride", "expected"), [(1, [40, 80]), (5, [40, 80]), (7, [42, 84])])
def test_the_synthetic_clip_has_its_two_cuts(name: str, clip: str, stride: int, expected: list[int]) -> None:
    assert cuts(make(name), frames_of(clip, stride=stride)) == expected


@pytest.mark.parametrize("name", ["content", "adaptive"])
def test_one_shot_has_no_cut(name: str) -> None:
    assert cuts(make(name), frames_of("bigbuckbunny.mp4")) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["content", "adaptive"])
@pytest.mark.parametrize("threshold", [3.0, 6.0, 27.0])
def test_cuts_equal_those_of_scenedetect_itself(name: str, threshold: float) -> None:
    own = {"content": scenedetect.ContentDetector, "adaptive": scenedetect.AdaptiveDetector}[name]
    word = "threshold" if name == "content" else "adaptive_threshold"
    for clip in ("synthetic.mp4", "bigbuckbunny.mp4"):
        scenes = scenedetect.detect(str(SAMPLES / clip), own(**{word: threshold}, min_scene_len=0.6))
        expected = [start.frame_num for start, _ in scenes[1:]]
        assert cuts(make(name, threshold=threshold), frames_of(clip)) == expected


def test_flashes_are_merged_into_their_last_or_suppressed_for_the_minimum_length() -> None:
    assert cuts(scene.Content(VIDEO), flashing()) == [40, 80, 100, 140]
    assert cuts(scene.Content(VIDEO, flashes="suppress"), flashing()) == [40, 80, 95, 140]
    assert cuts(scene.Content(VIDEO, min_scene_s=0), flashing()) == [40, *range(80, 101), 140]


def still_with(levels: Sequence[int]) -> list[Frame]:
    """Gray pictures of these levels, at 25 per second."""
    return [
        Frame.from_image(np.full((90, 160, 3), level, np.uint8), index=i, time_s=i / 25)
        for i, level in enumerate(levels)
    ]


def flash_detector(how: str, **params: Any) -> Detector:
    return make("adaptive", **params) if how == "adaptive" else make("content", flashes=how, **params)


@pytest.mark.parametrize("detector", ["merge", "suppress", "adaptive"])
def test_a_flash_of_one_frame_is_one_cut_where_it_begins(detector: str) -> None:
    flash = still_with([60] * 40 + [240] + [60] * 40)
    assert cuts(flash_detector(detector), flash) == [40]


@pytest.mark.parametrize("detector", ["merge", "suppress", "adaptive"])
def test_the_last_scene_ends_with_the_video_and_may_be_shorter(detector: str) -> None:
    late = still_with([60] * 40 + [200] * 5)
    assert cuts(flash_detector(detector), late) == [40]


STILL, FLASH, OTHER = 20, 250, 130


def with_flashes(*lengths: int) -> list[Frame]:
    """One scene of 40 frames, then a flash of each of these lengths followed by 40 frames of the scene again; then another scene."""
    levels = [STILL] * 40
    for length in lengths:
        levels += [FLASH] * length + [STILL] * 40
    return still_with(levels + [OTHER] * 40)


@pytest.mark.parametrize("detector", ["merge", "suppress", "adaptive"])
@pytest.mark.parametrize(
    ("max_flash_s", "expected"),
    [(0.04, [81, 124]), (0.11, [81, 124]), (0.12, [124]), (1.0, [124])],
)
def test_a_flash_up_to_its_longest_is_no_cut(detector: str, max_flash_s: float, expected: list[int]) -> None:
    """A frame lasts 0.04 s; the flashes begin at 40 and 81 and last one and three frames, the other scene begins at 124."""
    assert cuts(flash_detector(detector, max_flash_s=max_flash_s), with_flashes(1, 3)) == expected


@pytest.mark.parametrize("detector", ["merge", "suppress", "adaptive"])
def test_shorter_than_every_flash_changes_nothing(detector: str) -> None:
    plain = cuts(flash_detector(detector), with_flashes(1, 3))
    assert plain[0] == 40
    assert len(plain) == 3
    assert cuts(flash_detector(detector, max_flash_s=0.03), with_flashes(1, 3)) == plain


@pytest.mark.parametrize("detector", ["merge", "suppress", "adaptive"])
def test_only_a_change_that_is_undone_is_a_flash(detector: str) -> None:
    other_after = still_with([STILL] * 40 + [FLASH] * 3 + [OTHER] * 40)
    assert cuts(flash_detector(detector, max_flash_s=0.5), other_after) == [40]
    flash_to_the_end = still_with([STILL] * 40 + [FLASH] * 4)
    assert cuts(flash_detector(detector, max_flash_s=0.5), flash_to_the_end) == [40]
    ends_in_time = still_with([STILL] * 40 + [FLASH] * 4 + [STILL])
    assert cuts(flash_detector(detector, max_flash_s=0.5), ends_in_time) == []


@pytest.mark.parametrize("flashes", ["merge", "suppress"])
def test_flashes_near_a_cut_do_not_hide_it(flashes: str) -> None:
    near = still_with([STILL] * 40 + [FLASH] + [STILL] * 2 + [OTHER] * 2 + [FLASH] + [OTHER] * 40)
    assert cuts(flash_detector(flashes, max_flash_s=0.1), near) == [43]


def test_a_flash_is_measured_in_time_whatever_the_stride() -> None:
    flash = with_flashes(3)[::2]  # two pictures of the flash are left, at 40 and 42; the scene is back at 44
    assert cuts(scene.Content(VIDEO, max_flash_s=0.12), flash) == [40, 84]
    assert cuts(scene.Content(VIDEO, max_flash_s=0.16), flash) == [84]


@pytest.mark.parametrize("name", ["content", "adaptive"])
@pytest.mark.parametrize("luma_only", [False, True])
def test_scores_equal_those_of_scenedetect_to_the_last_bit(name: str, luma_only: bool) -> None:
    rng = np.random.default_rng(7)
    frames = [
        Frame.from_image(rng.integers(0, 256, (61, 83, 3), np.uint8) // (1 + i % 5), index=i, time_s=i / 25)
        for i in range(40)
    ]
    own = {"content": scenedetect.ContentDetector, "adaptive": scenedetect.AdaptiveDetector}[name](luma_only=luma_only)
    own.stats_manager = StatsManager()
    for frame in frames:
        own.process_frame(FrameTimecode(frame.index, fps=25.0), frame.image)
    key = "content_val" if name == "content" else own.get_metrics()[-1]
    found = values(make(name, luma_only=luma_only), frames)
    ranks = range(1, 40) if name == "content" else range(2, 38)
    expected = [own.stats_manager.get_metrics(FrameTimecode(i, fps=25.0), [key])[0] for i in ranks]
    assert [found[i].score for i in ranks] == expected


@pytest.mark.parametrize("name", ["content", "adaptive"])
def test_every_frame_has_one_value_however_few_there_are(name: str) -> None:
    for count in (0, 1, 2, 5, 40):
        frames = flashing()[:count]
        detector = make(name)
        returned = [detector(frame) for frame in frames]
        assert len(returned[detector.lookahead :]) + len(detector.finish()) == count


@settings(max_examples=200)
@given(st.lists(st.booleans(), max_size=80), st.integers(1, 20), st.booleans())
def test_scene_lengths_follow_the_flash_filter_of_scenedetect(above: list[bool], length: int, merge: bool) -> None:
    mode = FlashFilter.Mode.MERGE if merge else FlashFilter.Mode.SUPPRESS
    theirs, ours = FlashFilter(mode, length), scene._Scenes(length / 25, merge=merge, patience=1000)
    expected, found = [], []
    for i, candidate in enumerate(above):
        expected += [code.frame_num for code in theirs.filter(FrameTimecode(i, fps=25.0), candidate)]
        age = ours.next(round(i / 25, 6), above=candidate)
        found += [] if age is None else [i - age]
    assert found == expected


def test_a_merged_cut_never_comes_later_than_the_lookahead() -> None:
    """Frames far denser than the average rate that the lookahead was made for."""
    dense = [Frame.from_image(f.image, index=f.index, time_s=f.time_s / 50) for f in flashing()]
    first = [Frame.from_image(flashing()[0].image, index=0, time_s=-5.0)]
    detector = scene.Content(VIDEO, min_scene_s=0.1)
    assert len(values(detector, first + dense)) == len(dense) + 1


def test_content_score_is_the_mean_difference_and_null_on_the_first_frame() -> None:
    found = values(scene.Content(VIDEO), flashing())
    assert found[0].score is None
    assert found[40].score is not None
    hsv = [np.asarray(cv2.cvtColor(f.image, cv2.COLOR_BGR2HSV), np.float64) for f in flashing()[39:41]]
    assert found[40].score == pytest.approx(np.abs(hsv[1] - hsv[0]).mean(), rel=1e-9)


def test_adaptive_score_is_the_ratio_that_scenedetect_keeps_in_its_statistics() -> None:
    frames = frames_of("synthetic.mp4")
    found = values(scene.Adaptive(VIDEO), frames)
    assert [value.score for value in (*found[:2], *found[-2:])] == [None] * 4
    own = scenedetect.AdaptiveDetector()
    own.stats_manager = StatsManager()
    for frame in frames:
        own.process_frame(FrameTimecode(frame.index, fps=25.0), scene._small(frame))
    key = own.get_metrics()[-1]
    expected = [own.stats_manager.get_metrics(FrameTimecode(i, fps=25.0), [key])[0] for i in range(2, 118)]
    assert [value.score for value in found[2:-2]] == expected


def stored(value: Any) -> Any:
    """The state after a way through JSON, arrays as they are."""
    if isinstance(value, dict):
        return {key: stored(one) for key, one in value.items()}
    if isinstance(value, list):
        return [stored(one) for one in value]
    return value if isinstance(value, np.ndarray) else orjson.loads(orjson.dumps(value))


@pytest.mark.parametrize("name", ["content", "adaptive"])
@pytest.mark.parametrize("max_flash_s", [0.0, 0.12])
@pytest.mark.parametrize("at", [0, 1, 3, 41, 83, 101, 114, 150])
def test_a_detector_continues_from_its_state(name: str, max_flash_s: float, at: int) -> None:
    frames = flashing()
    expected = values(make(name, max_flash_s=max_flash_s), frames)
    first, second = make(name, max_flash_s=max_flash_s), make(name, max_flash_s=max_flash_s)
    returned = [first(frame) for frame in frames[:at]]
    second.restore(stored(first.state()))
    returned += [second(frame) for frame in frames[at:]]
    assert returned[second.lookahead :] + second.finish() == expected
