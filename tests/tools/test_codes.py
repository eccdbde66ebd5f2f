from __future__ import annotations

import cv2
import numpy as np
import pytest
import segno
import zxingcpp

from tests.sampled import frame_from, frames_of
from videodag_cli import Frame
from videodag_cli.errors import ParamError
from videodag_cli.tools import codes
from videodag_cli.toolspec import spec_of


def printed(content: str | bytes, format_name: str = "QRCode", *, scale: int = 4, border: int = 30) -> np.ndarray:
    code = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, format_name))
    symbol = np.array(code.to_image(scale=scale))
    gray = cv2.copyMakeBorder(symbol, border, border, border, border, cv2.BORDER_CONSTANT, value=255)
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize("clip", ["synthetic.mp4", "synthetic.mov"])
def test_every_frame_of_the_synthetic_clip_reads_its_own_index(clip: str) -> None:
    texts = {frame.index: codes.read(frame).data["text"] for frame in frames_of(clip)}
    assert texts == {index: (f"F{index:06d}",) for index in range(120)}


def test_corners_go_clockwise_from_the_codes_own_top_left() -> None:
    image = printed("corner test", scale=4, border=40)
    side = image.shape[0] - 80
    found = codes.read(Frame.from_image(image))
    quiet = found.xyxy[0, 0]
    assert found.xyxy[0].tolist() == pytest.approx([quiet, quiet, 80 + side - quiet, 80 + side - quiet], abs=2)
    turned = codes.read(Frame.from_image(np.ascontiguousarray(np.rot90(image))))
    assert turned.data["text"] == ("corner test",)
    top_left, top_right = turned.keypoints[0, 0], turned.keypoints[0, 1]  # type: ignore[index]
    assert top_left[1] > top_right[1]
    assert top_left[0] == pytest.approx(top_right[0], abs=2)


def test_a_row_holds_text_format_content_and_corners() -> None:
    (row,) = codes.read(Frame.from_image(printed("HELLO"))).rows()
    assert list(row) == ["xyxy", "corners", "text", "format", "content"]
    assert (row["text"], row["format"], row["content"]) == ("HELLO", "QRCode", "text")
    assert len(row["corners"]) == 4


def test_bytes_that_are_no_text_come_as_hex() -> None:
    data = bytes([0, 255, 254, 128, 1, 2, 200])
    found = codes.read(Frame.from_image(printed(data)))
    assert (found.data["text"], found.data["content"]) == ((data.hex(),), ("binary",))


def printed_raw(data: bytes) -> Frame:
    """A QR code of these bytes that names no character set."""
    symbol = np.array([[0 if dark else 255 for dark in row] for row in segno.make(data, micro=False).matrix_iter(4, 4)])
    return frame_from(cv2.cvtColor(symbol.astype(np.uint8), cv2.COLOR_GRAY2BGR))


def test_control_characters_beyond_ascii_are_no_text_and_no_second_code() -> None:
    """Another library made the code, in whose modules ZXing finds a bar code of two digits as well."""
    data = bytes(range(0x80, 0xA0))
    found = codes.read(printed_raw(data))
    assert found.data == {"text": (data.hex(),), "format": ("QRCode",), "content": ("binary",)}


@pytest.mark.parametrize(
    ("text", "charset"), [("A\u2019B", "cp1252"), ("é€", "cp1252"), ("日本語", "shift_jis"), ("Grüße", "utf-8")]
)
def test_the_character_set_of_codes_that_name_none_can_be_set(text: str, charset: str) -> None:
    assert codes.read(printed_raw(text.encode(charset)), charset=charset).data["text"] == (text,)
    assert codes.read(Frame.from_image(printed("named")), charset=charset).data["text"] == ("named",)


def test_bytes_that_the_character_set_does_not_have_are_no_text() -> None:
    assert codes.read(printed_raw(b"\xe9t\xe9"), charset="utf-8").data["content"] == ("binary",)


def test_an_unknown_character_set_is_refused() -> None:
    spec = spec_of(codes.read)
    assert spec is not None
    with pytest.raises(ParamError, match="no character set of this name"):
        spec.check_params({"charset": "klingon"})


def test_text_keeps_its_lines_and_scripts() -> None:
    for text in ("BEGIN:VCARD\nN:x\nEND:VCARD", "日本語", "über"):
        assert codes.read(Frame.from_image(printed(text))).data["text"] == (text,)


@pytest.mark.parametrize(
    ("format_name", "content"),
    [("EAN13", "4006381333931"), ("Code128", "ABC-1"), ("DataMatrix", "x1"), ("Aztec", "az"), ("PDF417", "pdf")],
)
def test_formats_are_read_and_chosen_by_name(format_name: str, content: str) -> None:
    frame = Frame.from_image(printed(content, format_name))
    assert codes.read(frame).data["format"] == (format_name,)
    assert codes.read(frame, formats=(format_name,)).data["text"] == (content,)  # type: ignore[arg-type]
    assert len(codes.read(frame, formats=("Codabar",))) == 0


def test_several_codes_in_one_picture() -> None:
    image = np.hstack([printed("one"), printed("two")])
    assert sorted(codes.read(Frame.from_image(image)).data["text"]) == ["one", "two"]


def test_a_picture_without_codes_has_none() -> None:
    assert codes.read(Frame.from_image(np.full((50, 50, 3), 90, np.uint8))).rows() == []


def test_every_format_is_known_to_the_library_and_others_are_refused() -> None:
    spec = spec_of(codes.read)
    assert spec is not None
    blank = Frame.from_image(np.full((50, 50, 3), 90, np.uint8))
    for name in codes.Format.__args__:  # type: ignore[attr-defined]
        assert len(codes.read(blank, **spec.check_params({"formats": [name]}))) == 0
    with pytest.raises(ParamError, match="formats"):
        spec.check_params({"formats": ["QR"]})
