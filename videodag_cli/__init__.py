"""videodag: named pipelines of vision tools over video files, one JSON line per sampled frame.

The public names are loaded when first used, so that `import videodag_cli` stays cheap; only `tool`, which has the name of
its module, is bound at once.
"""

from __future__ import annotations

import sys

if "".join(sys.argv[:1]).endswith(("-m", "/videodag")):  # the command, which may be interrupted while it is loaded
    from videodag_cli.loading import end_at_once

    end_at_once()

from typing import TYPE_CHECKING, Any

from videodag_cli.tool import tool

__version__ = "0.1.0"

_HOMES = {
    "Affine": "data",
    "Codes": "data",
    "Detections": "data",
    "Faces": "data",
    "Frame": "data",
    "FrameResult": "lines",
    "RunOptions": "run",
    "Sampling": "video.sampling",
    "TextLines": "data",
    "Tracks": "data",
    "VideoInfo": "data",
    "VideodagError": "errors",
    "iter_video": "run",
    "run_video": "run",
}

__all__ = [
    "Affine",
    "Codes",
    "Detections",
    "Faces",
    "Frame",
    "FrameResult",
    "RunOptions",
    "Sampling",
    "TextLines",
    "Tracks",
    "VideoInfo",
    "VideodagError",
    "__version__",
    "iter_video",
    "run_video",
    "tool",
]

if TYPE_CHECKING:
    from videodag_cli.data import Affine, Codes, Detections, Faces, Frame, TextLines, Tracks, VideoInfo
    from videodag_cli.errors import VideodagError
    from videodag_cli.lines import FrameResult
    from videodag_cli.run import RunOptions, iter_video, run_video
    from videodag_cli.video.sampling import Sampling


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
