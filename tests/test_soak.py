"""A small sample of each soak; `python -m tests.soak` has the long counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands import ROOT
from tests.soak import batch_kills, serve_kills
from tests.soak.against_ffmpeg import compare, compare_folder
from tests.soak.faults import disk, faults, files
from tests.soak.fuzz import DAMAGES, fuzz
from tests.soak.kills import kill_once, variants
from tests.soak.made_files import make_files
from tests.soak.samplings import samplings
from tests.soak.table import Tally
from videodag_cli.video.index import PacketIndex
from videodag_cli.video.pixels import Converter

pytestmark = pytest.mark.slow

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def test_kills(tmp_path: Path) -> None:
    import random

    tally = Tally("sample")
    chosen = list(variants(tmp_path, kinds=("checkpointed", "replayed"), formats=("jsonl",)))
    for variant in chosen:
        kill_once(variant, random.Random(variant.name), tally)
    assert not tally.problems, str(tally)
    assert sum(counter["equal bytes"] for counter in tally.counts.values()) == len(chosen)


def test_kills_in_a_batch(tmp_path: Path) -> None:
    import random

    tally = Tally("sample")
    variant = batch_kills.batch_variant(tmp_path, "shared and watched")
    batch_kills.kill_once(variant, "batch", random.Random(5), tally)
    assert not tally.problems, str(tally)
    assert sum(counter["equal bytes"] for counter in tally.counts.values()) == 1


def test_kills_of_a_service(tmp_path: Path) -> None:
    tally = serve_kills.serve_kills(tmp_path, count=1, seed=6, deadline_s=600, targets=("server and worker",))
    assert not tally.problems, str(tally)
    assert tally.counts["server and worker"]["kills"] == 1


def test_damaged_clips(tmp_path: Path) -> None:
    tally = fuzz(tmp_path, count=6, seed=1, classes=("h264", "mpeg4"))
    assert not tally.problems, str(tally)
    assert sum(sum(tally.counts[row][f"exit {code}"] for code in (0, 3, 4)) for row in tally.counts) == 6
    assert set(tally.counts) <= set(DAMAGES)


def test_samplings(tmp_path: Path) -> None:
    tally = samplings(tmp_path, count=6, seed=3)
    assert not tally.problems, str(tally)
    assert sum(sum(counter.values()) for counter in tally.counts.values()) == 6


@needs_strace
def test_failing_system_calls(tmp_path: Path) -> None:
    tally = faults(tmp_path, count=3, seed=4)
    assert not tally.problems, str(tally)


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting needs root")
def test_full_disks(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    subprocess.run(["umount", tmp_path], check=True)
    tally = disk(tmp_path, count=2)
    assert not tally.problems, str(tally)


@needs_strace
def test_opened_files(tmp_path: Path) -> None:
    tally = files(tmp_path, count=2)
    assert not tally.problems, str(tally)
    assert tally.counts["clip.mp4"]["opened"] > 10


def test_a_problem_is_counted_and_told() -> None:
    tally = Tally("title")
    tally.add("row", "good")
    tally.require("row", True, "not told")
    tally.require("row", False, "told")
    assert str(tally) == "title\n     good  WRONG\nrow     1      1\nWRONG row: told"


def test_the_command_knows_its_parts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "floods"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert (
        "one of kills, batch-kills, cache-edits, serve-kills, serve-fuzz, fuzz, samplings, faults, disk, files"
        in done.stderr
    )


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffmpeg is not installed")
def test_made_files_are_read_as_ffmpeg_does(tmp_path: Path) -> None:
    made = list(make_files(tmp_path, count=6))
    assert len(made) == 6
    results = list(compare_folder(tmp_path))
    assert [str(result) for result in results if result.verdict != "agree"] == []
    assert len(results) == 6


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffmpeg is not installed")
def test_a_reader_that_differs_from_ffmpeg_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = make_files(tmp_path, count=1)
    monkeypatch.setattr(PacketIndex, "time_s", lambda self, rank: rank / 26)
    assert compare(path).verdict == "DISAGREE"
    monkeypatch.undo()
    monkeypatch.setattr(Converter, "image", lambda self, frame: np.zeros((frame.height, frame.width, 3), np.uint8))
    assert "BGR" in str(compare(path))
