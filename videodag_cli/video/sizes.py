"""Pictures of another size than the video's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videodag_cli.errors import InputError
from videodag_cli.video.entry import INTRA_ONLY

if TYPE_CHECKING:
    from videodag_cli.video.source import Probe


class PictureSizes:
    """Whether the pictures of a video may change their size, and what those that grew cost."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        # Where each picture has headers of its own, a single one of another size is damage.
        self.may_change = probe.codec not in INTRA_ONLY or probe.description_count > 1
        self._usual_pixels = probe.stored_size[0] * probe.stored_size[1]
        self._more_pixels = 0

    def count(self, width: int, height: int) -> None:
        """Note a decoded picture. Raises InputError where pictures that grew are more work than the limit allows."""
        pixels = width * height
        if pixels > self._usual_pixels:
            self._more_pixels += pixels
            limits = self._probe.limits
            if self._more_pixels > limits.allowed_pixels(pixels, self._probe.index.coded_bytes):
                raise InputError(
                    f"{self._probe.shown}: pictures grow to {width}x{height}: more than {limits.pixels_per_byte(pixels)} "
                    "pixels per byte; raise --max-pixels-per-byte",
                    word="input.limit",
                )

    def words(self, width: int, height: int) -> str:
        """That some pictures have this stored size."""
        usual_width, usual_height = self._probe.stored_size
        if self._probe.orientation.swaps_sides:
            width, height, usual_width, usual_height = height, width, usual_height, usual_width
        return f"some pictures are {width}x{height}, the video is {usual_width}x{usual_height}"
