"""A video that was checked: what decoders have to know of it, and what a person and a tool want to know."""

from __future__ import annotations

from dataclasses import dataclass

from videodag_cli.data import VideoInfo
from videodag_cli.video.colour import Colour
from videodag_cli.video.facts import VideoFacts
from videodag_cli.video.index import PacketIndex
from videodag_cli.video.limits import Limits
from videodag_cli.video.orientation import Orientation


@dataclass(frozen=True, eq=False)
class SourceStream:
    """One video stream of a file that was found safe to decode: all that a decoder has to know."""

    path: str
    """Absolute; may hold surrogates for bytes that are not UTF-8."""
    shown: str
    """The name as it was given, escaped for messages."""
    stream_index: int
    codec: str
    extradata: bytes
    """The codec's global headers."""
    colour: Colour
    stored_size: tuple[int, int]
    """Width and height of the decoded picture, before it is made upright."""
    orientation: Orientation
    progressive: bool
    """The headers prove that no picture is interlaced."""
    readable_bytes: int | None
    """Where the file has to be taken as ended; None for all of it."""
    contradiction: str | None
    """What the file claims and does not hold; None where it holds what it claims."""
    description_count: int
    """Sample descriptions of the track."""
    strict_mjpeg: bool
    """The first picture is Motion JPEG without a fault, so that a fault in a later one is damage."""
    first_video: bool
    """No other video stream, nor a picture, comes before this one."""
    index: PacketIndex
    limits: Limits


@dataclass(frozen=True, eq=False)
class Probe(SourceStream):
    """The same with its description."""

    facts: VideoFacts
    info: VideoInfo
