"""Memory that was freed and that the C library keeps for later."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Return what is free to the system, where the C library can (glibc).

    Opening a long video leaves holes between FFmpeg's tables; no later picture would fit into them.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
