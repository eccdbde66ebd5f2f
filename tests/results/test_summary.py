"""The summary counts what is in the lines."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests import results_files
from tests.commands import python, videodag
from tests.results_files import box, line, write
from videodag_cli.results.reading import read_lines
from videodag_cli.results.summary import MAX_DISTINCT, Summary


def test_tracks_classes_and_crossings_of_a_real_run_equal_a_count_by_hand() -> None:
    path = results_files.crossings()
    lines = results_files.parsed(path)
    found = Summary.of(read_lines(path)).as_json()
    rows = [row for item in lines for row in item["result"]["track"]]
    assert (found["frames"], found["ok"], found["failed"]) == (51, 51, 0)
    assert (found["first_frame"], found["last_frame"], found["start_s"], found["end_s"]) == (0, 200, 0.0, 20.0)
    track = found["outputs"]["track"]
    assert track["total"] == len(rows)
    assert track["classes"] == {"person": len(rows)}
    assert track["tracks"] == len({row["tracker_id"] for row in rows})
    assert track["max_per_frame"] == max(len(item["result"]["track"]) for item in lines)
    crossed = [c["direction"] for item in lines for c in item["result"]["line"]["middle"]["crossings"]]
    assert found["outputs"]["line.middle.crossings"]["labels"]["direction"] == {
        d: crossed.count(d) for d in set(crossed)
    }
    assert found["outputs"]["line.middle.in_count"]["last"] == crossed.count("in")


def test_cuts_are_flags_with_their_times() -> None:
    found = Summary.of(read_lines(results_files.cuts())).as_json()
    for node in ("content", "adaptive"):
        assert found["outputs"][f"{node}.cut"] == {
            "kind": "boolean", "frames": 120, "true": 2, "ranges": 2, "starts_s": [1.6, 3.2],
        }  # fmt: skip


def test_texts_are_counted_and_the_list_of_them_is_bounded() -> None:
    lines = [line(i, {"t": [box(0, 0, 1, 1, text=f"T{i % 2000}")], "words": ["a"]}) for i in range(3000)]
    texts = Summary.of(lines).as_json()["outputs"]["t"]["texts"]
    assert (texts["distinct"], texts["distinct_is_minimum"], len(texts["most_common"])) == (MAX_DISTINCT, True, 10)
    assert texts["most_common"]["T0"] == 2
    assert Summary.of(lines).as_json()["outputs"]["words"]["labels"] == {"value": {"a": 3000}}


def test_failures_are_grouped_with_their_first_message() -> None:
    found = Summary.of([line(0, {"n": 1}), line(1, None), line(2, None)]).as_json()
    assert (found["frames"], found["ok"], found["failed"]) == (3, 1, 2)
    assert found["errors"] == [
        {"node": "read", "tool": "toys.read", "type": "ValueError", "frames": 2, "message": "no luck"}
    ]
    assert found["outputs"]["n"]["frames"] == 1


def test_no_lines_are_no_error() -> None:
    found = Summary().as_json()
    assert (found["frames"], found["first_frame"], found["outputs"]) == (0, None, {})


@given(st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9)), min_size=1))
def test_numbers_have_their_least_mean_and_greatest(values: list[float | None]) -> None:
    found = Summary.of([line(i, {"n": value}) for i, value in enumerate(values)]).as_json()["outputs"]["n"]
    numbers = [value for value in values if value is not None]
    if not numbers:
        assert found == {"kind": "null", "frames": 0, "null": len(values)}
        return
    assert (found["min"], found["max"], found["last"]) == (min(numbers), max(numbers), numbers[-1])
    assert (found["frames"], found["null"]) == (len(numbers), len(values) - len(numbers))
    assert abs(found["mean"] - sum(numbers) / len(numbers)) <= 1e-6


def test_the_command_prints_one_screen_and_json() -> None:
    path = results_files.crossings()
    shown = videodag("summary", path)
    assert (shown.code, shown.err) == (0, "")
    text = shown.text
    assert "51 frames · frames 0 to 200 · 0:00.000 to 0:20.000" in text
    assert len(text.splitlines()) < 24
    printed = videodag("summary", "--json", "-", stdin=path.read_bytes())
    assert json.loads(printed.out) == Summary.of(read_lines(path)).as_json()


def test_run_prints_the_same_summary(tmp_path: Path) -> None:
    clip = results_files.CLIPS / "synthetic.mp4"
    printed = videodag("run", "-q", "-p", "scenes", "--format", "summary", clip)
    assert json.loads(printed.out) == Summary.of(read_lines(results_files.cuts())).as_json()


def test_hostile_names_and_texts_print_as_text(tmp_path: Path) -> None:
    evil = "\x1b[31m[red]\u202e"
    lines = [line(0, {evil: [box(0, 0, 1, 1, class_name=evil, text=evil)], "[bold]": 1.5}), line(1, None)]
    shown = videodag("summary", write(tmp_path / "a.jsonl", lines))
    assert shown.code == 0
    assert b"\x1b" not in shown.out
    assert "[red]" in shown.text
    assert "[bold]" in shown.text
    assert "\u202e" not in shown.text


def test_importing_the_summary_loads_no_picture_code() -> None:
    code = "import sys, videodag_cli.results.summary; print({'cv2', 'av', 'numpy'} & set(sys.modules))"
    assert python(code) == "set()\n"
