"""The video that results are of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from videodag_cli.errors import InputError, printable
from videodag_cli.results.reading import shown_name


def video_of(record: Mapping[str, Any] | None, results: str | Path) -> tuple[Path | None, str]:
    """The video that a run record names, looked for where it says and beside the results.

    And, as the beginning of a sentence, why there is none, or what speaks against it; mostly empty.
    """
    facts = (record or {}).get("input") or {}
    named = facts.get("path")
    if not isinstance(named, str) or not named:
        return None, "No run record names the video"
    for path in (*_written_as(named, Path(named).parent), *_written_as(named, Path(results).parent)):
        if path.is_file():
            if facts.get("size") not in (None, os.stat(path).st_size):
                return path, f"{printable(path.name)} has changed since it ran"
            return path, ""
    return None, f"{printable(named)} was not found"


def _written_as(named: str, folder: Path) -> Iterator[Path]:
    """Files of a folder whose name records write like this: bytes that are not UTF-8, and what cannot be printed, are escaped there."""
    name = Path(named).name
    yield folder / name
    if "\\" in name:
        with suppress(OSError):
            yield from (path for path in sorted(folder.iterdir()) if printable(path.name) == name)


def require_video(record: Mapping[str, Any] | None, results: str | Path, given: str | Path | None = None) -> Path:
    """The same where there is no doing without: the video that the user named, else the unchanged one that the record names."""
    if given is not None:
        return Path(given)
    path, problem = video_of(record, results)
    if path is None:
        raise InputError(
            f"{shown_name(results)}: {problem[0].lower()}{problem[1:]}; --video CLIP names it", word="input.missing"
        )
    if problem:
        raise InputError(
            f"{shown_name(results)}: {problem}; run it again, or name the video with --video", word="input.changed"
        )
    return path
