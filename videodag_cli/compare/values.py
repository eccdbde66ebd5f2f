"""Compares the outputs of one frame; a value is what its JSON looks like: rows with `xyxy` are detections, `tracker_id` an identity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from videodag_cli.compare.rows import (
    allowed_px,
    edit_distance,
    has_boxes,
    overlaps,
    pair_boxes,
    pair_others,
    row_class,
)
from videodag_cli.compare.tolerance import Tolerance, Tolerances
from videodag_cli.errors import printable
from videodag_cli.results.reading import JsonRow
from videodag_cli.vision.keypoints import oks
from videodag_cli.vision.masks import is_mask, mask_iou

Found = tuple[str, str, str]
"""Output, kind of difference, and what it is in words."""
MOTION = frozenset({"dx", "dy", "magnitude"})
"""An object with these is a motion vector; a `speed` in it goes with the magnitude."""
POINTS = frozenset({"xyxy", "keypoints", "corners"})
MAX_EDITS_SHOWN = 50


class Identities:
    """Which id of one result is which id of the other: a bijection over the whole video."""

    def __init__(self) -> None:
        self._forward: dict[int, int] = {}
        self._backward: dict[int, int] = {}

    def is_known(self, before: Any, after: Any) -> bool:
        """Whether the ids of two rows are known to be one."""
        if not isinstance(before, dict) or not isinstance(after, dict):
            return False
        identity = before.get("tracker_id")
        return isinstance(identity, int) and self._forward.get(identity) == after.get("tracker_id")

    def meet(self, before: int, after: int) -> str:
        """Take note of two ids of one thing; says what contradicts earlier frames, and from then on holds to the new pair."""
        known, owner = self._forward.get(before), self._backward.get(after)
        if known == after:
            return ""
        if known is not None:
            del self._backward[known]
        if owner is not None:
            del self._forward[owner]
        self._forward[before], self._backward[after] = after, before
        if known is not None:
            return f"id {before} goes on as {after}, so far it was {known}"
        return f"id {before} goes on as {after}, which belonged to id {owner} so far" if owner is not None else ""


class FrameComparer:
    """Compares frame after frame of one video; keeps the identities met so far."""

    def __init__(
        self,
        tolerances: Tolerances,
        thresholds: Sequence[float] = (),
        own_thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self._tolerances = tolerances
        self._thresholds = thresholds
        self._own_thresholds = own_thresholds or {}
        self._identities: dict[str, Identities] = {}
        self.borderline = 0
        """Rows that came or went at a threshold and are not counted as differences."""
        self.new_outputs: dict[str, None] = {}
        """Outputs that only the second result has; they are not compared."""

    def compare(self, expected: dict[str, Any], actual: dict[str, Any]) -> Iterator[Found]:
        """The differences between the outputs of one frame."""
        for output, before in expected.items():
            tolerance = self._tolerances[output]
            if "*" in tolerance.ignore:
                continue
            if output not in actual:
                yield output, "lost output", "the output is missing"
                continue
            one = _Output(output, tolerance, self._identities.setdefault(output, Identities()), self)
            yield from one.values(output, before, actual[output])
        for output in actual:
            if output not in expected:
                self.new_outputs[output] = None

    def is_borderline(self, output: str, row: JsonRow) -> bool:
        """Whether a row without a pair may be there or not."""
        confidence = row.get("confidence")
        if confidence is None or not _is_number(confidence):
            return False
        limits = [*self._thresholds, *([self._own_thresholds[output]] if output in self._own_thresholds else [])]
        if not any(abs(confidence - limit) <= self._tolerances[output].borderline for limit in limits):
            return False
        self.borderline += 1
        return True


class _Output:
    """One output of one frame."""

    def __init__(self, output: str, tolerance: Tolerance, identities: Identities, comparer: FrameComparer) -> None:
        self.output = output
        self.tolerance = tolerance
        self.identities = identities
        self.comparer = comparer

    def found(self, kind: str, path: str, words: str) -> Found:
        """A difference; the path is said where it is more than the output."""
        inner = printable(path[len(self.output) + 1 :], limit=60)
        return self.output, kind, f"{inner} {words}" if inner else words

    def values(self, path: str, before: Any, after: Any) -> Iterator[Found]:
        """Differences between two values at a path."""
        if isinstance(before, dict) and isinstance(after, dict):
            yield from self.objects(path, before, after)
        elif isinstance(before, list) and isinstance(after, list):
            yield from self.lists(path, before, after)
        else:
            yield from self.scalars(path, before, after)

    def objects(self, path: str, before: JsonRow, after: JsonRow) -> Iterator[Found]:
        motion_px = self._motion_px(before)
        for name, value in before.items():
            if name in self.tolerance.ignore:
                continue
            here = f"{path}.{name}"
            if name not in after:
                yield self.found("lost field", here, "is missing")
            elif name == "tracker_id":
                yield from self.identity(path, value, after[name])
            elif motion_px is not None and name in MOTION:
                yield from self.close(here, value, after[name], motion_px)
            elif motion_px is not None and name == "speed" and _is_number(value):
                if before["magnitude"]:
                    yield from self.close(here, value, after[name], motion_px * abs(value / before["magnitude"]))
            else:
                yield from self.values(here, value, after[name])
        for name in after:
            if name not in before:
                yield self.found("new field", f"{path}.{name}", f"is new ({_shown(after[name])})")

    def close(self, path: str, before: Any, after: Any, allowed: float) -> Iterator[Found]:
        """A difference where two numbers are further apart than allowed."""
        if not _is_close(before, after, allowed, 0.0):
            yield self.found("number", path, f"{_shown(before)} -> {_shown(after)} (allowed {allowed:.4g})")

    def _motion_px(self, value: JsonRow) -> float | None:
        """How far a motion may differ, None for what is no motion vector."""
        if not value.keys() >= MOTION or not all(_is_number(value[name]) for name in MOTION):
            return None
        return max(self.tolerance.motion_px, self.tolerance.motion_rel * abs(float(value["magnitude"])))

    def lists(self, path: str, before: list[Any], after: list[Any]) -> Iterator[Found]:
        if all(isinstance(row, dict) for row in (*before, *after)):
            if has_boxes(before) and has_boxes(after):
                yield from self.boxes(path, before, after)
            else:
                yield from self.other_rows(path, before, after)
        elif len(before) != len(after):
            yield self.found("length", path, f"has {len(after)} entries, {len(before)} expected")
        else:
            for index, (old, new) in enumerate(zip(before, after, strict=True)):
                yield from self.values(f"{path}.{index}", old, new)

    # Rows with boxes

    def boxes(self, path: str, before: list[JsonRow], after: list[JsonRow]) -> Iterator[Found]:
        if before == after and self._ids_known(before):
            return
        iou = overlaps(before, after)
        pairs = pair_boxes(before, after, iou=iou, tolerance=self.tolerance, is_known=self.identities.is_known)
        for i, j in pairs:
            yield from self.paired(path, before[i], after[j], float(iou[i, j]))
        lost = [i for i in range(len(before)) if i not in {i for i, _ in pairs}]
        extra = [j for j in range(len(after)) if j not in {j for _, j in pairs}]
        renamed = pair_boxes(
            [before[i] for i in lost],
            [after[j] for j in extra],
            iou=iou[lost][:, extra],
            tolerance=self.tolerance,
            is_known=self.identities.is_known,
            same_class=False,
        )
        for a, b in renamed:
            old, new = before[lost[a]], after[extra[b]]
            words = f"{_name(old)} is now {_name(new)} (IoU {iou[lost[a], extra[b]]:.2f})"
            yield self.found("class", path, words)
        for a, i in enumerate(lost):
            if a not in {a for a, _ in renamed} and not self.comparer.is_borderline(self.output, before[i]):
                best = float(iou[i].max(initial=0.0))
                yield self.found("lost", path, f"{_name(before[i])} lost (best IoU {best:.2f})")
        for b, j in enumerate(extra):
            if b not in {b for _, b in renamed} and not self.comparer.is_borderline(self.output, after[j]):
                best = float(iou[:, j].max(initial=0.0))
                confidence = after[j].get("confidence")
                shown = f"confidence {confidence}, " if confidence is not None else ""
                yield self.found("extra", path, f"{_name(after[j])} extra ({shown}best IoU {best:.2f})")

    def _ids_known(self, rows: list[JsonRow]) -> bool:
        """Whether all ids of these rows are known to be themselves in the other result."""
        return all(self.identities.is_known(row, row) for row in rows if isinstance(row.get("tracker_id"), int))

    def paired(self, path: str, before: JsonRow, after: JsonRow, iou: float) -> Iterator[Found]:
        """Differences between two rows that are the same thing."""
        name, allowed = _name(before), allowed_px(before, self.tolerance)
        for field, old in before.items():
            if field in self.tolerance.ignore or field == "class_name":
                continue
            if field not in after:
                yield self.found("lost field", path, f"{name} {printable(field, limit=40)} is missing")
            elif field == "tracker_id":
                yield from self.identity(path, old, after[field], name)
            elif field == "keypoints" and _seen_points(old) and _seen_points(after[field]):
                yield from self.points(path, name, before, old, after[field])
            elif field == "mask" and is_mask(old) and is_mask(after[field]):
                yield from self.mask(path, name, old, after[field])
            elif (old is None) != (after[field] is None):
                yield self.found("value", path, f"{name} {field} {_shown(old)} -> {_shown(after[field])}")
            elif field in POINTS:
                moved = _moved(old, after[field])
                if moved > allowed:
                    what = (
                        f"moved {moved:.1f} px (IoU {iou:.2f})" if field == "xyxy" else f"{field} moved {moved:.1f} px"
                    )
                    yield self.found("moved", path, f"{name} {what}")
            elif field == "confidence":
                if not _is_close(old, after[field], self.tolerance.confidence, 0.0):
                    yield self.found("confidence", path, f"{name} confidence {_shown(old)} -> {_shown(after[field])}")
            elif field == "area":
                # An area goes with its box: it may change by what the box's sides may move.
                sides = before["xyxy"][2] - before["xyxy"][0] + before["xyxy"][3] - before["xyxy"][1]
                if not _is_close(old, after[field], allowed * max(sides, 1), self.tolerance.rel):
                    yield self.found("number", path, f"{name} area {_shown(old)} -> {_shown(after[field])}")
            else:
                for output, kind, words in self.values(f"{path}.{field}", old, after[field]):
                    yield output, kind, f"{name} {words}"
        for field in after:
            if field not in before:
                yield self.found("new field", path, f"{name} {printable(field, limit=40)} is new")

    def points(
        self, path: str, name: str, row: JsonRow, before: list[list[float]], after: list[list[float]]
    ) -> Iterator[Found]:
        """Differences between key points with a visibility."""
        if len(before) != len(after):
            yield self.found("length", path, f"{name} has {len(after)} key points, {len(before)} expected")
            return
        likeness, seen = (
            oks(before, after, row["xyxy"]),
            max(abs(a[2] - b[2]) for a, b in zip(before, after, strict=True)),
        )
        if likeness < self.tolerance.oks:
            yield self.found("moved", path, f"{name} keypoints moved (OKS {likeness:.2f})")
        elif seen > self.tolerance.visibility + 1e-9:
            yield self.found("number", path, f"{name} visibility of a key point changed by {seen:.2f}")

    def mask(self, path: str, name: str, before: JsonRow, after: JsonRow) -> Iterator[Found]:
        try:
            overlap = mask_iou(before, after)
        except (ValueError, TypeError):
            yield from self.objects(f"{path}.mask", before, after)
            return
        if overlap < self.tolerance.mask_iou:
            yield self.found("moved", path, f"{name} mask changed (IoU {overlap:.2f})")

    # Everything else

    def other_rows(self, path: str, before: list[JsonRow], after: list[JsonRow]) -> Iterator[Found]:
        pairs = [(i, i) for i in range(len(before))]
        if len(before) != len(after) or any(self._differing(a, b) for a, b in zip(before, after, strict=True)):
            pairs = pair_others(before, after, is_known=self.identities.is_known, differing=self._differing)
        for i, j in pairs:
            yield from self.objects(f"{path}.{i}", before[i], after[j])
        for i, row in enumerate(before):
            if i not in {i for i, _ in pairs}:
                yield self.found("lost", path, f"{_row(row)} lost")
        for j, row in enumerate(after):
            if j not in {j for _, j in pairs}:
                yield self.found("extra", path, f"{_row(row)} extra")

    def _differing(self, before: JsonRow, after: JsonRow) -> int:
        """How many fields of two rows differ, identities aside."""
        one = _Output(self.output, self.tolerance, Identities(), FrameComparer(Tolerances(self.tolerance)))
        return sum(1 for _ in one.objects(self.output, before, after))

    def identity(self, path: str, before: Any, after: Any, name: str = "") -> Iterator[Found]:
        if not isinstance(before, int) or not isinstance(after, int):
            yield from self.scalars(f"{path}.tracker_id", before, after)
            return
        contradiction = self.identities.meet(before, after)
        if contradiction:
            yield self.found("id", path, f"{name} {contradiction}".strip())

    def scalars(self, path: str, before: Any, after: Any) -> Iterator[Found]:
        tolerance = self.tolerance
        if _is_number(before) and _is_number(after):
            whole = isinstance(before, int) and isinstance(after, int)
            rel = 0.0 if whole else tolerance.rel
            if not _is_close(before, after, tolerance.abs, rel):
                allowed = max(tolerance.abs, rel * max(abs(before), abs(after)))
                limit = "" if whole else f" (allowed {allowed:.4g})"
                yield self.found("number", path, f"{_shown(before)} -> {_shown(after)}{limit}")
        elif isinstance(before, str) and isinstance(after, str):
            if edit_distance(before, after, limit=tolerance.text_edits) > tolerance.text_edits:
                edits = edit_distance(before, after, limit=max(MAX_EDITS_SHOWN, tolerance.text_edits))
                shown = f"{edits}" if edits <= MAX_EDITS_SHOWN else f"more than {MAX_EDITS_SHOWN}"
                unit = "edit" if edits == 1 else "edits"
                yield self.found("text", path, f"{_shown(before)} -> {_shown(after)} ({shown} {unit})")
        elif type(before) is not type(after) or before != after:
            kind = "value" if type(before) is type(after) else "type"
            yield self.found(kind, path, f"{_shown(before)} -> {_shown(after)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seen_points(value: object) -> bool:
    """Whether these are key points with a visibility."""
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(point, list) and len(point) == 3 and all(map(_is_number, point)) for point in value)
    )


def _is_close(before: Any, after: Any, absolute: float, relative: float) -> bool:
    if not _is_number(before) or not _is_number(after):
        return type(before) is type(after) and before == after
    return math.isclose(before, after, rel_tol=relative, abs_tol=absolute + 1e-9)


def _moved(before: Any, after: Any) -> float:
    """The largest difference of two lists of coordinates, however nested; infinite where their shapes differ."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return max((_moved(old, new) for old, new in zip(before, after, strict=True)), default=0.0)
    if _is_number(before) and _is_number(after):
        return abs(float(before) - float(after))
    return 0.0 if before is None and after is None else math.inf


def _name(row: JsonRow) -> str:
    """What a row with a box is called in messages."""
    name = row_class(row)
    if name is None:
        return "row"
    return printable(name, limit=40) if isinstance(name, str) else f"class {name}"


def _row(row: JsonRow) -> str:
    fields = ", ".join(f"{printable(k, limit=30)} {_shown(v)}" for k, v in list(row.items())[:3])
    return f"row ({fields})"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return repr(printable(value, limit=60))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
