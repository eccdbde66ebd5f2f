"""Results kept from run to run: the same bytes as without, whatever was changed, damaged, killed or run at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.clips import encode, overwrite
from tests.graphs import document, node, write
from videodag_cli.engine.cache_folder import CacheFolder, is_cache
from videodag_cli.errors import InputError, OutputError
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.api import plan_for, run_video
from videodag_cli.run.job import RunOptions
from videodag_cli.run.record import RunRecord
from videodag_cli.run.together import Part, run_together
from videodag_cli.system import files, refusals
from videodag_cli.video.pyav import PyavReader
from videodag_cli.video.sampling import Sampling

ROOT = Path(__file__).parent.parent.parent
FRAMES = 24
COSTLY = '''
from dataclasses import dataclass
from typing import NewType
import numpy as np
from videodag_cli import Detections, Frame, Tracks, VideoInfo, tool

CALLS = []
Score = NewType("Score", float)
Seen = NewType("Seen", int)
Moment = NewType("Moment", float)
Odd = NewType("Odd", dict)

@tool(version=VERSION, cache=True, requires=REQUIRES)
def boxes(frame: Frame, *, level: int = 100) -> Detections:
    CALLS.append(("boxes", frame.index))
    columns = frame.image.astype(np.float64).mean(axis=(0, 2))
    xs = np.flatnonzero(columns > level)[:4]
    return Detections(
        xyxy=np.array([(x, 1 / 3, x + 2.5, columns[x]) for x in xs]).reshape(-1, 4), confidence=columns[xs] / 300,
        class_name=["thing"] * len(xs), data={"column": tuple(int(x) for x in xs)})

@tool(stateless=True, cache=True, batch_size=4)
class Batched:
    def __init__(self, *, fail: list[int] = []) -> None:
        self.fail, self.seen = fail, 0
    def __call__(self, frames: list[Frame]) -> list[Score]:
        if any(frame.index in self.fail for frame in frames):
            raise ValueError("not this one")
        CALLS.extend(("batched", frame.index) for frame in frames)
        self.seen += len(frames)
        return [Score(float(frame.gray.mean()) / 7) for frame in frames]
    def describe(self) -> dict[str, str]:
        return {"batched": "yes"}
    @staticmethod
    def remarks(instances: list["Batched"]) -> list[str]:
        return [f"saw {sum(instance.seen for instance in instances)} frames"]

@tool(stateless=True, cache=True)
class Knows:
    def __init__(self, video: VideoInfo) -> None:
        self.video = video
    def __call__(self, frame: Frame) -> Moment:
        return Moment(frame.index / self.video.sampled_count)

@tool(cache=True)
def inside(frame: Frame, detections: Detections) -> Odd:
    CALLS.append(("inside", frame.index))
    return Odd({"means": [float(frame.image[:, int(b[0]):int(b[2])].mean()) for b in detections.xyxy], "nan": float("nan")})

@tool(cache=True)
def local(frame: Frame) -> set_of:
    return set_of(frame.index)

@tool
def stronger(detections: Detections, *, least: float = 0.0) -> Detections:
    return detections[detections.confidence >= least]

@tool
class Ids:
    """Counts on from frame to frame."""
    def __init__(self, *, step: int = 1) -> None:
        self.count, self.step = 0, step
    def __call__(self, detections: Detections) -> Tracks:
        ids = self.count + np.arange(len(detections)) * self.step
        self.count += len(detections) * self.step
        return Tracks(xyxy=detections.xyxy, confidence=detections.confidence, tracker_id=ids)
    def state(self):
        return {"count": self.count}
    def restore(self, state):
        self.count = state["count"]

@tool
class Late:
    lookahead = 2
    def __init__(self, *, factor: int = 1) -> None:
        self.last, self.factor = 0, factor
    def __call__(self, tracks: Tracks) -> Seen:
        self.last = len(tracks) * self.factor
        return Seen(self.last)
    def finish(self) -> list[Seen]:
        return [Seen(-1)] * 2

@tool(pixels=False)
def moment(frame: Frame, tracks: Tracks) -> Moment:
    return Moment(frame.time_s + frame.width + len(tracks))

@tool
def half(frame: Frame) -> Frame:
    return frame.resized(frame.width // 2, frame.height // 2)

@tool(pixels=False)
def liar(frame: Frame) -> Score:
    return Score(float(frame.image.mean()))
'''


def plugin(folder: Path, *, version: int = 1, requires: str | None = None, more: str = "") -> Registry:
    folder.mkdir(exist_ok=True)
    text = "class set_of(set):\n    pass\n" + COSTLY.replace("VERSION", str(version)).replace(
        "REQUIRES", repr(requires)
    )
    text = text.replace("-> set_of", "-> Odd").replace(
        "return set_of(frame.index)", "return Odd({'set': {frame.index}})"
    )
    (folder / "costly.py").write_text(text + more)
    found = Registry([folder])
    found.plugin("costly")
    return found


def calls() -> list[tuple[str, int]]:
    """What was called since this was asked last."""
    made: list[tuple[str, int]] = sys.modules["videodag_local_plugins.costly"].CALLS
    found = sorted(made)
    made.clear()
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES), options={"g": "4"})
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Registry:
    found = plugin(tmp_path / "tools")
    calls()
    return found


def costly(spec: str, **params: Any) -> dict[str, Any]:
    node_id, _, tool = spec.rpartition(":")
    return node(f"{node_id or tool}:costly.{tool}", **params)


CHAIN = [costly("boxes"), costly("ids"), costly("moment")]
EDGES = "boxes>ids ids>moment"


def run(
    clip: Path,
    folder: Path,
    tools: Registry,
    nodes: list[Any],
    edges: str = "",
    *,
    cache: Path | None = None,
    sampling: Sampling | None = None,
    outputs: list[str] | None = None,
    **options: Any,
) -> tuple[bytes, RunRecord]:
    pipeline = write(folder, document(nodes, edges, id="p", outputs=outputs))
    output = folder / ("kept.jsonl" if cache else "plain.jsonl")
    made = RunOptions(force=True, overwrite=True, cache=None if cache is None else str(cache), **options)
    plan = plan_for(str(pipeline), registry=tools)
    record = run_video(clip, plan, output=output, sampling=sampling, options=made)
    return output.read_bytes(), record


def told(record: RunRecord) -> dict[str, Any]:
    """What a record says, apart from when, how fast, and what was not computed."""
    return record.model_dump(exclude={"nodes", "profile", "wall_time_s", "output", "recalled"})


def test_what_is_kept_is_neither_computed_nor_decoded_again(
    clip: Path, tmp_path: Path, tools: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, record = run(clip, tmp_path, tools, CHAIN, EDGES)
    calls()
    first, _ = run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    assert len(calls()) == FRAMES
    monkeypatch.setattr(PyavReader, "_frames", lambda self: pytest.fail("decoded"))
    again, kept = run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    assert calls() == []
    assert plain == first == again
    assert told(kept) == told(record)
    assert kept.recalled == {"boxes": FRAMES}
    nodes, outputs = [CHAIN[0], costly("ids", step=3), CHAIN[2]], ["ids", "moment"]
    changed, _ = run(clip, tmp_path, tools, nodes, EDGES, cache=tmp_path / "c", outputs=outputs)
    monkeypatch.undo()
    assert changed == run(clip, tmp_path, tools, nodes, EDGES, outputs=outputs)[0]


def test_another_sampling_takes_what_is_there(clip: Path, tmp_path: Path, tools: Registry) -> None:
    run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c", sampling=Sampling(stride=2))
    calls()
    kept, record = run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    assert calls() == [("boxes", index) for index in range(1, FRAMES, 2)]
    plain, expected = run(clip, tmp_path, tools, CHAIN, EDGES)
    assert kept == plain
    assert told(record) == told(expected)


@pytest.mark.parametrize(
    "change",
    ["param", "version", "requires", "code", "upstream", "node", "video", "decoder", "package"],
)
def test_whatever_decides_a_result_makes_it_computed_again(
    clip: Path, tmp_path: Path, tools: Registry, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, edges = [costly("half"), costly("boxes")], "half>boxes"
    run(clip, tmp_path, tools, nodes, edges, cache=tmp_path / "c")
    calls()
    options: dict[str, Any] = {}
    if change == "param":
        nodes = [nodes[0], costly("boxes", level=101)]
    elif change == "upstream":
        nodes, edges = [costly("boxes")], ""
    elif change == "node":
        nodes, edges = [nodes[0], costly("other:boxes")], "half>other"
    elif change == "version":
        tools = plugin(tmp_path / "tools", version=2)
    elif change == "requires":
        tools = plugin(tmp_path / "tools", requires="ocr")
    elif change == "code":
        tools = plugin(tmp_path / "tools", more="\n# another line\n")
    elif change == "video":
        clip = encode(tmp_path / "other.mp4", indices=range(1, FRAMES + 1))
    elif change == "decoder":
        options["decoder"] = "opencv"
    elif change == "package":
        monkeypatch.setattr("videodag_cli.engine.definitions.surroundings", lambda: "other")
    kept, _ = run(clip, tmp_path, tools, nodes, edges, cache=tmp_path / "c", **options)
    assert len(calls()) == FRAMES
    assert kept == run(clip, tmp_path, tools, nodes, edges, **options)[0]


def test_a_copy_of_the_video_counts_by_its_content(clip: Path, tmp_path: Path, tools: Registry) -> None:
    run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    calls()
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    run(copy, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    assert calls() == []
    changed = bytearray(clip.read_bytes())
    changed[-1] ^= 1  # of the same size, and with the time set back
    copy.write_bytes(changed)
    os.utime(copy, (1_700_000_000, 1_700_000_000))
    run(copy, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    assert len(calls()) == FRAMES


def test_failures_are_tried_again_and_look_the_same(clip: Path, tmp_path: Path, tools: Registry) -> None:
    nodes = [costly("batched", fail=[5, 6]), costly("boxes")]
    plain, expected = run(clip, tmp_path, tools, nodes)
    for _ in range(2):
        kept, record = run(clip, tmp_path, tools, nodes, cache=tmp_path / "c")
        assert kept == plain
        assert record.accounting == expected.accounting
        assert record.errors == expected.errors
    assert record.recalled == {"batched": FRAMES - 2, "boxes": FRAMES}


def test_remarks_and_descriptions_are_those_of_a_run_without(clip: Path, tmp_path: Path, tools: Registry) -> None:
    plain = run(clip, tmp_path, tools, [costly("batched")])[1]
    assert plain.remarks == [f"node 'batched': saw {FRAMES} frames"]
    for _ in range(2):
        kept = run(clip, tmp_path, tools, [costly("batched")], cache=tmp_path / "c")[1]
        assert told(kept) == told(plain)
    stride = Sampling(stride=4)
    part = run(clip, tmp_path, tools, [costly("batched")], cache=tmp_path / "c", sampling=stride)[1]
    assert part.remarks == []  # nobody has seen these frames and no others


def test_a_damaged_video_is_decoded_and_counted_each_time(tmp_path: Path, tools: Registry) -> None:
    clip = encode(tmp_path / "damaged.mp4", indices=range(FRAMES), options={"g": "4"})
    overwrite(clip, [9, 10])
    plain, expected = run(clip, tmp_path, tools, CHAIN, EDGES)
    assert expected.accounting.undecodable
    for _ in range(2):
        kept, record = run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
        assert kept == plain
        assert told(record) == told(expected)


def test_a_tool_without_pixels_gets_none_whether_anything_is_kept_or_not(
    clip: Path, tmp_path: Path, tools: Registry
) -> None:
    plain, record = run(clip, tmp_path, tools, [costly("liar")])
    assert record.accounting.failed == FRAMES
    assert run(clip, tmp_path, tools, [costly("liar")], cache=tmp_path / "c")[0] == plain


def test_values_without_an_exact_form_are_computed_again(clip: Path, tmp_path: Path, tools: Registry) -> None:
    nodes = [costly("local")]
    plain = run(clip, tmp_path, tools, nodes)[0]
    for _ in range(2):
        kept, record = run(clip, tmp_path, tools, nodes, cache=tmp_path / "c")
        assert kept == plain
        assert record.recalled == {}


def test_several_pipelines_at_once_share_what_is_kept(clip: Path, tmp_path: Path, tools: Registry) -> None:
    def made(name: str, nodes: list[Any], edges: str) -> Part:
        (tmp_path / name).mkdir(exist_ok=True)
        path = write(tmp_path / name, document(nodes, edges, id=name))
        return Part(plan=plan_for(str(path), registry=tools), output=tmp_path / name / "o.jsonl", force=True)

    inside = [costly("boxes"), costly("ids"), costly("inside")]
    for round_ in range(3):
        parts = [
            made("one", CHAIN, EDGES),
            made("two", inside, "boxes>ids ids>inside"),
            made("three", [costly("batched")], ""),
        ]
        run_together(clip, parts, options=RunOptions(cache=str(tmp_path / "c"), workers=3))
        assert len(calls()) == (0 if round_ else 3 * FRAMES)
        for part, (nodes, edges) in zip(
            parts, [(CHAIN, EDGES), (inside, "boxes>ids ids>inside"), ([costly("batched")], "")], strict=True
        ):
            assert isinstance(part.result, RunRecord), part.result
            expected, record = run(clip, tmp_path, tools, nodes, edges)
            calls()
            assert Path(part.output).read_bytes() == expected
            assert part.result.accounting == record.accounting


def random_pipeline(rng: random.Random) -> tuple[list[Any], str, list[str]]:
    """Costly nodes in all places: behind a resized frame, a filter, a node with state, a look-ahead, failures."""
    nodes = [costly("boxes", level=rng.choice([90, 100, 120]))]
    edges, before = [], "boxes"
    outputs = ["boxes"]
    if rng.random() < 0.4:
        nodes.append(costly("half"))
        edges.append("half>boxes")
    if rng.random() < 0.6:
        nodes.append(costly("stronger", least=rng.choice([0.0, 0.4, 0.6])))
        edges.append("boxes>stronger")
        before = "stronger"
    if rng.random() < 0.7:
        nodes.append(costly("ids", step=rng.choice([1, 2])))
        edges.append(f"{before}>ids")
        before = "ids"
        outputs.append("ids")
        if rng.random() < 0.5:
            nodes.append(costly("late", factor=rng.choice([1, 3])))
            edges.append("ids>late")
            outputs.append("late")
        if rng.random() < 0.5:
            nodes.append(costly("moment"))
            edges.append("ids>moment")
            outputs.append("moment")
    if rng.random() < 0.6:
        nodes.append(costly("inside"))
        edges.append(f"{before}>inside")
        outputs.append("inside")
    if rng.random() < 0.4:
        nodes.append(costly("batched", fail=rng.choice([[], [], [3], [10, 11]])))
        outputs.append("batched")
    if rng.random() < 0.3:
        nodes.append(costly("knows"))
        outputs.append("knows")
    chosen = [name for name in outputs if rng.random() < 0.7]
    feeding = {edge.split(">")[0] for edge in edges}
    leaves = [item["id"] for item in nodes if item["id"] not in feeding]
    return nodes, " ".join(edges), list(dict.fromkeys([*leaves, *chosen]))


def edits(clip: Path, folder: Path, tools: Registry, *, seed: int, count: int) -> int:
    """Random pipelines, params, samplings and ways to run, one after the other over one cache; how many frames were recalled."""
    rng = random.Random(seed)
    recalled = 0
    for _ in range(count):
        nodes, edges, outputs = random_pipeline(rng)
        sampling = rng.choice([None, None, Sampling(stride=3), Sampling(max_frames=10)])
        options: dict[str, Any] = {"workers": rng.choice([1, 3]), "batch_size": rng.choice([None, 2])}
        plain, expected = run(clip, folder, tools, nodes, edges, outputs=outputs, sampling=sampling, **options)
        kept, record = run(
            clip, folder, tools, nodes, edges, outputs=outputs, sampling=sampling, cache=folder / "c", **options
        )
        assert kept == plain, (nodes, edges, outputs)
        assert record.accounting == expected.accounting
        assert record.errors == expected.errors
        assert record.problems == expected.problems
        recalled += sum(record.recalled.values())
    return recalled


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_after_random_edits_the_bytes_are_those_without(clip: Path, tmp_path: Path, tools: Registry, seed: int) -> None:
    assert edits(clip, tmp_path, tools, seed=seed, count=12) > 50


@pytest.mark.slow
def test_after_a_hundred_random_edits_the_bytes_are_those_without(clip: Path, tmp_path: Path, tools: Registry) -> None:
    assert edits(clip, tmp_path, tools, seed=7, count=100) > 1000


def test_damaged_entries_are_computed_again(clip: Path, tmp_path: Path, tools: Registry) -> None:
    plain = run(clip, tmp_path, tools, CHAIN, EDGES)[0]
    rng = random.Random(5)
    run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    for round_ in range(12):
        for kept in CacheFolder(tmp_path / "c").files():
            data = bytearray(kept.path.read_bytes() or b"gone")
            for _ in range(rng.choice([1, 3])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if round_ % 4 == 3:
                data = data[: rng.randrange(len(data))]
            kept.path.write_bytes(data)
        assert run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")[0] == plain


def test_an_entry_in_the_place_of_another_is_not_trusted(clip: Path, tmp_path: Path, tools: Registry) -> None:
    for level in (90, 120):
        run(clip, tmp_path, tools, [costly("boxes", level=level)], cache=tmp_path / "c")
    places = [kept.path for kept in CacheFolder(tmp_path / "c").files() if kept.size > 2000]
    assert len(places) == 2
    one, other = (place.read_bytes() for place in places)
    places[0].write_bytes(other)
    places[1].write_bytes(one)
    calls()
    for level in (90, 120):
        kept = run(clip, tmp_path, tools, [costly("boxes", level=level)], cache=tmp_path / "c")[0]
        assert kept == run(clip, tmp_path, tools, [costly("boxes", level=level)])[0]
    assert len(calls()) == 4 * FRAMES


def test_it_stays_within_its_size_and_forgets_what_was_used_least_recently(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "c", max_bytes=20_000)
    keys = [f"{number:040x}" for number in range(12)]
    for number, key in enumerate(keys):
        folder.write(key, {b"slot": bytes(3000)}, {})
        for kept in folder.files():
            if kept.path.parent.name == key:
                os.utime(kept.path, (1000 + number, 1000 + number))
        if number == 4:
            assert folder.read(keys[0], most_bytes=10_000)  # used just now
        assert sum(kept.size for kept in folder.files()) <= 20_000
    left = {kept.path.parent.name for kept in folder.files()}
    assert keys[0] in left
    assert keys[-1] in left
    assert keys[1] not in left


def test_a_folder_with_other_files_is_refused_and_left_alone(clip: Path, tmp_path: Path, tools: Registry) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match="holds other files"):
        run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    assert not is_cache(tmp_path / "mine")


def test_a_full_disk_ends_the_keeping_and_not_the_run(
    clip: Path, tmp_path: Path, tools: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c", sampling=Sampling(max_frames=1))

    def full(fd: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    real = files.write_atomically

    def write_some(path: Path, data: bytes) -> None:
        if "/c/" in str(path):
            with refusals.writing(path):
                full(0, data)
        real(path, data)

    monkeypatch.setattr("videodag_cli.engine.cache_folder.write_atomically", write_some)
    kept, record = run(clip, tmp_path, tools, CHAIN, EDGES, cache=tmp_path / "c")
    assert record.exit_code == 0
    assert any("results are not kept" in remark and "no space" in remark for remark in record.remarks)
    assert kept == run(clip, tmp_path, tools, CHAIN, EDGES)[0]


def test_a_video_that_changes_meanwhile_leaves_nothing(tmp_path: Path, tools: Registry) -> None:
    clip = encode(tmp_path / "growing.mp4", indices=range(FRAMES))
    plan = plan_for(str(write(tmp_path, document(CHAIN, EDGES, id="p"))), registry=tools)
    with pytest.raises(InputError, match="changed while it was read"):
        run_video(
            clip,
            plan,
            output=tmp_path / "o.jsonl",
            options=RunOptions(cache=str(tmp_path / "c")),
            on_progress=lambda done, total: os.utime(clip),
        )
    assert all(kept.size < 400 for kept in CacheFolder(tmp_path / "c").files())


@pytest.mark.slow
def test_two_runs_at_once_do_not_disturb_each_other(clip: Path, tmp_path: Path, tools: Registry) -> None:
    plain = run(clip, tmp_path, tools, CHAIN, EDGES)[0]
    found: list[bytes] = []

    def one(number: int) -> None:
        (tmp_path / str(number)).mkdir()
        for _ in range(3):
            found.append(
                run(clip, tmp_path / str(number), tools, CHAIN, EDGES, cache=tmp_path / "c", cache_bytes=8000)[0]
            )

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [plain] * 9


@pytest.mark.slow
def test_a_killed_run_leaves_what_a_later_one_can_use(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    slow = (
        "import time\nfrom typing import NewType\nfrom videodag_cli import Frame, tool\n"
        'Mean = NewType("Mean", float)\n\n@tool(cache=True)\ndef mean(frame: Frame) -> Mean:\n'
        "    time.sleep(0.05)\n    return Mean(float(frame.image.mean()))\n"
    )
    (tmp_path / "tools" / "slow.py").write_text(slow)
    nodes = [node("mean:slow.mean")]
    pipeline = write(tmp_path, document(nodes, id="p"))
    command = ["run", "-p", str(pipeline), "--plugins-dir", str(tmp_path / "tools"), str(clip), "-q", "--workers", "1"]
    start = "import videodag_cli.engine.kept as k; k.WRITE_ENTRIES = 1; from videodag_cli.cli.app import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", start, *command, "--cache", str(tmp_path / "c")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    tools = Registry([tmp_path / "tools"])
    kept, record = run(clip, tmp_path, tools, nodes, cache=tmp_path / "c")
    assert kept == run(clip, tmp_path, tools, nodes)[0]
    assert record.recalled["mean"] >= 4
