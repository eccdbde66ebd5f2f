"""The commands of `ranges --cut`, run by ffmpeg; the frames of the cuts say which they are."""

from __future__ import annotations

import json
import shlex
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import encode, read_index
from tests.commands import videodag
from tests.results_files import line, write
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe

pytestmark = pytest.mark.slow

UNEVEN = [i * 100 + (i % 3) * 30 for i in range(60)]
CLIPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reordered": {"options": {"x264-params": "bframes=3:keyint=12:scenecut=0:open-gop=1"}, "audio": True},
    "uneven": {"ticks": UNEVEN, "time_base": Fraction(1, 2997), "options": {"x264-params": "keyint=12:bframes=2"}},
    "late": {"ticks": [t + 4000 for t in UNEVEN], "time_base": Fraction(1, 2997), "options": {"g": "10"}},
    "ntsc": {"rate": Fraction(30000, 1001), "options": {"g": "15"}},
}


def results_of(clip: Path, folder: Path, wanted: range, *, stride: int = 1) -> Path:
    index = probe(clip).index
    lines = [{**line(i, {"on": i in wanted}), "time_s": index.time_s(i)} for i in range(0, len(index), stride)]
    source = write(folder / "a.jsonl", lines)
    facts = {"path": str(clip), "size": clip.stat().st_size}
    (folder / "a.jsonl.run.json").write_text(json.dumps({"schema": "videodag.run/1", "input": facts, "request": {}}))
    return source


def frames_of(clip: Path) -> list[int | None]:
    found = probe(clip)
    with open_reader(found, np.arange(len(found.index)), decoder="auto") as reader:
        return [read_index(frame.image) for frame in reader]


def cut(folder: Path, source: Path, how: str, *more: str) -> list[list[int | None]]:
    done = videodag("ranges", source, "--where", "on", "--cut", how, *more)
    assert done.code == 0, done.err
    cuts = []
    for command in done.text.splitlines():
        run = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
        assert run.returncode == 0, command
        cuts.append(frames_of(folder / shlex.split(command)[-1].removeprefix("file:")))
    return cuts


@pytest.mark.parametrize("kind", CLIPS)
def test_cuts_hold_the_frames_of_their_range(tmp_path: Path, kind: str) -> None:
    clip = encode(tmp_path / f"{kind}.mp4", indices=range(60), **CLIPS[kind])
    keys = [0, *np.flatnonzero(probe(clip).index.keyframe).tolist()]
    for wanted in (range(17, 31), range(50, 60)):
        folder = tmp_path / f"{wanted.start}"
        folder.mkdir()
        source = results_of(clip, folder, wanted)
        assert cut(folder, source, "exact") == [list(wanted)]
        for name in folder.glob("*.mp4"):
            name.unlink()
        (copied,) = cut(folder, source, "copy")
        assert set(wanted) <= set(copied)
        assert len(copied) == len(set(copied))
        assert copied[0] in keys


def test_sampled_frames_stand_for_those_behind_them(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", indices=range(60), options={"g": "10"})
    source = results_of(clip, tmp_path, range(10, 25), stride=5)
    assert cut(tmp_path, source, "exact") == [list(range(10, 25))]


def test_cuts_are_named_and_numbered_and_replace_nothing(tmp_path: Path) -> None:
    clip = encode(tmp_path / "it's a clip.mp4", indices=range(40))
    lines = [{**line(i, {"on": i % 10 < 5}), "time_s": i / 25} for i in range(40)]
    source = write(tmp_path / "a.jsonl", lines)
    assert cut(tmp_path, source, "exact", "--video", str(clip)) == [list(range(i, i + 5)) for i in (0, 10, 20, 30)]
    assert sorted(path.name for path in tmp_path.glob("*-0*.mp4")) == [f"it's a clip-000{i}.mp4" for i in (1, 2, 3, 4)]
    done = videodag("ranges", source, "--where", "on", "--cut", "exact", "--video", clip)
    again = subprocess.run(done.text.splitlines()[0], shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode != 0 or b"already exists" in again.stderr


def test_another_video_is_refused(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", indices=range(60))
    other = encode(tmp_path / "other.mp4", indices=range(60), rate=24)
    source = results_of(clip, tmp_path, range(10, 25))
    refused = videodag("ranges", source, "--where", "on", "--cut", "copy", "--video", other)
    assert refused.code == 3
    assert "these are not the results of" in refused.err
    with clip.open("ab") as file:
        file.write(bytes(8))
    changed = videodag("ranges", source, "--where", "on", "--cut", "copy")
    assert changed.code == 3
    assert "error[input.changed]" in changed.err
    clip.unlink()
    missing = videodag("ranges", source, "--where", "on", "--cut", "copy")
    assert missing.code == 3
    assert "--video CLIP names it" in missing.err
