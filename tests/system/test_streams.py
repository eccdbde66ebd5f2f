"""Standard streams, closed, full, slow or gone; small limits and bare environments: the documented code, one line, nothing lost."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from pathlib import Path

import orjson
import pytest

from tests.clips import encode
from tests.commands import call, finish, pipeline, run_arguments, start
from tests.graphs import node

pytestmark = pytest.mark.slow

FRAMES = 24


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES))


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipeline(tmp_path_factory.mktemp("pipelines"), ["index"], id="toys")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "o.jsonl"


def lines_of(path: Path) -> list[int]:
    return [orjson.loads(line)["frame_index"] for line in path.read_bytes().splitlines()]


ALL = list(range(FRAMES))


def test_what_tools_print_goes_to_standard_error(clip: Path, tmp_path: Path) -> None:
    done = call(run_arguments(clip, pipeline(tmp_path, ["prints"])))
    assert done.code == 0
    assert [line["frame_index"] for line in done.lines] == ALL
    assert done.err.count("chatter from below") == FRAMES
    assert "chatter\n" in done.err
    assert b"chatter" not in done.out


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_never_mistaken_for_the_output(
    clip: Path, tmp_path: Path, output: Path, closed: str
) -> None:
    path = pipeline(tmp_path, ["prints"])
    done = call(run_arguments(clip, path, "-o", output), shell=f'exec "$@" {closed}')
    assert done.code == 0
    assert lines_of(output) == ALL


def test_lines_for_a_closed_standard_output_are_an_error(clip: Path, toys: Path) -> None:
    done = call(run_arguments(clip, toys), shell='exec "$@" >&-')
    assert (done.code, done.word) == (6, "output.failed")


def test_a_reader_that_leaves_ends_the_run_quietly(clip: Path, tmp_path: Path) -> None:
    path = pipeline(tmp_path, [node("hostile.long", length=100_000)])
    done = call(run_arguments(clip, path, "-q"), shell='{ "$@"; echo $? >&2; } | head -n 3 | wc -l')
    assert (done.out.split(), done.err) == ([b"3"], "141\n")


def test_a_slow_reader_gets_every_line(clip: Path, tmp_path: Path) -> None:
    path = pipeline(tmp_path, [node("hostile.long", length=20_000)])
    process = start(run_arguments(clip, path))
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), True)
    read = b""
    while block := os.read(process.stdout.fileno(), 30_000):
        read += block
        time.sleep(0.01)
    assert finish(process).code == 0
    assert [orjson.loads(line)["frame_index"] for line in read.splitlines()] == ALL


def test_a_pipe_that_does_not_block_loses_nothing(clip: Path, tmp_path: Path) -> None:
    path = pipeline(tmp_path, [node("hostile.long", length=50_000)])
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = start(run_arguments(clip, path), stdout=writer)
    os.close(writer)
    read = b""
    while block := os.read(reader, 1 << 16):
        read += block
    os.close(reader)
    assert finish(process).code == 0
    assert [orjson.loads(line)["frame_index"] for line in read.splitlines()] == ALL


def test_a_full_standard_output_is_an_error(clip: Path, toys: Path) -> None:
    done = call(run_arguments(clip, toys, "-q"), shell='exec "$@" > /dev/full')
    assert (done.code, done.word) == (6, "output.full")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "-"])
def test_standard_output_may_be_named(clip: Path, toys: Path, output: Path, name: str) -> None:
    done = call(run_arguments(clip, toys, "-o", name), shell=f'exec "$@" > {output}')
    assert done.code == 0
    assert lines_of(output) == ALL


def test_a_named_pipe_is_written_straight(clip: Path, toys: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start(run_arguments(clip, toys, "-o", pipe))
    with open(pipe, "rb") as reader:
        assert len(reader.read().splitlines()) == FRAMES
    assert finish(process).code == 0
    assert pipe.is_fifo()


@pytest.mark.parametrize("device", ["/dev/null", "/dev/stderr"])
def test_a_device_stays_a_device(clip: Path, toys: Path, device: str) -> None:
    before = os.stat(device).st_rdev
    done = call(run_arguments(clip, toys, "-q", "-o", device, "--record", "/dev/null"))
    assert done.code == 0
    assert os.stat(device).st_rdev == before
    assert done.err.count("\n") == (FRAMES if device == "/dev/stderr" else 0)


def test_a_run_leaves_the_lines_of_the_loop_it_is_in(clip: Path, toys: Path) -> None:
    script = 'printf "1\\n2\\n3\\n" | while read line; do "$@" > /dev/null; echo $line; done'
    assert call(run_arguments(clip, toys, "-q", "--max-frames", "1"), shell=script).out == b"1\n2\n3\n"


def test_two_runs_at_once_never_share_an_output(clip: Path, tmp_path: Path, output: Path) -> None:
    path = pipeline(tmp_path, [node("hostile.slow", sleep_s=0.05)])
    arguments = run_arguments(clip, path, "-o", output, "-q")
    both = [finish(process) for process in [start(arguments), start(arguments)]]
    assert sorted(done.code for done in both) in ([0, 6], [0, 0])
    assert {done.word for done in both if done.code} <= {"output.locked"}
    assert lines_of(output) == ALL
    assert {found.name for found in tmp_path.glob("o.jsonl*")} == {"o.jsonl", "o.jsonl.run.json"}


def test_the_output_is_locked_at_once(clip: Path, toys: Path, output: Path) -> None:
    with open(output.with_name("o.jsonl.part"), "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = call(run_arguments(clip, toys, "-q", "-o", output))
    assert (done.code, done.word) == (6, "output.locked")


def test_a_full_disk_loses_nothing(clip: Path, tmp_path: Path, small_disk: Path) -> None:
    path = pipeline(tmp_path, [node("hostile.long", length=9_000), "counter"])
    reference, output = tmp_path / "reference.jsonl", small_disk / "o.jsonl"
    assert call(run_arguments(clip, path, "-o", reference)).code == 0
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 150_000)
    arguments = run_arguments(clip, path, "-q", "-o", output, "--checkpoint-every", "0")
    done = call(arguments)
    assert (done.code, done.word) == (6, "output.full")
    assert done.err.count("\n") == 1
    kept = output.with_name("o.jsonl.part").read_bytes()
    assert kept.endswith(b"\n")
    ballast.unlink()
    assert call(arguments).code == 0
    assert output.read_bytes() == reference.read_bytes()


def test_a_read_only_disk_is_refused(clip: Path, toys: Path, small_disk: Path) -> None:
    arguments = run_arguments(clip, toys, "-q", "-o", small_disk / "o.jsonl")
    assert call(arguments).code == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert call(arguments).code == 0  # up to date
    done = call(run_arguments(clip, toys, "-q", "-o", small_disk / "other.jsonl"))
    assert (done.code, done.word) == (6, "output.folder")
    done = call(run_arguments(clip, toys, "-q", "--record", small_disk / "r.json"))
    assert (done.code, done.word, done.out) == (6, "output.folder", b"")


LIMITS = {
    "few descriptors": ("ulimit -n 32", {0}),
    "small files": ("ulimit -f 1", {6}),
    "no core, no locks": ("ulimit -c 0", {0}),
    "little memory": ("ulimit -v 700000", {0, 2, 7}),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_small_limits_of_the_system_end_in_a_documented_code(
    clip: Path, tmp_path: Path, output: Path, limit: str
) -> None:
    path = pipeline(tmp_path, [node("hostile.long", length=2_000), "mean"])
    arguments = run_arguments(clip, path, "-q", "-o", output)
    script, codes = LIMITS[limit]
    done = call(arguments, shell=f'{script}; exec "$@"')
    assert done.code in codes, done.err
    assert done.err.count("\n") == (1 if done.code else 0)
    assert call(arguments).code == 0
    assert lines_of(output) == ALL


@pytest.mark.parametrize(
    "environment", [{}, {"LC_ALL": "C", "PATH": "/usr/bin"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}]
)
def test_bare_environments_work(clip: Path, toys: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    output = tmp_path / "é 🎥.jsonl"
    done = call(run_arguments(clip, toys, "-o", output, "--tag", "k=é"), env=environment)
    assert done.code == 0, done.err
    assert len(output.read_bytes().splitlines()) == FRAMES
    assert output.read_bytes().startswith('{"k":"é"'.encode())
