"""The PyAV reader: seeks where that saves packets, lets the decoder drop pictures nobody needs, accounts for each target."""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING

import av.error
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from videodag_cli.data import Frame
from videodag_cli.errors import InputError
from videodag_cli.video import demux
from videodag_cli.video.choice import DecoderChoice
from videodag_cli.video.coded_pictures import REORDERING, picture_reader
from videodag_cli.video.complaints import SILENT
from videodag_cli.video.decoding import DecodeError, Decoding
from videodag_cli.video.entry import droppable
from videodag_cli.video.index import BROKEN, DISPOSABLE, ENTRY, MISSING
from videodag_cli.video.lanes import LOOKED_AT_GROUPS, MOST_LANES, Group, Lanes, suits, worth_it
from videodag_cli.video.pixels import Converter
from videodag_cli.video.reader import Reader
from videodag_cli.video.sizes import PictureSizes

if TYPE_CHECKING:
    from videodag_cli.video.source import Probe

DEFAULT_THREADS = 8
"""Not the number of CPUs: some damage shows in no error, and then what is seen depends on the number of threads. More than two CPUs
need, because the queue of packets under way goes on being decoded while a picture is converted."""
MIN_SKIPPED_PACKETS = 3
"""A seek has to save at least this many packets."""
REORDER_FRAMES = 18
"""Decoders hold at most 16 pictures: one that has not come out after this many that are later both in the file and in time never
will. In the file alone says nothing: a keyframe may be held until all that lead up to it are out."""
RUN_UP_GROUPS = 2
"""A continued run decodes this many groups of pictures again."""
AFTER_DAMAGE = "a picture on which sampled frames depend cannot be decoded; they may show its traces"
MAX_HELD_BYTES = 256 * 1024 * 1024
MIN_HELD_FRAMES = 24


class _Restart(Exception):  # noqa: N818 - a jump, not an error
    """Begin again at the first target that is not settled."""


class PyavReader(Reader):
    """Decodes with frame threads, and each group of pictures that shows a sign of damage again with one thread.

    A picture is handed out once everything decoded before it has come out, so that damage it may depend on is known.
    """

    def __init__(
        self,
        probe: Probe,
        targets: NDArray[np.int64],
        choice: DecoderChoice,
        *,
        threads: int | None = None,
        after: int = -1,
        lanes: int = 1,
    ) -> None:
        super().__init__(probe, targets, choice)
        index = probe.index
        self._index = index
        # FFmpeg's decoder for MPEG-4 part 2 does not hand all headers from one frame thread to the next.
        self._threads = 1 if probe.codec == "mpeg4" and index.headers_differ else threads or DEFAULT_THREADS
        self._wanted = np.zeros(len(index), bool)
        self._wanted[self.targets] = True
        self._entries = np.flatnonzero((index.flags & ENTRY) != 0)
        self._highest = np.maximum.accumulate(index.rank)
        # Of two H.264 or MPEG-2 fields in one packet, one may be referenced and the other not.
        self._may_drop = droppable(probe.codec, probe.extradata) and (
            (probe.progressive and index.paired_count == 0) or probe.codec == "hevc"
        )
        # Where the packets do not give the order of output, only the decoder can contradict the container.
        self._order_unread = probe.codec in REORDERING and picture_reader(probe.codec, probe.extradata) is None
        self._may_seek = True
        # What a decoder says only in FFmpeg's log, which all threads share, is heard by one decoder at a time.
        alone = self._order_unread or probe.codec in SILENT or not suits(index)
        self._lane_count = 1 if alone else min(lanes, MOST_LANES)
        picture_bytes = max(1, probe.stored_size[0] * probe.stored_size[1] * 2)
        self._most_held = max(MIN_HELD_FRAMES, MAX_HELD_BYTES // picture_bytes)
        self._sizes = PictureSizes(probe)
        self._converter = Converter(probe.orientation, index.time_base, probe.codec)
        self._decoding: Decoding | None = None
        self._lanes: Lanes | None = None
        self._after = after
        self._settled = self._begin_at()
        """Targets before this one are handed out or counted."""
        self._fed = self._settled
        """Targets before this one were given to the decoder."""
        self._ready: dict[int, VideoFrame | None] = {}
        """By rank: pictures that came out; None for those that cannot be correct."""
        self._dropped: set[int] = set()
        """Ranks of pictures that came out while too many were held."""
        self._came_out: deque[int] = deque(maxlen=4 * REORDER_FRAMES)
        """Positions of the last pictures."""
        self._top_rank = -1
        self._careful = False
        self._lenient = False
        self._bad_positions: list[int] = []
        self._founded_from = self._first_foundation()
        # Opened here for the sake of memory: FFmpeg's tables take the place of those that the probe let go of in this thread.
        self._opened: Decoding | None = self._open()

    def _begin_at(self) -> int:
        """The target to begin with so that those after `after` come out as if all before had been decoded.

        Silent damage lets pictures refer to what a decoder held before their group, so it is given the groups before.
        """
        first = int(np.searchsorted(self.targets, self._after, side="right"))
        if 0 < first < len(self.targets):
            start = self._entry(int(self.targets[first]), run_up=RUN_UP_GROUPS)
            while first > 0 and self._entry(int(self.targets[first - 1])) >= start:
                first -= 1
        return first

    def _open(self) -> Decoding:
        try:
            return Decoding(
                self.probe,
                # With several threads and without strictness, which pictures are called corrupt is a matter of luck.
                threads=1 if self._careful or self._lenient else self._threads,
                strict=not (self._careful or self._lenient),
            )
        except (av.error.FFmpegError, OSError) as error:
            demux.require_memory(error)
            raise InputError(
                f"{self.probe.shown}: it could be opened before, and now it cannot", word="input.changed"
            ) from error

    @property
    def undecodable(self) -> NDArray[np.int64]:
        found = super().undecodable
        return found[found > self._after]

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.close()
        for decoding in (self._opened, self._decoding):
            if decoding is not None:
                decoding.close()
        self._opened = self._decoding = None

    def _frames(self) -> Iterator[Frame]:
        try:
            yield from self._in_lanes()
            while self._settled < len(self.targets):
                try:
                    yield from self._pass()
                except _Restart:
                    continue
        finally:
            self.close()

    def _in_lanes(self) -> Iterator[Frame]:
        """Settle targets by groups that are decoded side by side, up to one that shows a sign of damage."""
        groups = self._groups()
        first = list(itertools.islice(groups, LOOKED_AT_GROUPS)) if self._lane_count > 1 else []
        if self._opened is None or not worth_it(first):
            return
        opened, self._opened = self._opened, None
        self._lanes = Lanes(self.probe, self._lane_count, first=opened, open_one=self._open, may_drop=self._may_drop)
        wanted = self._wanted.__getitem__
        with self._lanes, closing(self._lanes.run(itertools.chain(first, groups), wanted)) as results:
            while True:
                started = perf_counter()
                _, done = next(results, (None, None))
                self.decode_s += perf_counter() - started
                if done is None:
                    return
                self.decoded_count += done.decoded_count
                for frame in done.frames:
                    self._settled += 1
                    if frame.index > self._after:
                        yield frame

    def _groups(self) -> Iterator[Group]:
        """The targets between one seek and the next, as `_pass` would seek."""
        begin = at = 0
        group: Group | None = None
        for rank in self.targets[self._settled :].tolist():
            position = int(self._index.position[rank])
            if not begin <= position < at:
                entry = self._entry(rank)
                if position < begin or entry - at >= MIN_SKIPPED_PACKETS:
                    if group is not None:
                        yield group
                    begin = at = entry
                    group = None
                at = max(at, position + 1)
            if group is None:
                group = Group(begin, at)
            group.end = at
            group.ranks.append(rank)
        if group is not None:
            yield group

    def _pass(self) -> Iterator[Frame]:
        """Settle targets with one open decoder: all of them, or up to damage, or only the damaged group."""
        decoding, self._opened = self._opened, None
        if decoding is None:
            self.close()
            decoding = self._open()
        self._decoding = decoding
        self._ready.clear()
        self._dropped.clear()
        self._came_out.clear()
        self._top_rank = -1
        self._fed = self._settled
        if self._careful:
            yield from self._group(decoding)
            return
        while self._settled < len(self.targets):
            if self._fed == len(self.targets):
                yield from self._drain()
                continue
            rank = int(self.targets[self._fed])
            position = int(self._index.position[rank])
            self._note_missing(rank, position)
            if rank not in self._ready and not decoding.begin <= position < decoding.at:
                entry = self._entry(rank)
                if position < decoding.begin or entry - decoding.at >= MIN_SKIPPED_PACKETS:
                    yield from self._drain()
                    decoding = self._seek(entry)
                while decoding.at <= position:
                    self._feed(decoding)
                    yield from self._release()
            self._fed += 1
            yield from self._release()

    def _group(self, decoding: Decoding) -> Iterator[Frame]:
        """Settle the targets that are decoded from the same entry as the first unsettled one, with one thread.

        Pictures after damage show what the decoder held before. To be the same wherever a run starts and whatever it
        samples, each damaged group is decoded by a new decoder that starts one group early and drops nothing. Not so AV1, where
        a keyframe leaves nothing of what was before, but fails itself in a decoder that has just met damage.
        """
        bad_before = len(self._bad_positions)
        first = int(self.targets[self._settled])
        entry = self._entry(first)
        start = entry if self.probe.codec == "av1" else self._entry(first, run_up=1)
        if start > 0:
            decoding = self._seek(start)
        while self._fed < len(self.targets) and self._entry(int(self.targets[self._fed])) == entry:
            rank = int(self.targets[self._fed])
            position = int(self._index.position[rank])
            self._note_missing(rank, position)
            if position < decoding.begin:
                break
            while rank not in self._ready and decoding.at <= position:
                self._feed(decoding)
                yield from self._release()
            self._fed += 1
            yield from self._release()
        yield from self._drain()
        self._careful = False
        if len(self._bad_positions) == bad_before and not self._index.pictureless.any():
            self._lenient = True  # a decoder that finds fault with this has nothing to say about damage

    def _note_missing(self, rank: int, position: int) -> None:
        """What is not in the file need not be read to know that it is missing."""
        if self._index.flags[position] & MISSING:
            self._ready[rank] = None
            self._remember(position)

    def _seek(self, entry: int) -> Decoding:
        """Go to an entry with a decoder that holds the headers in force there, and no others."""
        decoding = self._decoding
        assert decoding is not None
        if self._index.headers_change and decoding.used:
            decoding.close()
            decoding = self._decoding = self._open()
        if not decoding.seek(entry):
            self._may_seek = False
            raise _Restart
        return decoding

    def _entry(self, rank: int, *, run_up: int = 0) -> int:
        """Position of the last packet from which decoding gives this frame, or of one that many entries before it."""
        return self._start(rank, run_up=run_up) if self._may_seek else 0

    def _start(self, rank: int, *, run_up: int = 0) -> int:
        position = int(self._index.position[rank])
        nearest = int(np.searchsorted(self._entries, position, side="right")) - 1
        while nearest >= 0:
            # What follows an entry in the file and comes before it in time may refer to what is before the entry.
            if self._index.pts[self._entries[nearest]] <= self._index.pts[position]:
                return int(self._entries[nearest - run_up]) if nearest >= run_up else 0
            nearest -= 1
        return 0

    def _first_foundation(self) -> int:
        """Where the first picture that stands alone is; other decoders than MPEG-4's give nothing before it."""
        return int(self._entries[0]) if self.probe.codec == "mpeg4" and len(self._entries) else 0

    def _feed(self, decoding: Decoding) -> None:
        position = decoding.at
        rank = int(self._index.rank[position])
        wanted = rank >= 0 and bool(self._wanted[rank])
        started = perf_counter()
        try:
            came = decoding.feed(wanted=wanted, may_drop=self._may_drop and not self._careful)
        except DecodeError:
            # Some decoders complain of a packet later than they got it: its picture may still come out.
            self._alarm(position)
            if rank >= 0 and self._index.begins[rank] != self._index.position[rank]:
                self._bad(position)  # the other field alone is no frame
            if position == self._founded_from and self.probe.codec == "mpeg4":
                later = self._entries[self._entries > position]
                self._founded_from = int(later[0]) if len(later) else self._index.packet_count
            came = []
        finally:
            self.decode_s += perf_counter() - started
        if came is None:
            decoding.at = self._index.packet_count
            return
        flags = int(self._index.flags[position])
        if decoding.complaints or (flags & BROKEN and (wanted or not flags & DISPOSABLE)):
            self._bad(position)
        self._take(came)

    def _drain(self) -> Iterator[Frame]:
        """Get everything out of the decoder and settle every target that was fed."""
        decoding = self._decoding
        assert decoding is not None
        started = perf_counter()
        try:
            came = decoding.drain()
        except DecodeError:
            if not self._careful:
                self._alarm(decoding.at)
            came = []
        finally:
            self.decode_s += perf_counter() - started
        self._take(came)
        yield from self._release(drained=True)
        self._top_rank = -1
        self._came_out.clear()

    def _take(self, came: list[tuple[int, VideoFrame]]) -> None:
        for position, picture in came:
            self.decoded_count += 1
            self._sizes.count(picture.width, picture.height)
            if position < 0:
                continue
            rank = int(self._index.rank[position])
            self._came_out.append(position)
            if self._order_unread and rank < self._top_rank:
                self._problem("pictures come out of the decoder in another order than that of their times")
            self._top_rank = max(self._top_rank, rank)
            if picture.is_corrupt or position < self._founded_from or position != self._index.begins[rank]:
                self._bad(position)
            elif self._wanted[rank] and rank not in self._ready and rank >= self._next_rank():
                if rank == self._next_rank() or len(self._ready) < self._most_held:
                    self._ready[rank] = picture
                else:
                    self._dropped.add(rank)

    def _next_rank(self) -> int:
        """The first target that is not settled; after the last one there is no such rank."""
        return int(self.targets[self._settled]) if self._settled < len(self.targets) else len(self._wanted)

    def _bad(self, position: int) -> None:
        """The packet cannot be decoded correctly."""
        self._alarm(position)
        rank = int(self._index.rank[position])
        if rank >= 0 and self._wanted[rank]:
            self._ready[rank] = None

    def _alarm(self, position: int) -> None:
        """There is damage: decode this group again with one thread, where each failure has its packet."""
        if not self._careful:
            self._careful = True
            raise _Restart
        self._remember(position)

    def _remember(self, position: int) -> None:
        if position not in self._bad_positions:
            insort(self._bad_positions, position)

    def _release(self, *, drained: bool = False) -> Iterator[Frame]:
        """Settle targets from the first one on, as far as can be said now."""
        while self._settled < self._fed:
            rank = int(self.targets[self._settled])
            position = int(self._index.position[rank])
            if rank in self._ready:
                picture = self._ready[rank]
                if not (
                    picture is None
                    or drained
                    or self._highest[position] <= self._top_rank
                    or len(self._ready) >= self._most_held
                ):
                    return
                del self._ready[rank]
                self._settled += 1
                if rank <= self._after:
                    continue
                frame = None if picture is None else self._frame(rank, picture)
                if frame is None:
                    self._undecodable.append(rank)
                else:
                    if self._follows_damage(rank, position):
                        self.after_damage_count += 1
                        if not self._undecodable:
                            self._problem(AFTER_DAMAGE)
                    yield frame
            elif rank in self._dropped:
                raise _Restart
            elif drained or self._later_count(position, rank) >= REORDER_FRAMES:
                self._alarm(position)
                self._settled += 1
                self._undecodable.append(rank)
            else:
                return

    def _later_count(self, position: int, rank: int) -> int:
        """How many of the last pictures that came out are later than this one."""
        return sum(out > position and self._index.rank[out] > rank for out in self._came_out)

    def _follows_damage(self, rank: int, position: int) -> bool:
        """Whether decoding did not start anew between a damaged packet, that others refer to, and this one."""
        start = self._start(rank)
        before = bisect_left(self._bad_positions, position)
        while before and self._bad_positions[before - 1] >= start:
            before -= 1
            if not self._index.flags[self._bad_positions[before]] & DISPOSABLE:
                return True
        return False

    def _frame(self, rank: int, picture: VideoFrame) -> Frame | None:
        if (picture.width, picture.height) != self.probe.stored_size:
            words = self._sizes.words(picture.width, picture.height)
            if not self._sizes.may_change:
                self._problem(words)
                return None
            self._remark(f"{words}: they have their own size")
        started = perf_counter()
        try:
            image = self._converter.image(picture)
        except (av.error.FFmpegError, ValueError) as error:
            demux.require_memory(error)
            self._problem(f"pictures of layout {picture.format.name} cannot be converted")
            return None
        finally:
            self.convert_s += perf_counter() - started
        return Frame(image, rank, self._index.time_s(rank))
