"""`videodag probe`: what a video file holds, with a word on each trap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from videodag_cli.cli.shared_options import AsJson

if TYPE_CHECKING:
    from videodag_cli.video.facts import VideoFacts


def probe(
    clip: Annotated[str, typer.Argument(metavar="VIDEO", help="An MP4 or MOV file.", show_default=False)],
    stream: Annotated[
        int | None, typer.Option(metavar="N", help="Video stream of the file, by its number in the container.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Decode every frame and report the damage.")] = False,
    as_json: AsJson = False,
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", help="Refuse pictures of more pixels (67108864).")
    ] = None,
    max_index_frames: Annotated[
        int | None, typer.Option(metavar="N", help="Refuse files that claim more frames (10000000).")
    ] = None,
    max_frame_rate: Annotated[
        int | None, typer.Option(metavar="N", help="Refuse higher average frame rates (10000).")
    ] = None,
    max_pixels_per_byte: Annotated[
        int | None,
        typer.Option(metavar="N", help="Refuse more decoded pixels per byte (1000000; 15000 beyond 4096x4096)."),
    ] = None,
) -> None:
    """Show what a video file contains and what to watch for; with --full, exit 4 when it is damaged."""
    from videodag_cli.cli.streams import print_json
    from videodag_cli.errors import IncompleteError
    from videodag_cli.video.full import decode_everything
    from videodag_cli.video.limits import Limits
    from videodag_cli.video.probing import probe as look_at

    given = {
        "max_pixels": max_pixels,
        "max_frames": max_index_frames,
        "max_frame_rate": max_frame_rate,
        "max_pixels_per_byte": max_pixels_per_byte,
    }
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    found = look_at(clip, stream=stream, limits=limits)
    facts = found.facts
    if full:
        facts = facts.model_copy(update={"full": decode_everything(found)})
    if as_json:
        print_json(facts.model_dump(mode="json"))
    else:
        typer.echo("\n".join(_screen(found.shown, facts)))
    if facts.full is not None and (facts.full.undecodable or facts.full.problems):
        count = facts.full.undecodable
        what = f"{count} of {facts.frame_count} frames could not be decoded" if count else facts.full.problems[0]
        raise IncompleteError(f"{found.shown}: damaged: {what}")


def _screen(shown: str, facts: VideoFacts) -> list[str]:
    from fractions import Fraction

    from videodag_cli.cli.timestamps import timestamp

    rate = "unknown" if facts.frame_rate is None else f"{float(Fraction(facts.frame_rate)):.6g} per second"
    if facts.frame_rate is not None and "/" in facts.frame_rate:
        rate += f" ({facts.frame_rate})"
    kind = "variable" if facts.variable_frame_rate else "constant"
    scan = {True: "interlaced", False: "progressive", None: "interlacing not specified"}[facts.interlaced]
    turned = f"turned {facts.rotation}° clockwise" if facts.rotation else ""
    upright = ", ".join(word for word in ("mirrored" if facts.mirrored else "", turned) if word)
    aspect = facts.display_aspect_ratio + (
        f" (pixels {facts.sample_aspect_ratio})" if facts.sample_aspect_ratio else ""
    )
    hidden = f", {facts.discarded_packet_count} hidden" if facts.discarded_packet_count else ""
    if facts.pictureless_packet_count:
        hidden += f", {facts.pictureless_packet_count} without a picture"
    header = "nothing" if facts.header_frame_count is None else str(facts.header_frame_count)
    others = [
        f"{s.index} {s.kind}{f' {s.codec}' if s.codec else ''}{f' {s.width}x{s.height}' if s.width else ''}"
        for s in facts.streams
        if s.index != facts.stream
    ]
    layout = ", ".join(
        word
        for word, so in (
            (facts.container, True),
            ("fragmented", facts.fragmented),
            ("index at the end", facts.index_at_end and not facts.fragmented),
            ("edit list", facts.edit_list),
            (f"{facts.size_bytes} bytes", True),
        )
        if so
    )
    rows = [
        ("container", layout),
        (
            "video",
            f"stream {facts.stream}: "
            + ", ".join(w for w in (facts.codec, facts.profile, facts.pixel_format, scan) if w),
        ),
        ("picture", f"{facts.width}x{facts.height}, shown as {aspect}" + (f", stored {upright}" if upright else "")),
        ("colour", facts.color or "not specified: BT.601, limited range"),
        ("frames", f"{facts.frame_count} in {facts.packet_count} packets{hidden}; the header claims {header}"),
        ("rate", f"{rate}, {kind}"),
        (
            "time",
            f"from {timestamp(facts.first_time_s or 0)} for {timestamp(facts.duration_s)} ({facts.duration_s:g} s)",
        ),
        *([("created", facts.creation_time)] if facts.creation_time else []),
        *([("recorded", facts.recorded_time)] if facts.recorded_time else []),
        *([("timecode", facts.timecode)] if facts.timecode else []),
        ("keyframes", f"{facts.keyframe_count}, at most {facts.longest_keyframe_gap} frames apart"),
        ("other streams", "; ".join(others) or "none"),
        ("reader", f"{facts.decoder}: {facts.decoder_reason}"),
    ]
    lines = [shown, *(f"  {name:<14}{value}" for name, value in rows)]
    lines += [f"  ! {note}" for note in facts.notes]
    if facts.full is not None:
        lines += _damage(facts)
    return lines


def _damage(facts: VideoFacts) -> list[str]:
    from videodag_cli.cli.timestamps import timestamp

    full = facts.full
    assert full is not None
    lines = [f"  ! {words}" for words in (*full.problems, *full.remarks)]
    if not full.undecodable and not full.problems:
        return [*lines, f"  all {full.decoded} frames were decoded"]
    if full.undecodable:
        runs = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in full.undecodable_ranges[:8])
        more = " ..." if len(full.undecodable_ranges) > 8 else ""
        when = timestamp(full.first_undecodable_time_s or 0)
        lines.append(
            f"  ! damaged: {full.undecodable} of {facts.frame_count} frames could not be decoded, first at {when}: {runs}{more}"
        )
    if full.after_damage:
        lines.append(f"  ! {full.after_damage} decoded frames follow a damaged one and may show its traces")
    return lines
