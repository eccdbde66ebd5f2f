"""`videodag worker`: run jobs of a service, also on another machine."""

from __future__ import annotations

from typing import Annotated

import typer

from videodag_cli.cli.serve import DATA_DIR, DataDir, Lease, Queue


def worker(
    data_dir: DataDir = DATA_DIR,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Videos at once.")] = 1,
    queue: Queue = None,
    lease: Lease = "10s",
) -> None:
    """Run the jobs of a service; with --queue, on as many machines as share its data folder."""
    from videodag_cli.cli.serve import lease_seconds, require_extra
    from videodag_cli.server.settings import Settings

    require_extra()
    settings = Settings(data_dir=data_dir.absolute(), jobs=jobs, queue=queue, lease_s=lease_seconds(lease))
    from videodag_cli.server.serving import work

    work(settings)
