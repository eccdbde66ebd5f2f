"""What a model puts out beside boxes, by its metadata, the user's word, and the shapes of its outputs."""

from __future__ import annotations

import numpy as np

from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.literals import literal
from videodag_cli.vision.onnx.layouts.evidence import Evidence
from videodag_cli.vision.onnx.layouts.extras import (
    AngleColumn,
    Extra,
    MaskGrid,
    PointColumns,
    Prototypes,
    RowMasks,
    Task,
)

TASK_WORDS: dict[Task, str] = {
    "detect": "boxes",
    "pose": "boxes with key points",
    "segment": "boxes with masks",
    "obb": "oriented boxes",
}
_BOX_SIDES = (14, 28, 56)
"""Sides of masks that cover a box: Mask R-CNN's."""
_SHRUNK = (1, 2, 4, 8)
"""How many pixels of the network's input a cell of a mask covers along a side."""


def extra_of(
    evidence: Evidence, name: str, *, task: Task | None, points: tuple[int, int | None] | None, masks: MaskGrid | None
) -> Extra | None:
    """What comes beside boxes; None for nothing. Raises `ParamError` where the outputs do not go with what is said, or leave it open.

    `points` is the number of key points, and of numbers for each, where the user gives them.
    """
    told = task or (evidence.facts.task if evidence.facts.task in TASK_WORDS else None)
    if told in (None, "segment"):
        found = _masks(evidence, name, masks, sure=told is not None)
        if found is not None or told is None:
            _unused(name, points=points is not None, masks=masks is not None and not isinstance(found, RowMasks))
            return found
        raise _refused(
            name,
            "no output of four dimensions goes with its boxes: prototypes (1xPxHxW, and P numbers behind each row's "
            "scores) or a mask for each box",
            evidence,
        )
    _unused(name, points=points is not None and told != "pose", masks=masks is not None)
    if told == "detect":
        return None
    table = _table(evidence)
    if table is None:
        raise _refused(name, "it has no single table of boxes", evidence)
    output, across, count, columns = table
    if told == "pose":
        number, each = _points(evidence, name, columns, points)
        reason = f"{number} key points of {each} numbers behind the scores of each row"
        return PointColumns(task="pose", reason=reason, table=output, across=across, width=number * each, each=each)
    final = columns == 7 and not across and not evidence.on_a_grid(count)
    return AngleColumn(
        task="obb", reason="an angle behind the scores of each row", table=output, across=across, width=1, final=final
    )


def _unused(name: str, *, points: bool, masks: bool) -> None:
    if points:
        raise ParamError(f"param points goes with task=pose, which model {printable(name)} was not taken for")
    if masks:
        raise ParamError(
            f"param masks goes with models that put out a mask for each box, which model {printable(name)} does not"
        )


def _table(evidence: Evidence) -> tuple[str, bool, int, int] | None:
    """The one table of boxes, whether candidates are its columns, how many they are, and how many numbers each has."""
    names = evidence.of_rank(3)
    if len(names) != 1:
        return None
    down, along = evidence.outputs[names[0]].shape[1:]
    across = along > down if evidence.on_a_grid(along) == evidence.on_a_grid(down) else evidence.on_a_grid(along)
    return names[0], across, max(1, along if across else down), down if across else along


def _points(evidence: Evidence, name: str, columns: int, given: tuple[int, int | None] | None) -> tuple[int, int]:
    """How many key points, and how many numbers for each."""
    shape = literal(evidence.facts.metadata.get("kpt_shape", ""))
    known = None
    if isinstance(shape, list | tuple) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
        known = (shape[0], shape[1])
    if known is None and given is not None and given[1] is not None:
        known = (given[0], given[1])
    if known is None:
        counted = _counted(evidence, columns, None if given is None else given[0])
        if len(counted) != 1:
            advice = (
                "; set param points to their number and the numbers of each, such as 17x3 (x, y, visibility) or 17x2"
            )
            raise _refused(
                name, f"nothing in its file says how many key points its {columns} numbers hold{advice}", evidence
            )
        (known,) = counted
    number, each = known
    if given is not None and (given[0] != number or given[1] not in (None, each)):
        raise _refused(
            name, f"its metadata says {number} key points of {each} numbers, param points something else", evidence
        )
    if number < 1 or each not in (2, 3) or number * each > columns - 5:
        raise _refused(name, f"{number} key points of {each} numbers do not go into rows of {columns}", evidence)
    return number, each


def _counted(evidence: Evidence, columns: int, number: int | None) -> set[tuple[int, int]]:
    """The numbers of key points that the labels, or the rows of chosen boxes, leave possible."""
    table = _table(evidence)
    known, found = evidence.label_count, set()
    starts = {6} if table is not None and not table[1] and not evidence.on_a_grid(table[2]) else set()
    if known is not None and table is not None and not starts:
        starts = {4 + known + (evidence.grid_of(table[2], each=3) is not None)}
    for start in starts:
        for each in (3, 2):
            rest = columns - start
            if rest > 0 and rest % each == 0 and number in (None, rest // each):
                found.add((rest // each, each))
    return found


def _masks(evidence: Evidence, name: str, grid: MaskGrid | None, *, sure: bool) -> Extra | None:
    """Masks by prototypes, or one for each box; None where no output could be masks."""
    outputs, tables = evidence.outputs, evidence.of_rank(3)
    quarter = tuple(-(-side // 4) for side in reversed(evidence.size))
    found: list[Extra] = []
    for output in evidence.of_rank(4):
        shape = outputs[output].shape
        called = "mask" in output.lower() or "proto" in output.lower() or shape[2:] in (quarter, evidence.size[::-1])
        if not (called or sure):
            continue
        boxes = [n for n in tables if outputs[n].shape[2] in (4, 5) and outputs[n].shape[1] == shape[1]]
        if boxes:
            found.append(_row_masks(evidence, name, output, grid, count_axis=1))
            continue
        flat = [n for n in evidence.of_rank(2) if outputs[n].shape[1] in (4, 5) and outputs[n].shape[0] == shape[0]]
        if flat and shape[1] == 1 and not tables:
            found.append(_row_masks(evidence, name, output, grid, count_axis=0))
            continue
        table = _table(evidence)
        if table is not None and table[3] - shape[1] >= 5:
            reason = f"{shape[1]} coefficients behind the scores of each row, of the pictures in {output}"
            found.append(
                Prototypes(
                    task="segment",
                    reason=reason,
                    table=table[0],
                    across=table[1],
                    width=shape[1],
                    prototypes=output,
                )
            )
    return found[0] if len(found) == 1 else None


def _row_masks(evidence: Evidence, name: str, output: str, grid: MaskGrid | None, *, count_axis: int) -> RowMasks:
    height, width = evidence.outputs[output].shape[2:]
    whole = any((-(-evidence.size[0] // s), -(-evidence.size[1] // s)) == (width, height) for s in _SHRUNK)
    boxed = height == width and height in _BOX_SIDES
    if grid is None and whole == boxed:
        raise _refused(
            name,
            f"its masks of {width}x{height} cells may cover the whole picture or the box of each; set param masks=picture or masks=box",
            evidence,
        )
    chosen: MaskGrid = grid or ("picture" if whole else "box")
    values = [np.asarray(run[output], np.float64) for run in evidence.runs]
    logits = any(v.size and (v.min() < -1e-3 or v.max() > 1 + 1e-3) for v in values)
    reason = (
        f"a mask of {width}x{height} {'logits' if logits else 'shares'} for each box in {output}, over its {chosen}"
    )
    return RowMasks(task="segment", reason=reason, masks=output, grid=chosen, logits=logits, count_axis=count_axis)


def _refused(name: str, why: str, evidence: Evidence) -> ParamError:
    shapes = ", ".join(
        f"{printable(n, limit=40)} {'x'.join(map(str, v.shape))}" for n, v in list(evidence.outputs.items())[:8]
    )
    return ParamError(f"model {printable(name)}: {why}; found outputs {shapes}", word="param.file")
