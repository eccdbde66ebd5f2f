"""Reading results back: whole files come back as they are, anything else is named with its line."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests import results_files
from videodag_cli.errors import InputError
from videodag_cli.results.reading import leaves, path_part, read_lines, read_record, tags_of


def test_lines_of_a_real_run_come_back_as_json_reads_them() -> None:
    path = results_files.crossings()
    assert list(read_lines(path)) == results_files.parsed(path)
    assert len(results_files.parsed(path)) == 51


def test_lines_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = results_files.write(tmp_path / "a.jsonl", [results_files.line(0, {}), results_files.line(1, {})])
    with path.open("a") as file:
        file.write("not json\n")
    lines = read_lines(path)
    assert next(lines)["frame_index"] == 0
    assert next(lines)["frame_index"] == 1
    with pytest.raises(InputError, match="line 3"):
        next(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"frame_index":0,"time_s":0.0,"result":{"a"', "line 1: the line is incomplete"),
        ("hello\n", r"line 1: not JSON"),
        ("[1]\n", "line 1: not a JSON object"),
        ('{"a":1}\n', '"frame_index" is missing'),
        ('{"frame_index":true,"time_s":0,"result":{}}\n', '"frame_index" must be a whole number'),
        ('{"frame_index":-1,"time_s":0,"result":{}}\n', '"frame_index" must be a whole number'),
        ('{"frame_index":1,"time_s":null,"result":{}}\n', '"time_s" must be a number'),
        ('{"frame_index":1,"time_s":1e300}\n', '"time_s" must be a number'),
        ('{"frame_index":4294967296,"time_s":1}\n', '"frame_index" must be a whole number'),
        ('{"frame_index":1,"time_s":0}\n', '"result" is missing'),
        ('{"frame_index":1,"time_s":0,"result":null}\n', 'needs an "error" object'),
        ('{"frame_index":1,"time_s":0,"result":[]}\n', '"result" must be an object or null'),
        ('{"results":[]}\n', "run --format list"),
        ('{"schema":"videodag.run/1"}\n', "this is a run record"),
        ("\xff\xfe\n", "not JSON"),
        ("\0\0\0\x20ftypisom\xff\xfe\n", "line 1: this is a video; give the results"),
    ],
)
def test_foreign_and_torn_lines_are_refused_by_number(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=said) as caught:
        list(read_lines(path))
    assert caught.value.word == "input.not_results"
    assert caught.value.exit_code == 3


def test_a_line_without_a_final_newline_and_blank_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"frame_index":0,"time_s":0,"result":{}}\n\n{"frame_index":1,"time_s":1,"result":{}}')
    assert [line["frame_index"] for line in read_lines(path)] == [0, 1]


def test_a_missing_file_and_a_folder_have_their_words(tmp_path: Path) -> None:
    with pytest.raises(InputError) as missing:
        list(read_lines(tmp_path / "none.jsonl"))
    with pytest.raises(InputError) as folder:
        list(read_lines(tmp_path))
    assert (missing.value.word, folder.value.word) == ("input.missing", "input.not_file")


def test_names_are_escaped_in_messages(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evil\\nname: no such file"):
        list(read_lines("evil\nname"))


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.TextIOWrapper(io.BytesIO(b'{"frame_index":7,"time_s":1,"result":{}}\n'))
    monkeypatch.setattr(sys, "stdin", data)
    assert [line["frame_index"] for line in read_lines("-")] == [7]
    assert read_record("-") is None


def test_the_record_of_a_real_run_is_found_beside_it(tmp_path: Path) -> None:
    record = read_record(results_files.crossings())
    assert record is not None
    assert record["request"]["pipeline"]["id"] == "line_counting"
    assert read_record(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"schema":"other/1"}'])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl.run.json").write_text(text)
    with pytest.raises(InputError, match="not a run record"):
        read_record(tmp_path / "a.jsonl")


def test_leaves_are_everything_that_is_no_object() -> None:
    result = {"a": 1, "b": {"c": [1], "d": {"e": None}}, "odd.id": {"": "x"}}
    assert list(leaves(result)) == [("a", 1), ("b.c", [1]), ("b.d.e", None), ('"odd.id".""', "x")]


@pytest.mark.parametrize(
    ("key", "part"), [("people", "people"), ("3", "3"), ("traffic light", '"traffic light"'), ('a"', "'a\"'")]
)
def test_parts_of_a_path_are_quoted_as_expressions_read_them(key: str, part: str) -> None:
    assert path_part(key) == part


def test_tags_are_the_leading_fields() -> None:
    assert tags_of(next(read_lines(results_files.qualities()))) == {"camera": "north"}
