"""What one packet brings out of the decoder."""

from __future__ import annotations

from typing import NamedTuple


class CodedPicture(NamedTuple):
    shown: bool = True
    """A picture comes out of the decoder for it."""
    second: bool = False
    """It is the other field of the frame that the picture before it began."""
    sequence: int = -1
    """Pictures of one sequence are output by `order`; -1 where the order is not known."""
    order: int = 0


FRAME = CodedPicture()
"""A frame, at its own time; also what cannot be read, because damage is found by decoding."""
NOTHING = CodedPicture(shown=False)
