"""Suites of regression checks, `*.videodag.toml`: which clip, which pipeline, what is expected.

    [[case]]
    name = "pedestrians-people"
    clip = "../clips/pedestrians.mp4"
    pipeline = "people"
    sampling = { frame_stride = 5 }
    set = { "detect.confidence" = 0.5 }
    expected = "street/pedestrians-people.jsonl"
    tolerance = { people = { iou = 0.6 } }
    assert = ["people.count >= 1 for 3s"]

All paths are relative to the suite's folder.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from videodag_cli.compare.tolerance import Tolerances
from videodag_cli.errors import RequestError, printable
from videodag_cli.expressions.assertions import parse_assertion
from videodag_cli.video.decoders import Decoder
from videodag_cli.video.sampling_options import SamplingOptions

if TYPE_CHECKING:
    from videodag_cli.video.sampling import Sampling

SUFFIX = ".videodag.toml"
SCHEMA = "videodag.suite/1"
MAX_BYTES = 4 << 20


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class CaseTable(_Model):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    clip: Annotated[str, Field(min_length=1)]
    pipeline: Annotated[str, Field(min_length=1, description="An id, builtin:ID, or a .json file.")]
    sampling: SamplingOptions = SamplingOptions()
    set_: dict[str, Any] = Field(default={}, alias="set", description="NODE.PARAM = value")
    decoder: Decoder = "auto"
    expected: str | None = Field(
        default=None, description="Results file to compare with; without one only assertions count."
    )
    tolerance: dict[str, dict[str, Any]] = Field(default={}, description='Per output, or "*" for all.')
    assert_: tuple[str, ...] = Field(default=(), alias="assert", description="Expressions that must hold.")


class SuiteTable(_Model):
    """The file as a whole; `SuiteTable.model_json_schema()` is its JSON Schema."""

    schema_: Literal["videodag.suite/1"] = Field(default="videodag.suite/1", alias="schema")
    pipelines_dirs: tuple[str, ...] = ()
    plugins_dirs: tuple[str, ...] = ()
    tolerance: dict[str, dict[str, Any]] = Field(
        default={}, description="For all cases; a case's own table comes on top."
    )
    case: tuple[CaseTable, ...] = ()


@dataclass(frozen=True)
class Case:
    """One clip through one pipeline, and what is expected of it; paths are resolved, texts are checked."""

    suite: Path
    name: str
    clip: Path
    pipeline: str
    sampling: Sampling
    set_params: Mapping[str, Mapping[str, Any]]
    decoder: str
    expected: Path | None
    tolerances: Tolerances
    assertions: tuple[str, ...]
    pipelines_dirs: tuple[Path, ...]
    plugins_dirs: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """What the suite's paths are relative to."""
        return self.suite.parent

    @property
    def id(self) -> str:
        return f"{self.suite}::{self.name}"


def load_suite(path: Path) -> list[Case]:
    """The cases of a suite, one at least, checked. Raises RequestError (`suite.invalid`)."""
    cases = _cases(path, _parse(path, _read(path)))
    if not cases:
        raise _bad(path, "has no [[case]]")
    return cases


def find_suites(folder: Path) -> list[Path]:
    """All suites below a folder, sorted; hidden folders and virtual environments are left out."""
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_skipped(Path(root, name))]
        found += [Path(root, name) for name in files if name.endswith(SUFFIX) and name != SUFFIX]
    return sorted(found)


def chosen_suites(named: Iterable[Path]) -> list[Path]:
    """The suites a user names, folders searched; without any, those below the working directory. Raises RequestError for none."""
    suites: list[Path] = []
    places = list(named) or [Path()]
    for place in places:
        below = find_suites(place) if place.is_dir() else [place]
        if not below:
            where = "the working directory" if place == Path() else printable(place)
            raise RequestError(
                f"there is no *{SUFFIX} below {where}; `videodag check --add` makes one", word="suite.invalid"
            )
        suites += below
    return list(dict.fromkeys(suites))


def _is_skipped(folder: Path) -> bool:
    return (
        folder.name.startswith(".")
        or folder.name in {"node_modules", "__pycache__"}
        or (folder / "pyvenv.cfg").exists()
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _bad(path, f"is larger than {MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _bad(path, "there is no such suite") from error
    except (OSError, ValueError) as error:
        raise _bad(path, f"cannot be read: {getattr(error, 'strerror', None) or printable(error)}") from error


def _parse(path: Path, data: bytes) -> SuiteTable:
    try:
        return SuiteTable.model_validate(tomllib.loads(data.decode()))
    except ValidationError as error:
        problems = [
            f"{'.'.join(printable(part, limit=60) for part in item['loc'])}: {printable(item['msg'], limit=160)}"
            for item in error.errors()[:5]
        ]
        raise _bad(path, "; ".join(problems)) from error
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8
        raise _bad(path, f"is not TOML: {printable(error, limit=160)}") from error


def case_table(values: Mapping[str, Any]) -> CaseTable:
    """A new case. Raises RequestError."""
    try:
        return CaseTable.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(printable(part, limit=60) for part in first["loc"])
        raise RequestError(f"{where}: {printable(first['msg'], limit=160)}") from error


def _cases(path: Path, table: SuiteTable) -> list[Case]:
    names: set[str] = set()
    cases = []
    for case in table.case:
        if case.name in names:
            raise _bad(path, f"two cases are called {printable(case.name)!r}")
        names.add(case.name)
        try:
            cases.append(_case(path, table, case))
        except RequestError as error:
            raise _bad(path, f"case {printable(case.name)!r}: {error.message}") from error
    return cases


def _case(path: Path, table: SuiteTable, case: CaseTable) -> Case:
    if case.expected is None and not case.assert_:
        raise RequestError("nothing is checked: give an expected file, or assertions")
    for text in case.assert_:
        parse_assertion(text)
    folder = path.parent
    is_file = case.pipeline.endswith(".json")
    return Case(
        suite=path,
        name=case.name,
        clip=folder / case.clip,
        pipeline=str(folder / case.pipeline) if is_file else case.pipeline,
        sampling=case.sampling.sampling(),
        set_params=_set_params(case.set_),
        decoder=case.decoder,
        expected=None if case.expected is None else folder / case.expected,
        tolerances=Tolerances.of(case.tolerance, Tolerances.of(table.tolerance)),
        assertions=case.assert_,
        pipelines_dirs=tuple(folder / name for name in table.pipelines_dirs),
        plugins_dirs=tuple(folder / name for name in table.plugins_dirs),
    )


def _set_params(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    params: dict[str, dict[str, Any]] = {}
    for place, value in given.items():
        node, dot, name = place.rpartition(".")
        if not (dot and node and name):
            raise RequestError(
                f'set: {printable(place)!r} is not NODE.PARAM; write set = {{ "detect.confidence" = 0.5 }}'
            )
        params.setdefault(node, {})[name] = value
    return params


def _bad(path: Path, problem: str) -> RequestError:
    return RequestError(f"suite {printable(path)}: {problem}", word="suite.invalid")


# Adding a case


def appended(path: Path, case: CaseTable) -> bytes:
    """The suite's new content with this case at its end; what was there stays as it is. Raises RequestError."""
    old = _read(path) if path.exists() else b""
    gap = b"" if not old else b"\n" if old.endswith(b"\n") else b"\n\n"
    new = old + gap + "\n".join(_case_lines(case)).encode() + b"\n"
    _cases(path, _parse(path, new))
    return new


def case_of(path: Path, content: bytes, name: str) -> Case:
    """One case of a suite's content. Raises RequestError."""
    return next(case for case in _cases(path, _parse(path, content)) if case.name == name)


def free_name(path: Path, wanted: str, *, exact: bool) -> str:
    """`wanted`, or where that is taken and not asked for exactly, with a number behind it. Raises RequestError."""
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise _bad(path, f"the name of a suite ends in {SUFFIX}")
    taken = {case.name for case in _parse(path, _read(path)).case} if path.exists() else set()

    def is_free(name: str) -> bool:
        return name not in taken and not (path.parent / golden_name(path, name)).exists()

    if exact and not is_free(wanted):
        raise _bad(path, f"there is a case or an expected result called {printable(wanted)!r} already")
    names = (wanted if number == 1 else f"{wanted}-{number}" for number in itertools.count(1))
    return next(name for name in names if is_free(name))


def golden_name(path: Path, name: str) -> str:
    """Where the expected result of a case goes, relative to the suite."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "case"
    return f"{path.name.removesuffix(SUFFIX)}/{slug}.jsonl"


def _case_lines(case: CaseTable) -> Iterator[str]:
    yield "[[case]]"
    for key, value in case.model_dump(by_alias=True, exclude_defaults=True).items():
        yield f"{key} = {_toml(value)}"


def _toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{value:+f}"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped and JSON leaves.
        return orjson.dumps(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = [f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    raise RequestError(f"{printable(value, limit=60)!r} cannot be written into a suite")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)
