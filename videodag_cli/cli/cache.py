"""`videodag cache`: what a folder of kept results holds, and removing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from videodag_cli.cli.shared_options import AsJson

app = typer.Typer(help="Look into and clear the folder of `run --cache`.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of run --cache.", show_default=False)]


@app.command()
def info(folder: Folder, as_json: AsJson = False) -> None:
    """Say what is kept: results and bytes by tool and video, and when they were last used."""
    from datetime import UTC, datetime

    from videodag_cli.cli import streams
    from videodag_cli.engine.cache_folder import contents

    found = contents(_required(folder))
    if as_json:
        streams.print_json(found)
        return
    for row in found["kept"]:
        used = datetime.fromtimestamp(row["last_used_s"], UTC).strftime("%Y-%m-%d %H:%M")
        typer.echo(f"{row['bytes']:>14,} bytes  {row['results']:>9,} results  {used}  {row['tool']}  {row['video']}")
    typer.echo(f"{found['bytes']:,} bytes in {found['files']:,} files", err=True)


@app.command()
def clear(folder: Folder) -> None:
    """Remove everything that is kept; runs that use the folder meanwhile go on."""
    from videodag_cli.engine.cache_folder import CacheFolder

    removed = CacheFolder(_required(folder)).clear()
    typer.echo(f"removed {removed:,} files", err=True)


def _required(folder: Path) -> Path:
    from videodag_cli.engine.cache_folder import is_cache
    from videodag_cli.errors import RequestError, printable

    if not is_cache(folder):
        raise RequestError(f"{printable(folder)}: is not a folder of kept results; name the one given to run --cache")
    return folder
