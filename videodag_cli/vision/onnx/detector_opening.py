"""From an ONNX file to a detector: what its outputs are, and what its input wants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.onnx.description import LabelsFrom
from videodag_cli.vision.onnx.detector import Detector, InputChoice
from videodag_cli.vision.onnx.graph import Graph, graph_of
from videodag_cli.vision.onnx.labels import COCO, coco_by_category, unnamed
from videodag_cli.vision.onnx.layouts import Reading, recognise
from videodag_cli.vision.onnx.layouts.base import Layout
from videodag_cli.vision.onnx.layouts.evidence import Evidence
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import ModelFacts, Size, model_facts
from videodag_cli.vision.onnx.model_input import input_size, run_model, safe_batch, tensor_shape, tried
from videodag_cli.vision.onnx.preprocessing import InputFormat, Values, packed, placed
from videodag_cli.vision.onnx.session import CPU, open_session, read_model

_KEPT = 8
_opened: dict[tuple[Any, ...], Detector] = {}
_opening = Lock()


def open_detector(
    path: Path,
    *,
    labels: tuple[str, ...] | None = None,
    choice: InputChoice | None = None,
    reading: Reading | None = None,
    provider: str = CPU,
    form: InputFormat | None = None,
) -> Detector:
    """Open and recognise a model; equal requests in a process share one. Raises `ParamError` for a model that does not fit."""
    choice, reading = choice or InputChoice(), reading or Reading()
    content, digest = read_model(path)
    key = (digest, path.name, labels, choice, reading, provider, form)
    with _opening:
        detector = _opened.pop(key, None)
        if detector is None:
            detector = _open(content, digest, path.name, labels, choice, reading, provider, form)
            while len(_opened) >= _KEPT:
                _opened.pop(next(iter(_opened)))
        _opened[key] = detector
        return detector


def _open(
    content: bytes,
    digest: str,
    name: str,
    labels: tuple[str, ...] | None,
    choice: InputChoice,
    reading: Reading,
    provider: str,
    form: InputFormat | None,
) -> Detector:
    session = open_session(content, digest, name=name, provider=provider)
    facts = model_facts(session, name=name)
    size = input_size(facts, choice.size, name)
    shape = tensor_shape(facts, size)
    outputs = tried(session, facts, size, name)
    known = labels or facts.names
    count, judged = len(known) if known else None, reading.layout is None
    graph = graph_of(content) if judged else Graph()

    def evidence(values: Values) -> Evidence:
        runs = (outputs, *_probed(session, facts, size, values)) if judged else (outputs,)
        return Evidence(facts, runs, size, count, graph)

    whole = choice.values is not None or facts.picture.dtype == "uint8"
    layout = recognise(
        evidence(choice.values or "unit"),
        name=name,
        reading=reading,
        further=lambda: None if whole else evidence("byte"),
    )
    _ask(layout, choice, facts, name)
    labels_from: LabelsFrom = "param" if labels else "metadata"
    if known is None:
        count = layout.class_count or 0
        known = COCO if count == len(COCO) else coco_by_category() if count == 91 else unnamed(count)
        labels_from = "coco" if count in (len(COCO), 91) else "numbers"
    form = form or layout.form
    if choice.fit is not None and choice.fit != form.fit:
        form = replace(form, fit=choice.fit)
    form = replace(form, channels=choice.channels or form.channels, values=choice.values or form.values)
    return Detector(
        name=name,
        digest=digest,
        facts=facts,
        layout=layout,
        form=form,
        size=size,
        labels=known,
        labels_from=labels_from,
        choice=choice,
        batch_size=1 if facts.fixed_batch else safe_batch(session, facts, shape, size),
        layout_given=reading.layout is not None,
        session=session,
    )


def _probed(session: Any, facts: ModelFacts, size: Size, values: Values) -> tuple[Outputs, ...]:
    """The outputs for a real picture; nothing where the network fails on it."""
    import cv2

    from videodag_cli.vision.onnx.builtin import PROBE_PICTURE, model_path

    picture = cv2.imread(str(model_path(PROBE_PICTURE)))
    assert picture is not None
    form = InputFormat(fit="stretch", values=values)
    canvas, _ = placed(np.asarray(picture, np.uint8), size, form)
    tensor = packed(canvas, form, dtype=facts.picture.dtype, channels_first=facts.channels_first)
    try:
        return (run_model(session, facts, tensor, size),)
    except Exception:  # onnxruntime's errors share no base class; the empty picture has gone through
        return ()


def _ask(layout: Layout, choice: InputChoice, facts: ModelFacts, name: str) -> None:
    """Refuse what neither the file nor the user has said: guessed, it would give other boxes."""
    told = {
        "values": choice.values is not None or facts.picture.dtype == "uint8",
        "channels": choice.channels is not None,
    }
    missing = [ask for ask in ("values", "channels") if ask in layout.asks and not told[ask]]
    if not missing:
        return
    meanings = {
        "values": "values (unit 0..1, byte 0..255, signed -1..1, imagenet or coco_bgr: what its training normalised pictures to)",
        "channels": "channels (rgb or bgr)",
    }
    raise ParamError(
        f"model {printable(name)} was read as {layout.name}, and files of this kind do not say how the picture must be prepared: set param "
        + " and param ".join(meanings[ask] for ask in missing)
    )
