"""Decoded pictures as upright BGR arrays."""

from __future__ import annotations

from fractions import Fraction

import av.filter
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from videodag_cli.data import Image
from videodag_cli.video.colour import FULL, UNSPECIFIED, YCGCO, expands, has_chroma, weights_of
from videodag_cli.video.orientation import Orientation


class Converter:
    """Makes BGR pictures with filter graphs, whose frame pools reuse memory.

    The stream's colour matrix and range are honoured; without one the matrix is BT.601 and the range limited, as in OpenCV.
    What swscale reads wrong is computed here: YCgCo, and the limited range of gray and RGB pictures.
    """

    def __init__(self, orientation: Orientation, time_base: Fraction, codec: str = "") -> None:
        self._orientation = orientation
        self._time_base = time_base
        self._codec = codec
        self._keys: dict[str, object] = {}
        self._graphs: dict[str, av.filter.Graph] = {}

    def image(self, frame: VideoFrame) -> Image:
        """HxWx3 uint8, contiguous; raises FFmpegError or ValueError where the picture cannot be converted."""
        layout = frame.format.name
        color_range = int(frame.color_range)
        color_range = color_range if color_range in (1, 2) else 0
        matrix = int(frame.colorspace)
        if has_chroma(frame.format):
            matrix = weights_of(matrix, int(frame.color_primaries), self._codec)
            if matrix == YCGCO:
                bits = frame.format.components[0].bits
                planes = self._full_chroma(frame, bits)
                return self._upright(_from_ycgco(planes, bits, full=color_range == FULL))
        elif expands(self._codec, layout, color_range):
            bits = frame.format.components[0].bits
            green_blue_red = [_expanded(plane, bits) for plane in _planes(frame)[:3]]
            order = (1, 0, 2) if len(green_blue_red) == 3 else (0, 0, 0)
            return self._upright(np.stack([green_blue_red[i] for i in order], axis=-1))
        frame.colorspace = matrix
        frame.color_range = color_range
        return self._through("bgr", frame)

    def _upright(self, image: Image) -> Image:
        if self._orientation.is_identity:
            return image
        return self._through("turn", VideoFrame.from_ndarray(image, format="bgr24"))

    def _full_chroma(self, frame: VideoFrame, bits: int) -> list[NDArray[np.int32]]:
        """Luma and chroma of every pixel as they are coded."""
        color_range = frame.color_range
        frame.colorspace = UNSPECIFIED  # so that nothing changes but the number of chroma values
        made = self._filtered("chroma", frame, "yuv444p" if bits == 8 else f"yuv444p{bits}le", upright=False)
        frame.colorspace, frame.color_range = YCGCO, color_range
        return [plane.astype(np.int32) for plane in _planes(made)]

    def _through(self, purpose: str, frame: VideoFrame) -> Image:
        return np.ascontiguousarray(self._filtered(purpose, frame, "bgr24", upright=True).to_ndarray(), np.uint8)

    def _filtered(self, purpose: str, frame: VideoFrame, layout: str, *, upright: bool) -> VideoFrame:
        graph = self._graph(purpose, frame, layout, upright=upright)
        graph.push(frame)
        made = graph.pull()
        assert isinstance(made, VideoFrame)
        return made

    def _graph(self, purpose: str, frame: VideoFrame, layout: str, *, upright: bool) -> av.filter.Graph:
        # Transfer curve and primaries play no part; swscale rejects reserved values.
        frame.color_trc = UNSPECIFIED
        frame.color_primaries = UNSPECIFIED
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if key != self._keys.get(purpose):
            self._keys.pop(purpose, None)
            graph = av.filter.Graph()
            graph.threads = 1
            source = graph.add(
                "buffer",
                f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={self._time_base}"
                f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
            )
            steps = [graph.add("scale", "flags=bicubic"), graph.add("format", f"pix_fmts={layout}")]
            if upright:
                steps += [graph.add(name, argument or None) for name, argument in self._orientation.filters]
            graph.link_nodes(source, *steps, graph.add("buffersink")).configure()
            self._graphs[purpose] = graph
            self._keys[purpose] = key
        return self._graphs[purpose]


def _planes(frame: VideoFrame) -> list[NDArray[np.uint8] | NDArray[np.uint16]]:
    """The planes of a planar layout as arrays, one value for each pixel of the plane."""
    kind = ">u2" if frame.format.name.endswith("be") else "<u2" if frame.format.components[0].bits > 8 else "u1"
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        found.append(rows[:, : plane.width * np.dtype(kind).itemsize].view(kind))
    return found


def _expanded(plane: NDArray[np.uint8] | NDArray[np.uint16], bits: int) -> Image:
    """Values of the limited range as 8 bits of the full range."""
    scale = 1 << (bits - 8)
    table = (np.arange(1 << bits) - 16 * scale) * (255 / (219 * scale))
    return np.asarray(np.clip(np.rint(table), 0, 255).astype(np.uint8)[plane])


def _from_ycgco(planes: list[NDArray[np.int32]], bits: int, *, full: bool) -> Image:
    """ITU-T H.273, 8.3, the equations for MatrixCoefficients 8; they hold for code values, of either range."""
    luma, green, orange = planes[0], planes[1] - (1 << (bits - 1)), planes[2] - (1 << (bits - 1))
    rest = luma - green
    scale = 1 << (bits - 8)
    low, spread = (0, (1 << bits) - 1) if full else (16 * scale, 219 * scale)
    bgr = np.stack([rest - orange, luma + green, rest + orange], axis=-1)
    return np.clip(np.rint((bgr - low) * (255 / spread)), 0, 255).astype(np.uint8)
