"""Which layout a model's outputs have: recognised from names, shapes, metadata and the values of one run on an empty picture."""

from __future__ import annotations

from videodag_cli.errors import ParamError, printable
from videodag_cli.onnx.layouts import detr, finished, nanodet, ssd, yolo
from videodag_cli.onnx.layouts.base import Boxes, Layout, Outputs, Probe

__all__ = ["Boxes", "Layout", "Outputs", "Probe", "recognise"]

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
_RECOGNISERS = (nanodet.recognise, ssd.recognise, finished.recognise, detr.recognise, yolo.recognise)


def recognise(probe: Probe, *, name: str) -> Layout:
    """The model's layout; raises `ParamError` that says what was found and what is expected."""
    task = probe.facts.task
    if task is not None and task != "detect":
        raise _refused(name, f"is made for {_TASKS.get(task, printable(task))} (its metadata says task={task})", probe)
    shape_task = _task_by_shape(probe)
    if shape_task:
        raise _refused(name, f"looks like {shape_task}", probe)
    for recogniser in _RECOGNISERS:
        layout = recogniser(probe)
        if layout is not None:
            _check(layout, probe, name)
            return layout
    raise _refused(name, "has outputs that no known detector has", probe)


def _task_by_shape(probe: Probe) -> str | None:
    ranks = [value.ndim for value in probe.outputs.values()]
    if 4 in ranks and ranks.count(3) in (1, 2):
        return _TASKS["segment"]
    if 4 in ranks and any("mask" in n.lower() for n in probe.of_rank(4)):
        return _TASKS["segment"]
    if set(ranks) == {4} and len(ranks) == 1:
        return "semantic segmentation or a heat map"
    if len(ranks) == 1 and ranks[0] == 2 and next(iter(probe.outputs.values())).shape[1] not in (6, 7):
        return _TASKS["classify"]
    return None


def _check(layout: Layout, probe: Probe, name: str) -> None:
    """Compare with the labels, and look whether scores can be scores."""
    known, found = probe.label_count, layout.class_count
    odd_scores = isinstance(layout, yolo.Yolo) and not yolo.score_columns(layout, probe.outputs)
    if isinstance(layout, yolo.Yolo) and known is not None and found is not None and found > known:
        guess = {1: _TASKS["obb"], 32: _TASKS["segment"]}.get(found - known)
        guess = guess or (_TASKS["pose"] if (found - known) % 3 == 0 or odd_scores else None)
        if guess and (odd_scores or found - known == 32):
            raise _refused(
                name, f"looks like {guess}: {found - known} columns more than its {known} classes need", probe
            )
    if odd_scores:
        raise _refused(
            name,
            "puts out numbers outside 0..1 where class scores should be, as pose and oriented-box models do",
            probe,
        )
    if known is not None and found is not None and known != found:
        raise ParamError(
            f"model {printable(name)} puts out {found} classes ({layout.name}), but there are {known} labels; give one name per class"
        )


def _refused(name: str, why: str, probe: Probe) -> ParamError:
    shapes = ", ".join(
        f"{printable(n, limit=40)} {'x'.join(map(str, v.shape))}" for n, v in list(probe.outputs.items())[:8]
    )
    return ParamError(f"model {printable(name)} {why}; found outputs {shapes}; {_EXPECTED}", word="param.file")
