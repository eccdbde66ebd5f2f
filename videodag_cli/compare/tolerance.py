"""What counts as equal.

The defaults let pass what other versions of OpenCV and other CPUs make of the same request, and nothing that a person would call a
change: the last digits of a measure, a pixel of a box, a hundredth of a confidence, a detection at the very threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from videodag_cli.errors import RequestError, printable

AllowedShare = Annotated[float, Field(ge=0, le=1)]
AllowedAmount = Annotated[float, Field(ge=0)]


class Tolerance(BaseModel):
    """Allowed differences of one output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    abs: AllowedAmount = Field(
        default=0.01,
        description="Numbers: largest absolute difference. Whole numbers are compared exactly unless this is 1 or more.",
    )
    rel: AllowedAmount = Field(
        default=0.01, description="Numbers with decimals: largest difference as a share of the larger one."
    )
    iou: AllowedShare = Field(
        default=0.5,
        description="Rows with boxes: smallest overlap (intersection over union) of two boxes that are the same thing.",
    )
    box_px: AllowedAmount = Field(
        default=4.0, description="Coordinates of boxes and key points: largest difference in pixels."
    )
    box_rel: AllowedAmount = Field(
        default=0.01, description="The same as a share of the box's longer side; the larger of the two counts."
    )
    confidence: AllowedShare = Field(default=0.05, description="Largest difference of confidences.")
    borderline: AllowedShare = Field(
        default=0.02,
        description="A row may come or go when its confidence is this close to a threshold in the run record's params.",
    )
    oks: AllowedShare = Field(
        default=0.9,
        description="Key points with a visibility: smallest likeness as COCO measures it (object keypoint similarity), over the points "
        "seen in both (visibility of at least 0.5).",
    )
    visibility: AllowedShare = Field(default=0.25, description="Largest difference of a key point's visibility.")
    mask_iou: AllowedShare = Field(
        default=0.9, description="Masks: smallest overlap (intersection over union) of their pixels."
    )
    motion_px: AllowedAmount = Field(
        default=0.25, description="Motion of the picture (dx, dy, magnitude): largest difference in pixels."
    )
    motion_rel: AllowedAmount = Field(
        default=0.1, description="The same as a share of the magnitude; the larger of the two counts."
    )
    text_edits: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Text: most insertions, deletions and replacements of characters."
    )
    ignore: tuple[str, ...] = Field(
        default=(), description="Names of fields that are not compared; '*' leaves the whole output out."
    )


@dataclass(frozen=True)
class Tolerances:
    """One tolerance per output, and one for all others."""

    default: Tolerance = field(default_factory=Tolerance)
    by_output: Mapping[str, Tolerance] = field(default_factory=dict)

    def __getitem__(self, output: str) -> Tolerance:
        return self.by_output.get(output, self.default)

    @classmethod
    def of(cls, tables: Mapping[str, Mapping[str, Any]], base: Tolerances | None = None) -> Tolerances:
        """From tables per output id; `*` is for all outputs, and what an output's own table leaves out comes from there.

        `base` holds what is not said here. Raises RequestError naming the table and the field.
        """
        base = base or cls()
        for_all = tables.get("*", {})
        default = _changed(base.default, "*", for_all)
        by_output: dict[str, Tolerance] = {}
        for output in dict.fromkeys((*base.by_output, *tables)):
            if output != "*":
                old = _changed(base.by_output.get(output, base.default), "*", for_all)
                by_output[output] = _changed(old, output, tables.get(output, {}))
        return cls(default, by_output)


def _changed(old: Tolerance, output: str, table: Mapping[str, Any]) -> Tolerance:
    try:
        return Tolerance.model_validate({**old.model_dump(), **table})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(printable(part, limit=40) for part in first["loc"])
        known = ", ".join(Tolerance.model_fields)
        raise RequestError(
            f"tolerance of {printable(output, limit=40)!r}: {where}: {printable(first['msg'], limit=120)} (known: {known})"
        ) from error
