"""Zones and lines, compared with what was constructed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.walks import Box, Truth, blank, boxed, follow, linear, scene, synthetic_truth
from videodag_cli.data import Affine, Detections, Frame, Tracks, VideoInfo
from videodag_cli.errors import ParamError
from videodag_cli.lines import plain
from videodag_cli.tools.track import Objects
from videodag_cli.tools.zones import REMEMBERED, Count, Dwell, Line
from videodag_cli.toolspec import spec_of
from videodag_cli.vision.polygons import points_inside, polygon_problem
from videodag_cli.vision.regions import Line as LineShape
from videodag_cli.vision.regions import Zone

VIDEO = VideoInfo(640, 360)
LEFT_HALF = Zone(name="left", polygon=((0, 0), (320, 0), (320, 360), (0, 360)))
MIDDLE = LineShape(name="middle", start=(320, 360), end=(320, 0))
FRAME_S = 0.04


def tracked(boxes: dict[int, Box], names: str | None = None) -> Tracks:
    found = boxed(list(boxes.values()))
    class_name = None if names is None else (names,) * len(boxes)
    return Tracks(found.xyxy, class_name=class_name, tracker_id=np.array(list(boxes), np.int64))


def at(x: float, y: float = 100.0) -> Box:
    """A 40x60 box whose lower middle is at x, y."""
    return (x - 20, y - 60, x + 20, y)


# --- geometry ---


corner = st.tuples(st.integers(0, 9), st.integers(0, 9))


@given(st.lists(corner, min_size=3, max_size=7), st.lists(corner, min_size=1, max_size=20))
@settings(max_examples=150)
def test_inside_equals_opencv_and_includes_the_border(
    corners: list[tuple[int, int]], points: list[tuple[int, int]]
) -> None:
    polygon = np.array(corners, np.float64)
    if polygon_problem(polygon):
        return
    contour = np.array(corners, np.int32)
    expected = [cv2.pointPolygonTest(contour, (float(x), float(y)), measureDist=False) >= 0 for x, y in points]
    assert points_inside(polygon, np.array(points, np.float64)).tolist() == expected


@pytest.mark.parametrize(
    ("corners", "problem"),
    [
        ([(0, 0), (4, 0)], "at least 3 corners"),
        ([(0, 0), (4, 0), (4, 0), (0, 4)], "corner 2 is repeated"),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], "crosses itself: edges 1 and 3"),
        ([(0, 0), (4, 0), (2, 0)], "folds back"),
        ([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], "crosses itself"),
        ([(0, 0), (4, 0), (4, 4), (0, 4)], None),
        ([(0, 0), (2, 0), (4, 0), (4, 4), (2, 1), (0, 4)], None),
    ],
)
def test_polygons_that_are_not_simple_are_told(corners: list[tuple[int, int]], problem: str | None) -> None:
    found = polygon_problem(np.array(corners, np.float64))
    assert (found is None) if problem is None else problem in str(found)


# --- parameters ---


def zones_param(value: Any) -> Any:
    spec = spec_of(Count)
    assert spec
    return spec.check_params({"zones": value})["zones"]


TRIANGLE = [[0, 0], [100, 0], [0, 100]]


@pytest.mark.parametrize(
    ("zones", "problem"),
    [
        ([], "at least 1"),
        ([{"name": "a", "polygon": [[0, 0], [1, 1]]}], r"zones\.list\.0\.polygon.*at least 3 corners"),
        ([{"name": "a", "polygon": [[0, 0], [4, 4], [4, 0], [0, 4]]}], "crosses itself"),
        ([{"name": "a", "polygon": TRIANGLE}] * 2, "duplicate name 'a'"),
        ([{"name": "", "polygon": TRIANGLE}], "at least 1 character"),
        ([{"name": "a", "polygon": [[0, -1], [1, 0], [1, 1]]}], "greater than or equal to 0"),
        ([{"name": "a", "polygon": [[0, "nan"], [1, 0], [1, 1]]}], "finite|greater"),
        ([{"name": "a", "polygn": TRIANGLE}], "polygn"),
        (5, "list"),
    ],
)
def test_zones_are_checked_when_the_pipeline_is(zones: Any, problem: str) -> None:
    with pytest.raises(ParamError, match=problem):
        zones_param(zones)


def test_zones_come_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    path.write_text(json.dumps([{"name": "left", "polygon": [[0, 0], [320, 0], [320, 360], [0, 360], [0, 0]]}]))
    counts = Count(VIDEO, zones=zones_param(str(path)))(boxed([at(100), at(500)]))
    assert plain(counts) == {"left": {"count": 1, "by_class": {}}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file"), ("[{", "Invalid JSON"), ('[{"name": "a"}]', "0.polygon: Field required")],
)
def test_a_bad_file_is_named_with_its_problem(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "zones.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ParamError, match=f"zones.json.*{problem}"):
        zones_param(str(path))


def test_inline_text_on_the_command_line_is_json_and_other_text_a_file() -> None:
    spec = spec_of(Count)
    assert spec
    assert spec.parse_text("zones", '[{"name": "a", "polygon": [[0, 0], [9, 0], [0, 9]]}]') == [
        {"name": "a", "polygon": [[0, 0], [9, 0], [0, 9]]}
    ]
    assert spec.file_params() == {"zones"}


def test_places_outside_the_picture_are_refused_with_a_hint_on_units() -> None:
    with pytest.raises(ParamError, match=r"zone 'left': the point \(320, 0\) .* 0 to 1; with units=pixel"):
        Count(VIDEO, zones=[LEFT_HALF], units="fraction")
    small = Zone(name="a", polygon=((0, 0), (0.5, 0), (0.5, 1)))
    with pytest.raises(ParamError, match="zone 'a': it lies entirely within one pixel; with units=fraction"):
        Count(VIDEO, zones=[small])
    with pytest.raises(ParamError, match=r"line 'far': the point \(641, 0\) is outside the picture, 640x360"):
        Line(VIDEO, lines=[LineShape(name="far", start=(0, 0), end=(641, 0))])


def test_a_line_needs_length() -> None:
    spec = spec_of(Line)
    assert spec
    with pytest.raises(ParamError, match="line 'dot' starts where it ends"):
        spec.check_params({"lines": [{"name": "dot", "start": [4, 4], "end": [4, 4]}]})


# --- count ---


def test_count_is_per_zone_and_class() -> None:
    found = boxed([at(100), at(200), at(300), at(500)], class_name=("car", "person", "car", "car"))
    quarter = Zone(name="quarter", polygon=((0, 0), (0.25, 0), (0.25, 1), (0, 1)))
    half = Zone(name="half", polygon=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    assert plain(Count(VIDEO, zones=[half, quarter], units="fraction")(found)) == {
        "half": {"count": 3, "by_class": {"car": 2, "person": 1}},
        "quarter": {"count": 1, "by_class": {"car": 1}},
    }


def test_count_of_nothing_names_every_zone() -> None:
    assert plain(Count(VIDEO, zones=[LEFT_HALF])(Detections.empty())) == {"left": {"count": 0, "by_class": {}}}


@pytest.mark.parametrize(
    ("anchor", "count"), [("bottom_center", 0), ("center", 0), ("center_left", 1), ("top_left", 1), ("bottom_right", 0)]
)
def test_the_anchor_decides(anchor: Any, count: int) -> None:
    assert Count(VIDEO, zones=[LEFT_HALF], anchor=anchor)(boxed([at(330)]))["left"].count == count


def test_a_box_that_reaches_out_of_the_picture_stands_at_its_border() -> None:
    assert Count(VIDEO, zones=[LEFT_HALF])(boxed([(100, 300, 140, 372)]))["left"].count == 1


# --- dwell ---


def dwell_over(truth: Truth, *, stride: int, seen: Any = lambda frame, identity: True) -> tuple[Any, Any]:
    """Visits that ended, and the last frame's, of tracks over the left half of the picture."""
    tool = Dwell(VIDEO, zones=[LEFT_HALF])
    ended: list[Any] = []
    last = None
    for frame, tracks in follow(truth, Objects(), frames=range(0, len(truth), stride), seen=seen).items():
        last = tool(blank(frame, frame * FRAME_S), tracks)["left"]
        ended += last.left
    return ended, last


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_dwell_equals_construction(stride: int) -> None:
    """One walks out of the left half in frame 70, the other walks into it in frame 51."""
    leaving = {f: at(40.5 + 4 * f) for f in range(120)}
    entering = {f: at(520.5 - 4 * f, 250) for f in range(120)}
    ended, last = dwell_over(scene(leaving, entering), stride=stride)
    assert [(v.tracker_id, v.entered_s, v.left_s, v.visit_s, v.total_s) for v in ended] == [
        (1, 0.0, pytest.approx(2.8), pytest.approx(2.8), pytest.approx(2.8))
    ]
    now = 120 // stride * stride - stride
    (still,) = last.inside
    entered = -(-51 // stride) * stride
    assert (still.tracker_id, still.left_s) == (2, None)
    assert still.entered_s == pytest.approx(entered * FRAME_S)
    assert still.visit_s == pytest.approx((now - entered) * FRAME_S)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_hidden_time_counts_for_one_who_waits_inside(stride: int) -> None:
    still = {f: at(100) for f in range(120)}

    def seen(frame: int, identity: int) -> bool:
        return not 40 <= frame < 80

    ended, last = dwell_over(scene(still), stride=stride, seen=seen)
    now = 120 // stride * stride - stride
    assert ended == []
    assert [(v.tracker_id, v.visit_s) for v in last.inside] == [(1, pytest.approx(now * FRAME_S))]


def test_visits_add_up_and_entries_are_told_once() -> None:
    tool = Dwell(VIDEO, zones=[LEFT_HALF], min_s=0)
    where = [400, 300, 300, 400, 300, 300, 400]
    found = [tool(blank(i, float(i)), tracked({7: at(x)}, "person"))["left"] for i, x in enumerate(where)]
    assert [d.entered for d in found] == [(), (7,), (), (), (7,), (), ()]
    assert [[v.total_s for v in d.inside] for d in found] == [[], [0.0], [1.0], [], [2.0], [3.0], []]
    assert plain(found[6].left) == [
        {"tracker_id": 7, "class_name": "person", "entered_s": 4.0, "left_s": 6.0, "visit_s": 2.0, "total_s": 4.0}
    ]


def test_who_is_not_seen_any_more_left_when_last_seen_and_is_forgotten() -> None:
    tool = Dwell(VIDEO, zones=[LEFT_HALF], max_gap_s=2.0)
    for i in range(3):
        tool(blank(i, float(i)), tracked({7: at(100)}))
    assert [tool(blank(i, float(i)), tracked({}))["left"].left for i in (3, 4)] == [(), ()]
    (gone,) = tool(blank(5, 5.0), tracked({}))["left"].left
    assert (gone.left_s, gone.visit_s) == (2.0, 2.0)
    assert tool.state() == {"left": []}


# --- line ---


def crossings_over(truth: Truth, *, stride: int, seen: Any = lambda frame, identity: True) -> tuple[Any, Any]:
    tool, events, last = Line(VIDEO, lines=[MIDDLE]), [], None
    for frame, tracks in follow(truth, Objects(), frames=range(0, max(truth) + 1, stride), seen=seen).items():
        last = tool(blank(frame, frame * FRAME_S), tracks)["middle"]
        events += [(c.tracker_id, c.direction) for c in last.crossings]
    return sorted(events), (last.in_count, last.out_count) if last else None


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_two_that_cross_each_other_on_the_line_go_in_and_out(stride: int) -> None:
    truth = scene(
        {f: at(120 + 4 * f, 150 + f / 2) for f in range(101)}, {f: at(520 - 4 * f, 200 - f / 2) for f in range(101)}
    )
    assert crossings_over(truth, stride=stride) == ([(1, "in"), (2, "out")], (1, 1))


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_one_that_waits_hidden_on_the_line_crosses_once(stride: int) -> None:
    """Hidden from frame 40 to 79 while it stands around the line."""
    walk = {f: at(280 + f if f < 40 else 320 + (f - 40) / 20 if f < 80 else 322 + (f - 80)) for f in range(140)}

    def seen(frame: int, identity: int) -> bool:
        return not 40 <= frame < 80

    assert crossings_over(scene(walk), stride=stride, seen=seen) == ([(1, "in")], (1, 0))


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_one_that_turns_back_at_the_line_crosses_nothing(stride: int) -> None:
    walk = {f: at(321 - abs(60 - f) * 2) for f in range(121)}
    assert crossings_over(scene(walk), stride=stride) == ([], (0, 0))


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_crossings_of_the_synthetic_clip(stride: int) -> None:
    """Box 1 goes right along y = 80..140, box 2 left along y = 200..240, box 3 down at x = 300..336."""
    lines = [MIDDLE, LineShape(name="level", start=(0, 150), end=(640, 150))]
    tool, last = Line(VIDEO, lines=lines), None
    for frame, tracks in follow(synthetic_truth(), Objects(), frames=range(0, 120, stride)).items():
        last = tool(blank(frame, frame * FRAME_S), tracks)
    assert last
    assert {name: (count.in_count, count.out_count) for name, count in last.items()} == {
        "middle": (1, 1),
        "level": (1, 0),
    }


def walk_over(tool: Line, xs: list[float], *, y: float = 100.0) -> Any:
    last = None
    for i, x in enumerate(xs):
        last = tool(blank(i, i * FRAME_S), tracked({1: at(x, y)}, "person"))["middle"]
    return last


@given(st.lists(st.floats(-4.8, 4.8), max_size=40))
@settings(max_examples=50)
def test_trembling_on_the_line_adds_no_crossings(tremble: list[float]) -> None:
    """The margin is a tenth of the square root of 40 x 60, 4.9 pixels."""
    last = walk_over(Line(VIDEO, lines=[MIDDLE], min_s=0), [280, 300, *(320 + t for t in tremble), 340, 360])
    assert (last.in_count, last.out_count) == (1, 0)


LEFT, RIGHT = 280.0, 360.0
"""Well clear of the line in the middle, on either side."""


def passages(xs: list[float], *, frame_s: float = FRAME_S, **params: Any) -> list[tuple[int, str, float]]:
    """Frame in which each crossing is told of, its direction, and when it was."""
    tool = Line(VIDEO, lines=[MIDDLE], **params)
    found: list[tuple[int, str, float]] = []
    for i, x in enumerate(xs):
        counted = tool(blank(i, round(i * frame_s, 6)), tracked({1: at(x)}))["middle"]
        found += [(i, c.direction, c.crossed_s) for c in counted.crossings]
    assert (counted.in_count, counted.out_count) == tuple([d for _, d, _ in found].count(d) for d in ("in", "out"))
    return found


@pytest.mark.parametrize("stay", [1, 2, 3, 4, 5])
def test_a_box_that_flickers_over_the_line_crosses_nothing(stay: int) -> None:
    """It is over there for less than a fifth of a second, five times."""
    assert passages([*[*[LEFT] * 20, *[RIGHT] * stay] * 5, *[LEFT] * 20]) == []


def test_a_crossing_counts_once_it_has_lasted_and_says_when_it_was() -> None:
    assert passages([LEFT] * 10 + [RIGHT] * 5 + [LEFT] * 10) == []
    assert passages([LEFT] * 10 + [RIGHT] * 6 + [LEFT] * 6) == [(15, "in", 0.4), (21, "out", 0.64)]
    assert passages([LEFT] * 10 + [RIGHT] * 30, min_s=1.0) == [(35, "in", 0.4)]
    assert passages([LEFT, RIGHT, LEFT], min_s=0) == [(1, "in", 0.04), (2, "out", 0.08)]


def test_one_who_flickers_on_the_way_crosses_once() -> None:
    assert passages([LEFT] * 10 + [RIGHT] * 2 + [LEFT] * 3 + [RIGHT] + [LEFT] + [RIGHT] * 20) == [(22, "in", 0.68)]


def test_with_sparse_samples_two_on_the_other_side_are_a_crossing_and_one_is_none() -> None:
    assert passages([LEFT] * 3 + [RIGHT] + [LEFT] * 3, frame_s=1.0) == []
    assert passages([LEFT] * 3 + [RIGHT] * 2 + [LEFT] * 3, frame_s=1.0) == [(4, "in", 3.0), (6, "out", 5.0)]


def test_time_hidden_on_the_other_side_counts_as_a_stay_there() -> None:
    tool = Line(VIDEO, lines=[MIDDLE])
    seen = {0: LEFT, 1: RIGHT, 25: RIGHT}
    counts = [tool(blank(i, i * FRAME_S), tracked({1: at(seen[i])} if i in seen else {}))["middle"] for i in range(30)]
    assert [i for i, count in enumerate(counts) if count.crossings] == [25]


@given(st.lists(st.sampled_from([LEFT, 318.0, 320.0, 322.0, RIGHT]), min_size=1, max_size=60), st.integers(0, 8))
@settings(max_examples=100)
def test_crossings_are_the_changes_of_side_that_last(xs: list[float], frames: int) -> None:
    """The rule again, on the whole list: a side is held from its first clear frame to the last before the anchor is back."""
    sides = [0 if x == 320 else 1 if x > 320 else -1 for x in xs]
    for i in range(1, len(sides)):
        sides[i] = sides[i] or sides[i - 1]
    expected, held, i = [], sides[0], 0
    while i < len(xs):
        if sides[i] != held and xs[i] in (LEFT, RIGHT):
            end = next((k for k in range(i, len(xs)) if sides[k] != sides[i]), len(xs))
            if end - 1 - i >= frames:
                if held:
                    expected.append((i + frames, "in" if sides[i] > 0 else "out"))
                held = sides[i]
            i = end
        else:
            i += 1
    assert [(i, way) for i, way, _ in passages(xs, min_s=frames * FRAME_S)] == expected


def test_a_box_that_flickers_over_the_border_of_a_zone_enters_and_leaves_nothing() -> None:
    tool = Dwell(VIDEO, zones=[LEFT_HALF])
    xs = [*[LEFT] * 10, *[RIGHT] * 3, *[LEFT] * 10, *[RIGHT] * 10, *[LEFT] * 5, *[RIGHT] * 10]
    found = [tool(blank(i, round(i * FRAME_S, 6)), tracked({1: at(x)}))["left"] for i, x in enumerate(xs)]
    assert [i for i, dwell in enumerate(found) if dwell.entered] == [5]
    assert [(i, v.entered_s, v.left_s) for i, dwell in enumerate(found) for v in dwell.left] == [(28, 0.0, 0.92)]
    assert [i for i, dwell in enumerate(found) if dwell.inside] == [*range(5, 10), *range(13, 23)]
    assert found[22].inside[0].visit_s == pytest.approx(0.88)


def test_who_is_last_seen_outside_has_left_then() -> None:
    tool = Dwell(VIDEO, zones=[LEFT_HALF], max_gap_s=1.0)
    xs = [*[LEFT] * 10, RIGHT]
    for i, x in enumerate(xs):
        tool(blank(i, i * FRAME_S), tracked({1: at(x)}))
    (gone,) = tool(blank(99, 5.0), tracked({}))["left"].left
    assert (gone.left_s, gone.visit_s) == (0.4, 0.4)


def test_left_to_right_of_the_way_from_start_to_end_is_in() -> None:
    down = LineShape(name="middle", start=(320, 0), end=(320, 360))
    assert walk_over(Line(VIDEO, lines=[MIDDLE], min_s=0), [300, 340]).in_count == 1
    assert walk_over(Line(VIDEO, lines=[down], min_s=0), [300, 340]).out_count == 1
    level = LineShape(name="middle", start=(0, 150), end=(640, 150))
    tool = Line(VIDEO, lines=[level], min_s=0)
    tool(blank(0, 0.0), tracked({1: at(100, 100)}))
    assert tool(blank(1, 0.04), tracked({1: at(100, 200)}))["middle"].in_count == 1


def test_going_round_the_end_of_a_line_is_no_crossing() -> None:
    short = LineShape(name="middle", start=(320, 360), end=(320, 200))
    assert walk_over(Line(VIDEO, lines=[short], min_s=0), [300, 310, 330, 340], y=190).in_count == 0
    assert walk_over(Line(VIDEO, lines=[short], min_s=0), [300, 310, 330, 340], y=210).in_count == 1


def test_crossings_are_counted_by_class_and_told_once() -> None:
    tool = Line(VIDEO, lines=[MIDDLE], min_s=0)
    for i, x in enumerate((300, 340, 340, 300)):
        line = tool(blank(i, i * FRAME_S), tracked({4: at(x)}, "car"))
        if i == 1:
            assert plain(line) == {
                "middle": {
                    "in_count": 1,
                    "out_count": 0,
                    "by_class": {"car": {"in_count": 1, "out_count": 0}},
                    "crossings": [{"tracker_id": 4, "class_name": "car", "direction": "in", "crossed_s": 0.04}],
                }
            }
        elif i == 2:
            assert line["middle"].crossings == ()
    assert (line["middle"].in_count, line["middle"].out_count) == (1, 1)


def test_a_line_forgets_the_tracks_seen_longest_ago() -> None:
    tool = Line(VIDEO, lines=[MIDDLE], min_s=0)
    for i in range(0, REMEMBERED + 2000, 1000):
        ids = range(i, i + 1000)
        tool(blank(i, i * FRAME_S), tracked({n: at(100) for n in ids}))
    kept = [key for key, _ in tool.state()["walks"]["middle"]]
    assert (len(kept), kept[0]) == (REMEMBERED, 2000)


# --- both ---


def test_zones_stay_in_place_behind_a_crop() -> None:
    """The frame starts at (100, 20) of the source, so its boxes do too."""
    crop = Frame(np.zeros((200, 400, 3), np.uint8), 0, 0.0, Affine(offset_x=100, offset_y=20))
    tracks = tracked({1: at(250)}).mapped(crop.to_source.inverse())
    assert tracks.xyxy[0, 0] == 130
    assert Dwell(VIDEO, zones=[LEFT_HALF], min_s=0)(crop, tracks)["left"].entered == (1,)
    tool = Line(VIDEO, lines=[MIDDLE], min_s=0)
    for x in (300, 340):
        counts = tool(crop, tracked({1: at(x)}).mapped(crop.to_source.inverse()))
    assert counts["middle"].in_count == 1


@pytest.mark.parametrize("cut", [0, 1, 35, 45, 69, 72, 80])
def test_continuing_from_a_state_equals_an_undisturbed_run(cut: int) -> None:
    truth = scene(linear((50, 100), (4, 1), range(101)), linear((450, 100), (-4, 1), range(101)))
    tracks = follow(truth, Objects())

    def results(tools: list[Any], frames: range) -> list[str]:
        return [json.dumps([plain(tool(blank(f, f * FRAME_S), tracks[f])) for tool in tools]) for f in frames]

    def make() -> list[Any]:
        return [Dwell(VIDEO, zones=[LEFT_HALF]), Line(VIDEO, lines=[MIDDLE])]

    undisturbed = results(make(), range(101))
    first, second = make(), make()
    results(first, range(cut))
    for before, after in zip(first, second, strict=True):
        after.restore(json.loads(json.dumps(before.state())))
    assert results(second, range(cut, 101)) == undisturbed[cut:]
