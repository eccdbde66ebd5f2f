"""What surrounds the command: readers that leave and folders that go away."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import results_files
from tests.clips import encode
from tests.commands import ROOT, call, command, pipeline
from tests.graphs import TOYS

pytestmark = pytest.mark.slow

LOOK_UP = [
    "--help",
    "--version",
    "help",
    "help tools",
    "run --help",
    "pipelines --help",
    "pipelines list",
    "pipelines list --json",
    "pipelines show line_counting",
    "pipelines show line_counting --format json",
    "pipelines show line_counting --format mermaid",
    "pipelines validate codes",
    "pipelines schema",
    "schema",
    "schema line",
    "tools list",
    "tools list --json",
    "tools show zones.line",
    "tools show zones.line --json",
    "--show-completion bash",
]
WITH_FILES = [
    "probe clip.mp4",
    "probe --json clip.mp4",
    "run -q -p codes --max-frames 2 clip.mp4",
    "run -q -p codes --dry-run clip.mp4",
    "summary codes.jsonl",
    "summary --json codes.jsonl",
    "diff codes.jsonl codes.jsonl",
    "diff --json codes.jsonl codes.jsonl",
    "ranges codes.jsonl --where codes.count>0",
    "ranges codes.jsonl --where codes.count>0 --format csv",
    "ranges codes.jsonl --where codes.count>0 --format vtt",
    "convert codes.jsonl --to csv -o -",
    "report codes.jsonl -o -",
]
COMMANDS = [*LOOK_UP, *WITH_FILES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("work")
    encode(made / "clip.mp4", indices=range(4))
    shutil.copy(results_files.codes(), made / "codes.jsonl")
    return made


@dataclass(frozen=True)
class Left:
    """A command whose readers left."""

    code: int
    out: bytes
    err: bytes


def without_readers(arguments: Sequence[str], *, of: str, cwd: Path) -> Left:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=writer if "out" in of else subprocess.PIPE,
        stderr=writer if "err" in of else subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    os.close(writer)
    return Left(done.returncode, done.stdout or b"", done.stderr or b"")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_whose_reader_left_ends_silently_with_141(folder: Path, line: str) -> None:
    done = without_readers(command(*line.split()), of="out", cwd=folder)
    assert (done.code, done.err) == (141, b"")


@pytest.mark.parametrize("line", ["--help", "pipelines list", "summary codes.jsonl", "probe clip.mp4"])
def test_it_does_so_too_where_nobody_reads_the_errors(folder: Path, line: str) -> None:
    assert without_readers(command(*line.split()), of="out and err", cwd=folder).code == 141


@pytest.mark.parametrize("progress", ["never", "json", "always"])
@pytest.mark.parametrize("watched", [[], ["--isolate"]])
def test_a_run_goes_on_when_nobody_reads_what_it_says(
    folder: Path, tmp_path: Path, progress: str, watched: list[str]
) -> None:
    path = pipeline(tmp_path, ["tells"])
    arguments = command("run", "-p", path, "--plugins-dir", TOYS, "--progress", progress, *watched, "clip.mp4")
    expected = call(arguments, cwd=folder)
    assert expected.code == 0
    assert "chatter" in expected.err
    done = without_readers(arguments, of="err", cwd=folder)
    assert (done.code, done.out) == (0, expected.out)


def in_a_deleted_folder(arguments: Sequence[str], gone: Path) -> tuple[int, bytes, str]:
    gone.mkdir()
    done = call(list(arguments), shell=f'cd "{gone}" && rmdir "{gone}" && exec "$@"')
    return done.code, done.out, done.err


@pytest.mark.parametrize("line", [line for line in LOOK_UP if line != "--show-completion bash"])
def test_a_deleted_working_folder_is_no_reason_to_fail_for_what_needs_none(tmp_path: Path, line: str) -> None:
    code, out, err = in_a_deleted_folder(command(*line.split()), tmp_path / "gone")
    assert (code, err) == (0, "")
    assert out


@pytest.mark.parametrize("line", WITH_FILES)
def test_files_with_a_full_path_are_found_from_a_deleted_working_folder(
    folder: Path, tmp_path: Path, line: str
) -> None:
    words = [str(folder / word) if (folder / word).exists() else word for word in line.split()]
    code, out, _ = in_a_deleted_folder(command(*words), tmp_path / "gone")
    assert code == 0
    assert out


@pytest.mark.parametrize(
    ("line", "code"),
    [
        *[(line, 3) for line in WITH_FILES],
        ("run -p codes clip.mp4 -o o.jsonl", 3),
        ("run -p codes {clip} -o o.jsonl", 2),
        ("run -p codes {clip} --record r.json", 2),
        ("run -p codes --plugins-dir plugins {clip}", 2),
        ("run -p objects --set detect.model=m.onnx {clip}", 2),
        ("run -p p.json {clip}", 2),
        ("convert {results} -o o.csv", 2),
        ("report {results} -o o.html", 2),
        ("check", 2),
        ("check s.videodag.toml", 2),
        ("check --add s.videodag.toml {clip} -p codes", 2),
    ],
)
def test_a_deleted_working_folder_is_named_where_it_is_needed(
    folder: Path, tmp_path: Path, line: str, code: int
) -> None:
    line = line.format(clip=folder / "clip.mp4", results=folder / "codes.jsonl")
    found, _, err = in_a_deleted_folder(command(*line.split()), tmp_path / "gone")
    assert found == code
    assert "the working directory no longer exists" in err
    assert "standard output" not in err
