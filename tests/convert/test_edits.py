"""EDL and OTIO, read by OpenTimelineIO and its CMX 3600 adapter: each clip holds exactly the frames it is about."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio
import pytest

from tests import results_files
from tests.commands import videodag
from tests.results_files import line
from videodag_cli.convert import convert
from videodag_cli.convert.editing import parse_rate
from videodag_cli.errors import RequestError, VideodagError

CUTS = (0, 7, 1790, 1805, 17_990)
COUNT = 18_200


def results(folder: Path, rate: str, *, timecode: str | None = None, first_s: float = 0.0, **video: Any) -> Path:
    """Lines of every frame, with cuts, and a record of a video of this rate."""
    exact = Fraction(rate)
    lines = [
        {
            **line(index, {"content": {"cut": index in CUTS[1:], "score": 0.0}}),
            "time_s": round(first_s + float(index / exact), 6),
        }
        for index in range(COUNT)
    ]
    path = results_files.write(folder / "r.jsonl", lines)
    facts = {
        "frame_rate": rate,
        "variable_frame_rate": False,
        "first_time_s": first_s,
        "frame_count": COUNT,
        "timecode": timecode,
    }
    record = {"schema": "videodag.run/1", "input": {"path": "/clips/a clip.mov", "video": {**facts, **video}}}
    (folder / "r.jsonl.run.json").write_text(json.dumps(record))
    return path


def clips(file: Path, rate: str) -> list[tuple[int, int]]:
    """First frame and number of frames of each clip, as OpenTimelineIO reads them."""
    options = {"adapter_name": "cmx_3600", "rate": float(Fraction(rate))} if file.suffix == ".edl" else {}
    timeline = opentimelineio.adapters.read_from_file(str(file), **options)
    (track,) = timeline.tracks
    ranges = [clip.source_range for clip in track]
    assert {round(each.start_time.rate, 6) for each in ranges} == {round(float(Fraction(rate)), 6)}
    return [(round(each.start_time.value), round(each.duration.value)) for each in ranges]


RATES = [
    ("25", None, 0),
    ("24000/1001", None, 0),
    ("30000/1001", None, 0),
    ("30000/1001", "00:00:58;12", 1752),
    ("60000/1001", "00:59:59;59", 215_783),
    ("30000/1001", "01:00:00:00", 108_000),
    ("50", "10:00:00:00", 1_800_000),
]


@pytest.mark.parametrize(("rate", "timecode", "start"), RATES)
@pytest.mark.parametrize("form", ["edl", "otio"])
def test_scenes_are_the_frames_between_cuts(
    form: str, rate: str, timecode: str | None, start: int, tmp_path: Path
) -> None:
    path = results(tmp_path, rate, timecode=timecode, first_s=0.033)
    output = tmp_path / f"cuts.{form}"
    assert convert([path], output).count == len(CUTS)
    ends = [*CUTS[1:], COUNT]
    assert clips(output, rate) == [(start + first, end - first) for first, end in zip(CUTS, ends, strict=True)]


@pytest.mark.parametrize("form", ["edl", "otio"])
def test_ranges_are_the_frames_in_which_it_is_true(form: str, tmp_path: Path) -> None:
    path = results(tmp_path, "30000/1001", timecode="00:00:58;12")
    output = tmp_path / f"ranges.{form}"
    done = videodag("ranges", path, "--where", "content.cut", "--format", form)
    output.write_bytes(done.out)
    assert clips(output, "30000/1001") == [(1752 + index, 1) for index in CUTS[1:]]


@pytest.mark.parametrize("form", ["edl", "otio"])
def test_several_videos_follow_each_other_with_times_of_their_own(form: str, tmp_path: Path) -> None:
    files = []
    for name, timecode in (("a", "10:00:00:00"), ("b", None)):
        (tmp_path / name).mkdir()
        files.append(results(tmp_path / name, "25", timecode=timecode))
    output = tmp_path / f"cuts.{form}"
    assert convert(files, output).count == 2 * len(CUTS)
    ends = [*CUTS[1:], COUNT]
    expected = [(start + a, b - a) for start in (900_000, 0) for a, b in zip(CUTS, ends, strict=True)]
    assert clips(output, "25") == expected
    done = videodag("ranges", *files, "--where", "content.cut", "--format", form)
    output.write_bytes(done.out)
    assert clips(output, "25") == [(start + index, 1) for start in (900_000, 0) for index in CUTS[1:]]


def test_videos_of_different_rates_need_the_rate_of_the_edit(tmp_path: Path) -> None:
    files = []
    for rate in ("25", "50"):
        (tmp_path / rate).mkdir()
        files.append(results(tmp_path / rate, rate))
    with pytest.raises(RequestError, match=r"25 frames per second and .* 50, .*--rate"):
        convert(files, tmp_path / "cuts.otio")
    convert(files, tmp_path / "cuts.otio", rate="25")
    assert clips(tmp_path / "cuts.otio", "25")[len(CUTS) :][:2] == [(0, 4), (4, 895 - 4)]


def test_an_edl_is_of_drop_frame_timecodes_or_not(tmp_path: Path) -> None:
    files = []
    for name, timecode in (("a", "00:00:00;00"), ("b", "00:00:00:00")):
        (tmp_path / name).mkdir()
        files.append(results(tmp_path / name, "30000/1001", timecode=timecode))
    with pytest.raises(RequestError, match="not drop-frame"):
        convert(files, tmp_path / "cuts.edl")
    convert(files, tmp_path / "cuts.otio")
    assert len(clips(tmp_path / "cuts.otio", "30000/1001")) == 2 * len(CUTS)


def test_an_otio_clip_names_the_video_and_how_long_it_is(tmp_path: Path) -> None:
    output = tmp_path / "cuts.otio"
    convert([results(tmp_path, "25")], output)
    (track,) = opentimelineio.adapters.read_from_file(str(output)).tracks
    media = track[0].media_reference
    assert (media.target_url, media.available_range.duration.value) == ("a%20clip.mov", COUNT)


def test_a_rate_that_varies_is_refused_until_one_is_given(tmp_path: Path) -> None:
    path = results(tmp_path, "25", variable_frame_rate=True)
    with pytest.raises(RequestError, match=r"varies.*--rate"):
        convert([path], tmp_path / "cuts.edl")
    convert([path], tmp_path / "cuts.edl", rate="50")
    assert clips(tmp_path / "cuts.edl", "50")[:2] == [(0, 14), (14, 2 * (1790 - 7))]


@pytest.mark.parametrize(
    ("rate", "video", "said"),
    [
        ("25/2", {}, "have no timecode"),
        ("25", {"frame_rate": None}, "give --rate"),
        ("25", {"timecode": "00:00:00:77"}, "is not a timecode at 25"),
        ("24", {"frame_rate": "30"}, "is not the time of a frame at 30"),
    ],
)
def test_times_that_are_no_frame_numbers_are_refused(
    rate: str, video: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(VideodagError, match=said):
        convert([results(tmp_path, rate, **video)], tmp_path / "cuts.edl")


def test_what_has_no_cuts_or_several_is_refused(tmp_path: Path) -> None:
    path = results(tmp_path, "25")
    record = (tmp_path / "r.jsonl.run.json").read_text()
    for result, said in (({"n": 1}, "has no cuts"), ({"a": {"cut": True}, "b": {"cut": False}}, "choose with --node")):
        results_files.write(path, [line(0, result), line(1, result)])
        (tmp_path / "r.jsonl.run.json").write_text(record)
        with pytest.raises(RequestError, match=said):
            convert([path], tmp_path / "cuts.otio")
    assert convert([path], tmp_path / "cuts.otio", nodes=["a"]).count == 2


def test_more_events_than_an_edl_holds_are_refused(tmp_path: Path) -> None:
    path = results(tmp_path, "25")
    results_files.write(path, [line(index, {"content": {"cut": True}}) for index in range(1000)])
    with pytest.raises(RequestError, match="999 events"):
        convert([path], tmp_path / "cuts.edl")
    assert convert([path], tmp_path / "cuts.otio").count == 1000


WRITTEN = {
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "23.976": Fraction(24000, 1001),
    "60000/1001": Fraction(60000, 1001),
}


@pytest.mark.parametrize(("text", "rate"), WRITTEN.items())
def test_a_rate_is_what_people_mean_by_it(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "x", "1/0", "-25", "1e9"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--rate"):
        parse_rate(text)
