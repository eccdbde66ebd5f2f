"""`videodag run` as a user meets it: sampling, formats, errors on record, and one line with its code for every refusal."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import orjson
import pytest

from tests.clips import encode, overwrite
from tests.commands import Done, call, command, pipeline, quick, run_arguments
from tests.graphs import document, node, registry, write
from videodag_cli.errors import InputError, PipelineError, StoppedError, VideodagError
from videodag_cli.run.api import iter_video, run_video
from videodag_cli.run.job import RunOptions
from videodag_cli.video.sampling import Sampling, parse_position

pytestmark = pytest.mark.slow

FRAMES = 50


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(
        tmp_path_factory.mktemp("clip") / "clip.mp4",
        indices=range(FRAMES),
        options={"g": "10", "sc_threshold": "0", "keyint_min": "10"},
    )


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Every frame a keyframe, the bytes of frames 20 to 22 gone."""
    path = encode(tmp_path / "damaged.mp4", indices=range(FRAMES), options={"g": "1"})
    return overwrite(path, [20, 21, 22])


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    return pipeline(tmp_path, ["index"], id="toys")


def frames(done: Done) -> list[int]:
    return [line["frame_index"] for line in done.lines]


def test_a_line_for_every_frame_and_one_summary(clip: Path, toys: Path) -> None:
    done = quick(run_arguments(clip, toys))
    assert done.code == 0
    assert [line["result"]["index"] for line in done.lines] == frames(done) == list(range(FRAMES))
    assert done.out.startswith(b'{"frame_index":0,"time_s":0.0,"result":{"index":0}}\n')
    assert "50 frames ok" in done.err
    assert quick(run_arguments(clip, toys, "-q")).err == ""


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(stride=7), list(range(0, 50, 7))),
        (Sampling(keyframes=True), [0, 10, 20, 30, 40]),
        (Sampling(stride=7, start=parse_position("10f"), end=parse_position("28f")), [14, 21]),
        (Sampling(stride=7, start=parse_position("0.3")), [14, 21, 28, 35, 42, 49]),
        (Sampling(stride=7, max_frames=3), [0, 7, 14]),
        (Sampling(start=parse_position("1.9")), [48, 49]),
    ],
)
def test_a_window_never_shifts_what_is_sampled(
    clip: Path, tmp_path: Path, sampling: Sampling, expected: list[int]
) -> None:
    found = iter_video(clip, os.fspath(write(tmp_path, document(["index"]))), sampling=sampling, registry=registry())
    assert [result.frame_index for result in found] == expected


def test_tags_lead_every_line_and_belong_to_the_request(clip: Path, toys: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.jsonl"
    tagged: list[str | Path] = ["--tag", "camera=é 1", "--tag", "run=2", "--max-frames", "1", "-o", output]
    assert quick(run_arguments(clip, toys, *tagged)).code == 0
    assert output.read_bytes().startswith('{"camera":"é 1","run":"2","frame_index":0,'.encode())
    done = quick(run_arguments(clip, toys, *tagged[:3], "run=3", *tagged[4:]))
    assert (done.code, done.word) == (6, "output.exists")
    assert "tag run 2 -> 3" in done.error


def test_a_list_is_one_document_of_the_same_lines(clip: Path, toys: Path) -> None:
    document = orjson.loads(quick(run_arguments(clip, toys, "--format", "list")).out)
    assert document == {"results": quick(run_arguments(clip, toys)).lines}


def test_a_summary_counts(clip: Path, toys: Path) -> None:
    found = orjson.loads(quick(run_arguments(clip, toys, "--format", "summary")).out)
    assert found["outputs"]["index"]["max"] == FRAMES - 1


def test_what_is_up_to_date_says_so_and_keeps_its_code(clip: Path, tmp_path: Path) -> None:
    failing = pipeline(tmp_path, [node("hostile.stateless", at=[3])])
    output = tmp_path / "o.jsonl"
    first = quick(run_arguments(clip, failing, "-o", output))
    again = quick(run_arguments(clip, failing, "-o", output, "--record", tmp_path / "r.json"))
    assert (first.code, again.code, again.word) == (4, 4, "run.incomplete")
    assert "is up to date" in again.err
    assert again.error == first.error
    assert orjson.loads((tmp_path / "r.json").read_bytes())["status"] == "up_to_date"


def test_a_dry_run_decides_everything_and_leaves_nothing(clip: Path, toys: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    done = quick(run_arguments(clip, toys, "--dry-run", "--frame-stride", "5", "-o", tmp_path / "o.jsonl"))
    found = orjson.loads(done.out)
    assert found["frames"]["sampled"] == 10
    assert found["output"]["action"] == "fresh"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_failed_frames_are_on_record_and_the_others_as_ever(clip: Path, tmp_path: Path) -> None:
    failing = pipeline(tmp_path, [node("hostile.stateless", at=[3, 9]), "mean"])
    record = tmp_path / "r.json"
    done = quick(run_arguments(clip, failing, "--record", record))
    assert (done.code, done.word) == (4, "run.incomplete")
    assert "2 of 50 sampled frames failed, first frame 3 in node 'stateless': ValueError: first line" in done.error
    assert [line["frame_index"] for line in done.lines if line["result"] is None] == [3, 9]
    error = {"node": "stateless", "tool": "hostile.stateless", "type": "ValueError"}
    assert done.lines[3]["error"] == {**error, "message": r"first line\nsecond line \x1b[31m"}
    found = orjson.loads(record.read_bytes())
    assert found["exit_code"] == 4
    counts = {name: found["accounting"][name] for name in ("sampled", "ok", "failed", "undecodable", "not_examined")}
    assert counts == {"sampled": 50, "ok": 48, "failed": 2, "undecodable": 0, "not_examined": 0}
    assert [each["frame_index"] for each in found["errors"]] == [3, 9]


@pytest.mark.parametrize("kind", ["os_exit", "interrupt", "odd_name", "no_message", "ask"])
def test_whatever_a_tool_raises_costs_one_frame(clip: Path, tmp_path: Path, kind: str) -> None:
    done = quick(
        run_arguments(clip, pipeline(tmp_path, [node("hostile.stateless", at=[3], kind=kind)]), "-o", tmp_path / "o")
    )
    assert done.code == 4, done.err
    lines = [orjson.loads(line) for line in (tmp_path / "o").read_bytes().splitlines()]
    assert [line["frame_index"] for line in lines if line["result"] is None] == [3]


def test_stop_ends_at_the_first_failure_and_goes_on_there(clip: Path, tmp_path: Path) -> None:
    once = tmp_path / "once"
    failing = pipeline(tmp_path, [node("hostile.stateless", at=[7], once=str(once))])
    output = tmp_path / "o.jsonl"
    done = quick(run_arguments(clip, failing, "-o", output, "--on-error", "stop"))
    assert (done.code, done.word) == (7, "stopped.on_error")
    assert "frame 7 t=0.28s: node 'stateless' (hostile.stateless): ValueError" in done.error
    assert (tmp_path / "o.jsonl.part").read_bytes().count(b"\n") == 7
    again = quick(run_arguments(clip, failing, "-o", output, "--on-error", "stop"))
    assert again.code == 0
    assert "continuing after the 7 lines of an earlier run" in again.err
    assert output.read_bytes().count(b"\n") == FRAMES


def test_more_failures_than_allowed_end_the_run(clip: Path, tmp_path: Path) -> None:
    failing = pipeline(tmp_path, [node("hostile.stateless", at=[7, 9, 11])])
    done = quick(run_arguments(clip, failing, "--max-errors", "2"))
    assert (done.code, done.word) == (7, "stopped.max_errors")
    assert frames(done) == list(range(11))
    assert quick(run_arguments(clip, failing, "--max-errors", "3")).code == 4


def test_lost_frames_leave_gaps_and_are_counted(damaged: Path, toys: Path, tmp_path: Path) -> None:
    done = quick(run_arguments(damaged, toys, "--frame-stride", "2", "--record", tmp_path / "r.json"))
    assert (done.code, done.word) == (4, "run.incomplete")
    assert "damaged: 2 of 25 sampled frames could not be decoded, first at 00:00:00.8" in done.error
    assert frames(done) == [i for i in range(0, 50, 2) if i not in (20, 22)]
    accounting = orjson.loads((tmp_path / "r.json").read_bytes())["accounting"]
    assert (accounting["ok"], accounting["undecodable"]) == (23, 2)
    assert accounting["missing_ranges"] == [[20, 22]]


def test_accepted_damage_is_done_but_said(damaged: Path, toys: Path) -> None:
    done = quick(run_arguments(damaged, toys, "--accept-damage", "6", "-q"))
    assert done.code == 0
    assert "accepted" in done.err
    assert "3 of 50 sampled frames could not be decoded" in done.err
    assert quick(run_arguments(damaged, toys, "--accept-damage", "5.9", "-q")).code == 4


def test_strict_finds_damage_that_nobody_asked_for(damaged: Path, clip: Path, toys: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.jsonl"
    arguments = run_arguments(damaged, toys, "--frame-stride", "9", "--strict", "-o", output)
    for _ in range(2):
        done = quick(arguments)
        assert (done.code, done.word) == (7, "stopped.strict")
        assert "frame 20 at 0.800 s could not be decoded" in done.error
        assert not output.exists()
    assert quick(run_arguments(damaged, toys, "--frame-stride", "9")).code == 0
    whole = quick(run_arguments(clip, toys, "--frame-stride", "7", "--strict"))
    assert whole.code == 0
    assert whole.out == quick(run_arguments(clip, toys, "--frame-stride", "7")).out


def test_strict_reads_to_the_end(tmp_path: Path, toys: Path) -> None:
    last = overwrite(encode(tmp_path / "last.mp4", indices=range(FRAMES), options={"g": "1"}), [FRAMES - 1])
    found = os.fspath(toys)
    few = Sampling(max_frames=2)
    assert run_video(last, found, sampling=few, registry=registry()).exit_code == 0
    with pytest.raises(StoppedError, match=r"frame 49 at 1.960 s could not be decoded"):
        run_video(last, found, sampling=few, registry=registry(), options=RunOptions(strict=True))


def test_a_failed_assertion_has_its_own_code(clip: Path, toys: Path) -> None:
    done = quick(run_arguments(clip, toys, "--assert", "index < 40"))
    assert (done.code, done.word) == (5, "check.assertion")
    assert len(done.lines) == FRAMES


def test_threads_of_tools_do_not_keep_the_process(clip: Path, tmp_path: Path) -> None:
    left = pipeline(tmp_path, [node("hostile.stateless", at=[3], kind="thread")])
    done = quick(run_arguments(clip, left, "-o", tmp_path / "o.jsonl"), timeout_s=30)
    assert done.code == 0
    assert (tmp_path / "o.jsonl").read_bytes().count(b"\n") == FRAMES


def test_names_are_escaped_in_messages(tmp_path: Path, toys: Path) -> None:
    for name in (b"no\nsuch\x1b[31m.mp4", b"no \xff such.mp4", b"-\xe2\x80\xae.mp4"):
        done = quick(run_arguments(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)), toys))
        assert (done.code, done.word) == (3, "input.missing")
        assert re.fullmatch(r"[ -~]+", done.error)


def test_hostile_names_work(clip: Path, toys: Path, tmp_path: Path) -> None:
    for name in (b"a:b\nc.mp4", b"\xff\xfe.mp4", "ü %d 🎥.mp4".encode(), b"http:x.mp4"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        shutil.copy(clip, path)
        output = path.with_suffix(".jsonl")
        done = quick(run_arguments(Path(path.name), toys, "-o", output.name, "--max-frames", "2"), cwd=tmp_path)
        assert done.code == 0, done.err
        assert output.read_bytes().count(b"\n") == 2


# --- one line, one word, one code, and nothing left ---


def _broken_plugin(folder: Path) -> list[str]:
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    path = pipeline(folder, [node("a:broken.tool")], id="b")
    return ["-p", os.fspath(path), "--plugins-dir", os.fspath(folder), "CLIP"]


def _audio(folder: Path) -> list[str]:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("aac", rate=48000)
        for start in range(0, 48000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return ["-p", "codes", os.fspath(path)]


def _named(name: str, content: bytes) -> Any:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(content)
        return ["-p", "codes", os.fspath(folder / name)]

    return make


def _fifo(folder: Path) -> list[str]:
    os.mkfifo(folder / "pipe.mp4")
    return ["-p", "codes", os.fspath(folder / "pipe.mp4")]


def _pipeline_text(text: str) -> Any:
    def make(folder: Path) -> list[str]:
        (folder / "p.json").write_text(text)
        return ["-p", os.fspath(folder / "p.json"), "CLIP"]

    return make


def _toy(*nodes: Any, edges: str = "") -> Any:
    def make(folder: Path) -> list[str]:
        return ["-p", os.fspath(pipeline(folder, list(nodes), edges)), "CLIP"]

    return make


PLAYLIST = b"ffconcat version 1.0\nfile /etc/passwd\n"
REFUSALS: dict[str, tuple[Any, int, str, str]] = {
    "no video": (["-p", "codes"], 2, "usage", "no video is named"),
    "unknown option": (["-p", "codes", "CLIP", "--stride", "5"], 2, "usage", "--stride"),
    "stride 0": (["-p", "codes", "CLIP", "--frame-stride", "0"], 2, "usage", "0"),
    "two samplings": (["-p", "codes", "CLIP", "--frame-stride", "2", "--keyframes"], 2, "usage", "keyframes"),
    "bad time": (["-p", "codes", "CLIP", "--start", "soon"], 2, "usage", "soon"),
    "bad tag": (["-p", "codes", "CLIP", "--tag", "result=1"], 2, "usage", "tag 'result'"),
    "bad share": (["-p", "codes", "CLIP", "--accept-damage", "101"], 2, "usage", "0 to 100"),
    "bad memory": (["-p", "codes", "CLIP", "--max-memory", "lots"], 2, "usage", "500M"),
    "bad workers": (["-p", "codes", "CLIP", "--workers", "0"], 2, "usage", "--workers 0"),
    "unknown pipeline": (["-p", "coods", "CLIP"], 2, "pipeline.unknown", "codes"),
    "not JSON": (_pipeline_text("{"), 2, "pipeline.invalid", "p.json"),
    "deep JSON": (_pipeline_text("[" * 100_000), 2, "pipeline.invalid", "p.json"),
    "unknown plugin": (_toy(node("a:nothing.tool")), 2, "pipeline.invalid", "nothing"),
    "broken plugin": (_broken_plugin, 2, "pipeline.invalid", "nothing_of_that_name"),
    "cannot start": (_toy("cannot_start"), 2, "plugin.broken", "no licence"),
    "misspelt parameter": (["-p", "codes", "CLIP", "--set", "codes.formatz=1"], 2, "param.invalid", "formatz"),
    "parameter file": (["-p", "codes", "CLIP", "--params", "none.json"], 2, "param.file", "none.json"),
    "no such file": (["-p", "codes", "none.mp4"], 3, "input.missing", "there is no such file"),
    "folder": (["-p", "codes", "."], 2, "usage", "--output-dir"),
    "pipe": (_fifo, 3, "input.not_file", ""),
    "device": (["-p", "codes", "/dev/zero"], 3, "input.not_file", ""),
    "URL": (["-p", "codes", "http://127.0.0.1:9/clip.mp4"], 3, "input.not_file", "URL"),
    "text": (_named("text.mp4", b"hello\n" * 100), 3, "input.not_mp4", ""),
    "empty": (_named("empty.mp4", b""), 3, "input.not_mp4", ""),
    "playlist": (_named("list.mp4", PLAYLIST), 3, "input.not_mp4", ""),
    "sound": (_audio, 3, "input.no_video", ""),
    "stream": (["-p", "codes", "CLIP", "--stream", "7"], 3, "input.no_video", "7"),
    "empty window": (["-p", "codes", "CLIP", "--start", "100"], 3, "input.no_frames", "window"),
    "large pictures": (["-p", "codes", "CLIP", "--max-pixels", "1000"], 3, "input.limit", "--max-pixels"),
    "a high rate": (["-p", "codes", "CLIP", "--max-frame-rate", "2"], 3, "input.limit", "--max-frame-rate"),
    "many frames": (["-p", "codes", "CLIP", "--max-index-frames", "5"], 3, "input.limit", "--max-index-frames"),
    "missing folder": (["-p", "codes", "CLIP", "-o", "none/o.jsonl"], 6, "output.folder", "none"),
    "output is a folder": (["-p", "codes", "CLIP", "-o", "."], 6, "output.folder", "name a file"),
    "output named like a folder": (["-p", "codes", "CLIP", "-o", "new/"], 6, "output.folder", "--output-dir"),
    "record named like a folder": (["-p", "codes", "CLIP", "--record", "new/"], 6, "output.folder", "name a file"),
    "output is the input": (["-p", "codes", "CLIP", "-o", "CLIP", "--overwrite"], 6, "output.input", "choose another"),
    "full device": (["-p", "codes", "CLIP", "-o", "/dev/full"], 6, "output.full", "no space left"),
    "first failure": (_toy(node("hostile.stateless", at=[0])), 7, "stopped.on_error", "frame 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_every_refusal_is_one_line_with_its_word_and_code_and_leaves_nothing(
    clip: Path, tmp_path: Path, case: str
) -> None:
    made, code, word, text = REFUSALS[case]
    arguments = made if isinstance(made, list) else made(tmp_path)
    arguments = [os.fspath(clip) if argument == "CLIP" else argument for argument in arguments]
    output = [] if "-o" in arguments else ["-o", "o.jsonl"]
    before = sorted(path.name for path in tmp_path.iterdir())
    toys = ["--plugins-dir", str(Path(__file__).parents[1] / "toy_plugins")]
    more = ["--on-error", "stop"] if case == "first failure" else []
    done = quick(command("run", "-q", *toys, *arguments, *output, *more), cwd=tmp_path, timeout_s=30)
    assert (done.code, done.word) == (code, word), done.err
    assert text in done.err
    if word != "pipeline.invalid":
        assert done.err.count("\n") == 1, done.err
    assert done.out == b""
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before


@pytest.mark.skipif(sys.platform == "darwin", reason="the limit is not kept there")
@pytest.mark.parametrize(
    ("pipeline", "kibibytes"),
    [("quality", 250_000), ("people", 300_000), ("quality", 400_000), ("quality", 600_000), ("quality", 800_000)],
)
def test_where_memory_is_rationed_a_run_is_right_or_stopped(
    clip: Path, tmp_path: Path, pipeline: str, kibibytes: int
) -> None:
    output = tmp_path / "o.jsonl"
    done = call(run_arguments(clip, pipeline, "-q", "-o", output), shell=f'ulimit -v {kibibytes}; exec "$@"')
    assert (done.code == 0 and done.err == "") or (done.code == 7 and done.word == "stopped.memory"), done
    assert output.exists() == (done.code == 0)


@pytest.mark.parametrize(
    ("video", "pipeline", "kind"),
    [("no.mp4", "quality", InputError), (None, "no such pipeline", PipelineError)],
)
def test_iter_video_refuses_its_request_when_it_is_called(
    clip: Path, video: str | None, pipeline: str, kind: type[VideodagError]
) -> None:
    with pytest.raises(kind):
        iter_video(video or clip, pipeline)
