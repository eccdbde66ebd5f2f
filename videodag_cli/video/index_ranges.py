"""Frame indices as ranges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_RANGES = 100
"""More are left out."""


def index_ranges(indices: NDArray[np.int64], among: NDArray[np.int64] | None = None) -> list[tuple[int, int]]:
    """First and last of each run of neighbours in an ascending array, the first `MAX_RANGES` of them.

    among: the ascending frames that were sampled, which hold all `indices`; neighbours are next to each other among these. By default
    neighbours are consecutive numbers.
    """
    if not len(indices):
        return []
    places = indices if among is None else np.searchsorted(among, indices)
    breaks = np.flatnonzero(np.diff(places) != 1)
    firsts = indices[np.concatenate(([0], breaks + 1))]
    lasts = indices[np.concatenate((breaks, [len(indices) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))[:MAX_RANGES]
