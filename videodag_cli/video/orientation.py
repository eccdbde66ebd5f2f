"""The upright picture: which of the eight turns and mirrors a display matrix asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Orientation:
    """Mirror left to right first, then turn clockwise."""

    rotation: int = 0
    """Degrees clockwise: 0, 90, 180 or 270."""
    mirrored: bool = False

    @property
    def is_identity(self) -> bool:
        return self == Orientation()

    @property
    def swaps_sides(self) -> bool:
        return self.rotation in (90, 270)

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """The FFmpeg filters that make a stored picture upright, with their arguments."""
        steps: list[tuple[str, str]] = [("hflip", "")] if self.mirrored else []
        turns = {
            0: [],
            90: [("transpose", "clock")],
            180: [("hflip", ""), ("vflip", "")],
            270: [("transpose", "cclock")],
        }
        steps += turns[self.rotation]
        return tuple(steps) if steps[:2] != [("hflip", ""), ("hflip", "")] else tuple(steps[2:])

    def __str__(self) -> str:
        turned = f"turned {self.rotation}° clockwise" if self.rotation else ""
        return " and ".join(part for part in ("mirrored" if self.mirrored else "", turned) if part) or "upright"


def from_matrix(matrix: tuple[int, ...]) -> Orientation | None:
    """The orientation of a display matrix (row by row, 16.16 fixed point); None when it is not one of the eight.

    A picture's point (x, y), y downwards, is shown at (a x + c y, b x + d y). A matrix without area says nothing, and is
    read as upright.
    """
    a, b, _, c, d, *_ = matrix
    if a * d - b * c == 0:
        return Orientation()
    if b == 0 and c == 0:
        signs = (a > 0, d > 0)
        return {
            (True, True): Orientation(),
            (False, False): Orientation(180),
            (False, True): Orientation(0, mirrored=True),
            (True, False): Orientation(180, mirrored=True),
        }[signs]
    if a == 0 and d == 0:
        signs = (b > 0, c > 0)
        return {
            (True, False): Orientation(90),
            (False, True): Orientation(270),
            (True, True): Orientation(270, mirrored=True),
            (False, False): Orientation(90, mirrored=True),
        }[signs]
    return None
