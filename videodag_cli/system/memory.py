"""Memory of this process and of the machine."""

from __future__ import annotations

import ctypes
import resource
import sys


def peak_bytes() -> int:
    """The most memory that this process, or one that it started and waited for, has had at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def give_back() -> None:
    """Return what is free to the system, where the C library can (glibc).

    Opening a long video leaves holes between FFmpeg's tables; no later picture would fit into them.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def available_mb() -> float:
    """What new processes can have without swapping; very much where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return 1e9
