"""NanoDet and PicoDet: sigmoid class scores, and for each side of a box a distribution over distances (generalised focal loss).

Source: NanoDet by RangiLyu; Li et al., "Generalized Focal Loss", 2020. The distance of a side is the expected bin times the stride,
from the place `(column + 0.5) * stride` in NanoDet, and `column * stride` in NanoDet-Plus (`get_single_level_center_priors` of its head),
whose default strides are 8, 16, 32 and in its published configurations 8, 16, 32, 64. PicoDet (Yu et al., "PP-PicoDet", 2021) has the pairs
of outputs of NanoDet at four strides, 8 bins, and the picture of PaddleDetection: stretched, RGB, normalised as ImageNet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from videodag_cli.vision.onnx.layouts.base import (
    Candidates,
    Layout,
    best_class,
    cell_count,
    cells,
    within_unit,
)
from videodag_cli.vision.onnx.layouts.evidence import ONE_PER_CELL, Evidence, LayoutKind, Shaped
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

_FORM = InputFormat(fit="corner", channels="bgr", values="coco_bgr", border=0)
_PLUS = replace(_FORM, fit="stretch")
"""NanoDet-Plus was published with `keep_ratio: False` in every configuration, NanoDet with True."""
_PICODET = InputFormat(fit="stretch", channels="rgb", values="imagenet")
_PADDLE = re.compile(r"\.tmp_\d|^fetch_name_|^save_infer_model")
"""How PaddlePaddle names the outputs of what it exports."""
_BINS = (8, 11, 16)


@dataclass(frozen=True, kw_only=True)
class NanoDet(Layout):
    """One output of scores and distances side by side, or a pair of outputs for each stride."""

    clips_first = True
    strides: tuple[int, ...]
    bins: int
    joined: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    """(scores, distances) by stride."""
    centered: float = 0.5
    """Where in its cell a prediction is: 0.5, or 0 for NanoDet-Plus."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        if self.joined is not None:
            both = outputs[self.joined][row]
            scores, codes = both[:, : self.class_count], both[:, self.class_count :]
        else:
            scores = np.concatenate([outputs[name][row] for name, _ in self.pairs])
            codes = np.concatenate([outputs[name][row] for _, name in self.pairs])
        best, class_ids = best_class(scores)
        chosen = np.flatnonzero(best > threshold)
        places, steps = cells(size, self.strides)
        logits = codes[chosen].astype(np.float64).reshape(-1, 4, self.bins)
        weights = np.exp(logits - logits.max(axis=2, keepdims=True))
        expected = (weights / weights.sum(axis=2, keepdims=True)) @ np.arange(self.bins, dtype=np.float64)
        distances = expected * steps[chosen, None]
        centers = (places[chosen] + self.centered) * steps[chosen, None]
        xyxy = np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1)
        return Candidates.of(xyxy, best[chosen], class_ids[chosen])


def _pairs(evidence: Evidence) -> Layout | None:
    names = evidence.of_rank(3)
    if len(names) < 4 or len(names) % 2 or len(names) != len(evidence.outputs):
        return None
    for strides in ONE_PER_CELL:
        pairs, counts, bins = [], set(), set()
        for stride in strides:
            rows = cell_count(evidence.size, (stride,))
            found = [n for n in names if evidence.outputs[n].shape[1] == rows]
            found.sort(key=lambda n: not within_unit(evidence.outputs[n]))
            if len(found) != 2 or evidence.outputs[found[1]].shape[2] % 4:
                break
            pairs.append((found[0], found[1]))
            counts.add(evidence.outputs[found[0]].shape[2])
            bins.add(evidence.outputs[found[1]].shape[2] // 4)
        if len(pairs) == len(strides) == len(names) // 2 and len(counts) == len(bins) == 1:
            return NanoDet(
                name="nanodet-pairs",
                form=_FORM,
                class_count=counts.pop(),
                strides=strides,
                bins=bins.pop(),
                pairs=tuple(pairs),
                reasons=(f"a pair of outputs for each of the strides {', '.join(map(str, strides))}",),
            )
    return None


def _pico(evidence: Evidence) -> Layout | None:
    layout = _pairs(evidence)
    return None if layout is None else replace(layout, name="picodet", form=_PICODET)


def _any_pairs(evidence: Evidence, layout: Layout) -> str | None:
    """NanoDet-Plus is also split into pairs at four strides, with its own place in the cell: names alone tell it from PicoDet."""
    assert isinstance(layout, NanoDet)
    pico, paddle = layout.name == "picodet", any(_PADDLE.search(name) for name, _ in layout.pairs)
    if pico and (len(layout.strides) != 4 or layout.bins != 8):
        return f"{len(layout.strides)} strides and {layout.bins} distances for each side, where PicoDet has 4 and 8"
    if not pico and paddle:
        return "the outputs have the names that PaddlePaddle gives"
    if any(not within_unit(evidence.rows(scores)) for scores, _ in layout.pairs):
        return "numbers outside 0..1 where class scores should be"
    return _labelled(evidence, layout)


def _joined(name: str, centered: float, form: InputFormat) -> Shaped:
    def shaped(evidence: Evidence) -> Layout | None:
        output = evidence.table()
        if output is None:
            return None
        _, count, columns = evidence.outputs[output].shape
        strides = evidence.grid_of(count)
        rows = evidence.rows(output)
        for bins in _BINS if strides is not None else ():
            classes = columns - 4 * bins
            if classes < 1 or evidence.label_count not in (None, classes):
                continue
            if within_unit(rows[:, :classes]) and not within_unit(rows[:, classes:]):
                assert strides is not None
                return NanoDet(
                    name=name,
                    form=form,
                    class_count=classes,
                    strides=strides,
                    bins=bins,
                    joined=output,
                    centered=centered,
                    reasons=(f"{count} cells of {classes} scores and 4 distributions over {bins} distances",),
                )
        return None

    return shaped


def _any_joined(evidence: Evidence, layout: Layout) -> str | None:
    """NanoDet-Plus has 4 strides (its first configurations 3) and 8 bins; NanoDet has 3 strides, NanoDet-g with 11 bins."""
    assert isinstance(layout, NanoDet)
    plus = layout.name == "nanodet-plus"
    if plus and layout.bins != 8:
        return f"{layout.bins} distances for each side, where NanoDet-Plus has 8"
    if not plus and len(layout.strides) == 4:
        return "four strides, where NanoDet has three"
    return _labelled(evidence, layout)


def _labelled(evidence: Evidence, layout: Layout) -> str | None:
    if evidence.label_count not in (None, layout.class_count):
        return f"{layout.class_count} classes, but {evidence.label_count} labels"
    return None


KINDS = (
    LayoutKind("nanodet-pairs", "NanoDet with two outputs for each stride", _pairs, _any_pairs),
    LayoutKind("picodet", "PicoDet: four strides, the picture stretched and normalised as ImageNet", _pico, _any_pairs),
    LayoutKind(
        "nanodet", "NanoDet: predictions are at the centre of their cells", _joined("nanodet", 0.5, _FORM), _any_joined
    ),
    LayoutKind(
        "nanodet-plus",
        "NanoDet-Plus: predictions are at the corner of their cells",
        _joined("nanodet-plus", 0.0, _PLUS),
        _any_joined,
    ),
)
