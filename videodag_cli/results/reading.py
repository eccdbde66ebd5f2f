"""Reading results back: the lines of a JSONL and the run record beside it.

A results file may be as long as its video, so lines are read one at a time and never kept. What is read was written by anybody: a line is
checked for its envelope (`frame_index`, `time_s`, `result`, `error`) and nothing inside `result` is taken for granted.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from videodag_cli.errors import InputError, printable
from videodag_cli.lines import RESERVED_TAGS
from videodag_cli.system.output_names import record_path

JsonLine = Mapping[str, Any]
"""A line of a results file."""
JsonRow = Mapping[str, Any]
"""One of a list in its result: a box, a text, an event."""
JsonRecord = Mapping[str, Any]
"""A run record, as it was read."""
MAX_LINE_BYTES = 64 << 20
MAX_FRAME_INDEX = 2**32 - 1
MAX_TIME_S = 1e10


def read_lines(source: str | Path) -> Iterator[JsonLine]:
    """The lines of a results file in their order; `-` is standard input.

    A blank line is skipped. Raises `InputError` naming file and line number: `input.missing`, `input.not_file`, `input.unreadable`, and
    `input.not_results` for a line that is torn or was not written by `videodag run`.
    """
    name = shown_name(source)
    with _opened(source) as stream:
        number = 0
        while raw := _next(stream, name):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise _foreign(name, number, f"the line is longer than {MAX_LINE_BYTES >> 20} MiB")
            if raw.isspace():
                continue
            try:
                line = orjson.loads(raw)
            except orjson.JSONDecodeError as error:
                if number == 1 and raw[4:8] == b"ftyp":
                    raise _foreign(name, number, "this is a video; give the results that a run of it wrote") from error
                if not raw.endswith(b"\n"):
                    raise _foreign(name, number, "the line is incomplete: the file ends in the middle of it") from error
                raise _foreign(name, number, f"not JSON ({printable(error, limit=120)})") from error
            problem = _problem(line)
            if problem:
                raise _foreign(name, number, problem)
            yield line


def record_beside(source: str | Path) -> Path | None:
    """Where the run record of a results file is; None for standard input."""
    return None if str(source) == "-" else record_path(Path(source))


def with_records(sources: Iterable[str | Path]) -> list[str | Path]:
    """Results files and where their records are: all that is read of them."""
    return [path for source in sources for path in (source, record_beside(source)) if path is not None]


def read_record(source: str | Path) -> dict[str, Any] | None:
    """The run record beside the results file `source`; None where there is none.

    Raises `InputError` (`input.not_results`) for a file of that name that is not a run record.
    """
    path = record_beside(source)
    if path is None:
        return None
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{shown_name(path)}: {error.strerror}", word="input.unreadable") from error
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InputError(
            f"{shown_name(path)}: not a run record: not JSON ({printable(error, limit=120)})", word="input.not_results"
        ) from error
    if not isinstance(record, dict) or not str(record.get("schema", "")).startswith("videodag.run/"):
        raise InputError(
            f'{shown_name(path)}: not a run record: "schema" must be "videodag.run/1"', word="input.not_results"
        )
    return record


def tags_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """The constant leading fields that `--tag` added."""
    return {key: value for key, value in line.items() if key not in RESERVED_TAGS}


def is_boxes(value: object) -> bool:
    """Whether a value is a list of rows with boxes (detections, tracks, codes, text lines); an empty list does not say."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "xyxy" in value[0]


def corners(row: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """x1, y1, x2, y2 of a row; None where they are not four numbers."""
    found = row.get("xyxy")
    if isinstance(found, list) and len(found) == 4 and all(type(v) in (int, float) for v in found):
        return found[0], found[1], found[2], found[3]
    return None


def leaves(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """`(path, value)` of everything in a result that is not itself an object: numbers, text, booleans, null and lists.

    The path is `node`, or `node.type` and `node.type.field` where a node has several outputs or an output has fields.
    """
    for key, value in result.items():
        name = path_part(key)
        if isinstance(value, dict):
            for path, leaf in leaves(value):
                yield f"{name}.{path}", leaf
        else:
            yield name, value


_PLAIN_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,9}", re.ASCII)


def path_part(key: str) -> str:
    """One part of a path as expressions take it: quoted where it is not a plain name."""
    if _PLAIN_PART.fullmatch(key):
        return key
    quote = "'" if '"' in key else '"'
    return f"{quote}{key}{quote}"


def shown_name(source: str | Path) -> str:
    """A file's name as messages show it."""
    return "standard input" if str(source) == "-" else printable(source)


def _opened(source: str | Path) -> AbstractContextManager[BinaryIO]:
    if str(source) == "-":
        return nullcontext(sys.stdin.buffer)
    name = shown_name(source)
    if os.path.isdir(source):
        raise InputError(f"{name}: a folder, not a results file", word="input.not_file")
    try:
        return open(source, "rb")
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file", word="input.missing") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or printable(error)
        raise InputError(f"{name}: {reason}", word="input.unreadable") from error


def _next(stream: BinaryIO, name: str) -> bytes:
    try:
        return stream.readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or printable(error)}", word="input.unreadable") from error


def _problem(line: object) -> str:
    """What keeps a parsed line from being a frame line; empty where nothing does."""
    if not isinstance(line, dict):
        return "not a JSON object"
    if "frame_index" not in line:
        if isinstance(line.get("results"), list):
            return "this is the document of `run --format list`; write JSONL with `run --format jsonl`"
        if str(line.get("schema", "")).startswith("videodag.run/"):
            return "this is a run record; name the results file beside it"
        return '"frame_index" is missing; this is not a line of `videodag run`'
    index, time_s = line["frame_index"], line.get("time_s")
    if type(index) is not int or not 0 <= index <= MAX_FRAME_INDEX:
        return '"frame_index" must be a whole number, 0 or more'
    if isinstance(time_s, bool) or not isinstance(time_s, int | float) or abs(time_s) > MAX_TIME_S:
        return '"time_s" must be a number of seconds'
    if "result" not in line:
        return '"result" is missing'
    if line["result"] is None:
        return "" if isinstance(line.get("error"), dict) else 'a failed frame needs an "error" object'
    return "" if isinstance(line["result"], dict) else '"result" must be an object or null'


def _foreign(name: str, number: int, problem: str) -> InputError:
    return InputError(f"{name}, line {number}: {problem}", word="input.not_results")
