"""Pictures whose size changes midway: read at their own size, told in line and record, refused only where a node needs one size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NewType

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.clips import SIZE, TURNED, encode, joined, read_index, sample_places, set_matrix
from tests.commands import pipeline, quick, run_arguments
from tests.streams import described_twice
from videodag_cli.data import Frame, VideoInfo
from videodag_cli.errors import InputError
from videodag_cli.toolspec import spec_of, tool
from videodag_cli.video import limits
from videodag_cli.video.limits import Limits
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.source import Probe

SMALL = (96, 80)
PARTS: list[dict[str, Any]] = [{}, {"size": SMALL}, {}]
COUNT = 6
CODECS = ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4", "mpeg2video"]


def changing(codec: str, folder: Path) -> Path:
    suffix = "mov" if codec == "mpeg2video" else "mp4"
    return joined(folder / f"{codec}.{suffix}", PARTS, codec=codec, count=COUNT)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("sizes")
    made: dict[str, Path] = {}

    def get(codec: str) -> Path:
        if codec not in made:
            made[codec] = changing(codec, folder)
        return made[codec]

    return get


def read(found: Probe, targets: Any, **options: Any) -> tuple[dict[int, NDArray[np.uint8]], list[str]]:
    with open_reader(found, np.asarray(targets), **options) as reader:
        images = {frame.index: frame.image for frame in reader}
        assert not len(reader.undecodable)
        assert reader.problems == []
        return images, reader.remarks


@pytest.mark.parametrize("codec", CODECS)
def test_pictures_of_every_size_are_read(codec: str, clip: Callable[[str], Path]) -> None:
    """As PyAV's own loop reads them (which loses the last MPEG-2 picture of each size), whatever is sampled."""
    path = clip(codec)
    with av.open(str(path)) as file:
        plain = [
            np.asarray(frame.to_ndarray(format="bgr24", interpolation="BICUBIC"), np.uint8)
            for frame in file.decode(video=0)
        ]
    found = probe(path)
    assert (found.info.width, found.info.height) == SIZE
    images, remarks = read(found, range(3 * COUNT))
    assert [read_index(image) for image in images.values()] == list(range(3 * COUNT))
    assert [image.shape[1::-1] for image in images.values()] == [SIZE] * COUNT + [SMALL] * COUNT + [SIZE] * COUNT
    assert len(plain) >= 3 * COUNT - 2
    assert all(np.array_equal(images[read_index(image) or 0], image) for image in plain)
    assert remarks == ["some pictures are 96x80, the video is 160x112: they have their own size"]
    for targets in (range(0, 3 * COUNT, 4), [COUNT], [2 * COUNT - 1, 2 * COUNT], range(2 * COUNT, 3 * COUNT)):
        some, _ = read(found, targets)
        assert all(np.array_equal(some[i], images[i]) for i in targets)


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
def test_opencv_which_would_scale_them_hands_over(codec: str, clip: Callable[[str], Path]) -> None:
    found = probe(clip(codec))
    images, remarks = read(found, range(3 * COUNT), decoder="opencv")
    wanted, told = read(found, range(3 * COUNT))
    assert all(np.array_equal(images[i], wanted[i]) for i in wanted)
    assert remarks == told


def test_sample_descriptions_of_different_sizes(tmp_path: Path) -> None:
    first = encode(tmp_path / "a.mp4", indices=range(COUNT), options={"bf": "0"})
    second = encode(tmp_path / "b.mp4", indices=range(COUNT, 2 * COUNT), size=SMALL, options={"bf": "0"})
    both = tmp_path / "both.mp4"
    with av.open(str(first)) as one, av.open(str(second)) as two, av.open(str(both), "w") as out:
        track = out.add_stream_from_template(one.streams.video[0])
        for number, source in enumerate((one, two)):
            for packet in source.demux(video=0):
                if packet.size:
                    place = (packet.pts or 0) + number * COUNT * (packet.duration or 0)
                    packet.pts = packet.dts = place
                    packet.stream = track
                    out.mux(packet)
    found = probe(described_twice(both, second, COUNT))
    assert "the size of the pictures changes midway (160x112, 96x80)" in found.facts.notes
    for targets in (range(2 * COUNT), [COUNT + 2], range(COUNT, 2 * COUNT)):
        images, _ = read(found, targets)
        assert {i: read_index(image) for i, image in images.items()} == {i: i for i in targets}
        assert all(image.shape[1::-1] == (SMALL if i >= COUNT else SIZE) for i, image in images.items())


def test_turned_sizes_are_told_upright(tmp_path: Path) -> None:
    path = set_matrix(changing("libx264", tmp_path), TURNED[90])
    images, remarks = read(probe(path), [COUNT])
    assert images[COUNT].shape == (96, 80, 3)
    assert remarks == ["some pictures are 80x96, the video is 112x160: they have their own size"]


def test_a_line_has_its_size_only_where_it_is_not_the_videos(clip: Callable[[str], Path], tmp_path: Path) -> None:
    graph = pipeline(tmp_path, ["index"], id="toys")
    done = quick(run_arguments(clip("libx264"), graph, "-o", str(tmp_path / "out.jsonl")))
    assert done.code == 0
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert lines[COUNT] == b'{"frame_index":6,"time_s":0.24,"size":[96,80],"result":{"index":6}}'
    assert [b'"size"' in line for line in lines] == [False] * COUNT + [True] * COUNT + [False] * COUNT
    record = (tmp_path / "out.jsonl.run.json").read_text()
    assert "some pictures are 96x80, the video is 160x112: they have their own size" in record


def test_strict_calls_it_incomplete(clip: Callable[[str], Path], tmp_path: Path) -> None:
    done = quick(run_arguments(clip("libx264"), pipeline(tmp_path, ["index"], id="toys"), "--strict"))
    assert done.code == 4
    assert len(done.lines) == 3 * COUNT
    assert "some pictures are 96x80" in done.err


def test_a_node_that_needs_one_size_fails_on_the_others_alone(clip: Callable[[str], Path], tmp_path: Path) -> None:
    graph = pipeline(tmp_path, ["counter"], id="toys")
    done = quick(run_arguments(clip("libx264"), graph))
    assert done.code == 4
    failed = [line for line in done.lines if line["result"] is None]
    assert [line["frame_index"] for line in failed] == list(range(COUNT, 2 * COUNT))
    assert failed[0]["size"] == [96, 80]
    assert failed[0]["error"] == {
        "node": "counter",
        "tool": "toys.counter",
        "type": "FrameSizeError",
        "message": "the frame is 96x80, the video 160x112, and this tool needs frames of one size; "
        "cut the video where its size changes",
    }
    assert "6 of 18 sampled frames failed" in done.err


Value = NewType("Value", float)


@tool
def function(frame: Frame) -> Value:
    return Value(frame.width)


@tool
class Holds:
    def __call__(self, frame: Frame) -> Value:
        return Value(frame.width)


@tool(stateless=True)
class Alone:
    def __call__(self, frame: Frame) -> Value:
        return Value(frame.width)


@tool(stateless=True)
class Knows:
    def __init__(self, video: VideoInfo) -> None:
        self.width = video.width

    def __call__(self, frame: Frame) -> Value:
        return Value(self.width)


@tool(any_size=True)
class Says:
    def __call__(self, frame: Frame) -> Value:
        return Value(frame.width)


@pytest.mark.parametrize(
    ("target", "takes"), [(function, True), (Holds, False), (Alone, True), (Knows, False), (Says, True)]
)
def test_a_tool_says_whether_frames_may_differ_in_size(target: Any, takes: bool) -> None:
    spec = spec_of(target)
    assert spec is not None
    assert spec.takes_any_size == takes


def test_growing_pictures_are_bounded(
    clip: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = joined(tmp_path / "grows.mp4", [{"size": SMALL}, {}], count=COUNT)
    images, _ = read(probe(path), range(2 * COUNT))
    assert len(images) == 2 * COUNT
    monkeypatch.setattr(limits, "FREE_PIXELS", 2 * COUNT * SMALL[0] * SMALL[1])
    found = probe(path, limits=Limits(max_pixels_per_byte=1))
    with pytest.raises(InputError, match=r"pictures grow to 160x112.*raise --max-pixels-per-byte") as caught:
        read(found, range(2 * COUNT))
    assert caught.value.word == "input.limit"


def test_one_odd_picture_among_pictures_that_stand_alone_is_damage(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mov", indices=range(COUNT), codec="mjpeg", pix_fmt="yuvj420p")
    small = encode(
        tmp_path / "b.mov", indices=range(1), codec="mjpeg", pix_fmt="yuvj420p", size=SMALL, options={"q": "9"}
    )
    (at, size), (other_at, other_size) = sample_places(path)[3], sample_places(small)[0]
    picture = small.read_bytes()[other_at : other_at + other_size]
    assert other_size <= size
    data = bytearray(path.read_bytes())
    data[at : at + size] = picture.ljust(size, b"\0")
    path.write_bytes(data)
    with open_reader(probe(path), np.arange(COUNT)) as reader:
        assert [frame.index for frame in reader] == [0, 1, 2, 4, 5]
        assert reader.problems == ["some pictures are 96x80, the video is 160x112"]
