"""`videodag plan`: what a run will cost, before it is started."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videodag_cli.cli.run import SAMPLING, run
from videodag_cli.cli.shared_options import AsJson, options_in_panel, with_options_of

if TYPE_CHECKING:
    from videodag_cli.run.costs import RunCosts

FRAMES = "--frames"
OWN = {"--json": 0, FRAMES: 1}
"""The options that `run` does not have, with the number of their values."""


_SAMPLING_NAMES = options_in_panel(run, SAMPLING)
_TAKEN = (
    *("pipeline", "video", *_SAMPLING_NAMES),
    *("set_", "params", "decoder", "stream", "device", "workers", "batch_size", "pipelines_dir", "plugins_dir"),
    *("max_pixels", "max_index_frames", "max_frame_rate", "max_pixels_per_byte"),
)
"""The parameters of `run` that decide how much there is to do."""


@with_options_of(run, _TAKEN)
def plan(
    frames: Annotated[
        int, typer.Option(FRAMES, metavar="N", help="Run about this many sampled frames to find out.")
    ] = 72,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Run some of a video's frames, and say what the whole run will take: time, memory, the slowest part, the command to use.

    Takes the options of `run` that decide how much there is to do, and writes nothing.
    """
    from videodag_cli.cli import run_options as options
    from videodag_cli.cli.run_remarks import Remarks, plans
    from videodag_cli.cli.streams import print_json
    from videodag_cli.errors import RequestError
    from videodag_cli.graph.plugins import make_registry
    from videodag_cli.run.costs import run_costs
    from videodag_cli.run.job import Job, RunOptions
    from videodag_cli.system.age import began_s
    from videodag_cli.video.sampling import Sampling

    if len(given["pipeline"]) != 1 or len(given["video"] or []) != 1:
        raise RequestError("plan is about one pipeline and one video: -p PIPELINE VIDEO")
    made = RunOptions(
        workers=options.positive("--workers", given["workers"]),
        batch_size=options.positive("--batch-size", given["batch_size"]),
        decoder=given["decoder"],
        stream=given["stream"],
        limits=options.video_limits(
            given["max_pixels"], given["max_index_frames"], given["max_frame_rate"], given["max_pixels_per_byte"]
        ),
    )
    sampling = Sampling.from_text(**{name: given[name] for name in _SAMPLING_NAMES})
    registry = make_registry(given["plugins_dir"])
    ((found, _),) = plans(
        given["pipeline"],
        registry,
        given["pipelines_dir"],
        given["params"],
        given["set_"] or [],
        given["device"],
        Remarks(quiet=True),
    )
    frames = options.positive(FRAMES, frames) or 0
    job = Job.make(given["video"][0], found, sampling, None, None, made)
    costs = run_costs(job, frames=frames, began_s=began_s())
    costs = costs.model_copy(update={"command": recommended_command(costs.command[2:], sys.argv[2:])})
    if as_json:
        print_json(costs.model_dump(mode="json"))
        return
    for line in _screen(costs):
        typer.echo(line)


def recommended_command(recommended: list[str], arguments: list[str]) -> list[str]:
    """The line that was given, as one of `run` with the options that are recommended."""
    kept: list[str] = []
    left = iter(arguments)
    for word in left:
        name, equals, _ = word.partition("=")
        if name in OWN or name == "--workers":
            for _ in range(0 if equals else OWN.get(name, 1)):
                next(left, None)
            continue
        kept.append(word)
    return ["videodag", "run", *kept, *recommended]


def _screen(costs: RunCosts) -> list[str]:
    width = max(len("start"), len("decode"), *(len(node.node) for node in costs.nodes))
    each = f"{costs.tried} of {costs.sampled:,} sampled frames were run"
    trouble = [f"{costs.failed} failed"] * bool(costs.failed)
    trouble += [f"{costs.undecodable} could not be decoded"] * bool(costs.undecodable)
    lines = [f"{costs.pipeline} over {costs.video}: {', '.join([each, *trouble])}"]
    lines.append(f"  {'start':<{width}}  {1000 * costs.startup_s:10.1f} ms once")
    lines.append(f"  {'decode':<{width}}  {costs.decode_ms:10.2f} ms a frame  {costs.decoder}")
    for node in costs.nodes:
        how = "in the order of the frames" if node.in_order else f"{costs.workers} at once"
        lines.append(f"  {node.node:<{width}}  {node.ms:10.2f} ms a frame  {node.tool}, {how}")
    rate = f" ({1000 / costs.frame_ms:.1f} frames/s)" if costs.frame_ms else ""
    lines.append(f"one result every {costs.frame_ms:.2f} ms{rate}; bottleneck: {costs.bottleneck}")
    lines.append(f"expected: {_length(costs.expected_s)}, {costs.expected_memory_mb:.0f} MB")
    lines.append(f"run it as: {shlex.join(costs.command)}")
    lines.append(f"many such videos: --output-dir DIR --jobs {costs.jobs}")
    return lines


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
