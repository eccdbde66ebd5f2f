"""Edit decision lists as CMX 3600 wrote them: one video track, cuts only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from videodag_cli.convert.editing import EditedClip, FrameAxis
from videodag_cli.errors import RequestError, printable
from videodag_cli.run.timecode import Timecode

MAX_EVENTS = 999


def edl_lines(clips: Iterable[EditedClip], axis: FrameAxis) -> Iterator[str]:
    """The lines of a list in which the clips follow each other from 00:00:00:00 on. Raises RequestError for more than it holds."""
    if axis.timecode.rate > 99:
        raise RequestError(f"an EDL counts at most 99 frames per second, not {axis.rate}; write otio, or give --rate")
    record = Timecode(0, axis.timecode.rate, axis.timecode.drop)
    yield f"TITLE: {_text(axis.media)[:70]}"
    yield f"FCM: {'DROP FRAME' if record.drop else 'NON-DROP FRAME'}"
    yield ""
    place = 0
    for rank, clip in enumerate(clips, 1):
        if rank > MAX_EVENTS:
            raise RequestError(f"an EDL has at most {MAX_EVENTS} events; write otio, or take less")
        length = clip.end - clip.start
        times = (axis.timecode.at(clip.start), axis.timecode.at(clip.end), record.at(place), record.at(place + length))
        yield f"{rank:03d}  AX       V     C        {' '.join(times)}"
        yield f"* FROM CLIP NAME: {_text(axis.media)}"
        yield f"* COMMENT: {_text(clip.name)}"
        place += length


def _text(value: str) -> str:
    return printable(value).encode("ascii", "replace").decode()
