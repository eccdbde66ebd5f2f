"""Readers: the pictures of the sampled frames, upright and in order, and the truth about those that are missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Frame
from videodag_cli.video.choice import DecoderChoice
from videodag_cli.video.source import Probe

MAX_PROBLEMS = 20


class Reader(ABC):
    """Iterate once to get the frames of `targets` that decode correctly, in order; only those are converted to pixels.

    A target counts as undecodable when its bytes are missing, when the decoder fails on it, gives nothing for it or calls it
    corrupt, or when its picture is not of the video's size. What a reader gives for a target depends neither on the other
    targets nor on the number of threads.
    """

    def __init__(self, probe: Probe, targets: NDArray[np.int64], choice: DecoderChoice) -> None:
        self.probe = probe
        self.targets = np.asarray(targets, np.int64)
        """Frame indices, ascending."""
        self.choice = choice
        self.problems: list[str] = []
        """Where decoder and index contradict each other; at most 20."""
        self.remarks: list[str] = []
        """What is unusual about the pictures, and no damage; at most 20."""
        self.decoded_count = 0
        """Pictures that came out of the decoder, wanted or not."""
        self.after_damage_count = 0
        """Frames handed out that come after a damaged one and before decoding could start anew: they may show its traces."""
        self.decode_s = 0.0
        """Seconds spent reading and decoding, in this thread."""
        self.convert_s = 0.0
        """Seconds spent making BGR pictures."""
        self._undecodable: list[int] = []
        if probe.contradiction:
            self._problem(probe.contradiction)
        cut = probe.facts.cut
        if cut and probe.facts.fragmented and self._reaches_the_end():
            self._problem(cut)

    @property
    def undecodable(self) -> NDArray[np.int64]:
        """Targets passed so far, or at the end all, that could not be decoded correctly; ascending."""
        return np.array(self._undecodable, np.int64)

    def __iter__(self) -> Iterator[Frame]:
        return self._frames()

    @abstractmethod
    def _frames(self) -> Iterator[Frame]: ...

    @abstractmethod
    def close(self) -> None:
        """Free the decoder; may be called from the thread that iterates, and more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reaches_the_end(self) -> bool:
        """Whether the next target, had the index gone on, would have been past its end."""
        if len(self.targets) == 0:
            return False
        step = int(self.targets[-1] - self.targets[-2]) if len(self.targets) > 1 else 1
        return bool(self.targets[-1] + step >= len(self.probe.index))

    def _remark(self, text: str) -> None:
        if text not in self.remarks and len(self.remarks) < MAX_PROBLEMS:
            self.remarks.append(text)

    def _problem(self, text: str) -> None:
        if text not in self.problems and len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)
