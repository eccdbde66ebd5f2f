"""Options that several commands have, in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def file_to_write(text: str) -> Path:
    """What an option of type `Path` makes of a file's name, before it forgets that it is a folder's."""
    from videodag_cli.system.files import file_path

    return file_path(text)


PipelinesDirs = Annotated[
    list[Path] | None, typer.Option("--pipelines-dir", metavar="DIR", help="Look for pipelines in this folder first.")
]
PluginsDirs = Annotated[
    list[Path] | None, typer.Option("--plugins-dir", metavar="DIR", help="Also load the tools in DIR/*.py.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ProgressMode = Literal["auto", "always", "never", "json"]
"""Who is told how far a run is: a person at a terminal, anybody, nobody, a machine."""
