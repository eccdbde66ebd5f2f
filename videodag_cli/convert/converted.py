"""What comes of a conversion."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote."""

    format: str
    count: int
    """Rows, annotations or cues."""
    unit: str
    remarks: tuple[str, ...] = ()
    """What the reader of the output should know: failed frames that are missing, facts that no record gave."""
