"""videodag: named pipelines of vision tools over video files, one JSON line per sampled frame.

The public names are loaded when first used: `import videodag_cli` is cheap and changes nothing in the program that does it.
"""

from __future__ import annotations

from videodag_cli.system.lazy import lazy_names

__version__ = "0.1.0"

_HOMES = {
    "Affine": "data",
    "Assertion": "expressions.assertions",
    "BatchOptions": "batch.api",
    "Codes": "data",
    "Detections": "data",
    "Faces": "data",
    "Frame": "data",
    "FrameResult": "lines",
    "GuardLimits": "guard.guard_limits",
    "Limits": "video.limits",
    "Identity": "run.record",
    "LoadedPipeline": "graph.pipeline",
    "NodeFailure": "lines",
    "Plan": "graph.plan",
    "Poses": "data",
    "Position": "video.sampling",
    "ProgressSink": "run.execution",
    "Registry": "graph.plugins",
    "RunOptions": "run.job",
    "RunRecord": "run.record",
    "RunStart": "run.opened",
    "Sampling": "video.sampling",
    "StraightOutput": "system.straight",
    "TextLines": "data",
    "Tracks": "data",
    "VideoInfo": "data",
    "VideoOutcome": "batch.outcome",
    "VideodagError": "errors",
    "iter_video": "run.api",
    "parse_assertion": "expressions.assertions",
    "plan_for": "run.job",
    "run_video": "run.api",
    "run_videos": "batch.videos",
    "tool": "toolspec",
}

__all__ = [
    "Affine",
    "Assertion",
    "BatchOptions",
    "Codes",
    "Detections",
    "Faces",
    "Frame",
    "FrameResult",
    "GuardLimits",
    "Identity",
    "Limits",
    "LoadedPipeline",
    "NodeFailure",
    "Plan",
    "Poses",
    "Position",
    "ProgressSink",
    "Registry",
    "RunOptions",
    "RunRecord",
    "RunStart",
    "Sampling",
    "StraightOutput",
    "TextLines",
    "Tracks",
    "VideoInfo",
    "VideoOutcome",
    "VideodagError",
    "__version__",
    "iter_video",
    "parse_assertion",
    "plan_for",
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
    from videodag_cli.expressions.assertions import Assertion, parse_assertion
    from videodag_cli.graph.pipeline import LoadedPipeline
    from videodag_cli.graph.plan import Plan
    from videodag_cli.graph.plugins import Registry
    from videodag_cli.guard.guard_limits import GuardLimits
    from videodag_cli.lines import FrameResult, NodeFailure
    from videodag_cli.run.api import iter_video, run_video
    from videodag_cli.run.execution import ProgressSink
    from videodag_cli.run.job import RunOptions, plan_for
    from videodag_cli.run.opened import RunStart
    from videodag_cli.run.record import Identity, RunRecord
    from videodag_cli.system.straight import StraightOutput
    from videodag_cli.toolspec import tool
    from videodag_cli.video.limits import Limits
    from videodag_cli.video.sampling import Position, Sampling


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
