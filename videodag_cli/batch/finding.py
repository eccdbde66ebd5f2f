"""From files, folders, patterns and lists to videos, each with the name its outputs get."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from videodag_cli.errors import InputError, RequestError, printable

SUFFIXES = (".mp4", ".mov", ".m4v")
"""What a folder is searched for, in any case."""
OTHER_VIDEOS = frozenset(
    {
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".f4v",
        ".flv",
        ".m2ts",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mpeg",
        ".mpg",
        ".mts",
    }
    | {".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""Video files that are counted and not run."""


@dataclass(frozen=True)
class FoundVideo:
    path: str
    """As given, or below the folder that was given."""
    name: str
    """Path below the named folder, or the file's own name; what the names of its outputs begin with."""
    refusal: str = ""
    """Of a folder that cannot be read: why. It counts as one video that failed."""


@dataclass(frozen=True)
class FoundVideos:
    """The videos of a command, in the order of the arguments; those of a folder by name."""

    videos: tuple[FoundVideo, ...] = ()
    others: Counter[str] = field(default_factory=Counter)
    """Suffix of video files that are not MP4 or MOV -> how many the folders hold."""

    @property
    def told_others(self) -> str:
        """`not MP4/MOV: 12 (.mkv 10, .avi 2)`; empty where there are none."""
        if not self.others:
            return ""
        parts = ", ".join(f"{suffix} {count}" for suffix, count in self.others.most_common())
        return f"not MP4/MOV: {self.others.total()} ({parts})"


def find_videos(arguments: Sequence[str], *, root: str | None = None) -> FoundVideos:
    """Every video that the arguments name.

    A folder is searched through all its folders (hidden ones and links to folders left out); one that cannot be read is named, with
    the reason. A pattern (`*`, `?`, `[...]`, `**`)
    that no shell has expanded is expanded. A file is taken whatever it is called: if it cannot be run, that is its own failure.
    A file that is named twice is one video, named as it was first. root: outputs are named by the path below this folder.
    Raises `InputError` where a named folder cannot be read or a pattern matches nothing, `RequestError` for a path outside of `root`.
    """
    videos: dict[str, FoundVideo] = {}
    others: Counter[str] = Counter()
    for argument in arguments:
        for video in _named(argument, others):
            if root is not None:
                video = replace(video, name=_below(video.path, root))
            videos.setdefault(os.path.abspath(video.path), video)
    return FoundVideos(tuple(videos.values()), others)


def read_list(source: str, *, null: bool = False) -> list[str]:
    """Paths from a file (`-`: standard input), one on each line, or with NUL behind each; empty ones are left out."""
    try:
        if source == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(source, "rb") as file:
                data = file.read()
    except OSError as error:
        raise InputError(f"--from-file {printable(source)}: {(error.strerror or str(error)).lower()}") from error
    if not null and b"\0" in data:
        raise RequestError(f"--from-file {printable(source)}: contains NUL bytes; give -0 if they end the paths")
    parts = data.split(b"\0") if null else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [os.fsdecode(part) for part in parts if part]


def _named(argument: str, others: Counter[str]) -> Iterable[FoundVideo]:
    """What one argument means."""
    if os.path.isdir(argument):
        yield from _in_folder(argument, others)
    elif glob.has_magic(argument) and not os.path.lexists(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        if not matches:
            raise InputError(f"{printable(argument)}: no file matches this pattern", word="input.missing")
        for match in matches:
            if os.path.isdir(match):
                yield from _in_folder(match, others)
            elif match.lower().endswith(SUFFIXES):
                yield FoundVideo(match, os.path.basename(match))
            else:
                _count_other(match, others)
    else:
        yield FoundVideo(argument, os.path.basename(argument))


def _in_folder(folder: str, others: Counter[str]) -> Iterable[FoundVideo]:
    refused: list[FoundVideo] = []

    def refuse(error: OSError) -> None:
        path = os.fspath(error.filename)
        message = f"{printable(path)}: the folder cannot be read: {(error.strerror or str(error)).lower()}"
        if path == folder:
            raise InputError(message, word="input.unreadable") from error
        refused.append(FoundVideo(path, os.path.relpath(path, folder), message))

    for where, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            path = os.path.join(where, file)
            if file.startswith("."):
                continue
            if file.lower().endswith(SUFFIXES):
                yield FoundVideo(path, os.path.relpath(path, folder))
            else:
                _count_other(file, others)
    yield from refused


def _count_other(path: str, others: Counter[str]) -> None:
    suffix = PurePath(path).suffix.lower()
    if suffix in OTHER_VIDEOS:
        others[suffix] += 1


def _below(path: str, root: str) -> str:
    name = os.path.relpath(os.path.abspath(path), os.path.abspath(root))
    if name == os.pardir or name.startswith(os.pardir + os.sep):
        raise RequestError(f"{printable(path)}: is not below --root {printable(root)}")
    return name
