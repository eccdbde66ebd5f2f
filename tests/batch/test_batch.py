"""Many videos: each by the output rule, none stops the others, and what is known is not run again."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from tests.graphs import node
from videodag_cli.batch.api import Batch, run_batch
from videodag_cli.batch.executors.in_process import InProcess
from videodag_cli.batch.finding import FoundVideo
from videodag_cli.batch.holdings import holdings
from videodag_cli.batch.ledger import BatchRecord, read_ledger
from videodag_cli.cli.many import table
from videodag_cli.errors import OutputError, RequestError, StopSignal
from videodag_cli.run.execution import feed_lines
from videodag_cli.schemas import load_schema
from videodag_cli.system.locks import lock_folder

Make = Callable[..., Batch]


def run(batch: Batch) -> BatchRecord:
    records: list[BatchRecord] = []

    def ended() -> Iterator[object]:
        records.append((yield from run_batch(batch, executor=InProcess())))

    for _ in ended():
        pass
    return records[0]


def by_name(record: BatchRecord) -> dict[str, str]:
    return {Path(outcome.video).name: outcome.status for outcome in record.videos}


def test_one_bad_video_never_stops_the_others(batch: Make, tmp_path: Path) -> None:
    record = run(batch())
    assert by_name(record) == {"a.mp4": "done", "b.MOV": "done", "text.mp4": "failed"}
    assert record.exit_code == 4
    (bad,) = (outcome for outcome in record.videos if outcome.is_failure)
    assert bad.word == "input.not_mp4"
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()} == {
        "batch.json", "a.mp4.p0.jsonl", "a.mp4.p0.jsonl.run.json", "cam/b.MOV.p0.jsonl", "cam/b.MOV.p0.jsonl.run.json",
    }  # fmt: skip


def test_the_file_holds_what_the_batch_returned(batch: Make, tmp_path: Path) -> None:
    record = run(batch())
    assert read_ledger(tmp_path / "out" / "batch.json") == record
    raw = orjson.loads((tmp_path / "out" / "batch.json").read_bytes())
    Draft202012Validator(load_schema("batch")).validate(raw)
    assert raw["schema"] == "videodag.batch/1"
    assert raw["counts"] == {"done": 2, "failed": 1}


def test_what_is_no_readable_file_fails_alone(batch: Make, videos: Path, tmp_path: Path) -> None:
    (videos / "nowhere.mp4").symlink_to("gone.mp4")
    (videos / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(videos / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(videos / "socket.mp4"))
    for name in (b"not\xffutf8.mp4", b"two\nlines.mp4", b"n" * 240 + b".mp4"):
        os.link(videos / "a.mp4", os.path.join(os.fsencode(videos), name))
    made = batch()
    refused = FoundVideo(str(videos / "cam"), "cam", "in/cam: the folder cannot be read: permission denied")
    made = replace(made, outputs={**made.outputs, refused: (tmp_path / "out/cam.p0.jsonl",)})
    (videos / "a.mp4").rename(videos / "moved.mp4")
    record = run(made)
    assert {Path(outcome.video).name: outcome.word for outcome in record.videos} == {
        "a.mp4": "input.missing",
        "b.MOV": None,
        "cam": "input.unreadable",
        "loop.mp4": "input.unreadable",
        "n" * 240 + ".mp4": "output.failed",
        "not\\xffutf8.mp4": None,
        "nowhere.mp4": "input.missing",
        "pipe.mp4": "input.not_file",
        "socket.mp4": "input.not_file",
        "text.mp4": "input.not_mp4",
        "two\\nlines.mp4": None,
    }
    assert {o.status for o in record.videos if o.word is None} == {"done"}
    assert read_ledger(tmp_path / "out" / "batch.json") == record
    known = {Path(outcome.video).name for outcome in run(made).videos if outcome.known}
    assert known == {"cam", "pipe.mp4", "socket.mp4", "text.mp4"}


def test_a_second_run_opens_no_video(batch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run(batch())
    opened: list[object] = []
    monkeypatch.setattr("videodag_cli.batch.work.run_together", lambda *a, **k: opened.append(a))
    record = run(batch())
    assert by_name(record) == {"a.mp4": "up_to_date", "b.MOV": "up_to_date", "text.mp4": "failed"}
    assert [outcome.known for outcome in record.videos] == [False, True, False]
    assert not opened
    assert record.exit_code == 4
    assert run(batch(accept_known=True)).exit_code == 0


def test_only_a_changed_video_runs_again(batch: Make, videos: Path) -> None:
    run(batch())
    (videos / "text.mp4").write_text("still none")
    with open(videos / "a.mp4", "ab") as file:
        file.write(b"\0\0\0\x08free")
    record = run(batch())
    found = {Path(o.video).name: (o.status, o.known, o.word) for o in record.videos}
    assert found["a.mp4"] == ("failed", False, "output.exists")
    assert found["text.mp4"] == ("failed", False, "input.not_mp4")
    assert found["b.MOV"][0] == "up_to_date"
    assert record.exit_code == 6
    record = run(batch(run_options={"overwrite": True}))
    assert by_name(record)["a.mp4"] == "done"


def test_a_video_with_failed_frames_is_reported_apart_until_it_is_retried(batch: Make, videos: Path) -> None:
    (videos / "text.mp4").unlink()
    bad = [[node("hostile.stateless", at=[3])]]
    assert by_name(run(batch(bad))) == {"a.mp4": "damaged", "b.MOV": "damaged"}
    again = run(batch(bad))
    assert by_name(again) == {"a.mp4": "damaged", "b.MOV": "damaged"}
    assert all(outcome.known for outcome in again.videos)
    assert again.exit_code == 4
    assert run(batch(bad, accept_known=True)).exit_code == 0
    retried = run(batch(bad, retry_failed=True))
    assert [outcome.known for outcome in retried.videos] == [False, False]
    assert all(outcome.wall_time_s > 0 for outcome in retried.videos)


@pytest.mark.parametrize(("budget", "code"), [(1, 0), (0, 4), (0.34, 0), (0.3, 4)])
def test_failures_within_the_budget_leave_the_exit_code_alone(batch: Make, budget: float, code: int) -> None:
    assert run(batch(max_failed=budget)).exit_code == code


def test_a_video_that_still_grows_is_left_out(batch: Make, videos: Path) -> None:
    old = time.time() - 1000
    os.utime(videos / "a.mp4", (old, old))
    record = run(batch(settle_s=100))
    assert by_name(record) == {"a.mp4": "done", "b.MOV": "not_run", "text.mp4": "not_run"}
    assert record.exit_code == 0


def test_several_pipelines_have_an_output_each_and_fail_apart(batch: Make, tmp_path: Path) -> None:
    record = run(batch([["mean"], [node("hostile.stateless", at=[0])]]))
    found = {(Path(o.video).name, o.pipeline): o.status for o in record.videos}
    assert found["a.mp4", "p0"] == "done"
    assert found["a.mp4", "p1"] == "damaged"
    assert (tmp_path / "out" / "a.mp4.p0.jsonl").exists()


def test_an_assertion_that_breaks_names_its_videos(batch: Make, videos: Path) -> None:
    (videos / "text.mp4").unlink()
    record = run(batch(assertions=("always mean > 1000",)))
    assert {outcome.word for outcome in record.videos} == {"check.assertion"}
    assert record.exit_code == 5
    assert run(batch(assertions=("always mean > 1000",))).exit_code == 5
    assert run(batch()).exit_code == 0


def test_a_signal_leaves_one_video_interrupted_and_the_rest_not_run(
    batch: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(task: Any, on_progress: Any) -> None:
        on_progress(3, 12)
        raise StopSignal(signal.SIGINT)

    monkeypatch.setattr("videodag_cli.batch.executors.in_process.run_guarded", stop)
    made = batch()
    with pytest.raises(StopSignal):
        run(made)
    record = read_ledger(tmp_path / "out" / "batch.json")
    assert record is not None
    assert (record.status, by_name(record)) == (
        "interrupted",
        {"a.mp4": "interrupted", "b.MOV": "not_run", "text.mp4": "not_run"},
    )
    assert list(table(record, made, 1.0))[1:3] == ["  interrupted  1", "  not run      2"]


def test_what_was_judged_before_is_not_read_again(
    batch: Make, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (videos / "text.mp4").unlink()
    holding, breaking = "always mean >= 0", "always mean > 1000"
    read: list[str] = []

    def count(assertions: Any, path: Path, sink: Any) -> None:
        read.append(path.name)
        feed_lines(assertions, path, sink)

    monkeypatch.setattr("videodag_cli.run.api.feed_lines", count)
    assert run(batch(assertions=(breaking, holding))).exit_code == 5
    record = run(batch(assertions=(holding, breaking)))
    assert (record.exit_code, {(o.status, o.word, o.known) for o in record.videos}) == (
        5,
        {("up_to_date", "check.assertion", True)},
    )
    assert run(batch(assertions=(holding,))).exit_code == 0
    assert not read
    new = ("ever mean > 1000", holding)
    messages = {outcome.message for outcome in run(batch(assertions=new)).videos}
    assert sorted(read) == ["a.mp4.p0.jsonl", "b.MOV.p0.jsonl"]
    assert {outcome.message for outcome in run(batch(assertions=new)).videos} == messages
    assert len(read) == 2
    (tmp_path / "out" / "a.mp4.p0.jsonl").write_bytes((tmp_path / "out" / "a.mp4.p0.jsonl").read_bytes())
    run(batch(assertions=new))
    assert len(read) == 2
    ledger = orjson.loads((tmp_path / "out" / "batch.json").read_bytes())
    (tmp_path / "out" / "batch.json").write_bytes(orjson.dumps({**ledger, "version": "0.0.1"}))
    run(batch(assertions=new))
    assert len(read) == 4, "another version judges for itself"


def test_a_folder_in_use_by_another_batch_is_refused(batch: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with lock_folder(tmp_path / "out"), pytest.raises(OutputError, match="another batch") as found:
        run(batch())
    assert found.value.word == "output.locked"


def test_a_folder_that_cannot_be_written_stops_the_whole_batch(batch: Make, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="out: is not a folder") as found:
        run(batch())
    assert found.value.word == "output.folder"


def test_fewer_than_one_job_is_refused(batch: Make) -> None:
    with pytest.raises(RequestError, match="--jobs 0"):
        batch(jobs=0)


def test_names_that_look_alike_when_they_are_escaped_are_two_videos(batch: Make, tmp_path: Path, videos: Path) -> None:
    bad = videos / "text.mp4"
    try:
        bad.rename(videos / os.fsdecode(b"caf\xe9.mp4"))
    except OSError:
        pytest.skip("this file system takes no such name")
    (videos / r"caf\xe9.mp4").write_bytes((videos / "a.mp4").read_bytes())
    record = run(batch())
    assert sorted(outcome.status for outcome in record.videos) == ["done", "done", "done", "failed"]
    assert len({outcome.video for outcome in record.videos}) == 4
    assert [holding.kind for holding in holdings(tmp_path / "out")].count("finished") == 3
