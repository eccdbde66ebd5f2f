"""The recipes for reading results in docs/results.md, run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import duckdb
import jq
import pytest

from tests import results_files
from tests.results_files import line

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


def recipes(language: str) -> list[str]:
    """The blocks of one language in the section "Reading results"."""
    section = re.search(r"^## Reading results\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section, "docs/results.md has no section 'Reading results'"
    found = re.findall(rf"```{language}\n(.*?)```", section[1], re.DOTALL)
    assert found, f"no {language} in the section"
    return found


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """`people.jsonl` in the working directory: real tracks, and one failed frame at the end."""
    lines = [*results_files.parsed(results_files.crossings()), line(204, None)]
    results_files.write(tmp_path / "people.jsonl", lines)
    monkeypatch.chdir(tmp_path)
    return lines


def test_jq(lines: list[dict[str, Any]]) -> None:
    commands = [text for block in recipes("sh") for text in block.splitlines() if text.startswith("jq ")]
    outputs = []
    for command in commands:
        _, option, program, name = shlex.split(command)
        assert (option, name) == ("-c", "people.jsonl")
        outputs.append(jq.compile(program).input_text(Path(name).read_text()).all())
    done = [item for item in lines if item["result"]]
    assert outputs[0] == [[item["frame_index"], len(item["result"]["track"])] for item in done]
    assert outputs[1] == [
        [row["tracker_id"], row["xyxy"]] for item in done for row in item["result"]["track"] if row["confidence"] > 0.8
    ]
    assert outputs[2] == [{"frame_index": 204, "error": lines[-1]["error"]}]


def rows(query: str) -> list[Any]:
    found: Any = duckdb.sql(query)
    return list(found.fetchall())


def test_duckdb(lines: list[dict[str, Any]]) -> None:
    fullest, tracks, failed = map(rows, recipes("sql"))
    done = [item for item in lines if item["result"]]
    people = sorted(
        ((item["frame_index"], item["time_s"], len(item["result"]["track"])) for item in done), key=lambda x: -x[2]
    )
    assert fullest == people[:3]
    times: dict[int, list[float]] = {}
    for item in done:
        for row in item["result"]["track"]:
            times.setdefault(row["tracker_id"], []).append(item["time_s"])
    assert sorted(tracks) == sorted((track, len(seen), seen[0], seen[-1]) for track, seen in times.items())
    assert failed == [(204, 8.16, "read", "no luck")]


def test_duckdb_finds_nothing_failed_in_a_file_without_failures(lines: list[dict[str, Any]]) -> None:
    results_files.write(Path("people.jsonl"), lines[:-1])
    assert rows(recipes("sql")[2]) == []
    assert len(rows(recipes("sql")[0])) == 3


def test_pandas(lines: list[dict[str, Any]]) -> None:
    found: dict[str, Any] = {}
    exec(recipes("python")[0], found)
    done = [item for item in lines if item["result"]]
    assert found["people"].tolist() == [len(item["result"]["track"]) for item in done]
    assert len(found["boxes"]) == sum(len(item["result"]["track"]) for item in done)
    assert found["seen"]["count"].sum() == len(found["boxes"])
    assert json.loads(Path("people.jsonl").read_text().splitlines()[-1])["result"] is None
