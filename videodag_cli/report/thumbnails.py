"""Small pictures of chosen frames, as JPEG in data URIs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

MAX_SIDE = 800
JPEG_QUALITY = 82


def picture_uris(
    video: Path, frames: Sequence[int], *, stream: int | None = None
) -> tuple[dict[int, str], tuple[int, int]]:
    """`frame_index` -> data URI for those of `frames` that can be decoded, and width and height of the upright frame.

    frames: ascending. stream: number of the stream in the container. Raises `InputError` for a video that is refused.
    """
    import cv2
    import numpy as np

    from videodag_cli.video.opening import open_reader
    from videodag_cli.video.probing import probe

    uris: dict[int, str] = {}
    found = probe(video, stream=stream)
    size = (found.facts.width, found.facts.height)
    targets = np.array([frame for frame in frames if frame < found.facts.frame_count], np.int64)
    with open_reader(found, targets, decoder="pyav") as reader:  # it seeks, and the frames are far apart
        for frame in reader:
            done, data = cv2.imencode(".jpg", frame.scaled(MAX_SIDE).image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if done:
                uris[frame.index] = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
    return uris, size
