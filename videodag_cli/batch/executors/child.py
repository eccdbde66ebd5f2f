"""A task in a child of this process, so that limits hold for it and it takes nobody along when it dies."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.batch.task import VideoTask
from videodag_cli.batch.work import run_task
from videodag_cli.errors import StoppedError, VideodagError
from videodag_cli.guard.guard_limits import GuardLimits
from videodag_cli.guard.supervise import ending, keep_limits
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
    """Run a task in a child, several pipelines over one decode.

    Where a limit or a crash ends that, each pipeline that has not ended goes on in a child of its own: a limit, and a frame that is
    lost to a crash, is that pipeline's, and the others end as if they had run alone.
    """
    known: dict[int, VideoOutcome] = {}
    if len(task.pipelines) > 1:
        limits = task.limits or GuardLimits()
        known, _ = _run_watched(task, replace(limits, isolate=False), on_progress, share)
    for number in range(len(task.pipelines)):
        if number not in known:
            known[number] = _run_one(task.part(number), on_progress, share)
            if (
                len(task.pipelines) > 1 and known[number].status == "up_to_date"
            ):  # by the first child, just before its end
                known[number] = known[number].model_copy(update={"status": "done"})
    return [known[number] for number in sorted(known)]


def _run_one(task: VideoTask, on_progress: ProgressSink | None, share: SharedNumber | None) -> VideoOutcome:
    known, error = _run_watched(task, task.limits or GuardLimits(), on_progress, share)
    outcome = VideoOutcome(video=shown_path(task.video), pipeline="", output=shown_path(task.outputs[0]))
    return known[0] if error is None or known else outcome.refused(error)


def _run_watched(
    task: VideoTask, limits: GuardLimits, on_progress: ProgressSink | None, share: SharedNumber | None
) -> tuple[dict[int, VideoOutcome], VideodagError | None]:
    """The outcomes that a child has told, by pipeline, and what ended it before it had told all."""
    messages = _Messages(on_progress)
    try:
        with writing("the task of a process"):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        with file:
            with writing("the task of a process"):
                pickle.dump(replace(task, limits=None), file)
                file.flush()
            inherited = (file.fileno(), *(() if share is None else (share.fd,)))
            from videodag_cli.system.loading import as_this_one

            command = [*as_this_one(), "-m", "videodag_cli.batch.executors.alone", *map(str, inherited)]
            code = keep_limits(command, limits, messages, pass_fds=inherited)
    except VideodagError as error:
        return messages.outcomes, error
    if len(messages.outcomes) < len(task.pipelines):
        died = f"the process that ran it ended early ({ending(code)}); run the same command again to finish it"
        return messages.outcomes, StoppedError(died, word="stopped.crash")
    return messages.outcomes, None


class _Messages:
    """What the child says on its standard output, a JSON object on each line."""

    piped = True

    def __init__(self, on_progress: ProgressSink | None) -> None:
        self._on_progress = on_progress
        self._rest = b""
        self.outcomes: dict[int, VideoOutcome] = {}
        """By the number of the pipeline."""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = orjson.loads(line)
            if "outcome" in message:
                self.outcomes[message["number"]] = VideoOutcome.model_validate(message["outcome"])
            elif self._on_progress is not None:
                self._on_progress(*message["progress"])

    def drop_torn(self) -> None:
        self._rest = b""

    def told(self) -> Mapping[str, Any]:
        return {"bytes": 0, "written": [], "failed": 0, "errors": []}
