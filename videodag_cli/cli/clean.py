"""`videodag clean`: remove outputs whose input is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def clean(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The --output-dir of earlier runs.", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what is listed as JSON.")] = False,
) -> None:
    """List the outputs of an output folder whose input no longer exists; with --yes, remove them.

    An output belongs to no input when the video that its record names does not exist. Files that no run has made are left alone.
    """
    from videodag_cli.batch.holdings import files_of, holdings
    from videodag_cli.cli import streams
    from videodag_cli.errors import RequestError, counted, printable
    from videodag_cli.system.files import remove
    from videodag_cli.system.locks import lock_folder

    found = holdings(folder)
    orphans = [each for each in found if each.kind == "orphaned"]
    files = [path for each in orphans for path in files_of(folder, each.output)]
    if yes and orphans and len(orphans) == len(found):
        raise RequestError(
            f"{printable(folder)}: not one of {counted(len(found), 'input')} is there any more; mount the disk they are on, or go to the "
            "folder the videos were named from; if they are gone for good, remove the output folder itself"
        )
    if yes:
        with lock_folder(folder):
            for path in files:
                remove(path)
    if json:
        streams.print_json({"folder": printable(folder), "removed": yes, "files": [printable(path) for path in files]})
        return
    for path in files:
        typer.echo(printable(path))
    if not files:
        typer.echo("nothing to remove: no output has lost its input", err=True)
        return
    what = "removed" if yes else "would be removed by --yes"
    typer.echo(f"{counted(len(files), 'file')} of {counted(len(orphans), 'output')} {what}", err=True)
