"""Output formats: each turns results into bytes, and says whether an unfinished file can be continued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from videodag_cli.lines import FrameResult

Format = Literal["jsonl", "list", "summary"]
FORMATS: tuple[Format, ...] = get_args(Format)


class Sink(Protocol):
    """Bytes for the start, for each frame, and for the end."""

    resumable: bool
    """Whether `frame` gives one whole line per frame, so that a file cut after any line can be continued."""

    def header(self) -> bytes: ...

    def frame(self, result: FrameResult, *, first: bool) -> bytes: ...

    def footer(self) -> bytes: ...


def make_sink(format: str, *, tags: Mapping[str, str]) -> Sink:
    """The sink of that name; `tags` are constant leading fields of every line."""
    from importlib import import_module

    sink: Sink = import_module(f"videodag_cli.run.sinks.{format}").make(tags)
    return sink
