"""A task in a child of this process, so that limits hold for it and it takes nobody along when it dies."""

from __future__ import annotations

import pickle
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.batch.task import VideoTask
from videodag_cli.batch.work import run_task
from videodag_cli.errors import StoppedError, VideodagError
from videodag_cli.guard.supervise import GuardLimits, ending, keep_limits
from videodag_cli.run.execution import ProgressSink
from videodag_cli.system.refusals import writing
from videodag_cli.system.shared_memory import SharedNumber


def run_guarded(
    task: VideoTask, on_progress: ProgressSink | None = None, share: SharedNumber | None = None
) -> list[VideoOutcome]:
    """Run a task here, or, where it has limits, in a child that they hold for. As `run_task` otherwise."""
    if task.limits is None or not task.limits.needed:
        return run_task(task, on_progress, share=None if share is None else lambda: share.value)
    return run_in_child(task, on_progress, share)


def run_in_child(
    task: VideoTask, on_progress: ProgressSink | None = None, share: SharedNumber | None = None
) -> list[VideoOutcome]:
    """Run each pipeline of a task in a child of its own: a limit, and a frame that is lost to a crash, is that pipeline's."""
    return [_run_one(task.part(number), on_progress, share) for number in range(len(task.pipelines))]


def _run_one(task: VideoTask, on_progress: ProgressSink | None, share: SharedNumber | None) -> VideoOutcome:
    outcome = VideoOutcome(video=shown_path(task.video), pipeline="", output=shown_path(task.outputs[0]))
    messages = _Messages(on_progress)
    try:
        with writing("the task of a process"):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        with file:
            with writing("the task of a process"):
                pickle.dump(replace(task, limits=None), file)
                file.flush()
            inherited = (file.fileno(), *(() if share is None else (share.fd,)))
            command = [sys.executable, "-m", "videodag_cli.batch.executors.alone", *map(str, inherited)]
            code = keep_limits(command, task.limits or GuardLimits(), messages, pass_fds=inherited)
    except VideodagError as error:
        return outcome.refused(error)
    if messages.outcome is None:
        died = f"the process that ran it ended early ({ending(code)}); run the same command again to finish it"
        return outcome.refused(StoppedError(died, word="stopped.crash"))
    return messages.outcome


class _Messages:
    """What the child says on its standard output, a JSON object on each line."""

    piped = True

    def __init__(self, on_progress: ProgressSink | None) -> None:
        self._on_progress = on_progress
        self._rest = b""
        self.outcome: VideoOutcome | None = None

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = orjson.loads(line)
            if "outcome" in message:
                self.outcome = VideoOutcome.model_validate(message["outcome"])
            elif self._on_progress is not None:
                self._on_progress(*message["progress"])

    def drop_torn(self) -> None:
        self._rest = b""

    def told(self) -> Mapping[str, Any]:
        return {"bytes": 0, "written": [], "failed": 0, "errors": []}
