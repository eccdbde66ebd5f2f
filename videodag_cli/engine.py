"""A plan over an iterator of frames: results in frame order, as fast as order and memory allow.

The nodes of a plan are cut into stages in topological order. Adjacent stateless nodes form one stage that works on several frames
at once; a stateful node is a stage of its own that sees the frames one after the other on its own thread; a node that takes
batches gathers, and scatters what it gets. All of it is one primitive, `ordered_map`, so order, back-pressure and constant memory
follow from the shape. What belongs to a frame travels in an envelope, errors included: they never go through the engine as
exceptions.
"""

from __future__ import annotations

import itertools
import logging
import math
import re
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from videodag_cli.board import Board
from videodag_cli.data import Affine, Frame, Geometric, VideoInfo
from videodag_cli.errors import MissingExtraError, ParamError, PluginError, VideodagError, printable
from videodag_cli.lines import FrameResult, NodeFailure, output_key, plain
from videodag_cli.plan import Binding, Plan, Step
from videodag_cli.tool import runtime_type, type_name

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger("videodag")

READ_AHEAD = 4
"""Decoded frames waiting for the first stage."""
_LOG_BASE = math.log(1.05)


def ordered_map(pool: Executor, fn: Callable[[T], R], items: Iterable[T], *, window: int) -> Iterator[R]:
    """`fn` of each item, in the order of the items, with up to `window` of them under way in `pool`.

    Closing the iterator cancels what has not started.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(fn, item))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@dataclass(slots=True)
class Envelope:
    """One frame on its way through the stages."""

    frame: Frame | None
    index: int
    time_s: float
    values: list[tuple[Any, ...] | None]
    """By step: its outputs in the source frame's coordinates, until their last reader is done."""
    written: dict[str, Any] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    failure: NodeFailure | None = None
    spent_ns: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Marker:
    """Travels behind a frame and collects each node's state as it passes; None where a node cannot say."""

    index: int
    states: dict[str, Any] = field(default_factory=dict)


Item = Envelope | Marker


@dataclass(slots=True)
class _Delayed:
    """An item behind a tool that looks ahead, waiting for its value or for those before it."""

    item: Item
    answered: bool
    out: Affine | None = None
    """To source coordinates, kept because the frame is not."""


class Timings:
    """Durations per node in constant memory: a histogram with 5 % wide bins."""

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self._bins: dict[int, int] = {}

    def add(self, spent_ns: int) -> None:
        self.count += 1
        self.total_ns += spent_ns
        place = int(math.log(max(spent_ns, 1)) / _LOG_BASE)
        self._bins[place] = self._bins.get(place, 0) + 1

    def quantile_ms(self, share: float) -> float:
        left = share * self.count
        for place in sorted(self._bins):
            left -= self._bins[place]
            if left <= 0:
                return math.exp((place + 0.5) * _LOG_BASE) / 1e6
        return 0.0

    @property
    def mean_ms(self) -> float:
        return self.total_ns / self.count / 1e6 if self.count else 0.0


class Engine:
    """Runs a plan over the frames of one video. A context manager: tools are made on entry and closed on exit.

    workers: how many frames the stateless nodes work on at once; results do not depend on it.
    batch_size: at most this many frames are given at once to tools that take batches; results do not depend on it.
    serial: one call at a time, on the caller's thread.
    board: is told about every call, so that another process can see what hangs.
    lost: calls that are not made but fail, by frame index and node.
    """

    def __init__(
        self,
        plan: Plan,
        video: VideoInfo,
        *,
        workers: int = 1,
        batch_size: int | None = None,
        serial: bool = False,
        board: Board | None = None,
        lost: Mapping[tuple[int, str], NodeFailure] | None = None,
    ) -> None:
        self.plan = plan
        self.video = video
        self.workers = max(1, workers)
        self.batch_size = 1 if serial else batch_size
        self._serial = serial
        self._board = board
        self._lost = lost or {}
        self.timings: dict[str, Timings] = {step.id: Timings() for step in plan.steps}
        self._open = ExitStack()
        self._nodes: list[_Node] = []

    def __enter__(self) -> Engine:
        with ExitStack() as stack:
            if self._board is not None:
                self._board.name_nodes([(step.id, step.tool_name) for step in self.plan.steps])
            readers = _last_readers(self.plan)
            for position, step in enumerate(self.plan.steps):
                lost = {index: failure for (index, name), failure in self._lost.items() if name == step.id}
                node = _Node(
                    self.plan, position, step, self.video, drops=readers[position], board=self._board, lost=lost
                )
                stack.callback(node.close)
                node.start()
                self._nodes.append(node)
            last_frame = max((n.position for n in self._nodes if n.uses_frame), default=-1)
            for node in self._nodes:
                node.drops_frame = node.position >= last_frame
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    @property
    def is_stateless(self) -> bool:
        """Whether every node's calls are independent, so that a run can continue at any frame."""
        return all(node.step.spec.stateless for node in self._nodes)

    @property
    def has_checkpoints(self) -> bool:
        """Whether the state of every stateful node can be saved and restored."""
        return all(n.step.spec.stateless or (n.step.spec.has_checkpoint and not n.lookahead) for n in self._nodes)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What the tools say about themselves (opened models, for instance), by node; tools without `describe()` are left out."""
        return {
            n.step.id: n.instance.describe() for n in self._nodes if callable(getattr(n.instance, "describe", None))
        }

    def restore(self, states: dict[str, Any]) -> None:
        """Give each stateful node the state that a checkpoint took."""
        for node in self._nodes:
            if not node.step.spec.stateless:
                node.instance.restore(states[node.step.id])

    def run(
        self,
        frames: Iterable[Frame],
        *,
        checkpoint_due: Callable[[], bool] | None = None,
        on_checkpoint: Callable[[int, dict[str, Any]], None] | None = None,
    ) -> Iterator[FrameResult]:
        """The results of `frames`, in their order. Frames are read ahead on a thread of their own.

        When `checkpoint_due()` says so after a frame, the states behind exactly that frame are handed to
        `on_checkpoint(frame_index, states)`, after the frame's result was yielded and before the next.
        """
        with ExitStack() as stack:
            items = self._envelopes(stack, frames, checkpoint_due)
            shared = self._pool(stack, self.workers, "stateless")
            for stage in _stages(self._nodes):
                items = self._stage(stack, stage, items, shared)
            for item in items:
                if isinstance(item, Marker):
                    if on_checkpoint is not None:
                        on_checkpoint(item.index, item.states)
                    continue
                for node, spent_ns in zip(self._nodes, item.spent_ns, strict=True):
                    if spent_ns:
                        self.timings[node.step.id].add(spent_ns)
                yield self._result(item)

    def _result(self, envelope: Envelope) -> FrameResult:
        if envelope.failure is not None:
            return FrameResult(envelope.index, envelope.time_s, None, envelope.failure)
        values = {name: envelope.written[name] for name in self.plan.pipeline.output_nodes}
        return FrameResult(envelope.index, envelope.time_s, values)

    def _envelopes(
        self, stack: ExitStack, frames: Iterable[Frame], checkpoint_due: Callable[[], bool] | None
    ) -> Iterator[Item]:
        iterator = iter(frames)
        reader = self._pool(stack, 1, "reader")
        done = object()
        count = len(self._nodes)
        window = 1 if self._serial else READ_AHEAD
        for frame in ordered_map(reader, lambda _: next(iterator, done), itertools.count(), window=window):
            if not isinstance(frame, Frame):
                return
            yield Envelope(frame, frame.index, frame.time_s, [None] * count, spent_ns=[0] * count)
            if checkpoint_due is not None and checkpoint_due():
                yield Marker(frame.index)

    def _stage(self, stack: ExitStack, nodes: list[_Node], items: Iterator[Item], shared: Executor) -> Iterator[Item]:
        first = nodes[0]
        if not first.step.spec.stateless:
            own = self._pool(stack, 1, "node")
            window = 1 if self._serial else READ_AHEAD
            groups = ordered_map(own, first.in_order, itertools.chain(items, [None]), window=window)
            return itertools.chain.from_iterable(groups)
        size = min(first.batch_size, self.batch_size or first.batch_size)
        if first.batches:
            chunks = _chunks(items, size)
            window = 1 if self._serial else self.workers + 1
            groups = ordered_map(shared, first.in_batch, chunks, window=window)
            return itertools.chain.from_iterable(groups)

        def work(item: Item) -> Item:
            if isinstance(item, Envelope):
                for node in nodes:
                    node.process(item)
            return item

        return ordered_map(shared, work, items, window=1 if self._serial else self.workers + 2)

    def _pool(self, stack: ExitStack, threads: int, name: str) -> Executor:
        if self._serial:
            return _CallersThread()
        pool = ThreadPoolExecutor(threads, thread_name_prefix=f"videodag-{name}")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        return pool


class _CallersThread(Executor):
    """Runs what is submitted at once."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _stages(nodes: Sequence[_Node]) -> list[list[_Node]]:
    """Adjacent stateless nodes together, every stateful or batching node alone."""
    stages: list[list[_Node]] = []
    for node in nodes:
        alone = not node.step.spec.stateless or node.batches
        if not alone and stages and stages[-1][0].step.spec.stateless and not stages[-1][0].batches:
            stages[-1].append(node)
        else:
            stages.append([node])
    return stages


def _last_readers(plan: Plan) -> list[list[int]]:
    """For each step the steps whose outputs nobody needs after it."""
    position = {step.id: i for i, step in enumerate(plan.steps)}
    last = list(range(len(plan.steps)))
    for i, step in enumerate(plan.steps):
        for before in step.predecessors:
            last[position[before]] = max(last[position[before]], i)
    drops: list[list[int]] = [[] for _ in plan.steps]
    for i, reader in enumerate(last):
        drops[reader].append(i)
    return drops


class _Node:
    """A step with its instance, and how it is called."""

    def __init__(
        self,
        plan: Plan,
        position: int,
        step: Step,
        video: VideoInfo,
        *,
        drops: list[int],
        board: Board | None,
        lost: Mapping[int, NodeFailure],
    ) -> None:
        self._board = board
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
        self._frame_binding = next((b for b in step.bindings if Frame in b.input.types and b.sources), None)
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
        except KeyboardInterrupt:
            raise
        except MissingExtraError:
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
        """Call the tool; the board, if there is one, knows while it runs."""
        if self._board is None:
            return self._callable()(*arguments)
        self._board.enter(self.position, index)
        try:
            return self._callable()(*arguments)
        finally:
            self._board.leave()

    def _seed_random(self, envelope: Envelope) -> None:
        cv2 = sys.modules.get("cv2")
        if cv2 is not None and hasattr(cv2, "setRNGSeed"):
            cv2.setRNGSeed((self._seed ^ (envelope.index * 2654435761)) & 0x7FFFFFFF)

    def _frame(self, envelope: Envelope) -> Frame | None:
        if self._frame_binding is None:
            return None
        return self._value(envelope, self._frame_binding)  # type: ignore[no-any-return]

    def _value(self, envelope: Envelope, binding: Binding) -> Any:
        source = binding.sources[0]
        if source.node is None:
            return envelope.frame
        values = envelope.values[self._places[source.node]]
        assert values is not None
        return values[source.output]

    def _arguments(self, envelope: Envelope) -> list[Any]:
        frame = self._frame(envelope)
        into = None
        if frame is not None and not frame.to_source.is_identity:
            into = frame.to_source.inverse()
        arguments: list[Any] = []
        for binding in self.step.bindings:
            if not binding.input.variadic and not binding.sources:
                arguments.append(None)
                continue
            for source in binding.sources:
                value = self._value(envelope, Binding(binding.input, (source,)))
                if into is not None and isinstance(value, Geometric):
                    value = value.mapped(into)
                arguments.append(value)
        return arguments

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
        envelope.failed.add(self.position)
        if envelope.failure is None:
            message = _message(error)
            envelope.failure = NodeFailure(self.step.id, self.step.tool_name, type(error).__name__, message)

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

    def in_order(self, item: Item | None) -> list[Item]:
        """Take the next item of a stateful node; None is the end. Returns what is ready to go on."""
        if self.lookahead:
            return self._in_order_with_lookahead(item)
        if item is None:
            return []
        if isinstance(item, Marker):
            item.states[self.step.id] = self._state()
        else:
            self.process(item)
        return [item]

    def _state(self) -> Any:
        if not self.step.spec.has_checkpoint:
            return None
        return self.instance.state()

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
    except Exception:  # an exception whose own text cannot be had
        return ""
