"""The scenes between cuts as an edit: EDL or OTIO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.editing import EditedClip, FrameAxis, frame_axis, scenes
from videodag_cli.convert.results_files import ResultsFile
from videodag_cli.errors import printable


def write(
    sources: Sequence[ResultsFile], stream: BinaryIO, *, nodes: Sequence[str] = (), form: str, rate: str | None
) -> Converted:
    """Write the scenes of the one source."""
    (source,) = sources
    axis = frame_axis(source.record, printable(source.name), rate=rate)
    clips = list(scenes(source, axis, nodes))
    stream.write(edit_text(form, clips, axis).encode())
    return Converted(form, len(clips), "scene")


def edit_text(form: str, clips: Iterable[EditedClip], axis: FrameAxis) -> str:
    """The whole file."""
    if form == "edl":
        from videodag_cli.convert.edl import edl_lines

        return "".join(f"{line}\n" for line in edl_lines(clips, axis))
    import orjson

    from videodag_cli.convert.otio import otio_document

    return orjson.dumps(otio_document(clips, axis), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
