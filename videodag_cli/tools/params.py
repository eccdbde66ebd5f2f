"""Values that params of all kinds of tools take: lists of names, shares, amounts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from videodag_cli.vision.literals import literal


def listed(value: Any) -> Any:
    """`person,car` or text that is a list -> a list of names; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith(("[", "{", '"', "'")):
        found = literal(value)
        if isinstance(found, str):
            return [found]
        if not isinstance(found, list | tuple):
            raise ValueError('neither names with commas between them (person,car) nor a JSON list (["person", "car"])')
        return list(found)
    return [name.strip() for name in value.split(",") if name.strip()]


Names = Annotated[
    list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]],
    BeforeValidator(listed),
    Field(min_length=1),
]
"""One name or more: a list, or text with commas."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A coordinate, an area, a number of seconds."""
