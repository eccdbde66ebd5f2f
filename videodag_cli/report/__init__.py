"""A results file as one HTML page that opens offline and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videodag_cli.errors import InputError, printable
from videodag_cli.report.collect import Collected, collect
from videodag_cli.results.reading import read_lines, read_record, shown_name, with_records


@dataclass(frozen=True)
class Report:
    """What was written."""

    lines: int
    pictures: int
    remarks: tuple[str, ...]
    """What the page lacks, and why."""


def write_report(
    results: str | Path,
    output: str | Path,
    *,
    at: Sequence[str] = (),
    video: str | Path | None = None,
    overwrite: bool = False,
) -> Report:
    """Write the report of the results file `results` as the page `output`; `-` is standard input or output.

    at: moments that get a picture besides those chosen: `812f` is a frame index, `27s`, `27.5` or `1:02` a time; commas separate several.
    video: the clip, where the record does not name it or it has moved.
    """
    from videodag_cli import __version__
    from videodag_cli.report import page, pick, tuning
    from videodag_cli.system.files import whole_file

    record = read_record(results)
    inputs = [*with_records([results]), *([] if video is None else [video])]
    with whole_file(output, overwrite=overwrite, inputs=inputs) as stream:
        found = collect(read_lines(results))
        asked = pick.lines_at(at, found)
        pictures, size, remarks = _pictures(found, record, results, video, pick.pick(found, asked=asked))
        if record is None:
            remarks.insert(0, "There is no run record beside the results: what it would say is missing from this page.")
        if found.details.omitted:
            remarks.append(
                f"Key points, masks, corners and classes of {found.details.omitted} later frames have no room in this page."
            )
        recorded = ((record or {}).get("input") or {}).get("video") or {}
        if size is None and isinstance(recorded.get("width"), int) and isinstance(recorded.get("height"), int):
            size = (recorded["width"], recorded["height"])
        name = _name(record, results)
        facts = {
            "title": name,
            "subtitle": _subtitle(record),
            "foot": f"Written by videodag {__version__} from {shown_name(results)}. This page is complete in itself and loads nothing.",
            "results": shown_name(results),
            "remarks": remarks,
            "record": record,
            "pictures": pictures,
            "pictures_missing": "No pictures." if not remarks else remarks[-1],
            "size": size or _extent(found),
            "size_known": size is not None,
            "settings": {path: tuning.confidence_setting(record, boxes.node) for path, boxes in found.boxes.items()},
            "joined": tuning.described_boxes(record, {path: boxes.node for path, boxes in found.boxes.items()}),
            "zone_node": tuning.node_with(record, "zones"),
            "line_node": tuning.node_with(record, "lines"),
            "first_line": asked[0] if asked else _telling(pictures),
        }
        stream.write(page.render_page(found, facts, title=f"{name} – videodag report"))
    return Report(len(found), len(pictures), tuple(remarks))


def _pictures(
    found: Collected,
    record: dict[str, Any] | None,
    results: str | Path,
    video: str | Path | None,
    picked: dict[int, list[str]],
) -> tuple[list[dict[str, Any]], tuple[int, int] | None, list[str]]:
    """Pictures of the picked lines, the frame's size, and remarks.

    A video that the user named must be readable, one that the record names need not.
    """
    from videodag_cli.report.thumbnails import picture_uris
    from videodag_cli.results.origin import video_of

    remark = ""
    path: Path | None
    if video is None:
        path, remark = video_of(record, results)
        if path is None:
            remark += ", so there are no pictures; --video CLIP gives them."
        elif remark:
            remark += ": the pictures may not be what was seen."
    else:
        path = Path(video)
    if path is None or not picked:
        return [], None, [remark] if remark else []
    try:
        stream = ((record or {}).get("request") or {}).get("stream")
        frames = [found.frame_index[line] for line in picked]
        uris, size = picture_uris(path, frames, stream=stream if isinstance(stream, int) else None)
    except InputError as error:
        if video is not None:
            raise
        return [], None, [f"No pictures: {error.message}"]
    pictures = [
        {"line": line, "src": uris[found.frame_index[line]], "reasons": reasons}
        for line, reasons in picked.items()
        if found.frame_index[line] in uris
    ]
    return pictures, size, [remark] if remark else []


def _telling(pictures: list[dict[str, Any]]) -> int:
    """The line to open with: the one with the most reasons for a picture."""
    if not pictures:
        return 0
    return int(
        max(
            pictures,
            key=lambda picture: (any(r.startswith("most in") for r in picture["reasons"]), len(picture["reasons"])),
        )["line"]
    )


def _name(record: dict[str, Any] | None, results: str | Path) -> str:
    video = ((record or {}).get("input") or {}).get("path")
    return printable(Path(str(video)).name if video else shown_name(results))


def _subtitle(record: dict[str, Any] | None) -> str:
    if record is None:
        return "results without a run record"
    request = record.get("request") or {}
    pipeline = request.get("pipeline") or {}
    name = (pipeline.get("definition") or {}).get("name")
    shown = f"{name} ({pipeline.get('id')})" if name else str(pipeline.get("id"))
    sampling = {k: v for k, v in (request.get("sampling") or {}).items() if v not in (None, False)}
    chosen = ", ".join(f"{k} {v}".replace("_", " ") for k, v in sampling.items())
    return f"{shown} · {chosen or 'every frame'}"


def _extent(found: Collected) -> tuple[int, int]:
    """A frame that holds every box, where nothing says how large the frame was."""
    width, height = 640.0, 360.0
    for boxes in found.boxes.values():
        width = max(width, *(boxes.xyxy[2::4] or [0]))
        height = max(height, *(boxes.xyxy[3::4] or [0]))
    return int(width) + 1, int(height) + 1
