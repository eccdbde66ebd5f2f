"""OpenTimelineIO: a timeline with one video track, as the documents of its version 0.15 and later hold it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from videodag_cli.convert.editing import Edit, FrameAxis
from videodag_cli.errors import printable


def otio_document(edit: Edit) -> dict[str, Any]:
    """The clips, one after the other; times count from the timecode of the first frame of each video."""
    rate = float(edit.rate)

    def time(value: int) -> dict[str, Any]:
        return {"OTIO_SCHEMA": "RationalTime.1", "rate": rate, "value": float(value)}

    def span(first: int, length: int) -> dict[str, Any]:
        return {"OTIO_SCHEMA": "TimeRange.1", "start_time": time(first), "duration": time(length)}

    def media(axis: FrameAxis) -> dict[str, Any]:
        return {
            "OTIO_SCHEMA": "ExternalReference.1",
            "metadata": {},
            "name": printable(axis.media),
            "available_range": None if axis.frame_count is None else span(axis.timecode.start, axis.frame_count),
            "available_image_bounds": None,
            "target_url": quote(axis.media.encode("utf-8", "surrogateescape")),
        }

    children = [
        {
            "OTIO_SCHEMA": "Clip.2",
            "metadata": {},
            "name": printable(clip.name),
            "source_range": span(clip.axis.timecode.start + clip.start, clip.end - clip.start),
            "effects": [],
            "markers": [],
            "enabled": True,
            "media_references": {"DEFAULT_MEDIA": media(clip.axis)},
            "active_media_reference_key": "DEFAULT_MEDIA",
        }
        for clip in edit.clips
    ]

    def item(schema: str, name: str, children: list[Any], **more: Any) -> dict[str, Any]:
        common: dict[str, Any] = {
            "metadata": {},
            "name": name,
            "source_range": None,
            "effects": [],
            "markers": [],
            "enabled": True,
        }
        return {"OTIO_SCHEMA": schema, **common, "children": children, **more}

    track = item("Track.1", "V1", children, kind="Video")
    return {
        "OTIO_SCHEMA": "Timeline.1",
        "metadata": {},
        "name": printable(edit.title),
        "global_start_time": None,
        "tracks": item("Stack.1", "tracks", [track]),
    }
