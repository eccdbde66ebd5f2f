"""What a file may claim before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

FREE_PIXELS = 2_000_000_000
"""Decoded pixels that every video may have: a few seconds of work."""
LARGE_PIXELS = 4096 * 4096
"""Pictures beyond this are those of cinema and of bombs: even 5K screens and 5.7K cameras stay below."""
PIXELS_PER_BYTE = 1_000_000
"""Encoders leave up to 35,000 pixels per byte of a black picture in H.264 and HEVC, 125,000 in VP9, 320,000 in AV1 (measured in
4K): a dark surveillance camera, a screen that stands still. What is beyond this holds no pictures of its own."""
LARGE_PIXELS_PER_BYTE = 15_000
"""Of large pictures. Cameras make 30 to 300, and a keyframe of 500,000 bytes before 300 pictures in which nothing moves makes 13,000
in 8K; 8K in black, which nobody records, makes 36,000 in H.264."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Checked before anything is decoded; each message names the command line option that raises the limit."""

    max_pixels: int = 8192 * 8192
    """Pixels of one picture (`--max-pixels`)."""
    max_frames: int = 10_000_000
    """Frames in the container's index (`--max-index-frames`)."""
    max_frame_rate: int = 10_000
    """Average frames per second (`--max-frame-rate`)."""
    max_pixels_per_byte: int | None = None
    """Decoded pixels per byte of coded pictures (`--max-pixels-per-byte`); None for `LARGE_PIXELS_PER_BYTE` where pictures
    have more than `LARGE_PIXELS`, else `PIXELS_PER_BYTE`. Never less than `FREE_PIXELS` in all."""

    def pixels_per_byte(self, picture_pixels: int) -> int:
        """The limit for pictures of this many pixels."""
        if self.max_pixels_per_byte is not None:
            return self.max_pixels_per_byte
        return LARGE_PIXELS_PER_BYTE if picture_pixels > LARGE_PIXELS else PIXELS_PER_BYTE

    def allowed_pixels(self, picture_pixels: int, coded_bytes: int) -> int:
        """Pixels that may be decoded in all."""
        return max(FREE_PIXELS, self.pixels_per_byte(picture_pixels) * coded_bytes)
