"""Several pipelines over one decode: each gives what it gives alone, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.clips import encode, overwrite
from tests.commands import command, quick
from tests.graphs import TOYS, document, node, plan, registry, write
from videodag_cli.data import Frame
from videodag_cli.engine.shared import shared_calls
from videodag_cli.errors import OutputError, StoppedError
from videodag_cli.graph.plan import Plan
from videodag_cli.run.api import plan_for, run_video
from videodag_cli.run.job import RunOptions
from videodag_cli.run.record import RunRecord
from videodag_cli.run.together import Part, run_together
from videodag_cli.video.pyav import PyavReader
from videodag_cli.video.tee import Tee

FRAMES = 40


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES), options={"g": "1"})


def made(folder: Path, name: str, nodes: list[Any], edges: str = "") -> Plan:
    return plan_for(str(write(folder, document(nodes, edges, id=name))), registry=registry())


def parts_of(folder: Path, *plans: Plan) -> list[Part]:
    return [Part(plan=p, output=folder / f"{p.pipeline.id}.jsonl") for p in plans]


def alone(clip: Path, folder: Path, found: Plan, **options: Any) -> tuple[bytes, RunRecord]:
    output = folder / f"{found.pipeline.id}.alone"
    record = run_video(clip, found, output=output, options=RunOptions(**options))
    return output.read_bytes(), record


def told(record: RunRecord) -> dict[str, Any]:
    """What a record says, apart from when and how fast."""
    found = record.model_dump(exclude={"nodes", "profile", "wall_time_s", "output"})
    return {**found, "counts": {name: timing.count for name, timing in record.nodes.items()}}


def graphs(folder: Path) -> list[Plan]:
    """Stateless, with state, looking ahead, in batches, failing; with and without nodes in common."""
    return [
        made(folder, "one", ["bright", "mean", node("in_batches", fail=7)], ""),
        made(folder, "two", ["bright", "follow", "counter", "later"], "bright>follow"),
        made(folder, "three", [node("bad:fails_at", frames=[3, 4]), "in_batches", "mean", "twice"], "mean>twice"),
        made(folder, "four", [node("in_batches", fail=7), "mean", node("bad:fails_at", frames=[3, 4])]),
    ]


@pytest.mark.parametrize("damaged", [False, True])
def test_each_is_what_it_is_alone(clip: Path, tmp_path: Path, damaged: bool) -> None:
    if damaged:
        clip = tmp_path / "damaged.mp4"
        overwrite(encode(clip, indices=range(FRAMES), options={"g": "1"}), [20, 21])
    parts = parts_of(tmp_path, *graphs(tmp_path))
    run_together(clip, parts, options=RunOptions(workers=3))
    for part in parts:
        expected, record = alone(clip, tmp_path, part.plan)
        assert isinstance(part.result, RunRecord), part.result
        assert Path(part.output).read_bytes() == expected
        assert told(part.result) | {"workers": 0} == told(record) | {"workers": 0}
        assert (tmp_path / f"{part.plan.pipeline.id}.jsonl.run.json").exists()


def test_one_reader_decodes_for_all(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    begins = PyavReader._frames

    def counted(reader: PyavReader) -> Iterator[Frame]:
        opened.append(reader)
        return begins(reader)

    monkeypatch.setattr(PyavReader, "_frames", counted)
    run_together(clip, parts_of(tmp_path, *graphs(tmp_path)))
    assert len(opened) == 1


def test_nodes_that_are_alike_are_called_once(clip: Path, tmp_path: Path) -> None:
    one = made(tmp_path, "one", ["counted", "mean", "twice"], "mean>twice")
    two = made(tmp_path, "two", ["counted", node("mean", scale=2), "twice"], "mean>twice")
    first, second = shared_calls([one, two])
    assert set(first) == set(second) == {"counted"}  # `twice` is fed another mean
    counted = one.by_id["counted"].spec.target.__globals__["COUNTED"]
    counted.clear()
    run_together(clip, parts_of(tmp_path, one, two))
    assert sorted(counted) == list(range(FRAMES))


def test_what_has_state_or_another_name_is_not_shared() -> None:
    one = plan(["counter", "mean", "bright", "follow"], "bright>follow")
    two = plan(["counter", "other:mean", "bright", "follow"], "bright>follow")
    assert [set(found) for found in shared_calls([one, two])] == [{"bright", "follow"}] * 2


@pytest.mark.parametrize("first", [True, False])
def test_one_that_stops_leaves_the_others_alone(clip: Path, tmp_path: Path, first: bool) -> None:
    bad = made(tmp_path, "bad", ["bright", node("bad:fails_at", frames=[9])])
    good = made(tmp_path, "good", ["bright", "counter", "later"])
    parts = parts_of(tmp_path, *((bad, good) if first else (good, bad)))
    run_together(clip, parts, options=RunOptions(on_error="stop"))
    stopped, whole = (part.result for part in (parts if first else parts[::-1]))
    assert isinstance(stopped, StoppedError)
    assert isinstance(whole, RunRecord)
    assert (tmp_path / "good.jsonl").read_bytes() == alone(clip, tmp_path, good)[0]
    assert (tmp_path / "bad.jsonl.part").read_bytes().count(b"\n") == 9
    assert not (tmp_path / "bad.jsonl").exists()


def test_the_output_rule_holds_for_each(clip: Path, tmp_path: Path) -> None:
    one, two, three = graphs(tmp_path)[:3]
    run_together(clip, parts_of(tmp_path, one))
    (tmp_path / "three.jsonl").write_text("something of one's own")
    parts = parts_of(tmp_path, one, two, three)
    run_together(clip, parts)
    assert isinstance(parts[0].result, RunRecord)
    assert isinstance(parts[1].result, RunRecord)
    assert (parts[0].result.status, parts[1].result.status) == ("up_to_date", "done")
    assert isinstance(parts[2].result, OutputError)
    assert (tmp_path / "three.jsonl").read_text() == "something of one's own"
    assert (tmp_path / "two.jsonl").read_bytes() == alone(clip, tmp_path, two)[0]


def test_unfinished_outputs_are_continued_each_from_its_own_place(clip: Path, tmp_path: Path) -> None:
    """Without a checkpoint, one begins anew and the other behind its last line: they cannot share a reader."""
    plans = [made(tmp_path, "one", ["index", "bright"]), made(tmp_path, "two", ["bright", "forgetful"])]
    expected = [alone(clip, tmp_path, found)[0] for found in plans]

    class Enough(BaseException):
        pass

    def stop_at(done: int, total: int) -> None:
        if done == 12:
            raise Enough

    for found in plans[:1]:
        with pytest.raises(Enough):
            run_together(clip, parts_of(tmp_path, found), on_progress=stop_at)
    assert (tmp_path / "one.jsonl.part").read_bytes().count(b"\n") >= 12
    run_together(clip, parts_of(tmp_path, *plans))
    assert [(tmp_path / f"{name}.jsonl").read_bytes() for name in ("one", "two")] == expected


def test_an_interruption_leaves_all_to_be_continued(clip: Path, tmp_path: Path) -> None:
    class Enough(BaseException):
        pass

    def stop_at(done: int, total: int) -> None:
        if done == 12:
            raise Enough

    plans = graphs(tmp_path)[:2]
    with pytest.raises(Enough):
        run_together(clip, parts_of(tmp_path, *plans), on_progress=stop_at)
    for name in ("one", "two"):
        assert (tmp_path / f"{name}.jsonl.part").exists()
    parts = parts_of(tmp_path, *plans)
    run_together(clip, parts)
    for part in parts:
        assert Path(part.output).read_bytes() == alone(clip, tmp_path, part.plan)[0]


def test_a_tee_keeps_nothing_for_who_has_left_and_raises_behind_the_frames() -> None:
    class Wrong(Exception):  # noqa: N818
        pass

    def frames() -> Any:
        yield from (1, 2, 3)
        raise Wrong

    tee = Tee(frames())
    one, other = tee.branch(), tee.branch()
    assert next(one) == 1  # type: ignore[comparison-overlap]
    other.leave()
    assert [next(one), next(one)] == [2, 3]  # type: ignore[comparison-overlap]
    assert not other._waiting
    for branch in (one, other):
        with pytest.raises(Wrong):
            next(branch)


@pytest.mark.slow
def test_the_command_writes_an_output_for_each_and_names_who_failed(clip: Path, tmp_path: Path) -> None:
    write(tmp_path, document(["bright", "mean"], id="good"))
    write(tmp_path, document(["bright", node("bad:fails_at", frames=[2])], id="bad"))
    where: list[str | Path] = ["--pipelines-dir", tmp_path, "--plugins-dir", TOYS, "-p", "good", "-p", "bad"]
    done = quick(command("run", *where, clip, "-o", tmp_path / "{pipeline}.out"))
    assert done.code == 4
    assert "error[run.incomplete]: bad: " in done.err
    assert done.out == b""
    for name in ("good", "bad"):
        single = quick(command("run", *where[:4], "-p", name, clip, "-o", tmp_path / "{pipeline}.single"))
        assert single.code == (4 if name == "bad" else 0)
        assert (tmp_path / f"{name}.single").read_bytes() == (tmp_path / f"{name}.out").read_bytes()
    unclear: list[list[str | Path]] = [["-o", "same.out"], ["-o", "{pipeline}.a", "--record", "r"], []]
    for more in unclear:
        assert quick(command("run", *where, clip, *more)).code == 2


@pytest.mark.slow
def test_a_batch_gives_the_same(clip: Path, tmp_path: Path) -> None:
    write(tmp_path, document(["bright", "mean"], id="one"))
    write(tmp_path, document(["bright", "counter"], id="two"))
    where: list[str | Path] = ["--pipelines-dir", tmp_path, "--plugins-dir", TOYS, "-p", "one", "-p", "two"]
    assert quick(command("run", *where, clip, "-o", tmp_path / "{pipeline}.out")).code == 0
    assert quick(command("run", *where, clip, "--output-dir", tmp_path / "all", "-q")).code == 0
    for name in ("one", "two"):
        assert (tmp_path / "all" / f"clip.mp4.{name}.jsonl").read_bytes() == (tmp_path / f"{name}.out").read_bytes()
    assert orjson.loads((tmp_path / "all" / "batch.json").read_bytes())["videos"]


@pytest.mark.slow
def test_under_limits_each_is_what_it_is_alone_and_a_crash_costs_its_own_frame(clip: Path, tmp_path: Path) -> None:
    good = write(tmp_path, document(["mean", "counter"], id="good"))
    bad = write(tmp_path, document([node("hostile.stateless", at=[7], kind="crash")], id="bad"))
    line = command("run", "--plugins-dir", TOYS, "-p", good, "-p", bad, clip, "--isolate", "-o", "{pipeline}.jsonl")
    done = quick(line, cwd=tmp_path)
    assert (done.code, done.err.count("error[")) == (4, 1), done.err
    assert "error[run.incomplete]: bad: " in done.err
    alone = quick(command("run", "-q", "--plugins-dir", TOYS, "-p", good, clip, "-o", "alone.jsonl"), cwd=tmp_path)
    assert alone.code == 0
    assert (tmp_path / "good.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    failed = [orjson.loads(each) for each in (tmp_path / "bad.jsonl").read_bytes().splitlines()]
    assert [each["frame_index"] for each in failed if "error" in each] == [7]
    assert len(failed) == FRAMES
    again = quick(line, cwd=tmp_path)
    assert (again.code, again.err.count("is up to date")) == (4, 2)


@pytest.mark.slow
def test_under_limits_no_folder_is_made_for_an_output(clip: Path, tmp_path: Path) -> None:
    done = quick(
        command("run", "-p", "quality", "-p", "scenes", clip, "--timeout", "60", "-o", "none/{pipeline}.jsonl"),
        cwd=tmp_path,
    )
    assert (done.code, done.word) == (6, "output.folder")
    assert not (tmp_path / "none").exists()
