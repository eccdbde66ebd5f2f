"""NanoDet: sigmoid class scores, and for each side of a box a distribution over distances (generalised focal loss).

Source: NanoDet by RangiLyu; Li et al., "Generalized Focal Loss", 2020. The distance of a side is the expected bin times the stride,
from the centre of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videodag_cli.onnx.facts import Size
from videodag_cli.onnx.layouts.base import Boxes, Layout, Outputs, Probe, best_class, cell_count, cells, within_unit
from videodag_cli.onnx.picture import InputFormat

_FORM = InputFormat(fit="corner", channels="bgr", values="coco_bgr", border=0)
_BINS = (8, 11, 16)


@dataclass(frozen=True, kw_only=True)
class NanoDet(Layout):
    """One output of scores and distances side by side, or a pair of outputs for each stride."""

    strides: tuple[int, ...]
    bins: int
    joined: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    """(scores, distances) by stride."""
    centered: float = 0.5
    """Where in its cell a prediction stands: 0.5, or 0 for NanoDet-Plus."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Boxes:
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
        return Boxes.of(xyxy, best[chosen], class_ids[chosen])


def recognise(probe: Probe) -> Layout | None:
    return _in_pairs(probe) or _joined(probe)


def _in_pairs(probe: Probe) -> Layout | None:
    names = probe.of_rank(3)
    if len(names) < 4 or len(names) % 2 or len(names) != len(probe.outputs):
        return None
    for strides, _ in probe.grids():
        pairs, counts, bins = [], set(), set()
        for stride in strides:
            rows = cell_count(probe.size, (stride,))
            found = [n for n in names if probe.outputs[n].shape[1] == rows]
            found.sort(key=lambda n: not within_unit(probe.outputs[n]))
            if len(found) != 2 or probe.outputs[found[1]].shape[2] % 4:
                break
            pairs.append((found[0], found[1]))
            counts.add(probe.outputs[found[0]].shape[2])
            bins.add(probe.outputs[found[1]].shape[2] // 4)
        if len(pairs) == len(strides) == len(names) // 2 and len(counts) == len(bins) == 1:
            return NanoDet(
                name="nanodet",
                form=_FORM,
                class_count=counts.pop(),
                strides=strides,
                bins=bins.pop(),
                pairs=tuple(pairs),
            )
    return None


def _joined(probe: Probe) -> Layout | None:
    names = probe.of_rank(3)
    if len(names) != 1:
        return None
    _, rows, columns = probe.outputs[names[0]].shape
    values = probe.outputs[names[0]]
    for strides, count in probe.grids():
        for bins in _BINS:
            classes = columns - 4 * bins
            if rows != count or classes < 1 or probe.label_count not in (None, classes):
                continue
            if within_unit(values[..., :classes]) and not within_unit(values[..., classes:]):
                return NanoDet(
                    name="nanodet",
                    form=_FORM,
                    class_count=classes,
                    strides=strides,
                    bins=bins,
                    joined=names[0],
                    centered=0.0 if len(strides) == 4 else 0.5,
                )
    return None
