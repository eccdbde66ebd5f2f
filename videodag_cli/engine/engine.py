"""A plan over an iterator of frames: results in frame order, as fast as order and memory allow.

The nodes of a plan are cut into stages in topological order. Adjacent stateless nodes form one stage that works on several frames
at once; a stateful node is a stage of its own that sees the frames one after the other on its own thread; a node that takes
batches gathers, and scatters what it gets. All of it is one primitive, `ordered_map`, so order, back-pressure and constant memory
follow from the shape. What belongs to a frame travels in an envelope, errors included: they never go through the engine as
exceptions. Handing something to another thread costs more than a cheap tool, so envelopes go from stage to stage in groups: of
one where reading or working takes its time, of several where it does not.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

from videodag_cli.data import Frame, VideoInfo
from videodag_cli.engine.envelope import CallLog, Envelope, Item, Marker
from videodag_cli.engine.kept import KeptResults
from videodag_cli.engine.node import RunningNode
from videodag_cli.engine.shared import SharedCall
from videodag_cli.engine.timings import Timings
from videodag_cli.errors import StopSignal
from videodag_cli.graph.plan import Plan
from videodag_cli.lines import FrameResult, NodeFailure

T = TypeVar("T")
R = TypeVar("R")

READ_AHEAD = 4
"""Groups waiting for the first stage, or for a stage that works in order."""

GROUP_NS = 500_000
GROUP_FRAMES = 16
"""A group takes this long to read and this long to work on, at most, and holds so many frames, unless it is one frame."""


def ordered_map(
    pool: Executor, fn: Callable[[T], R], items: Iterable[T], *, window: int | Callable[[], int]
) -> Iterator[R]:
    """`fn` of each item, in the order of the items, with up to `window` of them under way in `pool`.

    What `items` raises is raised behind the results of the items before. Closing the iterator cancels what has not started.
    """
    waiting: deque[Future[R]] = deque()
    iterator = iter(items)
    ended: Exception | None = None
    most = window if callable(window) else lambda: window
    try:
        while ended is None:
            try:
                waiting.append(pool.submit(fn, next(iterator)))
            except Exception as error:
                ended = error
            while waiting and (ended is not None or len(waiting) >= most()):
                yield waiting.popleft().result()
        if not isinstance(ended, StopIteration):
            raise ended
    finally:
        for future in waiting:
            future.cancel()


class Engine:
    """Runs a plan over the frames of one video. A context manager: tools are made on entry and closed on exit.

    workers: how many frames the stateless nodes work on at once; results do not depend on it.
    share: how many it may be now; never fewer than before. None: `workers` for good.
    batch_size: at most this many frames are given at once to tools that take batches; results do not depend on it.
    serial: one call at a time, on the caller's thread.
    calls: learns of every call.
    lost: calls that are not made but fail, by frame index and node.
    kept: results of earlier runs, which are not computed again; what is computed is kept there.
    """

    def __init__(
        self,
        plan: Plan,
        video: VideoInfo,
        *,
        workers: int = 1,
        share: Callable[[], int] | None = None,
        batch_size: int | None = None,
        serial: bool = False,
        calls: CallLog | None = None,
        lost: Mapping[tuple[int, str], NodeFailure] | None = None,
        kept: KeptResults | None = None,
    ) -> None:
        self.plan = plan
        self.video = video
        self.workers = max(1, workers)
        self._share = share
        self._crew: _Crew | None = None
        """Of a run that is not serial."""
        self.batch_size = 1 if serial else batch_size
        self._serial = serial
        self._calls = calls
        self._lost = lost or {}
        self._kept = kept
        self.sizes_vary = False
        """A frame had another size than the video."""
        self.timings: dict[str, Timings] = {step.id: Timings() for step in plan.steps}
        self._group_frames = 1
        self._open = ExitStack()
        self._nodes: list[RunningNode] = []

    def __enter__(self) -> Engine:
        with ExitStack() as stack:
            if self._calls is not None:
                self._calls.name_nodes([(step.id, step.tool_name) for step in self.plan.steps])
            readers = _last_readers(self.plan)
            kept = {} if self._kept is None else self._kept.nodes(self.plan, self.video)
            needed = _needed(self.plan, {name for name, node in kept.items() if node.is_whole})
            for position, step in enumerate(self.plan.steps):
                lost = {index: failure for (index, name), failure in self._lost.items() if name == step.id}
                node = RunningNode(
                    self.plan,
                    position,
                    step,
                    self.video,
                    drops=readers[position],
                    calls=self._calls,
                    lost=lost,
                    kept=kept.get(step.id),
                    is_needed=step.id in needed,
                )
                stack.callback(node.close)
                if node.kept is not None:
                    stack.callback(node.kept.flush)
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
        return all(n.step.spec.stateless or n.has_checkpoint for n in self._nodes)

    @property
    def needs_pixels(self) -> bool:
        """Whether any node has to see the frames' pictures."""
        return any(node.reads_pixels for node in self._nodes)

    @property
    def recalled(self) -> dict[str, int]:
        """Frames for which a node's result was taken from those that are kept, by node; without those of which none was."""
        return {n.step.id: n.kept.recalled for n in self._nodes if n.kept is not None and n.kept.recalled}

    def finish_kept(self, *, every_frame: bool) -> None:
        """Behind the last frame: keep what the tools say of themselves. every_frame: none was left out."""
        for node in self._nodes:
            node.finish_kept(every_frame=every_frame)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What the tools say about themselves (opened models, for instance), by node; tools without `describe()` are left out."""
        return {n.step.id: says for n in self._nodes if (says := n.described()[0]) is not None}

    def models(self) -> dict[str, dict[str, Any]]:
        """The same as data: a tool's `description` (a pydantic model) where it has one, else what `describe()` says."""
        described = self.describe()
        for node in self._nodes:
            description = node.described()[1]
            if description is not None:
                described[node.step.id] = description
        return described

    def remarks(self) -> list[str]:
        """What the tools have to say behind the last frame, in the order of the nodes."""
        return [text for node in self._nodes for text in node.remarks()]

    def restore(self, states: dict[str, Any]) -> None:
        """Give each stateful node the state that a checkpoint took."""
        for node in self._nodes:
            if not node.step.spec.stateless:
                node.instance.restore(states[node.step.id])

    def share(self, calls: Mapping[str, SharedCall]) -> None:
        """Make the calls of these nodes, by their ids, only where no other engine over the same frames does; before `run`."""
        for node in self._nodes:
            if node.step.id in calls:
                node.share(calls[node.step.id])

    def run(
        self,
        frames: Iterable[Frame],
        *,
        checkpoint_due: Callable[[], bool] | None = None,
        on_checkpoint: Callable[[int, dict[str, Any]], None] | None = None,
    ) -> Generator[FrameResult]:
        """The results of `frames`, in their order. Frames are read ahead on a thread of their own.

        When `checkpoint_due()` says so after a frame, the states behind exactly that frame are handed to
        `on_checkpoint(frame_index, states)`, after the frame's result was yielded and before the next.
        """
        with ExitStack() as stack:
            groups = self._envelopes(stack, frames, checkpoint_due)
            self._crew = None if self._serial else stack.enter_context(_Crew(self.workers, self._share))
            for stage in _stages(self._nodes):
                groups = self._stage(stack, stage, groups, self._crew or _CallersThread())
            timings = [self.timings[node.step.id] for node in self._nodes]
            for item in itertools.chain.from_iterable(groups):
                if isinstance(item, Marker):
                    if on_checkpoint is not None:
                        on_checkpoint(item.index, item.states)
                    continue
                for timing, spent_ns in zip(timings, item.spent_ns, strict=True):
                    if spent_ns:
                        timing.add(spent_ns)
                self._group_frames = max(1, min(GROUP_FRAMES, GROUP_NS // max(1, sum(item.spent_ns))))
                yield self._result(item)

    def _own_size(self, frame: Frame) -> tuple[int, int] | None:
        size = (frame.width, frame.height)
        if size == (self.video.width, self.video.height):
            return None
        self.sizes_vary = True
        return size

    def _result(self, envelope: Envelope) -> FrameResult:
        if envelope.failure is not None:
            return FrameResult(envelope.index, envelope.time_s, None, envelope.failure, size=envelope.size)
        values = {name: envelope.written[name] for name in self.plan.pipeline.output_nodes}
        return FrameResult(envelope.index, envelope.time_s, values, size=envelope.size)

    def _envelopes(
        self, stack: ExitStack, frames: Iterable[Frame], checkpoint_due: Callable[[], bool] | None
    ) -> Iterator[list[Item]]:
        reader = self._pool(stack, 1, "reader")
        count = len(self._nodes)
        window = 1 if self._serial else READ_AHEAD
        read = _grouped(frames, lambda: 1 if self._serial else self._group_frames)
        for group in ordered_map(reader, lambda _: next(read, None), itertools.count(), window=window):
            if group is None:
                return
            items: list[Item] = []
            for frame in group:
                items.append(
                    Envelope(
                        frame, frame.index, frame.time_s, self._own_size(frame), [None] * count, spent_ns=[0] * count
                    )
                )
                if checkpoint_due is not None and checkpoint_due():
                    items.append(Marker(frame.index))
            yield items

    def _stage(
        self, stack: ExitStack, nodes: list[RunningNode], groups: Iterator[list[Item]], shared: Executor
    ) -> Iterator[list[Item]]:
        first = nodes[0]
        if not first.step.spec.stateless:
            own = self._pool(stack, 1, "node")
            window = 1 if self._serial else READ_AHEAD
            return ordered_map(own, first.in_order, itertools.chain(groups, [None]), window=window)
        if first.batches:
            size = min(first.batch_size, self.batch_size or first.batch_size)
            chunks = _chunks(itertools.chain.from_iterable(groups), size)
            done = ordered_map(shared, first.in_batch, chunks, window=self._ahead(1))
            return ([item] for items in done for item in items)

        def work(items: list[Item]) -> list[Item]:
            for item in items:
                if isinstance(item, Envelope):
                    for node in nodes:
                        node.process(item)
            return items

        return ordered_map(shared, work, groups, window=self._ahead(2))

    def _ahead(self, more: int) -> Callable[[], int]:
        """What the crew works on, and so many more; one call at a time where the run is serial."""
        return lambda: 1 if self._crew is None else self._crew.size() + more

    def _pool(self, stack: ExitStack, threads: int, name: str) -> Executor:
        if self._serial:
            return _CallersThread()
        pool = ThreadPoolExecutor(threads, thread_name_prefix=f"videodag-{name}")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        return pool


class _Crew(ThreadPoolExecutor):
    """The threads of the stateless nodes: more of them once `share` says so."""

    def __init__(self, workers: int, share: Callable[[], int] | None) -> None:
        super().__init__(workers, thread_name_prefix="videodag-stateless")
        self._share = share

    def size(self) -> int:
        """How many there may be now."""
        if self._share is not None:
            self._max_workers = max(self._max_workers, self._share())  # threads are started when something is submitted
        return self._max_workers

    def __exit__(self, *exc: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


class _CallersThread(Executor):
    """Runs what is submitted at once."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except StopSignal:
            raise
        except BaseException as error:
            future.set_exception(error)
        return future


def _grouped(frames: Iterable[Frame], most: Callable[[], int]) -> Iterator[list[Frame]]:
    """Frames in groups of at most `most()`; a group ends early when reading it took `GROUP_NS`.

    What goes wrong while reading is raised behind the frames before it.
    """
    group: list[Frame] = []
    limit, started = most(), time.perf_counter_ns()
    try:
        for frame in frames:
            group.append(frame)
            if len(group) >= limit or time.perf_counter_ns() - started >= GROUP_NS:
                yield group
                group, limit, started = [], most(), time.perf_counter_ns()
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _stages(nodes: Sequence[RunningNode]) -> list[list[RunningNode]]:
    """Adjacent stateless nodes together, every stateful or batching node alone."""
    stages: list[list[RunningNode]] = []
    for node in nodes:
        alone = not node.step.spec.stateless or node.batches
        if not alone and stages and stages[-1][0].step.spec.stateless and not stages[-1][0].batches:
            stages[-1].append(node)
        else:
            stages.append([node])
    return stages


def _needed(plan: Plan, whole: Collection[str]) -> set[str]:
    """The steps whose values are written, or read by a step that has to be run: not by one of the `whole`, whose results are all kept.

    So are those that may say something of themselves, of which nothing is kept.
    """
    says = ("describe", "description", "remarks")
    needed = {
        step.id
        for step in plan.steps
        if step.is_output or (step.id not in whole and any(hasattr(step.spec.target, name) for name in says))
    }
    for step in reversed(plan.steps):
        if step.id in needed and step.id not in whole:
            needed.update(step.predecessors)
    return needed


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
