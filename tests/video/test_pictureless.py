"""Packets that hold no new picture are no damage, have no frame_index, and change nothing for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import SIZE, encode, find, read_index
from tests.field_pictures import Bits
from tests.plain_mp4 import Sample, esds, sample_entry, write_mp4
from videodag_cli.video.mpeg4 import read_layer
from videodag_cli.video.opening import open_reader
from videodag_cli.video.packet_headers import obus
from videodag_cli.video.probing import probe

TICKS = 512
Packets = list[tuple[bytes, bool]]


def coded(
    folder: Path, codec: str, *, count: int = 16, params: str = "", **options: str
) -> tuple[bytes, bytes, Packets]:
    """Sample entry, global headers and packets of a clip without B-pictures."""
    if params:
        options["x265-params"] = params
    path = encode(folder / "source.mp4", codec=codec, indices=range(count), options=options)
    data = path.read_bytes()
    start, _ = find(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    entry = data[start + 8 : start + 8 + int.from_bytes(data[start + 8 : start + 12], "big")]
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        headers = bytes(stream.codec_context.extradata or b"")
        return entry, headers, [(bytes(p), p.is_keyframe) for p in file.demux(stream) if p.size]


def check(path: Path, samples: Sequence[Sample], entry: bytes, wanted: dict[int, int], *, size: Any = SIZE) -> None:
    """wanted: the number of the sample at whose time it is shown -> the painted index, for each frame."""
    write_mp4(path, samples, entry, size)
    found = probe(path)
    assert [found.index.time_s(i) for i in range(len(found.index))] == [round(at / 25, 6) for at in sorted(wanted)]
    shown = [wanted[at] for at in sorted(wanted)]
    assert found.facts.pictureless_packet_count == found.facts.packet_count - len(wanted)
    assert found.facts.discarded_packet_count == 0
    for step in (1, 2, 3):
        for threads in (1, 4):
            targets = np.arange(0, len(shown), step)
            with open_reader(found, targets, threads=threads) as reader:
                assert [read_index(frame.image) for frame in reader] == shown[::step]
                assert reader.undecodable.tolist() == []
                assert reader.problems == []
    with open_reader(found, np.arange(len(shown) - 1, len(shown))) as reader:
        assert [read_index(frame.image) for frame in reader] == shown[-1:]


def between(packets: Packets, empty: bytes, after: Sequence[int]) -> tuple[list[Sample], dict[int, int]]:
    """The packets with an empty one behind some of them, and at which sample each picture is."""
    samples: list[Sample] = []
    wanted = {}
    for number, (data, key) in enumerate(packets):
        wanted[len(samples)] = number
        samples.append(Sample(data, TICKS, 0, key))
        if number in after:
            samples.append(Sample(empty, TICKS))
    return samples, wanted


def unit(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


H264_EMPTY: dict[str, Callable[[bytes], bytes]] = {
    "delimiter": lambda headers: unit(b"\x09\xf0"),
    "filler": lambda headers: unit(b"\x0c\xff\xff\xff\x80"),
    "end of sequence": lambda headers: unit(b"\x0a"),
    "parameter sets": lambda headers: unit(headers[8 : 8 + int.from_bytes(headers[6:8], "big")]),
    "no bytes": lambda headers: b"",
}


@pytest.mark.parametrize("name", H264_EMPTY)
def test_h264(name: str, tmp_path: Path) -> None:
    entry, headers, packets = coded(tmp_path, "libx264", bf="0", g="4")
    samples, wanted = between(packets, H264_EMPTY[name](headers), (3, 7, 15))
    if name == "no bytes":  # no demuxer makes packets of them
        samples, wanted = between(packets, b"", ())
        times = [number + sum(at < number for at in (3, 7, 15)) for number in range(16)]
        full, _ = between(packets, b"", (3, 7, 15))
        write_mp4(tmp_path / "a.mp4", full, entry, SIZE)
        found = probe(tmp_path / "a.mp4")
        assert [found.index.time_s(i) for i in range(16)] == [round(time / 25, 6) for time in times]
        with open_reader(found, np.arange(16)) as reader:
            assert [read_index(frame.image) for frame in reader] == list(range(16))
            assert (reader.undecodable.tolist(), reader.problems) == ([], [])
        return
    check(tmp_path / "a.mp4", samples, entry, wanted)


@pytest.mark.parametrize(
    "empty", [b"\x46\x01\x50", b"\x4c\x01\xff\x80", b"\x48\x01"], ids=["delimiter", "filler", "end"]
)
def test_hevc(empty: bytes, tmp_path: Path) -> None:
    entry, _, packets = coded(
        tmp_path, "libx265", params="log-level=none:pools=1:frame-threads=1:keyint=4:bframes=0:open-gop=0"
    )
    samples, wanted = between(packets, unit(empty), (3, 7, 15))
    check(tmp_path / "a.mp4", samples, entry, wanted)


def test_leading_pictures_of_a_first_entry_have_no_references(tmp_path: Path) -> None:
    """HEVC cut at an open group: no decoder outputs the pictures that refer to what is gone (ITU-T H.265, 8.1.3)."""
    path = encode(
        tmp_path / "source.mp4",
        codec="libx265",
        indices=range(14),
        options={
            "x265-params": "log-level=none:pools=1:frame-threads=1:keyint=5:min-keyint=5:open-gop=1:bframes=2:scenecut=0"
        },
    )
    with av.open(str(path)) as file, av.open(str(tmp_path / "a.mp4"), "w", options={"use_editlist": "0"}) as target:
        stream = target.add_stream_from_template(file.streams.video[0])
        packets = [packet for packet in file.demux(file.streams.video[0]) if packet.size]
        kinds = [bytes(packet)[4] >> 1 & 63 for packet in packets]
        start = kinds.index(21)
        assert kinds[start + 1] in (8, 9)
        for packet in packets[start:]:
            packet.stream = stream
            target.mux(packet)
    found = probe(tmp_path / "a.mp4")
    with open_reader(found, np.arange(len(found.index))) as reader:
        assert [read_index(frame.image) for frame in reader] == list(range(5, 14))
        assert (reader.undecodable.tolist(), reader.problems) == ([], [])


def vop(headers: bytes) -> bytes:
    """An MPEG-4 picture that is not coded."""
    layer = read_layer(headers)
    assert layer is not None
    bits = Bits().u(32, 0x1B6).u(2, 1).u(1, 0).u(1, 1).u(layer.time_bits, 0).u(1, 1).u(1, 0).u(1, 0)
    return bits.align("1").done()


@pytest.mark.parametrize("after", [(3, 4, 8), (2, 15)], ids=["between", "last"])
def test_mpeg4_pictures_that_are_not_coded(after: Sequence[int], tmp_path: Path) -> None:
    _, headers, packets = coded(tmp_path, "mpeg4", g="8", bf="0", qscale="3")
    samples, wanted = between(packets, vop(headers), after)
    check(tmp_path / "a.mp4", samples, sample_entry(b"mp4v", SIZE, esds(headers)), wanted)


def test_mpeg4_frames_of_one_byte_repeat_the_last_one(tmp_path: Path) -> None:
    _, headers, packets = coded(tmp_path, "mpeg4", g="8", bf="0", qscale="3")
    samples, wanted = between(packets, b"\x7f", (3, 4, 8))
    check(tmp_path / "a.mp4", samples, sample_entry(b"mp4v", SIZE, esds(headers)), wanted)


@pytest.mark.parametrize("timed", [True, False])
def test_packed_b_pictures_come_out_one_by_one(timed: bool, tmp_path: Path) -> None:
    """DivX puts a B-picture behind the picture it refers to, in one packet, and an empty one in its own place."""
    _, headers, packets = coded(tmp_path, "mpeg4", count=13, g="100", bf="1", qscale="3")
    kinds = [data[data.index(b"\x00\x00\x01\xb6") + 4] >> 6 for data, _ in packets]
    assert kinds == [0, *[1, 2] * 6]
    samples = [Sample(packets[0][0], TICKS, 0, True)]
    for at in range(1, 13, 2):
        samples.append(Sample(packets[at][0] + packets[at + 1][0], TICKS, TICKS if timed else 0))
        samples.append(Sample(vop(headers), TICKS, -TICKS if timed else 0))
    entry = sample_entry(b"mp4v", SIZE, esds(headers + b"\x00\x00\x01\xb2DivX503b1393p"))
    check(tmp_path / "a.mp4", samples, entry, {number: number for number in range(13)})


def test_mpeg2_headers_without_a_picture(tmp_path: Path) -> None:
    _, headers, packets = coded(tmp_path, "mpeg2video", g="4", bf="0")
    samples, wanted = between(packets, b"\x00\x00\x01\xb7", (3, 15))
    check(tmp_path / "a.mp4", samples, sample_entry(b"mp4v", SIZE, esds(headers, object_type=0x61)), wanted)


def test_hidden_vp9_frames_and_those_that_show_them(tmp_path: Path) -> None:
    entry, _, packets = coded(tmp_path, "libvpx-vp9", g="1")
    assert all(data[0] >> 5 == 0b100 and data[0] & 2 for data, _ in packets)
    samples: list[Sample] = []
    wanted = {}
    for number, (data, _) in enumerate(packets):
        hidden = bytes([data[0] & ~2]) + data[1:]
        if number % 3 == 0:  # as it is
            wanted[len(samples)] = number
            samples.append(Sample(data, TICKS, 0, True))
        elif number % 3 == 1:  # hidden, and shown by a later packet
            samples.append(Sample(hidden, TICKS, 0, True))
            wanted[len(samples)] = number
            samples.append(Sample(b"\x88", TICKS))
        else:  # both in one packet
            wanted[len(samples)] = number
            sizes = len(hidden).to_bytes(4, "little") + (1).to_bytes(4, "little")
            samples.append(Sample(hidden + b"\x88" + b"\xd9" + sizes + b"\xd9", TICKS, 0, True))
    check(tmp_path / "a.mp4", samples, entry, wanted)


def test_hidden_vp8_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.webm"), "w") as file:
        stream: Any = file.add_stream("libvpx", rate=25, options={"g": "1", "deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        from tests.clips import paint

        packets = []
        for number in range(9):
            packets += stream.encode(av.VideoFrame.from_ndarray(paint(number), format="bgr24"))
        packets += stream.encode()
    frames = [bytes(packet) for packet in packets]
    assert all(data[0] & 0x11 == 0x10 for data in frames)
    samples = [
        Sample(bytes([data[0] & ~0x10]) + data[1:] if number in (2, 5) else data, TICKS, 0, True)
        for number, data in enumerate(frames)
    ]
    entry = sample_entry(b"vp08", SIZE)
    check(tmp_path / "a.mp4", samples, entry, {number: number for number in range(9) if number not in (2, 5)})


def test_av1_units_without_a_shown_frame(tmp_path: Path) -> None:
    """Each hidden frame of the encoder in a sample of its own, and those that show one that was hidden."""
    entry, _, packets = coded(tmp_path, "libsvtav1", count=24, g="12", preset="8")
    samples: list[Sample] = []
    wanted = {}
    shown_again = 0
    for number, (data, key) in enumerate(packets):
        kept = b""
        for kind, content in obus(memoryview(data)):
            size = bytearray()
            left = len(content)
            while left > 127:
                size.append(left & 127 | 128)
                left >>= 7
            kept += bytes([kind << 3 | 2, *size, left]) + bytes(content)
            if kind in (3, 6):
                if content[0] & 0x90:
                    wanted[len(samples)] = number
                    shown_again += content[0] >> 7
                samples.append(Sample(kept, TICKS, 0, key))
                kept, key = b"", False
    assert len(samples) > len(wanted) == 24
    assert shown_again
    check(tmp_path / "a.mp4", samples, entry, wanted)
