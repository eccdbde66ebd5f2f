"""The scenes between cuts as an edit: EDL or OTIO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.editing import Edit, frame_axis, scenes
from videodag_cli.convert.results_files import ResultsFile
from videodag_cli.errors import printable


def write(
    sources: Sequence[ResultsFile], stream: BinaryIO, *, nodes: Sequence[str] = (), form: str, rate: str | None
) -> Converted:
    """Write the scenes of each source, one after the other."""
    axes = [frame_axis(source.record, printable(source.name), rate=rate) for source in sources]
    clips = [clip for source, axis in zip(sources, axes, strict=True) for clip in scenes(source, axis, nodes)]
    stream.write(edit_text(form, Edit.of(clips, axes)).encode())
    return Converted(form, len(clips), "scene")


def edit_text(form: str, edit: Edit) -> str:
    """The whole file."""
    if form == "edl":
        from videodag_cli.convert.edl import edl_lines

        return "".join(f"{line}\n" for line in edl_lines(edit))
    import orjson

    from videodag_cli.convert.otio import otio_document

    return orjson.dumps(otio_document(edit), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
