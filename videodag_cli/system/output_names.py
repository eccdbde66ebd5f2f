"""The names of the files that belong to an output, beside it."""

from __future__ import annotations

from pathlib import Path

PART_SUFFIX = ".part"
NOTE_SUFFIX = ".part.json"
RECORD_SUFFIX = ".run.json"


def part_path(output: Path) -> Path:
    """What is written before the output is complete."""
    return output.with_name(output.name + PART_SUFFIX)


def note_path(output: Path) -> Path:
    """The request that the part belongs to."""
    return output.with_name(output.name + NOTE_SUFFIX)


def record_path(output: Path) -> Path:
    """The run record of a finished output."""
    return output.with_name(output.name + RECORD_SUFFIX)
