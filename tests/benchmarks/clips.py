"""Clips to measure on, made once with the ffmpeg command into a cache folder outside the tree.

Noise keeps the cost of decoding near that of camera footage: upscaled pictures alone would compress to almost nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "sample_videos"
RATE = 30

_H264 = ["-c:v", "libx264", "-preset", "fast", "-crf", "24", "-bf", "3", "-sc_threshold", "0", "-pix_fmt", "yuv420p"]


class MissingCommandError(Exception):
    """A command that the benchmark needs is not installed."""


@dataclass(frozen=True)
class Clip:
    """A clip to be made: an encoding of the source, or a stream copy of another clip, cut or repeated."""

    name: str
    seconds: float
    encode: Sequence[str] = ()
    filters: str = "null"
    copies: str = ""
    """Name of the clip whose packets are repeated until `seconds` are full."""


def _h264(name: str, seconds: float, height: int, gop: int) -> Clip:
    return Clip(name, seconds, [*_H264, "-g", str(gop), "-keyint_min", str(gop)], f"scale=-2:{height}")


_VFR = "scale=-2:720,setpts='(N+0.4*mod(7*N,5)/4+10*floor(N/90))/30/TB'"
CLIPS = {
    clip.name: clip
    for clip in (
        _h264("gop250", 40, 1080, 250),
        _h264("gop30", 40, 1080, 30),
        _h264("minute720", 60, 720, 60),
        Clip(
            "hevc720",
            20,
            ["-c:v", "libx265", "-preset", "fast", "-crf", "28", "-x265-params", "keyint=120:log-level=none"],
            "scale=-2:720",
        ),
        Clip("vfr720", 20, [*_H264, "-g", "120", "-vsync", "passthrough"], _VFR),
        _h264("long360", 60, 360, 120),
        *(Clip(f"long360_{name}", seconds, copies="long360") for name, seconds in {
            "30s": 30, "1min": 60, "5min": 300, "10min": 600, "20min": 1200
        }.items()),
    )
}  # fmt: skip


def folder() -> Path:
    """`$VIDEODAG_BENCHMARK_CLIPS`, or a folder in the user's cache."""
    given = os.environ.get("VIDEODAG_BENCHMARK_CLIPS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "videodag-benchmarks"


def clip(name: str, *, seconds: float | None = None) -> Path:
    """The clip of that name, made if it is not there; its first `seconds` only, if given, by stream copy."""
    wanted = CLIPS[name]
    path = _made(wanted)
    if seconds is None or seconds >= wanted.seconds:
        return path
    return _made(Clip(f"{name}_first_{seconds:g}s", seconds, copies=name))


def _made(wanted: Clip) -> Path:
    path = folder() / f"{wanted.name}.mp4"
    if path.exists():
        return path
    if wanted.copies:
        source, filters, encode = _made(CLIPS[wanted.copies]), [], ["-c", "copy"]
    else:
        source, encode = _source(), list(wanted.encode)
        filters = ["-vf", f"{wanted.filters},noise=alls=8:allf=t:all_seed=1"]
    _ffmpeg(["-stream_loop", "-1", "-i", str(source), *filters, "-t", f"{wanted.seconds:g}", *encode], path)
    return path


def _source() -> Path:
    """Eleven seconds of people and animation at 1080p, every picture of the sample clips once."""
    path = folder() / "source.mp4"
    if not path.exists():
        joined = ";".join(
            f"[{i}:v]setpts=N/{RATE}/TB,fps={RATE},scale=1920:1080:force_original_aspect_ratio=increase,crop=1920:1080,setsar=1[v{i}]"
            for i in range(2)
        )
        inputs = [part for name in ("pedestrians", "bigbuckbunny") for part in ("-i", str(SAMPLES / f"{name}.mp4"))]
        encode = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"]
        _ffmpeg([*inputs, "-filter_complex", f"{joined};[v0][v1]concat=n=2", *encode], path)
    return path


def _ffmpeg(arguments: Sequence[str], path: Path) -> None:
    command = shutil.which("ffmpeg")
    if command is None:
        raise MissingCommandError("the benchmark clips are made with the ffmpeg command; install it")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part.mp4")
    subprocess.run([command, "-v", "error", "-y", *arguments, "-an", str(part)], check=True, stdin=subprocess.DEVNULL)
    part.replace(path)
