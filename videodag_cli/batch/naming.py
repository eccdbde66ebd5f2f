"""The name of each output: `<folder>/<name of the video, suffix kept>.<pipeline id>.jsonl`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from videodag_cli.batch.finding import FoundVideo
from videodag_cli.errors import RequestError, printable
from videodag_cli.run.sinks import make_sink
from videodag_cli.system.blindness import Blindness, blindness
from videodag_cli.system.files import is_same_file


def output_name(name: str, pipeline_id: str, format: str) -> str:
    """`cam1/IMG_0001.MOV.people.jsonl`."""
    return f"{name}.{pipeline_id}{make_sink(format).suffix}"


def outputs_for(
    videos: Iterable[FoundVideo], pipeline_ids: Sequence[str], *, folder: Path, format: str
) -> dict[FoundVideo, tuple[Path, ...]]:
    """Each video's outputs, one for each pipeline. A file that is named again, through a link to its folder, is left out.

    Raises `RequestError` where the outputs of two files would have one name.
    """
    found: dict[FoundVideo, tuple[Path, ...]] = {}
    owner: dict[str, FoundVideo] = {}
    for video in videos:
        names = [output_name(video.name, pipeline_id, format) for pipeline_id in pipeline_ids]
        for name in names:
            other = owner.setdefault(name, video)
            if other is not video and is_same_file(other.path, video.path):
                break
            if other is not video:
                raise RequestError(
                    f"{_both(other, video, name)}; "
                    "name the folder they are in, or give --root FOLDER so that their folders become part of the names"
                )
        else:
            found[video] = tuple(folder / os.fspath(name) for name in names)
    return found


def require_apart(outputs: Mapping[FoundVideo, Sequence[Path]], folder: Path) -> None:
    """Raise `RequestError` where two outputs are one file in this folder, which exists, because it ignores case, for example."""
    everything = Blindness(case=True, forms=True)
    if _clash(outputs, everything) is None:
        return  # as nearly always
    clash = _clash(outputs, blindness(folder))
    if clash is not None:
        first, second, output = clash
        raise RequestError(
            f"{_both(first, second, output)}, because {printable(folder)} takes such names for the same; rename one of "
            "them, or choose a folder on another file system"
        )


def _clash(
    outputs: Mapping[FoundVideo, Sequence[Path]], blind: Blindness
) -> tuple[FoundVideo, FoundVideo, Path] | None:
    owner: dict[str, FoundVideo] = {}
    for video, paths in outputs.items():
        for path in paths:
            other = owner.setdefault(blind.key(os.fspath(path)), video)
            if other is not video:
                return other, video, path
    return None


def _both(first: FoundVideo, second: FoundVideo, output: str | Path) -> str:
    return f"{printable(first.path)} and {printable(second.path)} would both be written to {printable(output)}"
