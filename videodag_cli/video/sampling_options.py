"""The sampling options of `run` by their names, as suites and requests to the service write them: one list for all."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

if TYPE_CHECKING:
    from videodag_cli.video.sampling import Sampling

_NUMBER = r"([0-9]{1,15}(\.[0-9]{0,30})?|\.[0-9]{1,30})"
_LENGTH = rf"(([0-9]{{1,9}}:[0-5]?[0-9]|[0-9]{{1,9}}):[0-5]?[0-9](\.[0-9]{{0,30}})?|{_NUMBER} *(ms|s|min|m|h)?)"
LENGTH_PATTERN = rf"^(?=.*[1-9]) *{_LENGTH} *$"
"""What `parse_seconds` reads, but for 0; a regular expression of JSON Schema."""
POSITION_PATTERN = rf"^ *([0-9]{{1,15}}f|-?{_LENGTH}) *$"
"""What `parse_position` reads."""
_SMALLEST, _LARGEST = 1e-12, 1e14
"""Of numbers that are written with at most 30 decimals."""
_ABOVE = {"type": "number", "minimum": _SMALLEST, "maximum": _LARGEST}
_BELOW = {"type": "number", "minimum": -_LARGEST, "maximum": -_SMALLEST}


def number_text(value: object) -> object:
    """A number as an option has it: decimal, never with an exponent. Anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    return format(Decimal(repr(value)), "f")


LengthText = Annotated[
    str,
    BeforeValidator(number_text),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": LENGTH_PATTERN}, _ABOVE]}),
]
PositionText = Annotated[
    str,
    BeforeValidator(number_text),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": POSITION_PATTERN}, _ABOVE, _BELOW, {"const": 0}]}),
]
Count = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 2**53})]
_KINDS = ("frame_stride", "every", "keyframes", "num_frames")


def _one_kind(schema: dict[str, Any]) -> None:
    """At most one kind is given, and `num_frames` without a window."""
    unset = {name: {"const": False} if name == "keyframes" else {"type": "null"} for name in (*_KINDS, "start", "end")}
    schema["anyOf"] = [
        {
            "properties": {
                name: unset[name] for name in unset if name != kind and (name in _KINDS or kind == "num_frames")
            }
        }
        for kind in _KINDS
    ]


class SamplingOptions(BaseModel):
    """As the options of `run`. Without any, every frame runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_one_kind)

    frame_stride: Count | None = Field(default=None, description="Take every Nth frame: frame_index % N == 0.")
    every: LengthText | None = Field(
        default=None, description="Take the first frame at or after each multiple of TIME: 0.5, 200ms, 2min."
    )
    keyframes: bool = Field(default=False, description="Take keyframes only.")
    num_frames: Count | None = Field(
        default=None, description="Take N frames, evenly spaced over the video: first, last, and between."
    )
    start: PositionText | None = Field(
        default=None, description="Begin here: seconds 3.5, 00:01:40, or a frame index 120f."
    )
    end: PositionText | None = Field(default=None, description="End before this time or frame index.")
    max_frames: Count | None = Field(default=None, description="Take at most N frames.")

    def sampling(self) -> Sampling:
        """Raises RequestError."""
        from videodag_cli.video.sampling import Sampling

        return Sampling.from_text(**{name: getattr(self, name) for name in SamplingOptions.model_fields})

    def arguments(self) -> list[str]:
        """The same as options of `run`."""
        found = []
        for name in SamplingOptions.model_fields:
            value, option = getattr(self, name), "--" + name.replace("_", "-")
            if value is True:
                found.append(option)
            elif value not in (None, False):
                found.append(f"{option}={value}")
        return found
