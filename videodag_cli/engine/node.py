"""A step of a plan at work: its instance, and how it is called on a frame, on several, or on frames in order.

What goes wrong stays in the frame's envelope.
"""

from __future__ import annotations

import copy
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from videodag_cli.data import Affine, Frame, Geometric, VideoInfo
from videodag_cli.engine.envelope import CallLog, Envelope, Item, Marker
from videodag_cli.engine.instances import Instances
from videodag_cli.engine.kept import KeptNode
from videodag_cli.engine.lookahead import LookAhead
from videodag_cli.engine.messages import clean_message, message_of
from videodag_cli.engine.shared import Outcome, SharedCall
from videodag_cli.errors import StopSignal
from videodag_cli.graph.plan import Plan, Source, Step
from videodag_cli.lines import NodeFailure, output_key, plain
from videodag_cli.toolspec import runtime_type, type_name


class FrameSizeError(ValueError):
    """A frame has another size than the video, and the tool keeps what belongs to one size."""


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
        kept: KeptNode | None = None,
        is_needed: bool = True,
    ) -> None:
        """kept: results of earlier runs. is_needed: false where only results are fed that are kept."""
        self._calls = calls
        self.kept = kept
        self.is_needed = is_needed
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
        self._made = None if not is_needed or (kept is not None and kept.is_whole) else Instances(step, video)
        self._shared: SharedCall | None = None
        self._failures: dict[int, NodeFailure] = {}
        """By frame index, of calls that are shared."""
        spec = step.spec
        self.reads_pixels = False
        """Frames are given with their pictures."""
        if self._made is not None and any(Frame in b.input.types and b.sources for b in step.bindings):
            self.reads_pixels = bool(getattr(self.instance, "reads_pixels", spec.pixels))
        self._given = [place for place in self._taken if place is not None and not self._is_frame(plan, place)]
        lookahead = 0 if spec.stateless else int(getattr(self.instance, "lookahead", 0))
        self._ahead = LookAhead(lookahead, accept=self._accept, fail=self._fail) if lookahead else None
        self.batches = spec.batch_size > 1 and self._made is not None
        wanted = getattr(self.instance, "batch_size", spec.batch_size) if self.batches else spec.batch_size
        self.batch_size = max(1, int(wanted))

    def share(self, call: SharedCall) -> None:
        """Make no call that another engine over the same frames makes."""
        self._shared = call
        if self._made is not None:
            self._made.join(call.instances)

    @property
    def _instances(self) -> Instances:
        assert self._made is not None
        return self._made

    @property
    def instance(self) -> Any:
        """The first instance, and the only one of a stateful tool."""
        return self._instances.first

    def described(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """What the tool says of itself: of `describe()`, and of its `description` as plain data; None where it has none."""
        if self._made is None:
            return (None, None) if self.kept is None else self.kept.described
        says, description = getattr(self.instance, "describe", None), getattr(self.instance, "description", None)
        return (
            says() if callable(says) else None,
            description.model_dump(mode="json") if isinstance(description, BaseModel) else None,
        )

    @property
    def has_checkpoint(self) -> bool:
        """Whether the state can be saved and restored."""
        return self.step.spec.has_checkpoint and self._ahead is None

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def remarks(self) -> list[str]:
        """What the tool has to say behind the last frame; nothing where it has not seen all of them, because some results were kept."""
        if self._made is None:
            return [] if self.kept is None else self.kept.remarks
        return [] if self.kept is not None and self.kept.recalled else self._made.remarks()

    def finish_kept(self, *, every_frame: bool) -> None:
        """Behind the last frame: keep what the tool says of itself."""
        if self.kept is not None and self._made is not None:
            self.kept.finish(self.described(), self.remarks(), every_frame=every_frame)

    # --- one frame ---

    def process(self, envelope: Envelope) -> None:
        """Run on one frame, unless a predecessor failed or nobody needs it."""
        if self.is_needed and self._runs(envelope):
            if self._shared is None:
                self._process(envelope)
            else:
                self._where_nobody_did([envelope], lambda mine: self._process(*mine))
        self._drop(envelope)

    def _process(self, envelope: Envelope) -> None:
        slot = self._slot(envelope)
        if slot is not None and self._recalls(envelope, slot):
            return
        self._seed_random(envelope)
        started = time.perf_counter_ns()
        try:
            returned = self._call(self._arguments(envelope), envelope.index)
            self._accept(envelope, returned, self._out(envelope))
        except BaseException as error:
            self._fail(envelope, error)
        else:
            self._keeps(envelope, slot)
        envelope.spent_ns[self.position] = max(1, time.perf_counter_ns() - started)

    # --- results that are kept ---

    def _slot(self, envelope: Envelope) -> bytes | None:
        """Where this node's values for a frame are kept, if they are."""
        if self.kept is None:
            return None
        inputs = (self._value(envelope, place) for place in self._given) if self.kept.by_inputs else ()
        return self.kept.slot(envelope.index, inputs)

    def _recalls(self, envelope: Envelope, slot: bytes) -> bool:
        """Take the values that were kept, if there are any."""
        assert self.kept is not None
        values = self.kept.recall(slot)
        if values is None:
            return False
        try:
            self._keep(envelope, values)
        except BaseException as error:
            self._fail(envelope, error)
        return True

    def _keeps(self, envelope: Envelope, slot: bytes | None) -> None:
        values = envelope.values[self.position]
        if self.kept is not None and values is not None:
            self.kept.keep(slot, values)

    def _where_nobody_did(self, envelopes: list[Envelope], work: Callable[[list[Envelope]], None]) -> None:
        """Do the work on the frames that no other engine has begun with; for the others wait for what comes of them there."""
        assert self._shared is not None
        claims = [(envelope, *self._shared.claim(envelope.index)) for envelope in envelopes]
        mine = [envelope for envelope, _, claimed in claims if claimed]
        try:
            if mine:
                work(mine)
        finally:
            for envelope, future, claimed in claims:
                if claimed:
                    failure = self._failures.pop(envelope.index, None)
                    counted = envelope.spent_ns[self.position] > 0
                    future.set_result(Outcome(failure or envelope.values[self.position], counted=counted))
        for envelope, future, claimed in claims:
            if not claimed:
                self._adopt(envelope, future.result(), work)

    def _adopt(self, envelope: Envelope, outcome: Outcome, work: Callable[[list[Envelope]], None]) -> None:
        """Take what came of another engine's call for what came of this one's."""
        if isinstance(outcome.value, tuple):
            self._keep(envelope, outcome.value)
        elif outcome.value is not None:
            self._failed(envelope, outcome.value)
        else:
            work([envelope])
            self._failures.pop(envelope.index, None)
            return
        envelope.spent_ns[self.position] = int(outcome.counted)

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
            return self._instances.current()(*arguments)
        self._calls.enter(self.position, index)
        try:
            return self._instances.current()(*arguments)
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

    def _is_frame(self, plan: Plan, place: tuple[int, int]) -> bool:
        position, output = place
        return position < 0 or issubclass(runtime_type(plan.steps[position].spec.signature.outputs[output]), Frame)

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
        if not self.reads_pixels:
            arguments = [value.unseen() if isinstance(value, Frame) else value for value in arguments]
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
        self._keep(envelope, values if out is None else tuple(_mapped(value, out) for value in values))

    def _keep(self, envelope: Envelope, values: tuple[Any, ...]) -> None:
        if self.step.is_output:
            forms = [plain(value) for value in values]
            envelope.written[self.step.id] = (
                forms[0] if len(forms) == 1 else dict(zip(map(output_key, self._outputs), forms, strict=True))
            )
        envelope.values[self.position] = values

    def _fail(self, envelope: Envelope, error: BaseException) -> None:
        if isinstance(error, StopSignal):  # where tools run on the main thread
            raise error
        failure = NodeFailure(self.step.id, self.step.tool_name, clean_message(type(error).__name__), message_of(error))
        if self._shared is not None:
            self._failures[envelope.index] = failure
        self._failed(envelope, failure)

    def _failed(self, envelope: Envelope, failure: NodeFailure) -> None:
        envelope.failed.add(self.position)
        envelope.failure = envelope.failure or failure

    def _drop(self, envelope: Envelope) -> None:
        for position in self.drops:
            envelope.values[position] = None
        if self.drops_frame:
            envelope.frame = None

    # --- several frames ---

    def in_batch(self, items: list[Item]) -> list[Item]:
        """Run on several frames with one call; if that fails, one at a time, so that only the guilty frame fails."""
        envelopes = [item for item in items if isinstance(item, Envelope) and self._runs(item)]
        if envelopes and self._shared is None:
            self._call_batches(envelopes)
        elif envelopes:
            self._where_nobody_did(envelopes, self._call_batches)
        for item in items:
            if isinstance(item, Envelope):
                self._drop(item)
        return items

    def _call_batches(self, envelopes: list[Envelope]) -> None:
        slots = [self._slot(envelope) for envelope in envelopes]
        left = [
            (envelope, slot)
            for envelope, slot in zip(envelopes, slots, strict=True)
            if slot is None or not self._recalls(envelope, slot)
        ]
        if left:
            self._call_tool([envelope for envelope, _ in left])
        for envelope, slot in left:
            self._keeps(envelope, slot)

    def _call_tool(self, envelopes: list[Envelope]) -> None:
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
        if self._ahead is not None:
            return self._in_order_ahead(self._ahead, items)
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

    def _in_order_ahead(self, ahead: LookAhead, items: list[Item] | None) -> list[Item]:
        ready: list[Item] = []
        for item in items or ():
            if isinstance(item, Marker):
                item.states[self.step.id] = None
                ahead.passes(item)
            elif not self._runs(item):
                ahead.passes(item)
            else:
                self._call_ahead(ahead, item)
            ready += ahead.ready()
        if items is None:
            ahead.finished(self.instance.finish)
            ready += ahead.ready(all=True)
        for item in ready:
            if isinstance(item, Envelope):
                self._drop(item)
        return ready

    def _call_ahead(self, ahead: LookAhead, envelope: Envelope) -> None:
        self._seed_random(envelope)
        started = time.perf_counter_ns()
        try:
            returned = self._call(self._arguments(envelope), envelope.index)
        except BaseException as error:
            self._fail(envelope, error)
            ahead.passes(envelope)
        else:
            ahead.returned(envelope, returned, self._out(envelope))
        envelope.spent_ns[self.position] = max(1, time.perf_counter_ns() - started)
        self._drop(envelope)  # what waits for its answer does not keep its frame


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
