"""`videodag static`: boxes that never move, as zones that a filter leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from videodag_cli.cli.shared_options import AsJson, file_to_write


def static(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULTS...", help="Results JSONL of clips of one camera.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            parser=file_to_write,
            help="Also write them as a zones file.",
            show_default=False,
        ),
    ] = None,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Smallest share of the frames in which a thing must be in its place.")
    ] = 0.6,
    min_frames: Annotated[
        int, typer.Option(metavar="N", min=2, help="Smallest number of frames that tell anything.")
    ] = 30,
    node: Annotated[
        list[str] | None, typer.Option("--node", metavar="NODE", help="Take only the outputs of this node.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print boxes that never move, and write zones with which a filter leaves them out.

    Nothing is removed by this command. Use the file as exclude_zones of filter.detections or filter.tracks.
    """
    import dataclasses
    from itertools import chain

    from videodag_cli.cli.pipelines import columns
    from videodag_cli.cli.streams import print_json
    from videodag_cli.convert.static import find_static
    from videodag_cli.errors import RequestError
    from videodag_cli.results.reading import read_lines, read_record, with_records
    from videodag_cli.system.files import whole_file

    sizes = set()
    for source in results:
        facts = ((read_record(source) or {}).get("input", {}).get("video")) or {}
        if "width" in facts:
            sizes.add((facts["width"], facts["height"]))
    if len(sizes) > 1:
        listed = " and ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise RequestError(f"the clips have pictures of {listed}: give those of one camera")
    lines = chain.from_iterable(map(read_lines, results))
    found, frames = find_static(lines, share=share, min_frames=min_frames, nodes=node or ())
    if as_json:
        print_json({"frames": frames, "static": [dataclasses.asdict(thing) for thing in found]})
    elif found:
        rows = [("CLASS", "BOX", "FRAMES", "CONFIDENCE")]
        for thing in found:
            box = ",".join(f"{side:.1f}" for side in thing.xyxy)
            score = "" if thing.confidence is None else f"{thing.confidence:.2f}"
            rows.append((thing.class_name, box, f"{thing.frames} of {frames}", score))
        typer.echo(columns(rows))
    else:
        typer.echo(f"nothing stays in its place in {share:.0%} of {frames} frames")
    if output is None:
        return
    if not found:
        raise RequestError("no zones file is written, because nothing was found; a lower --share finds more")
    from videodag_cli.system.documents import document

    size = next(iter(sizes), None)
    zones = [thing.zone(f"static {rank} {thing.class_name}".strip(), size) for rank, thing in enumerate(found, 1)]
    with whole_file(output, overwrite=overwrite, inputs=with_records(results)) as stream:
        stream.write(document(zones))
