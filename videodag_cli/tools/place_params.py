"""Params of tools that work with places in the picture."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from videodag_cli.vision.regions import Anchor, Units, Zones

UnitsParam = Annotated[Units, Field(description="pixels of the upright picture, or fractions of its width and height")]
AnchorParam = Annotated[Anchor, Field(description="the point of the box that decides where it is")]
ZonesParam = Annotated[
    Zones, Field(description='[{"name": "door", "polygon": [[x, y], ...]}, ...], or a JSON file of that')
]
