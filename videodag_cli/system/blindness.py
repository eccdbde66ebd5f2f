"""Which names a folder takes for the same."""

from __future__ import annotations

import os
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from videodag_cli.system.files import open_new
from videodag_cli.system.refusals import writing


@dataclass(frozen=True)
class Blindness:
    """Which differences between names a folder does not see."""

    case: bool
    """`A` and `a` are one file."""
    forms: bool
    """Letters with accents are the same whether they are one character or two."""

    def key(self, name: str) -> str:
        """Equal for names that are one file there."""
        if self.case:
            name = name.casefold()
        return unicodedata.normalize("NFC", name) if self.forms else name


def blindness(folder: Path) -> Blindness:
    """Find out by a file that is there for a moment. Raises `OutputError`."""
    name = f".videodag-{secrets.token_hex(8)}-\u00e9"
    with writing(folder):
        os.close(open_new(folder / name))
        try:
            return Blindness(
                case=os.path.lexists(folder / name.upper()),
                forms=os.path.lexists(folder / unicodedata.normalize("NFD", name)),
            )
        finally:
            os.unlink(folder / name)
