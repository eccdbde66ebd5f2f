"""Sampling on the packet index, against a plain oracle."""

from __future__ import annotations

import contextlib
import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videodag_cli.errors import RequestError
from videodag_cli.video.index import KEYFRAME, PacketIndex
from videodag_cli.video.index_ranges import index_ranges
from videodag_cli.video.sampling import Position, Sampling, parse_position, select


def index_of(pts: list[int], time_base: Fraction = Fraction(1, 1000), keyframes: tuple[int, ...] = (0,)) -> PacketIndex:
    flags = np.zeros(len(pts), np.uint8)
    flags[list(keyframes)] = KEYFRAME
    return PacketIndex.build(time_base, np.array(pts, np.int64), flags, np.ones(len(pts), bool))


def chosen(index: PacketIndex, **options: Any) -> list[int]:
    return select(index, Sampling(**options)).tolist()  # type: ignore[no-any-return]


TICKS = st.lists(st.integers(-5000, 20000), min_size=1, max_size=60)
BASES = st.sampled_from([Fraction(1, 1000), Fraction(1, 600), Fraction(1001, 30000), Fraction(1, 90000)])


@given(ticks=TICKS, base=BASES, every=st.fractions(Fraction(1, 50), 5, max_denominator=100))
def test_every_takes_the_first_frame_at_or_after_each_multiple(
    ticks: list[int], base: Fraction, every: Fraction
) -> None:
    index = index_of(ticks, base)
    times = [round(index.exact_time_s(i), 6) for i in range(len(index))]
    wanted = set()
    multiple = (times[0] // every - 1) * every
    while multiple <= times[-1]:
        wanted.add(next(i for i, time in enumerate(times) if time >= multiple))
        multiple += every
    assert chosen(index, every_s=every) == sorted(wanted)


@given(
    ticks=TICKS,
    base=BASES,
    start=st.fractions(-6, 25, max_denominator=1000),
    length=st.fractions(Fraction(1, 1000), 30, max_denominator=1000),
    options=st.sampled_from([{}, {"stride": 3}, {"every_s": Fraction(1, 3)}, {"keyframes": True}]),
)
def test_a_window_keeps_exactly_the_sampled_frames_inside_it(
    ticks: list[int], base: Fraction, start: Fraction, length: Fraction, options: dict[str, Any]
) -> None:
    index = index_of(ticks, base, keyframes=tuple(range(0, len(ticks), 4)))
    everything = chosen(index, **options)
    window = chosen(index, **options, start=Position(time_s=start), end=Position(time_s=start + length))
    assert window == [i for i in everything if start <= Fraction(str(index.time_s(i))) < start + length]


@given(ticks=TICKS, base=BASES)
def test_a_printed_time_given_as_start_takes_that_frame(ticks: list[int], base: Fraction) -> None:
    index = index_of(ticks, base)
    for rank in range(len(index)):
        first = chosen(index, start=parse_position(f"{index.time_s(rank):.6f}"))[0]
        assert index.time_s(first) == index.time_s(rank)


@given(ticks=st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20), base=BASES)
def test_times_are_rounded_once_from_the_exact_value_however_large(ticks: list[int], base: Fraction) -> None:
    index = index_of(ticks, base)
    exact = [round(index.exact_time_s(rank) * 1_000_000) for rank in range(len(index))]
    assert [int(time) for time in index.times_us()] == exact


def test_stride_keeps_source_frame_indices() -> None:
    assert chosen(index_of([40 * i for i in range(11)]), stride=5) == [0, 5, 10]


def test_frame_window_is_half_open_and_never_shifts_the_phase() -> None:
    index = index_of([40 * i for i in range(20)])
    assert chosen(index, stride=5, start=Position(frame_index=3), end=Position(frame_index=15)) == [5, 10]


def test_max_frames_counts_sampled_frames() -> None:
    assert chosen(index_of([40 * i for i in range(20)]), stride=2, start=Position(frame_index=3), max_frames=3) == [
        4,
        6,
        8,
    ]


def test_frames_out_of_order_are_ranked_by_time_and_equal_times_by_decoding() -> None:
    index = index_of([0, 120, 40, 40, 80])
    assert index.position.tolist() == [0, 2, 3, 4, 1]
    assert index.rank.tolist() == [0, 4, 1, 2, 3]


def test_packets_that_are_not_presented_have_no_rank() -> None:
    index = PacketIndex.build(
        Fraction(1, 25), np.arange(4), np.zeros(4, np.uint8), np.array([False, True, True, False])
    )
    assert (len(index), index.packet_count, index.rank.tolist()) == (2, 4, [-1, 0, 1, -1])


def test_the_index_takes_at_most_24_bytes_a_packet() -> None:
    index = index_of(list(range(1000)))
    arrays = (index.pts, index.rank, index.flags, index.position)
    assert sum(array.nbytes for array in arrays) <= 24 * 1000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3.5", "7/2"),
        ("3.5s", "7/2"),
        ("0", "0"),
        (".5", "1/2"),
        ("1:40.5", "201/2"),
        ("00:01:40", "100"),
        ("10:00:00.25", "144001/4"),
        ("90:00", "5400"),
        ("-2", "-2"),
        (" 7 ", "7"),
        ("0.000001", "1/1000000"),
    ],
)
def test_times_are_read_exactly(text: str, seconds: str) -> None:
    assert parse_position(text) == Position(time_s=Fraction(seconds))


def test_a_number_with_f_is_a_frame_index() -> None:
    assert parse_position("120f") == Position(frame_index=120)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1:99",
        "1:60:00",
        "-5f",
        "1.5f",
        "1e3",
        "nan",
        "inf",
        "1:2:3:4",
        "١٢",
        "1\n2",
        "9" * 50,
        "--5",
        "5 s 3",
    ],
)
def test_other_text_is_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(RequestError, match=r"seconds|below 60") as caught:
        parse_position(text)
    assert caught.value.word == "usage"
    assert "\n" not in caught.value.message


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RequestError):  # nothing else may be raised
        parse_position(text)


@given(st.fractions(0, 10**9, max_denominator=10**6))
def test_positions_are_read_back_from_their_text(time_s: Fraction) -> None:
    time_s = Fraction(round(time_s * 10**6), 10**6)
    assert parse_position(str(Position(time_s=time_s))) == Position(time_s=time_s)


@pytest.mark.parametrize("text", ["0", "0ms", "0:00"])
def test_every_nothing_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="must be more than 0 seconds"):
        Sampling.from_text(every=text)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 0},
        {"stride": 2, "keyframes": True},
        {"stride": 2, "every_s": Fraction(1)},
        {"every_s": Fraction(0)},
        {"max_frames": 0},
        {"start": Position(time_s=Fraction(5)), "end": Position(time_s=Fraction(5))},
        {"start": Position(frame_index=9), "end": Position(frame_index=3)},
    ],
)
def test_contradictions_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="--"):
        Sampling(**options)


def test_the_record_holds_only_what_was_given() -> None:
    assert Sampling().as_json() == {}
    full = Sampling(
        every_s=Fraction("0.1"), start=Position(time_s=Fraction(5, 2)), end=Position(frame_index=9), max_frames=3
    )
    assert full.as_json() == {"every": "0.1", "start": "2.5", "end": "9f", "max_frames": 3}


def test_sampling_is_described_in_words() -> None:
    assert Sampling().describe() == "every frame"
    assert Sampling(stride=5).describe() == "every 5th frame"
    assert Sampling(stride=2, start=Position(time_s=Fraction(10)), max_frames=3).describe() == (
        "every 2nd frame from 10 s, at most 3"
    )
    assert Sampling(keyframes=True, end=Position(frame_index=90)).describe() == "keyframes until frame 90"
    assert Sampling(every_s=Fraction(1, 2)).describe() == "one frame every 0.5 s"


@given(st.sets(st.integers(0, 60)), st.integers(1, 4))
def test_ranges_hold_exactly_the_missing_frames_and_no_other_sampled_one(missing: set[int], stride: int) -> None:
    sampled = np.arange(0, 61, stride)
    found = np.array(sorted(index for index in missing if index % stride == 0), np.int64)
    for among, indices in ((None, np.array(sorted(missing), np.int64)), (sampled, found)):
        listed = index_ranges(indices, among)
        held = [
            i
            for first, last in listed
            for i in (range(first, last + 1) if among is None else sampled)
            if first <= i <= last
        ]
        assert held == indices.tolist()
        assert all(
            later[0] > earlier[1] + (1 if among is None else stride) for earlier, later in itertools.pairwise(listed)
        )


def test_ranges_are_a_hundred_at_most() -> None:
    assert index_ranges(np.arange(0, 1000, 2)) == [(i, i) for i in range(0, 200, 2)]


@given(count=st.integers(1, 60), wanted=st.integers(1, 80))
def test_a_number_of_frames_is_spread_evenly_from_the_first_to_the_last(count: int, wanted: int) -> None:
    found = chosen(index_of(list(range(0, count * 40, 40))), num_frames=wanted)
    if wanted >= count:
        assert found == list(range(count))
        return
    assert len(found) == wanted
    steps = {b - a for a, b in itertools.pairwise(found)}
    assert found[0] == 0
    assert wanted == 1 or (found[-1] == count - 1 and max(steps) - min(steps) <= 1 and min(steps) >= 1)


def test_a_number_of_frames_goes_with_no_other_sampling_and_no_window() -> None:
    for options in ({"stride": 2}, {"keyframes": True}, {"start": Position(frame_index=3)}):
        with pytest.raises(RequestError, match="--num-frames"):
            Sampling(num_frames=4, **options)
    with pytest.raises(RequestError, match="--num-frames 0: must be 1 or more"):
        Sampling(num_frames=0)
    assert Sampling(num_frames=4).as_json() == {"num_frames": 4}
