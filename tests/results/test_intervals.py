"""Intervals of time, compared with what DuckDB makes of the same JSON lines."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.commands import videodag
from tests.results_files import box, line, parsed, write
from videodag_cli.convert import convert
from videodag_cli.errors import RequestError
from videodag_cli.results.intervals import intervals

SECONDS = 7.5

MADE = """
create table made as
  select frame_index, time_s, result, floor(round(time_s * 1000000) / 7500000) * 7.5 as start_s
  from read_json('{path}', format='newline_delimited', columns={{frame_index: 'BIGINT', time_s: 'DOUBLE', result: 'JSON'}})
"""
FRAMES = "select start_s, count(*), count(*) filter (result is null) from made group by 1 order by 1"
NUMBERS = """
select start_s, count(v), avg(v), min(v), max(v)
from (select start_s, case json_type(x) when 'BOOLEAN' then if(x = 'true', 1, 0)
                                        when 'ARRAY' then json_array_length(x) else x::double end as v
      from (select start_s, json_extract(result, '{path}') as x from made) where json_type(x) != 'NULL')
group by 1 order by 1
"""
ROWS = """
select start_s, count(*), {what}
from (select start_s, unnest(json_extract(result, '{path}[*]')) as row from made) group by 1 order by 1
"""


def hard_lines(seed: int) -> list[dict[str, Any]]:
    """Lines at uneven times, with pauses of minutes, failed frames, nulls, classes and ids that come and go."""
    chance = random.Random(seed)
    time_us, lines = -9_000_000, []
    for index in range(400):
        time_us += chance.choice([1, 16_667, 33_367, 500_000, 2_500_000]) + 61_000_000 * (index % 97 == 96)
        if index % 50 == 0:
            time_us = (time_us // 7_500_000 + 1) * 7_500_000  # exactly where an interval begins
        rows = [
            box(0, 0, 1, 1, class_name=chance.choice(["cat", "dog"]), tracker_id=chance.randrange(index // 20 + 1))
            for _ in range(chance.randrange(4))
        ]
        crossed = [{"tracker_id": 1, "direction": chance.choice(["in", "out"])} for _ in range(chance.randrange(3))]
        stays = [{"tracker_id": 2, "entered_s": 0.0, "left_s": chance.choice([None, 1.5]), "visit_s": 1.5}]
        result = {
            "n": chance.choice([None, chance.uniform(-5, 5), 3]),
            "flag": {"on": chance.random() < 0.3},
            "track": rows,
            "line": {"gate": {"crossings": crossed}},
            "zone": {"door": {"left": stays * chance.randrange(2)}},
        }
        lines.append({**line(index, result if chance.random() > 0.2 else None), "time_s": time_us / 1_000_000})
    return lines


@pytest.mark.parametrize("seed", range(3))
def test_intervals_equal_a_query_over_the_lines(tmp_path: Path, seed: int) -> None:
    source = write(tmp_path / "a.jsonl", hard_lines(seed))
    convert([source], tmp_path / "t.parquet", table="intervals", every="7.5s")
    database = duckdb.connect()
    database.execute(MADE.format(path=source))

    def table(columns: str, output: str, where: str = "true") -> Any:
        return database.sql(
            f"select start_s, {columns} from '{tmp_path}/t.parquet' where output = '{output}' and {where} order by 1"
        ).fetchall()

    assert table("frames, failed", "n", "frames > 0") == database.sql(FRAMES).fetchall()
    paths = {"n": "$.n", "flag.on": "$.flag.on", "track": "$.track", "line.gate.crossings": "$.line.gate.crossings"}
    for output, path in paths.items():
        found = table("values, mean, min, max", output, "mean is not null")
        wanted = database.sql(NUMBERS.format(path=path)).fetchall()
        assert len(found) > 20
        assert [row[:2] + row[3:] for row in found] == [row[:2] + row[3:] for row in wanted]
        assert [row[2] for row in found] == pytest.approx([row[2] for row in wanted], abs=1e-6)
    classes = "count(*) filter (row->>'class_name' = 'cat'), count(*) filter (row->>'class_name' = 'dog')"
    counts = "coalesce((by_class->>'cat')::int, 0), coalesce((by_class->>'dog')::int, 0)"
    ids = "count(distinct (row->>'tracker_id'))"
    assert (
        table(f"rows, {counts}, ids", "track", "rows > 0")
        == database.sql(ROWS.format(path="$.track", what=f"{classes}, {ids}")).fetchall()
    )
    ways = "count(*) filter (row->>'direction' = 'in'), count(*) filter (row->>'direction' = 'out')"
    crossings = ROWS.format(path="$.line.gate.crossings", what=ways)
    assert table("rows, in_count, out_count", "line.gate.crossings", "rows > 0") == database.sql(crossings).fetchall()
    over = "count(*) filter (row->>'left_s' is not null), coalesce(sum((row->>'visit_s')::double) filter (row->>'left_s' is not null), 0)"
    visits = ROWS.format(path="$.zone.door.left", what=over)
    assert table("rows, visits, dwell_s", "zone.door.left", "rows > 0") == database.sql(visits).fetchall()


def test_intervals_without_a_line_are_there_and_say_so(tmp_path: Path) -> None:
    lines = hard_lines(5)
    source = write(tmp_path / "a.jsonl", lines)
    convert([source], tmp_path / "t.jsonl", table="intervals", every="7.5s")
    rows = [row for row in parsed(tmp_path / "t.jsonl") if row["output"] == "track"]
    first, last = (item["time_s"] // SECONDS for item in (lines[0], lines[-1]))
    assert [row["start_s"] / SECONDS for row in rows] == list(range(int(first), int(last) + 1))
    assert all(row["end_s"] - row["start_s"] == SECONDS for row in rows)
    empty = [row for row in rows if not row["frames"]]
    assert len(empty) > 20
    assert {(row["values"], row["mean"], row["rows"], row["ids"], row["by_class"]) for row in empty} == {
        (0, *[None] * 4)
    }
    assert sum(row["frames"] for row in rows) == len(lines)


def test_missing_frames_are_counted_where_they_were_to_be(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [line(i, {"n": 1}, rate=1) for i in (5, 6, 14)])
    accounting = {"undecodable": 4, "missing_times_s": [2.0, 7.0, 10.0, 31.0]}
    record = tmp_path / "a.jsonl.run.json"
    record.write_text(json.dumps({"schema": "videodag.run/1", "accounting": accounting}))
    convert([source], tmp_path / "t.jsonl", table="intervals", every="10s")
    found = [(row["start_s"], row["frames"], row["missing"]) for row in parsed(tmp_path / "t.jsonl")]
    assert found == [(0.0, 2, 2), (10.0, 1, 1), (20.0, 0, 0), (30.0, 0, 1)]
    record.write_text(json.dumps({"schema": "videodag.run/1", "accounting": {**accounting, "undecodable": 5}}))
    done = convert([source], tmp_path / "t.jsonl", table="intervals", every="10s", overwrite=True)
    assert {row["missing"] for row in parsed(tmp_path / "t.jsonl")} == {None}
    assert "no run record says when frames were missing" in done.remarks[0]


def test_the_record_of_a_damaged_clip_says_when_frames_were_missing(tmp_path: Path) -> None:
    clip = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
    data = bytearray(clip.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    (tmp_path / "hurt.mp4").write_bytes(data)
    videodag("run", "-q", "-p", "builtin:quality", tmp_path / "hurt.mp4", "-o", tmp_path / "a.jsonl")
    accounting = json.loads((tmp_path / "a.jsonl.run.json").read_text())["accounting"]
    assert accounting["undecodable"] > 0
    seen = {item["frame_index"] for item in parsed(tmp_path / "a.jsonl")}
    assert accounting["missing_times_s"] == [round(i / 25, 6) for i in range(120) if i not in seen]
    convert([tmp_path / "a.jsonl"], tmp_path / "t.jsonl", table="intervals", every="1s")
    rows = [row for row in parsed(tmp_path / "t.jsonl") if row["output"] == "sharpness"]
    assert [row["frames"] + row["missing"] for row in rows] == [25, 25, 25, 25, 20]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [line(0, {"n": 1}), line(10**6, {"n": 1}, rate=1)])
    with pytest.raises(RequestError, match="intervals without a line come before 1e"):
        list(intervals(parsed(source), 1))
    with pytest.raises(RequestError, match="out of order: frame 3 comes after frame 4"):
        list(intervals([line(4, {}), line(3, {})], 10**6))
    for every in ("0", "0.0000001", "soon"):
        with pytest.raises(RequestError, match="--every"):
            convert([source], tmp_path / "t.csv", table="intervals", every=every)
    with pytest.raises(RequestError, match="needs --every"):
        convert([source], tmp_path / "t.csv", table="intervals")
    with pytest.raises(RequestError, match="--every needs --table intervals"):
        convert([source], tmp_path / "t.csv", every="1s")


def test_summary_prints_the_same_rows(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", hard_lines(1))
    convert([source], tmp_path / "t.jsonl", table="intervals", every="1m")
    shown = videodag("summary", "--every", "1m", "--json", source)
    assert json.loads(shown.out) == parsed(tmp_path / "t.jsonl")
    text = videodag("summary", "--every", "1m", "-", stdin=source.read_bytes()).text
    assert len(text.splitlines()) == 1 + len(parsed(tmp_path / "t.jsonl"))


def test_intervals_on_the_clock_begin_at_full_minutes(tmp_path: Path) -> None:
    """Lines from 08:00:50.5 on, one a second."""
    times = [f"2026-11-25T08:{(50 + i) // 60:02d}:{(50 + i) % 60:02d}.500000Z" for i in range(100)]
    lines = [{"frame_index": i, "time_s": i + 2.0, "time": times[i], "result": {"n": i}} for i in range(100)]
    source = write(tmp_path / "a.jsonl", lines)
    convert([source], tmp_path / "t.jsonl", table="intervals", every="1m", clock=True)
    rows = [(row["start_time"], row["start_s"], row["frames"]) for row in parsed(tmp_path / "t.jsonl")]
    assert rows == [
        ("2026-11-25T08:00:00.000000Z", -48.5, 10),
        ("2026-11-25T08:01:00.000000Z", 11.5, 60),
        ("2026-11-25T08:02:00.000000Z", 71.5, 30),
    ]
    plain = write(tmp_path / "b.jsonl", [line(0, {"n": 1})])
    with pytest.raises(RequestError, match="its lines have no time"):
        convert([plain], tmp_path / "t.csv", table="intervals", every="1m", clock=True)
    with pytest.raises(RequestError, match="--clock belongs to"):
        convert([source], tmp_path / "t.csv", clock=True)
