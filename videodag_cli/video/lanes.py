"""Groups of pictures side by side: each lane decodes one with a decoder of its own.

For samplings where a decoder gets few packets between two seeks, so that its threads have nothing to share. A lane does with a group
exactly what one decoder does with one after the other; at the first sign of damage, or of anything unusual, it gives no answer, and the
reader goes on with one decoder from there.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av.error
from av.video.frame import VideoFrame

from videodag_cli.data import Frame
from videodag_cli.video import demux
from videodag_cli.video.decoding import DecodeError, Decoding
from videodag_cli.video.index import BROKEN, DISPOSABLE, MISSING
from videodag_cli.video.pixels import Converter

if TYPE_CHECKING:
    from videodag_cli.video.index import PacketIndex
    from videodag_cli.video.source import Probe

MOST_LANES = 8
LOOKED_AT_GROUPS = 16
"""Whether lanes are worth it is judged by the first groups."""
FEW_PACKETS = 8
"""Of a group; a decoder has as many threads for more."""
MOST_TARGETS = 8
"""Of a group: its pictures are held until all are there."""


@dataclass(slots=True)
class Group:
    """Targets between two seeks."""

    start: int
    """Position of the packet that decoding starts at."""
    end: int
    """Position behind the last packet."""
    ranks: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Done:
    """A group without a sign of damage."""

    frames: list[Frame]
    decoded_count: int


def suits(index: PacketIndex) -> bool:
    """Whether groups can be decoded apart from each other, and nothing about them asks for care."""
    return (
        index.times_are_unique
        and not index.headers_change
        and not index.headers_differ
        and not index.slices_vary
        and not index.padded
        and not index.paired_count
        and not index.pictureless.any()
        and not (index.flags & MISSING).any()
    )


def worth_it(groups: Sequence[Group]) -> bool:
    """Whether so many packets leave a decoder's threads with nothing to do; of the first groups."""
    packets = sum(group.end - group.start for group in groups)
    return len(groups) > 2 and packets <= FEW_PACKETS * len(groups)


class Lanes:
    """Decoders that work on one group each. A context manager.

    first: a fresh decoder that can be used for one of the lanes. open_one: makes another.
    """

    def __init__(
        self, probe: Probe, count: int, *, first: Decoding, open_one: Callable[[], Decoding], may_drop: bool
    ) -> None:
        self._probe = probe
        self._count = count
        self._may_drop = may_drop
        self._open_one = open_one
        self._free: queue.SimpleQueue[_Lane | None] = queue.SimpleQueue()
        self._lanes: list[_Lane] = []
        self._add(first)
        for _ in range(count - 1):
            self._free.put(None)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="videodag-lane")

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is under way and free the decoders; more than once does no harm."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for lane in self._lanes:
            lane.decoding.close()

    def _add(self, decoding: Decoding) -> _Lane:
        lane = _Lane(self._probe, decoding, may_drop=self._may_drop)
        self._lanes.append(lane)
        self._free.put(lane)
        return lane

    def run(self, groups: Iterator[Group], wanted: Callable[[int], bool]) -> Generator[tuple[Group, Done | None]]:
        """What came of each group, in their order; None where the lanes are not to be trusted with it.

        As many groups as there are lanes, and one more, are under way or wait for their turn.
        """
        waiting: deque[tuple[Group, Future[Done | None]]] = deque()
        try:
            for group in groups:
                waiting.append((group, self._pool.submit(self._decode, group, wanted)))
                if len(waiting) > self._count:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()

    def _decode(self, group: Group, wanted: Callable[[int], bool]) -> Done | None:
        if len(group.ranks) > MOST_TARGETS:
            return None
        lane = self._free.get()
        if lane is None:
            lane = _Lane(self._probe, self._open_one(), may_drop=self._may_drop)
            self._lanes.append(lane)
        try:
            return lane.decode(group, wanted)
        finally:
            self._free.put(lane)


class _Lane:
    """One decoder and what makes pictures of what it gives."""

    def __init__(self, probe: Probe, decoding: Decoding, *, may_drop: bool) -> None:
        self._probe = probe
        self._index = probe.index
        self._may_drop = may_drop
        self._converter = Converter(probe.orientation, probe.index.time_base, probe.codec)
        self.decoding = decoding

    def decode(self, group: Group, wanted: Callable[[int], bool]) -> Done | None:
        """The frames of a group; None at the first sign of damage."""
        decoding, index = self.decoding, self._index
        if (decoding.used or group.start) and not decoding.seek(group.start):
            return None
        ready: dict[int, VideoFrame | None] = dict.fromkeys(group.ranks)
        count = 0
        try:
            while decoding.at < group.end:
                position = decoding.at
                rank, flags = int(index.rank[position]), int(index.flags[position])
                asked = rank >= 0 and wanted(rank)
                came = decoding.feed(wanted=asked, may_drop=self._may_drop)
                if came is None or decoding.complaints or (flags & BROKEN and (asked or not flags & DISPOSABLE)):
                    return None
                if not self._take(came, ready):
                    return None
                count += len(came)
            came = decoding.drain()
            if not self._take(came, ready):
                return None
            frames = [self._frame(rank, picture) for rank, picture in ready.items() if picture is not None]
        except DecodeError:
            return None
        except (av.error.FFmpegError, ValueError) as error:
            demux.require_memory(error)
            return None
        return Done(frames, count + len(came)) if len(frames) == len(group.ranks) else None

    def _take(self, came: list[tuple[int, VideoFrame]], ready: dict[int, VideoFrame | None]) -> bool:
        """Keep the pictures that are asked for; False where one is not as it should be."""
        for position, picture in came:
            if (picture.width, picture.height) != self._probe.stored_size:
                return False
            if position < 0:
                continue
            rank = int(self._index.rank[position])
            if picture.is_corrupt or position != self._index.begins[rank]:
                return False
            if rank in ready:
                if ready[rank] is not None:
                    return False
                ready[rank] = picture
        return True

    def _frame(self, rank: int, picture: VideoFrame) -> Frame:
        return Frame(self._converter.image(picture), rank, self._index.time_s(rank))
