"""Plugins as the command line names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videodag_cli.plugins import Registry


def make_registry(folders: list[Path] | None) -> Registry:
    """Tools of `--plugins-dir`, then of `VIDEODAG_PLUGINS`, then of installed packages."""
    from videodag_cli.plugins import Registry

    named = [Path(entry) for entry in os.environ.get("VIDEODAG_PLUGINS", "").split(os.pathsep) if entry]
    return Registry([*(folders or ()), *named])
