"""Whatever a line holds inside its result, what reads it either takes it or refuses it with one of the documented errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from videodag_cli.convert import convert
from videodag_cli.errors import RequestError
from videodag_cli.report import write_report
from videodag_cli.results.reading import read_lines
from videodag_cli.results.spans import Spans
from videodag_cli.results.summary import Summary

NAMES = st.sampled_from(
    [
        "xyxy",
        "confidence",
        "class_id",
        "class_name",
        "tracker_id",
        "text",
        "entered_s",
        "left_s",
        "a",
        'b."c',
        "",
        "è\n",
        "[x]",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.just([1.5, 2, 3, 4]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=25,
)
BOXES = st.lists(
    st.fixed_dictionaries({"xyxy": st.one_of(st.just([0, 1e300, -5.5, 7]), st.just([1, 2, 3, 4]), LEAVES)}, optional={
        "confidence": LEAVES, "class_id": LEAVES, "class_name": LEAVES, "tracker_id": LEAVES, "text": LEAVES, "a": VALUES,
    }), max_size=3,
)  # fmt: skip
RESULTS = st.one_of(st.none(), st.dictionaries(NAMES, st.one_of(VALUES, BOXES), max_size=4))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(results=st.lists(RESULTS, max_size=4), times=st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4))
def test_nothing_in_a_result_makes_a_reader_crash(tmp_path: Path, results: list[Any], times: list[float]) -> None:
    source = tmp_path / "a.jsonl"
    lines = []
    for index, (result, time_s) in enumerate(zip(results, times, strict=False)):
        item = {"frame_index": index, "time_s": time_s, "result": result}
        lines.append(item if result is not None else {**item, "error": {"node": index, "message": None}})
    source.write_text("".join(json.dumps(item) + "\n" for item in lines))
    summary = Summary.of(read_lines(source)).as_json()
    assert summary["frames"] == len(lines)
    json.dumps(summary, allow_nan=False)
    spans = Spans()
    found = [span for item in lines for span in spans.feed(item)]
    assert all(span.frames >= 1 for span in (*found, *spans.finish()))
    for name, table in (
        ("t.csv", None),
        ("d.csv", "detections"),
        ("i.csv", "tracks"),
        ("t.parquet", None),
        ("v.vtt", None),
    ):
        convert([source], tmp_path / name, table=table, overwrite=True)  # type: ignore[arg-type]
    for name in ("c.json", "m.txt"):
        try:
            convert([source], tmp_path / name, overwrite=True)
        except RequestError as error:
            assert "--node" in error.message or "tracker_id" in error.message  # noqa: PT017
    write_report(source, tmp_path / "a.html", overwrite=True)
