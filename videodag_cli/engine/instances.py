"""The instances of a step's tool: one, or one for each thread where calls are independent."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

from videodag_cli.data import VideoInfo
from videodag_cli.engine.messages import clean_message
from videodag_cli.errors import MissingExtraError, ParamError, PluginError, StopSignal, VideodagError
from videodag_cli.graph.plan import Step

_log = logging.getLogger("videodag")


class Instances:
    """What is called for a step. The first one is made at once, so that what is wrong shows before the first frame is decoded."""

    def __init__(self, step: Step, video: VideoInfo) -> None:
        self._step = step
        self._video = video
        self._lock = threading.Lock()
        self._local = threading.local()
        self._made: list[Any] = []
        self._also: list[Any] | None = None
        """Where another engine's are, too, which see part of the frames."""
        self.first = self._make()
        self._spare = [self.first]

    def current(self) -> Any:
        """The function or instance to call on this thread: stateless classes get one instance per thread."""
        if not self._step.spec.is_class or not self._step.spec.stateless:
            return self.first
        mine = getattr(self._local, "instance", None)
        if mine is None:
            with self._lock:
                mine = self._spare.pop() if self._spare else None
            if mine is None:
                mine = self._make()
            self._local.instance = mine
        return mine

    def join(self, all_made: list[Any]) -> None:
        """Put the instances with those of other engines, which see part of the frames."""
        with self._lock:
            self._also = all_made
            all_made += self._made

    def close(self) -> None:
        for made in self._made:
            closing = getattr(made, "close", None)
            if callable(closing):
                try:
                    closing()
                except Exception:  # what a tool does while it is thrown away cannot change a result
                    _log.warning("node %s: close() failed", self._step.id, exc_info=True)
        self._made.clear()

    def remarks(self) -> list[str]:
        """What the tool has to say behind the last frame: its class's `remarks(instances)`, where there is one."""
        remarks = getattr(self._step.spec.target, "remarks", None)
        if not self._made or not callable(remarks):
            return []
        try:
            return [
                f"node {self._step.id!r}: {clean_message(str(text))}"
                for text in remarks(list(self._also or self._made))
            ]
        except Exception:  # what a tool remarks is no result
            _log.warning("node %s: remarks() failed", self._step.id, exc_info=True)
            return []

    def _make(self) -> Any:
        spec = self._step.spec
        if not spec.is_class:
            return partial(spec.target, **self._step.params)
        arguments = (self._video,) if spec.signature.wants_video else ()
        try:
            made = spec.target(*arguments, **self._step.params)
        except (KeyboardInterrupt, StopSignal, MissingExtraError):
            raise
        except VideodagError as error:
            raise error.reworded(f"node {self._step.id!r}: {error.message}") from error
        except ModuleNotFoundError as error:
            if spec.requires:
                raise MissingExtraError(f"tool {self._step.tool_name}", spec.requires) from error
            raise self._cannot_start(error) from error
        except ValueError as error:
            raise ParamError(f"node {self._step.id!r} ({self._step.tool_name}): {clean_message(str(error))}") from error
        except BaseException as error:  # an author's constructor may raise anything
            raise self._cannot_start(error) from error
        with self._lock:
            self._made.append(made)
            if self._also is not None:
                self._also.append(made)
        return made

    def _cannot_start(self, error: BaseException) -> PluginError:
        return PluginError(
            f"node {self._step.id!r}: tool {self._step.tool_name} cannot start: "
            f"{type(error).__name__}: {clean_message(str(error))}",
            word="plugin.broken",
        )
