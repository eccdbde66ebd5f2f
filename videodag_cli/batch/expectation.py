"""What a batch expects of a place where its videos run: the same code, models and files as on the machine that it was started on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videodag_cli import __version__
from videodag_cli.batch.ledger import NAME, read_ledger
from videodag_cli.batch.task import VideoTask
from videodag_cli.errors import VideodagError, printable
from videodag_cli.run.job import Job
from videodag_cli.run.record import Request, differences


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Facts of the machine that a batch was started on; can be pickled."""

    batch_id: str
    folder: str
    """Absolute path of the output folder."""
    example: VideoTask
    """A task with every pipeline of the batch."""
    requests: tuple[dict[str, Any], ...]
    """Of each pipeline, as its JSON form."""
    sizes: tuple[tuple[str, int], ...]
    """Absolute paths of the first videos, with their bytes."""
    version: str = __version__


def unmet(expected: Expectation) -> Iterator[str]:
    """What is not as expected in this process, each on one line."""
    from videodag_cli.batch.work import plan_of  # loads decoders, which only a process that runs videos needs

    if expected.version != __version__:
        yield f"videodag {__version__} is installed there, {expected.version} here"
        return
    ledger = read_ledger(Path(expected.folder, NAME))
    if ledger is None or ledger.id != expected.batch_id:
        yield f"the output folder {printable(expected.folder)} is not the same folder there; it has to be on shared storage"
    yield from unseen(expected.sizes)
    for spec, request in zip(expected.example.pipelines, expected.requests, strict=True):
        here = Request.model_validate(request)
        try:
            plan = plan_of(spec)
            task = expected.example
            there = Job.make(task.video, plan, task.sampling, None, None, task.options).request
        except VideodagError as error:
            yield error.message
            continue
        for difference in differences(here, there):
            yield f"pipeline {printable(here.pipeline['id'])}: {difference}"


def file_sizes(paths: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Absolute paths of files that are there, with their bytes."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append((os.path.abspath(path), os.stat(path).st_size))
    return tuple(found)


def size_of(path: str) -> int:
    """Bytes of a file; 0 where it is not there."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def unseen(sizes: tuple[tuple[str, int], ...]) -> Iterator[str]:
    """Videos that are not there, or are others."""
    for path, size in sizes:
        try:
            found = os.stat(path).st_size
        except OSError:
            yield f"{printable(path)} is not there; videos have to be on shared storage, under the same path"
            continue
        if found != size:
            yield f"{printable(path)} has {found} bytes there and {size} here; it has to be the same file on both"
