"""A plan over frames: order, errors in envelopes, batches, look-ahead, checkpoints, geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graphs import node, plan
from videodag_cli import Frame, VideoInfo
from videodag_cli.engine.engine import GROUP_FRAMES, Engine, ordered_map
from videodag_cli.engine.messages import clean_message
from videodag_cli.engine.timings import Timings
from videodag_cli.errors import PluginError
from videodag_cli.graph.plan import Plan
from videodag_cli.lines import FrameResult

VIDEO = VideoInfo(64, 48)


def frames(count: int) -> list[Frame]:
    made = []
    for i in range(count):
        image = np.full((48, 64, 3), i % 100, np.uint8)
        image[10:20, 20 + i % 10 : 30 + i % 10] = 255
        made.append(Frame.from_image(image, index=i, time_s=i / 25))
    return made


def run(found: Plan, count: int = 20, **options: Any) -> list[FrameResult]:
    with Engine(found, VIDEO, **options) as engine:
        return list(engine.run(frames(count)))


def values(found: Plan, count: int = 20, **options: Any) -> list[Any]:
    return [result.values for result in run(found, count, **options)]


MIXED = plan(
    ["mean", "twice", "counter", "later", "in_batches", "bright", "follow", "size", "half", "m2:mean"],
    "mean>twice bright>follow half>m2",
    outputs=["m2", "twice", "follow", "counter", "later", "in_batches", "size"],
)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_results_do_not_depend_on_workers_or_batches(workers: int, batch_size: int | None) -> None:
    expected = [result.line() for result in run(MIXED)]
    assert [result.line() for result in run(MIXED, workers=workers, batch_size=batch_size)] == expected


def test_results_keep_the_order_of_output_nodes_and_name_several_outputs() -> None:
    first = values(MIXED, 1)[0]
    assert list(first) == ["m2", "twice", "follow", "counter", "later", "in_batches", "size"]
    assert first["size"] == {"size": {"width": 64, "height": 48}, "mean": 0.5}


def test_look_ahead_gives_a_value_to_the_frame_it_is_about() -> None:
    assert [v["later"] for v in values(plan(["later"]), 6)] == [2, 3, 4, 5, -1, -1]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_look_ahead_works_on_videos_shorter_than_it(count: int) -> None:
    expected = [*range(2, count), *[-1] * min(2, count)]
    assert [v["later"] for v in values(plan(["later"]), count)] == expected


def test_a_frame_that_fails_a_look_ahead_tool_is_the_one_that_gets_the_error() -> None:
    results = run(plan([node("later", fail=3)]), 8)
    assert [r.frame_index for r in results if r.failure] == [3]
    assert [r.values["later"] for r in results if r.values] == [2, 4, 5, 6, 7, -1, -1]


def test_a_failure_leaves_siblings_and_later_frames_as_they_were() -> None:
    failing = plan(["counter", node("fails_at", frames=[3, 7]), "mean"])
    without = plan(["counter", "mean"])
    for with_it, alone in zip(run(failing), run(without), strict=True):
        if with_it.frame_index in (3, 7):
            assert with_it.values is None
            assert with_it.failure is not None
            assert with_it.failure.node == "fails_at"
        else:
            assert with_it.values is not None
            assert {k: with_it.values[k] for k in ("counter", "mean")} == alone.values


def test_descendants_of_a_failed_node_do_not_run_and_keep_their_state() -> None:
    found = plan([node("fails_at", frames=[2]), "counted:counts_inputs"], "fails_at>counted")
    assert [v and v["counted"] for v in values(found, 5)] == [1, 2, None, 3, 4]


def test_the_line_names_the_first_failing_node_in_order() -> None:
    found = plan([node("b:fails_at", frames=[1]), node("a:fails_at", frames=[1])])
    failure = run(found, 2)[1].failure
    assert failure is not None
    assert failure.node == "a"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("value", "ValueError"), ("exit", "SystemExit"), ("memory", "MemoryError"), ("deep", "RecursionError")],
)
def test_any_exception_becomes_an_error_record(kind: str, name: str) -> None:
    result = run(plan([node("fails_at", frames=[1], kind=kind)]), 3)[1]
    assert result.failure is not None
    assert result.failure.type == name
    assert "\n" not in result.failure.message


def test_messages_hold_no_addresses_and_no_absolute_paths() -> None:
    failure = run(plan([node("fails_at", frames=[0])]), 1)[0].failure
    assert failure is not None
    assert failure.message == "no good\\nframe 0 at place.bin and 0x…"
    assert len(clean_message("x" * 900)) == 500


def test_a_failing_batch_is_called_again_one_frame_at_a_time() -> None:
    results = run(plan([node("in_batches", fail=5)]), 10)
    assert [r.frame_index for r in results if r.failure] == [5]
    assert [r.values["in_batches"] for r in results if r.values] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_a_tool_cannot_change_the_picture_that_others_share() -> None:
    result = run(plan(["writes", "mean"]), 1)[0]
    assert result.failure is not None
    assert "read-only" in result.failure.message


def test_a_wrong_return_type_is_an_error_that_names_both_types() -> None:
    failure = run(plan(["wrong_type"]), 1)[0].failure
    assert failure is not None
    assert failure.message == "returned str, not mean"


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("nan", None),
        ("inf", None),
        ("numpy", 0.5),
        ("array", [[1, 2], [3, 4]]),
        ("newline", "a\nb\u2028c"),
        ("minus_zero", 0.0),
        ("megabyte", "x" * (1 << 20)),
    ],
)
def test_what_has_a_json_form_is_written(what: str, expected: object) -> None:
    result = run(plan([node("returns", what=what)]), 1)[0]
    assert result.values == {"returns": {"value": expected}}
    assert result.line().count(b"\n") == 1


@pytest.mark.parametrize("what", ["bytes", "cycle", "deep", "huge", "surrogate", "object", "key", "set"])
def test_what_has_no_json_form_is_an_error_record(what: str) -> None:
    result = run(plan([node("returns", what=what), "mean"]), 1)[0]
    assert result.failure is not None
    assert result.failure.node == "returns"


def test_boxes_behind_a_transform_are_reported_in_source_coordinates() -> None:
    direct = values(plan(["bright"]), 12)
    for shape in (["half", "bright"], ["corner", "bright"]):
        behind = values(plan(shape, f"{shape[0]}>bright"), 12)
        for a, b in zip(direct, behind, strict=True):
            np.testing.assert_allclose(a["bright"][0]["xyxy"], b["bright"][0]["xyxy"], atol=1.01)
    both = values(plan(["corner", "half", "bright"], "corner>half half>bright"), 12)
    for a, b in zip(direct, both, strict=True):
        np.testing.assert_allclose(a["bright"][0]["xyxy"], b["bright"][0]["xyxy"], atol=1.01)


def test_boxes_are_handed_over_in_the_coordinates_of_the_frame_a_tool_gets() -> None:
    found = plan(["bright", "corner", "half", "seen_box"], "bright>seen_box corner>half half>seen_box")
    assert values(found, 1)[0]["seen_box"] == "5.0,2.0,10.0,7.0"  # (20, 10, 30, 20) less (10, 6), halved


@pytest.mark.parametrize("at", [0, 4, 19])
def test_a_restored_engine_continues_as_if_undisturbed(at: int) -> None:
    found = plan(["counter", "mean"])
    undisturbed = [r.line() for r in run(found)]
    taken: dict[int, dict[str, Any]] = {}
    with Engine(found, VIDEO, workers=2) as engine:
        list(engine.run(frames(20), checkpoint_due=lambda: True, on_checkpoint=taken.__setitem__))
    with Engine(found, VIDEO) as engine:
        assert engine.has_checkpoints
        engine.restore(taken[at])
        assert [r.line() for r in engine.run(frames(20)[at + 1 :])] == undisturbed[at + 1 :]


def test_a_tool_without_state_methods_has_no_checkpoints() -> None:
    with Engine(plan(["forgetful"]), VIDEO) as engine:
        assert not engine.has_checkpoints
        assert not engine.is_stateless


def test_a_tool_that_cannot_start_is_named_before_the_first_frame() -> None:
    with pytest.raises(PluginError, match=r"tool toys\.cannot_start cannot start: RuntimeError: no licence"):
        Engine(plan(["x:cannot_start"]), VIDEO).__enter__()


def test_frames_are_let_go_as_they_pass() -> None:
    import weakref

    alive: list[weakref.ref[Any]] = []
    most = 0

    class Tracked(np.ndarray):
        pass

    def source() -> Any:
        nonlocal most
        for i in range(2000):
            image = np.zeros((8, 8, 3), np.uint8).view(Tracked)
            alive.append(weakref.ref(image))
            if i % 20 == 0:
                most = max(most, sum(ref() is not None for ref in alive))
            yield Frame(image, i, i / 25)

    with Engine(plan(["mean", "counter", "later"]), VIDEO, workers=2) as engine:
        assert sum(1 for _ in engine.run(source())) == 2000
    assert most < 16 * GROUP_FRAMES


def test_what_goes_wrong_while_reading_comes_behind_the_frames_before_it() -> None:
    def source() -> Any:
        yield from frames(50)
        raise OSError("the disk is gone")

    seen: list[int] = []
    with Engine(plan(["mean", "counter"]), VIDEO, workers=2) as engine, pytest.raises(OSError, match="the disk"):
        seen.extend(result.frame_index for result in engine.run(source()))
    assert seen == list(range(50))


def test_frames_that_are_cheap_to_read_are_still_worked_on_side_by_side_when_a_tool_takes_its_time() -> None:
    found = plan(["meets"])
    with Engine(found, VIDEO, workers=3) as engine:
        assert [r.values for r in engine.run(frames(30))] == [{"meets": 3}] * 30


def test_a_share_that_grows_midway_is_used_from_then_on() -> None:
    found = plan(["meets"])
    share = [1]
    with Engine(found, VIDEO, workers=1, share=lambda: share[0]) as engine:
        share[0] = 3
        assert [r.values for r in engine.run(frames(30))] == [{"meets": 3}] * 30


@settings(max_examples=25)
@given(st.lists(st.integers(0, 12), max_size=6), st.integers(1, 4), st.integers(1, 5))
def test_any_pattern_of_failures_is_the_same_for_any_workers(failing: list[int], workers: int, batch: int) -> None:
    found = plan(
        [node("fails_at", frames=failing), "counted:counts_inputs", "counter", "later", "in_batches"],
        "fails_at>counted",
    )
    expected = [r.line() for r in run(found, 13)]
    assert [r.line() for r in run(found, 13, workers=workers, batch_size=batch)] == expected


def test_ordered_map_keeps_order_and_bounds_what_is_under_way() -> None:
    from concurrent.futures import ThreadPoolExecutor

    pulled = 0

    def source() -> Any:
        nonlocal pulled
        for i in range(50):
            pulled += 1
            yield i

    with ThreadPoolExecutor(3) as pool:
        results = ordered_map(pool, lambda i: i * i, source(), window=4)
        assert next(results) == 0
        assert pulled <= 5
        assert list(results) == [i * i for i in range(1, 50)]


def test_timings_know_their_quantiles_within_five_percent() -> None:
    timings = Timings()
    for ms in range(1, 1001):
        timings.add(ms * 1_000_000)
    assert timings.mean_ms == pytest.approx(500.5)
    assert timings.quantile_ms(0.5) == pytest.approx(500, rel=0.06)
    assert timings.quantile_ms(0.95) == pytest.approx(950, rel=0.06)
