"""Damaged clips: what can be decoded comes with its right index and time, and what cannot is accounted for."""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from tests.clips import (
    Image,
    boxes,
    clip_folder,
    cut,
    encode,
    find,
    flip_bits,
    hide_first,
    joined,
    overwrite,
    read_index,
    sample_places,
    valid,
    x264,
)
from tests.shared import made_once, shared_folder
from videodag_cli.errors import InputError
from videodag_cli.video.full import decode_everything
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.source import Probe

__all__ = ["clip_folder"]

COUNT = 60
Maker = Callable[[Path], Path]
CODECS: dict[str, tuple[str, Maker]] = {
    "h264": (".mp4", lambda p: x264(p, "keyint=30:bframes=2:b-adapt=0:scenecut=0", indices=range(COUNT))),
    "h264 one group": (".mp4", lambda p: x264(p, "keyint=250:bframes=0", indices=range(COUNT))),
    "h264 open groups": (
        ".mp4",
        lambda p: x264(p, "keyint=15:open-gop=1:bframes=3:b-adapt=0:scenecut=0", indices=range(COUNT)),
    ),
    "h264 fragmented": (
        ".mp4",
        lambda p: encode(p, indices=range(COUNT), movflags="frag_keyframe+empty_moov", options={"g": "15"}),
    ),
    "hevc": (
        ".mp4",
        lambda p: encode(
            p,
            codec="libx265",
            indices=range(COUNT),
            options={"x265-params": "log-level=none:pools=1:frame-threads=1:keyint=30:bframes=2"},
        ),
    ),
    "mpeg4": (".mp4", lambda p: encode(p, codec="mpeg4", indices=range(COUNT), options={"g": "30", "qscale": "3"})),
    "mpeg2": (".mov", lambda p: encode(p, codec="mpeg2video", indices=range(COUNT), options={"g": "30", "bf": "2"})),
    "vp9": (".mp4", lambda p: encode(p, codec="libvpx-vp9", indices=range(COUNT), options={"g": "30"})),
    "mjpeg": (".mov", lambda p: encode(p, codec="mjpeg", pix_fmt="yuvj420p", indices=range(COUNT))),
}
DAMAGE: dict[str, Maker] = {
    "zeroed packets": lambda p: overwrite(p, [10, 11, 12]),
    "noise in packets": lambda p: overwrite(p, [20, 21], with_byte=None),
    "noise in the end of a packet": lambda p: overwrite(p, [10], with_byte=None, skip=40),
    "no first keyframe": lambda p: overwrite(p, [0]),
    "no second keyframe": lambda p: overwrite(p, [30]),
    "flipped bits": lambda p: flip_bits(p, seed=7, count=6),
    "cut to 60 %": lambda p: cut(p, 0.6),
    "last packet zeroed": lambda p: overwrite(p, [COUNT - 1]),
}
BY_DESIGN = {("mjpeg", "flipped bits"), ("mpeg2", "flipped bits"), ("mpeg4", "no first keyframe")}
"""Faulty JPEG and MPEG-2 pictures hold leftovers of other ones, and MPEG-4 without any keyframe starts from grey: none is handed out."""


def plainly(path: Path) -> dict[int, Image]:
    """Frame index -> picture, for all that PyAV's own loop decodes and does not call corrupt."""
    found: dict[int, Image] = {}
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        video.codec_context.thread_count = 1
        assert video.time_base is not None
        for packet in file.demux(video):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                if not frame.is_corrupt and frame.pts is not None:
                    start = round(frame.pts * video.time_base * 25)
                    found[start] = frame.to_ndarray(format="bgr24", interpolation="BICUBIC")  # type: ignore[assignment]
    return found


def read(found: Probe, targets: list[int], **options: object) -> tuple[dict[int, Image], list[int]]:
    with open_reader(found, np.array(targets, np.int64), **options) as reader:  # type: ignore[arg-type]
        frames = list(reader)
        missing = reader.undecodable.tolist()
    indices = [frame.index for frame in frames]
    assert indices == sorted(indices)
    assert sorted(indices + missing) == targets
    assert all(frame.time_s == found.index.time_s(frame.index) for frame in frames)
    return {frame.index: frame.image for frame in frames}, missing


@pytest.fixture(scope="session")
def whole() -> Callable[[str], Path]:
    """Makes the undamaged clip of a codec."""

    def make(name: str) -> Path:
        suffix, maker = CODECS[name]
        return made_once(shared_folder() / f"whole-{list(CODECS).index(name)}{suffix}", maker)

    return make


def damaged(name: str, damage: str, whole: Callable[[str], Path], folder: Path) -> Path:
    source = whole(name)
    copy = folder / f"damaged{source.suffix}"
    if damage.startswith("cut") and "fragmented" not in name:
        remux_with_index_in_front(source, copy)
    else:
        shutil.copy(source, copy)
    return DAMAGE[damage](copy)


def remux_with_index_in_front(source: Path, target: Path) -> None:
    with av.open(str(source)) as file, av.open(str(target), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(file.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", CODECS)
def test_all_that_pyav_decodes_is_handed_out(
    name: str, damage: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    path = damaged(name, damage, whole, tmp_path)
    plain = plainly(path)
    found = probe(path)
    cut_fragments = "fragmented" in name and damage.startswith("cut")
    offset = round(found.index.exact_time_s(0) * 25)
    expected = {index - offset for index in plain} - set(np.flatnonzero(found.index.missing).tolist())
    if not cut_fragments:
        assert len(found.index) == COUNT
    targets = list(range(len(found.index)))
    pictures, missing = read(found, targets, threads=3)
    if (name, damage) in BY_DESIGN:
        assert set(pictures) < expected
    else:
        assert set(pictures) == expected
    damaged_at = missing[0] if missing else COUNT
    assert all(np.array_equal(pictures[i], plain[i + offset]) for i in pictures if i < damaged_at - 8)

    # The same from one thread, and from where a stopped run goes on.
    assert_same(read(found, targets, threads=1), pictures)
    for start in (17, 33, 45):
        assert_same(read(found, targets[start:]), pictures)


def assert_same(got: tuple[dict[int, Image], list[int]], full: dict[int, Image]) -> None:
    pictures, missing = got
    assert not set(missing) & set(full)
    assert all(np.array_equal(image, full[index]) for index, image in pictures.items())


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["h264", "h264 open groups", "mpeg4", "mjpeg"])
def test_a_stride_over_damage_finds_the_same_frames(
    name: str, damage: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    found = probe(damaged(name, damage, whole, tmp_path))
    full, _ = read(found, list(range(len(found.index))))
    for stride in (2, 7):
        pictures, _ = read(found, list(range(0, len(found.index), stride)))
        assert set(pictures) == {index for index in full if index % stride == 0}


@pytest.mark.parametrize("stride", [1, 3, 15])
def test_an_av1_keyframe_behind_damage_is_decoded(clip_folder: Path, tmp_path: Path, stride: int) -> None:
    path = tmp_path / "clip.mp4"
    shutil.copy(valid("av1", clip_folder), path)
    found = probe(overwrite(path, [24], with_byte=None, skip=40))
    pictures, missing = read(found, list(range(0, len(found.index), stride)))
    assert all(15 <= index < 30 for index in missing)
    assert all(read_index(image) == index for index, image in pictures.items() if not 15 <= index < 30)


def test_the_same_damage_is_found_every_time(whole: Callable[[str], Path], tmp_path: Path) -> None:
    # A strict decoder finds fault with more of this than a lenient one does; left to several threads, the rest is luck.
    found = probe(damaged("h264 open groups", "flipped bits", whole, tmp_path))
    targets = list(range(0, len(found.index), 2))
    first = read(found, targets)
    for _ in range(12):
        pictures, missing = read(found, targets)
        assert missing == first[1]
        assert_same((pictures, missing), first[0])


@pytest.mark.parametrize("name", ["h264", "h264 one group", "vp9"])
def test_pictures_before_and_well_after_damage_are_right(
    name: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    found = probe(damaged(name, "zeroed packets", whole, tmp_path))
    pictures, missing = read(found, list(range(COUNT)))
    assert missing == [10, 11, 12]
    right = [*range(10), *(range(30, COUNT) if name != "h264 one group" else ())]
    assert [read_index(pictures[i]) for i in right] == right


def test_frames_after_damage_are_counted(whole: Callable[[str], Path], tmp_path: Path) -> None:
    path = damaged("h264", "zeroed packets", whole, tmp_path)
    full = decode_everything(probe(path))
    assert (full.decoded, full.undecodable, full.undecodable_ranges) == (57, 3, [(10, 12)])
    assert full.after_damage == 17
    assert full.first_undecodable_time_s == 0.4


@pytest.mark.parametrize("damage", ["zeroed packets", "no first keyframe", "last packet zeroed"])
def test_opencv_goes_on_with_pyav_where_it_stops(damage: str, whole: Callable[[str], Path], tmp_path: Path) -> None:
    found = probe(damaged("h264", damage, whole, tmp_path))
    targets = list(range(COUNT))
    pictures, missing = read(found, targets)
    with_opencv, missing_with_opencv = read(found, targets, decoder="opencv")
    assert missing_with_opencv == missing
    assert all(np.array_equal(image, pictures[index]) for index, image in with_opencv.items())


def test_a_cut_file_counts_what_its_index_promises(whole: Callable[[str], Path], tmp_path: Path) -> None:
    found = probe(damaged("h264", "cut to 60 %", whole, tmp_path))
    assert len(found.index) == COUNT
    assert found.facts.missing_packet_count > 10
    assert found.facts.header_frame_count == COUNT
    assert found.facts.cut is not None
    assert [found.index.time_s(i) for i in range(COUNT)] == [round(i / 25, 6) for i in range(COUNT)]
    _, missing = read(found, list(range(COUNT)))
    assert missing == np.flatnonzero(found.index.missing).tolist()


def test_a_cut_in_the_last_fragment_is_told(whole: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = whole("h264 fragmented").read_bytes()
    last = data.rindex(b"moof")
    path.write_bytes(data[: last + 40])
    found = probe(path)
    assert found.facts.cut is not None
    assert any("moof" in note for note in found.facts.notes)
    with open_reader(found, np.arange(len(found.index))) as reader:
        assert len(list(reader)) == len(found.index) < COUNT
        assert reader.problems == [found.facts.cut]
    with open_reader(found, np.arange(10)) as reader:
        assert len(list(reader)) == 10
        assert reader.problems == []  # nobody asked for what is missing


def test_samples_without_bytes_are_no_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "empty.mp4", options={"bf": "0"})
    data = bytearray(path.read_bytes())
    at = data.find(b"stsz") + 16
    data[at + 4 * 39 : at + 4 * 40] = bytes(4)
    path.write_bytes(data)
    found = probe(path)
    assert "the header claims 40 frames, the index holds 39 packets" in found.facts.notes
    pictures, missing = read(found, list(range(39)))
    assert missing == []
    assert [read_index(image) for image in pictures.values()] == list(range(39))


@pytest.mark.parametrize(
    "name", ["h264 pyramid, short groups", "edit list hiding frames", "fragmented", "prores", "av1"]
)
def test_random_damage_ends_in_frames_or_a_refusal(name: str, clip_folder: Path, tmp_path: Path) -> None:
    source = valid(name, clip_folder)
    clean = source.read_bytes()
    random = np.random.default_rng(len(name))
    for round_ in range(40):
        data = bytearray(clean)
        if round_ % 4 == 0:
            del data[int(random.integers(16, len(data))) :]
        index_at = clean.find(b"moov")
        for _ in range(int(random.integers(1, 12))):
            inside_index = round_ % 4 == 1
            low, high = (index_at, min(len(data), index_at + 900)) if inside_index else (0, len(data))
            if low < high:
                data[int(random.integers(low, high))] = int(random.integers(256))
        path = tmp_path / f"{round_}{source.suffix}"
        path.write_bytes(data)
        try:
            found = probe(path)
        except InputError:
            continue
        read(found, list(range(0, min(len(found.index), 500), 1 + round_ % 3)))


def test_a_change_of_coding_midway_is_not_damage(tmp_path: Path) -> None:
    path = joined(tmp_path / "two.mp4", [{"options": {"profile": "baseline"}}, {"options": {"profile": "high"}}])
    pictures, missing = read(probe(path), list(range(40)))
    assert missing == []
    assert [read_index(image) for image in pictures.values()] == list(range(40))


TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
CONTRADICTIONS = {
    "a sample larger than any file": (b"stsz", 12 + 4 * 10, 0x7FFF0000),
    "chunks without samples": (b"stsc", 12, 0),
    "a chunk of all samples there can be": (b"stsc", 12, 0xFFFFFFFF),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_tables_that_lead_to_fewer_frames_than_they_claim_are_damage(tmp_path: Path, name: str) -> None:
    table, at, value = CONTRADICTIONS[name]
    path = encode(tmp_path / "clip.mp4", options={"bf": "0", "g": "10"})
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, find(bytes(data), *TABLE, table)[0] + at, value)
    path.write_bytes(data)
    found = probe(path)
    said = f"its tables claim 40 frames but lead to {len(found.index)}"
    assert f"damaged: {said}" in found.facts.notes
    with open_reader(found, np.arange(len(found.index))) as reader:
        assert [read_index(frame.image) for frame in reader] == list(range(len(found.index)))
        assert reader.problems == [said]


def test_an_edit_list_that_hides_frames_is_no_contradiction(tmp_path: Path) -> None:
    path = hide_first(encode(tmp_path / "clip.mp4", options={"bf": "0", "g": "5"}), 12 * 512)
    found = probe(path)
    assert found.index.packet_count < 40
    with open_reader(found, np.arange(len(found.index))) as reader:
        assert len(list(reader)) == 28
        assert reader.problems == []


@pytest.mark.parametrize(
    ("name", "sample", "byte", "after"), [("mpeg2 interlaced", 15, 18, 12), ("hevc open groups", 26, 42, 29)]
)
def test_a_continued_reader_shows_silent_damage_as_an_undisturbed_one(
    name: str, sample: int, byte: int, after: int, clip_folder: Path, tmp_path: Path
) -> None:
    source = valid(name, clip_folder)
    at, _ = sample_places(source)[sample]
    for bit in range(8):
        data = bytearray(source.read_bytes())
        data[at + byte] ^= 1 << bit
        path = tmp_path / source.name
        path.write_bytes(data)
        found = probe(path)
        targets = np.arange(len(found.index))
        with open_reader(found, targets) as reader:
            undisturbed = {frame.index: frame.image.tobytes() for frame in reader if frame.index > after}
        with open_reader(found, targets, after=after) as reader:
            assert {frame.index: frame.image.tobytes() for frame in reader} == undisturbed


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not keep this limit")
@pytest.mark.parametrize("spare_mib", [1, 20, 60])
def test_a_lack_of_memory_is_no_damage(clip_folder: Path, spare_mib: int) -> None:
    code = f"""
import resource, sys
import numpy as np
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
import videodag_cli.video.pyav
found = probe(sys.argv[1])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + ({spare_mib} << 20),) * 2)
try:
    with open_reader(found, np.arange(len(found.index))) as reader:
        print(len(list(reader)), len(reader.undecodable))
except MemoryError:
    print("MemoryError")
"""
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code, valid("h264", clip_folder)], capture_output=True, text=True, check=False
        )
        # PyAV and FFmpeg use some small allocations without a look at them. A death by that is seen by whoever waits for
        # the process, and is no wrong result; which allocation is the first that fails is luck.
        if done.returncode != -signal.SIGSEGV:
            break
        assert done.stdout == ""
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() in (["MemoryError"], ["40", "0"])
    if spare_mib == 1:
        assert done.stdout == "MemoryError\n"


@pytest.mark.parametrize(
    "header", [bytes(8), b"\x7f\xff\xff\xff\x12abc", b"\0\0\0\0junk"], ids=["zeros", "large", "endless"]
)
def test_fragments_behind_garbage_are_missed(clip_folder: Path, tmp_path: Path, header: bytes) -> None:
    data = bytearray(valid("fragmented", clip_folder).read_bytes())
    third = [start - 8 for kind, start, _ in boxes(bytes(data)) if kind == b"moof"][2]
    data[third : third + 8] = header
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    found = probe(path)
    assert found.facts.cut == f"garbage at byte {third}"
    with open_reader(found, np.arange(len(found.index))) as reader:
        shown = [read_index(frame.image) for frame in reader]
        assert 15 < len(shown) <= 20
        assert shown == list(range(len(shown)))
        assert reader.problems == [found.facts.cut]
