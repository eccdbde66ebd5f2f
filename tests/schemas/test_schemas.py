"""What is written and read keeps to the shipped JSON Schemas."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tests import results_files
from tests.commands import videodag
from tests.results_files import box, line
from videodag_cli.errors import RequestError
from videodag_cli.results.reading import read_lines, read_record
from videodag_cli.results.summary import Summary
from videodag_cli.schemas import NAMES, from_code, load_schema

RUNS = [results_files.crossings, results_files.cuts, results_files.qualities, results_files.codes]


def check(name: str, value: Any) -> None:
    Draft202012Validator(load_schema(name)).validate(value)


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_valid_and_says_which_it_is(name: str) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:videodag:{name}:1"


@pytest.mark.parametrize("name", ["run", "batch", "suite", "pipeline"])
def test_shipped_schemas_are_those_of_the_models(name: str) -> None:
    assert load_schema(name) == from_code(name), "run `python -m videodag_cli.schemas` and look at what changed"


@pytest.mark.slow
@pytest.mark.parametrize("make", RUNS)
def test_lines_records_and_summaries_of_real_runs_are_valid(make: Any) -> None:
    path: Path = make()
    for item in read_lines(path):
        check("line", item)
    check("run", read_record(path))
    check("summary", Summary.of(read_lines(path)).as_json())


def test_failed_frames_nested_outputs_and_tags_are_valid() -> None:
    for item in (line(3, None, camera="north"), line(4, {"n": {"detections": [box(1, 2, 3, 4)], "score": None}})):
        check("line", item)


@pytest.mark.parametrize(
    "item",
    [
        {"frame_index": 0, "time_s": 0.0},
        {"frame_index": -1, "time_s": 0.0, "result": {}},
        {"frame_index": 0.5, "time_s": 0.0, "result": {}},
        {"frame_index": 0, "time_s": None, "result": {}},
        {"frame_index": 0, "time_s": 0.0, "result": None},
        {
            "frame_index": 0,
            "time_s": 0.0,
            "result": {},
            "error": {"node": "a", "tool": "b", "type": "c", "message": "d"},
        },
        {
            "frame_index": 0,
            "time_s": 0.0,
            "result": None,
            "error": {"node": "a", "tool": "b", "type": "c", "message": "d\ne"},
        },
        {"frame_index": 0, "time_s": 0.0, "result": {"a": [{"xyxy": [1, 2, 3]}]}},
        {"frame_index": 0, "time_s": 0.0, "result": {"a": {"b": [{"xyxy": [1, 2, 3, None]}]}}},
        {"frame_index": 0, "time_s": 0.0, "result": {"a": [{"xyxy": [1, 2, 3, 4], "confidence": 1.5}]}},
        {"frame_index": 0, "time_s": 0.0, "result": {}, "tag": 5},
    ],
)
def test_lines_that_break_the_contract_are_not_valid(item: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check("line", item)


def test_shipped_pipelines_and_a_suite_are_valid() -> None:
    pipelines = sorted((Path(__file__).parents[2] / "pipelines").glob("*.json"))
    assert len(pipelines) >= 10
    for path in pipelines:
        check("pipeline", json.loads(path.read_text()))
    suite = """
        [[case]]
        name = "cuts"
        clip = "synthetic.mp4"
        pipeline = "scenes"
        sampling = { frame_stride = 1, start = "0.5" }
        set = { "content.threshold" = 30 }
        assert = ["ever content.cut"]
    """
    check("suite", tomllib.loads(suite))
    with pytest.raises(ValidationError):
        check("suite", tomllib.loads(suite.replace("clip", "klip")))


SUITE = """
[[case]]
name = "as it was"
clip = "{clip}"
pipeline = "quality"
sampling = {{ max_frames = 2 }}
expected = "good.jsonl"
assert = ["ever brightness > 1000", "always brightness > 0"]

[[case]]
name = "different"
clip = "{clip}"
pipeline = "quality"
sampling = {{ max_frames = 2 }}
expected = "bad.jsonl"

[[case]]
name = "gone"
clip = "none.mp4"
pipeline = "quality"
sampling = {{ max_frames = 2 }}
expected = "good.jsonl"

[[case]]
name = "unmade"
clip = "{clip}"
pipeline = "quality"
sampling = {{ max_frames = 2 }}
expected = "none.jsonl"

[[case]]
name = "simply good"
clip = "{clip}"
pipeline = "quality"
sampling = {{ max_frames = 2 }}
expected = "good.jsonl"
"""


@pytest.mark.slow
def test_what_check_prints_is_valid_whatever_came_of_the_cases(tmp_path: Path) -> None:
    clip = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
    assert videodag("run", "-p", "quality", "--max-frames", 2, "-o", tmp_path / "good.jsonl", clip).code == 0
    lines = [json.loads(text) for text in (tmp_path / "good.jsonl").read_text().splitlines()]
    lines[1]["result"]["brightness"] += 50
    results_files.write(tmp_path / "bad.jsonl", lines)
    (tmp_path / "s.videodag.toml").write_text(SUITE.format(clip=clip))
    done = videodag("check", "--json", tmp_path / "s.videodag.toml")
    found = json.loads(done.out)
    assert [case["status"] for case in found["cases"]] == ["differs", "differs", "failed", "bad", "passed"]
    assert found["exit_code"] == done.code == 2
    assert found["cases"][1]["differences"]
    assert found["cases"][0]["assertions"][0]["ranges"]
    check("check", found)
    with pytest.raises(ValidationError):
        check("check", {**found, "more": 1})


def test_the_command_lists_and_prints_schemas() -> None:
    assert [text.split()[0] for text in videodag("schema").text.splitlines()] == list(NAMES)
    assert json.loads(videodag("schema", "line").out) == load_schema("line")
    assert videodag("pipelines", "schema").out == videodag("schema", "pipeline").out
    refused = videodag("schema", "lines")
    assert refused.code == 2
    assert "choose one of: line, run, batch, summary, check, suite, pipeline" in refused.err
    with pytest.raises(RequestError):
        load_schema("lines")
