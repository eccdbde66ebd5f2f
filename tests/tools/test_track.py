"""Tracking, judged by py-motmetrics on generated clips whose truth is known exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import motmetrics
import numpy as np
import pytest

from tests.walks import Truth, blank, boxed, follow, linear, scene, synthetic_truth
from videodag_cli.data import Affine, Detections, Frame, Tracks
from videodag_cli.errors import ParamError
from videodag_cli.tools.track import Objects
from videodag_cli.vision.boxes import iou_matrix


def judge(truth: Truth, found: Mapping[int, Tracks], seen: Callable[[int, int], bool] = lambda f, i: True) -> Any:
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame, tracks in found.items():
        real = {identity: box for identity, box in truth[frame].items() if seen(frame, identity)}
        distances = 1 - iou_matrix(np.reshape(list(real.values()), (-1, 4)), tracks.xyxy)
        distances[distances > 0.5] = np.nan
        accumulator.update(list(real), tracks.tracker_id.tolist(), distances)
    metrics = ["mota", "idf1", "num_switches", "num_unique_objects"]
    return motmetrics.metrics.create().compute(accumulator, metrics=metrics).iloc[0]


@pytest.mark.parametrize("boxes", ["detected", "smoothed"])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_synthetic_clip_is_tracked_without_an_error(stride: int, boxes: Any) -> None:
    truth = synthetic_truth()
    found = follow(truth, Objects(boxes=boxes), frames=range(0, 120, stride))
    result = judge(truth, found)
    assert (result.mota, result.idf1, result.num_switches) == (1.0, 1.0, 0)
    assert sorted({i for tracks in found.values() for i in tracks.tracker_id.tolist()}) == [1, 2, 3]


def test_detected_boxes_come_out_unchanged() -> None:
    truth = synthetic_truth()
    for frame, tracks in follow(truth, Objects()).items():
        assert sorted(map(tuple, tracks.xyxy.tolist())) == sorted(truth[frame].values())


def test_variable_frame_times_do_not_break_tracks() -> None:
    """The sampled frames lie 1 to 6 frames of even motion apart."""
    rng = np.random.default_rng(3)
    frames = [int(f) for f in np.cumsum(rng.integers(1, 7, 40)) if f < 120]
    truth = synthetic_truth()
    result = judge(truth, follow(truth, Objects(), frames=frames))
    assert (result.mota, result.num_switches) == (1.0, 0)


@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("appearance", [False, True])
def test_two_objects_that_cross_keep_their_ids(stride: int, appearance: bool) -> None:
    """Alike in size and colour, on crossing ways, through each other's place at frame 50."""
    truth = scene(linear((50, 100), (4, 1), range(101)), linear((450, 100), (-4, 1), range(101)))
    result = judge(truth, follow(truth, Objects(appearance=appearance), frames=range(0, 101, stride)))
    assert (result.mota, result.num_switches) == (1.0, 0)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_one_detection_for_two_that_meet_loses_neither(stride: int) -> None:
    truth = scene(linear((50, 100), (4, 1), range(101)), linear((450, 160), (-4, -0.2), range(101)))

    def seen(frame: int, identity: int) -> bool:
        return not (identity == 2 and 44 <= frame <= 56)

    result = judge(truth, follow(truth, Objects(), frames=range(0, 101, stride), seen=seen), seen)
    assert (result.mota, result.num_switches) == (1.0, 0)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_one_that_waits_behind_an_occluder_keeps_its_id(stride: int) -> None:
    """Walks for 40 frames, is hidden for 40 (1.6 s) while it goes on by 20 pixels, then walks on."""
    before = linear((50, 100), (4, 0), range(40))
    hidden = {f: (206 + (f - 39) / 2, 100.0, 246 + (f - 39) / 2, 160.0) for f in range(40, 80)}
    after = linear((226 - 320, 100), (4, 0), range(80, 120))
    truth = scene(before | hidden | after, linear((600, 250), (-3, 0), range(120)))

    def seen(frame: int, identity: int) -> bool:
        return not (identity == 1 and 40 <= frame < 80)

    found = follow(truth, Objects(), frames=range(0, 120, stride), seen=seen)
    result = judge(truth, found, seen)
    assert (result.mota, result.num_switches) == (1.0, 0)
    assert max(tracks.tracker_id.max() for tracks in found.values()) == 2


def test_a_track_ends_after_max_age() -> None:
    truth = scene(linear((50, 100), (0, 0), range(100)))

    def seen(frame: int, identity: int) -> bool:
        return not 20 <= frame < 60

    ids = {f: t.tracker_id.tolist() for f, t in follow(truth, Objects(max_age_s=1.0), seen=seen).items()}
    assert (ids[19], ids[40], ids[99]) == ([1], [], [2])
    ids = {f: t.tracker_id.tolist() for f, t in follow(truth, Objects(max_age_s=1.8), seen=seen).items()}
    assert ids[99] == [1]


def test_colour_tells_apart_what_swaps_places_out_of_sight() -> None:
    """Two stand still side by side, are hidden for 10 frames, and have changed places."""
    places = ((200.0, 100.0, 240.0, 160.0), (250.0, 100.0, 290.0, 160.0))
    truth: Any = {f: dict(enumerate(places if f < 20 else reversed(places), 1)) for f in range(40)}

    def picture(frame: int, time_s: float) -> Frame:
        image = np.full((360, 640, 3), 90, np.uint8)
        for identity, (x1, y1, x2, y2) in truth[frame].items():
            cv2.rectangle(
                image,
                (int(x1), int(y1)),
                (int(x2) - 1, int(y2) - 1),
                (30, 30, 200) if identity == 1 else (200, 60, 30),
                -1,
            )
        return Frame.from_image(image, index=frame, time_s=time_s)

    def seen(frame: int, identity: int) -> bool:
        return not 10 <= frame < 30

    result = judge(truth, follow(truth, Objects(), seen=seen, picture=picture), seen)
    assert (result.mota, result.num_switches) == (1.0, 0)
    blind = judge(truth, follow(truth, Objects(appearance=False), seen=seen, picture=picture), seen)
    assert blind.num_switches == 2


def one(confidence: float, *, frame: int, x: float = 100.0) -> tuple[Frame, Detections]:
    return blank(frame, frame / 25), boxed([(x, 100, x + 40, 160)], [confidence])


def test_a_weak_detection_continues_a_track_but_begins_none() -> None:
    tool = Objects()
    assert len(tool(*one(0.3, frame=0))) == 0
    assert tool(*one(0.9, frame=1)).tracker_id.tolist() == [1]
    assert tool(*one(0.3, frame=2)).tracker_id.tolist() == [1]
    assert len(tool(*one(0.1, frame=3))) == 0


def test_a_doubtful_track_is_confirmed_after_min_hits() -> None:
    tool = Objects(min_hits=3)
    assert [len(tool(*one(0.6, frame=f))) for f in range(4)] == [0, 0, 1, 1]
    assert tool(*one(0.6, frame=4)).tracker_id.tolist() == [1]


def test_a_doubtful_track_that_is_missed_takes_no_id() -> None:
    tool = Objects(min_hits=3)
    tool(*one(0.6, frame=0))
    tool(blank(1, 0.04), Detections.empty())
    assert tool(*one(0.9, frame=2, x=400)).tracker_id.tolist() == [1]


def test_part_of_a_tracked_box_begins_no_track() -> None:
    tool = Objects()
    both = boxed([(100, 100, 140, 200), (102, 150, 138, 198)], [0.9, 0.8])
    assert tool(blank(0, 0.0), both).xyxy.tolist() == [[100, 100, 140, 200]]


def test_classes_are_tracked_apart_unless_told_otherwise() -> None:
    def frames(tool: Objects) -> list[list[int]]:
        return [
            tool(blank(f, f / 25), boxed([(100, 100, 140, 160)], [0.9], class_name=(name,))).tracker_id.tolist()
            for f, name in enumerate(("car", "truck", "car"))
        ]

    assert frames(Objects()) == [[1], [2], [1]]
    assert frames(Objects(class_agnostic=True)) == [[1], [1], [1]]


def test_all_columns_of_a_detection_stay_with_it() -> None:
    detections = boxed(
        [(300, 100, 340, 160), (100, 100, 140, 160)],
        [0.9, 0.8],
        class_id=[2, 2],
        class_name=("car", "car"),
        keypoints=[[(310, 110)], [(110, 110)]],
        data={"plate": ("B", "A")},
    )
    tool = Objects()
    assert tool(blank(0, 0.0), detections).rows() == [
        {**row, "tracker_id": i} for i, row in enumerate(detections.rows(), 1)
    ]
    again = tool(blank(1, 0.04), detections[[1, 0]])
    assert [(row["tracker_id"], row["plate"]) for row in again.rows()] == [(1, "B"), (2, "A")]


def test_a_frame_without_detections_and_boxes_that_are_no_boxes_are_fine() -> None:
    tool = Objects()
    assert len(tool(blank(0, 0.0), Detections.empty())) == 0
    odd = boxed(
        [(np.nan, 0, 10, 10), (50, 50, 50, 50), (-90, -90, -20, -20), (100, 100, 140, 160)],
        [0.9, 0.9, np.nan, 0.9],
    )
    assert [100, 100, 140, 160] in tool(blank(1, 0.04), odd).xyxy.tolist()
    assert len(tool(blank(2, 0.08), Detections.empty())) == 0


def test_boxes_without_confidence_count_as_certain() -> None:
    assert Objects()(blank(0, 0.0), boxed([(100, 100, 140, 160)])).tracker_id.tolist() == [1]


def test_scale_of_the_picture_does_not_matter() -> None:
    truth = synthetic_truth()
    half: Truth = {f: {i: tuple(v / 2 for v in box) for i, box in boxes.items()} for f, boxes in truth.items()}  # type: ignore[misc]
    whole, small = follow(truth, Objects()), follow(half, Objects())
    for frame, tracks in whole.items():
        mapped = tracks.mapped(Affine(0.5, 0.5))
        assert mapped.xyxy.tolist() == small[frame].xyxy.tolist()
        assert mapped.tracker_id.tolist() == small[frame].tracker_id.tolist()


def walkers(count: int) -> Truth:
    """Many boxes on crossing ways, the same each time."""
    rng = np.random.default_rng(11)
    starts, steps = rng.uniform((0, 0), (600, 300), (8, 2)), rng.uniform(-5, 5, (8, 2))
    return scene(*(linear(tuple(s), tuple(v), range(count)) for s, v in zip(starts, steps, strict=True)))


def gappy(frame: int, identity: int) -> bool:
    return (frame * 7 + identity * 5) % 6 != 0


def as_json(tracks: Tracks) -> str:
    return json.dumps(tracks.rows())


@pytest.mark.parametrize("through_json", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 37])
def test_continuing_from_a_state_equals_an_undisturbed_run(cut: int, through_json: bool) -> None:
    truth = walkers(60)
    undisturbed = follow(truth, Objects(boxes="smoothed"), seen=gappy)
    first, second = Objects(boxes="smoothed"), Objects(boxes="smoothed")
    follow(truth, first, frames=range(cut), seen=gappy)
    state = first.state()
    if through_json:
        state = json.loads(json.dumps(state, default=np.ndarray.tolist))
    second.restore(state)
    follow(truth, first, frames=range(cut, 60), seen=gappy)  # the state is a copy: going on does not touch it
    rest = follow(truth, second, frames=range(cut, 60), seen=gappy)
    assert [as_json(rest[f]) for f in rest] == [as_json(undisturbed[f]) for f in range(cut, 60)]


def test_memory_is_bounded_by_what_is_alive() -> None:
    tool = Objects(max_age_s=0.2)
    sizes = []
    for f in range(300):
        x = 50 + f * 37 % 500
        tool(blank(f, f / 25), boxed([(x, 100, x + 20, 130)], [0.9]))
        sizes.append(len(tool.state()["tracker"]["tracks"]["row"]))
    assert max(sizes[100:]) <= 8


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(ParamError, match=r"low_confidence <= high_confidence <= new_confidence"):
        Objects(low_confidence=0.6, high_confidence=0.5)


def test_ids_follow_the_order_of_the_detections() -> None:
    detections = boxed([(300, 100, 340, 160), (100, 100, 140, 160)], [0.8, 0.9])
    assert Objects()(blank(0, 0.0), detections).xyxy[:, 0].tolist() == [300, 100]
    assert Objects()(blank(0, 0.0), detections[[1, 0]]).xyxy[:, 0].tolist() == [100, 300]
