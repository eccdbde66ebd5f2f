"""Perceptual hashes: short texts that are nearly equal where pictures look alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from videodag_cli.data import Frame
from videodag_cli.toolspec import tool

SIDE = 32
"""Pixels to which the luma is shrunk, before its cosine transform."""
KEPT = 8
"""Of the transform's columns and rows, the lowest frequencies."""


@dataclass(frozen=True, slots=True)
class PictureHash:
    phash: str | None
    """64 bits as 16 hexadecimal digits; None where the picture has too little contrast to tell anything."""
    contrast: float
    """Standard deviation of the luma, shrunk to 32 x 32."""


@tool(version=1)
def frame(
    frame: Frame,
    *,
    min_contrast: Annotated[
        float,
        Field(
            ge=0,
            le=128,
            description="lowest contrast (standard deviation of the luma, shrunk to 32 x 32) that is hashed",
        ),
    ] = 4.0,
) -> PictureHash:
    """A 64-bit perceptual hash by the cosine transform (Krawetz, "Looks Like It", 2011; `phash` of the package imagehash).

    Bit k is 1 where the k-th of the 64 lowest frequencies of the luma, shrunk to 32 x 32 pixels, is above their median; the first bit comes
    first. Copies in another size or coding differ in few bits, other pictures in about 32. Black and empty pictures have none (null).
    """
    import cv2

    luma = cv2.resize(frame.gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    contrast = float(luma.std())
    if contrast < min_contrast:
        return PictureHash(None, contrast)
    low = np.asarray(cv2.dct(luma)[:KEPT, :KEPT], np.float64)
    low[0] *= math.sqrt(2)  # the transform without norm, as the reference takes it
    low[:, 0] *= math.sqrt(2)
    bits = np.packbits(low > np.median(low))
    return PictureHash(bits.tobytes().hex(), contrast)
