"""Names of classes: the COCO list, and what a model's metadata says."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.literals import literal
from videodag_cli.vision.onnx.labelfiles import MAX_LABELS

_MAX_TEXT = 4_000_000
_LISTED = 30
_METADATA_KEYS = ("names", "labels", "classes", "class_names", "id2label", "character")
"""What exporters call them: Ultralytics `names`, RapidAI `character`."""
BACKGROUND = frozenset({"???", "background", "__background__", "_background_", "bg"})

_COCO_TEXT = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,bird,cat,"
    "dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,"
    "orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO = tuple(_COCO_TEXT.split(","))
"""The 80 classes of COCO in the order detectors number them."""

_COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def coco_by_category() -> tuple[str, ...]:
    """The same classes at their category number 1 to 90; index 0 is background, numbers that COCO never used are `class N`."""
    numbers = [n for n in range(1, 91) if n not in _COCO_GAPS]
    named = dict(zip(numbers, COCO, strict=True))
    return ("background", *(named.get(n, f"class {n}") for n in range(1, 91)))


def unnamed(count: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(count))


def labels_in(metadata: dict[str, str]) -> tuple[str, ...] | None:
    """Class names that a model carries: a Python literal (read, never evaluated), JSON, or text with commas or lines."""
    for key in _METADATA_KEYS:
        text = metadata.get(key, "")
        if not text or len(text) > _MAX_TEXT:
            continue
        names = _as_list(literal(text))
        if names is None and text.lstrip()[:1] not in ("[", "{", "("):
            parts = [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
            names = parts if len(parts) > 1 else None
        if names and len(names) <= MAX_LABELS:
            return tuple(printable(name, limit=200) for name in names)
    return None


def class_filter(wanted: Sequence[str], labels: Sequence[str]) -> frozenset[int]:
    """Class numbers of the wanted names; upper and lower case are the same. Raises `ParamError` for a name there is not."""
    by_name: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        by_name.setdefault(label.casefold(), []).append(number)
    chosen: set[int] = set()
    for name in wanted:
        numbers = by_name.get(name.strip().casefold())
        if numbers is None:
            raise ParamError(_unknown(name, [label for label in labels if label.casefold() not in BACKGROUND]))
        chosen.update(numbers)
    return frozenset(chosen)


def _unknown(name: str, labels: Sequence[str]) -> str:
    """A sentence with the nearest label, and all of them where they are few."""
    close = difflib.get_close_matches(name.casefold(), [label.casefold() for label in labels], n=1)
    hint = f"; did you mean {next(la for la in labels if la.casefold() == close[0])!r}?" if close else ";"
    return f"unknown class {printable(name, limit=80)!r}{hint} the model knows {shortened(labels, _LISTED)}"


def shortened(labels: Sequence[str], count: int) -> str:
    """The first `count` names, and how many more there are."""
    more = f" and {len(labels) - count} more" if len(labels) > count else ""
    return ", ".join(labels[:count]) + more


def _as_list(value: Any) -> list[str] | None:
    if isinstance(value, dict):
        try:
            numbered = {int(number): name for number, name in value.items()}
        except (TypeError, ValueError):
            return None
        if not numbered or min(numbered) < 0 or max(numbered) >= MAX_LABELS:
            return None
        value = [numbered.get(i, f"class {i}") for i in range(max(numbered) + 1)]
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return list(value)
    return None
