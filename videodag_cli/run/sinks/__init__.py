"""Output formats: each turns results into bytes, reads them back, and says whether an unfinished file can be continued."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, get_args

if TYPE_CHECKING:
    from videodag_cli.lines import FrameResult

OutputFormat = Literal["jsonl", "list", "summary"]
OUTPUT_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)


class Sink(Protocol):
    """Bytes for the start, for each frame, and for the end."""

    suffix: str
    """How names of such files end."""
    resumable: bool
    """Whether `frame` gives one whole line per frame, so that a file cut after any line can be continued."""

    def header(self) -> bytes: ...

    def frame(self, result: FrameResult, *, first: bool) -> bytes: ...

    def footer(self) -> bytes: ...

    def read(self, line: bytes, *, first: bool) -> dict[str, Any] | None:
        """The frame of a whole line that `frame` gave; None for any other line."""


def make_sink(format: str, *, tags: Mapping[str, str] | None = None) -> Sink:
    """The sink of that name; `tags` are constant leading fields of every line."""
    from importlib import import_module

    sink: Sink = import_module(f"videodag_cli.run.sinks.{format}").make(tags or {})
    return sink


def written_frames(file: BinaryIO, sink: Sink) -> Iterator[dict[str, Any]]:
    """The frames in what the sink wrote; a torn or foreign line ends them."""
    header = sink.header()
    if file.read(len(header)) != header:
        return
    first = True
    for line in file:
        frame = sink.read(line, first=first) if line.endswith(b"\n") else None
        if frame is None:
            return
        first = False
        yield frame
