"""videodag: named pipelines of vision tools over video files, one JSON line per sampled frame.

The public names are loaded when first used: `import videodag_cli` is cheap and changes nothing in the program that does it.
"""

from __future__ import annotations

from videodag_cli.system.lazy import lazy_names

__version__ = "0.1.0"

_HOMES = {
    "Affine": "data",
    "BatchOptions": "batch.api",
    "Codes": "data",
    "Detections": "data",
    "Faces": "data",
    "Frame": "data",
    "FrameResult": "lines",
    "Poses": "data",
    "GuardLimits": "guard.supervise",
    "RunOptions": "run.job",
    "Sampling": "video.sampling",
    "TextLines": "data",
    "Tracks": "data",
    "VideoInfo": "data",
    "VideoOutcome": "batch.outcome",
    "VideodagError": "errors",
    "iter_video": "run.api",
    "run_video": "run.api",
    "run_videos": "batch.videos",
    "tool": "toolspec",
}

__all__ = [
    "Affine",
    "BatchOptions",
    "Codes",
    "Detections",
    "Faces",
    "Frame",
    "FrameResult",
    "GuardLimits",
    "Poses",
    "RunOptions",
    "Sampling",
    "TextLines",
    "Tracks",
    "VideoInfo",
    "VideoOutcome",
    "VideodagError",
    "__version__",
    "iter_video",
    "run_video",
    "run_videos",
    "tool",
]

TYPE_CHECKING = False  # as type checkers know it; the module `typing` is not cheap
if TYPE_CHECKING:
    from videodag_cli.batch.api import BatchOptions
    from videodag_cli.batch.outcome import VideoOutcome
    from videodag_cli.batch.videos import run_videos
    from videodag_cli.data import Affine, Codes, Detections, Faces, Frame, Poses, TextLines, Tracks, VideoInfo
    from videodag_cli.errors import VideodagError
    from videodag_cli.guard.supervise import GuardLimits
    from videodag_cli.lines import FrameResult
    from videodag_cli.run.api import iter_video, run_video
    from videodag_cli.run.job import RunOptions
    from videodag_cli.toolspec import tool
    from videodag_cli.video.sampling import Sampling


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
