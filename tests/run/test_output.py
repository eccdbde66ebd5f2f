"""The output rule: what is there decides what happens, nothing is torn, nothing is lost."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clips import encode
from tests.graphs import document, node, registry, write
from videodag_cli.errors import OutputError, RequestError, StoppedError, VideodagError
from videodag_cli.expressions.assertions import parse_assertion
from videodag_cli.run.api import run_video
from videodag_cli.run.job import RunOptions
from videodag_cli.run.output import OutputFile
from videodag_cli.run.part import decode_state, encode_state, scan
from videodag_cli.run.record import RunRecord
from videodag_cli.run.sinks import make_sink
from videodag_cli.video.sampling import Sampling

FRAMES = 30
KINDS: dict[str, tuple[list[Any], str]] = {
    "stateless": (["mean", node("fails:hostile.stateless", at=[4, 20])], ""),
    "batches": (["mean", node("fails:hostile.batches", at=[4])], ""),
    "checkpointed": (["counter", "hostile.kept", "freeze:quality.freeze"], ""),
    "replayed": (["counter", "hostile.replayed", "later"], ""),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def run(clip: Path, output: Path, nodes: Any = ("mean",), edges: str = "", **more: Any) -> RunRecord:
    """A run over toy tools; `more` are `sampling`, `record`, `assertions` and options."""
    folder = clip.parent / "pipelines"
    folder.mkdir(exist_ok=True)
    file = write(folder, document(list(nodes), edges))
    keywords = {name: more.pop(name) for name in ("sampling", "record", "assertions") if name in more}
    options = RunOptions(workers=2, checkpoint_every_s=0.0, **more)
    return run_video(clip, os.fspath(file), output=output, registry=registry(), options=options, **keywords)


def part_of(output: Path) -> Path:
    return output.with_name(output.name + ".part")


def note_of(output: Path) -> Path:
    return output.with_name(output.name + ".part.json")


def left(output: Path) -> set[str]:
    return {path.name.removeprefix(output.name) for path in output.parent.glob(output.name + "*")}


def stopped(clip: Path, output: Path, kind: str, **more: Any) -> None:
    """Leave a part, as a run that is stopped does, and the note with its last checkpoint."""
    nodes, edges = KINDS[kind]
    failures_before = 1 if any("fails" in str(each) for each in nodes) else 0
    with pytest.raises(StoppedError):
        run(clip, output, [*nodes, node("end:hostile.stateless", at=[17])], edges, max_errors=failures_before, **more)


def end(clip: Path, output: Path, kind: str, **more: Any) -> RunRecord:
    nodes, edges = KINDS[kind]
    return run(clip, output, [*nodes, node("end:hostile.stateless", at=[17])], edges, **more)


def test_a_finished_output_has_its_record_and_nothing_else(clip: Path, output: Path) -> None:
    record = run(clip, output)
    assert left(output) == {"", ".run.json"}
    assert record.output is not None
    assert record.output.size == output.stat().st_size
    assert output.read_bytes().count(b"\n") == FRAMES


def test_what_is_up_to_date_is_not_touched(clip: Path, output: Path) -> None:
    run(clip, output)
    before = output.stat()
    assert run(clip, output).status == "up_to_date"
    assert output.stat() == before


def test_an_equal_copy_of_the_input_is_the_same_input(clip: Path, output: Path, tmp_path: Path) -> None:
    moved = tmp_path / "copy.mp4"
    moved.write_bytes(clip.read_bytes())
    run(moved, output)
    os.utime(moved, (1, 1))
    assert run(moved, output).status == "up_to_date"
    moved.write_bytes(clip.read_bytes()[:-1] + b"x")
    with pytest.raises(OutputError, match="exists and is the result of another input"):
        run(moved, output)


def test_another_request_is_refused_and_says_what_differs(clip: Path, output: Path) -> None:
    run(clip, output)
    before = output.read_bytes()
    with pytest.raises(
        OutputError, match=r"another request \(mean.scale 1.0 -> 2.0\); `--overwrite` replaces"
    ) as found:
        run(clip, output, [node("mean", scale=2.0)])
    assert found.value.word == "output.exists"
    assert output.read_bytes() == before
    assert left(output) == {"", ".run.json"}


@pytest.mark.parametrize("damage", ["no record", "torn record", "changed output"])
def test_an_output_that_its_record_does_not_describe_is_not_touched(clip: Path, output: Path, damage: str) -> None:
    run(clip, output)
    record = output.with_name(output.name + ".run.json")
    if damage == "no record":
        record.unlink()
    elif damage == "torn record":
        record.write_bytes(record.read_bytes()[:300])
    else:
        output.write_bytes(output.read_bytes()[:-3])
    with pytest.raises(OutputError, match=r"has no run record|is not what its run record describes"):
        run(clip, output)
    run(clip, output, overwrite=True)
    assert output.read_bytes().count(b"\n") == FRAMES


def test_the_old_result_stays_until_the_new_one_is_complete(clip: Path, output: Path) -> None:
    run(clip, output)
    old = output.read_bytes()
    broken = [node("mean", scale=2.0), node("hostile.stateless", at=[9])]
    with pytest.raises(StoppedError):
        run(clip, output, broken, on_error="stop", overwrite=True)
    assert output.read_bytes() == old
    assert left(output) == {"", ".run.json", ".part", ".part.json"}
    run(clip, output, broken, overwrite=True)
    assert output.read_bytes() != old
    assert left(output) == {"", ".run.json"}


def test_force_runs_what_is_up_to_date(clip: Path, output: Path) -> None:
    run(clip, output)
    before = output.read_bytes(), output.stat().st_ino
    assert run(clip, output, force=True).status == "done"
    assert output.read_bytes() == before[0]
    assert output.stat().st_ino != before[1]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jsonl", "list"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_part_cut_at_any_byte_ends_in_the_undisturbed_file(clip: Path, output: Path, kind: str, format: str) -> None:
    reference = output.with_name("reference")
    end(clip, reference, kind, format=format)
    stopped(clip, output, kind, format=format)
    part, note = part_of(output).read_bytes(), note_of(output).read_bytes()
    assert part.count(b"\n") >= 17
    chance = random.Random(kind + format)
    for cut in [0, 5, len(part), *(chance.randrange(len(part)) for _ in range(4))]:
        for path in output.parent.glob(output.name + "*"):
            path.unlink()
        part_of(output).write_bytes(part[:cut])
        note_of(output).write_bytes(note)
        end(clip, output, kind, format=format)
        assert output.read_bytes() == reference.read_bytes(), f"cut at {cut}"
        assert left(output) == {"", ".run.json"}


def test_continuing_does_not_run_again_what_is_written(clip: Path, output: Path) -> None:
    once = output.with_name("once")
    nodes = [node("seen:hostile.stateless", at=[0], kind="raise", once=str(once)), node("hostile.stateless", at=[9])]
    with pytest.raises(StoppedError):
        run(clip, output, nodes, max_errors=1)
    assert once.exists()
    assert orjson.loads(part_of(output).read_bytes().splitlines()[0])["result"] is None
    record = run(clip, output, nodes)
    assert (record.accounting.ok, record.accounting.failed) == (FRAMES - 2, 2)
    assert [error.frame_index for error in record.errors] == [0, 9]


def test_checkpoints_save_the_frames_before_them(clip: Path, output: Path) -> None:
    stopped(clip, output, "checkpointed")
    assert orjson.loads(note_of(output).read_bytes())["checkpoint"]["frame_index"] >= 10
    record = end(clip, output, "checkpointed")
    assert record.nodes["counter"].count < 20


@pytest.mark.parametrize("tool", ["unkeepable", "unrestorable", "shifting"])
def test_states_that_cannot_be_kept_or_given_back_lead_to_the_same_file(clip: Path, output: Path, tool: str) -> None:
    nodes = ["mean", f"hostile.{tool}", node("end:hostile.stateless", at=[17])]
    reference = output.with_name("reference")
    run(clip, reference, nodes)
    with pytest.raises(StoppedError):
        run(clip, output, nodes, on_error="stop")
    run(clip, output, nodes)
    assert output.read_bytes() == reference.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"request":1}', b"null", b"\xff\xfe"])
def test_a_part_whose_note_is_damaged_is_begun_again(clip: Path, output: Path, damage: bytes) -> None:
    stopped(clip, output, "checkpointed")
    note_of(output).write_bytes(damage)
    record = end(clip, output, "checkpointed")
    assert record.nodes["counter"].count == FRAMES


@pytest.mark.parametrize("damage", ["frame", "bytes", "array", "states"])
def test_a_damaged_checkpoint_is_not_used(clip: Path, output: Path, damage: str) -> None:
    reference = output.with_name("reference")
    end(clip, reference, "checkpointed")
    stopped(clip, output, "checkpointed")
    note = orjson.loads(note_of(output).read_bytes())
    if damage == "frame":
        note["checkpoint"]["frame_index"] = 10**6
    elif damage == "bytes":
        note["checkpoint"]["bytes"] += 10**6
    elif damage == "array":
        note["checkpoint"]["states"]["counter"]["array"] = {"__ndarray__": ["<i8", [3], "AAAA"]}
    else:
        note["checkpoint"]["states"] = {}
    note_of(output).write_bytes(orjson.dumps(note))
    end(clip, output, "checkpointed")
    assert output.read_bytes() == reference.read_bytes()


def test_a_part_of_another_request_is_replaced(clip: Path, output: Path) -> None:
    stopped(clip, output, "stateless")
    record = run(clip, output)
    assert record.nodes["mean"].count == FRAMES
    assert output.read_bytes().count(b"\n") == FRAMES


@pytest.mark.parametrize("format", ["jsonl", "list"])
def test_foreign_and_disordered_lines_in_a_part_are_cut_off(tmp_path: Path, format: str) -> None:
    def line(frame: int) -> bytes:
        return b'{"frame_index":%d,"time_s":0.0,"result":{}}\n' % frame

    sink = make_sink(format)
    begin, between, end = {"jsonl": (b"", b"", b""), "list": (b'{"results":[\n', b",", b"]}\n")}[format]
    whole = begin + line(0) + between + line(3)
    part = tmp_path / "part"
    for tail in (
        b"",
        end,
        b"\0" * 100,
        b"\n",
        between + b"5\n",
        between + b"{}\n",
        between + line(1),
        between + b'{"frame_index":"2","time_s":0,"result":{}}\n',
        between + b'{"frame_index":5,"time_s":0,"result":null}\n',
        between + b'{"frame_index":5,"time_s":0,"result":null,"error":{"node":1}}\n',
        between + line(7)[:-1],
        b"," + line(7) if format == "jsonl" else line(7),
    ):
        part.write_bytes(whole + tail)
        found = scan(part, sink)
        assert (found.lines, found.last_frame, found.kept_bytes) == (2, 3, len(whole))
    part.write_bytes(whole.removeprefix(begin) if begin else b"[\n" + whole)
    assert scan(part, sink).kept_bytes == 0


def test_a_record_without_its_rename_costs_nothing(clip: Path, output: Path) -> None:
    stopped(clip, output, "stateless")
    reference = output.with_name("reference")
    record = end(clip, reference, "stateless")
    part_of(output).write_bytes(reference.read_bytes())
    output.with_name(output.name + ".run.json").write_bytes(record.to_json())
    finished = end(clip, output, "stateless")
    assert output.read_bytes() == reference.read_bytes()
    assert finished.nodes["mean"].count == 0
    assert finished.accounting == record.accounting.model_copy(update={"not_examined": FRAMES})


def test_a_summary_is_begun_again(clip: Path, output: Path) -> None:
    nodes = ["mean", node("hostile.stateless", at=[9])]
    with pytest.raises(StoppedError):
        run(clip, output, nodes, on_error="stop", format="summary")
    reference = output.with_name("reference")
    run(clip, reference, nodes, format="summary")
    part_of(output).write_bytes(b"x" * 10_000)
    run(clip, output, nodes, format="summary")
    assert output.read_bytes() == reference.read_bytes()


def test_a_failing_start_keeps_the_part_of_an_earlier_run(clip: Path, output: Path) -> None:
    stopped(clip, output, "stateless")
    before = part_of(output).read_bytes()
    from videodag_cli.video.limits import Limits

    with pytest.raises(VideodagError):
        end(clip, output, "stateless", limits=Limits(max_pixels=100))
    assert part_of(output).read_bytes() == before


def test_nothing_is_left_where_no_frame_was_written(clip: Path, output: Path) -> None:
    for format in ("jsonl", "list"):
        with pytest.raises(StoppedError):
            run(clip, output, [node("hostile.stateless", at=[0])], on_error="stop", format=format)
        assert left(output) == set()


def test_files_left_by_a_killed_writer_are_written_over(clip: Path, output: Path) -> None:
    for ending in (".part.json.tmp", ".run.json.tmp"):
        output.with_name(output.name + ending).write_bytes(b"torn" * 10_000)
    run(clip, output)
    assert left(output) == {"", ".run.json"}


def test_notes_of_a_run_that_was_killed_at_its_very_end_are_removed(clip: Path, output: Path) -> None:
    run(clip, output)
    note_of(output).write_bytes(b"{}")
    output.with_name(output.name + ".part.json.tmp").write_bytes(b"torn")
    assert run(clip, output).status == "up_to_date"
    assert left(output) == {"", ".run.json"}


def test_a_live_run_has_the_output_for_itself(clip: Path, output: Path) -> None:
    first = OutputFile(output)
    assert first.lock()
    with pytest.raises(OutputError, match="another run is writing it") as found:
        run(clip, output)
    assert found.value.word == "output.locked"
    first.give_up()
    assert left(output) == set()
    run(clip, output)


def test_a_file_that_appears_meanwhile_is_not_replaced(clip: Path, output: Path) -> None:
    pipeline = os.fspath(write(clip.parent, document(["mean"])))
    undisturbed = output.with_name("undisturbed.jsonl")
    run_video(clip, pipeline, output=undisturbed, registry=registry())

    def somebody_else(done: int, total: int) -> None:
        if done == 3:
            output.write_text("theirs")

    with pytest.raises(OutputError, match="was made by something else") as found:
        run_video(clip, pipeline, output=output, registry=registry(), on_progress=somebody_else)
    assert found.value.word == "output.exists"
    assert output.read_text() == "theirs"
    assert left(output) == {"", ".part", ".part.json"}
    output.unlink()
    run_video(clip, pipeline, output=output, registry=registry())
    assert output.read_bytes() == undisturbed.read_bytes()
    run_video(
        clip, pipeline, output=output, registry=registry(), on_progress=somebody_else, options=RunOptions(force=True)
    )
    assert output.read_bytes() == undisturbed.read_bytes()


def test_a_link_stays_a_link_and_its_target_gets_the_lines(clip: Path, output: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    output.symlink_to(elsewhere / "target.jsonl")
    run(clip, output)
    assert output.is_symlink()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["target.jsonl", "target.jsonl.run.json"]


def test_a_part_that_is_a_link_is_not_followed(clip: Path, output: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    part_of(output).symlink_to(precious)
    with pytest.raises(OutputError):
        run(clip, output)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", ["clip.mp4", "clip", "clip.run.json", "link", "hard"])
def test_the_input_is_never_written_over(clip: Path, tmp_path: Path, name: str) -> None:
    names = {"clip": "clip.part", "clip.run.json": "clip.run.json.part.json"}
    own = tmp_path / names.get(name, "clip.mp4")
    own.write_bytes(clip.read_bytes())
    output = tmp_path / name
    if name == "link":
        output.symlink_to(own)
    if name == "hard":
        output.hardlink_to(own)
    with pytest.raises(OutputError, match="would overwrite the input") as found:
        run(own, output, overwrite=True)
    assert found.value.word == "output.input"
    assert own.read_bytes() == clip.read_bytes()


@pytest.mark.parametrize("where", ["missing/out.jsonl", ".", "clip.txt/out.jsonl", "x" * 250])
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(clip: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "clip.txt").write_text("a file")
    with pytest.raises(OutputError) as found:
        run(clip, tmp_path / where)
    assert found.value.word in ("output.folder", "output.failed")
    assert {path.name for path in tmp_path.iterdir()} == {"clip.txt"}


def test_a_folder_nobody_can_write_in_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as found:
        run_video(clip, os.fspath(write(tmp_path, document(["mean"]))), output="/proc/out.jsonl", registry=registry())
    assert found.value.word == "output.folder"


def test_the_record_is_checked_before_the_run(clip: Path, output: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.mp4"
    own.write_bytes(clip.read_bytes())
    for record, word in (
        (tmp_path / "missing" / "r.json", "output.folder"),
        (tmp_path, "output.folder"),
        (own, "output.input"),
        (output, "output.input"),
        (part_of(output), "output.input"),
    ):
        with pytest.raises(OutputError) as found:
            run(own, output, record=record)
        assert found.value.word == word, record
        assert left(output) == set()
    run(own, output, record=tmp_path / "r.json")
    assert orjson.loads((tmp_path / "r.json").read_bytes())["status"] == "done"


def test_a_record_goes_into_a_pipe_as_it_is(clip: Path, output: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    run(clip, output, record=pipe, sampling=Sampling(max_frames=2))
    assert orjson.loads(os.read(reader, 1 << 16))["accounting"]["sampled"] == 2
    os.close(reader)
    assert pipe.is_fifo()


def test_an_input_that_changes_while_it_is_read_is_no_result(clip: Path, output: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.mp4"
    for change in ("cut", "replaced", "removed"):
        own.write_bytes(clip.read_bytes())
        changing = _Changing(own, change)
        with pytest.raises(VideodagError, match="changed while it was read") as found:
            run_video(
                own,
                os.fspath(write(tmp_path, document([node("hostile.slow", sleep_s=0.001)]))),
                output=output,
                registry=registry(),
                on_progress=changing,
            )
        assert found.value.word == "input.changed"
        assert not output.exists()


class _Changing:
    """Changes the input when the third frame is done."""

    def __init__(self, path: Path, change: str) -> None:
        self.path = path
        self.change = change

    def __call__(self, done: int, total: int) -> None:
        if done != 3:
            return
        if self.change == "cut":
            os.truncate(self.path, 1000)
        elif self.change == "removed":
            self.path.unlink()
        else:
            time.sleep(0.01)
            self.path.write_bytes(b"other" * 1000)


def _numbers() -> st.SearchStrategy[Any]:
    return st.floats(allow_nan=False) | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.none() | st.text()


@given(
    st.recursive(_numbers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner), max_leaves=8)
)
def test_a_state_comes_back_as_it_was(state: Any) -> None:
    back = decode_state(orjson.loads(orjson.dumps(encode_state(state))))
    assert back == state
    assert repr(back) == repr(state)


def _arrays() -> Iterator[Any]:
    yield np.arange(12, dtype=np.uint8).reshape(3, 4).T
    yield np.array([np.nan, -0.0, np.inf], np.float32)
    yield np.zeros((0, 3), ">i2")
    yield np.array([True, False])
    yield np.array(3.5)
    yield np.float32(0.1)
    yield np.int64(7)


@pytest.mark.parametrize("array", list(_arrays()), ids=str)
def test_arrays_in_a_state_come_back_bit_by_bit(array: Any) -> None:
    back = decode_state(orjson.loads(orjson.dumps(encode_state({"a": [array]}))))["a"][0]
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("value", [{1: 2}, object(), {1, 2}, b"raw", np.array([object()]), 1j])
def test_a_state_that_would_come_back_different_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="a state"):
        encode_state(value)


def test_assertions_on_a_finished_summary_are_what_its_run_found_and_others_are_refused(
    clip: Path, output: Path
) -> None:
    def judged(*texts: str) -> list[bool]:
        record = run(clip, output, format="summary", assertions=[parse_assertion(text) for text in texts])
        return [outcome["holds"] for outcome in record.assertions]

    assert judged("ever mean >= 0", "mean < 0") == [True, False]
    assert judged("mean < 0", "ever mean >= 0") == [False, True]
    with pytest.raises(RequestError, match="keeps no lines to judge; --force"):
        judged("ever mean > 1")
