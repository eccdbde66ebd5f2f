"""QR codes, bar codes and other printed codes, by ZXing-C++."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

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


_QR_WITHOUT_CHARSET = frozenset(("]Q1", "]Q3", "]Q5"))
_BEYOND_ASCII = re.compile("[\x80-\x9f]")
_SQUARE = frozenset(("QRCode", "DataMatrix", "Aztec"))


def _known_charset(name: str | None) -> str | None:
    try:
        if name is not None:
            codecs.lookup(name)
    except LookupError:
        raise ValueError("no character set of this name is known; such as utf-8, cp1252, shift_jis") from None
    return name


@tool(version=2, cache=True)
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
    charset: Annotated[
        str | None,
        AfterValidator(_known_charset),
        Field(description="character set of QR codes that name none, such as cp1252 or shift_jis; default: guessed"),
    ] = None,
) -> Codes:
    """QR codes, bar codes and other printed codes, with `text`, `format`, `content` and four corners.

    Corners go clockwise from the code's own top left. `content` is "text", or "binary" when the bytes are not text, or hold control
    characters beyond ASCII: then `text` is their lower-case hex form. Bar codes inside a square code are left out. UPC-A codes count as
    EAN13 unless only UPCA is looked for.
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
    found = [code for code in found if not any(_inside(code, other) for other in found if other is not code)]
    if not found:
        return Codes.empty()
    corners = np.array([_corners(code.position) for code in found], np.float64)
    no_text = (zxingcpp.ContentType.Binary, zxingcpp.ContentType.UnknownECI)
    texts = [None if code.content_type in no_text else _text(code, charset) for code in found]
    return Codes(
        xyxy=np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1),
        keypoints=corners,
        data={
            "text": tuple(c.bytes.hex() if t is None else t for c, t in zip(found, texts, strict=True)),
            "format": tuple(code.format.name for code in found),
            "content": tuple("binary" if text is None else "text" for text in texts),
        },
    )


def _text(code: Any, charset: str | None) -> str | None:
    """The text of a code; None where its bytes are none."""
    text: str = code.text
    if charset is not None and code.symbology_identifier in _QR_WITHOUT_CHARSET:
        try:
            text = code.bytes.decode(charset)
        except UnicodeError:
            return None
    return None if _BEYOND_ASCII.search(text) else text


def _inside(code: Any, other: Any) -> bool:
    """Whether bars were found among the modules of a square code: the middle of theirs is in it."""
    if other.format.name not in _SQUARE or code.format.name in _SQUARE:
        return False
    middle = np.mean(_corners(code.position), axis=0)
    outer = np.array(_corners(other.position))
    return bool((outer.min(axis=0) <= middle).all() and (middle <= outer.max(axis=0)).all())


def _wanted(names: tuple[str, ...]) -> Any:
    """ZXing's set of formats."""
    import zxingcpp

    if not names:
        return zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.AllReadable])
    return zxingcpp.BarcodeFormats([getattr(zxingcpp.BarcodeFormat, name) for name in names])


def _corners(position: Any) -> list[tuple[int, int]]:
    points = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    return [(point.x, point.y) for point in points]
