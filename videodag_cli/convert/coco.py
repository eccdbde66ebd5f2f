"""COCO JSON (object detection): images, annotations, categories.

An image is a line with a result: a frame that failed is not an image without objects, so it is left out. Boxes are
`[x, y, width, height]` in pixels of the upright frame. Image and annotation ids count from 1; a category's id is `class_id + 1`,
unless the sources do not agree on what a class id means: then categories are numbered by name. `score` and `track_id` are additions
that COCO's readers ignore. A mask is the segmentation of its box, as run lengths, and corners as a polygon; key points are `keypoints`,
whose names are in the category.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from typing import Any, BinaryIO

import orjson

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.results_files import ResultsFile, boxes, integer_field, number, one_output
from videodag_cli.errors import printable
from videodag_cli.results.reading import JsonRow, corners
from videodag_cli.vision.keypoints import COCO_BONES, COCO_POINTS, SEEN, point_names
from videodag_cli.vision.masks import is_mask, mask_area

Class = tuple[int | None, str]


def write(sources: Sequence[ResultsFile], stream: BinaryIO, *, nodes: Sequence[str] = ()) -> Converted:
    """Write all sources as one data set; annotations wait in a temporary file while images are written."""
    categories, points, failed = _categories(sources, nodes)
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
                    found = _annotation(annotations, images, category, row, points.get(category))
                    kept.write(_separator(annotations) + orjson.dumps(found))
        stream.write(b'\n],"annotations":[')
        kept.seek(0)
        shutil.copyfileobj(kept, stream)
    names = sorted({(number, name) for (_, name), number in categories.items()})
    listed = [{"id": number, "name": name, **_keypoint_names(points.get(number))} for number, name in names]
    stream.write(b'\n],"categories":' + orjson.dumps(listed) + b"}\n")
    return Converted("coco", annotations, "annotation", tuple(remarks))


def _separator(rank: int) -> bytes:
    return b"\n" if rank == 1 else b",\n"


def _annotation(annotation: int, image: int, category: int, row: JsonRow, points: int | None) -> dict[str, Any]:
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
    mask = row.get("mask")
    if mask is not None and is_mask(mask):
        found["segmentation"], found["area"] = mask, mask_area(mask)
    elif (polygon := _polygon(row.get("corners"))) is not None:
        found["segmentation"], found["area"] = (
            [[v for point in polygon for v in point]],
            round(polygon_area(polygon), 4),
        )
    if points is not None:
        found["keypoints"] = _flat_points(row.get("keypoints"), points)
        found["num_keypoints"] = sum(v > 0 for v in found["keypoints"][2::3])
    if (score := number(row, "confidence")) is not None:
        found["score"] = score
    if (track := integer_field(row, "tracker_id")) is not None:
        found["track_id"] = track
    return found


def _class(path: str, row: JsonRow) -> Class:
    """Class id and name; a box without a class is named after its output."""
    class_id, name = integer_field(row, "class_id"), row.get("class_name")
    if isinstance(name, str) and name:
        return class_id, name
    return class_id, path if class_id is None else f"class {class_id}"


def _polygon(corners: object) -> list[list[float]] | None:
    """Three points or more."""
    if not isinstance(corners, list) or len(corners) < 3:
        return None
    points: list[list[float]] = corners
    return points if all(isinstance(p, list) and len(p) == 2 and None not in p for p in points) else None


def polygon_area(points: Sequence[Sequence[float]]) -> float:
    """The area of a polygon whose sides do not cross."""
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2


def _flat_points(found: object, count: int) -> list[float]:
    """`x, y, v` of each point; v is 2 where it is seen, 1 where it is not, 0 with 0, 0 where nothing is known of it."""
    if not isinstance(found, list) or len(found) != count:
        return [0] * (3 * count)
    flat: list[float] = []
    for point in found:
        known = None not in point[:2]
        seen = len(point) < 3 or (point[2] or 0) >= SEEN
        flat += [*point[:2], 2 if seen else 1] if known else [0, 0, 0]
    return flat


def _keypoint_names(count: int | None) -> dict[str, Any]:
    if count is None:
        return {}
    bones = COCO_BONES if count == len(COCO_POINTS) else ()
    return {"keypoints": list(point_names(count)), "skeleton": [[a + 1, b + 1] for a, b in bones]}


def _categories(sources: Sequence[ResultsFile], nodes: Sequence[str]) -> tuple[dict[Class, int], dict[int, int], int]:
    """The category id of every class in the sources, the number of key points of those that have some, and the number of failed frames.

    A category whose rows have different numbers of key points has none.
    """
    classes: dict[Class, None] = {}
    counts: dict[Class, set[int]] = {}
    outputs: dict[str, None] = {}
    failed = 0
    for source in sources:
        for line in source.lines():
            failed += line["result"] is None
            for path, _, row in boxes(line["result"] or {}, nodes):
                classes[_class(path, row)] = None
                if isinstance(found := row.get("keypoints"), list):
                    counts.setdefault(_class(path, row), set()).add(len(found))
                outputs[path] = None
    if not nodes:
        one_output(list(outputs), form="coco", what="boxes")
    ids = {class_id for class_id, _ in classes}
    names = {name for _, name in classes}
    if len(ids) == len(names) == len(classes) and all(class_id is not None and class_id >= 0 for class_id in ids):
        numbers = {(class_id, name): (class_id or 0) + 1 for class_id, name in classes}
    else:
        ranks = {name: rank for rank, name in enumerate(sorted(names), start=1)}
        numbers = {(class_id, name): ranks[name] for class_id, name in classes}
    points: dict[int, set[int]] = {}
    for kind, found_counts in counts.items():
        points.setdefault(numbers[kind], set()).update(found_counts)
    return numbers, {number: found.pop() for number, found in points.items() if len(found) == 1}, failed


def _stems(sources: Sequence[ResultsFile]) -> list[str]:
    """A folder name for each source's images, all different."""
    stems: list[str] = []
    for source in sources:
        stem, rank = source.stem, 2
        while stem in stems:
            stem, rank = f"{source.stem}-{rank}", rank + 1
        stems.append(stem)
    return stems
