"""How long this process has been running."""

from __future__ import annotations

import os
import time

_LOADED_S = time.perf_counter()


def began_s() -> float:
    """When this process began, by `time.perf_counter`; where the system does not say, when this module was loaded."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _LOADED_S
    return time.perf_counter() - age_s
