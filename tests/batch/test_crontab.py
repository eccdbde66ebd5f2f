"""The nightly line of the README, run by a shell as cron does it: it prints, and so mails, only when something has failed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import ROOT

CRONTAB = re.compile(r"^```crontab\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEDULE = re.compile(r"(?:\S+ ){4}\S+ +(?P<command>.+)")


def crontab(page: str) -> str:
    (found,) = CRONTAB.findall((ROOT / page).read_text())
    return str(found)


@pytest.mark.slow
def test_each_night_ends_as_the_guide_says(tmp_path: Path, videos: Path) -> None:
    settings, line = crontab("README.md").splitlines()
    assert settings.startswith("MAILTO=")
    found = SCHEDULE.fullmatch(line)
    assert found is not None
    assert "%" not in line  # cron takes it for the end of the line
    command = found["command"].replace("/srv/footage", str(videos)).replace("/srv/results", str(tmp_path / "out"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "videodag").write_text(f'#!/bin/sh\nexec {sys.executable} -m videodag_cli "$@"\n')
    (tmp_path / "bin" / "videodag").chmod(0o755)

    def night() -> tuple[int, str]:
        environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    assert night() == (0, "")  # everything has only just been written, and may still grow
    assert not list((tmp_path / "out").rglob("*.jsonl"))
    for path in videos.rglob("*.*"):
        os.utime(path, (time.time() - 1000,) * 2)
    code, mail = night()
    assert (code, mail.count("\n")) == (4, 1)
    assert mail.startswith("videodag: error[run.incomplete]: 1 of 3 failed; ")
    assert "text.mp4" in mail
    assert night() == (0, "")
    assert len(list((tmp_path / "out").rglob("*.jsonl"))) == 2


def test_the_guide_shows_the_line_of_the_readme() -> None:
    assert crontab("docs/many-videos.md") == crontab("README.md")
