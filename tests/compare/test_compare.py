"""Comparing two results: what is tolerated, what is not, and how a difference reads."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videodag_cli.compare.changes import changes, changes_text, thresholds
from videodag_cli.compare.comparison import Comparison, compare_files, compare_lines
from videodag_cli.compare.rows import edit_distance
from videodag_cli.compare.tolerance import Tolerances
from videodag_cli.errors import RequestError
from videodag_cli.run.record import Request, differences

Line = dict[str, Any]


def walkers(frames: int = 40, *, jitter: float = 0.0, seed: int = 1) -> list[Line]:
    """Three tracked people and a car that walk through the picture, a number, a text and a flag."""
    noise = random.Random(seed)
    lines = []
    for i in range(frames):
        rows = []
        for identity, (x, y, name) in enumerate(
            [(20, 40, "person"), (200, 60, "person"), (420, 50, "person"), (300, 200, "car")]
        ):
            left = x + 4 * i * (1 if identity % 2 else -1) + 200 + noise.uniform(-jitter, jitter)
            rows.append(
                {
                    "xyxy": [left, float(y), left + 40, y + 100.0],
                    "confidence": round(0.6 + 0.05 * identity + noise.uniform(-jitter, jitter) / 50, 4),
                    "class_id": 0 if name == "person" else 2,
                    "class_name": name,
                    "tracker_id": identity + 1,
                }
            )
        result = {
            "track": rows,
            "sharpness": 132.4 + i,
            "codes": [
                {"xyxy": [1.0, 1.0, 30.0, 30.0], "text": f"F{i:06d}", "corners": [[1, 1], [30, 1], [30, 30], [1, 30]]}
            ],
            "freeze": {"frozen": False, "difference": None if i == 0 else 3.25},
            "zones": {"entrance": {"count": i // 10}},
        }
        lines.append({"frame_index": i * 5, "time_s": round(i / 5, 6), "result": result})
    return lines


def row(line: Line, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = line["result"]["track"][index]
    return found


def compared(after: list[Line], before: list[Line] | None = None, **options: Any) -> Comparison:
    return compare_lines(walkers() if before is None else before, after, **options)


def told_of(comparison: Comparison) -> list[str]:
    return [str(difference) for difference in comparison.differences]


def test_equal_results_are_equal() -> None:
    comparison = compared(walkers())
    assert comparison.is_equal
    assert comparison.frames == 40
    assert comparison.lines() == []


def test_small_deviations_are_tolerated() -> None:
    after = walkers(jitter=1.5, seed=7)
    for line in after:
        line["result"]["sharpness"] *= 1.005
        line["result"]["codes"][0]["corners"][2] = [31.5, 29.0]
    assert compared(after).is_equal


def test_relabelled_ids_are_the_same() -> None:
    after = walkers()
    for line in after:
        for one in line["result"]["track"]:
            one["tracker_id"] = {1: 9, 2: 1, 3: 2, 4: 44}[one["tracker_id"]]
        line["result"]["track"].reverse()
    assert compared(after).is_equal


def test_ids_exchanged_from_some_frame_on_are_named_once() -> None:
    after = walkers()
    for line in after[23:]:
        row(line, 0)["tracker_id"], row(line, 2)["tracker_id"] = 3, 1
    comparison = compared(after)
    assert told_of(comparison) == ["frame 115 t=4.60s track: person id 1 goes on as 3, so far it was 1"]
    assert comparison.counts == {("track", "id"): 1}


def test_id_that_breaks_off_is_named() -> None:
    after = walkers()
    for line in after[10:]:
        row(line, 1)["tracker_id"] = 17
    assert told_of(compared(after)) == ["frame 50 t=2.00s track: person id 2 goes on as 17, so far it was 2"]


def test_two_tracks_merged_into_one_are_named() -> None:
    before = walkers()
    for i, line in enumerate(before):
        line["result"]["track"] = [row(line, 2 if i < 10 else 1)]
    after = copy.deepcopy(before)
    for line in after[10:]:
        row(line)["tracker_id"] = 3
    assert told_of(compared(after, before)) == [
        "frame 50 t=2.00s track: person id 2 goes on as 3, which belonged to id 3 so far"
    ]


def test_dropped_frame_is_named() -> None:
    after = walkers()
    del after[12]
    assert told_of(compared(after)) == ["frame 60 t=2.40s: the frame is missing"]
    assert told_of(compared(walkers(), after)) == ["frame 60 t=2.40s: the frame is not expected"]


def test_box_shifted_by_20_px_is_named() -> None:
    after = walkers()
    box = row(after[3], 1)["xyxy"]
    box[0] += 20
    box[2] += 20
    assert told_of(compared(after)) == [
        "frame 15 t=0.60s track: person lost (best IoU 0.33)",
        "frame 15 t=0.60s track: person extra (confidence 0.65, best IoU 0.33)",
    ]


def test_large_box_shifted_by_20_px_is_named_as_moved() -> None:
    before: list[Line] = [
        {"frame_index": 0, "time_s": 0.0, "result": {"cars": [{"xyxy": [100, 100, 1900, 900], "class_name": "car"}]}}
    ]
    after = copy.deepcopy(before)
    after[0]["result"]["cars"][0]["xyxy"] = [120, 100, 1920, 900]
    assert told_of(compared(after, before)) == ["frame 0 t=0.00s cars: car moved 20.0 px (IoU 0.98)"]


def test_lost_and_extra_boxes_are_named() -> None:
    after = walkers()
    del after[2]["result"]["track"][1]
    after[5]["result"]["track"].append(
        {**row(after[5], 0), "xyxy": [0.0, 0.0, 30.0, 90.0], "tracker_id": 9, "confidence": 0.5}
    )
    assert told_of(compared(after)) == [
        "frame 10 t=0.40s track: person lost (best IoU 0.00)",
        "frame 25 t=1.00s track: person extra (confidence 0.5, best IoU 0.00)",
    ]


def test_other_class_is_named() -> None:
    after = walkers()
    row(after[4], 0).update(class_id=2, class_name="car")
    assert told_of(compared(after)) == ["frame 20 t=0.80s track: person is now car (IoU 1.00)"]


def test_confidence_number_text_flag_and_count_are_named() -> None:
    after = walkers()
    row(after[1], 3)["confidence"] = 0.55
    result = after[1]["result"]
    result["sharpness"] = 98.2
    result["codes"][0]["text"] = "F00x002"
    result["freeze"] = {"frozen": True, "difference": None}
    result["zones"]["entrance"]["count"] = 1
    assert told_of(compared(after)) == [
        "frame 5 t=0.20s track: car confidence 0.75 -> 0.55",
        "frame 5 t=0.20s sharpness: 133.4 -> 98.2 (allowed 1.334)",
        "frame 5 t=0.20s codes: row text 'F000001' -> 'F00x002' (2 edits)",
        "frame 5 t=0.20s freeze: frozen false -> true",
        "frame 5 t=0.20s freeze: difference 3.25 -> null",
        "frame 5 t=0.20s zones: entrance.count 0 -> 1",
    ]


def test_frame_that_fails_and_frame_that_is_fine_again() -> None:
    error = {"node": "detect", "tool": "detect.objects", "type": "ValueError", "message": "bad input"}
    after = walkers()
    after[7] = {"frame_index": 35, "time_s": 1.4, "result": None, "error": error}
    assert told_of(compared(after)) == ["frame 35 t=1.40s detect: the frame failed (ValueError: bad input)"]
    assert told_of(compared(walkers(), after)) == [
        "frame 35 t=1.40s detect: the frame is expected to fail (ValueError: bad input)"
    ]
    assert compared(copy.deepcopy(after), after).is_equal
    other = copy.deepcopy(after)
    other[7]["error"]["type"] = "KeyError"
    assert told_of(compared(other, after)) == [
        "frame 35 t=1.40s detect: failed with KeyError: bad input, expected ValueError: bad input"
    ]


def test_motion_is_compared_as_a_vector_in_pixels() -> None:
    def flow(dx: float, dy: float, magnitude: float) -> list[Line]:
        motion = {"dx": dx, "dy": dy, "magnitude": magnitude, "speed": magnitude * 5}
        return [{"frame_index": 0, "time_s": 0.0, "result": {"flow": motion}}]

    assert compared(flow(0.1, -0.1, 0.2), flow(0.0, 0.0, 0.04)).is_equal
    assert compared(flow(1.4, 5.2, 12.4), flow(1.8, 5.0, 13.4)).is_equal
    assert compared(flow(0.0, 0.0, 0.1), flow(0.0, 0.0, 0.0)).is_equal
    assert told_of(compared(flow(2.0, 0.0, 2.0), flow(0.0, 0.0, 2.0))) == [
        "frame 0 t=0.00s flow: dx 0 -> 2 (allowed 0.25)"
    ]
    assert [d.split(": ")[1] for d in told_of(compared(flow(3.0, 0.0, 4.0), flow(3.0, 0.0, 3.0)))] == [
        "magnitude 3 -> 4 (allowed 0.3)",
        "speed 15 -> 20 (allowed 1.5)",
    ]


def test_new_output_is_noted_and_new_field_is_a_difference() -> None:
    after = walkers(3)
    for line in after:
        line["result"]["noise"] = 1.5
    comparison = compared(after, walkers(3))
    assert comparison.is_equal
    assert comparison.notes == ["not compared, because only the new result has it: noise"]
    after[1]["result"]["zones"]["exit"] = {"count": 2}
    assert told_of(compared(after, walkers(3))) == ["frame 5 t=0.20s zones: exit is new (an object)"]
    del after[2]["result"]["sharpness"]
    assert "frame 10 t=0.40s sharpness: the output is missing" in told_of(compared(after, walkers(3)))


def test_shifted_time_is_named() -> None:
    after = walkers(2)
    after[1]["time_s"] = 0.24
    assert told_of(compared(after, walkers(2))) == ["frame 5 t=0.24s: its time was 0.200000 s, now it is 0.240000 s"]


def test_moved_threshold_is_found_but_a_row_at_the_threshold_may_come_and_go() -> None:
    before = walkers()
    for i, line in enumerate(before):
        row(line, 0)["confidence"] = 0.46 if i == 3 else 0.50 + 0.01 * (i % 10)
    at_threshold = copy.deepcopy(before)
    del at_threshold[3]["result"]["track"][0]
    assert compared(at_threshold, before, thresholds=(0.45,)).is_equal
    assert not compared(at_threshold, before).is_equal
    moved = copy.deepcopy(before)
    for line in moved:
        line["result"]["track"] = [one for one in line["result"]["track"] if one["confidence"] >= 0.55]
    comparison = compared(moved, before, thresholds=(0.45,))
    assert comparison.counts[("track", "lost")] > 10
    assert str(comparison.differences[0]).startswith("frame 0 t=0.00s track: person lost")


def test_rows_without_boxes_are_paired_by_likeness() -> None:
    def events(*rows: tuple[str, int]) -> list[Line]:
        found = [{"line": name, "tracker_id": identity, "direction": "in"} for name, identity in rows]
        return [{"frame_index": 0, "time_s": 0.0, "result": {"crossings": found}}]

    before = events(("a", 1), ("b", 2))
    assert compared(events(("b", 1), ("a", 2)), before).is_equal
    assert told_of(compared(events(("b", 1)), before)) == [
        "frame 0 t=0.00s crossings: row (line 'a', tracker_id 1, direction 'in') lost"
    ]
    assert told_of(compared(events(("a", 1), ("c", 2)), before)) == [
        "frame 0 t=0.00s crossings: 1.line 'b' -> 'c' (1 edit)"
    ]


def test_a_flood_of_differences_fits_on_a_screen() -> None:
    after = walkers(400)
    for line in after:
        line["result"]["sharpness"] = 0.0
    del after[390]
    comparison = compared(after, walkers(400))
    lines = comparison.lines()
    assert len(lines) <= 22
    assert "frame 1950 t=78.00s: the frame is missing" in lines
    assert lines[-2:] == ["… and 391 more", "in all: frames: 1 x missing; sharpness: 399 x number"]


def test_tolerances_per_output_and_for_all() -> None:
    after = walkers()
    after[0]["result"]["sharpness"] += 30
    row(after[0], 0)["confidence"] -= 0.2
    after[0]["result"]["codes"][0]["text"] = "F0000x0"
    after[0]["result"]["freeze"]["frozen"] = True
    loose = Tolerances.of(
        {
            "*": {"text_edits": 1},
            "sharpness": {"abs": 40},
            "track": {"confidence": 0.3},
            "freeze": {"ignore": ["frozen"]},
        }
    )
    assert compared(after, tolerances=loose).is_equal
    assert compared(after, tolerances=Tolerances.of({"*": {"ignore": ["*"]}})).is_equal
    tight = Tolerances.of({"sharpness": {"abs": 0, "rel": 0}})
    after = walkers()
    after[0]["result"]["sharpness"] += 0.001
    assert told_of(compared(after, tolerances=tight)) == ["frame 0 t=0.00s sharpness: 132.4 -> 132.401 (allowed 0)"]


def test_output_table_keeps_what_the_table_for_all_says() -> None:
    found = Tolerances.of({"*": {"iou": 0.3, "abs": 2}, "people": {"abs": 5}})
    assert (found["people"].iou, found["people"].abs, found["other"].abs) == (0.3, 5, 2)
    nested = Tolerances.of({"people": {"rel": 0.5}, "*": {"iou": 0.2}}, found)
    assert (nested["people"].iou, nested["people"].abs, nested["people"].rel, nested["other"].iou) == (0.2, 5, 0.5, 0.2)


@pytest.mark.parametrize("table", [{"iuo": 0.5}, {"iou": 2}, {"abs": -1}, {"abs": "much"}])
def test_bad_tolerance_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=f"tolerance of 'people': {next(iter(table))}"):
        Tolerances.of({"people": table})


def test_unordered_result_is_refused() -> None:
    lines = walkers(3)
    with pytest.raises(RequestError, match="out of order: frame 0 comes after frame 10"):
        compared([lines[0], lines[2], lines[0]], lines)


def test_files_are_compared_with_the_thresholds_of_their_record(tmp_path: Path) -> None:
    before = walkers(3)
    row(before[1], 0)["confidence"] = 0.455
    after = copy.deepcopy(before)
    del after[1]["result"]["track"][0]
    for name, lines in (("a", before), ("b", after)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert not compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl").is_equal
    record = {"schema": "videodag.run/1", "request": {"params": {"detect": {"confidence": 0.45, "iou": 0.5}}}}
    (tmp_path / "a.jsonl.run.json").write_text(json.dumps(record))
    comparison = compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert comparison.is_equal
    assert comparison.notes == ["1 row at a confidence threshold came or went, which is tolerated"]
    record["request"] = {"params": {"detect": {"confidence": 0.55, "iou": 0.5}}}
    (tmp_path / "b.jsonl.run.json").write_text(json.dumps(record))
    assert not compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl").is_equal


def test_threshold_that_a_detector_chose_is_taken_from_its_lowest_confidence(tmp_path: Path) -> None:
    before = walkers(6)
    for line in before:
        line["result"]["track"] = line["result"]["track"][:1]
        row(line)["confidence"] = 0.62
    row(before[2])["confidence"] = 0.4507
    after = copy.deepcopy(before)
    after[2]["result"]["track"] = []
    record = {"schema": "videodag.run/1", "request": {"params": {"detect": {"confidence": None}}}}
    for name, lines in (("a", before), ("b", after)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "a.jsonl.run.json").write_text(json.dumps(record))
    assert compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl").is_equal
    after[4]["result"]["track"] = []
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in after))
    assert told_of(compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl")) == [
        "frame 20 t=0.80s track: person lost (best IoU 0.00)"
    ]


def test_changes_between_records_are_told_in_one_line() -> None:
    def record(version: int, runtime: str, confidence: float, digest: str) -> dict[str, Any]:
        return {
            "schema": "videodag.run/1",
            "request": {
                "tools": {"track": {"tool": "track.objects", "version": version}},
                "params": {"detect": {"confidence": confidence, "model": "best.onnx"}},
                "files": {"detect.model": f"sha256:{digest}"},
                "sampling": {"frame_stride": 5},
            },
            "packages": {"onnxruntime": runtime, "numpy": "2.4"},
        }

    old, new = record(2, "1.31", 0.45, "aa" * 32), record(3, "1.32", 0.5, "bb" * 32)
    assert changes_text(changes(old, new)) == (
        "golden: track tool track.objects v2, detect.confidence 0.45, detect.model aaaaaaaaaaaa, onnxruntime 1.31; "
        "now: track.objects v3, 0.5, bbbbbbbbbbbb, 1.32"
    )
    assert changes_text(changes(old, old)) == ""
    assert changes_text(changes(None, new)) == ""
    assert thresholds(old) == (0.45,)
    assert thresholds(None) == ()


def test_whatever_makes_a_run_of_another_request_is_told_of_two_records_too() -> None:
    def request(**more: Any) -> Request:
        definition = {"output_nodes": ["a"], "edges": [{"from_node": "a", "to_node": "b"}]}
        pipeline = {
            "id": "p",
            "path": "p.json",
            "digest": "sha256:1",
            "definition": {**definition, **more.pop("graph", {})},
        }
        tools = {"a": {"tool": "x.p", "version": 1}, "b": {"tool": "x.q", "version": 1}}
        return Request(**{"pipeline": pipeline, "sampling": {}, "params": {"a": {"n": 1}}, "tools": tools, **more})

    old = request()
    swapped = {"a": {"tool": "x.q", "version": 1}, "b": {"tool": "x.p", "version": 1}}
    for new in (
        request(graph={"output_nodes": ["a", "b"]}),
        request(graph={"edges": []}),
        request(tools=swapped),
        request(params={"a": {"n": None}}),
        request(files={"a.n": "sha256:2"}),
        request(plugins={"own": "sha256:3"}),
        request(sampling={"frame_stride": 2}),
        request(tags={"camera": "north"}),
        request(format="list"),
        request(stream=1),
        request(decoder="opencv"),
        request(strict=True),
    ):
        as_records = [{"request": given.model_dump(mode="json")} for given in (old, new)]
        said = [f"{change.what} {change.before} -> {change.after}" for change in changes(*as_records)]
        assert said == differences(old, new) != []


def _levenshtein(a: str, b: str) -> int:
    row_above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            current.append(min(row_above[j] + 1, current[j - 1] + 1, row_above[j - 1] + (x != y)))
        row_above = current
    return row_above[-1]


@settings(max_examples=300)
@given(st.text("abc", max_size=9), st.text("abc", max_size=9), st.integers(0, 10))
def test_banded_edit_distance_equals_the_full_table(a: str, b: str, limit: int) -> None:
    assert edit_distance(a, b, limit=limit) == min(_levenshtein(a, b), limit + 1)


def test_edit_distance_of_long_texts_takes_a_band_not_a_table() -> None:
    text = "ab" * 20_000
    assert edit_distance(text, "x" + text[:-1], limit=5) == 2
    assert edit_distance(text, text[::-1], limit=1) == 2


@settings(max_examples=60)
@given(st.permutations(range(1, 5)), st.integers(0, 2**16), st.integers(1, 39))
def test_any_relabelling_passes_and_any_exchange_fails(order: list[int], seed: int, frame: int) -> None:
    after = walkers(jitter=1.0, seed=seed)
    for line in after:
        for one in line["result"]["track"]:
            one["tracker_id"] = order[one["tracker_id"] - 1]
        random.Random(seed).shuffle(line["result"]["track"])
    assert compared(after).is_equal
    swapped = {order[0]: order[1], order[1]: order[0]}
    for line in after[frame:]:
        for one in line["result"]["track"]:
            one["tracker_id"] = swapped.get(one["tracker_id"], one["tracker_id"])
    comparison = compared(after)
    assert {difference.frame_index for difference in comparison.differences} == {frame * 5}
    assert {difference.kind for difference in comparison.differences} == {"id"}


@settings(max_examples=150)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text("ab", max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "tracker_id", "xyxy"]), inner)
        ),
        max_leaves=8,
    ),
    st.data(),
)
def test_any_value_equals_itself_and_comparing_never_crashes(value: Any, data: st.DataObject) -> None:
    def lines(found: Any) -> list[Line]:
        return [{"frame_index": i, "time_s": 0.0, "result": {"x": found}} for i in range(2)]

    assert compared(lines(copy.deepcopy(value)), lines(value)).is_equal
    other = data.draw(st.just([value]) | st.just({"a": value}) | st.integers(6, 9))
    if other not in ([], {}) and value not in ([], {}):
        comparison = compared(lines(other), lines(value))
        assert not comparison.is_equal
        assert all("\n" not in text for text in comparison.lines())


def test_another_clock_or_timecode_is_a_difference_and_a_new_one_is_not() -> None:
    plain: list[dict[str, Any]] = [{"frame_index": i, "time_s": float(i), "result": {"n": 1}} for i in range(2)]
    old = [
        {**item, "time": f"2026-11-25T08:00:0{i}.000000Z", "timecode": f"00:00:00:0{i}"} for i, item in enumerate(plain)
    ]
    later = [{**item, "time": item["time"].replace("T08", "T09"), "timecode": "01:00:00:00"} for item in old]
    assert compare_lines(old, old).is_equal
    assert compare_lines(plain, old).is_equal
    assert compare_lines(old, later).counts == {("", "clock"): 2, ("", "timecode"): 2}
    assert compare_lines(old, plain).counts == {("", "clock"): 2, ("", "timecode"): 2}
