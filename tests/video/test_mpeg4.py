"""What MPEG-4 Part 2 headers prove, and that both readers then agree."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from videodag_cli.errors import InputError
from videodag_cli.video.mpeg4 import is_progressive
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.sampling import Sampling, select


def clip(path: Path, options: dict[str, str], *, rate: int = 25) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for i in range(12):
            image = np.full((96, 160, 3), 20 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("options", [{}, {"bf": "2"}, {"aspect": "2.35"}])
@pytest.mark.parametrize("rate", [25, 30])
def test_both_readers_agree_where_the_header_proves_progressive(
    tmp_path: Path, options: dict[str, str], rate: int
) -> None:
    found = probe(clip(tmp_path / "a.mov", options, rate=rate))
    assert is_progressive(found.extradata)
    targets = select(found.index, Sampling(stride=3))
    with open_reader(found, targets, decoder="opencv") as first, open_reader(found, targets, decoder="pyav") as second:
        for a, b in zip(first, second, strict=True):
            assert (a.index, a.time_s) == (b.index, b.time_s)
            np.testing.assert_array_equal(a.image, b.image)


def test_opencv_is_refused_where_pictures_may_be_interlaced(tmp_path: Path) -> None:
    found = probe(clip(tmp_path / "a.mov", {"flags": "+ildct+ilme"}))
    assert not is_progressive(found.extradata)
    with pytest.raises(InputError, match="interlaced, or the header does not say"):
        open_reader(found, select(found.index, Sampling()), decoder="opencv")


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x01\x20", b"\x00\x00\x01\x20\xff\xff", bytes(40)])
def test_a_header_that_is_missing_or_cut_proves_nothing(data: bytes) -> None:
    assert not is_progressive(data)
