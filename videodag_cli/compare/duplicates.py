"""Stretches of videos that show the same pictures in the same order, found by their perceptual hashes.

Three steps, none of which looks at every pair of frames or, where many clips are copies, at every pair of files:

1. Frames whose hashes agree in one of four 16-bit bands, and differ in few bits, vote for their files and the distance of their times. In
   a crowded band a frame meets only some of the others, so pictures that are everywhere hardly vote.
2. For each pair of files the distances with most votes are tried: frames are laid side by side by their times, and runs of nearly
   equal ones become stretches.
3. A stretch counts when its hashes are near on average, and much nearer than its own frames are to each other: what never changes fits
   itself and others at any time, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.errors import InputError, RequestError, printable
from videodag_cli.results.reading import leaves, read_lines, shown_name

HashBits = NDArray[np.uint64]
Times = NDArray[np.float64]
Indexes = NDArray[np.int64]

MAX_MEAN_BITS = 6.0
"""Mean distance of the hashes of a stretch, of 64 bits."""
MAX_FRAME_BITS = 12
"""Largest distance at which two frames continue a run."""
MAX_VOTE_BITS = 10
SPREAD_RATIO = 0.5
"""A stretch's distance must be below this part of the mean distance between all of its frames."""
MIN_SPREAD_BITS = 4.0
MIN_FRAMES = 5
MAX_GAP_S = 1.0
"""Frames without a partner are bridged so long."""
COPY_SHARE = 0.9
"""Stretches that cover so much of both clips make them copies."""
BANDS = 4
PARTNERS = 12
"""Frames that one meets in each band, at most."""
VOTES_PER_KEY = 8
"""Frames of one file that vote with the same band."""
MAX_TRIES = 6
"""Distances that are tried for one pair of files."""
SEED = 20_110_526
_HEX = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Hashes:
    """The hashes of one video, in the order of time; frames without one are left out."""

    name: str
    times: Times
    bits: HashBits
    step_s: float
    """Usual time between two lines."""
    start_s: float
    end_s: float
    """Of all lines."""


@dataclass(frozen=True)
class Stretch:
    """Frames of `a` from `a_start_s` on that are those of `b` from `b_start_s` on; both may be one file."""

    a: str
    a_start_s: float
    a_end_s: float
    b: str
    b_start_s: float
    b_end_s: float
    frames: int
    """Pairs of frames that were compared."""
    distance: float
    """Mean number of differing bits, of 64."""
    copy: bool
    """Nearly all of both clips."""


@dataclass
class Duplicates:
    groups: list[list[str]] = field(default_factory=list)
    """Files that are copies of each other, as far as they were compared."""
    stretches: list[Stretch] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_hashes(source: str | Path, *, node: str | None = None) -> Hashes:
    """The output `phash` of a results file. Raises RequestError where there is none, or several and no node says which."""
    times: list[float] = []
    bits: list[int] = []
    found: set[str] = set()
    every: list[float] = []
    for line in read_lines(source):
        if every and line["time_s"] < every[-1]:
            raise RequestError(f"{shown_name(source)}: the lines are out of order at {line['time_s']} s")
        every.append(line["time_s"])
        for path, value in leaves(line["result"] or {}):
            if path.rpartition(".")[2] != "phash" or (node is not None and not path.startswith(f"{node}.")):
                continue
            found.add(path)
            if value is not None:
                times.append(line["time_s"])
                bits.append(_bits(value, source))
    if not found:
        raise InputError(
            f"{shown_name(source)}: contains no hashes; run the pipeline hashes, or another one with hash.frame",
            word="input.not_results",
        )
    if len(found) > 1:
        raise RequestError(
            f"{shown_name(source)}: has several outputs with hashes ({', '.join(map(printable, sorted(found)))}); choose with --node"
        )
    step_s = float(np.median(np.diff(every))) if len(every) > 1 else 0.0
    return Hashes(str(source), np.array(times, np.float64), np.array(bits, np.uint64), step_s, every[0], every[-1])


def _bits(value: Any, source: str | Path) -> int:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise InputError(
            f"{shown_name(source)}: phash {printable(value, limit=40)!r} is not 16 hexadecimal digits",
            word="input.not_results",
        )
    return int(value, 16)


def find_duplicates(files: Sequence[Hashes], *, min_s: float = 5.0, max_bits: float = MAX_MEAN_BITS) -> Duplicates:
    """Stretches of at least `min_s` that two files, or two places of one, have in common; the longest first."""
    found = Duplicates()
    owner = list(range(len(files)))

    def root(index: int) -> int:
        while owner[index] != index:
            owner[index] = owner[owner[index]]
            index = owner[index]
        return index

    for hashes in files:
        if _is_still(hashes):
            found.remarks.append(
                f"{shown_name(hashes.name)}: its pictures hardly change, which fits other still pictures at any time"
            )

    def known(a: int, b: int) -> bool:
        return a != b and root(a) == root(b)

    for a, b, offsets in _candidates(files, min_s, known):
        stretches = list(_stretches(files[a], files[b], offsets, min_s, max_bits))
        found.stretches += stretches
        if a != b and any(stretch.copy for stretch in stretches):
            owner[root(b)] = root(a)
    groups: dict[int, list[str]] = {}
    for index, hashes in enumerate(files):
        groups.setdefault(root(index), []).append(hashes.name)
    found.groups = [group for group in groups.values() if len(group) > 1]
    found.stretches.sort(key=lambda s: (-(s.a_end_s - s.a_start_s), s.a, s.b, s.a_start_s))
    return found


def _is_still(hashes: Hashes) -> bool:
    return not len(hashes.bits) or _spread(hashes.bits, hashes.bits) < MIN_SPREAD_BITS


def _candidates(
    files: Sequence[Hashes], min_s: float, known: Callable[[int, int], bool]
) -> Iterator[tuple[int, int, list[float]]]:
    """Pairs of files (a <= b) with the distances of time that most votes are for; the pair with most votes first.

    known: whether two files need no longer be compared; asked when it is their turn.
    """
    step_s = max((hashes.step_s for hashes in files), default=0.0)
    moving = [(index, hashes) for index, hashes in enumerate(files) if not _is_still(hashes)]
    if not moving:
        return
    owner = np.concatenate([np.full(len(hashes.bits), index, np.int64) for index, hashes in moving])
    times = np.concatenate([hashes.times for _, hashes in moving])
    bits = np.concatenate([hashes.bits for _, hashes in moving])
    votes = [_votes(owner, times, bits, band, min_s) for band in range(BANDS)]
    first, second, offset = (np.concatenate(parts) for parts in zip(*votes, strict=True))
    width = max(step_s, 1e-3)
    slot = np.round(offset / width).astype(np.int64)
    order = np.lexsort((slot, second, first))
    first, second, slot, offset = first[order], second[order], slot[order], offset[order]
    starts = (
        np.flatnonzero(np.r_[True, (np.diff(first) != 0) | (np.diff(second) != 0)]) if len(first) else np.empty(0, int)
    )
    ends = np.r_[starts[1:], len(first)] if len(first) else starts
    for place in sorted(range(len(starts)), key=lambda i: (-(ends[i] - starts[i]), i)):
        if known(int(first[starts[place]]), int(second[starts[place]])):
            continue
        part = slice(starts[place], ends[place])
        slots, counts = np.unique(slot[part], return_counts=True)
        near = counts + np.where(np.isin(slots + 1, slots), np.interp(slots + 1, slots, counts), 0)
        best: list[float] = []
        for rank in np.lexsort((slots, -near)):
            if near[rank] < 2 or len(best) == MAX_TRIES:
                break
            if all(abs(slots[rank] * width - other) > 2 * width for other in best):
                inside = np.abs(slot[part] - slots[rank]) <= 1
                best.append(float(np.median(offset[part][inside])))
        if best:
            yield int(first[starts[place]]), int(second[starts[place]]), best


def _votes(owner: Indexes, times: Times, bits: HashBits, band: int, min_s: float) -> tuple[Indexes, Indexes, Times]:
    """File, file and the distance of times, for frames that agree in this band."""
    key = (bits >> np.uint64(16 * band)) & np.uint64(0xFFFF)
    shuffled = np.random.default_rng(SEED + band).permutation(len(key))
    order = np.lexsort((shuffled, key))
    order = order[_first_of_each(owner, times, key)[order]]
    kept: list[tuple[Indexes, Indexes, Times]] = []
    for distance in range(1, min(PARTNERS, max(len(key) - 1, 0)) + 1):
        one, other = order[:-distance], order[distance:]
        near = (key[one] == key[other]) & (np.bitwise_count(bits[one] ^ bits[other]) <= MAX_VOTE_BITS)
        one, other = one[near], other[near]
        swap = (owner[one] > owner[other]) | ((owner[one] == owner[other]) & (times[one] > times[other]))
        one, other = np.where(swap, other, one), np.where(swap, one, other)
        offset = times[other] - times[one]
        apart = (owner[one] != owner[other]) | (offset >= min_s)
        kept.append((owner[one][apart], owner[other][apart], offset[apart]))
    if not kept:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    first, second, offsets = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return first, second, offsets


def _first_of_each(owner: Indexes, times: Times, key: HashBits) -> NDArray[np.bool_]:
    """Marks the first frames of each file that have a key: a still picture has one vote, not thousands."""
    order = np.lexsort((times, owner, key))
    begins = np.r_[True, (np.diff(key[order]) != 0) | (np.diff(owner[order]) != 0)] if len(order) else np.empty(0, bool)
    places = np.arange(len(order))
    marked = np.empty(len(order), np.bool_)
    marked[order] = places - np.maximum.accumulate(np.where(begins, places, 0)) < VOTES_PER_KEY
    return marked


def _stretches(a: Hashes, b: Hashes, offsets: Sequence[float], min_s: float, max_bits: float) -> Iterator[Stretch]:
    taken: list[Stretch] = []
    for offset in offsets:
        for found in _runs(a, b, _refined(a, b, offset), min_s):
            if found.distance <= max_bits and not any(_overlap(found, other) for other in taken):
                taken.append(found)
                yield found


def _overlap(one: Stretch, other: Stretch) -> bool:
    return min(one.a_end_s, other.a_end_s) > max(one.a_start_s, other.a_start_s) and min(
        one.b_end_s, other.b_end_s
    ) > max(one.b_start_s, other.b_start_s)


def _refined(a: Hashes, b: Hashes, offset: float) -> float:
    """The distance of times near this one at which the frames fit best."""
    step = min(hashes.step_s for hashes in (a, b) if hashes.step_s) if a.step_s or b.step_s else 0.0
    tried = [offset + k * step / 2 for k in (0, -1, 1, -2, 2)]

    def misfit(distance_s: float) -> float:
        one, other = _aligned(a, b, distance_s)
        distances = np.minimum(np.bitwise_count(a.bits[one] ^ b.bits[other]), 2 * MAX_FRAME_BITS)
        return float(distances.mean()) if len(distances) else 64.0

    return min(tried, key=misfit)


def _aligned(a: Hashes, b: Hashes, offset: float) -> tuple[Indexes, Indexes]:
    """Each frame of the coarser file with the nearest of the finer one, not farther than half of its step."""
    coarse, fine, shift = (a, b, offset) if a.step_s >= b.step_s else (b, a, -offset)
    if not len(fine.times) or not len(coarse.times):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    wanted = coarse.times + shift
    after = np.clip(np.searchsorted(fine.times, wanted), 1, max(len(fine.times) - 1, 1))
    after = np.minimum(after, len(fine.times) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(fine.times[before] - wanted) <= np.abs(fine.times[after] - wanted), before, after)
    has_one = np.abs(fine.times[nearest] - wanted) <= fine.step_s / 2 + 1e-3
    own, partner = np.flatnonzero(has_one), nearest[has_one]
    return (own, partner) if coarse is a else (partner, own)


def _runs(a: Hashes, b: Hashes, offset: float, min_s: float) -> Iterator[Stretch]:
    """Runs of frames that are nearly equal at this distance of times."""
    one, other = _aligned(a, b, offset)
    distances = np.bitwise_count(a.bits[one] ^ b.bits[other])
    fits = np.flatnonzero(distances <= MAX_FRAME_BITS)
    if len(fits) < MIN_FRAMES:
        return
    step_s = max(a.step_s, b.step_s)
    broken = np.flatnonzero(np.diff(a.times[one[fits]]) > MAX_GAP_S + 1.5 * step_s)
    for part in np.split(fits, broken + 1):
        inside = slice(part[0], part[-1] + 1)
        first, last = (one[inside.start], other[inside.start]), (one[inside.stop - 1], other[inside.stop - 1])
        length = min(a.times[last[0]] - a.times[first[0]], b.times[last[1]] - b.times[first[1]]) + step_s
        if len(part) < MIN_FRAMES or length + 1e-6 < min_s:
            continue
        mean = float(distances[inside].mean())
        spread = _spread(a.bits[one[inside]], b.bits[other[inside]])
        if spread < MIN_SPREAD_BITS or mean > SPREAD_RATIO * spread:
            continue
        sides = (a.times[first[0]], a.times[last[0]], b.times[first[1]], b.times[last[1]])
        a_start, a_end, b_start, b_end = (round(float(time_s), 6) for time_s in sides)
        copy = all(
            end - start + 2 * step_s >= COPY_SHARE * (hashes.end_s - hashes.start_s + step_s)
            for hashes, start, end in ((a, a_start, a_end), (b, b_start, b_end))
        )
        yield Stretch(
            a.name,
            a_start,
            a_end,
            b.name,
            b_start,
            b_end,
            int(inside.stop - inside.start),
            round(mean, 2),
            copy and a is not b,
        )


def _spread(one: HashBits, other: HashBits, *, most: int = 64) -> float:
    """Mean distance between frames of two stretches, whatever their times: how much their pictures change."""
    pick = [bits[np.linspace(0, len(bits) - 1, min(most, len(bits))).astype(int)] for bits in (one, other)]
    distances = np.bitwise_count(pick[0][:, None] ^ pick[1][None, :]).astype(np.float64)
    if distances.shape[0] == distances.shape[1] and len(distances) > 1:
        np.fill_diagonal(distances, 0.0)
        return float(distances.sum() / (distances.size - len(distances)))
    return float(distances.mean())
