"""WebVTT: one cue for each span in which a text was seen, a flag was true or an event was reported.

A cue's identifier is the path of its output. Cues are in the order of their start, which is not the order in which spans end: they are
sorted in a temporary database, so that memory does not grow with their number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import BinaryIO

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.results_files import ResultsFile, chosen
from videodag_cli.errors import printable
from videodag_cli.results.spans import EVENT, FLAG, TEXT, Span, Spans

SHORTEST_MS = 1000
"""A cut, a crossing or another event of one moment stays this long, so that it can be read."""
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def write(sources: Sequence[ResultsFile], stream: BinaryIO, *, nodes: Sequence[str] = ()) -> Converted:
    """Write the cues of the one source."""
    with closing(sqlite3.connect("")) as kept:  # an empty name is a database in a temporary file
        kept.execute("create table cues (start_ms integer, end_ms integer, output text, text text)")
        for source in sources:
            rows = (_cue(span) for span in _spans(source) if chosen(span.output, nodes))
            kept.executemany("insert into cues values (?, ?, ?, ?)", rows)
        stream.write(b"WEBVTT\n")
        count = 0
        for start_ms, end_ms, output, text in kept.execute("select * from cues order by start_ms, end_ms, rowid"):
            stream.write(f"\n{output}\n{cue(start_ms, end_ms, text)}".encode())
            count += 1
    return Converted("vtt", count, "cue")


def _spans(source: ResultsFile) -> Iterator[Span]:
    spans = Spans()
    for line in source.lines():
        yield from spans.feed(line)
    yield from spans.finish()


def _cue(span: Span) -> tuple[int, int, str, str]:
    """Times in whole milliseconds from 0 on."""
    start_ms = milliseconds(span.start_s)
    momentary = span.kind == EVENT or (span.kind == FLAG and span.frames == 1)
    end_ms = max(start_ms + (SHORTEST_MS if momentary else 1), milliseconds(span.end_s))
    text = span.label if span.kind == TEXT or span.label == span.output else f"{span.output}: {span.label}"
    return start_ms, end_ms, escaped(span.output), escaped(text)


def milliseconds(time_s: float) -> int:
    """What a cue can say of a time: whole milliseconds from 0 on."""
    return max(0, round(time_s * 1000))


def cue(start_ms: int, end_ms: int, text: str) -> str:
    """A cue of escaped text; a player shows no cue without length."""
    return f"{_clock(start_ms)} --> {_clock(max(end_ms, start_ms + 1))}\n{text}\n"


def escaped(text: str) -> str:
    """Text on one line in which <, > and & are no markup."""
    return "".join(ENTITIES.get(character, character) for character in printable(text))


def _clock(milliseconds: int) -> str:
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
