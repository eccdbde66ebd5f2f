"""From a probed video to a reader."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from videodag_cli.video.choice import choose_decoder
from videodag_cli.video.opencv import OpencvReader
from videodag_cli.video.pyav import PyavReader
from videodag_cli.video.reader import Reader
from videodag_cli.video.source import Probe


def open_reader(
    probe: Probe,
    targets: NDArray[np.int64],
    *,
    decoder: str = "auto",
    threads: int | None = None,
    after: int = -1,
    lanes: int = 1,
) -> Reader:
    """A reader for `targets` (ascending frame indices), which may start anywhere.

    threads: of the decoder; None for its default.
    after: targets up to this one were read before and are not handed out again; they say how a decoder came to the others.
    lanes: groups of pictures that may be decoded side by side, where that is worth it.
    Raises InputError when the requested decoder cannot be trusted with the file.
    """
    choice = choose_decoder(probe, decoder=decoder)
    if choice.name == "opencv":
        return OpencvReader(probe, targets[targets > after], choice, threads=threads)
    return PyavReader(probe, targets, choice, threads=threads, after=after, lanes=lanes)
