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

from tests.cached_runs import CHAIN, EDGES, FRAMES, calls, costly, plugin, run
from tests.clips import encode, overwrite
from tests.graphs import document, node, write
from tests.soak.cache_edits import cache_edits
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


@pytest.mark.slow
def test_after_random_edits_the_bytes_are_those_without(tmp_path: Path) -> None:
    tally = cache_edits(tmp_path, count=20, seed=1, deadline_s=600)
    assert tally.problems == []
    assert tally.counts["edits"]["recalled frames"] > 100


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
