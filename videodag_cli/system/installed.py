"""Names and versions of installed packages, from the head of their metadata: all of it, with a licence in it, takes long to parse."""

from __future__ import annotations

import re
from importlib import metadata


def name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """As the package spells them."""
    text = distribution.read_text("METADATA") or ""
    head = text.replace("\r\n", "\n").partition("\n\n")[0]
    found = [re.search(rf"^{field}:[ \t]*(\S+)[ \t]*$", head, re.MULTILINE) for field in ("Name", "Version")]
    name, version = (match[1] if match else None for match in found)
    return name or distribution.name, version or distribution.version


def installed_version(name: str) -> str | None:
    """None where no package of that name is installed."""
    try:
        return name_and_version(metadata.distribution(name))[1]
    except metadata.PackageNotFoundError:
        return None
