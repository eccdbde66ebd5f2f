"""QR codes, bar codes and other printed codes, by ZXing-C++."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from videodag_cli.data import Codes, Frame
from videodag_cli.tools.params import listed
from videodag_cli.toolspec import tool

Format = Literal[
    "Aztec",
    "Codabar",
    "Code128",
    "Code39",
    "Code93",
    "DXFilmEdge",
    "DataBar",
    "DataMatrix",
    "EAN13",
    "EAN8",
    "EANUPC",
    "ITF",
    "MaxiCode",
    "MicroQRCode",
    "PDF417",
    "QRCode",
    "RMQRCode",
    "UPCA",
    "UPCE",
]


@tool(version=1)
def read(
    frame: Frame,
    *,
    formats: Annotated[
        tuple[Format, ...],
        BeforeValidator(listed),
        Field(description="formats to look for; empty means all, fewer are faster"),
    ] = (),
    rotate: Annotated[bool, Field(description="also look for codes turned by 90 or 270 degrees")] = True,
    downscale: Annotated[
        bool, Field(description="also look in smaller versions of the picture, for large or blurred codes")
    ] = True,
    invert: Annotated[bool, Field(description="also look for light codes on a dark background")] = True,
) -> Codes:
    """QR codes, bar codes and other printed codes, with `text`, `format`, `content` and four corners.

    Corners go clockwise from the code's own top left. `content` is "text", or "binary" when the bytes are not text: then `text` is
    their lower-case hex form. UPC-A codes count as EAN13 unless only UPCA is looked for.
    """
    import zxingcpp

    found = zxingcpp.read_barcodes(
        frame.gray,
        formats=_wanted(formats),
        try_rotate=rotate,
        try_downscale=downscale,
        try_invert=invert,
        text_mode=zxingcpp.TextMode.HRI,
    )
    if not found:
        return Codes.empty()
    corners = np.array([_corners(code.position) for code in found], np.float64)
    binary = [code.content_type in (zxingcpp.ContentType.Binary, zxingcpp.ContentType.UnknownECI) for code in found]
    return Codes(
        xyxy=np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1),
        keypoints=corners,
        data={
            "text": tuple(c.bytes.hex() if b else c.text for c, b in zip(found, binary, strict=True)),
            "format": tuple(code.format.name for code in found),
            "content": tuple("binary" if b else "text" for b in binary),
        },
    )


def _wanted(names: tuple[str, ...]) -> Any:
    """ZXing's set of formats."""
    import zxingcpp

    if not names:
        return zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.AllReadable])
    return zxingcpp.BarcodeFormats([getattr(zxingcpp.BarcodeFormat, name) for name in names])


def _corners(position: Any) -> list[tuple[int, int]]:
    points = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    return [(point.x, point.y) for point in points]
