"""What a file is refused for before anything is decoded, and what `videodag probe` says of the others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import (
    TURNED,
    box,
    boxes,
    clip_folder,
    cover_art,
    describe_with,
    encode,
    find,
    overwrite,
    read_index,
    replaced,
    set_matrix,
    two_streams,
    valid,
)
from tests.commands import Done, python, videodag
from videodag_cli.errors import InputError
from videodag_cli.video.facts import VideoFacts
from videodag_cli.video.limits import Limits
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe

__all__ = ["clip_folder"]

TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
HUGE = 60_000_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(20), options={"bf": "2"}).read_bytes()


@pytest.fixture(scope="module")
def fragments(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "fragments.mp4"
    return encode(path, movflags="frag_keyframe+empty_moov", options={"g": "10"}).read_bytes()


def edited(clip: bytes, path: tuple[bytes, ...], at: int, form: str, *values: Any) -> bytes:
    data = bytearray(clip)
    start, _ = find(clip, *path)
    struct.pack_into(form, data, start + at, *values)
    return bytes(data)


def refusal(path: str | Path, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        probe(path, **options)
    assert caught.value.exit_code == 3
    assert "\n" not in caught.value.message
    return caught.value


NOT_VIDEOS: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "input.not_mp4", "empty"),
    "text": (b"these are words\n" * 20, "input.not_mp4", "this is text"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "input.not_mp4", "a playlist"),
    "concat script": (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "input.not_mp4", "a concat script"),
    "Matroska": (b"\x1a\x45\xdf\xa3" + bytes(100), "input.not_mp4", "Matroska"),
    "AVI": (b"RIFF\x00\x01\x00\x00AVI LIST", "input.not_mp4", "AVI"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(100), "input.not_mp4", "PNG"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(100), "input.not_mp4", "JPEG"),
    "transport stream": (b"G" + bytes(187), "input.not_mp4", "transport stream"),
    "zeros": (bytes(1000), "input.not_mp4", "not an MP4 or MOV"),
    "short": (b"\x00\x00", "input.not_mp4", "not an MP4 or MOV"),
    "HEIF": (b"\x00\x00\x00\x10ftypheic\x00\x00\x00\x00", "input.no_video", "a picture"),
    "only a header": (b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00", "input.no_frames", "never finished"),
}


@pytest.mark.parametrize("name", NOT_VIDEOS)
def test_what_is_no_video_is_refused_by_its_content(name: str, tmp_path: Path) -> None:
    content, word, what = NOT_VIDEOS[name]
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    error = refusal(path)
    assert error.word == word
    assert what in error.message


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".ts", ".mp4"])
def test_a_video_in_another_container_is_refused_with_the_command_that_converts_it(suffix: str, tmp_path: Path) -> None:
    clip = encode(tmp_path / "made.mp4", indices=range(6))
    other = tmp_path / f"it's one{suffix}"
    kind = {".ts": "mpegts", ".avi": "avi"}.get(suffix, "matroska")
    ffmpeg = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-f", kind, str(other)]
    subprocess.run(ffmpeg, check=True, stdin=subprocess.DEVNULL)
    command = refusal(other).message.split("`")[1]
    subprocess.run(command, shell=True, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (made,) = set(tmp_path.glob("it's one*.mp4")) - {other}
    assert pictures(made) == pictures(clip)


def pictures(clip: Path) -> list[str]:
    """The digest of each picture, as FFmpeg decodes it."""
    ffmpeg = ["ffmpeg", "-v", "error", "-i", str(clip), "-map", "0:v", "-f", "framemd5", "-"]
    shown = subprocess.run(ffmpeg, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    return [line.split(",")[-1] for line in shown.splitlines() if not line.startswith("#")]


def test_only_regular_files_are_opened_and_nothing_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.mp4"))
        for path in (tmp_path / "pipe.mp4", tmp_path, tmp_path / "s.mp4", Path("/dev/null")):
            assert refusal(path).word == "input.not_file"


@pytest.mark.parametrize(
    "name", ["nothing.mp4", "http://127.0.0.1:1/a.mp4", "rtsp://h/x", "", "a\0b.mp4", "nothing/clip.mp4"]
)
def test_what_is_not_there_is_missing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = refusal(name)
    assert error.word == "input.missing"
    assert ("URL" in error.message) == ("://" in name)


@pytest.mark.parametrize(
    "name",
    [
        "concat:clip.mp4",
        "na:me.mp4",
        "x%03d.mp4",
        "new\nline.mp4",
        "\x1b[31m.mp4",
        "\u202egpj.mp4",
        "名前.mp4",
        "-y.mp4",
        "a b'c\"d.mp4",
        os.fsdecode(b"caf\xe9.mp4"),
    ],
)
def test_any_name_is_read(name: str, clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(clip)
    found = probe(name)
    assert found.shown.isprintable()
    decoders = ["pyav"] if "\udce9" in name else ["pyav", "opencv"]
    for decoder in decoders:
        with open_reader(found, np.arange(0, 20, 6), decoder=decoder) as reader:
            assert [read_index(frame.image) for frame in reader] == [0, 6, 12, 18]


LIES: dict[str, Callable[[bytes], bytes]] = {
    "samples of one size": lambda c: edited(c, (*TABLE, b"stsz"), 4, ">II", 1, HUGE),
    "samples without sizes": lambda c: edited(c, (*TABLE, b"stsz"), 8, ">I", HUGE),
    "times": lambda c: edited(c, (*TABLE, b"stts"), 8, ">I", HUGE),
    "time offsets": lambda c: edited(c, (*TABLE, b"ctts"), 8, ">I", 2_000_000_000),
    "time offset entries": lambda c: edited(c, (*TABLE, b"ctts"), 4, ">I", HUGE),
}


@pytest.mark.parametrize("name", LIES)
def test_claims_beyond_the_file_are_refused_unopened(name: str, clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(LIES[name](clip))
    assert refusal(path).word == "input.limit"


@pytest.mark.parametrize("flags", [None, 0])
def test_claims_of_fragments_are_refused_unopened(flags: int | None, fragments: bytes, tmp_path: Path) -> None:
    data = edited(fragments, (b"moof", b"traf", b"trun"), 4, ">I", HUGE)
    if flags is not None:
        data = edited(data, (b"moof", b"traf", b"trun"), 0, ">I", flags)
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    assert refusal(path).word == "input.limit"


def test_a_lie_costs_no_memory(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(LIES["samples of one size"](clip))
    code = (
        "import sys; from videodag_cli.video.probing import probe; from videodag_cli.errors import InputError\n"
        "try: probe(sys.argv[1])\n"
        "except InputError: pass\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    if not Path("/proc/self/status").exists():
        code = code.replace(
            "[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0]", "0"
        )
    assert int(python(code, path)) < 200_000  # kB


def test_limits_name_the_option_that_raises_them(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip)
    for limits, option in (
        (Limits(max_pixels=160 * 112 - 1), "--max-pixels"),
        (Limits(max_frames=19), "--max-index-frames"),
        (Limits(max_frame_rate=24), "--max-frame-rate"),
    ):
        error = refusal(path, limits=limits)
        assert error.word == "input.limit"
        assert option in error.message
    assert len(probe(path, limits=Limits(max_pixels=160 * 112, max_frames=20, max_frame_rate=25)).index) == 20


@pytest.mark.parametrize(
    ("size", "count", "size_bytes", "refused"),
    [
        ((7680, 4320), 60, 60_648, False),  # few pictures are few seconds
        ((7680, 4320), 1000, 1_010_800, True),  # black, x264: 911 bytes each
        ((7680, 4320), 1000, 440_000, True),  # black, libvpx-vp9
        ((7680, 4320), 1000, 60_000_000, False),  # a camera
        ((5120, 2880), 10_000, 4_000_000, False),  # a screen that stands still, x264
        ((3840, 2160), 2_000_000, 472_000_000, False),  # black, x264
        ((3840, 2160), 2_000_000, 57_000_000, False),  # black, SVT-AV1
        ((1920, 1080), 1_300_000, 88_000_000, False),  # a black day of surveillance, x264
        ((3840, 2160), 1_000_000, 3_000_000, True),  # the same picture shown again and again
    ],
)
def test_few_bytes_may_stand_for_much_work_only_where_encoders_make_them(
    size: tuple[int, int], count: int, size_bytes: int, refused: bool
) -> None:
    """Bytes for each picture as measured from encoders on pictures in black."""
    pixels = size[0] * size[1]
    assert (count * pixels > Limits().allowed_pixels(pixels, size_bytes)) == refused


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mp4"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 4160, 4096, "yuv420p"
        packets = []
        for pts in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((4096 * 3 // 2, 4160), np.uint8), format="yuv420p")
            frame.pts = pts
            packets += stream.encode(frame)
        packets += stream.encode()
        file.mux(packets)
        still = bytes(packets[-1])
        for pts in range(3, 400):
            packet = av.Packet(still)
            packet.stream, packet.time_base, packet.duration = stream, Fraction(1, 25), 1
            packet.pts = packet.dts = pts
            file.mux(packet)
    error = refusal(path)
    assert error.word == "input.limit"
    assert "400 pictures of 4160x4096" in error.message
    assert "raise --max-pixels-per-byte" in error.message
    assert len(probe(path, limits=Limits(max_pixels_per_byte=10_000_000)).index) == 400


@pytest.mark.slow
def test_large_pictures_are_refused_even_where_the_header_lies(tmp_path: Path) -> None:
    path = encode(tmp_path / "large.mp4", indices=[0], size=(10000, 8000), options={"preset": "ultrafast"})
    assert "10000x8000" in refusal(path).message
    path.write_bytes(edited(path.read_bytes(), (*TABLE, b"stsd"), 8 + 8 + 24, ">HH", 64, 64))
    assert refusal(path).word == "input.limit"


@pytest.mark.parametrize(("width", "height"), [(96, 64), (1, 1), (65535, 65535)])
@pytest.mark.parametrize("name", ["h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg", "prores", "fragmented"])
def test_a_wrong_size_in_the_container_is_not_believed(
    name: str, width: int, height: int, clip_folder: Path, tmp_path: Path
) -> None:
    source = valid(name, clip_folder)
    path = tmp_path / f"clip{source.suffix}"
    path.write_bytes(edited(source.read_bytes(), (*TABLE, b"stsd"), 8 + 8 + 24, ">HH", width, height))
    found = probe(path)
    with open_reader(found, np.arange(3)) as reader:
        sizes = {frame.image.shape[:2] for frame in reader}
    assert sizes == {(112, 160)} == {(found.info.height, found.info.width)}
    assert len(reader.undecodable) == 0
    told = f"the container says {width}x{height}, the pictures are 160x112: they are read as they are"
    assert [told in found.facts.notes, found.facts.sample_aspect_ratio] == [True, None]


def test_layouts_that_cannot_be_right_are_refused(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    aslant = (56756, 32768, 0, -32768, 56756, 0, 0, 0, 1 << 30)
    for data, what in (
        (edited(clip, (b"moov", b"trak", b"mdia", b"mdhd"), 12, ">I", 0), "time scale of 0"),
        (edited(clip, (b"moov", b"trak", b"tkhd"), 40, ">9i", *aslant), "multiple of 90"),
        (edited(clip, (*TABLE, b"stsd"), 8 + 4, ">4s", b"xyzw"), "no decoder for its codec ('xyzw')"),
        (edited(clip, (*TABLE, b"stsd"), 8 + 4, ">4s", b"encv"), "encrypted"),
    ):
        path.write_bytes(data)
        error = refusal(path)
        assert error.word == "input.unsupported"
        assert what in error.message


ENCRYPTION = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "0" * 32,
}


@pytest.mark.parametrize(
    "movflags", ["", "faststart", "frag_keyframe+empty_moov", "frag_keyframe+default_base_moof", "frag_every_frame"]
)
def test_encrypted_files_are_called_so_in_every_layout(movflags: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", indices=range(12), movflags=movflags, muxing=ENCRYPTION, options={"g": "4"})
    assert b"encv" in path.read_bytes()
    assert b"senc" in path.read_bytes()
    error = refusal(path)
    assert error.word == "input.unsupported"
    assert error.message == f"{path}: the video is encrypted; decrypt it first"


def test_encryption_data_of_clear_samples_has_a_note(tmp_path: Path) -> None:
    """As some decrypters leave it; where the samples are encrypted none of them decodes."""
    path = encode(tmp_path / "clip.mp4", indices=range(8), movflags="frag_keyframe+empty_moov", options={"bf": "0"})
    data = path.read_bytes()
    at = next(start for kind, start, _ in boxes(data) if kind == b"moof")
    traf_start, traf_end = find(data, b"moof", b"traf")
    added = box(b"senc", struct.pack(">II", 0, 8) + bytes(64))
    whole = bytearray(data[:traf_end] + added + data[traf_end:])
    for place in (at - 8, traf_start - 8):
        struct.pack_into(">I", whole, place, struct.unpack_from(">I", whole, place)[0] + len(added))
    offset = find(data, b"moof", b"traf", b"trun")[0] + 8
    struct.pack_into(">I", whole, offset, struct.unpack_from(">I", whole, offset)[0] + len(added))
    path.write_bytes(whole)
    found = probe(path)
    assert any("encryption data" in note for note in found.facts.notes)
    with open_reader(found, np.arange(8)) as reader:
        assert [read_index(frame.image) for frame in reader] == list(range(8))


def protection(scheme: bytes, original: bytes = b"avc1") -> bytes:
    """A `sinf` box (ISO/IEC 14496-12, 8.12; 23001-7)."""
    defaults = bytes(4) + struct.pack(">BBBB", 0, 0x19 if scheme == b"cbcs" else 0, 1, 8) + bytes(16)
    information = box(b"schi", box(b"tenc", defaults))
    return box(b"sinf", box(b"frma", original) + box(b"schm", bytes(4) + scheme + bytes([0, 1, 0, 0])) + information)


@pytest.mark.parametrize("scheme", [b"cenc", b"cens", b"cbc1", b"cbcs", b"piff"])
@pytest.mark.parametrize("kind", [b"encv", None])
@pytest.mark.parametrize("movflags", ["", "frag_keyframe+empty_moov"])
def test_a_protected_description_is_enough(scheme: bytes, kind: bytes | None, movflags: str, tmp_path: Path) -> None:
    """Also where no or only some samples are encrypted, and in an initialisation segment with its fragments behind it."""
    path = encode(tmp_path / "clip.mp4", indices=range(6), movflags=movflags, options={"g": "3", "bf": "0"})
    error = refusal(describe_with(path, protection(scheme), kind=kind))
    assert error.word == "input.unsupported"
    assert "the video is encrypted" in error.message


def test_a_plain_video_beside_an_encrypted_one_is_read(tmp_path: Path) -> None:
    data = two_streams(tmp_path / "clip.mp4").read_bytes()
    second = data.rindex(b"avc1", 0, data.rindex(b"avcC"))
    (tmp_path / "clip.mp4").write_bytes(data[:second] + b"encv" + data[second + 4 :])
    assert len(probe(tmp_path / "clip.mp4").index) == 30
    assert "encrypted" in refusal(tmp_path / "clip.mp4", stream=1).message


def test_pictures_in_another_file_are_never_opened(clip: bytes, tmp_path: Path) -> None:
    reference = b"file:///etc/hostname\0"
    entry = struct.pack(">I4sI", 12 + len(reference), b"url ", 0) + reference
    data = replaced(clip, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), struct.pack(">II", 0, 1) + entry)
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    error = refusal(path)
    assert error.word == "input.unsupported"
    assert "another file" in error.message


def test_sound_with_cover_art_is_no_video(tmp_path: Path) -> None:
    assert refusal(cover_art(tmp_path / "song.m4a", video=False)).word == "input.no_video"


def test_a_cut_index_is_told_as_such(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for kept in (len(clip) - 300, find(clip, b"moov")[0] - 8):
        path.write_bytes(clip[:kept])
        error = refusal(path)
        assert error.word == "input.no_frames"
        assert "cut off" in error.message


def test_garbage_after_the_video_does_no_harm(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for tail in (bytes(1000), b"garbage!" * 50, b"\x00"):
        path.write_bytes(clip + tail)
        found = probe(path)
        assert len(found.index) == 20
        assert found.facts.cut is None


def test_a_matrix_without_area_is_read_as_upright(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip)
    assert probe(set_matrix(path, (0,) * 9)).facts.rotation == 0
    assert probe(set_matrix(path, TURNED[270])).facts.rotation == 270


def run_probe(*arguments: str | Path) -> Done:
    return videodag("probe", *arguments, env={**os.environ, "COLUMNS": "120"})


def test_probe_prints_facts_as_json(clip_folder: Path) -> None:
    done = run_probe(valid("edit list hiding frames", clip_folder), "--json")
    assert (done.code, done.err) == (0, "")
    facts = VideoFacts.model_validate_json(done.text)
    assert (facts.codec, facts.width, facts.height, facts.frame_rate) == ("h264", 160, 112, "25")
    assert (facts.frame_count, facts.packet_count, facts.header_frame_count) == (33, 40, 40)
    assert facts.full is None
    assert json.loads(done.text)["decoder"] == "pyav"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("variable rate", ["variable frame rate"]),
        ("turned 90", ["turned 90° clockwise", "160x112"]),
        ("mirrored", ["mirrored"]),
        ("edit list hiding frames", ["hides 7 packets"]),
        ("h264 interlaced", ["interlaced"]),
        ("two streams", ["--stream", "1 video h264 128x96"]),
        ("cover art", ["cover art"]),
        ("nonzero start", ["the first frame is at 2.5 s"]),
        ("fragmented", ["fragmented"]),
        ("h264", ["audio aac", "pyav:", "25 per second, constant"]),
        ("ten thousand ticks", ["29.97 per second (30000/1001)"]),
    ],
)
def test_probe_has_a_word_on_each_trap(name: str, words: list[str], clip_folder: Path) -> None:
    done = run_probe(valid(name, clip_folder))
    assert (done.code, done.err) == (0, "")
    for word in words:
        assert word in done.text


def test_full_probe_tells_damage_and_exits_4(clip_folder: Path, tmp_path: Path) -> None:
    whole = valid("h264", clip_folder)
    done = run_probe(whole, "--full")
    assert (done.code, done.err) == (0, "")
    assert "all 40 frames were decoded" in done.text
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole.read_bytes())
    overwrite(broken, [5])
    done = run_probe(broken, "--full", "--json")
    assert done.code == 4
    assert done.err.count("\n") == 1
    assert done.err.startswith("videodag: error[run.incomplete]: ")
    full = VideoFacts.model_validate_json(done.text).full
    assert full is not None
    assert (full.decoded, full.undecodable) == (39, 1)


def test_refusals_are_one_line_with_exit_code_3(tmp_path: Path) -> None:
    path = tmp_path / "new\nline.mp4"
    path.write_text("words\n")
    done = run_probe(path)
    assert (done.code, done.text) == (3, "")
    assert done.err.startswith("videodag: error[input.not_mp4]: ")
    assert "new\\nline.mp4: this is text" in done.err
    assert done.err.count("\n") == 1


def test_importing_the_package_loads_no_decoder() -> None:
    code = (
        "import sys, videodag_cli.video.limits, videodag_cli.video.sampling, videodag_cli.video.entry\n"
        "print([name for name in ('cv2', 'av', 'pydantic') if name in sys.modules])"
    )
    assert python(code) == "[]\n"


def test_reading_with_pyav_loads_no_opencv(clip_folder: Path) -> None:
    code = (
        "import sys, numpy; from videodag_cli.video.probing import probe; from videodag_cli.video.opening import open_reader\n"
        "found = probe(sys.argv[1])\n"
        "print(sum(1 for _ in open_reader(found, numpy.arange(20))), 'cv2' in sys.modules)"
    )
    path = valid("turned 90", clip_folder)
    assert python(code, path) == "20 False\n"
