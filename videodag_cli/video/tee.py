"""One run over the frames of a reader for several consumers, each on threads of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

from videodag_cli.data import Frame


class Tee:
    """Hands every frame to every branch. Whoever needs a frame first reads it, and nobody else waits for that longer than they have to.

    What a slower branch has not taken yet is kept, so branches are to be emptied at about the same pace.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)
        self._reading = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: list[deque[Frame]] = []
        self._ended: Exception | None = None

    def branch(self) -> Branch:
        """Another consumer; to be made before the first frame is taken."""
        waiting: deque[Frame] = deque()
        self._waiting.append(waiting)
        return Branch(self, waiting)

    def leave(self, waiting: deque[Frame]) -> None:
        """Keep no more frames for a branch."""
        with self._lock:
            self._waiting = [other for other in self._waiting if other is not waiting]
            waiting.clear()

    def take(self, waiting: deque[Frame]) -> Frame:
        """The next frame of a branch. Raises what reading raised, behind the frames before it, and `StopIteration` at the end."""
        while True:
            with self._lock:
                if waiting:
                    return waiting.popleft()
                if self._ended is not None:
                    raise self._ended
            with self._reading:
                with self._lock:
                    if waiting or self._ended is not None:
                        continue
                try:
                    frame = next(self._frames)
                except Exception as error:
                    with self._lock:
                        self._ended = error
                    continue
                with self._lock:
                    for branch in self._waiting:
                        branch.append(frame)


class Branch(Iterator[Frame]):
    """The frames as one consumer gets them."""

    def __init__(self, tee: Tee, waiting: deque[Frame]) -> None:
        self._tee = tee
        self._waiting = waiting

    def __next__(self) -> Frame:
        return self._tee.take(self._waiting)

    def leave(self) -> None:
        """This consumer needs no more frames."""
        self._tee.leave(self._waiting)
