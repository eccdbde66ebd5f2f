"""Edit decision lists as CMX 3600 wrote them: one video track, cuts only."""

from __future__ import annotations

from collections.abc import Iterator

from videodag_cli.convert.editing import Edit
from videodag_cli.errors import RequestError, printable

MAX_EVENTS = 999


def edl_lines(edit: Edit) -> Iterator[str]:
    """The lines of a list in which the clips follow each other from 00:00:00:00 on. Raises RequestError for more than it holds."""
    record = edit.zero
    if record.rate > 99:
        raise RequestError(f"an EDL counts at most 99 frames per second, not {edit.rate}; write otio, or give --rate")
    yield f"TITLE: {_text(edit.title)[:70]}"
    yield f"FCM: {'DROP FRAME' if record.drop else 'NON-DROP FRAME'}"
    yield ""
    place = 0
    for rank, clip in enumerate(edit.clips, 1):
        if rank > MAX_EVENTS:
            raise RequestError(f"an EDL has at most {MAX_EVENTS} events; write otio, or take less")
        source, length = clip.axis.timecode, clip.end - clip.start
        if source.drop != record.drop:
            raise RequestError(
                f"the timecode of {printable(clip.axis.media)} is {'' if source.drop else 'not '}drop-frame, unlike that of "
                "the first video, and an EDL has one kind; write otio"
            )
        times = (source.at(clip.start), source.at(clip.end), record.at(place), record.at(place + length))
        yield f"{rank:03d}  AX       V     C        {' '.join(times)}"
        yield f"* FROM CLIP NAME: {_text(clip.axis.media)}"
        yield f"* COMMENT: {_text(clip.name)}"
        place += length


def _text(value: str) -> str:
    return printable(value).encode("ascii", "replace").decode()
