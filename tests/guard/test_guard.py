"""Limits kept by a parent process: it ends what cannot end itself, blames the right frame, and leaves nobody behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.clips import encode
from tests.commands import Done, finish, pipeline, quick, run_arguments, start
from tests.graphs import node
from videodag_cli.guard.board import Board

pytestmark = pytest.mark.slow

FRAMES = 24
ISOLATED = ("--isolate", "--node-timeout", "1.5")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES))


def failures(done: Done, output: Path | None = None) -> dict[int, str]:
    """Frame -> type of error."""
    text = done.out if output is None else output.read_bytes()
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert [line["frame_index"] for line in lines] == list(range(FRAMES))
    return {line["frame_index"]: line["error"]["type"] for line in lines if line["result"] is None}


def run(clip: Path, folder: Path, nodes: Any, *more: str | Path) -> Done:
    return quick(run_arguments(clip, pipeline(folder, nodes), "-q", *more))


def alive(text: str) -> list[int]:
    """Processes whose command line holds this text, apart from this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if text.encode() in line and state != "Z":
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize("tool", ["stateless", "batches", "kept", "replayed"])
def test_a_crash_costs_the_frame_that_crashed(clip: Path, tmp_path: Path, tool: str) -> None:
    output = tmp_path / "o.jsonl"
    nodes = [node(f"bad:hostile.{tool}", kind="crash", at=[5, 16]), "counter"]
    done = run(clip, tmp_path, nodes, "--isolate", "-o", output, "--checkpoint-every", "0")
    assert (done.code, done.word) == (4, "run.incomplete")
    assert failures(done, output) == {5: "Crash", 16: "Crash"}
    errors = orjson.loads((tmp_path / "o.jsonl.run.json").read_bytes())["errors"]
    assert errors[0]["message"] == "the process died (SIGSEGV)"
    assert [error["frame_index"] for error in errors] == [5, 16]
    results = [orjson.loads(line)["result"] for line in output.read_bytes().splitlines()]
    assert all(result is None or result["counter"] == i + 1 for i, result in enumerate(results))


@pytest.mark.parametrize(("tool", "kind"), [("stateless", "regex"), ("batches", "c_hang")])
def test_a_call_that_hangs_costs_its_frame(clip: Path, tmp_path: Path, tool: str, kind: str) -> None:
    done = run(clip, tmp_path, [node(f"hostile.{tool}", kind=kind, at=[9]), "mean"], *ISOLATED)
    assert (done.code, done.word) == (4, "run.incomplete")
    assert failures(done) == {9: "Timeout"}


def test_a_crash_on_the_first_frame_of_a_list_writes_one_document(clip: Path, tmp_path: Path) -> None:
    record = tmp_path / "r.json"
    nodes = [node("hostile.stateless", kind="c_exit", at=[0, 3])]
    done = run(clip, tmp_path, nodes, "--isolate", "--format", "list", "--record", record)
    found = orjson.loads(done.out)["results"]
    assert [line["frame_index"] for line in found if line["result"] is None] == [0, 3]
    assert len(found) == FRAMES
    accounting = orjson.loads(record.read_bytes())
    assert [error["frame_index"] for error in accounting["errors"]] == [0, 3]
    assert accounting["accounting"]["undecodable"] == 0


def test_only_so_many_crashes_are_survived(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.jsonl"
    nodes = [node("hostile.stateless", kind="crash", at=[2, 5])]
    done = run(clip, tmp_path, nodes, "--isolate", "--max-errors", "1", "-o", output)
    assert (done.code, done.word) == (7, "stopped.max_errors")
    assert "frame 5 in node 'stateless'" in done.error
    assert run(clip, tmp_path, nodes, "--isolate", "-o", output).code == 4
    assert failures(done, output) == {2: "Crash", 5: "Crash"}


@pytest.mark.parametrize(
    ("kind", "limit", "word", "text"),
    [
        ("regex", ("--node-timeout", "1.5"), "stopped.timeout", "frame 7 in node 'bad' (hostile.stateless)"),
        ("c_hang", ("--timeout", "4"), "stopped.timeout", "took longer than --timeout 4 s"),
        ("memory", ("--max-memory", "400M"), "stopped.memory", "more than --max-memory 400 MiB"),
        ("crash", ("--timeout", "60"), "stopped.crash", "the process died (SIGSEGV)"),
    ],
)
def test_a_limit_ends_the_run_which_can_be_continued(
    clip: Path, tmp_path: Path, kind: str, limit: tuple[str, str], word: str, text: str
) -> None:
    output = tmp_path / "o.jsonl"
    nodes = [node("bad:hostile.stateless", kind=kind, at=[7], once=str(tmp_path / "once")), "counter"]
    done = run(clip, tmp_path, nodes, *limit, "-o", output)
    assert (done.code, done.word) == (7, word)
    assert text in done.error
    assert not output.exists()
    assert alive(str(tmp_path)) == []
    assert run(clip, tmp_path, nodes, "-o", output).code == 0
    assert failures(done, output) == {}
    assert orjson.loads(output.read_bytes().splitlines()[-1])["result"]["counter"] == FRAMES


def test_limits_that_are_kept_change_nothing(clip: Path, tmp_path: Path) -> None:
    nodes = ["mean", "counter", node("hostile.stateless", at=[3])]
    limits = ("--timeout", "60", "--node-timeout", "20", "--max-memory", "8G", "--isolate")
    plain, limited = run(clip, tmp_path, nodes), run(clip, tmp_path, nodes, *limits)
    assert (plain.code, plain.out, plain.err) == (limited.code, limited.out, limited.err)


def test_a_usage_error_of_a_watched_run_is_one_line(clip: Path, tmp_path: Path) -> None:
    done = run(clip, tmp_path, ["mean"], "--timeout", "60", "--frame-stride", "0")
    assert (done.code, done.word) == (2, "usage")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nobody_is_left_behind_when_the_parent_ends(clip: Path, tmp_path: Path, number: signal.Signals) -> None:
    once = tmp_path / "once"
    nodes: list[Any] = [node("hostile.stateless", kind="c_hang", at=[7], once=str(once)), "mean"]
    process = start(run_arguments(clip, pipeline(tmp_path, nodes), "--timeout", "60", "-o", tmp_path / "o.jsonl"))
    while not once.exists():
        time.sleep(0.01)
    process.send_signal(number)
    done = finish(process, timeout_s=15)
    assert done.code == {signal.SIGINT: 130, signal.SIGKILL: -9}[number]
    end = time.monotonic() + 10
    while alive(str(tmp_path)) and time.monotonic() < end:
        time.sleep(0.05)
    assert alive(str(tmp_path)) == []
    assert run(clip, tmp_path, nodes, "-o", tmp_path / "o.jsonl").code == 0


def test_the_board_shows_calls_that_have_not_returned() -> None:
    board = Board.create()
    board.name_nodes([("a", "toys.a"), ("b", "toys.b")])
    board.enter(1, 7)
    other = Board(os.dup(board.fd))
    (call,) = other.activities()
    assert (call.node, call.tool, call.frame_index) == ("b", "toys.b", 7)
    board.leave()
    assert other.activities() == []
    assert not other.finished
    board.finish()
    assert other.finished
    other.close()
    board.close()


def test_a_board_holds_the_names_of_a_very_large_pipeline() -> None:
    board = Board.create()
    board.name_nodes([(f"node_{i}" * 20, "toys.mean") for i in range(5000)])
    board.enter(4999, 1)
    board.enter(0, 1)
    (call,) = board.activities()
    assert call.node.startswith("node_0")
    board.close()
