"""One grammar for lengths of time, wherever one is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.commands import command, quick
from tests.results_files import line, write
from videodag_cli.errors import RequestError
from videodag_cli.expressions.syntax import parse_expression
from videodag_cli.expressions.tree import For
from videodag_cli.times import parse_seconds
from videodag_cli.video.sampling import Sampling, parse_position
from videodag_cli.video.sampling_options import SamplingOptions

ROOT = Path(__file__).parent.parent
LENGTHS = {
    "2s": "2",
    "250ms": "1/4",
    "1.5m": "90",
    "2min": "120",
    "2 min": "120",
    ".5s": "1/2",
    "90s": "90",
    "1h": "3600",
    "0.25h": "900",
    "1:30": "90",
    "1:02:03.5": "7447/2",
}
BARE = {"0.1": "1/10", ".5": "1/2", "5.": "5", "90": "90"}
WRONG = [
    "",
    "s",
    "2 x",
    "-1s",
    "1s2",
    "soon",
    "1:99",
    "1:60:00",
    "1e3",
    "inf",
    "nan",
    "1:2:3:4",
    "\u0661s",
    "1.2.3s",
    "2 weeks",
    "3f",
]


def expression(text: str) -> Fraction:
    found = parse_expression(f"a > 1 for {text}")
    assert isinstance(found, For)
    return Fraction(found.duration_us, 1_000_000)


def every(text: str) -> Fraction | None:
    return Sampling.from_text(every=text).every_s


READERS: list[Callable[[str], Fraction | None]] = [
    lambda text: parse_seconds(text, what="--gap"),
    every,
    lambda text: parse_position(text).time_s,
    lambda text: SamplingOptions(every=text).sampling().every_s,
]


@pytest.mark.parametrize(("text", "seconds"), LENGTHS.items())
def test_a_length_of_time_is_read_the_same_everywhere(text: str, seconds: str) -> None:
    assert {read(text) for read in [*READERS, expression]} == {Fraction(seconds)}


@pytest.mark.parametrize(("text", "seconds"), BARE.items())
def test_a_bare_number_is_seconds_and_needs_a_unit_in_an_expression(text: str, seconds: str) -> None:
    assert {read(text) for read in READERS} == {Fraction(seconds)}
    with pytest.raises(RequestError, match="a duration like 3s"):
        expression(text)


@pytest.mark.parametrize("text", WRONG)
def test_other_text_is_refused_everywhere(text: str) -> None:
    for read in (READERS[0], READERS[1], READERS[3], expression):
        with pytest.raises(RequestError) as caught:
            read(text)
        assert "\n" not in caught.value.message


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RequestError):  # nothing else may be raised
        parse_seconds(text, what="--gap")


@pytest.mark.slow
def test_every_option_that_takes_a_time_takes_all_of_them(tmp_path: Path) -> None:
    clip = ROOT / "sample_videos" / "synthetic.mp4"
    options = ("--timeout", "--node-timeout", "--checkpoint-every", "--every", "--end")
    for text in (".9s", "2min", "1:30"):
        given = [word for option in options for word in (option, text)]
        assert quick(command("run", "-p", "quality", "--dry-run", *given, clip)).code == 0
    results = write(tmp_path / "r.jsonl", [line(0, {"n": 1}), line(1, {"n": 1})])
    for text in (".9s", "2min", "1:30"):
        assert quick(command("ranges", results, "--where", "n == 1", "--gap", text, "--min", "1ms")).code == 0


@pytest.mark.parametrize("option", ["--timeout", "--node-timeout", "--checkpoint-every", "--every"])
def test_a_wrong_time_names_its_option(option: str) -> None:
    done = quick(command("run", "-p", "quality", option, "2 weeks", "none.mp4"))
    assert done.code == 2
    assert done.error.startswith(f"videodag: error[usage]: {option} '2 weeks' is not a length of time; write ")
