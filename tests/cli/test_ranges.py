"""`videodag ranges` as a user runs it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Done, videodag
from tests.results_files import line, write
from videodag_cli.cli import app

SAMPLES = Path(__file__).parents[2] / "sample_videos"


def ranges(*args: str | Path) -> Done:
    """The command in this process, which is faster."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = app._run_app(["ranges", *map(str, args)])
    return Done(code, out.getvalue().encode(), err.getvalue())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames, 0.1 s apart: motion on 5-14 (frame 10 failed), 20-21 and 35-39."""
    path = tmp_path_factory.mktemp("ranges") / "out.jsonl"
    with path.open("w") as file:
        for i in range(40):
            moves = 5 <= i < 15 or i in (20, 21) or i >= 35
            line: dict[str, Any] = {
                "frame_index": i * 3,
                "time_s": round(i / 10, 6),
                "result": {"motion": [{}] * moves},
            }
            if i == 10:
                line |= {"result": None, "error": {"node": "motion", "tool": "t", "type": "E", "message": "m"}}
            file.write(json.dumps(line) + "\n")
    return path


def found(run: Done) -> list[tuple[float, float, int, int, int]]:
    assert run.code == 0, run.err
    lines = [json.loads(line) for line in run.text.splitlines()]
    assert all(list(line) == ["start_s", "end_s", "start_frame", "end_frame", "frames"] for line in lines)
    return [tuple(line.values()) for line in lines]


def test_one_line_per_range_and_a_failed_frame_ends_it(results: Path) -> None:
    assert found(ranges(results, "--where", "motion.count >= 1")) == [
        (0.5, 1.0, 15, 27, 5),
        (1.1, 1.5, 33, 42, 4),
        (2.0, 2.2, 60, 63, 2),
        (3.5, 4.0, 105, 117, 5),
    ]


def test_gap_bridges_pauses_before_min_leaves_out_short_ranges(results: Path) -> None:
    bridged = ranges(results, "--where", "motion.count >= 1", "--gap", "100ms", "--min", "0.5s")
    assert found(bridged) == [(0.5, 1.5, 15, 42, 9), (3.5, 4.0, 105, 117, 5)]


def test_whole_stretches_that_last_long_enough(results: Path) -> None:
    assert found(ranges(results, "--where", "motion.count >= 1 for 500ms")) == [
        (0.5, 1.0, 15, 27, 5),
        (3.5, 4.0, 105, 117, 5),
    ]


def test_results_from_standard_input(results: Path) -> None:
    run = videodag("ranges", "-", "--where", "motion.count >= 1 and time_s > 3", stdin=results.read_text().encode())
    assert found(run) == [(3.5, 4.0, 105, 117, 5)]


def test_no_range_is_no_error(results: Path) -> None:
    for format in ("jsonl", "csv", "vtt"):
        run = ranges(results, "--where", "motion.count > 5", "--format", format)
        assert run.code == 0
        assert (
            run.text
            == {"jsonl": "", "csv": "start_s,end_s,start_frame,end_frame,frames\n", "vtt": "WEBVTT\n\n"}[format]
        )


def test_csv(results: Path) -> None:
    run = ranges(results, "--where", "motion.count >= 1", "--min", "500ms", "--format", "csv")
    assert run.text.splitlines() == [
        "start_s,end_s,start_frame,end_frame,frames",
        "0.5,1.0,15,27,5",
        "3.5,4.0,105,117,5",
    ]


def test_vtt_cue_says_the_expression_without_markup(results: Path) -> None:
    run = ranges(results, "--where", "motion.count  > 0", "--min", "500ms", "--format", "vtt")
    assert run.text == (
        "WEBVTT\n\n"
        "00:00:00.500 --> 00:00:01.000\nmotion.count &gt; 0\n\n"
        "00:00:03.500 --> 00:00:04.000\nmotion.count &gt; 0\n\n"
    )


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("motion.count >", "error[usage]: expression, column 15 (at ^)"),
        ("people.count > 1", "error[usage]: 'people' is not an output of this pipeline; its outputs are: motion"),
        ("always motion.count > 1", "error[usage]: 'always' and 'ever' speak of the whole video"),
        ("motion > 1", "error[usage]: motion is a list of 0"),
    ],
)
def test_expression_that_cannot_be_used_is_a_usage_error(results: Path, where: str, problem: str) -> None:
    run = ranges(results, "--where", where)
    assert run.code == 2
    assert problem in run.err
    assert len(run.err.splitlines()) == 1
    assert run.text == ""


def test_field_that_no_line_has_is_noted(results: Path) -> None:
    run = ranges(results, "--where", "motion.speed > 1")
    assert (run.code, run.text) == (0, "")
    assert run.err == "videodag: note: no line has motion.speed (motion has nothing)\n"


def test_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    assert ranges(tmp_path / "a.txt", "--where", "a").code == 3
    assert ranges(tmp_path / "missing", "--where", "a").code == 3


@pytest.mark.slow
def test_cuts_of_a_real_clip() -> None:
    run = videodag("run", "-q", "-p", "builtin:scenes", SAMPLES / "synthetic.mp4")
    assert run.code == 0, run.err
    cuts = found(videodag("ranges", "-", "--where", "content.cut and adaptive.cut", stdin=run.out))
    assert cuts == [(1.6, 1.64, 40, 40, 1), (3.2, 3.24, 80, 80, 1)]


def test_ranges_of_several_files_say_whose_they_are(results: Path, tmp_path: Path) -> None:
    other = tmp_path / "b,c.jsonl"
    other.write_text(results.read_text())
    where = ("--where", "motion.count >= 1", "--min", "500ms")
    run = ranges(results, other, *where)
    lines = [json.loads(line) for line in run.text.splitlines()]
    assert [(line["source"], line["start_s"]) for line in lines] == [
        (str(source), start_s) for source in (results, other) for start_s in (0.5, 3.5)
    ]
    rows = list(csv.reader(ranges(results, other, *where, "--format", "csv").text.splitlines()))
    assert rows[0][:2] == ["source", "start_s"]
    assert [row[:2] for row in rows[3:]] == [[str(other), "0.5"], [str(other), "3.5"]]
    refused = ranges(results, other, *where, "--format", "vtt")
    assert (refused.code, refused.text) == (2, "")


def clocked(path: Path, zero: str) -> Path:
    start = datetime.fromisoformat(zero)
    lines = [line(i, {"n": i}) for i in range(5)]
    for each in lines:
        instant = start + timedelta(seconds=each["time_s"])
        each["time"] = instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return write(path, lines)


def test_ranges_are_on_the_clock_where_lines_have_one(tmp_path: Path) -> None:
    path = clocked(tmp_path / "a.jsonl", "2026-03-29T00:59:59.990000+00:00")
    (found,) = videodag("ranges", path, "--where", "n > 0").lines
    assert (found["start_time"], found["end_time"]) == ("2026-03-29T01:00:00.030000Z", "2026-03-29T01:00:00.190000Z")
    assert found["start_s"] == 0.04
    table = videodag("ranges", path, "--where", "n > 0", "--format", "csv", "--clock").text.splitlines()
    assert table == [
        "start_s,end_s,start_frame,end_frame,frames,start_time,end_time",
        "0.04,0.2,1,4,4,2026-03-29T01:00:00.030000Z,2026-03-29T01:00:00.190000Z",
    ]
    without = write(tmp_path / "b.jsonl", [line(i, {"n": i}) for i in range(5)])
    assert "start_time" not in videodag("ranges", without, "--where", "n > 0").lines[0]
    refused = videodag("ranges", without, "--where", "n > 0", "--format", "csv", "--clock")
    assert (refused.code, refused.word) == (3, "input.not_results")
