"""Which layout a model's outputs have: every kind whose shape fits is a candidate, and all evidence speaks against some of them.

One candidate that is left is the layout. Where several are left, or none, nothing is guessed: the model is refused, with what was seen and
the param that decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.onnx.description import Activation
from videodag_cli.vision.onnx.layouts import arrays, box_tables, nanodet, pairs, ssd, yolo
from videodag_cli.vision.onnx.layouts.base import Background, BoxForm, Candidates, Layout
from videodag_cli.vision.onnx.layouts.evidence import Evidence, LayoutKind, seen, shares
from videodag_cli.vision.onnx.layouts.extras import Columns, MaskGrid, Outputs, Task
from videodag_cli.vision.onnx.layouts.tasks import TASK_WORDS, extra_of

__all__ = ["LAYOUTS", "Candidates", "Evidence", "Layout", "Outputs", "Reading", "recognise"]

_KINDS: tuple[LayoutKind, ...] = (
    *yolo.KINDS,
    *nanodet.KINDS,
    *box_tables.KINDS,
    *pairs.KINDS,
    *arrays.KINDS,
    *ssd.KINDS,
)
LAYOUTS = tuple(kind.name for kind in _KINDS)
"""Names by which a layout can be forced."""
_EXPECTED = (
    "expected a detector's: YOLOv5 (1xNx(5+classes)), YOLOv8/YOLO11 (1x(4+classes)xN), end to end (1xNx6), YOLOX, NanoDet, "
    "DETR/RT-DETR (boxes and logits, or labels, boxes, scores), or SSD (boxes, scores, classes, count)"
)
_TASKS = {
    "segment": "instance segmentation",
    "pose": "pose estimation",
    "classify": "classification",
    "obb": "oriented boxes",
    "semantic": "semantic segmentation",
    "depth": "depth estimation",
}
_LISTED = 4
_STRIDES = (4, 8, 16, 32, 64, 128)
"""Strides of the maps that detectors make boxes of."""


@dataclass(frozen=True)
class Reading:
    """What the user says about the outputs; None leaves it to the evidence."""

    layout: str | None = None
    activation: Activation | None = None
    boxes: BoxForm | None = None
    background: Background | None = None
    suppressed: bool | None = None
    task: Task | None = None
    points: tuple[int, int | None] | None = None
    """Number of key points, and of numbers for each."""
    masks: MaskGrid | None = None


def recognise(
    evidence: Evidence,
    *,
    name: str,
    reading: Reading | None = None,
    further: Callable[[], Evidence | None] = lambda: None,
) -> Layout:
    """The model's layout; raises `ParamError` that says what was found and what is expected.

    `further` gives evidence from another run, for where the first does not decide.
    """
    reading = reading or Reading()
    made_for = evidence.facts.task
    if made_for is not None and made_for not in TASK_WORDS and reading.task is None:
        what = _TASKS.get(made_for, printable(made_for))
        raise _refused(name, f"is made for {what} (its metadata says task={made_for})", evidence)
    extra = extra_of(evidence, name, task=reading.task, points=reading.points, masks=reading.masks)
    if extra is not None:
        evidence = evidence.without(extra)
        layout = _read(evidence, name, reading, lambda: None if (more := further()) is None else more.without(extra))
        if not layout.tells_rows:
            raise _refused(
                name, f"its boxes are those of {layout.name}, of which no {TASK_WORDS[extra.task]} are known", evidence
            )
        if isinstance(extra, Columns) and extra.task != "segment":
            boxes = seen(evidence.rows(extra.table, across=extra.across))
            if len(boxes) and shares(boxes):
                raise _refused(
                    name, "outputs boxes as fractions of the picture, and its further numbers may be either", evidence
                )
        return replace(layout, extra=extra, reasons=(*layout.reasons, extra.reason))
    return _read(evidence, name, reading, further)


def _read(evidence: Evidence, name: str, reading: Reading, further: Callable[[], Evidence | None]) -> Layout:
    """The layout of a detector's outputs."""
    if reading.layout is not None:
        return _set(_forced(evidence, name, reading.layout), reading, evidence, name)
    sure = evidence.facts.task is not None or reading.task is not None
    if strides := _maps(evidence):
        raise _without_boxes(name, strides, evidence)
    shape_task = None if sure else _task_by_shape(evidence)
    if shape_task:
        raise _refused(name, f"looks like {shape_task}", evidence)
    fitting, rejected = _judged(evidence)
    if len(fitting) != 1 and (more := further()) is not None:
        second = _judged(more)
        fitting, rejected = second if len(second[0]) == 1 else (fitting, rejected)
    if len(fitting) == 1:
        reasons = (*fitting[0].reasons, *(f"not {kind}: {why}" for kind, why in rejected.items()))
        return _set(replace(fitting[0], reasons=reasons), reading, evidence, name)
    if fitting:
        summaries = {kind.name: kind.summary for kind in _KINDS}
        listed = " or ".join(f"{layout.name} ({summaries[layout.name]})" for layout in fitting)
        raise ParamError(
            f"model {printable(name)} can be read in more than one way, and nothing in its file or its outputs decides: {listed}; "
            f"found outputs {_shapes(evidence)}; set param layout to the one that it is"
            + (
                ", or give its labels"
                if evidence.label_count is None and len({k.class_count for k in fitting}) > 1
                else ""
            )
        )
    raise _none(evidence, name, rejected)


def _judged(evidence: Evidence) -> tuple[list[Layout], dict[str, str]]:
    """The layouts that nothing speaks against, and what speaks against the others whose shape fits."""
    fitting, rejected = [], {}
    for kind in _KINDS:
        layout = kind.shaped(evidence)
        if layout is None:
            continue
        why = kind.against(evidence, layout)
        if why is None and evidence.head.startswith("rtdetr") and not layout.name.startswith("rt-detr"):
            why = "the metadata names RT-DETR's head"
        if why is None and evidence.finished is True and not layout.suppressed:
            why = "the best are chosen inside the model"
        if why is None:
            fitting.append(layout)
        else:
            rejected[kind.name] = why
    return fitting, rejected


def _forced(evidence: Evidence, name: str, wanted: str) -> Layout:
    """The layout that the user names, if the outputs' shapes allow it."""
    kind = next(kind for kind in _KINDS if kind.name == wanted)
    layout = kind.shaped(evidence)
    if layout is None:
        fitting = ", ".join(kind.name for kind in _KINDS if kind.shaped(evidence)) or "none"
        raise ParamError(
            f"param layout: the outputs of model {printable(name)} cannot be {wanted} ({kind.summary}); found outputs "
            f"{_shapes(evidence)}; layouts whose shape fits: {fitting}"
        )
    known, found = evidence.label_count, layout.class_count
    if known is not None and found is not None and known not in (found, found + layout.first_class):
        raise _label_mismatch(name, layout, known)
    return layout


def _set(layout: Layout, reading: Reading, evidence: Evidence, name: str) -> Layout:
    """The layout with what the user says about it; raises `ParamError` for what it has no place for."""
    settable = {field.name for field in fields(layout)}
    for param in ("activation", "boxes", "background", "suppressed"):
        value = getattr(reading, param)
        if value is None or (param == "activation" and value == layout.activation):
            continue
        if param not in settable or (param == "activation" and not layout.activates):
            raise ParamError(f"param {param} does not apply to layout {layout.name}, which model {printable(name)} has")
        if param == "background" and layout.class_count is not None:
            before = getattr(layout, param)
            count = layout.class_count + (before != "none") - (value != "none")
            layout = replace(layout, class_count=count, first_class=int(value == "first"))
        layout = replace(layout, **{param: value})
    if "background" in layout.asks and reading.background is None:
        raise ParamError(
            f"model {printable(name)} was read as {layout.name} and has one column more than its {evidence.label_count} classes, and "
            "files of this kind do not say which one means none of them: set param background to last (categories were "
            "numbered from 0 in training) or first (they were numbered from 1)"
        )
    known, found = evidence.label_count, layout.class_count
    asked = reading.background is not None and known is not None and found is not None
    if asked and known not in (found, (found or 0) + layout.first_class):
        raise _label_mismatch(name, layout, known or 0)
    return layout


def _none(evidence: Evidence, name: str, rejected: dict[str, str]) -> ParamError:
    """Why no layout is left."""
    known, table = evidence.label_count, evidence.table()
    if known is not None:
        fitting, unlabelled = _judged(replace(evidence, label_count=None))
        counted = [layout for layout in fitting if layout.class_count is not None]
        if len(fitting) == 1 and counted:
            return _label_mismatch(name, counted[0], known)
        if table is not None:
            extra = min(evidence.outputs[table].shape[1:]) - 4 - known
            guess = {1: _TASKS["obb"], 32: _TASKS["segment"]}.get(extra)
            guess = guess or (_TASKS["pose"] if extra > 0 and extra % 3 == 0 else None)
            if guess and "outside 0..1" in unlabelled.get("yolov8", ""):
                why = f"looks like {guess}: {extra} columns more than its {known} classes need"
                asked = {_TASKS["obb"]: "obb", _TASKS["pose"]: "pose"}.get(guess)
                return _refused(name, why, evidence, f"; if it is that, set param task={asked}" if asked else "")
    if equal := _equal_tables(evidence):
        why = f"outputs {equal} tables of one shape with all cells, as networks with auxiliary heads do, and only one of them counts"
        advice = "; export the network without them (YOLOv9: what its reparameterization converts)"
        return _refused(name, why, evidence, advice)
    if not rejected:
        return _refused(name, "has outputs that no known detector has", evidence)
    seen = "; ".join(f"not {kind}: {why}" for kind, why in list(rejected.items())[:_LISTED])
    more = f"; and {len(rejected) - _LISTED} more" if len(rejected) > _LISTED else ""
    why = f"has outputs that no known detector has ({seen}{more})"
    logits = any("outside 0..1 where class scores" in reason for reason in rejected.values())
    advice = "; if it is one of them, set param layout" + (
        ", and activation if its scores are logits" if logits else ""
    )
    return _refused(name, why, evidence, advice)


def _equal_tables(evidence: Evidence) -> int:
    """How many outputs are tables of one shape in which every cell has its candidate; 0 where there are no two such."""
    shapes = [evidence.outputs[output].shape[1:] for output in evidence.of_rank(3)]
    shape = shapes[0] if len(set(shapes)) == 1 else (0, 0)
    return len(shapes) if len(shapes) > 1 and min(shape) > 4 and any(map(evidence.on_a_grid, shape)) else 0


def _label_mismatch(name: str, layout: Layout, known: int) -> ParamError:
    return ParamError(
        f"model {printable(name)} outputs {layout.class_count} classes ({layout.name}), but there are {known} labels; give one "
        "name per class"
    )


def _task_by_shape(evidence: Evidence) -> str | None:
    """What the outputs are made for where they hold more, or other things, than boxes and scores."""
    outputs = evidence.outputs
    ranks = [value.ndim for value in outputs.values()]
    quarter = tuple(-(-side // 4) for side in reversed(evidence.size))
    for output in evidence.of_rank(4):
        masks = "mask" in output.lower() or "proto" in output.lower() or outputs[output].shape[2:] == quarter
        if masks and 3 in ranks:
            return _TASKS["segment"]
    if set(ranks) == {4} and len(ranks) == 1:
        return "semantic segmentation or a heat map"
    if len(ranks) == 1 and ranks[0] == 2 and next(iter(outputs.values())).shape[1] not in (6, 7):
        return _TASKS["classify"]
    if len(ranks) == 1 and ranks[0] == 3 and _are_shares(evidence, next(iter(outputs))):
        return "text recognition: every row adds up to one, and no box is in it"
    return None


def _maps(evidence: Evidence) -> list[int]:
    """The strides of outputs that are maps of numbers for each cell, where there is nothing else that could be boxes."""
    strides = set()
    for value in evidence.outputs.values():
        if value.ndim not in (4, 5):
            return []
        places = value.shape[2:4] if value.ndim == 5 else value.shape[2:]
        fitting = {s for s in _STRIDES if places == tuple(-(-side // s) for side in reversed(evidence.size))}
        if value.ndim == 4:
            fitting |= {s for s in _STRIDES if value.shape[1:3] == tuple(-(-n // s) for n in reversed(evidence.size))}
        if len(fitting) != 1:
            return []
        strides |= fitting
    return sorted(strides) if len(strides) > 1 else []


def _without_boxes(name: str, strides: list[int], evidence: Evidence) -> ParamError:
    anchored = all(value.ndim == 5 for value in evidence.outputs.values())
    advice = (
        "export YOLOv7 with --grid (python export.py --weights best.pt --grid), YOLOv5 with its export.py"
        if anchored
        else "export the model with the part that makes boxes of them, as its own exporter does for ONNX Runtime"
    )
    return ParamError(
        f"model {printable(name)} outputs maps for strides {', '.join(map(str, strides))}, of which no boxes were made yet; {advice}; "
        f"found outputs {_shapes(evidence)}",
        word="param.file",
    )


def _are_shares(evidence: Evidence, output: str) -> bool:
    """Whether every row is what a softmax gives; a row with a box in it never is."""
    rows = evidence.rows(output)
    return bool(len(rows) and (rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1) < 1e-3).all())


def _shapes(evidence: Evidence) -> str:
    return ", ".join(
        f"{printable(n, limit=40)} {'x'.join(map(str, v.shape))}" for n, v in list(evidence.outputs.items())[:8]
    )


def _refused(name: str, why: str, evidence: Evidence, advice: str = "") -> ParamError:
    text = f"model {printable(name)} {why}; found outputs {_shapes(evidence)}; {_EXPECTED}{advice}"
    return ParamError(text, word="param.file")
