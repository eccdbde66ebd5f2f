"""How long calls took, in memory that does not grow."""

from __future__ import annotations

import math

_LOG_BASE = math.log(1.05)


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
