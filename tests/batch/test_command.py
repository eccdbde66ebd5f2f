"""`run` over many videos, as a user runs it: what is printed, exit codes, and that it can be stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.commands import Done, command, finish, pipeline, quick, start
from tests.graphs import TOYS, node

pytestmark = pytest.mark.slow


def arguments(folder: Path, nodes: list[Any], *more: str | Path) -> list[str]:
    path = pipeline(folder, nodes, id="p")
    return command("run", "-p", path, "--plugins-dir", TOYS, "--output-dir", folder / "out", *more)


def run(folder: Path, nodes: list[Any], *more: str | Path) -> Done:
    return quick(arguments(folder, nodes, *more))


def test_the_table_says_what_became_of_the_videos(tmp_path: Path, videos: Path) -> None:
    for name in ("x.mkv", "cam/y.AVI", "z.mkv"):
        (videos / name).touch()
    done = run(tmp_path, ["mean"], videos)
    assert (done.code, done.word, done.out) == (4, "run.incomplete", b"")
    assert "3 to run; --jobs" in done.err
    table = done.err[done.err.index("3 videos in") :].splitlines()
    assert table[1].split() == ["done", "2"]
    assert table[2].split() == ["failed", "1"]
    assert table[3].split() == ["frames", "24"]
    assert "  not MP4/MOV: 3 (.mkv 2, .avi 1)" in table
    (row,) = (line for line in table if line.startswith("  failed ["))
    assert row.startswith(f"  failed [input.not_mp4]: {videos / 'text.mp4'}: ")
    assert row.count("text.mp4") == 1
    assert done.error.count("text.mp4") == 1
    again = run(tmp_path, ["mean"], "--accept-known", "--json", videos)
    assert (again.code, "up to date  2" in again.err) == (0, True)
    assert orjson.loads(again.out) == orjson.loads((tmp_path / "out" / "batch.json").read_bytes())


def test_nothing_but_the_error_is_said_when_quiet(tmp_path: Path, videos: Path) -> None:
    done = run(tmp_path, ["mean"], "--quiet", videos)
    assert done.err.splitlines() == [done.error]
    (videos / "text.mp4").unlink()
    assert run(tmp_path, ["mean"], "--quiet", videos).err == ""


def test_progress_for_machines_goes_from_nothing_to_all(tmp_path: Path, videos: Path) -> None:
    done = run(tmp_path, ["mean"], "--progress", "json", "-q", videos)
    told = [orjson.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert (told[0]["done"], told[0]["total"], told[-1]["done"]) == (0, 3, 3)
    assert {line["ended"]["status"] for line in told if "ended" in line} == {"done", "failed"}


@pytest.mark.parametrize(("kind", "limits"), [("sleep", ()), ("c_hang", ("--timeout", "600"))])
def test_ctrl_c_stops_everything_and_the_same_command_finishes(
    tmp_path: Path, videos: Path, kind: str, limits: tuple[str, ...]
) -> None:
    (videos / "text.mp4").unlink()
    once = tmp_path / "once"
    nodes = [node("hostile.stateless", at=[7], kind=kind, once=str(once)), "counter"]
    process = start(arguments(tmp_path, nodes, "--jobs", "1", *limits, videos))
    while not once.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert (done.code, done.word) == (130, "stopped.signal")
    orjson.loads((tmp_path / "out" / "batch.json").read_bytes())
    assert (tmp_path / "out" / "a.mp4.p.jsonl.part").exists()
    assert quick(command("status", tmp_path / "out")).code == 4
    until = time.monotonic() + 30  # what was killed has yet to go, on a machine that is busy
    while (again := run(tmp_path, nodes, *limits, videos)).code == 6 and time.monotonic() < until:
        time.sleep(0.1)
    assert again.code == 0, again.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == [
        "a.mp4.p.jsonl",
        "a.mp4.p.jsonl.run.json",
        "batch.json",
    ]


def test_a_second_batch_in_the_same_folder_is_refused_in_one_line(tmp_path: Path, videos: Path) -> None:
    once = tmp_path / "once"
    nodes = [node("hostile.stateless", at=[7], kind="sleep", once=str(once))]
    first = start(arguments(tmp_path, nodes, videos))
    while not once.exists() and first.poll() is None:
        time.sleep(0.01)
    second = run(tmp_path, nodes, "--quiet", videos)
    first.send_signal(signal.SIGTERM)
    assert finish(first).code == 143
    assert (second.code, second.word, second.err.count("\n")) == (6, "output.locked", 1)


def test_a_listed_dry_run_writes_nothing(tmp_path: Path, videos: Path) -> None:
    done = run(tmp_path, ["mean"], "--dry-run", videos)
    rows = {os.path.basename(row["video"]): row for row in orjson.loads(done.out)["videos"]}
    assert (rows["a.mp4"]["action"], rows["a.mp4"]["frames"], rows["a.mp4"]["decoder"]) == ("run", 12, "pyav")
    assert rows["text.mp4"]["error"]["word"] == "input.not_mp4"
    assert not (tmp_path / "out").exists()


def test_a_video_of_another_kind_is_refused_with_the_command_that_converts_it(tmp_path: Path, videos: Path) -> None:
    (videos / "x.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(60))
    done = run(tmp_path, ["mean"], videos / "x.mkv", videos / "a.mp4")
    assert done.code == 4
    assert "ffmpeg -i" in done.error
    assert "-c copy" in done.error


@pytest.mark.parametrize("room", [16 << 10, 40 << 10])
def test_on_a_full_disk_no_video_is_called_running(tmp_path: Path, videos: Path, small_disk: Path, room: int) -> None:
    for name in ("c", "d"):
        (videos / f"{name}.mp4").write_bytes((videos / "a.mp4").read_bytes())
    path = pipeline(tmp_path, [node("hostile.long", length=3000)], id="p")
    out, ballast = small_disk / "out", small_disk / "ballast"
    line = command("run", "-p", path, "--plugins-dir", TOYS, "--output-dir", out, "-j", "2", "-q", "--json", videos)
    ballast.write_bytes(bytes((256 << 10) - room))
    done = quick(line)
    assert (done.code, done.word, done.err.count("\n")) == (6, "output.full", 1)
    ledger = orjson.loads(done.out)
    assert ledger["status"] == "interrupted"
    if (out / "batch.json").exists():  # the videos may have left no room for it at all; then it is gone
        assert orjson.loads((out / "batch.json").read_bytes()) == ledger
    for outcome in ledger["videos"]:
        finished, begun = (out / outcome["output"]).exists(), (out / f"{outcome['output']}.part").exists()
        assert (outcome["status"] == "done") == finished, outcome
        assert outcome["status"] not in ("running", "waiting", *(("not_run", "done") if begun else ())), outcome
    assert not [*small_disk.rglob("*.tmp"), *small_disk.rglob("*.room")]
    ballast.unlink()
    (videos / "text.mp4").unlink()
    assert quick(line).code == 0


def test_status_tells_a_batch_that_runs_from_one_that_was_killed(tmp_path: Path, videos: Path) -> None:
    once = tmp_path / "once"
    process = start(
        arguments(tmp_path, [node("hostile.stateless", at=[7], kind="sleep", once=str(once))], "--jobs", "1", videos)
    )
    while not once.exists() and process.poll() is None:
        time.sleep(0.01)

    def told() -> Any:
        return orjson.loads(quick(command("status", "--json", tmp_path / "out")).out)

    assert (running := told())["batch"] == "running"
    assert running["counts"]["not_run"] == 0
    process.kill()
    finish(process)
    assert orjson.loads((tmp_path / "out" / "batch.json").read_bytes())["status"] == "running"
    assert told()["batch"] == "killed"
    assert told()["counts"]["not_run"] == 2
    assert "the last batch was killed" in quick(command("status", tmp_path / "out")).out.decode()
