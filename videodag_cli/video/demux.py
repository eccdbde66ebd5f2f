"""Opening a file with PyAV, and its packets in order: nothing but the named file is ever opened."""

from __future__ import annotations

import errno
import os
import resource
from array import array
from collections.abc import Generator
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

from videodag_cli.errors import InputError
from videodag_cli.video.coded_picture import FRAME, NOTHING
from videodag_cli.video.coded_pictures import picture_reader
from videodag_cli.video.entry import Entries
from videodag_cli.video.index import BROKEN, KEYFRAME, MISSING, PacketIndex, Pictures
from videodag_cli.video.limits import Limits

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

CONTAINER_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2"
MAX_FAILED_READS = 10_000
MAX_MISSING_SAMPLE_BYTES = 64 * 1024 * 1024
MAX_MISSING_SHARE = 1000
"""At most this many times the file's bytes, and a gibibyte, may be missing: they are read as zeros to learn their times."""
_BUFFER_BYTES = 256 * 1024
_ZEROS = bytes(_BUFFER_BYTES)


class FileView:
    """A file that ends earlier than it does, or goes on with zeros for ever.

    The container that reads it never closes it: it closes itself when it is let go of.
    """

    name = "view"

    def __init__(self, path: str, *, end: int | None, padded: bool) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._end = os.fstat(self._descriptor).st_size if end is None else end
        self._padded = padded
        self._at = 0

    def __del__(self) -> None:
        os.close(self._descriptor)

    def read(self, count: int) -> bytes:
        within = max(0, min(count, self._end - self._at))
        data = os.pread(self._descriptor, within, self._at) if within else b""
        if not data and self._padded:
            data = _ZEROS[:count]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at


def open_container(
    path: str,
    *,
    max_pixels: int,
    end: int | None = None,
    padded: bool = False,
    known: bool = False,
    edited: bool = True,
) -> InputContainer:
    """Open an absolute path that was found to be an MP4 or MOV file; FFmpeg errors pass through.

    end: read the file as if it ended there. padded: read zeros where it has ended.
    known: it was opened before, so that nothing has to be decoded to find out what it is.
    edited: follow the edit list.
    """
    return av.open(
        FileView(path, end=end, padded=padded) if padded or end is not None else path,
        "r",
        format="mov",
        options={"max_pixels": str(max_pixels), **({"skip_frame": "all"} if known else {})},
        container_options={
            "protocol_whitelist": "file",
            "format_whitelist": CONTAINER_FORMATS,
            "enable_drefs": "0",
            **({"probesize": "32", "analyzeduration": "1"} if known else {}),
            **({} if edited else {"ignore_editlist": "1"}),
        },
        metadata_errors="replace",
        buffer_size=_BUFFER_BYTES,
    )


def require_memory(error: Exception) -> None:
    """Raise MemoryError where an error of FFmpeg means that this process may not have more memory or threads.

    Without a limit on its memory, only what a damaged file asks for is too much.
    """
    number = getattr(error, "errno", None)
    rationed = any(
        resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    )
    if number == errno.EAGAIN or (number == errno.ENOMEM and rationed):
        raise MemoryError("no memory, or no thread, is left for decoding") from error


def video_stream(container: InputContainer, index: int) -> VideoStream:
    """The video stream of that number in the container."""
    return next(stream for stream in container.streams.video if stream.index == index)


def codec_name(stream: VideoStream) -> str:
    """The codec, by the name it has whatever the decoder is called."""
    name = stream.codec_context.name
    return "av1" if name == "libdav1d" else name


def only(container: InputContainer, stream: VideoStream) -> None:
    """Let the demuxer skip what belongs to other streams."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all


def packets(container: InputContainer, stream: VideoStream) -> Generator[Packet[VideoStream], None, None]:
    """Packets in decoding order, without the empty one that marks the end; unreadable samples are passed over."""
    failed = 0
    while failed <= MAX_FAILED_READS:
        try:
            for packet in container.demux(stream):
                if packet.size == 0 and packet.dts is None and packet.pts is None:
                    return
                yield packet
            return
        except (av.error.FFmpegError, OSError):
            failed += 1


def build_index(
    container: InputContainer,
    stream: VideoStream,
    *,
    limits: Limits,
    file_bytes: int,
    shown: str,
    padded: bool = False,
    thorough: bool = False,
) -> PacketIndex:
    """Read every packet of `stream` once.

    The index of a file that ends before its last sample comes back marked `padded`, and only lists what a plain demuxer finds:
    build it again from a container opened with `padded`. Where times contradict the order of output, build it again with `thorough`.
    Raises InputError when there are more packets than the limit.
    """
    assert stream.time_base is not None
    only(container, stream)
    codec = codec_name(stream)
    entries = Entries(codec, stream.codec_context.extradata or b"")
    read = picture_reader(codec, stream.codec_context.extradata or b"", thorough=thorough)
    sequences = 0
    pts = array("q")
    flags = bytearray()
    presented = bytearray()
    filled = bytearray()
    first, sequence, order = array("i"), array("i"), array("q")
    latest = 0
    suspicious = False
    coded_bytes = 0
    last = (-(2**63), 0)
    for packet in packets(container, stream):
        time = packet.pts if packet.pts is not None else packet.dts
        flag = KEYFRAME if packet.is_keyframe else 0
        if packet.is_corrupt:
            suspicious = True
        if packet.pos is not None and packet.pos + packet.size > file_bytes:
            flag |= MISSING
        else:
            coded_bytes += packet.size
        described = bytes(packet.get_sidedata("new_extradata")) if packet.has_sidedata("new_extradata") else None
        if described is not None:
            read = picture_reader(codec, described, thorough=thorough)
            sequences = max(sequence, default=-1) + 1
        if flag & MISSING:
            entries.pass_by(extradata=described)
        else:
            flag |= entries.look(memoryview(packet), keyframe=packet.is_keyframe, extradata=described)
        picture = NOTHING if packet.size == 0 else FRAME if read is None else read(memoryview(packet))
        if flag & MISSING and not picture.shown:
            picture = FRAME
        if picture.shown and not picture.second:
            latest = len(pts)
        filled.append(picture.shown)
        first.append(latest if picture.second else len(pts))
        sequence.append(picture.sequence if picture.sequence < 0 else sequences + picture.sequence)
        order.append(picture.order)
        if time is not None and not packet.is_discard and picture.shown and time >= last[0]:
            last = (time, packet.duration or 0)
        pts.append(0 if time is None else time)
        flags.append(flag)
        presented.append(time is not None and not packet.is_discard)
        if len(pts) > limits.max_frames:
            raise InputError(
                f"{shown}: more than {limits.max_frames} frames; raise --max-index-frames", word="input.limit"
            )
    if not padded and (suspicious or len(pts) < len(stream.index_entries)):
        padded = _ends_early(stream, file_bytes=file_bytes, shown=shown)
    return PacketIndex.build(
        stream.time_base,
        np.array(pts, np.int64),
        np.frombuffer(bytes(flags), np.uint8) | np.where(entries.lacking(), BROKEN, 0).astype(np.uint8),
        np.frombuffer(bytes(presented), np.bool_),
        pictures=Pictures(
            np.frombuffer(bytes(filled), np.bool_),
            np.array(first, np.int32),
            np.array(sequence, np.int32),
            np.array(order, np.int64),
        ),
        last_ticks=max(0, last[1]),
        coded_bytes=min(coded_bytes, file_bytes),  # samples may share bytes
        padded=padded,
        headers_differ=entries.headers_differ,
        headers_change=entries.headers_change,
        slices_vary=entries.slices_vary(),
    )


def _ends_early(stream: VideoStream, *, file_bytes: int, shown: str) -> bool:
    """Whether samples lie beyond the end of the file."""
    beyond = 0
    for entry in stream.index_entries:
        missing = min(entry.pos + entry.size - file_bytes, entry.size)
        if missing > 0:
            beyond += missing
            if entry.size > MAX_MISSING_SAMPLE_BYTES or beyond > 1024**3 + MAX_MISSING_SHARE * file_bytes:
                raise InputError(
                    f"{shown}: claims samples of {beyond} bytes beyond the end of its {file_bytes} bytes",
                    word="input.limit",
                )
    return beyond > 0
