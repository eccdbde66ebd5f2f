"""What a parent process keeps of a run's limits."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_CRASHES = 20


@dataclass(frozen=True)
class GuardLimits:
    """What the parent enforces; None: no limit."""

    timeout_s: float | None = None
    node_timeout_s: float | None = None
    max_memory_bytes: int | None = None
    isolate: bool = False
    max_crashes: int = DEFAULT_CRASHES

    @property
    def needed(self) -> bool:
        return self.isolate or any(
            limit is not None for limit in (self.timeout_s, self.node_timeout_s, self.max_memory_bytes)
        )
