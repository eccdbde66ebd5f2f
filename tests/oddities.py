"""Streams that hold more or fewer slices and pictures than they should, each by one change to a whole one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.streams import Coded, coded, write

COUNT = 60
GROUP = "keyint=15:min-keyint=15:bframes=2:b-adapt=0:scenecut=0"
_ENCODERS = {
    "h264": ("x264-params", GROUP),
    "hevc": ("x265-params", f"log-level=none:pools=1:frame-threads=1:{GROUP}"),
}
Change = Callable[[Coded, int], Coded]


@cache
def whole(codec: str, slices: int) -> Coded:
    """Pictures of so many slices in groups of 15."""
    option, value = _ENCODERS[codec]
    path = Path(mkdtemp(prefix="whole-")) / "whole.mov"
    return coded(codec, path, range(COUNT), **{option: f"{value}:slices={slices}"})


def is_slice(codec: str, unit: bytes) -> bool:
    return unit[0] & 31 in (1, 2, 5) if codec == "h264" else unit[0] >> 1 & 63 < 32


def _slices(stream: Coded, number: int) -> list[bytes]:
    return [unit for unit in stream.samples[number].units if is_slice(stream.codec, unit)]


def _with_units(stream: Coded, number: int, units: list[bytes]) -> Coded:
    samples = list(stream.samples)
    samples[number] = samples[number].with_units(units)
    return replace(stream, samples=samples)


def _with_more(stream: Coded, number: int, more: list[bytes]) -> Coded:
    return _with_units(stream, number, [*stream.samples[number].units, *more])


def two_pictures(stream: Coded, number: int) -> Coded:
    """The next picture stands in this packet too."""
    return _with_more(stream, number, stream.samples[number + 1].units)


def merged(stream: Coded, number: int) -> Coded:
    """The next picture stands in this packet, and has none of its own."""
    stream = two_pictures(stream, number)
    return replace(stream, samples=[*stream.samples[: number + 1], *stream.samples[number + 2 :]])


def another_first_slice(stream: Coded, number: int) -> Coded:
    """The first slice of an earlier picture behind the slices."""
    return _with_more(stream, number, _slices(stream, number - 7)[:1])


def another_before(stream: Coded, number: int) -> Coded:
    """The first slice of an earlier picture before the slices."""
    return _with_units(stream, number, [*_slices(stream, number - 7)[:1], *stream.samples[number].units])


def repeated_first_slice(stream: Coded, number: int) -> Coded:
    return _with_more(stream, number, _slices(stream, number)[:1])


def _without(stream: Coded, number: int, lost: int) -> Coded:
    slices = _slices(stream, number)
    return _with_units(stream, number, [unit for unit in stream.samples[number].units if unit != slices[lost]])


def lost_packets(stream: Coded, number: int) -> Coded:
    return replace(stream, samples=[*stream.samples[:number], *stream.samples[number + 2 :]])


CHANGES: dict[str, tuple[int, Change]] = {
    "two pictures": (1, two_pictures),
    "merged": (1, merged),
    "another first slice": (1, another_first_slice),
    "another before": (1, another_before),
    "repeated first slice": (1, repeated_first_slice),
    "another first slice of several": (3, another_first_slice),
    "repeated first slice of several": (3, repeated_first_slice),
    "first slice lost": (3, lambda stream, number: _without(stream, number, 0)),
    "middle slice lost": (3, lambda stream, number: _without(stream, number, 1)),
    "last slice lost": (3, lambda stream, number: _without(stream, number, 2)),
    "packets lost": (1, lost_packets),
}
"""Slices of each picture, and what is changed in one packet."""
PLACES = {"keyframe": (2, 0), "behind a keyframe": (2, 1), "within a group": (1, 5), "last of a group": (2, -1)}
"""The packet: counted from which keyframe, and how far from there."""
NAMES = [(codec, change, place) for codec in _ENCODERS for change in CHANGES for place in PLACES]


def odd(codec: str, change: str, place: str, folder: Path) -> Path:
    slices, make = CHANGES[change]
    stream = whole(codec, slices)
    keyframe, further = PLACES[place]
    number = [number for number, sample in enumerate(stream.samples) if sample.keyframe][keyframe] + further
    return write(folder / "odd.mp4", make(stream, number))
