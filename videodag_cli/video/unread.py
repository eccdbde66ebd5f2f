"""A video that was decoded before without a sign of damage, when nobody needs its pictures again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Frame, Unseen
from videodag_cli.video.choice import DecoderChoice
from videodag_cli.video.reader import Reader
from videodag_cli.video.source import Probe


class UnreadFrames(Reader):
    """Hands out `targets` without pictures, and says of their decoding what was noted when it was done."""

    def __init__(
        self,
        probe: Probe,
        targets: NDArray[np.int64],
        choice: DecoderChoice,
        *,
        decoded_count: int,
        remarks: list[str],
    ) -> None:
        super().__init__(probe, targets, choice)
        self.decoded_count = decoded_count
        self.remarks = remarks

    def _frames(self) -> Iterator[Frame]:
        size = (self.probe.info.width, self.probe.info.height)
        for target in self.targets.tolist():
            yield Unseen(size, target, self.probe.index.time_s(target))

    def close(self) -> None:
        """There is nothing to be freed."""
