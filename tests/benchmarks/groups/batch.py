"""A folder of one-minute clips, one frame a second of each: one command, against a loop, `xargs`, and a pool written by hand."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from tests.benchmarks.contenders import loop
from tests.benchmarks.measure import VIDEODAG, Contender
from tests.benchmarks.report import Section, Settings, compare

CLIPS = 40
RUN = f"{shlex.quote(VIDEODAG)} run -q -p quality --every 1"


def measure(settings: Settings) -> list[Section]:
    clip = settings.clip("minute720")
    folder = settings.scratch / "batch"
    folder.mkdir()
    for number in range(4 if settings.quick else CLIPS):
        shutil.copyfile(clip, folder / f"{number:02}.mp4")
    one = "videodag run FOLDER"
    each = f"{RUN} --force --output-dir {shlex.quote(str(settings.scratch / 'out'))} {shlex.quote(str(folder))}"
    return [
        compare(f"batch: {title}", [base, Contender(one, ["sh", "-c", each], base.name, {"wall": limit})], settings)
        for title, base, limit in (
            ("against a shell loop", Contender("a loop of videodag run", _loop(folder)), 0.5),
            ("against xargs", Contender("xargs -P2 videodag run", _xargs(folder)), 0.85),
            ("against a pool of OpenCV loops", Contender("pool of 2, OpenCV", loop("opencv_pool", folder, 2)), 0.5),
        )
    ]


def _loop(folder: Path) -> list[str]:
    return ["sh", "-c", f'for clip in {shlex.quote(str(folder))}/*.mp4; do {RUN} "$clip" > /dev/null || exit 1; done']


def _xargs(folder: Path) -> list[str]:
    return ["sh", "-c", f"ls {shlex.quote(str(folder))}/*.mp4 | xargs -P2 -I@ sh -c '{RUN} @ > /dev/null'"]
