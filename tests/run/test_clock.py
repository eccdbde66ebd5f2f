"""The clock and the timecode of lines."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import opentimelineio
import pytest

from tests.commands import Done, videodag
from tests.results_files import CLIPS, parsed
from videodag_cli.errors import InputError, RequestError
from videodag_cli.run.clock import resolved
from videodag_cli.run.timecode import Timecode
from videodag_cli.times import parse_instant

QUICK = ("run", "-q", "-p", "builtin:motion", "--max-frames", "12")


def made(path: Path, *options: str) -> Path:
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=30000/1001:duration=1"]
    subprocess.run(["ffmpeg", "-v", "error", *source, *options, "-c:v", "libx264", path], check=True)
    return path


@pytest.mark.parametrize(
    ("given", "name", "instant"),
    [
        ("2026-11-25T08:00:00Z", "a", "2026-11-25T08:00:00.000000Z"),
        ("2026-11-25T08:00:00.25+05:30", "a", "2026-11-25T02:30:00.250000Z"),
        ("name:*_%Y%m%d_%H%M%S@+01:00", "north_20260101_003000", "2025-12-31T23:30:00.000000Z"),
        ("name:%Y-%m-%dT%H%M%S%z*", "2026-03-01T120000-0800 gate", "2026-03-01T20:00:00.000000Z"),
        ("name:%Y%m%d%H%M@Z", "202602281234", "2026-02-28T12:34:00.000000Z"),
        ("name:PXL_%Y%m%d_%H%M%S%f@Z", "PXL_20240703_081530123", "2024-07-03T08:15:30.123000Z"),
        ("name:%Y-%m-%d_%H-%M-%S-*@-07:00", "2024-07-03_10-15-30-front", "2024-07-03T17:15:30.000000Z"),
        ("name:%Y_%m%d_%H%M%S_*@+02:00", "2024_0703_101530_001F", "2024-07-03T08:15:30.000000Z"),
        ("name:%d%m%y-%H%M@Z", "311268-2359", "2068-12-31T23:59:00.000000Z"),
        ("name:%y%m%d_%H%M%S@+01:00", "260101_003000", "2025-12-31T23:30:00.000000Z"),
        ("name:cam.%s", "cam.1700000000", "2023-11-14T22:13:20.000000Z"),
    ],
)
def test_instants_are_those_that_are_written(given: str, name: str, instant: str) -> None:
    assert resolved(given, f"{name}.mp4") == instant
    assert parse_instant(instant) == (datetime.fromisoformat(instant) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        ("2026-11-25T08:00:00", "a", "not a date and time with a zone"),
        ("yesterday", "a", "write an instant with its zone"),
        ("2026-02-30T08:00:00Z", "a", "day"),
        ("name:%Y%m%d_%H%M", "20260101_0030", "say the zone of the name once"),
        ("name:%Y%m%d_%H%M%z@Z", "a", "say the zone of the name once"),
        ("name:%Y%m%d@Z", "20260101", "%H, %M missing"),
        ("name:%y%m%d_%H%M@Z", "690101_0030", "1969 or 2069"),
        ("name:%Y%y%m%d_%H%M@Z", "a", "give one of them"),
        ("name:%q@Z", "a", "%q is unknown"),
        ("name:%Y%m%d_%H%M@Z", "cam_20260101_0030", "does not match the file's name"),
        ("name:*%Y%m%d%H%M*@Z", "120260101003011", "in several ways"),
        ("name:%Y%m%d_%H%M@Z", "20261301_0030", "month"),
    ],
)
def test_what_does_not_decide_is_refused(given: str, name: str, said: str) -> None:
    with pytest.raises((RequestError, InputError), match=said):
        resolved(given, f"{name}.mp4")


@pytest.mark.slow
def test_lines_have_the_instant_of_their_frame_whenever_the_file_was_written(tmp_path: Path) -> None:
    clip = tmp_path / "cam_20260301_235959.mp4"
    clip.write_bytes((CLIPS / "synthetic.mp4").read_bytes())
    os.utime(clip, (0, 0))
    done = videodag(*QUICK, clip, "--clock", "name:cam_%Y%m%d_%H%M%S@Z", "-o", tmp_path / "a.jsonl")
    assert done.code == 0, done.err
    lines = parsed(tmp_path / "a.jsonl")
    assert [list(line)[:3] for line in lines] == [["frame_index", "time_s", "time"]] * 12
    zero = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    for line in lines:
        assert datetime.fromisoformat(line["time"]) == zero + timedelta(microseconds=round(line["time_s"] * 1e6))
    same = videodag(*QUICK, clip, "--clock", "2026-03-01T23:59:59Z", "-o", tmp_path / "a.jsonl")
    assert same.code == 0
    other = videodag(*QUICK, clip, "--clock", "2026-03-01T23:59:58Z", "-o", tmp_path / "a.jsonl")
    assert other.code == 6
    assert "clock 2026-03-01T23:59:59.000000Z -> 2026-03-01T23:59:58.000000Z" in other.err


@pytest.mark.slow
def test_the_container_says_when_it_was_made_or_is_refused(tmp_path: Path) -> None:
    clip = made(tmp_path / "a.mp4", "-metadata", "creation_time=2026-11-25T08:00:00.000000Z")
    done = videodag(*QUICK, clip, "--clock", "container", "-o", tmp_path / "a.jsonl")
    assert done.code == 0, done.err
    assert [line["time"] for line in parsed(tmp_path / "a.jsonl")][:3] == [
        "2026-11-25T08:00:00.000000Z", "2026-11-25T08:00:00.033367Z", "2026-11-25T08:00:00.066733Z",
    ]  # fmt: skip
    refused = videodag(*QUICK, made(tmp_path / "b.mp4"), "--clock", "container")
    assert refused.code == 3
    assert "says no time of creation" in refused.err


def test_drop_frame_counting_leaves_out_two_numbers_in_nine_of_ten_minutes() -> None:
    """Counted by hand: every number that exists, in order, for two hours."""
    rate = Fraction(30000, 1001)
    counted = [
        f"{minute // 60:02d}:{minute % 60:02d}:{second:02d};{frame:02d}"
        for minute in range(121)
        for second in range(60)
        for frame in range(30)
        if minute % 10 == 0 or second or frame > 1
    ]
    start = Timecode.parse("00:00:00;00", rate)
    assert [start.at(i) for i in range(len(counted))] == counted
    for place in (0, 1799, 1800, 17982, 107892):
        assert Timecode.parse(counted[place], rate).start == place
    assert Timecode.parse("23:59:59;29", rate).at(1) == "00:00:00;00"
    assert Timecode.parse("23:59:59;29", rate).start == 2589407  # SMPTE ST 12-1: 2589408 frames in 24 hours
    assert Timecode.parse("00:00:59;59", Fraction(60000, 1001)).at(1) == "00:01:00;04"
    assert Timecode.parse("09:59:59:24", Fraction(25)).at(1) == "10:00:00:00"
    for text in ("00:01:00;01", "00:00:00;30", "24:00:00;00", "1:2:3"):
        with pytest.raises(ValueError, match=r"timecode|leaves out"):
            Timecode.parse(text, rate)
    with pytest.raises(ValueError, match="drop-frame timecode belongs"):
        Timecode.parse("00:00:00;00", Fraction(25))


@pytest.mark.slow
def test_lines_have_the_timecode_of_the_track(tmp_path: Path) -> None:
    clip = made(tmp_path / "a.mov", "-timecode", "01:02:59;28")
    assert b'"timecode": "01:02:59;28"' in videodag("probe", "--json", clip).out
    done = videodag(*QUICK, clip, "--timecode", "-o", tmp_path / "a.jsonl")
    assert done.code == 0, done.err
    found = [line["timecode"] for line in parsed(tmp_path / "a.jsonl")]
    assert found[:4] == ["01:02:59;28", "01:02:59;29", "01:03:00;02", "01:03:00;03"]
    refused = videodag(*QUICK, made(tmp_path / "b.mov"), "--timecode")
    assert (refused.code, "it has no timecode" in refused.err) == (3, True)


@pytest.mark.parametrize(
    ("rate", "drop"),
    [
        ("30000/1001", True),
        ("30000/1001", False),
        ("60000/1001", True),
        ("24000/1001", False),
        ("25", False),
        ("50", False),
    ],
)
def test_timecodes_are_those_of_opentimelineio(rate: str, drop: bool) -> None:
    exact = Fraction(rate)
    start = Timecode.parse(f"00:00:00{';' if drop else ':'}00", exact)
    for number in (0, 1, 29, 1799, 1800, 17_981, 17_982, 53_945, 107_892, 1_000_003, 2_589_407):
        expected = opentimelineio.opentime.to_timecode(
            opentimelineio.opentime.RationalTime(number, float(exact)), float(exact), drop
        )
        assert start.at(number) == expected


def test_what_a_phone_says_of_the_recording_has_to_agree_with_the_container(tmp_path: Path) -> None:
    """Phones write both; what exports a clip later may write its own time of creation."""

    def said(created: str, recorded: str) -> Done:
        options = ("-movflags", "use_metadata_tags", "-metadata", f"creation_time={created}")
        clip = made(
            tmp_path / f"{created[:10]}.mov", *options, "-metadata", f"com.apple.quicktime.creationdate={recorded}"
        )
        return videodag(*QUICK, clip, "--clock", "container", "-o", tmp_path / "a.jsonl", "--overwrite")

    agreed = said("2024-07-03T08:15:30Z", "2024-07-03T10:15:30+0200")
    assert agreed.code == 0, agreed.err
    assert parsed(tmp_path / "a.jsonl")[0]["time"] == "2024-07-03T08:15:30.000000Z"
    exported = said("2024-09-01T12:00:00Z", "2024-07-03T10:15:30+0200")
    assert (exported.code, exported.word) == (3, "input.unsupported")
    assert "recorded at 2024-07-03T10:15:30+0200" in exported.err
