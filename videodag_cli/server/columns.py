"""The results of a job as the columns that timelines and boxes are drawn from: the same as in the HTML report, whatever their length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from videodag_cli.report.collect import collect
from videodag_cli.report.page import Block, frame_columns
from videodag_cli.report.tuning import confidence_setting, described_boxes
from videodag_cli.results.reading import read_lines, read_record
from videodag_cli.system.files import made_once

NAME = "columns.json"


def columns_file(results: Path) -> Path:
    """The file beside the results, made when first asked for."""
    return made_once(results.with_name(NAME), lambda stream: stream.write(orjson.dumps(_collected(results))))


def _collected(results: Path) -> dict[str, Any]:
    record = read_record(results)
    found = collect(read_lines(results), details=False)
    block = Block()
    data = frame_columns(found, block)
    video = ((record or {}).get("input") or {}).get("video") or {}
    return {
        **data,
        "block": block.encoded(),
        "settings": {path: confidence_setting(record, boxes.node) for path, boxes in found.boxes.items()},
        "joined": described_boxes(record, {path: boxes.node for path, boxes in found.boxes.items()}),
        "size": [video.get("width") or 640, video.get("height") or 360],
        "pictures": [],
    }
