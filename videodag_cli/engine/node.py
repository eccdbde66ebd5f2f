"""A step of a plan at work: its instance, and how it is called on a frame, on several, or on frames in order.

What goes wrong stays in the frame's envelope.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from videodag_cli.data import Affine, Frame, Geometric, VideoInfo
from videodag_cli.engine.envelope import CallLog, Envelope, Item, Marker
from videodag_cli.errors import MissingExtraError, ParamError, PluginError, StopSignal, VideodagError, printable
from videodag_cli.graph.plan import Plan, Source, Step
from videodag_cli.lines import NodeFailure, output_key, plain
from videodag_cli.toolspec import runtime_type, type_name

_log = logging.getLogger("videodag")


class FrameSizeError(ValueError):
    """A frame has another size than the video, and the tool keeps what belongs to one size."""


@dataclass(slots=True)
class _Delayed:
    """An item behind a tool that looks ahead, waiting for its value or for those before it."""

    item: Item
    answered: bool
    out: Affine | None = None
    """To source coordinates, kept because the frame is not."""


class RunningNode:
    """A step with its instance, and how it is called."""

    def __init__(
        self,
        plan: Plan,
        position: int,
        step: Step,
        video: VideoInfo,
        *,
        drops: list[int],
        calls: CallLog | None,
        lost: Mapping[int, NodeFailure],
    ) -> None:
        self._calls = calls
        self._lost = lost
        self.position = position
        self.step = step
        self.video = video
        self.drops = drops
        self.drops_frame = False
        self.uses_frame = any(source.node is None for b in step.bindings for source in b.sources)
        self._places = {s.id: i for i, s in enumerate(plan.steps)}
        self._predecessors = frozenset(self._places[p] for p in step.predecessors)
        self._outputs = step.spec.signature.outputs
        self._runtime_types = [runtime_type(kind) for kind in self._outputs]
        self._taken = [
            None if source is None else self._place(source)
            for binding in step.bindings
            for source in binding.sources or (None,) * (not binding.input.variadic)
        ]
        frames = (b.sources[0] for b in step.bindings if Frame in b.input.types and b.sources)
        self._frame_place = next(map(self._place, frames), None)
        self._seed = zlib.crc32(step.id.encode("utf-8", "surrogatepass"))
        self._local = threading.local()
        self._spare: list[Any] = []
        self._made: list[Any] = []
        self._lock = threading.Lock()
        self._delayed: deque[_Delayed] = deque()
        self._unanswered = 0
        self.instance: Any = None
        self.lookahead = 0
        self.batch_size = step.spec.batch_size

    # --- life ---

    def start(self) -> None:
        """Make the first instance, so that what is wrong shows before the first frame is decoded."""
        self.instance = self._make()
        self._spare.append(self.instance)
        if not self.step.spec.stateless:
            self.lookahead = int(getattr(self.instance, "lookahead", 0))
        if self.batches:
            self.batch_size = max(1, int(getattr(self.instance, "batch_size", self.step.spec.batch_size)))

    @property
    def batches(self) -> bool:
        return self.step.spec.batch_size > 1

    def _make(self) -> Any:
        spec = self.step.spec
        if not spec.is_class:
            return partial(spec.target, **self.step.params)
        arguments = (self.video,) if spec.signature.wants_video else ()
        try:
            made = spec.target(*arguments, **self.step.params)
        except (KeyboardInterrupt, StopSignal, MissingExtraError):
            raise
        except VideodagError as error:
            raise type(error)(f"node {self.step.id!r}: {error.message}", word=error.word) from error
        except ModuleNotFoundError as error:
            if spec.requires:
                raise MissingExtraError(f"tool {self.step.tool_name}", spec.requires) from error
            raise self._cannot_start(error) from error
        except ValueError as error:
            raise ParamError(f"node {self.step.id!r} ({self.step.tool_name}): {clean(str(error))}") from error
        except BaseException as error:  # an author's constructor may raise anything
            raise self._cannot_start(error) from error
        with self._lock:
            self._made.append(made)
        return made

    def _cannot_start(self, error: BaseException) -> PluginError:
        return PluginError(
            f"node {self.step.id!r}: tool {self.step.tool_name} cannot start: "
            f"{type(error).__name__}: {clean(str(error))}",
            word="plugin.broken",
        )

    def _callable(self) -> Any:
        """The function or instance to call on this thread: stateless classes get one instance per thread."""
        if not self.step.spec.is_class or not self.step.spec.stateless:
            return self.instance
        mine = getattr(self._local, "instance", None)
        if mine is None:
            with self._lock:
                mine = self._spare.pop() if self._spare else None
            if mine is None:
                mine = self._make()
            self._local.instance = mine
        return mine

    def close(self) -> None:
        for made in self._made:
            closing = getattr(made, "close", None)
            if callable(closing):
                try:
                    closing()
                except Exception:  # what a tool does while it is thrown away cannot change a result
                    _log.warning("node %s: close() failed", self.step.id, exc_info=True)
        self._made.clear()

    def remarks(self) -> list[str]:
        """What the tool has to say behind the last frame: its class's `remarks(instances)`, where there is one."""
        remarks = getattr(self.step.spec.target, "remarks", None)
        if not self._made or not callable(remarks):
            return []
        try:
            return [f"node {self.step.id!r}: {clean(str(text))}" for text in remarks(list(self._made))]
        except Exception:  # what a tool remarks is no result
            _log.warning("node %s: remarks() failed", self.step.id, exc_info=True)
            return []

    # --- one frame ---

    def process(self, envelope: Envelope) -> None:
        """Run on one frame, unless a predecessor failed."""
        if self._runs(envelope):
            self._seed_random(envelope)
            started = time.perf_counter_ns()
            try:
                returned = self._call(self._arguments(envelope), envelope.index)
                self._accept(envelope, returned, self._out(envelope))
            except BaseException as error:
                self._fail(envelope, error)
            envelope.spent_ns[self.position] = max(1, time.perf_counter_ns() - started)
        self._drop(envelope)

    def _runs(self, envelope: Envelope) -> bool:
        if envelope.failed and not self._predecessors.isdisjoint(envelope.failed):
            envelope.failed.add(self.position)
            return False
        if envelope.index in self._lost:
            envelope.failed.add(self.position)
            envelope.failure = envelope.failure or self._lost[envelope.index]
            return False
        return True

    def _call(self, arguments: Sequence[Any], index: int) -> Any:
        """Call the tool; the log of calls, if there is one, knows while it runs."""
        if self._calls is None:
            return self._callable()(*arguments)
        self._calls.enter(self.position, index)
        try:
            return self._callable()(*arguments)
        finally:
            self._calls.leave()

    def _seed_random(self, envelope: Envelope) -> None:
        cv2 = sys.modules.get("cv2")
        if cv2 is not None and hasattr(cv2, "setRNGSeed"):
            cv2.setRNGSeed((self._seed ^ (envelope.index * 2654435761)) & 0x7FFFFFFF)

    def _place(self, source: Source) -> tuple[int, int]:
        """Position of the step that a value comes from (-1 for the decoded frame), and which of its outputs it is."""
        return (-1 if source.node is None else self._places[source.node], source.output)

    def _value(self, envelope: Envelope, place: tuple[int, int]) -> Any:
        position, output = place
        if position < 0:
            return envelope.frame
        values = envelope.values[position]
        assert values is not None
        return values[output]

    def _frame(self, envelope: Envelope) -> Frame | None:
        return None if self._frame_place is None else self._value(envelope, self._frame_place)

    def _arguments(self, envelope: Envelope) -> list[Any]:
        """What the tool is called with; None for an optional input that is not there."""
        if envelope.size is not None and not self.step.spec.takes_any_size:
            width, height = envelope.size
            raise FrameSizeError(
                f"the frame is {width}x{height}, the video {self.video.width}x{self.video.height}, and this tool needs frames of "
                "one size; cut the video where its size changes"
            )
        arguments = [None if place is None else self._value(envelope, place) for place in self._taken]
        out = self._out(envelope)
        if out is None:
            return arguments
        into = out.inverse()
        return [value.mapped(into) if isinstance(value, Geometric) else value for value in arguments]

    def _out(self, envelope: Envelope) -> Affine | None:
        """From the coordinates of the frame the tool gets to the source frame's; None where they are the same."""
        frame = self._frame(envelope)
        return frame.to_source if frame is not None and not frame.to_source.is_identity else None

    def _accept(self, envelope: Envelope, returned: Any, out: Affine | None) -> None:
        """Check what a call returned, put it into source coordinates and, for an output node, into its JSON form."""
        values = returned if len(self._outputs) > 1 else (returned,)
        if not isinstance(values, tuple) or len(values) != len(self._outputs):
            names = ", ".join(type_name(kind) for kind in self._outputs)
            raise TypeError(f"returned {type(returned).__name__}, not a tuple of ({names})")
        for value, kind, wanted in zip(values, self._outputs, self._runtime_types, strict=True):
            if not _is_a(value, wanted):
                raise TypeError(f"returned {type(value).__name__}, not {type_name(kind)}")
        if out is not None:
            values = tuple(_mapped(value, out) for value in values)
        if self.step.is_output:
            forms = [plain(value) for value in values]
            envelope.written[self.step.id] = (
                forms[0] if len(forms) == 1 else dict(zip(map(output_key, self._outputs), forms, strict=True))
            )
        envelope.values[self.position] = values

    def _fail(self, envelope: Envelope, error: BaseException) -> None:
        if isinstance(error, StopSignal):  # where tools run on the main thread
            raise error
        envelope.failed.add(self.position)
        if envelope.failure is None:
            message = _message(error)
            envelope.failure = NodeFailure(self.step.id, self.step.tool_name, clean(type(error).__name__), message)

    def _drop(self, envelope: Envelope) -> None:
        for position in self.drops:
            envelope.values[position] = None
        if self.drops_frame:
            envelope.frame = None

    # --- several frames ---

    def in_batch(self, items: list[Item]) -> list[Item]:
        """Run on several frames with one call; if that fails, one at a time, so that only the guilty frame fails."""
        envelopes = [item for item in items if isinstance(item, Envelope) and self._runs(item)]
        if envelopes:
            try:
                self._call_batch(envelopes)
            except StopSignal:
                raise
            except BaseException:
                for envelope in envelopes:
                    try:
                        self._call_batch([envelope])
                    except BaseException as error:
                        self._fail(envelope, error)
        for item in items:
            if isinstance(item, Envelope):
                self._drop(item)
        return items

    def _call_batch(self, envelopes: list[Envelope]) -> None:
        self._seed_random(envelopes[0])
        started = time.perf_counter_ns()
        columns = [list(column) for column in zip(*map(self._arguments, envelopes), strict=True)]
        returned = self._call(columns, envelopes[0].index if len(envelopes) == 1 else -1)
        if not isinstance(returned, list | tuple) or len(returned) != len(envelopes):
            raise TypeError(f"returned {type(returned).__name__}, not a list with one result for each frame")
        accepted = time.perf_counter_ns()
        for envelope, result in zip(envelopes, returned, strict=True):
            try:
                self._accept(envelope, result, self._out(envelope))
            except BaseException as error:
                self._fail(envelope, error)
            envelope.spent_ns[self.position] = max(1, (accepted - started) // len(envelopes))

    # --- frames in order ---

    def in_order(self, items: list[Item] | None) -> list[Item]:
        """Take the next items of a stateful node; None is the end. Returns what is ready to go on."""
        if self.lookahead:
            return [
                ready for item in ([None] if items is None else items) for ready in self._in_order_with_lookahead(item)
            ]
        for item in items or ():
            if isinstance(item, Marker):
                item.states[self.step.id] = self._state()
            else:
                self.process(item)
        return items or []

    def _state(self) -> Any:
        """A copy: what the tool returned may change with the next frame. A class instead where it cannot be had."""
        if not self.step.spec.has_checkpoint:
            return None
        try:
            return copy.deepcopy(self.instance.state())
        except StopSignal:
            raise
        except BaseException as error:  # not a frame's failure: only this state is not kept
            return type(error)

    def _in_order_with_lookahead(self, item: Item | None) -> list[Item]:
        """A value that a call returns belongs to the frame `lookahead` successful calls before it."""
        if item is None:
            self._finish()
        elif isinstance(item, Marker):
            item.states[self.step.id] = None
            self._delayed.append(_Delayed(item, answered=True))
        elif not self._runs(item):
            self._delayed.append(_Delayed(item, answered=True))
        else:
            self._seed_random(item)
            started = time.perf_counter_ns()
            try:
                returned = self._call(self._arguments(item), item.index)
            except BaseException as error:
                self._fail(item, error)
                self._delayed.append(_Delayed(item, answered=True))
            else:
                self._delayed.append(_Delayed(item, answered=False, out=self._out(item)))
                self._unanswered += 1
                if self._unanswered > self.lookahead:
                    self._answer(returned)
            item.spent_ns[self.position] = max(1, time.perf_counter_ns() - started)
            self._drop(item)  # what waits for its answer does not keep its frame
        ready: list[Item] = []
        while self._delayed and (self._delayed[0].answered or item is None):
            waiting = self._delayed.popleft().item
            if isinstance(waiting, Envelope):
                self._drop(waiting)
            ready.append(waiting)
        return ready

    def _answer(self, returned: Any) -> None:
        """Give a value to the oldest frame that waits for one."""
        for delayed in self._delayed:
            if not delayed.answered and isinstance(delayed.item, Envelope):
                try:
                    self._accept(delayed.item, returned, delayed.out)
                except BaseException as error:
                    self._fail(delayed.item, error)
                delayed.answered = True
                self._unanswered -= 1
                return

    def _finish(self) -> None:
        try:
            rest = list(self.instance.finish())
            if len(rest) > self._unanswered and self._unanswered < self.lookahead:
                rest = rest[-self._unanswered :] if self._unanswered else []  # a video shorter than the look-ahead
            if len(rest) != self._unanswered:
                raise ValueError(f"finish() gave {len(rest)} values for {self._unanswered} frames")
            for value in rest:
                self._answer(value)
        except StopSignal:
            raise
        except BaseException as error:
            for delayed in self._delayed:
                if not delayed.answered and isinstance(delayed.item, Envelope):
                    self._fail(delayed.item, error)


def _is_a(value: Any, wanted: type) -> bool:
    """Whether a returned value is what the annotation promises; numpy's numbers pass for Python's."""
    if isinstance(value, wanted):
        return not (isinstance(value, bool) and wanted in (int, float))
    if wanted is float:
        return isinstance(value, int) or _numpy_kind(value) in ("f", "i", "u")
    if wanted is int:
        return _numpy_kind(value) in ("i", "u")
    if wanted is bool:
        return _numpy_kind(value) == "b"
    return False


def _numpy_kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return dtype.kind if dtype is not None and getattr(value, "ndim", 1) == 0 else ""


def _mapped(value: Any, transform: Affine) -> Any:
    if isinstance(value, Geometric) and not isinstance(value, Frame):
        return value.mapped(transform)
    return value


_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(?:/[^\s/'\":,;()<>]+)+/([^\s/'\":,;()<>]+)")


def clean(text: str) -> str:
    """A message on one line of at most 500 characters, without addresses and absolute paths (names remain)."""
    return printable(_ABSOLUTE_PATH.sub(r"\1", _ADDRESS.sub("0x…", text)), limit=500)


def _message(error: BaseException) -> str:
    try:
        return clean(str(error))
    except BaseException:  # an exception whose own text cannot be had
        return ""
