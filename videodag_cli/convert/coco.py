"""COCO JSON (object detection): images, annotations, categories.

An image is a line with a result: a frame that failed is not an image without objects, so it is left out. Boxes are
`[x, y, width, height]` in pixels of the upright frame. Image and annotation ids count from 1; a category's id is `class_id + 1`,
unless the sources do not agree on what a class id means: then categories are numbered by name. `score` and `track_id` are additions
that COCO's readers ignore.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from typing import Any, BinaryIO

import orjson

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.source import Row, Source, boxes, number, one_output, whole
from videodag_cli.errors import printable
from videodag_cli.results.reading import corners

Class = tuple[int | None, str]


def write(sources: Sequence[Source], stream: BinaryIO, *, nodes: Sequence[str] = ()) -> Converted:
    """Write all sources as one data set; annotations wait in a temporary file while images are written."""
    categories, failed = _categories(sources, nodes)
    stems = _stems(sources)
    remarks = [f"{failed} failed frames are not in the images" if failed > 1 else "1 failed frame is not in the images"]
    if not failed:
        remarks = []
    images = annotations = 0
    with tempfile.TemporaryFile(prefix="videodag-") as kept:
        stream.write(b'{"info":{"description":"boxes written by videodag"},"images":[')
        for source, stem in zip(sources, stems, strict=True):
            if source.size is None:
                remarks.append(
                    f"{printable(source.name)}: no run record gives the frame size; its images have no width and height"
                )
            size = {"width": source.size[0], "height": source.size[1]} if source.size else {}
            for line in source.lines():
                if line["result"] is None:
                    continue
                images += 1
                image = {
                    "id": images,
                    "file_name": f"{stem}/{line['frame_index']:06d}.jpg",
                    **(dict(zip(("width", "height"), line["size"], strict=True)) if "size" in line else size),
                    "frame_index": line["frame_index"],
                    "time_s": line["time_s"],
                }
                stream.write(_separator(images) + orjson.dumps(image))
                for path, _, row in boxes(line["result"], nodes):
                    annotations += 1
                    category = categories[_class(path, row)]
                    kept.write(_separator(annotations) + orjson.dumps(_annotation(annotations, images, category, row)))
        stream.write(b'\n],"annotations":[')
        kept.seek(0)
        shutil.copyfileobj(kept, stream)
    names = sorted({(number, name) for (_, name), number in categories.items()})
    listed = [{"id": number, "name": name} for number, name in names]
    stream.write(b'\n],"categories":' + orjson.dumps(listed) + b"}\n")
    return Converted("coco", annotations, "annotation", tuple(remarks))


def _separator(rank: int) -> bytes:
    return b"\n" if rank == 1 else b",\n"


def _annotation(annotation: int, image: int, category: int, row: Row) -> dict[str, Any]:
    x1, y1, x2, y2 = corners(row) or (0.0, 0.0, 0.0, 0.0)
    width, height = round(x2 - x1, 4), round(y2 - y1, 4)
    found: dict[str, Any] = {
        "id": annotation,
        "image_id": image,
        "category_id": category,
        "bbox": [x1, y1, width, height],
        "area": round(width * height, 4),
        "iscrowd": 0,
        "segmentation": [],
    }
    if (score := number(row, "confidence")) is not None:
        found["score"] = score
    if (track := whole(row, "tracker_id")) is not None:
        found["track_id"] = track
    return found


def _class(path: str, row: Row) -> Class:
    """Class id and name; a box without a class is named after its output."""
    class_id, name = whole(row, "class_id"), row.get("class_name")
    if isinstance(name, str) and name:
        return class_id, name
    return class_id, path if class_id is None else f"class {class_id}"


def _categories(sources: Sequence[Source], nodes: Sequence[str]) -> tuple[dict[Class, int], int]:
    """The category id of every class in the sources, and the number of failed frames."""
    classes: dict[Class, None] = {}
    outputs: dict[str, None] = {}
    failed = 0
    for source in sources:
        for line in source.lines():
            failed += line["result"] is None
            for path, _, row in boxes(line["result"] or {}, nodes):
                classes[_class(path, row)] = None
                outputs[path] = None
    if not nodes:
        one_output(list(outputs), form="coco", what="boxes")
    ids = {class_id for class_id, _ in classes}
    names = {name for _, name in classes}
    if len(ids) == len(names) == len(classes) and all(class_id is not None and class_id >= 0 for class_id in ids):
        return {(class_id, name): (class_id or 0) + 1 for class_id, name in classes}, failed
    ranks = {name: rank for rank, name in enumerate(sorted(names), start=1)}
    return {(class_id, name): ranks[name] for class_id, name in classes}, failed


def _stems(sources: Sequence[Source]) -> list[str]:
    """A folder name for each source's images, all different."""
    stems: list[str] = []
    for source in sources:
        stem, rank = source.stem, 2
        while stem in stems:
            stem, rank = f"{source.stem}-{rank}", rank + 1
        stems.append(stem)
    return stems
