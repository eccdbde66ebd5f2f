"""How ranges are cut out of a video."""

from __future__ import annotations

from typing import Literal

CutMethod = Literal["copy", "exact"]
"""`copy`: nothing is coded again; begins at a keyframe at or before the range, and may hold some frames behind it. `exact`: its
frames alone, coded again as H.264."""
