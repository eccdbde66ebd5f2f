"""Frames behind a tool that looks ahead: they wait until it has seen enough to say something about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from videodag_cli.data import Affine
from videodag_cli.engine.envelope import Envelope, Item
from videodag_cli.errors import StopSignal


@dataclass(slots=True)
class _Delayed:
    """An item that waits for its value or for those before it."""

    item: Item
    answered: bool
    out: Affine | None = None
    """To source coordinates, kept because the frame is not."""


class LookAhead:
    """A value that a call returns belongs to the frame `count` successful calls before it."""

    def __init__(
        self,
        count: int,
        *,
        accept: Callable[[Envelope, Any, Affine | None], None],
        fail: Callable[[Envelope, BaseException], None],
    ) -> None:
        """accept: takes a value for a frame, and where its coordinates lead. fail: takes the reason why a frame has none."""
        self._count = count
        self._accept = accept
        self._fail = fail
        self._delayed: deque[_Delayed] = deque()
        self._unanswered = 0

    def passes(self, item: Item) -> None:
        """An item that gets no value goes on in its place: a marker, or a frame on which the tool did not run or failed."""
        self._delayed.append(_Delayed(item, answered=True))

    def returned(self, envelope: Envelope, value: Any, out: Affine | None) -> None:
        """The call on this frame returned a value, which is that of an earlier frame."""
        self._delayed.append(_Delayed(envelope, answered=False, out=out))
        self._unanswered += 1
        if self._unanswered > self._count:
            self._answer(value)

    def finished(self, finish: Callable[[], Sequence[Any]]) -> None:
        """Behind the last frame: the values that are still due come from `finish`."""
        try:
            rest = list(finish())
            if len(rest) > self._unanswered and self._unanswered < self._count:
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

    def ready(self, *, all: bool = False) -> Iterator[Item]:
        """Take the items that wait no longer, or all of them."""
        while self._delayed and (self._delayed[0].answered or all):
            yield self._delayed.popleft().item

    def _answer(self, value: Any) -> None:
        """Give a value to the oldest frame that waits for one."""
        for delayed in self._delayed:
            if not delayed.answered and isinstance(delayed.item, Envelope):
                try:
                    self._accept(delayed.item, value, delayed.out)
                except BaseException as error:
                    self._fail(delayed.item, error)
                delayed.answered = True
                self._unanswered -= 1
                return
