"""One behaviour suite for both readers over every valid class of clip, and the exactness of what they skip."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import (
    INTERLACED,
    SIZE,
    VALID,
    Image,
    clip_folder,
    encode,
    find,
    paint,
    read_index,
    turned,
    valid,
    vfr_ticks,
)
from videodag_cli.errors import InputError, RequestError
from videodag_cli.video.choice import choose_decoder
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.source import Probe

__all__ = ["clip_folder"]

READERS = [("pyav", name) for name in VALID] + [("opencv", name) for name, case in VALID.items() if case.opencv]


def read(found: Probe, targets: Any, **options: Any) -> dict[int, Image]:
    """Frame index -> picture; every target has to be there, in order."""
    with open_reader(found, np.asarray(targets), **options) as reader:
        frames = list(reader)
        assert [frame.index for frame in frames] == list(targets)
        assert [frame.time_s for frame in frames] == [found.index.time_s(i) for i in targets]
        assert len(reader.undecodable) == 0
        assert reader.problems == []
    return {frame.index: frame.image for frame in frames}


def plainly_decoded(path: Path, stream: int = 0) -> list[tuple[Fraction, Image]]:
    """Time and picture of each frame, by PyAV's own loop, sorted by time; as stored."""
    with av.open(str(path)) as file:
        video: Any = file.streams[stream]
        frames = [
            (frame.pts * video.time_base, frame.to_ndarray(format="bgr24", interpolation="BICUBIC"))
            for frame in file.decode(video)
        ]
    return sorted(frames, key=lambda item: item[0])


def test_painted_indices_are_read_back_only_upright() -> None:
    assert [read_index(paint(index)) for index in (0, 1, 511, 1023)] == [0, 1, 511, 1023]
    for wrong in (paint(5)[:, ::-1], paint(5)[::-1], paint(5)[::-1, ::-1], paint(5) // 2 + paint(6) // 2):
        assert read_index(wrong) is None


@pytest.mark.parametrize(("decoder", "name"), READERS)
def test_each_frame_shows_its_own_index(decoder: str, name: str, clip_folder: Path) -> None:
    case = VALID[name]
    found = probe(valid(name, clip_folder))
    assert (found.info.width, found.info.height) == case.size
    pictures = read(found, range(len(found.index)), decoder=decoder)
    assert [read_index(image) for image in pictures.values()] == [case.first + i for i in range(len(found.index))]
    for image in pictures.values():
        assert image.shape == (case.size[1], case.size[0], 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert not image.flags.writeable


@pytest.mark.parametrize("name", VALID)
def test_skipping_changes_no_pixel(name: str, clip_folder: Path) -> None:
    found = probe(valid(name, clip_folder))
    count = len(found.index)
    everything = read(found, range(count), threads=1)
    keyframes = np.flatnonzero(found.index.keyframe)
    plans = [range(0, count, 2), range(0, count, 5), range(0, count, 13), range(count - 1, count), keyframes.tolist()]
    plans += [range(count // 3, count, 7), range(count // 2, count)]
    for plan in plans:
        for threads in (1, 3):
            pictures = read(found, plan, threads=threads)
            assert all(np.array_equal(image, everything[index]) for index, image in pictures.items())


@pytest.mark.parametrize("name", VALID)
def test_a_continued_reader_goes_on_with_the_frame_after(name: str, clip_folder: Path) -> None:
    found = probe(valid(name, clip_folder))
    count = len(found.index)
    targets = np.arange(0, count, 2)
    everything = read(found, targets)
    for after in {-1, 0, count // 2, count - 2, count - 1}:
        with open_reader(found, targets, after=after) as reader:
            rest = {frame.index: frame.image for frame in reader}
            assert len(reader.undecodable) == 0
        assert list(rest) == [index for index in everything if index > after]
        assert all(np.array_equal(image, everything[index]) for index, image in rest.items())


@pytest.mark.parametrize("name", VALID)
def test_times_are_the_containers(name: str, clip_folder: Path) -> None:
    path = valid(name, clip_folder)
    found = probe(path)
    plain = plainly_decoded(path, found.stream_index)
    assert [found.index.exact_time_s(i) for i in range(len(found.index))] == [time for time, _ in plain]


@pytest.mark.parametrize("name", [name for name, case in VALID.items() if case.opencv])
def test_both_readers_give_the_same_bytes(name: str, clip_folder: Path) -> None:
    found = probe(valid(name, clip_folder))
    plan = range(0, len(found.index), 3)
    ours, theirs = read(found, plan, decoder="pyav"), read(found, plan, decoder="opencv")
    assert all(np.array_equal(ours[index], theirs[index]) for index in plan)


TURNING = "h264 turning interlaced"


@pytest.mark.parametrize("name", [name for name, case in VALID.items() if not case.opencv and name != TURNING])
def test_opencv_is_refused_where_it_is_not_proven_right(name: str, clip_folder: Path) -> None:
    found = probe(valid(name, clip_folder))
    with pytest.raises(InputError, match=r"use --decoder auto") as caught:
        open_reader(found, np.arange(len(found.index)), decoder="opencv")
    assert caught.value.word == "input.unsupported"


def test_what_only_the_packets_tell_is_read_with_pyav_when_opencv_was_asked_for(clip_folder: Path) -> None:
    found = probe(valid(TURNING, clip_folder))
    pictures = read(found, range(40), decoder="opencv")
    assert [read_index(image) for image in pictures.values()] == list(range(40))


def test_auto_says_why_it_does_not_take_opencv(clip_folder: Path) -> None:
    found = probe(valid("mpeg2", clip_folder))
    choice = choose_decoder(found)
    assert choice.name == "pyav"
    assert "codec mpeg2" in choice.reason
    assert found.facts.decoder_reason == choice.reason


def test_an_unknown_decoder_is_a_usage_error(clip_folder: Path) -> None:
    with pytest.raises(RequestError, match="auto, opencv, pyav"):
        open_reader(probe(valid("h264", clip_folder)), np.arange(3), decoder="ffmpeg")


def test_only_targets_are_converted_and_unneeded_groups_are_not_decoded(clip_folder: Path) -> None:
    found = probe(valid("h264 pyramid, short groups", clip_folder))
    keyframes = np.flatnonzero(found.index.keyframe)
    with open_reader(found, keyframes) as reader:
        assert len(list(reader)) == len(keyframes)
        assert reader.decoded_count == len(keyframes)


def test_unreferenced_pictures_are_dropped(clip_folder: Path) -> None:
    found = probe(valid("h264 open groups", clip_folder))
    with open_reader(found, np.arange(0, len(found.index), 4)) as reader:
        assert len(list(reader)) == 15
        assert reader.decoded_count < len(found.index) * 0.7


def test_no_targets_give_no_frames(clip_folder: Path) -> None:
    assert read(probe(valid("h264", clip_folder)), []) == {}


def test_closing_early_frees_the_decoder_and_can_be_repeated(clip_folder: Path) -> None:
    for decoder in ("pyav", "opencv"):
        reader = open_reader(probe(valid("h264", clip_folder)), np.arange(40), decoder=decoder)
        frames = iter(reader)
        assert next(frames).index == 0
        reader.close()
        reader.close()


def test_an_abandoned_reader_does_no_harm(clip_folder: Path) -> None:
    def first_frames() -> Iterator[int]:
        for _ in range(10):
            yield next(
                iter(open_reader(probe(valid("ten thousand ticks", clip_folder)), np.arange(30), threads=4))
            ).index

    assert list(first_frames()) == [0] * 10


def test_another_stream_can_be_chosen(clip_folder: Path) -> None:
    path = valid("two streams", clip_folder)
    found = probe(path, stream=1)
    assert (found.info.width, found.info.height) == (128, 96)
    assert [read_index(image) for image in read(found, range(30)).values()] == list(range(500, 530))
    with pytest.raises(InputError, match="stream 2 is not a video stream; video streams: 0, 1") as caught:
        probe(path, stream=2)
    assert caught.value.word == "input.no_video"


def test_frames_at_the_same_time_keep_the_order_of_decoding(tmp_path: Path) -> None:
    path = encode(tmp_path / "same.mp4", indices=range(12), options={"bf": "0"})
    data = bytearray(path.read_bytes())
    start, _ = find(bytes(data), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")
    for entry in range(int.from_bytes(data[start + 4 : start + 8], "big")):
        data[start + 12 + 8 * entry : start + 16 + 8 * entry] = bytes(4)  # frames last no time at all
    path.write_bytes(data)
    found = probe(path)
    assert {found.index.time_s(i) for i in range(len(found.index))} == {0.0}
    pictures = read(found, range(len(found.index)))
    assert [read_index(image) for image in pictures.values()] == list(range(len(found.index)))
    assert len(pictures) > 1


def test_times_far_out_of_decoding_order_are_followed(tmp_path: Path) -> None:
    """The second half of the file is shown first."""
    path = encode(tmp_path / "swapped.mp4", indices=range(24), options={"bf": "0", "g": "6"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "out.mp4"), "w", options={"use_editlist": "0"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.pts = (packet.pts or 0) + (0 if (packet.pts or 0) >= 12 * 512 else 40 * 512)
                packet.stream = stream
                target.mux(packet)
    found = probe(tmp_path / "out.mp4")
    pictures = read(found, range(24))
    assert [read_index(image) for image in pictures.values()] == [*range(12, 24), *range(12)]


def test_colours_follow_the_matrix_and_range_of_the_stream(tmp_path: Path) -> None:
    """The same colour, stored with BT.601 and with BT.709, and in both ranges, comes out the same."""
    wanted = np.array([40, 160, 220])  # BGR
    for matrix, weights in (("smpte170m", (0.299, 0.114)), ("bt709", (0.2126, 0.0722))):
        for full in (False, True):
            red, blue = weights
            b, g, r = wanted / 255
            luma = red * r + (1 - red - blue) * g + blue * b
            chroma_b, chroma_r = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
            low, high, spread = (0, 255, 255) if full else (16, 219, 224)
            planes = [low + high * luma, 128 + spread * chroma_b, 128 + spread * chroma_r]
            path = _flat(tmp_path / f"{matrix}{full}.mp4", planes, matrix, full)
            found = probe(path)
            assert (
                found.facts.color
                == f"{'BT.601' if matrix == 'smpte170m' else 'BT.709'}, {'full' if full else 'limited'} range"
            )
            image = read(found, range(2))[0]
            assert np.array_equal(read(found, range(2), decoder="opencv")[0], image)
            assert np.abs(image.reshape(-1, 3).mean(0) - wanted).max() < 3


def _flat(path: Path, planes: list[float], matrix: str, full: bool) -> Path:
    with av.open(str(path), "w") as file:
        layout = "yuvj420p" if full else "yuv420p"
        stream: Any = file.add_stream("libx264", rate=25, options={"x264-params": f"colormatrix={matrix}:qp=4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        for pts in range(2):
            frame = av.VideoFrame(64, 48, layout)
            for plane, value in zip(frame.planes, planes, strict=True):
                plane.update(bytes([round(value)]) * plane.buffer_size)
            frame.pts = pts
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def test_variable_rate_and_hidden_frames_are_told(clip_folder: Path) -> None:
    found = probe(valid("variable rate", clip_folder))
    assert found.facts.variable_frame_rate
    assert [found.index.time_s(i) for i in range(8)] == [float(round(Fraction(t, 600), 6)) for t in vfr_ticks(8)]
    hidden = probe(valid("edit list hiding frames", clip_folder))
    assert (hidden.facts.frame_count, hidden.facts.discarded_packet_count) == (33, 7)
    assert hidden.index.time_s(0) == 0.0


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", {"x264-params": "tff=1:keyint=10"}), ("mpeg4", {"g": "12"}), ("mpeg2video", {"g": "12", "bf": "2"})],
)
def test_interlaced_pictures_are_whole(codec: str, options: dict[str, str], tmp_path: Path) -> None:
    """The upper field shows the index, the lower one its negative: nothing is dropped, blended or exchanged."""

    def two_fields(image: Image) -> Image:
        woven = image.copy()
        woven[1::2] = 250 - woven[1::2]
        return woven

    path = encode(
        tmp_path / "clip.mp4",
        indices=range(20),
        codec=codec,
        options={**options, "b": "4000000"},
        flags=INTERLACED,
        prepare=two_fields,
    )
    with av.open(str(path)) as file:
        assert next(file.decode(video=0)).interlaced_frame
    found = probe(path)
    assert len(found.index) == 20
    for index, image in read(found, [0, 1, 7, 12, 19]).items():
        assert read_index(image[::2]) == index
        assert read_index(250 - image[1::2]) == index


def test_orientation_and_sampling_go_together(tmp_path: Path) -> None:
    found = probe(turned(tmp_path / "turned.mp4", 90))
    assert (found.facts.rotation, found.info.width, found.info.height) == (90, *SIZE)
    assert {i: read_index(image) for i, image in read(found, [3, 11, 19]).items()} == {3: 3, 11: 11, 19: 19}
