"""One picture: a file of its own, or a frame of a video."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np

from videodag_cli.data import Image
from videodag_cli.errors import InputError, printable

MAX_BYTES = 200_000_000


def read_picture(path: Path) -> Image | None:
    """An image file, upright, as HxWx3 BGR; None for an MP4 or MOV file. Raises `InputError` for anything else."""
    import cv2

    shown = printable(path)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{shown}: is not a regular file; name a video or a picture", word="input.not_file")
        with open(path, "rb") as file:
            if file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return None
            if found.st_size > MAX_BYTES:
                raise InputError(f"{shown}: is neither a video nor a picture of at most 200 MB", word="input.not_mp4")
            file.seek(0)
            content = file.read()
    except FileNotFoundError as error:
        raise InputError(f"{shown}: there is no such file", word="input.missing") from error
    except OSError as error:
        raise InputError(f"{shown}: {(error.strerror or 'cannot be read').lower()}", word="input.unreadable") from error
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error:
        image = None
    if image is None:
        raise InputError(
            f"{shown}: is neither an MP4 or MOV file nor a picture that can be decoded (PNG, JPEG, WebP, BMP, TIFF)",
            word="input.not_mp4",
        )
    return np.asarray(image, np.uint8)
