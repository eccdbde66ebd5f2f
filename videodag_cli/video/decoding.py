"""One open decoder: packets go in by position, pictures come out with the position they belong to."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import av.error
import numpy as np
from av.video.frame import VideoFrame

from videodag_cli.video import demux
from videodag_cli.video.complaints import SILENT, Complaints
from videodag_cli.video.index import MISSING, PICTURELESS

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from videodag_cli.video.source import Probe


STRICT = {"err_detect": "explode"}
"""Fail on what is not in order. Otherwise decoders conceal it, and mark it as corrupt or not, depending on their threads."""


class DecodeError(Exception):
    """The decoder refused a packet."""


class _Place:
    """A packet's position on its way through the decoder; one object each, because PyAV keys them by identity."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class Decoding:
    """A container and a decoder context, reading forward from `begin`, the position of the first packet after a seek."""

    def __init__(self, probe: Probe, *, threads: int, strict: bool = False) -> None:
        """strict: refuse packets that are not in order, which reveals damage with any number of threads."""
        self._index = probe.index
        self._by_pts = np.argsort(probe.index.packet_pts, kind="stable").astype(np.int32)
        self._sorted_pts = probe.index.packet_pts[self._by_pts]
        # Where two packets have the same time, the packet itself carries its position through the decoder.
        self._by_time = probe.index.times_are_unique
        self._container = demux.open_container(
            probe.path,
            max_pixels=probe.limits.max_pixels,
            end=probe.readable_bytes,
            padded=probe.index.padded,
            known=True,
        )
        self._stream = demux.video_stream(self._container, probe.stream_index)
        demux.only(self._container, self._stream)
        self._context: Any = self._stream.codec_context
        self._context.options = {"max_pixels": str(probe.limits.max_pixels)}
        if strict or (probe.codec == "mjpeg" and probe.strict_mjpeg):
            self._context.options = {**self._context.options, **STRICT}
        # With more threads, a picture of H.264 that lacks slices is called corrupt only by luck.
        alone = probe.codec in SILENT or (probe.codec == "h264" and probe.index.slices_vary)
        self._context.thread_count = 1 if alone else threads
        self._context.thread_type = "AUTO"
        self._context.copy_opaque = not self._by_time
        self._packets = demux.packets(self._container, self._stream)
        self._peeked: Packet[VideoStream] | None = None
        self._skips = "DEFAULT"
        self.begin = 0
        self.at = 0
        """Position of the next packet."""
        self.drained = True
        """Nothing is inside the decoder."""
        self.used = False
        """It was given packets."""
        self.complaints = Complaints()
        """What the decoder said of the last packet; it may have returned a picture all the same."""
        self._listens = probe.codec in SILENT

    def seek(self, entry: int) -> bool:
        """Make `entry` the next packet of a drained decoder; False where the demuxer lands elsewhere."""
        time = int(self._index.packet_pts[entry])
        if not self._by_time:
            return False
        try:
            self._container.seek(time, stream=self._stream)
        except (av.error.FFmpegError, OSError):
            return False
        self._packets = demux.packets(self._container, self._stream)
        self._peeked = next(self._packets, None)
        self.begin = self.at = entry
        return self._peeked is not None and self._peeked.pts == time

    def feed(self, *, wanted: bool, may_drop: bool) -> list[tuple[int, VideoFrame]] | None:
        """Decode the next packet; returns what comes out, or None where there are no more packets.

        may_drop: the decoder may skip the picture when nothing refers to it. Raises DecodeError; the packet is then passed.
        """
        packet, self._peeked = self._peeked, None
        if packet is None:
            packet = next(self._packets, None)
        if packet is None:
            return None
        position = self.at
        self.at += 1
        if position >= self._index.packet_count:
            return None
        if self._index.flags[position] & MISSING:
            raise DecodeError("its bytes are not in the file")
        if packet.size == 0:
            return []
        skips = "NONREF" if may_drop and not wanted else "DEFAULT"
        if skips != self._skips:
            self._context.skip_frame = self._skips = skips
        if not self._by_time:
            packet.opaque = _Place(position)
        self.drained = False
        self.used = True
        try:
            return self._decode(packet)
        except DecodeError:
            if self._index.flags[position] & PICTURELESS:
                return []
            raise

    def drain(self) -> list[tuple[int, VideoFrame]]:
        """Everything that is still inside the decoder, which is ready for another start afterwards."""
        if self.drained:
            return []
        self.drained = True
        try:
            return self._decode(None)
        finally:
            self._context.flush_buffers()

    def _decode(self, packet: Packet[VideoStream] | None) -> list[tuple[int, VideoFrame]]:
        try:
            with self.complaints.heard() if self._listens else nullcontext():
                frames = self._context.decode(packet)
        except (av.error.FFmpegError, ValueError) as error:
            demux.require_memory(error)
            raise DecodeError(str(getattr(error, "strerror", None) or error)) from error
        return [(self._place(frame), frame) for frame in frames]

    def _place(self, frame: VideoFrame) -> int:
        """The position of a picture's packet; -1 where it has none."""
        if not self._by_time:
            place = frame.opaque
            if isinstance(place, _Place):
                return place.position
        time = frame.pts
        if time is not None:
            place = int(np.searchsorted(self._sorted_pts, time))
            if place < len(self._sorted_pts) and self._sorted_pts[place] == time:
                position = int(self._by_pts[place])
                # Without a rank it was decoded for the sake of others, and is not presented.
                return position if self._index.rank[position] >= 0 else -1
        return -1

    def close(self) -> None:
        """Free the decoder; more than once does no harm."""
        if self._context is None:
            return
        if self._context.is_open:
            # Worker threads may be releasing packets, for which they need the interpreter's lock; closing waits for them
            # while it holds that lock, so let them finish first.
            self._context.flush_buffers()
        self._context = None
        self._packets.close()
        self._container.close()
