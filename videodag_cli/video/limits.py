"""What a file may claim before it is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Checked before anything is decoded; each message names the command line option that raises the limit."""

    max_pixels: int = 8192 * 8192
    """Pixels of one picture (`--max-pixels`)."""
    max_frames: int = 10_000_000
    """Frames in the container's index (`--max-index-frames`)."""
    max_frame_rate: int = 10_000
    """Average frames per second (`--max-frame-rate`)."""
