"""What a video file holds: every check that comes before decoding, the packet index and the facts."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from videodag_cli.data import VideoInfo
from videodag_cli.errors import InputError, printable
from videodag_cli.video.atoms import Movie, Track, read_movie
from videodag_cli.video.choice import choose_decoder
from videodag_cli.video.colour import Colour, weights_of
from videodag_cli.video.describing import describe_video, kind_of
from videodag_cli.video.index import MISSING, PacketIndex
from videodag_cli.video.limits import Limits
from videodag_cli.video.orientation import Orientation, from_matrix
from videodag_cli.video.source import Probe, SourceStream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_SHOWN_NAME = 300
FIRST_PACKETS = 20
"""Packets that are looked at for a first picture."""
SIZED_BY_HEADERS = frozenset({"h264", "hevc"})
"""Codecs whose size FFmpeg reads from their own headers; for others it believes the container."""


def probe(path: str | os.PathLike[str], *, stream: int | None = None, limits: Limits | None = None) -> Probe:
    """Check a file and read its packet index; nothing is decoded beyond what the headers need.

    stream: number of the stream in the container; by default the first one that is marked as default and is no cover art.
    Raises InputError with a word that says why the file is refused.
    """
    import av.error

    from videodag_cli.video import demux

    limits = limits or Limits()
    given = os.fsdecode(path)
    shown = printable(given, limit=MAX_SHOWN_NAME)
    with open_regular(given, shown=shown) as file:
        size = os.fstat(file.fileno()).st_size
        movie = read_movie(file, shown)
    _check_tracks(movie, limits, shown)
    absolute = os.path.abspath(given)
    try:
        container = demux.open_container(absolute, max_pixels=limits.max_pixels, end=movie.readable_bytes)
    except av.error.FFmpegError as error:
        demux.require_memory(error)
        if any(track.encrypted for track in movie.video_tracks):
            raise _encrypted(shown) from error
        raise _unreadable(shown, error) from error
    with container:
        chosen = _choose_stream(container, stream, shown)
        track = _track_of(movie, container, chosen)
        orientation = _orientation(track, shown)
        codec, stored = _codec_and_size(chosen, track, limits, shown)
        header_count = chosen.frames or None
        stream_index = chosen.index
        extradata = chosen.codec_context.extradata or b""
        progressive = chosen.codec_context.field_order == 1
        colour = Colour.of(chosen.codec_context)
        _check_colour(colour, codec, track, shown)
        index = demux.build_index(container, chosen, limits=limits, file_bytes=size, shown=shown)
        if index.padded:
            with demux.open_container(
                absolute, max_pixels=limits.max_pixels, end=movie.readable_bytes, padded=True
            ) as padded:
                again = demux.video_stream(padded, stream_index)
                index = demux.build_index(padded, again, limits=limits, file_bytes=size, shown=shown, padded=True)
        if index.untimed_count or index.misplaced_count:
            with demux.open_container(
                absolute, max_pixels=limits.max_pixels, end=movie.readable_bytes, padded=index.padded
            ) as closer:
                again = demux.video_stream(closer, stream_index)
                index = demux.build_index(
                    closer, again, limits=limits, file_bytes=size, shown=shown, padded=index.padded, thorough=True
                )
        contradiction = None
        if index.misplaced_count:
            contradiction = f"the times of {index.misplaced_count} frames contradict the order of output"
        if track is not None and movie.cut is None:
            found_count = max(index.packet_count, len(chosen.index_entries))
            contradiction = _shortage(track, found_count, absolute, stream_index, limits) or contradiction
        if len(index) == 0:
            raise InputError(f"{shown}: its video stream holds no frames", word="input.no_frames")
        _check_rate(index, limits, shown)
        end = movie.readable_bytes
        strict_mjpeg = codec == "mjpeg" and any(_first_sizes(absolute, stream_index, limits, end=end, strict=True))
        if codec not in SIZED_BY_HEADERS or index.headers_differ:
            stored = _picture_size(absolute, stream_index, limits, told=stored, end=end)
            _check_size(*stored, limits, shown)
        _check_work(index, stored, limits, shown)
        width, height = stored[::-1] if orientation.swaps_sides else stored
        before = (s for s in container.streams if s.index <= stream_index and kind_of(s) in ("video", "picture"))
        source = SourceStream(
            path=absolute,
            shown=shown,
            stream_index=stream_index,
            codec=codec,
            extradata=extradata,
            colour=colour,
            stored_size=stored,
            orientation=orientation,
            progressive=progressive,
            strict_mjpeg=strict_mjpeg,
            readable_bytes=movie.readable_bytes,
            contradiction=contradiction,
            description_count=len(track.codecs) if track else 1,
            first_video=all(s.index == stream_index for s in before),
            index=index,
            limits=limits,
        )
        facts = describe_video(
            source,
            container=container,
            stream=chosen,
            movie=movie,
            track=track,
            size_bytes=size,
            header_frame_count=header_count,
            choice=choose_decoder(source),
        )
    return Probe(
        **vars(source),
        facts=facts,
        info=VideoInfo(
            width=width,
            height=height,
            frame_rate=index.frame_rate,
            frame_count=len(index),
            duration_s=facts.duration_s,
        ),
    )


def open_regular(given: str, *, shown: str) -> BinaryIO:
    """Open a file for reading if, and only if, it is a regular one; a FIFO or device is never waited for."""
    if "\x00" in given or not given:
        raise InputError(f"{shown!r} is not a file name", word="input.missing")
    try:
        descriptor = os.open(given, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = "URLs are not opened: download the video first" if "://" in given else "no such file"
        raise InputError(f"{shown}: {hint}", word="input.missing") from error
    except OSError as error:
        # A socket cannot be opened at all; say what it is.
        if _is_special(given):
            raise InputError(f"{shown}: not a regular file; give a video file", word="input.not_file") from error
        reason = printable(error.strerror or error)
        raise InputError(f"{shown}: cannot be opened for reading: {reason}", word="input.unreadable") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
            raise InputError(f"{shown}: this is {kind}; give a video file", word="input.not_file")
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _unreadable(shown: str, error: Exception) -> InputError:
    reason = printable(getattr(error, "strerror", None) or error, limit=200)
    return InputError(f"{shown}: FFmpeg cannot open it: {reason}", word="input.unsupported")


def _encrypted(shown: str) -> InputError:
    return InputError(f"{shown}: the video is encrypted; decrypt it first", word="input.unsupported")


def _check_tracks(movie: Movie, limits: Limits, shown: str) -> None:
    """Refuse what can be refused on the boxes alone."""
    if not movie.video_tracks:
        raise InputError(f"{shown}: it has no video stream", word="input.no_video")
    for track in movie.video_tracks:
        where = f"{shown}: video track {track.number}"
        if track.timescale == 0:
            raise InputError(f"{where} has a time scale of 0: its frames have no times", word="input.unsupported")
        if track.claimed > limits.max_frames:
            raise InputError(
                f"{where} claims {track.claimed} frames, the limit is {limits.max_frames}; raise --max-index-frames",
                word="input.limit",
            )


def _check_size(width: int, height: int, limits: Limits, shown: str) -> None:
    if width * height > limits.max_pixels:
        raise InputError(
            f"{shown}: pictures of {width}x{height} pixels, the limit is {limits.max_pixels} pixels; raise --max-pixels",
            word="input.limit",
        )


def _check_rate(index: PacketIndex, limits: Limits, shown: str) -> None:
    rate = index.frame_rate
    if rate is not None and rate > limits.max_frame_rate:
        raise InputError(
            f"{shown}: {float(rate):.0f} frames per second, the limit is {limits.max_frame_rate}; raise --max-frame-rate",
            word="input.limit",
        )


def _check_work(index: PacketIndex, stored: tuple[int, int], limits: Limits, shown: str) -> None:
    """Refuse few bytes that mean hours of decoding."""
    width, height = stored
    pixels = width * height
    count = int((index.flags & MISSING == 0).sum())
    if count * pixels > limits.allowed_pixels(pixels, index.coded_bytes):
        raise InputError(
            f"{shown}: {count} pictures of {width}x{height} in {index.coded_bytes} bytes are "
            f"{count * pixels // max(1, index.coded_bytes)} pixels per byte, "
            f"the limit is {limits.pixels_per_byte(pixels)}; raise --max-pixels-per-byte",
            word="input.limit",
        )


def _check_colour(colour: Colour, codec: str, track: Track | None, shown: str) -> None:
    """Refuse pictures of which no correct BGR values can be made."""
    if track is not None and track.dolby_vision is not None:
        profile, compatible = track.dolby_vision
        if profile == 5 or (profile in (10, 20) and compatible == 0):
            raise InputError(
                f"{shown}: Dolby Vision profile {profile}: its colours are correct only after a mapping that is "
                "not done here; convert the video to BT.709 first",
                word="input.unsupported",
            )
    if colour.has_chroma:
        try:
            weights_of(colour.matrix, colour.primaries, codec)
        except ValueError as error:
            raise InputError(
                f"{shown}: {error}; convert the video to BT.709, or correct the header if it is wrong",
                word="input.unsupported",
            ) from error


def _shortage(track: Track, found: int, path: str, stream_index: int, limits: Limits) -> str | None:
    """How many of the samples that the tables claim no demuxer finds, because other tables contradict them."""
    from videodag_cli.video import demux

    claimed = track.claimed
    if found >= claimed:
        return None
    if track.fragmented < claimed:  # an edit list may hide samples of the index
        with demux.open_container(path, max_pixels=limits.max_pixels, known=True, edited=False) as container:
            listed = len(demux.video_stream(container, stream_index).index_entries)
        if listed >= claimed - track.fragmented:
            return None
        found = listed + track.fragmented
    return f"its tables claim {claimed} frames but lead to {found}"


def _picture_size(
    path: str, stream_index: int, limits: Limits, *, told: tuple[int, int], end: int | None
) -> tuple[int, int]:
    """The size that the container gives if one of the first pictures has it, else the one that most of them have."""
    sizes: Counter[tuple[int, int]] = Counter()
    for size in _first_sizes(path, stream_index, limits, end=end):
        if size == told:
            return told
        sizes[size] += 1
    return sizes.most_common(1)[0][0] if sizes else told


def _first_sizes(
    path: str, stream_index: int, limits: Limits, *, end: int | None, strict: bool = False
) -> Iterator[tuple[int, int]]:
    """Width and height of the first pictures; strict: refuse what is not in order."""
    import av.error

    from videodag_cli.video import demux
    from videodag_cli.video.decoding import STRICT

    with (
        contextlib.suppress(av.error.FFmpegError),
        demux.open_container(path, max_pixels=limits.max_pixels, end=end, known=True) as container,
    ):
        stream = demux.video_stream(container, stream_index)
        context = stream.codec_context
        context.thread_count = 1
        context.options = {"max_pixels": str(limits.max_pixels), **(STRICT if strict else {})}
        for packet in itertools.islice(demux.packets(container, stream), FIRST_PACKETS):
            frames: list[VideoFrame] = []
            with contextlib.suppress(av.error.FFmpegError):
                frames = context.decode(packet) if packet.size else []
            yield from ((frame.width, frame.height) for frame in frames)
            if strict and not frames:
                return


def _choose_stream(container: InputContainer, wanted: int | None, shown: str) -> VideoStream:
    from av.stream import Disposition

    videos = [s for s in container.streams if kind_of(s) == "video"]
    if not videos:
        raise InputError(f"{shown}: it has no video stream", word="input.no_video")
    if wanted is None:
        marked = [s for s in videos if s.disposition & Disposition.default]
        return (marked or videos)[0]  # type: ignore[return-value]
    found = next((s for s in videos if s.index == wanted), None)
    if found is None:
        known = ", ".join(str(s.index) for s in videos)
        raise InputError(
            f"{shown}: stream {wanted} is not a video stream; video streams: {known}", word="input.no_video"
        )
    return found  # type: ignore[return-value]


def _track_of(movie: Movie, container: InputContainer, chosen: VideoStream) -> Track | None:
    """The track behind a stream: by track id where that is telling, else by order."""
    by_id = [track for track in movie.video_tracks if track.id == chosen.id]
    if len(by_id) == 1:
        return by_id[0]
    videos = [s.index for s in container.streams if kind_of(s) == "video"]
    place = videos.index(chosen.index)
    return movie.video_tracks[place] if place < len(movie.video_tracks) else None


def _orientation(track: Track | None, shown: str) -> Orientation:
    if track is None:
        return Orientation()
    if track.external:
        raise InputError(f"{shown}: its pictures are in another file, which is not opened", word="input.unsupported")
    if track.encrypted:
        raise _encrypted(shown)
    orientation = from_matrix(track.matrix)
    if orientation is None:
        raise InputError(
            f"{shown}: the picture is rotated by an angle that is not a multiple of 90 degrees",
            word="input.unsupported",
        )
    return orientation


def _codec_and_size(
    stream: VideoStream, track: Track | None, limits: Limits, shown: str
) -> tuple[str, tuple[int, int]]:
    context: Any = stream.codec_context
    if context is None:
        tag = printable(track.codecs[0] if track and track.codecs else "?")
        raise InputError(f"{shown}: there is no decoder for its codec ({tag!r})", word="input.unsupported")
    width, height = context.width, context.height
    if width <= 0 or height <= 0:
        raise InputError(f"{shown}: the size of its pictures cannot be determined", word="input.unsupported")
    if not stream.time_base:
        raise InputError(f"{shown}: its frames have no times", word="input.unsupported")
    from videodag_cli.video.demux import codec_name

    codec = codec_name(stream)
    if codec in SIZED_BY_HEADERS:
        _check_size(width, height, limits, shown)
    return codec, (width, height)
