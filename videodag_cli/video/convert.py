"""Decoded pictures as upright BGR arrays."""

from __future__ import annotations

from fractions import Fraction

import av.filter
import numpy as np
from av.video.frame import VideoFrame

from videodag_cli.data import Image
from videodag_cli.video.orientation import Orientation

_UNSPECIFIED = 2
_KNOWN_MATRICES = frozenset({1, 4, 5, 6, 7, 9})
"""Colour matrices (ITU-T H.273) that swscale converts; others are read as unspecified, which means BT.601."""


class Converter:
    """Makes BGR pictures with a filter graph, whose frame pool reuses memory.

    The stream's colour matrix and range are honoured; without one the matrix is BT.601 and the range limited, as in OpenCV.
    """

    def __init__(self, orientation: Orientation, time_base: Fraction) -> None:
        self._orientation = orientation
        self._time_base = time_base
        self._key: object = None
        self._graph = av.filter.Graph()

    def image(self, frame: VideoFrame) -> Image:
        """HxWx3 uint8, contiguous; raises FFmpegError or ValueError where the layout cannot be converted."""
        is_rgb = frame.format.is_rgb
        if not is_rgb:
            if frame.colorspace == 10:
                frame.colorspace = 9
            elif frame.colorspace not in _KNOWN_MATRICES:
                frame.colorspace = _UNSPECIFIED
        if frame.color_range not in (1, 2):
            frame.color_range = 0
        # Transfer curve and primaries play no part; swscale rejects reserved values.
        frame.color_trc = _UNSPECIFIED
        frame.color_primaries = _UNSPECIFIED
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if key != self._key:
            self._key = None
            self._graph = self._build(frame)
            self._key = key
        self._graph.push(frame)
        made = self._graph.pull()
        assert isinstance(made, VideoFrame)
        return np.ascontiguousarray(made.to_ndarray(), np.uint8)

    def _build(self, frame: VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        source = graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={self._time_base}"
            f":colorspace={frame.colorspace}:range={frame.color_range}",
        )
        steps = [graph.add("scale", "flags=bicubic"), graph.add("format", "pix_fmts=bgr24")]
        steps += [graph.add(name, argument or None) for name, argument in self._orientation.filters]
        graph.link_nodes(source, *steps, graph.add("buffersink")).configure()
        return graph
