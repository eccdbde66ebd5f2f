"""What is written and read keeps to the shipped JSON Schemas."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tests import reference, results_files
from tests.commands import ROOT, videodag
from tests.results_files import box, line
from videodag_cli.engine.cache_folder import CacheFolder
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


@pytest.mark.parametrize("name", ["run", "batch", "suite", "pipeline", "probe", "plan", "model"])
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


PRINTED: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "run": [("batch", ("-p", "quality", "--max-frames", "1", "--output-dir", "out", "clip.mp4", "other.mp4"))],
    "plan": [("plan", ("-p", "quality", "--max-frames", "5", "clip.mp4"))],
    "cache info": [("cache", ("kept",))],
    "status": [("status", ("out",))],
    "clean": [("clean", ("out",))],
    "check": [("check", ("s.videodag.toml",))],
    "summary": [("summary", ("a.jsonl",)), ("intervals", ("a.jsonl", "--every", "10s"))],
    "ranges": [("ranges", ("a.jsonl", "b.jsonl", "--where", "track.count > 0"))],
    "static": [("static", ("a.jsonl", "--min-frames", "2"))],
    "duplicates": [("duplicates", ("h.jsonl", "--min", "1s"))],
    "diff": [("diff", ("a.jsonl", "b.jsonl"))],
    "probe": [("probe", ("clip.mp4",)), ("probe", ("--full", "damaged_box.mp4"))],
    "model": [("model", ("people",)), ("model", ("people", "--try", "clip.mp4"))],
    "pipelines list": [("pipelines", ("--pipelines-dir", "."))],
    "pipelines show": [("pipeline", ("quality",))],
    "pipelines validate": [("validation", ("quality", "broken.json", "none")), ("validation", ("people", "--load"))],
    "tools list": [("tools", ())],
    "tools show": [("tool", ("detect.objects",))],
    "schema": [("schemas", ())],
    "help": [("topics", ()), ("topics", ("trust",)), ("topics", ("ksize",))],
}
"""Command -> schema and arguments of what it prints with `--json`."""


def test_every_command_with_json_is_here() -> None:
    with_json = [
        name for name, function in reference.commands() if "`--json`" in str(list(reference.options(function)))
    ]
    assert sorted(with_json) == sorted(PRINTED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips, a damaged one, results that differ, a suite that fails, a pipeline that is broken, an output folder."""
    made = tmp_path_factory.mktemp("printed")
    clip = ROOT / "sample_videos" / "synthetic.mp4"
    for name in ("clip.mp4", "other.mp4"):
        (made / name).symlink_to(clip)
    (made / "damaged_box.mp4").symlink_to(ROOT / "sample_videos" / "damaged_box.mp4")
    (made / "broken.json").write_text('{"id": "broken", "name": "x", "nodes": [], "edges": [], "entry_nodes": []}')
    still = [line(i, {"track": [box(1, 2, 30, 40, tracker_id=i % 2)], "n": i}) for i in range(4)]
    results_files.write(made / "a.jsonl", still)
    results_files.write(made / "b.jsonl", [*still[:3], line(3, None)])
    moving = [f"{(i * 0x9E3779B97F4A7C15) % 2**64:016x}" for i in range(10)] * 2
    results_files.write(made / "h.jsonl", [line(5 * i, {"hash": {"phash": h}}) for i, h in enumerate(moving)])
    case = '[[case]]\nname = "it"\nclip = "none.mp4"\npipeline = "quality"\nsampling = {max_frames = 1}\nassert = ["always a > 1"]'
    (made / "s.videodag.toml").write_text(case)
    (made / "out").mkdir()
    CacheFolder(made / "kept").write(
        "0" * 40, {b"slot": b"content"}, {"tool": "detect.objects", "video": "clip.mp4", "of_frames": True}
    )
    results_files.write(made / "out" / "old.jsonl.part", still)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("name", "schema", "arguments"), [(n, s, a) for n, found in PRINTED.items() for s, a in found])
def test_what_a_command_prints_with_json_is_valid(
    name: str, schema: str, arguments: tuple[str, ...], folder: Path
) -> None:
    done = videodag(*name.split(), "--json", *arguments, cwd=folder)
    found = json.loads(done.out)
    assert found
    check(schema, found)


def test_names_that_are_not_utf8_are_escaped_in_documents(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.jsonl")
    results_files.write(tmp_path / name, [line(0, {"n": 1})])
    found = json.loads(videodag("ranges", "--json", tmp_path / name, "--where", "n > 0").out)
    check("ranges", found)
    assert found["ranges"][0]["source"].endswith("a\\xff.jsonl")


@pytest.mark.slow
def test_the_command_lists_and_prints_schemas() -> None:
    assert [text.split()[0] for text in videodag("schema").text.splitlines()] == list(NAMES)
    assert json.loads(videodag("schema", "line").out) == load_schema("line")
    assert videodag("pipelines", "schema").out == videodag("schema", "pipeline").out
    refused = videodag("schema", "lines")
    assert refused.code == 2
    assert f"choose one of: {', '.join(NAMES)}" in refused.err
    with pytest.raises(RequestError):
        load_schema("lines")
