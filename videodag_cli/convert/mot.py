"""MOTChallenge text: `frame,id,left,top,width,height,confidence,-1,-1,-1`, frames counted from 1.

`frame` is `frame_index + 1`, also with a stride. Boxes without a tracker id get the id -1, as in the challenge's detection files;
boxes without a confidence get 1. Coordinates stay 0-based pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.results_files import ResultsFile, boxes, integer_field, number, one_output
from videodag_cli.errors import RequestError
from videodag_cli.results.reading import corners


def write(sources: Sequence[ResultsFile], stream: BinaryIO, *, nodes: Sequence[str] = ()) -> Converted:
    """Write the one source. Boxes of several outputs are refused unless `nodes` chooses."""
    count = failed = 0
    path_used: str | None = None
    tracked: bool | None = None
    for source in sources:
        for line in source.lines():
            failed += line["result"] is None
            for path, _, row in boxes(line["result"] or {}, nodes):
                if path_used not in (None, path):
                    one_output([str(path_used), path], form="mot", what="boxes")
                path_used = path
                tracker_id = integer_field(row, "tracker_id")
                if tracked not in (None, tracker_id is not None):
                    raise RequestError(f"mot: some boxes of {path} have a tracker_id and some have none")
                tracked = tracker_id is not None
                x1, y1, x2, y2 = corners(row) or (0.0, 0.0, 0.0, 0.0)
                confidence = number(row, "confidence")
                values = (x1, y1, x2 - x1, y2 - y1, 1 if confidence is None else confidence)
                shown = ",".join(f"{round(value, 4):.10g}" for value in values)
                frame = line["frame_index"] + 1
                stream.write(f"{frame},{-1 if tracker_id is None else tracker_id},{shown},-1,-1,-1\n".encode())
                count += 1
    remarks = []
    if count and not tracked:
        remarks.append("the boxes have no tracker ids: this is a detection file, with -1 as id")
    if failed:
        remarks.append(
            f"{failed} failed frame{'s have' if failed > 1 else ' has'} no boxes, which the format cannot distinguish from "
            "frames without objects"
        )
    return Converted("mot", count, "box", tuple(remarks))
