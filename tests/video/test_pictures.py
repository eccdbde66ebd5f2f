"""What packets bring: fields, packets without a picture, and times that contradict the order of output; pixels known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import Image, encode, read_index, x264
from tests.field_pictures import SIZE, H264Picture, Mpeg2Picture, h264_headers, mpeg2_sequence, planes
from tests.plain_mp4 import Sample, esds, sample_entry, write_mp4
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.source import Probe

TICKS = 512
"""One frame, of a 25th of a second."""


def h264(path: Path, pictures: Sequence[tuple[int, H264Picture]], times: Sequence[int] | None, **headers: Any) -> Path:
    """A file of pictures, each a sample; `times` in halves of a frame, or none: then they follow the order of decoding."""
    half = TICKS // 2
    steps = [half if picture.field else TICKS for _, picture in pictures]
    decoded = np.concatenate(([0], np.cumsum(steps)[:-1])).tolist()
    samples = [
        Sample(
            picture.data(planes(index)),
            steps[number],
            0 if times is None else times[number] * half - decoded[number],
            picture.kind == "IDR",
        )
        for number, (index, picture) in enumerate(pictures)
    ]
    return write_mp4(path, samples, sample_entry(b"avc1", SIZE, h264_headers(**headers)), SIZE)


def exact(index: int) -> Image:
    """The painted picture after a way through 4:2:0, which I_PCM keeps as it is."""
    flat = np.concatenate([plane.reshape(-1) for plane in planes(index)]).reshape(SIZE[1] * 3 // 2, SIZE[0])
    frame = av.VideoFrame.from_ndarray(flat, format="yuv420p")
    return np.asarray(frame.to_ndarray(format="bgr24", interpolation="BICUBIC"), np.uint8)


def read(found: Probe, targets: Any, **options: Any) -> dict[int, Image]:
    with open_reader(found, np.asarray(targets, np.int64), **options) as reader:
        pictures = {frame.index: frame.image for frame in reader}
        assert reader.undecodable.tolist() == []
    return pictures


def shown(found: Probe, *, problems: Sequence[str] = ()) -> list[int | None]:
    """The painted index of each frame; the same for all samplings and numbers of threads."""
    count = len(found.index)
    with open_reader(found, np.arange(count), threads=1) as reader:
        everything = {frame.index: frame.image for frame in reader}
        assert reader.undecodable.tolist() == []
        assert reader.problems == list(problems)
    assert list(everything) == list(range(count))
    for targets in (range(0, count, 2), range(1, count, 3), range(count - 1, count), range(count // 2, count)):
        for threads in (1, 3):
            pictures = read(found, list(targets), threads=threads)
            assert list(pictures) == list(targets)
            assert all(np.array_equal(image, everything[index]) for index, image in pictures.items())
    return [read_index(image) for image in everything.values()]


def ffmpegs_order(path: Path) -> list[int | None]:
    """The painted indices in the order in which FFmpeg's decoder gives the pictures."""
    with av.open(str(path)) as file:
        return [read_index(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)) for frame in file.decode(video=0)]


def pair(kind: str, number: int, order: int, first: str, **options: Any) -> list[H264Picture]:
    """Two fields of one frame."""
    second = "bottom" if first == "top" else "top"
    other = "P" if kind in ("IDR", "I") else kind
    return [
        H264Picture(kind, number, order, first, **options),
        H264Picture(other, number, order + 1, second, **options),
    ]


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_two_field_samples_make_one_frame(first: str, tmp_path: Path) -> None:
    pictures = [
        (index, picture)
        for index in range(9)
        for picture in pair("P" if index % 4 else "IDR", index % 4, 2 * (index % 4), first)
    ]
    found = probe(h264(tmp_path / "a.mp4", pictures, None))
    assert (found.facts.frame_count, found.facts.packet_count, found.facts.paired_frame_count) == (9, 18, 9)
    assert found.facts.discarded_packet_count == 0
    assert [found.index.time_s(i) for i in range(9)] == [round(i / 25, 6) for i in range(9)]
    assert shown(found) == list(range(9))
    assert all(np.array_equal(image, exact(index)) for index, image in read(found, range(9)).items())
    assert np.flatnonzero(found.index.keyframe).tolist() == [0, 4, 8]


def b_fields(first: str, *, mixed: bool) -> tuple[list[tuple[int, H264Picture]], list[int]]:
    """I0 P2 B1 P4 B3 ..., in fields, or every other picture a frame."""
    coded: list[tuple[int, H264Picture]] = [(0, p) for p in pair("IDR", 0, 0, first)]
    for step in range(1, 5):
        for index, kind in ((2 * step, "P"), (2 * step - 1, "B")):
            options: dict[str, Any] = {"reference": kind == "P"}
            number = step if kind == "P" else step + 1
            if mixed and (step + (kind == "B")) % 2:
                coded.append((index, H264Picture(kind, number, 2 * index, **options)))
            else:
                coded += [(index, picture) for picture in pair(kind, number, 2 * index, first, **options)]
    times = []
    for number, (index, picture) in enumerate(coded):
        second = number > 0 and picture.field and coded[number - 1][0] == index
        times.append(2 * index + 2 + bool(second))
    return coded, times


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("mixed", [False, True], ids=["fields", "mixed"])
@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
def test_fields_of_b_pictures_are_put_in_order(first: str, mixed: bool, timed: bool, tmp_path: Path) -> None:
    coded, times = b_fields(first, mixed=mixed)
    path = h264(tmp_path / "a.mp4", coded, times if timed else None)
    found = probe(path)
    assert ffmpegs_order(path) == list(range(9))
    assert shown(found) == list(range(9))
    offset = 1 if timed else 0
    assert [found.index.time_s(i) for i in range(9)] == [round((i + offset) / 25, 6) for i in range(9)]
    assert found.facts.reordered_frame_count == (0 if timed else 8)


def test_a_picture_that_waits_for_many_is_not_lost(tmp_path: Path) -> None:
    """Each group is coded from its last picture backwards: that one comes out behind 29 that are later in the file."""
    coded = [0]
    for last in (30, 60, 90):
        coded += [last, *range(last - 29, last)]
    kinds = {0: "IDR", **dict.fromkeys((30, 60, 90), "P")}
    pictures = [(index, H264Picture(kinds.get(index, "B"), number, index)) for number, index in enumerate(coded)]
    path = h264(tmp_path / "a.mp4", pictures, [2 * index + 2 for index, _ in pictures])
    found = probe(path)
    assert ffmpegs_order(path) == list(range(91))
    assert shown(found) == list(range(91))
    for targets in ([30], [30, 60, 90], [60], [29, 30, 31]):
        assert [read_index(image) for image in read(found, targets).values()] == targets


def test_both_fields_in_one_sample_are_one_frame(tmp_path: Path) -> None:
    samples = [
        Sample(
            b"".join(p.data(planes(index)) for p in pair("P" if index else "IDR", index, 2 * index, "top")),
            key=not index,
        )
        for index in range(6)
    ]
    path = write_mp4(tmp_path / "a.mp4", samples, sample_entry(b"avc1", SIZE, h264_headers()), SIZE)
    found = probe(path)
    assert (len(found.index), found.facts.paired_frame_count) == (6, 0)
    assert shown(found) == list(range(6))


@pytest.mark.parametrize("lost", ["first", "second"])
def test_a_frame_with_one_field_lost_is_not_handed_out(lost: str, tmp_path: Path) -> None:
    pictures = [(index, picture) for index in range(6) for picture in pair("IDR", 0, 0, "top")]
    path = h264(tmp_path / "a.mp4", pictures, None)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        places = [(p.pos, p.size) for p in file.demux(file.streams.video[0]) if p.size]
    at, size = places[4 if lost == "first" else 5]
    assert at is not None
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    found = probe(path)
    with open_reader(found, np.arange(len(found.index))) as reader:
        pictures_shown = {round(frame.time_s * 25): read_index(frame.image) for frame in reader}
        assert len(reader.undecodable) > 0
    assert pictures_shown == {0: 0, 1: 1, 3: 3, 4: 4, 5: 5}


@pytest.mark.parametrize("order_type", [0, 1])
@pytest.mark.parametrize("order_present", [False, True])
def test_frames_whose_times_follow_decoding_come_in_the_order_of_output(
    order_type: int, order_present: bool, tmp_path: Path
) -> None:
    """I0 P3 B1 B2 ... without times of presentation, with each way of telling the order."""
    coded = []
    for step in range(4):
        group = [(3 * step, "P"), (3 * step - 2, "B"), (3 * step - 1, "B")] if step else [(0, "IDR")]
        for index, kind in group:
            number = step + (kind == "B")
            order = 2 * index
            if order_type == 1:  # the deltas that `_cycled` adds to two for each reference picture
                order -= 2 * step if kind != "B" else 2 * step - 1
            picture = H264Picture(
                kind,
                number,
                order,
                reference=kind != "B",
                order_type=order_type,
                order_present=order_present,
                bottom_delta=1,
            )
            coded.append((index, picture))
    path = h264(tmp_path / "a.mp4", coded, None, order_type=order_type, order_present=order_present)
    found = probe(path)
    assert ffmpegs_order(path) == list(range(10))
    assert shown(found) == list(range(10))
    assert [found.index.time_s(i) for i in range(10)] == [round(i / 25, 6) for i in range(10)]
    assert found.facts.reordered_frame_count == 9
    assert any("the order of decoding" in note for note in found.facts.notes)


def mpeg2(path: Path, pictures: Sequence[tuple[int, Mpeg2Picture]], times: Sequence[int] | None) -> Path:
    """As `h264`."""
    half = TICKS // 2
    steps = [half if picture.field else TICKS for _, picture in pictures]
    decoded = np.concatenate(([0], np.cumsum(steps)[:-1])).tolist()
    samples = [
        Sample(
            (b"" if number else mpeg2_sequence()) + picture.data(planes(index)),
            steps[number],
            0 if times is None else times[number] * half - decoded[number],
            not number,
        )
        for number, (index, picture) in enumerate(pictures)
    ]
    return write_mp4(path, samples, sample_entry(b"mp4v", SIZE, esds(mpeg2_sequence(), object_type=0x61)), SIZE)


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("mixed", [False, True], ids=["fields", "mixed"])
@pytest.mark.parametrize("timed", [True, False], ids=["timed", "untimed"])
def test_mpeg2_fields_make_frames(first: str, mixed: bool, timed: bool, tmp_path: Path) -> None:
    """I0 P2 B1 P4 B3 ..., in fields, or every third picture a frame."""
    coded: list[tuple[int, Mpeg2Picture]] = []
    times: list[int] = []
    second = "bottom" if first == "top" else "top"
    order = [(0, "I"), *(pair for step in range(2, 9, 2) for pair in ((step, "P"), (step - 1, "B")))]
    for number, (index, kind) in enumerate(order):
        if mixed and number % 3 == 0:
            coded.append((index, Mpeg2Picture(kind, index)))
            times.append(2 * index + 2)
        else:
            coded += [
                (index, Mpeg2Picture(kind, index, first)),
                (index, Mpeg2Picture(kind.replace("I", "P"), index, second)),
            ]
            times += [2 * index + 2, 2 * index + 3]
    path = mpeg2(tmp_path / "a.mp4", coded, times if timed else None)
    assert ffmpegs_order(path) == list(range(9))
    found = probe(path)
    assert found.facts.interlaced
    assert found.facts.paired_frame_count == (6 if mixed else 9)
    assert shown(found) == list(range(9))
    offset = 1 if timed else 0
    assert [found.index.time_s(i) for i in range(9)] == [round((i + offset) / 25, 6) for i in range(9)]


REORDERING = {
    "h264 pyramid": lambda p: x264(p, "keyint=12:bframes=3:b-pyramid=normal:b-adapt=0"),
    "h264 open groups": lambda p: x264(p, "keyint=10:min-keyint=10:open-gop=1:bframes=3:b-adapt=0:scenecut=0"),
    "hevc": lambda p: encode(
        p,
        codec="libx265",
        options={"x265-params": "log-level=none:pools=1:frame-threads=1:keyint=10:bframes=4:b-adapt=0"},
    ),
    "mpeg4": lambda p: encode(p, codec="mpeg4", options={"g": "12", "bf": "2", "qscale": "3"}),
    "mpeg2": lambda p: encode(p, codec="mpeg2video", options={"g": "12", "bf": "2"}),
}


def retimed(source: Path, path: Path, times: Sequence[int]) -> Path:
    """The packets of a file with these times of presentation, in frames, by position."""
    with av.open(str(source)) as file, av.open(str(path), "w", options={"use_editlist": "0"}) as target:
        stream = target.add_stream_from_template(file.streams.video[0])
        packets = [packet for packet in file.demux(file.streams.video[0]) if packet.size]
        for number, packet in enumerate(packets):
            packet.dts, packet.pts = number * TICKS, times[number] * TICKS
            packet.stream = stream
            target.mux(packet)
    return path


@pytest.mark.parametrize("name", REORDERING)
def test_a_file_without_times_of_presentation_is_put_in_order(name: str, tmp_path: Path) -> None:
    """As from an AVI file, which has only times of decoding."""
    path = retimed(REORDERING[name](tmp_path / "a.mp4"), tmp_path / "b.mp4", range(40))
    assert ffmpegs_order(path) == list(range(40))
    found = probe(path)
    assert shown(found) == list(range(40))
    assert [found.index.time_s(i) for i in range(40)] == [round(i / 25, 6) for i in range(40)]
    assert any("the order of decoding" in note for note in found.facts.notes)


@pytest.mark.parametrize("name", ["h264 pyramid", "mpeg4"])
def test_times_in_no_order_are_a_contradiction(name: str, tmp_path: Path) -> None:
    source = REORDERING[name](tmp_path / "a.mp4")
    with av.open(str(source)) as file:
        times = [round((p.pts or 0) / TICKS) for p in file.demux(file.streams.video[0]) if p.size]
    times = [time - min(times) for time in times]
    wrong = [times[13] if i == 14 else times[14] if i == 13 else time for i, time in enumerate(times)]
    found = probe(retimed(source, tmp_path / "b.mp4", [time + 3 for time in wrong]))
    said = "the times of 2 frames contradict the order of output"
    assert f"damaged: {said}" in found.facts.notes
    assert shown(found, problems=[said]) == list(range(40))


def test_hevc_fields_are_pictures_of_their_own(tmp_path: Path) -> None:
    """As FFmpeg outputs them: each of half the height of a frame, at its own time."""
    params = "log-level=none:pools=1:frame-threads=1:interlace=tff:keyint=8:bframes=2"
    path = encode(
        tmp_path / "a.mp4", codec="libx265", indices=range(20), size=(160, 64), options={"x265-params": params}
    )
    with av.open(str(path)) as file:
        assert all(frame.interlaced_frame for frame in file.decode(video=0))
    found = probe(path)
    assert (len(found.index), found.info.height, found.facts.paired_frame_count) == (20, 64, 0)
    assert shown(found) == ffmpegs_order(path) == list(range(20))


def test_where_packets_do_not_tell_the_order_the_decoder_is_listened_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with VC-1, for which no encoder is at hand: MPEG-4 whose packets are not looked into."""
    path = retimed(REORDERING["mpeg4"](tmp_path / "a.mp4"), tmp_path / "b.mp4", range(40))
    for module in ("demux", "pyav"):
        monkeypatch.setattr(f"videodag_cli.video.{module}.picture_reader", lambda *args, **options: None)
    found = probe(path)
    with open_reader(found, np.arange(len(found.index))) as reader:
        assert len(list(reader)) == 40
        assert reader.problems == ["pictures come out of the decoder in another order than that of their times"]
    timed = probe(tmp_path / "a.mp4")
    with open_reader(timed, np.arange(len(timed.index))) as reader:
        assert [read_index(frame.image) for frame in reader] == list(range(40))
        assert reader.problems == []
