"""A folder of one-minute clips, one frame a second of each: one command, against a loop, `xargs`, and a pool written by hand.

And with a pipeline that computes most of the time, a network on every second frame: videos side by side against one after the other.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import clips
from tests.benchmarks.contenders import loop
from tests.benchmarks.measure import VIDEODAG, Contender
from tests.benchmarks.report import Section, Settings, compare

CLIPS = 8
COMPUTED_CLIPS = 5
"""An odd number, so that two at once leave one for the end."""
COMPUTED_SECONDS = 6.0
RUN = f"{shlex.quote(VIDEODAG)} run -q -p quality --every 1"


def measure(settings: Settings) -> Iterator[Section]:
    clip = settings.clip("minute720")
    folder = settings.scratch / "batch"
    folder.mkdir()
    for number in range(4 if settings.quick else CLIPS):
        shutil.copyfile(clip, folder / f"{number:02}.mp4")
    yield from _against_others(folder, settings)
    yield from _jobs(clips.clip("minute720", seconds=COMPUTED_SECONDS), settings)


def _jobs(clip: Path, settings: Settings) -> Iterator[Section]:
    """Two videos at once on two CPUs."""
    folder = settings.scratch / "computed"
    folder.mkdir()
    for number in range(2 if settings.quick else COMPUTED_CLIPS):
        shutil.copyfile(clip, folder / f"{number}.mp4")

    def run(*options: str) -> list[str]:
        output = str(settings.scratch / "-".join(("out", *options)))
        more = ("-q", "-p", "people", "--frame-stride", "2", "--force", "--output-dir", output, str(folder))
        return [VIDEODAG, "run", *options, *more]

    serial, one, two = "--jobs 1 --workers 1", "--jobs 1", "--jobs 2"
    both = Contender(two, run("-j", "2"), serial, {"wall": 1 / 1.8}, cpus=2)
    yield compare(
        "batch: people, jobs and workers on 2 CPUs",
        [
            Contender(serial, run("-j", "1", "--workers", "1"), cpus=2),
            Contender(one, run("-j", "1"), serial, cpus=2),
            both,
        ],
        settings,
    )
    yield compare(
        "batch: people, two jobs against one with all workers",
        [Contender(one, run("-j", "1"), cpus=2), replace(both, base=one, limits={"wall": 1.05})],
        settings,
    )


def _against_others(folder: Path, settings: Settings) -> Iterator[Section]:
    one = "videodag run FOLDER"
    each = f"{RUN} --force --output-dir {shlex.quote(str(settings.scratch / 'out'))} {shlex.quote(str(folder))}"
    for title, base, limit in (
        ("against a shell loop", Contender("a loop of videodag run", _loop(folder)), 0.5),
        ("against xargs", Contender("xargs -P2 videodag run", _xargs(folder)), 0.85),
        ("against a pool of OpenCV loops", Contender("pool of 2, OpenCV", loop("opencv_pool", folder, 2)), 0.5),
    ):
        contenders = [base, Contender(one, ["sh", "-c", each], base.name, {"wall": limit})]
        yield compare(f"batch: {title}", contenders, settings)


def _loop(folder: Path) -> list[str]:
    return ["sh", "-c", f'for clip in {shlex.quote(str(folder))}/*.mp4; do {RUN} "$clip" > /dev/null || exit 1; done']


def _xargs(folder: Path) -> list[str]:
    return ["sh", "-c", f"ls {shlex.quote(str(folder))}/*.mp4 | xargs -P2 -I@ sh -c '{RUN} @ > /dev/null'"]
