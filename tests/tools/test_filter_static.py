"""What has stayed in its place for long is told from what moves, from what has just come and from what comes by again and again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.walks import blank, boxed
from videodag_cli.data import Detections, Tracks
from videodag_cli.run.part import decode_state, encode_state
from videodag_cli.tools.filter import StaticFilter

CONE = (300.0, 100.0, 330.0, 160.0)
RATE = 10


def seen(*boxes: Sequence[float], kinds: Sequence[str] | None = None) -> Detections:
    return boxed(boxes, np.full(len(boxes), 0.9), class_name=tuple(kinds or ("person",) * len(boxes)))


def marks(
    scenes: Iterable[Detections], *, rate: float = RATE, tool: StaticFilter | None = None, **params: Any
) -> list[tuple[bool, ...]]:
    """What the filter says of each box of each scene."""
    tool = tool or StaticFilter(static="mark", **params)
    return [tool(blank(i, i / rate), scene).data["static"] for i, scene in enumerate(scenes)]


def walker(i: int) -> tuple[float, ...]:
    return (3.0 * i, 50, 3.0 * i + 20, 110)


def shaken(i: int) -> tuple[float, ...]:
    return tuple((np.array(CONE) + np.random.default_rng(i).uniform(-1, 1, 4)).tolist())


def test_a_box_is_static_from_the_moment_its_time_is_up_and_one_that_moves_never() -> None:
    found = marks([seen(shaken(i), walker(i)) for i in range(150)], after_s=10)
    assert found == [(i >= 100, False) for i in range(150)]


def test_static_boxes_are_dropped_or_marked() -> None:
    scenes = [seen(walker(i), CONE) for i in range(60)]
    tool = StaticFilter(after_s=5)
    kept = [tool(blank(i, i / RATE), scene) for i, scene in enumerate(scenes)]
    assert [len(found) for found in kept] == [2] * 50 + [1] * 10
    assert kept[-1].xyxy.tolist() == [list(walker(59))]
    assert kept[-1].class_name == ("person",)
    assert "static" not in kept[-1].data


def test_a_thing_may_be_missed_for_a_while_but_not_for_longer_than_the_gap() -> None:
    scenes = [seen(CONE) if i % 4 else seen() for i in range(160)]
    assert marks(scenes, after_s=10)[101:] == [((True,) if i % 4 else ()) for i in range(101, 160)]
    gone = [seen(CONE) if not 120 <= i < 150 else seen() for i in range(300)]
    found = marks(gone, after_s=10)
    assert [i for i, row in enumerate(found) if row == (True,)] == [*range(100, 120), *range(250, 300)]
    patient = marks(gone, after_s=10, max_gap_s=5)
    assert [i for i, row in enumerate(patient) if row == (True,)] == [*range(100, 120), *range(150, 300)]


def test_people_who_come_by_one_place_now_and_then_are_not_static() -> None:
    passing = [seen(CONE) if i % 10 < 3 else seen() for i in range(300)]
    assert not any(any(row) for row in marks(passing, after_s=10))
    assert any(any(row) for row in marks(passing, after_s=10, share=0.2))


def test_a_slow_walk_is_a_walk() -> None:
    """Six pixels a second: after ten seconds the box has nothing of its first place, though each is close to the one before."""
    slow = [seen((100 + 0.6 * i, 50, 120 + 0.6 * i, 110)) for i in range(300)]
    assert not any(any(row) for row in marks(slow, after_s=10))


def test_classes_are_apart_and_a_place_holds_one_box_at_a_time() -> None:
    both = [seen(CONE, CONE, kinds=("person", "cone") if i < 110 else ("cone", "cat")) for i in range(120)]
    found = marks(both, after_s=10)
    assert found[105] == (True, True)
    assert found[115] == (True, False)
    beside = (CONE[0] + 3, CONE[1], CONE[2] + 3, CONE[3])
    one_comes = [seen(CONE) if i < 105 else seen(beside, CONE) for i in range(110)]
    assert marks(one_comes, after_s=10)[105:] == [(False, True)] * 5


@pytest.mark.parametrize("interval_s", [0.04, 1.0, 7.0])
def test_times_decide_not_numbers_of_frames(interval_s: float) -> None:
    """Also where the gap between two sampled frames is longer than the one a place may have; five frames it takes at least."""
    found = marks([seen(CONE)] * 300, rate=1 / interval_s, after_s=10)
    first = found.index((True,))
    assert first == max(4, round(np.ceil(10 / interval_s - 1e-9)))


def test_boxes_that_are_none_are_never_static() -> None:
    nothing = seen((np.nan,) * 4, (5, 5, 5, 5), CONE)
    assert marks([nothing] * 120, after_s=10)[-1] == (False, False, True)


def test_tracks_stay_tracks() -> None:
    tracks = Tracks(np.array([CONE]), tracker_id=np.array([7]))
    assert isinstance(StaticFilter()(blank(0, 0.0), tracks), Tracks)


@pytest.mark.parametrize("at", [0, 1, 60, 105])
def test_a_filter_goes_on_behind_a_checkpoint_as_if_nothing_had_happened(at: int) -> None:
    scenes = [seen(shaken(i), walker(i % 50), kinds=("cone", "person")) if i % 5 else seen() for i in range(140)]
    whole = marks(scenes, after_s=10)
    first, second = (StaticFilter(static="mark", after_s=10) for _ in range(2))
    before = marks(scenes[:at], tool=first)
    second.restore(decode_state(encode_state(first.state())))
    after = [second(blank(i, i / RATE), scenes[i]).data["static"] for i in range(at, 140)]
    assert before + after == whole


def test_what_is_kept_in_mind_does_not_grow_with_the_video() -> None:
    tool = StaticFilter()
    for i in range(2000):
        x = 7.0 * (i % 80)
        tool(blank(i, i / RATE), seen((x, 50, x + 20, 110), kinds=(f"kind {i}",)))
    state = tool.state()
    assert len(state["places"]) <= 21  # two seconds of frames
