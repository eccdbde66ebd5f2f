"""What is known about a video, in the form it takes in the run record and in `videodag probe --json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


def _nothing() -> list[str]:
    """Of `list` itself Pydantic would look up the signature, which takes long."""
    return []


class StreamFacts(BaseModel):
    """One stream of the container."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    index: int = Field(description="Number of the stream in the container, 0-based; what --stream takes")
    kind: str = Field(description="video, audio, picture (cover art), data, subtitle or unknown")
    codec: str | None = Field(description="Name of the codec; null when it is not known")
    width: int | None = None
    height: int | None = None


class FullFacts(BaseModel):
    """What decoding every frame showed."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    decoded: int = Field(description="Frames that were decoded correctly")
    undecodable: int = Field(description="Frames that could not be decoded correctly")
    undecodable_ranges: list[tuple[int, int]] = Field(
        description="First and last index of the undecodable frames; at most 100 ranges"
    )
    first_undecodable_time_s: float | None = None
    after_damage: int = Field(description="Decoded frames that follow a damaged one and may show its traces")
    problems: list[str] = Field(default_factory=_nothing, description="Where decoder and index contradict each other")
    remarks: list[str] = Field(
        default_factory=_nothing, description="What is unusual about the pictures, and no damage"
    )


class MeasuredFacts(BaseModel):
    """What the container and its packet index say. Rates and ratios are exact fractions as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    container: str = Field(description="Major brand of the file, such as isom or qt")
    size_bytes: int
    stream: int = Field(description="Number of the stream in the container, 0-based")
    codec: str
    profile: str | None
    pixel_format: str | None
    width: int = Field(description="Width of the upright picture in pixels")
    height: int = Field(description="Height of the upright picture in pixels")
    sample_aspect_ratio: str | None = Field(
        description="Shape of a stored pixel; null when it is square or not specified"
    )
    display_aspect_ratio: str = Field(description="Shape of the upright picture as it is meant to be shown")
    rotation: int = Field(description="Degrees clockwise by which the stored picture is turned to be upright")
    mirrored: bool = Field(description="The stored picture is mirrored left to right before it is turned")
    interlaced: bool | None = Field(description="null when the header does not say")
    color: str | None = Field(description="Colour matrix and range, when the stream specifies them")
    frame_rate: str | None = Field(description="Average frames per second over the whole index")
    variable_frame_rate: bool
    frame_count: int = Field(description="Presented frames in the packet index")
    header_frame_count: int | None = Field(description="Frames that the header claims")
    packet_count: int
    discarded_packet_count: int = Field(description="Packets that an edit list hides")
    pictureless_packet_count: int = Field(
        default=0, description="Packets that hold no new picture, which is not damage"
    )
    paired_frame_count: int = Field(default=0, description="Frames whose two fields are packets of their own")
    reordered_frame_count: int = Field(
        default=0,
        description="Frames that got another frame's time, because the container's contradict the order of output",
    )
    missing_packet_count: int = Field(description="Packets whose bytes are not in the file")
    keyframe_count: int
    longest_keyframe_gap: int = Field(description="Most frames from one keyframe to the next, or to the end")
    first_time_s: float | None
    duration_s: float
    creation_time: str | None = Field(default=None, description="What the container says of its creation, RFC 3339")
    recorded_time: str | None = Field(
        default=None,
        description="What a phone says of the recording, in local time with its offset (com.apple.quicktime.creationdate)",
    )
    timecode: str | None = Field(default=None, description="SMPTE timecode of the first frame; a semicolon: drop-frame")
    edit_list: bool
    fragmented: bool
    index_at_end: bool
    cut: str | None = Field(description="How the file ends early")
    streams: list[StreamFacts]


class VideoFacts(MeasuredFacts):
    """Facts about one video stream and its container, with what follows from them."""

    notes: list[str] = Field(description="A warning about each trap")
    decoder: str = Field(description="The reader that --decoder auto takes")
    decoder_reason: str
    full: FullFacts | None = Field(default=None, description="Only after decoding everything")
