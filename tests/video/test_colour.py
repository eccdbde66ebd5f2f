"""Colours against the equations of ITU-T H.273 in floating point, what of them is refused, and what `probe` says of them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.clips import box, describe_with, encode
from videodag_cli.errors import InputError
from videodag_cli.video.opening import open_reader
from videodag_cli.video.orientation import Orientation
from videodag_cli.video.pixels import Converter
from videodag_cli.video.probing import probe

WEIGHTS = {
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Matrix -> weights of red and blue; without one it is BT.601."""
YCGCO = 8
CELL, CELLS = 16, 8
Values = NDArray[np.float64]


def code_values(bits: int, *, gray: bool) -> list[NDArray[np.int64]]:
    """Luma and chroma of some colours that exist in every matrix and range."""
    random = np.random.default_rng(bits)
    scale = 1 << (bits - 8)
    shape = (CELLS, CELLS)
    chroma = [random.integers(108 * scale, 148 * scale, shape) for _ in range(2)]
    luma = random.integers(60 * scale, 190 * scale, shape)
    return [luma, *(np.full(shape, 128 * scale) for _ in chroma)] if gray else [luma, *chroma]


def bgr(values: list[NDArray[np.int64]], matrix: int, *, full: bool, bits: int) -> Values:
    """H.273: equations 20 to 28 for the ranges, 36 to 41 for weights, and those for YCgCo, turned round."""
    scale = 1 << (bits - 8)
    low, luma_spread, chroma_spread = (
        (0, 256 * scale - 1, 256 * scale - 1) if full else (16 * scale, 219 * scale, 224 * scale)
    )
    if matrix == YCGCO:
        chroma_spread = luma_spread
    luma = (values[0] - low) / luma_spread
    first, second = ((plane - 128 * scale) / chroma_spread for plane in values[1:])
    if matrix == YCGCO:
        red, green, blue = luma - first + second, luma + first, luma - first - second
    else:
        of_red, of_blue = WEIGHTS[matrix]
        red = luma + 2 * (1 - of_red) * second
        blue = luma + 2 * (1 - of_blue) * first
        green = (luma - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    return np.asarray(np.clip(np.rint(np.stack([blue, green, red], -1) * 255), 0, 255))


def picture(layout: str, values: list[NDArray[np.int64]], bits: int) -> av.VideoFrame:
    """A picture of flat cells, so that chroma has no neighbours to be mixed with."""
    frame = av.VideoFrame(CELL * CELLS, CELL * CELLS, layout)
    for plane, cells in zip(frame.planes, values, strict=False):
        across, down = plane.width // CELLS, plane.height // CELLS
        rows = np.repeat(np.repeat(cells, down, 0), across, 1).astype("<u2" if bits > 8 else "u1")
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        packed = rows.view(np.uint8).reshape(plane.height, -1)
        padded[:, : packed.shape[1]] = packed
        plane.update(padded.tobytes())
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


def cells_of(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    return image[CELL // 2 :: CELL, CELL // 2 :: CELL].astype(np.int64)


@pytest.mark.parametrize("matrix", [*WEIGHTS, YCGCO])
@pytest.mark.parametrize(
    ("layout", "bits", "tolerance"),
    [
        ("yuv420p", 8, 3),
        ("yuv422p", 8, 3),
        ("yuv444p", 8, 1),
        ("yuv420p10le", 10, 3),
        ("yuv422p10le", 10, 3),
        ("yuv444p10le", 10, 1),
        ("yuv420p12le", 12, 3),
        ("yuv444p12le", 12, 1),
        ("gray", 8, 1),
        ("gray10le", 10, 1),
        ("gray12le", 12, 1),
    ],
)
def test_colours_are_those_of_the_standard(layout: str, bits: int, tolerance: int, matrix: int) -> None:
    values = code_values(bits, gray=layout.startswith("gray"))
    for full in (False, True):
        frame = picture(layout, values, bits)
        frame.colorspace, frame.color_range = matrix, 2 if full else 1
        got = Converter(Orientation(90), Fraction(1, 25), "hevc").image(frame)
        assert np.abs(cells_of(np.rot90(got)) - bgr(values, matrix, full=full, bits=bits)).max() <= tolerance


def test_limited_rgb_is_spread(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    green_blue_red = [random.integers(16, 236, (CELLS, CELLS)) for _ in range(3)]
    for codec, color_range, spread in (("h264", 1, True), ("h264", 2, False), ("png", 1, False)):
        frame = picture("gbrp", green_blue_red, 8)
        frame.colorspace, frame.color_range = 0, color_range
        got = cells_of(Converter(Orientation(), Fraction(1, 25), codec).image(frame))
        wanted = np.stack([green_blue_red[i] for i in (1, 0, 2)], -1)
        assert np.array_equal(got, np.rint((wanted - 16) * 255 / 219) if spread else wanted)


def stored(
    path: Path, codec: str, layout: str, options: dict[str, str], **tags: int
) -> tuple[Path, list[NDArray[np.int64]]]:
    """A clip of flat cells without loss, and their code values."""
    values = code_values(8, gray=layout == "gray")
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=25, options=options)
        stream.width = stream.height = CELL * CELLS
        stream.pix_fmt = layout
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for pts in range(2):
            frame = picture(layout, values, 8)
            frame.pts = pts
            for name, value in tags.items():
                setattr(frame, name, value)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path, values


X265 = {"x265-params": "log-level=none:pools=1:frame-threads=1:bframes=0:lossless=1", "preset": "ultrafast"}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("codec", ["libx265", "libx264"])
def test_a_file_without_colour_has_the_range_it_says(codec: str, full: bool, tmp_path: Path) -> None:
    options = X265 if codec == "libx265" else {"qp": "0", "preset": "ultrafast"}
    path, values = stored(tmp_path / "gray.mp4", codec, "gray", options, color_range=2 if full else 1)
    (first, _) = read(path)
    assert np.abs(cells_of(first) - bgr(values, 6, full=full, bits=8)).max() <= 1


def test_gray_hevc_without_a_word_on_its_range_has_the_limited_one(tmp_path: Path) -> None:
    path, values = stored(tmp_path / "gray.mp4", "libx265", "gray", X265)
    assert np.abs(cells_of(read(path)[0]) - bgr(values, 6, full=False, bits=8)).max() <= 1


@pytest.mark.parametrize("full", [False, True])
def test_ycgco_in_a_file(full: bool, tmp_path: Path) -> None:
    params = f"colormatrix=YCgCo:fullrange={'on' if full else 'off'}"
    path, values = stored(tmp_path / "a.mp4", "libx264", "yuv444p", {"qp": "0", "x264-params": params})
    assert probe(path).facts.color == f"YCgCo, {'full' if full else 'limited'} range"
    assert np.abs(cells_of(read(path)[0]) - bgr(values, YCGCO, full=full, bits=8)).max() <= 1


def read(path: Path, **options: Any) -> list[NDArray[np.uint8]]:
    found = probe(path)
    with open_reader(found, np.arange(len(found.index)), **options) as reader:
        images = [frame.image for frame in reader]
        assert not len(reader.undecodable)
    return images


def tagged(path: Path, params: str, **options: Any) -> Path:
    return encode(path, indices=range(2), options={"x264-params": params, "preset": "ultrafast"}, **options)


@pytest.mark.parametrize(
    ("matrix", "name"),
    [
        ("GBR", "RGB (0)"),
        ("bt2020c", "BT.2020 constant luminance"),
        ("smpte2085", "SMPTE 2085"),
        ("chroma-derived-nc", "derived from the primaries"),
        ("chroma-derived-c", "derived from the primaries, constant luminance"),
        ("ICtCp", "ICtCp"),
    ],
)
def test_a_matrix_that_is_not_converted_is_refused(matrix: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        probe(tagged(tmp_path / "a.mp4", f"colormatrix={matrix}"))
    assert caught.value.word == "input.unsupported"
    assert name in caught.value.message
    assert "convert the video to BT.709" in caught.value.message


def test_a_matrix_derived_from_the_primaries_of_bt709_is_bt709(tmp_path: Path) -> None:
    derived = tagged(tmp_path / "a.mp4", "colormatrix=chroma-derived-nc:colorprim=bt709:qp=4")
    plain = tagged(tmp_path / "b.mp4", "colormatrix=bt709:colorprim=bt709:qp=4")
    assert np.array_equal(read(derived)[1], read(plain)[1])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc", "high dynamic range (PQ)"),
        ("transfer=arib-std-b67:colorprim=bt2020:colormatrix=bt2020nc", "high dynamic range (HLG)"),
        ("colorprim=bt2020:colormatrix=bt2020nc", "wide colours (BT.2020 primaries)"),
        ("colorprim=smpte432:colormatrix=bt709", "wide colours (Display P3 primaries)"),
        ("sar=4/3", "pixels are not square"),
    ],
)
def test_what_is_not_mapped_has_a_note_and_no_opencv(params: str, words: str, tmp_path: Path) -> None:
    found = probe(tagged(tmp_path / "a.mp4", params))
    assert any(note.startswith(words) for note in found.facts.notes)
    if not params.startswith("sar"):
        with pytest.raises(InputError, match="map the colours; use --decoder auto"):
            open_reader(found, np.arange(2), decoder="opencv")


def test_a_plain_clip_has_no_note(tmp_path: Path) -> None:
    assert probe(tagged(tmp_path / "a.mp4", "colormatrix=bt709:colorprim=bt709:transfer=bt709")).facts.notes == []


def test_a_clean_aperture_has_a_note(tmp_path: Path) -> None:
    aperture = box(b"clap", struct.pack(">8I", 240, 2, 100, 1, 0, 1, 0, 1))
    found = probe(describe_with(tagged(tmp_path / "a.mp4", "bframes=0"), aperture))
    assert (found.info.width, found.info.height) == (160, 112)
    assert any("clean aperture of 120x100" in note and "not cropped" in note for note in found.facts.notes)
    assert [image.shape for image in read(tmp_path / "a.mp4")] == [(112, 160, 3)] * 2


def dolby(profile: int, compatible: int) -> bytes:
    kind = b"dvcC" if profile <= 7 else b"dvvC"
    return box(kind, bytes([1, 0, profile << 1, 5 << 3 | 5, compatible << 4]) + bytes(19))


@pytest.mark.parametrize(
    ("profile", "compatible", "refused"), [(5, 0, True), (8, 1, False), (8, 4, False), (10, 0, True), (10, 1, False)]
)
def test_dolby_vision_is_read_only_where_its_base_layer_is_a_picture(
    profile: int, compatible: int, refused: bool, tmp_path: Path
) -> None:
    path = describe_with(tagged(tmp_path / "a.mp4", "bframes=0"), dolby(profile, compatible))
    if refused:
        with pytest.raises(InputError, match=rf"Dolby Vision profile {profile}.*convert") as caught:
            probe(path)
        assert caught.value.word == "input.unsupported"
    else:
        assert any(note.startswith(f"Dolby Vision profile {profile}.{compatible}") for note in probe(path).facts.notes)


def colourful(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sharp edges of chroma, which show where a converter places it."""
    image = image.copy()
    image[::2, ::3, 0], image[1::3, ::2, 2] = 250, 5
    return image


@pytest.mark.parametrize(
    ("layout", "params", "equal"),
    [
        ("yuv420p", "fullrange=off", True),
        ("yuvj420p", "colormatrix=bt709", True),
        ("yuv422p", "colormatrix=bt709:transfer=iec61966-2-1", True),
        ("yuv444p", "colormatrix=smpte240m:colorprim=smpte240m:transfer=smpte240m", True),
        ("yuv444p10le", "colormatrix=bt470bg", True),
        ("yuv420p10le", "colormatrix=bt709", False),
        ("yuv422p10le", "colormatrix=bt709", False),
        ("yuv420p", "colormatrix=YCgCo", False),
        ("yuv420p", "transfer=smpte2084", False),
        ("yuv420p", "transfer=log100", False),
        ("yuv420p", "colorprim=bt2020", False),
    ],
)
def test_opencv_reads_the_same_bytes_or_is_refused(layout: str, params: str, equal: bool, tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.mp4", f"{params}:qp=2", pix_fmt=layout, prepare=colourful)
    if equal:
        assert all(np.array_equal(a, b) for a, b in zip(read(path), read(path, decoder="opencv"), strict=True))
    else:
        with pytest.raises(InputError, match=r"OpenCV is not known to read this correctly.*use --decoder auto"):
            read(path, decoder="opencv")
