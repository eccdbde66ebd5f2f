"""`videodag serve`: jobs over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LIMITS, ACCESS, MACHINE = "Limits", "Access", "How it runs"
DataDir = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Uploads, results and the table of jobs; made if it is missing.",
        show_default="./videodag-data",
    ),
]
Queue = Annotated[
    str | None,
    typer.Option(metavar="URL", help="A Redis server as queue, redis://host:6379/0, for workers on several machines."),
]
Lease = Annotated[
    str,
    typer.Option(
        metavar="TIME", help="A worker that says nothing for this long has lost its job.", rich_help_panel=MACHINE
    ),
]
DATA_DIR = Path("videodag-data")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    data_dir: DataDir = DATA_DIR,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=0, metavar="N", help="Videos at once; 0 leaves them to `videodag worker`."),
    ] = 1,
    queue: Queue = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VIDEODAG_TOKEN",
            show_envvar=False,
            metavar="TEXT",
            help="What clients must know. Set VIDEODAG_TOKEN instead: other users see a command's options.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A host name it answers to, such as the reverse proxy's.", rich_help_panel=ACCESS
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without a token.", rich_help_panel=ACCESS)
    ] = False,
    max_upload: Annotated[str, typer.Option(metavar="SIZE", help="Largest upload.", rich_help_panel=LIMITS)] = "4G",
    max_waiting: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of jobs that may wait or run.", rich_help_panel=LIMITS)
    ] = 1000,
    sync_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Largest upload that is answered with results.", rich_help_panel=LIMITS)
    ] = "20M",
    job_timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Longest run of a job; 0: no limit.", rich_help_panel=LIMITS)
    ] = "6h",
    job_memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Most memory of a job; 0: no limit.", rich_help_panel=LIMITS)
    ] = "4G",
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", help="As in run: refuse pictures of more pixels.", rich_help_panel=LIMITS)
    ] = None,
    max_index_frames: Annotated[
        int | None,
        typer.Option(metavar="N", help="As in run: refuse files that claim more frames.", rich_help_panel=LIMITS),
    ] = None,
    keep_days: Annotated[
        float,
        typer.Option(
            min=0, metavar="N", help="Forget jobs that ended this long ago; 0: never.", rich_help_panel=LIMITS
        ),
    ] = 30,
    keep_size: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="Forget the oldest jobs when all take more; 0: no limit.", rich_help_panel=LIMITS
        ),
    ] = "0",
    pipelines_dir: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Look for pipelines in this folder first.", rich_help_panel=MACHINE),
    ] = None,
    plugins_dir: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Also load the tools in DIR/*.py.", rich_help_panel=MACHINE)
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep results of detectors, OCR and pose in DIR for later jobs, as run --cache does.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    cache_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Most bytes that --cache holds.", rich_help_panel=MACHINE)
    ] = "2G",
    lease: Lease = "10s",
) -> None:
    """Serve jobs over HTTP, and a page to use them: upload a video, name a pipeline, read the results."""
    from videodag_cli.cli import streams
    from videodag_cli.errors import RequestError
    from videodag_cli.graph.plugins import make_registry
    from videodag_cli.server.settings import LOOPBACK, ServiceLimits, Settings
    from videodag_cli.system.byte_counts import parse_byte_count
    from videodag_cli.times import parse_seconds

    require_extra()
    token = token or None
    if host not in LOOPBACK and token is None and not insecure:
        raise RequestError(
            f"--host {host}: others could use this service; set VIDEODAG_TOKEN to a secret, or give --insecure"
        )
    timeout_s = float(parse_seconds(job_timeout, what="--job-timeout"))
    limits = ServiceLimits(
        max_upload_bytes=parse_byte_count(max_upload, what="--max-upload"),
        max_waiting=max_waiting,
        sync_bytes=parse_byte_count(sync_size, what="--sync-size"),
        job_timeout_s=timeout_s or None,
        job_memory_bytes=parse_byte_count(job_memory, what="--job-memory") or None,
        max_pixels=max_pixels,
        max_frames=max_index_frames,
        keep_s=keep_days * 86400 or None,
        keep_bytes=parse_byte_count(keep_size, what="--keep-size") or None,
    )
    settings = Settings(
        data_dir=data_dir.absolute(),
        host=host,
        port=port,
        jobs=jobs,
        queue=queue,
        lease_s=lease_seconds(lease),
        token=token,
        names=frozenset(allow_host or ()),
        pipeline_folders=tuple(folder.absolute() for folder in pipelines_dir or ()),
        plugin_folders=make_registry(plugins_dir).folders,
        cache=None if cache is None else cache.absolute(),
        cache_bytes=None if cache is None else parse_byte_count(cache_size, what="--cache-size"),
        limits=limits,
    )
    from videodag_cli.server.serving import serve as serve_until_stopped

    def ready(address: str) -> None:
        guarded = "the token is needed" if token else "without a token"
        streams.say(f"videodag serves {address} ({guarded}), data in {settings.data_dir}; Ctrl-C stops it")

    serve_until_stopped(settings, on_ready=ready)


def require_extra() -> None:
    """Raise `MissingExtraError` unless the packages of the extra are installed."""
    from importlib.util import find_spec

    from videodag_cli.errors import MissingExtraError

    if not all(
        find_spec(name)
        for name in ("fastapi", "uvicorn", "huey", "sse_starlette", "prometheus_client", "python_multipart")
    ):
        raise MissingExtraError("the service", "serve")


def lease_seconds(text: str) -> float:
    from videodag_cli.errors import RequestError
    from videodag_cli.times import parse_seconds

    seconds = float(parse_seconds(text, what="--lease"))
    if seconds < 1:
        raise RequestError(f"--lease {text}: must be at least 1 second")
    return seconds
