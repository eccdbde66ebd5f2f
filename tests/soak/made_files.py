"""Small files over codec x container x groups of pictures x layout of the file, for comparing with FFmpeg."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av

from tests.clips import INTERLACED, encode, hide_first, turned, vfr_ticks

FRAMES = 24
Options = dict[str, str]

X265 = "log-level=none:pools=1:frame-threads=1"
CODECS: dict[str, dict[str, Any]] = {
    "h264": {"codec": "libx264"},
    "h264-10": {"codec": "libx264", "pix_fmt": "yuv420p10le"},
    "h264-444": {"codec": "libx264", "pix_fmt": "yuv444p"},
    "h264-full": {"codec": "libx264", "pix_fmt": "yuvj420p"},
    "hevc": {"codec": "libx265"},
    "hevc-10": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "mpeg4": {"codec": "mpeg4"},
    "mpeg2": {"codec": "mpeg2video"},
    "vp9": {"codec": "libvpx-vp9"},
    "av1": {"codec": "libsvtav1"},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
}
GROUPS: dict[str, Callable[[str], Options | None]] = {
    "intra": lambda codec: _x265("keyint=1") if codec == "libx265" else {"g": "1", "bf": "0"},
    "short": lambda codec: _x265("keyint=6:bframes=0") if codec == "libx265" else {"g": "6", "bf": "0"},
    "b": lambda codec: (
        _x265("keyint=12:bframes=3:b-adapt=0")
        if codec == "libx265"
        else {"g": "12", "bf": "2"}
        if codec in ("libx264", "mpeg4", "mpeg2video")
        else None
    ),
    "open": lambda codec: {
        "libx264": {"x264-params": "keyint=8:min-keyint=8:open-gop=1:bframes=3:b-adapt=0:scenecut=0:b-pyramid=normal"},
        "libx265": _x265("keyint=8:min-keyint=8:open-gop=1:bframes=3:b-adapt=0:scenecut=0"),
    }.get(codec),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "front": {"movflags": "faststart"},
    "fragments": {"movflags": "frag_keyframe+empty_moov"},
    "hidden": {},
    "rate": {"rate": Fraction(30000, 1001)},
}


def _x265(params: str) -> Options:
    return {"x265-params": f"{X265}:{params}"}


def make_files(folder: Path, *, count: int | None = None) -> Iterator[Path]:
    """Write the files, or evenly chosen ones of them, that are not there yet; yields each."""
    folder.mkdir(parents=True, exist_ok=True)
    plans = list(_plans())
    step = max(1, len(plans) // count) if count else 1
    for name, make in plans[::step][:count]:
        path = folder / name
        if not path.exists():
            make(path)
        yield path


def _plans() -> Iterator[tuple[str, Callable[[Path], Path]]]:
    for (codec, how), (group, options_of), suffix, (layout, extra) in itertools.product(
        CODECS.items(), GROUPS.items(), (".mp4", ".mov"), LAYOUTS.items()
    ):
        options = options_of(how["codec"])
        alone = how["codec"] in ("mjpeg", "prores_ks")
        if options is None or (alone and group != "intra") or not _goes(how["codec"], suffix):
            continue
        if layout in ("front", "rate") and suffix == ".mov":
            continue
        yield f"{codec}-{group}-{layout}{suffix}", _maker(how, {} if alone else options, layout, extra)
    yield "h264-rates.mp4", _uneven
    for degrees in (90, 180, 270):
        yield f"h264-turned-{degrees}.mp4", partial(turned, clockwise=degrees)
    yield "h264-mirrored.mov", partial(turned, clockwise=0, mirrored=True)
    for codec in ("libx264", "mpeg2video", "mpeg4"):
        yield f"{codec}-interlaced.mov", partial(encode, codec=codec, indices=range(FRAMES), flags=INTERLACED)
    for codec in ("libx264", "libx265", "mpeg4", "mpeg2video"):
        yield f"{codec}-untimed.mp4", partial(_untimed, codec=codec)


def _uneven(path: Path) -> Path:
    return encode(path, ticks=vfr_ticks(FRAMES), indices=range(FRAMES), time_base=Fraction(1, 600))


def _goes(codec: str, suffix: str) -> bool:
    return not (codec == "prores_ks" and suffix == ".mp4") and not (
        codec in ("libvpx-vp9", "libsvtav1") and suffix == ".mov"
    )


def _maker(how: dict[str, Any], options: Options, layout: str, extra: dict[str, Any]) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        encode(path, indices=range(FRAMES), options=options, **how, **extra)
        return hide_first(path, 5 * 512) if layout == "hidden" else path

    return make


def _untimed(path: Path, codec: str) -> Path:
    """As copied from an AVI file: no times of presentation."""
    options = GROUPS["b"](codec)
    source = encode(path.with_suffix(".source.mp4"), codec=codec, indices=range(FRAMES), options=options)
    with av.open(str(source)) as file, av.open(str(path), "w", options={"use_editlist": "0"}) as target:
        stream = target.add_stream_from_template(file.streams.video[0])
        for number, packet in enumerate(p for p in file.demux(file.streams.video[0]) if p.size):
            packet.dts = packet.pts = number * 512
            packet.stream = stream
            target.mux(packet)
    source.unlink()
    return path
