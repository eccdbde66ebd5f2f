"""`videodag run`: videos through pipelines."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from videodag_cli.cli.shared_options import ProgressMode, file_to_write
from videodag_cli.errors import OnError
from videodag_cli.run.sinks import OutputFormat
from videodag_cli.system.loading import without_collections
from videodag_cli.video.decoders import Decoder
from videodag_cli.vision.onnx.devices import Device

SAMPLING, PARAMS, OUTPUT, FAILURES, MANY, MACHINE, LIMITS = (
    "Sampling",
    "Pipeline parameters",
    "Output",
    "Failures and limits",
    "Many videos",
    "How it runs",
    "Limits before decoding",
)


def run(
    pipeline: Annotated[
        list[str],
        typer.Option(
            "--pipeline",
            "-p",
            metavar="ID",
            help="The pipeline: an id, builtin:ID, or a .json file. Several run over one decode.",
            show_default=False,
        ),
    ],
    video: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO...", help="MP4 or MOV files, folders that contain some, or patterns.", show_default=False
        ),
    ] = None,
    frame_stride: Annotated[
        int | None,
        typer.Option(metavar="N", help="Take every Nth frame: frame_index % N == 0.", rich_help_panel=SAMPLING),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Take the first frame at or after each multiple of TIME: 0.5, 200ms, 2min.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    keyframes: Annotated[
        bool, typer.Option("--keyframes", help="Take keyframes only.", rich_help_panel=SAMPLING)
    ] = False,
    num_frames: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Take N frames, evenly spaced over the video: first, last, and between.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Begin here: seconds 3.5, 00:01:40, or a frame index 120f.", rich_help_panel=SAMPLING
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="End before this time or frame index.", rich_help_panel=SAMPLING)
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(metavar="N", help="Take at most N frames.", rich_help_panel=SAMPLING)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NODE.PARAM=VALUE",
            help="Replace a param of a node, as in detect.confidence=0.3.",
            rich_help_panel=PARAMS,
        ),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='Replace params with those of a JSON file {"node": {"param": value}}.',
            rich_help_panel=PARAMS,
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File, device or pipe to write lines to, with {pipeline} for the pipeline's id; - is standard output.",
            rich_help_panel=OUTPUT,
        ),
    ] = "-",
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For many videos or pipelines: one output for each in this folder, and batch.json.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=file_to_write,
            help="Also write the run record to FILE; standard output has no record of its own.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    format: Annotated[
        OutputFormat,
        typer.Option(help="JSON lines, one JSON document with a list, or a summary.", rich_help_panel=OUTPUT),
    ] = "jsonl",
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Add a constant field at the front of every line.", rich_help_panel=OUTPUT
        ),
    ] = None,
    clock: Annotated[
        str | None,
        typer.Option(
            metavar="CLOCK",
            help="Add time (RFC 3339) to lines; when time_s is 0: 2026-11-25T08:00:00Z, name:*_%Y%m%d_%H%M%S@+01:00, or container.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    timecode: Annotated[
        bool,
        typer.Option("--timecode", help="Add the container's SMPTE timecode to lines.", rich_help_panel=OUTPUT),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the finished output of another request or input.", rich_help_panel=OUTPUT
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run even when the output is up to date.", rich_help_panel=OUTPUT)
    ] = False,
    assert_: Annotated[
        list[str] | None,
        typer.Option("--assert", metavar="EXPR", help="Exit 5 unless this expression holds.", rich_help_panel=FAILURES),
    ] = None,
    on_error: Annotated[
        OnError,
        typer.Option(help="Record a failed frame and go on, or stop at the first.", rich_help_panel=FAILURES),
    ] = "record",
    max_errors: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after more than N failed frames.", rich_help_panel=FAILURES)
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Decode every frame of the video, and stop at any gap.", rich_help_panel=FAILURES
        ),
    ] = False,
    accept_damage: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            help="Count a run as done if it lost at most this share of its frames.",
            rich_help_panel=FAILURES,
        ),
    ] = 0.0,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop the run after this long.", rich_help_panel=FAILURES)
    ] = None,
    node_timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Stop when one call of a tool takes longer.", rich_help_panel=FAILURES),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Stop when the process uses more memory: 500M, 2G.", rich_help_panel=FAILURES
        ),
    ] = None,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate",
            help="Run tools in a child process: a call that crashes or hangs costs one frame.",
            rich_help_panel=FAILURES,
        ),
    ] = False,
    decoder: Annotated[
        Decoder,
        typer.Option(help="Library that decodes; auto takes PyAV.", rich_help_panel=MACHINE),
    ] = "auto",
    stream: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Video stream of the file, by its number in the container.", rich_help_panel=MACHINE
        ),
    ] = None,
    device: Annotated[
        Device | None,
        typer.Option(
            help="What networks run on; auto: the first of cuda, coreml, openvino that is installed, else cpu.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Frames worked on at once; default: the CPUs this process may use, shared among --jobs.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Largest number of frames in a batch.", rich_help_panel=MACHINE)
    ] = None,
    checkpoint_every: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="How often a run to a file notes where it could continue.", rich_help_panel=MACHINE
        ),
    ] = "5s",
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep results of detectors, OCR and pose in DIR, and take from there what a later run need not compute.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    cache_size: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Most bytes that --cache holds; what was used least recently goes first.",
            rich_help_panel=MACHINE,
        ),
    ] = "2G",
    pipelines_dir: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Look for pipelines in this folder first.", rich_help_panel=MACHINE),
    ] = None,
    plugins_dir: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Also load the tools in DIR/*.py.", rich_help_panel=MACHINE),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide and list everything, but do nothing.", rich_help_panel=MACHINE)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print neither progress nor summary.", rich_help_panel=MACHINE)
    ] = False,
    progress: Annotated[
        ProgressMode,
        typer.Option(help="Progress on standard error; auto: on a terminal only.", rich_help_panel=MACHINE),
    ] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print what became of many videos as JSON at the end.", rich_help_panel=MANY)
    ] = False,
    from_file: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Also run the videos in this list, one path a line; - is standard input.",
            rich_help_panel=MANY,
        ),
    ] = None,
    null: Annotated[
        bool,
        typer.Option("-0", help="A NUL ends each path of --from-file, as find -print0 writes.", rich_help_panel=MANY),
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Name outputs by the path below this folder.", rich_help_panel=MANY),
    ] = None,
    jobs: Annotated[
        str,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            help="Videos at once; auto: as many as CPUs, or as have room in memory.",
            rich_help_panel=MANY,
        ),
    ] = "auto",
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on this Dask cluster: tcp://host:8786, a scheduler file, or local.",
            rich_help_panel=MANY,
        ),
    ] = None,
    settle: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Leave out videos that changed less than this long ago.", rich_help_panel=MANY
        ),
    ] = "0",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run what failed before again.", rich_help_panel=MANY)
    ] = False,
    accept_known: Annotated[
        bool,
        typer.Option(
            "--accept-known",
            help="Failures known from an earlier run do not count for the exit code.",
            rich_help_panel=MANY,
        ),
    ] = False,
    max_failed: Annotated[
        str,
        typer.Option(
            metavar="N|P%", help="This many videos may fail before the exit code reports it.", rich_help_panel=MANY
        ),
    ] = "0",
    profile: Annotated[
        bool, typer.Option("--profile", help="Print where the time went.", rich_help_panel=MACHINE)
    ] = False,
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", help="Refuse pictures of more pixels (67108864).", rich_help_panel=LIMITS)
    ] = None,
    max_index_frames: Annotated[
        int | None,
        typer.Option(metavar="N", help="Refuse files that claim more frames (10000000).", rich_help_panel=LIMITS),
    ] = None,
    max_frame_rate: Annotated[
        int | None, typer.Option(metavar="N", help="Refuse higher average frame rates (10000).", rich_help_panel=LIMITS)
    ] = None,
    max_pixels_per_byte: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Refuse more decoded pixels per byte (1000000; 15000 beyond 4096x4096).",
            rich_help_panel=LIMITS,
        ),
    ] = None,
) -> None:
    """Run a pipeline over videos and write one JSON line per sampled frame."""
    with without_collections():
        from videodag_cli.cli import run_options as given
        from videodag_cli.cli import streams
        from videodag_cli.cli.progress import progress as show_progress
        from videodag_cli.cli.run_remarks import Remarks, plans, raise_for
        from videodag_cli.errors import RequestError
        from videodag_cli.graph.plugins import make_registry
        from videodag_cli.run.api import describe_run, run_job
        from videodag_cli.run.job import Job, RunOptions
        from videodag_cli.system import stdio
        from videodag_cli.system.signals import keep_process
        from videodag_cli.video.sampling import Sampling

    videos = video or []
    many = given.is_many(videos, pipeline, output_dir, from_file, output, record)
    if dask is not None and not many:
        raise RequestError("--dask needs --output-dir DIR, on storage that the workers share")
    found = None
    if many:
        from videodag_cli.cli.many import find_all

        found = find_all(videos, from_file, null=null, root=root)  # before standard input is emptied
    claimed = stdio.claim_stdout()
    output = "-" if stdio.means_stdout(output) else output
    limits = given.guard_limits(timeout, node_timeout, max_memory, isolate, max_errors)
    continuation = None
    if limits.needed and not many and len(pipeline) == 1:
        from videodag_cli.guard import supervise as guard
        from videodag_cli.run.sinks import make_sink

        continuation = guard.continuation()
        if continuation is None and not dry_run:
            relayed = stdio.require_stdout(claimed) if output == "-" else None
            raise typer.Exit(guard.supervise(sys.argv[1:], limits, relayed, sink=make_sink(format)))
    keep_process()
    options = RunOptions(
        workers=given.positive("--workers", workers),
        batch_size=given.positive("--batch-size", batch_size),
        on_error=on_error,
        max_errors=max_errors,
        clock=clock,
        timecode=timecode,
        strict=strict,
        accept_damage_percent=accept_damage,
        overwrite=overwrite,
        force=force,
        decoder=decoder,
        stream=stream,
        limits=given.video_limits(max_pixels, max_index_frames, max_frame_rate, max_pixels_per_byte),
        format=format,
        tags=given.parse_tags(tag or []),
        checkpoint_every_s=given.seconds("--checkpoint-every", checkpoint_every),
        cache=None if cache is None else os.path.abspath(cache),
        cache_bytes=given.byte_count("--cache-size", cache_size),
    )
    sampling = Sampling.from_text(
        frame_stride=frame_stride,
        every=every,
        keyframes=keyframes,
        num_frames=num_frames,
        start=start,
        end=end,
        max_frames=max_frames,
    )
    registry = make_registry(plugins_dir)
    remarks = Remarks(quiet=quiet)
    mode = "never" if quiet and progress == "auto" else progress
    planned = plans(pipeline, registry, pipelines_dir, params, set_ or [], device, remarks)
    if found is not None and output_dir is not None:
        from videodag_cli.batch.api import BatchOptions
        from videodag_cli.cli import many as view

        for plan, _ in planned:
            given.assertions(assert_ or [], plan)
        batch = view.make_batch(
            found,
            [plan for plan, _ in planned],
            output_dir,
            format,
            sampling=sampling,
            run_options=options,
            options=BatchOptions(
                jobs=view.parse_jobs(jobs),
                retry_failed=retry_failed,
                accept_known=accept_known,
                max_failed=view.parse_max_failed(max_failed),
                settle_s=given.seconds("--settle", settle),
            ),
            assertions=tuple(assert_ or ()),
            set_params=tuple(values for _, values in planned),
            limits=limits if limits.needed else None,
        )
        for line in remarks.opening:
            remarks.say(line)
        if dry_run:
            raise typer.Exit(view.dry_run(batch, stdio.require_stdout(claimed)))
        out = stdio.require_stdout(claimed) if json else None
        raise typer.Exit(view.run_many(batch, mode=mode, quiet=quiet, json=out, dask=dask))
    if len(planned) > 1:
        from videodag_cli.cli.several import output_names, run_several, run_several_watched

        chosen = [plan for plan, _ in planned]
        outputs = output_names(output, [plan.pipeline.id for plan in chosen])
        if dry_run:
            from videodag_cli.run.api import describe_run

            out = stdio.require_stdout(claimed)
            for plan, place in zip(chosen, outputs, strict=True):
                described = describe_run(videos[0], plan, sampling=sampling, options=options, output=place)
                streams.print_json(described, out)
            return
        for plan in chosen:
            asserted = given.assertions(assert_ or [], plan)
        if limits.needed:
            from videodag_cli.batch.task import PipelineSpec, VideoTask

            task = VideoTask(
                number=0,
                video=videos[0],
                pipelines=tuple(PipelineSpec.of(plan, values) for plan, values in planned),
                outputs=tuple(map(Path, outputs)),
                sampling=sampling,
                options=options,
                forced=(force,) * len(chosen),
                assertions=tuple(assert_ or ()),
                limits=limits,
            )
            raise typer.Exit(run_several_watched(task, chosen, mode=mode, remarks=remarks, profile=profile))
        code = run_several(
            videos[0],
            chosen,
            outputs,
            sampling=sampling,
            options=options,
            assertions=asserted,
            mode=mode,
            remarks=remarks,
            profile=profile,
        )
        raise typer.Exit(code)
    ((plan, _),) = planned
    output = output.replace("{pipeline}", plan.pipeline.id)
    assertions = given.assertions(assert_ or [], plan)
    if dry_run:
        path = None if output == "-" else output
        out = stdio.require_stdout(claimed)
        streams.print_json(describe_run(videos[0], plan, sampling=sampling, options=options, output=path), out)
        return
    destination = stdio.require_stdout(claimed) if output == "-" else output

    with show_progress(mode, remarks.shown(Path(videos[0]).name)) as sink:
        result = run_job(
            Job.make(videos[0], plan, sampling, None, None, options),
            output=destination,
            record=record,
            assertions=assertions,
            on_progress=sink,
            on_start=remarks.started,
            continuation=continuation,
        )
    remarks.finished(result, output, profile=profile)
    raise_for(result, videos[0])
