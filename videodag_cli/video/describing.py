"""A probed video in words and numbers: its facts, with a word on each trap."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from videodag_cli.errors import printable
from videodag_cli.video.atoms import Movie, Track
from videodag_cli.video.choice import DecoderChoice
from videodag_cli.video.colour import HDR_TRANSFERS, MATRICES, UNSPECIFIED, WIDE_PRIMARIES, Colour
from videodag_cli.video.facts import MeasuredFacts, StreamFacts, VideoFacts
from videodag_cli.video.index import PacketIndex
from videodag_cli.video.source import SourceStream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream


def describe_video(
    source: SourceStream,
    *,
    container: InputContainer,
    stream: VideoStream,
    movie: Movie,
    track: Track | None,
    size_bytes: int,
    header_frame_count: int | None,
    choice: DecoderChoice,
) -> VideoFacts:
    """The facts of an open file; `choice` is the reader that is taken by default."""
    index, orientation, codec, colour, stored = (
        source.index,
        source.orientation,
        source.codec,
        source.colour,
        source.stored_size,
    )
    context = stream.codec_context
    # Where the container is wrong about the size, what it says of the shape is wrong too.
    believed = track is None or track.sizes[:1] in ([], [stored])
    shape = Fraction((stream if believed else context).sample_aspect_ratio or 1)
    pixel = shape if shape > 0 else Fraction(1)
    display = pixel * stored[0] / stored[1]
    width, height = stored
    if orientation.swaps_sides:
        width, height, display = height, width, 1 / display
    steps = np.diff(index.pts[index.position])
    keys = np.flatnonzero(index.keyframe)
    gaps = np.diff(np.append(keys, len(index))) if len(keys) else np.array([len(index)])
    end = index.exact_time_s(len(index) - 1) - index.exact_time_s(0) + index.last_ticks * index.time_base
    never_interlaced = codec in ("vp9", "av1")
    if index.paired_count:
        interlaced: bool | None = True
    else:
        interlaced = False if never_interlaced or context.field_order == 1 else True if context.field_order else None
    measured = MeasuredFacts(
        container=printable(movie.brand.strip() or "mov", limit=20),
        size_bytes=size_bytes,
        stream=stream.index,
        codec=codec,
        profile=context.profile,
        pixel_format=context.pix_fmt,
        width=width,
        height=height,
        sample_aspect_ratio=None if pixel == 1 else f"{pixel.numerator}:{pixel.denominator}",
        display_aspect_ratio=f"{display.numerator}:{display.denominator}",
        rotation=orientation.rotation,
        mirrored=orientation.mirrored,
        interlaced=interlaced,
        color=str(colour) or None,
        frame_rate=str(index.frame_rate) if index.frame_rate is not None else None,
        variable_frame_rate=bool(len(steps) and int(steps.max()) - int(steps.min()) > 1),
        frame_count=len(index),
        header_frame_count=header_frame_count,
        packet_count=index.packet_count,
        discarded_packet_count=int(((index.rank < 0) & ~index.pictureless).sum()),
        pictureless_packet_count=int(index.pictureless.sum()),
        paired_frame_count=index.paired_count,
        reordered_frame_count=index.untimed_count + index.misplaced_count,
        missing_packet_count=int(index.missing.sum()),
        keyframe_count=len(keys),
        longest_keyframe_gap=int(gaps.max()),
        first_time_s=index.time_s(0),
        duration_s=float(round(end, 6)),
        creation_time=_told(container.metadata.get("creation_time")),
        recorded_time=_told(container.metadata.get("com.apple.quicktime.creationdate")),
        timecode=_told(stream.metadata.get("timecode") or _first_timecode(container)),
        edit_list=bool(track and _real_edits(track)),
        fragmented=movie.fragments > 0,
        index_at_end=movie.index_at_end,
        cut=movie.cut,
        streams=[_stream_facts(s) for s in container.streams],
    )
    notes = [*_notes(measured, index, track), *_picture_notes(colour, track, stored)]
    if source.contradiction:
        notes.append(f"damaged: {source.contradiction}")
    return VideoFacts(**dict(measured), notes=notes, decoder=choice.name, decoder_reason=choice.reason)


def _told(text: str | None) -> str | None:
    return printable(text, limit=60) if text else None


def _first_timecode(container: InputContainer) -> str | None:
    """Of a timecode track that no video stream refers to; none where several differ."""
    said = {s.metadata["timecode"] for s in container.streams if "timecode" in s.metadata}
    return said.pop() if len(said) == 1 else None


def _real_edits(track: Track) -> bool:
    return len(track.edits) > 1 or any(media_time != 0 for _, media_time in track.edits)


def _stream_facts(stream: Stream) -> StreamFacts:
    context: Any = stream.codec_context
    video = stream.type == "video" and context is not None
    return StreamFacts(
        index=stream.index,
        kind=kind_of(stream),
        codec=printable(context.name) if context is not None else None,
        width=context.width if video else None,
        height=context.height if video else None,
    )


def _notes(facts: MeasuredFacts, index: PacketIndex, track: Track | None) -> list[str]:
    """A warning about each trap of this file."""
    notes: list[str] = []
    add = notes.append
    if facts.variable_frame_rate:
        add("variable frame rate: times come from the container, never from an index and a rate")
    if facts.rotation or facts.mirrored:
        turned = f"turned {facts.rotation}° clockwise" if facts.rotation else ""
        done = " and ".join(part for part in ("mirrored" if facts.mirrored else "", turned) if part)
        add(f"the stored picture is {done} to be upright; sizes and boxes are those of the upright picture")
    if facts.sample_aspect_ratio:
        add(f"pixels are not square ({facts.sample_aspect_ratio}): the picture is read as stored, not stretched")
    hidden = facts.discarded_packet_count
    if track is not None and (hidden or len(track.edits) > 1):
        add(f"an edit list moves the times{f' and hides {hidden} packets' if hidden else ''}; it is followed")
    if facts.first_time_s:
        add(f"the first frame is at {facts.first_time_s:g} s")
    if facts.header_frame_count not in (None, facts.packet_count):
        add(f"the header claims {facts.header_frame_count} frames, the index holds {facts.packet_count} packets")
    if facts.pictureless_packet_count:
        add(f"{facts.pictureless_packet_count} packets hold no new picture: there is no frame for them")
    if facts.paired_frame_count:
        add(f"{facts.paired_frame_count} frames are stored as two fields, each a packet of its own")
    if index.untimed_count:
        add(
            f"the container's times follow the order of decoding: {index.untimed_count} frames have the time that their place"
            " in the order of output gives them"
        )
    if facts.missing_packet_count:
        add(f"damaged: the bytes of {facts.missing_packet_count} packets are not in the file")
    if facts.cut:
        add(f"damaged: {facts.cut}")
    if facts.interlaced:
        add("interlaced: each picture holds two moments")
    elif facts.interlaced is None and facts.codec in ("h264", "mpeg4", "mpeg2video"):
        add("the header does not say whether pictures are interlaced")
    times = index.pts[index.position]
    repeated = int((times[1:] == times[:-1]).sum())
    if repeated:
        add(f"{repeated} frames have the same time as the one before")
    if track is not None and len(track.codecs) > 1:
        add(f"{len(track.codecs)} sample descriptions: the coding changes midway")
    videos = [s.index for s in facts.streams if s.kind == "video"]
    if len(videos) > 1:
        add(f"several video streams ({', '.join(map(str, videos))}): this is {facts.stream}; --stream takes another")
    if any(s.kind == "picture" for s in facts.streams):
        add("holds cover art, which is not the video")
    if facts.longest_keyframe_gap > 600:
        add(f"keyframes are up to {facts.longest_keyframe_gap} frames apart: seeking is slow")
    return notes


def _picture_notes(colour: Colour, track: Track | None, stored: tuple[int, int]) -> Iterator[str]:
    curve = HDR_TRANSFERS.get(colour.transfer)
    wide = WIDE_PRIMARIES.get(colour.primaries)
    meant = f"high dynamic range ({curve})" if curve else f"wide colours ({wide} primaries)" if wide else None
    if meant:
        yield f"{meant}: values are read as they are coded, not mapped to those of a standard screen"
    if colour.has_chroma and colour.matrix not in MATRICES and colour.matrix != UNSPECIFIED:
        yield f"the colour matrix is a reserved number ({colour.matrix}): read as BT.601"
    if track is None:
        return
    told = track.sizes[0] if track.sizes else stored
    if told != stored and 0 not in told:
        yield f"the container says {told[0]}x{told[1]}, the pictures are {stored[0]}x{stored[1]}: they are read as they are"
    if len(set(track.sizes)) > 1:
        yield f"the size of the pictures changes midway ({', '.join(f'{w}x{h}' for w, h in dict.fromkeys(track.sizes))})"
    if track.encryption_data:
        yield "its fragments hold encryption data, but its samples are declared clear: they are read as such"
    if track.clean_aperture is not None and track.clean_aperture != stored:
        width, height = track.clean_aperture
        yield f"a clean aperture of {width}x{height} is declared: the whole picture is read, not cropped to it"
    if track.dolby_vision is not None:
        profile, compatible = track.dolby_vision
        yield f"Dolby Vision profile {profile}.{compatible}: its base layer is read, without the mapping that comes with it"


def kind_of(stream: Stream) -> str:
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    if stream.type == "video" and stream.disposition & still:
        return "picture"
    return stream.type or "unknown"
