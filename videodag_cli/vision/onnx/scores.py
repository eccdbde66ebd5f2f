"""What a network's numbers cannot be, and a network that never finds anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats

DEAD = 0.01
"""A network with no score above this in any picture is taken for one that does not work."""
_MARGIN = 1e-3
"""Scores may be outside 0..1 by this much: half precision and sums of probabilities round."""
_HINT = "its outputs do not mean what they were read as (videodag model FILE shows it), or its conversion went wrong"


class ModelError(ValueError):
    """A model put out numbers that cannot be what they were taken for; the frame fails, and no line shows them."""


def checked_scores(scores: Any, model: str, *, negative: bool = False) -> Floats:
    """The scores, within 0..1. Raises `ModelError` for others; with `negative`, fillers below 0 pass, as they are never shown."""
    values = np.asarray(scores, np.float64)
    if not values.size:
        return values
    low, high = float(values.min()), float(values.max())  # either is not a number where any value is not
    if not high <= 1 + _MARGIN:
        raise ModelError(f"model {model} outputs a confidence of {high:g}, which is not within 0..1: {_HINT}")
    if not low >= -_MARGIN and not (negative and low < 0):
        raise ModelError(f"model {model} outputs a confidence of {low:g}, which is not within 0..1: {_HINT}")
    return np.clip(values, 0.0, 1.0)


def check_boxes(xyxy: NDArray[Any], model: str) -> None:
    """Raise `ModelError` where a box that counts has a side that is infinite or not a number."""
    if not np.isfinite(xyxy).all():
        raise ModelError(f"model {model} outputs a box with infinite or undefined sides: {_HINT}")


def check_outputs(outputs: Mapping[str, NDArray[Any]], model: str) -> None:
    """Raise `ModelError` where an output that boxes are read from (at most three dimensions) holds what is not a number."""
    for name, values in outputs.items():
        if values.ndim <= 3 and values.size and values.dtype.kind == "f" and np.isnan(values.min()):
            raise ModelError(
                f"model {model} outputs values that are not numbers (NaN in output {name!r}): its conversion went wrong, often to "
                "half precision or 8 bits"
            )


@dataclass
class ScoreWatch:
    """Whether a network has ever found anything: the best score so far, looked at until one is above `DEAD`."""

    pictures: int = 0
    best: float = 0.0

    @property
    def wants_more(self) -> bool:
        return self.best <= DEAD

    def saw(self, scores: Floats) -> None:
        self.best = max(self.best, float(scores.max(initial=0.0)))


def dead_remarks(watches: Iterable[ScoreWatch], model: str) -> list[str]:
    """A sentence for a network that found nothing in any picture of a run, else nothing."""
    watched = list(watches)
    pictures, best = sum(watch.pictures for watch in watched), max((watch.best for watch in watched), default=1.0)
    if not pictures or best > DEAD:
        return []
    what = "every score is 0" if best <= 0 else f"no score is above {DEAD:g} (the best is {best:.2g})"
    frames = "the only frame" if pictures == 1 else f"all {pictures} frames"
    return [
        f"model {model}: {what} in {frames}; a network that works nearly always finds something faint, so its input may be wrong "
        "(videodag model FILE shows how pictures go in) or its conversion, often to 8 bits, has gone wrong"
    ]
