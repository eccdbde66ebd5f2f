"""One page for a case that did not pass: what differs, when, and the frames that show it, expected and found side by side.

Everything is text and drawings made here; the page runs no more code than the switch between light and dark.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from videodag_cli.check.check import CaseOutcome
from videodag_cli.check.forms import headline
from videodag_cli.errors import printable
from videodag_cli.report.case_shapes import drawn_shapes, is_turned
from videodag_cli.report.differing import Differing, DrawnBox, ShownFrame
from videodag_cli.report.page import asset, filled, policy

SLOTS_OF_TIME = 400
"""Steps in which the timeline shows where a case differs."""
MAX_ROWS = 40
"""Outputs with a line of their own in the timeline, and values of a frame that are listed."""
WHOLE_FRAMES = "whole frames"


@dataclass(frozen=True)
class CaseFacts:
    """What a page shows besides the lines."""

    pictures: Mapping[int, str] = field(default_factory=dict)
    """`frame_index` -> data URI."""
    size: tuple[int, int] = (640, 360)
    """Of the frame whose pixels the boxes are in."""
    remarks: Sequence[str] = ()
    proposed: str = ""
    """Name of the file beside the page that would be the new expected result; empty where there is none."""
    update: str = ""
    """The command that would make it that."""


def render_case(outcome: CaseOutcome, found: Differing, facts: CaseFacts) -> bytes:
    """The page, complete in itself."""
    from videodag_cli import __version__

    scripts = {
        "THEME": asset("theme.js"),
        "PAGE": f"(() => {{\n'use strict';\n{asset('base.js')}\nfollowTheme();\n"
        "document.documentElement.dataset.ready = 'yes';\n})();",
    }
    style = asset("page.css") + "\n" + asset("case.css")
    slots = {
        "TITLE": _text(f"{outcome.name}: {outcome.status}"),
        "POLICY": html.escape(policy(scripts.values(), style), quote=True),
        "STYLE": style,
        "NAME": _text(outcome.name),
        "SUITE": _text(outcome.suite),
        "VERDICT": _text(f"{outcome.status}: {headline(outcome)}"),
        "BODY": "\n".join(_body(outcome, found, facts)),
        "FOOT": _text(f"Written by videodag {__version__}. This page is complete in itself and loads nothing."),
        **scripts,
    }
    return filled("case.html", slots)


def _text(value: object) -> str:
    """Text from results, suites and files: one line, and never markup."""
    return html.escape(printable(value), quote=True)


def _body(outcome: CaseOutcome, found: Differing, facts: CaseFacts) -> Iterator[str]:
    for remark in facts.remarks:
        yield f'<p class="notice">{_text(remark)}</p>'
    yield from _section("overview", "What is wrong", "", _overview(outcome))
    if found.moments or found.broken:
        yield from _section("when", "When it differs", "Blue marks are the frames below.", _timeline(found))
    if found.frames:
        yield from _section("frames", "Frames", _frames_hint(found), _frames(found, facts))
    yield from _section("next", "If this is what it should be now", "", _proposal(facts))


def _section(name: str, title: str, hint: str, content: Iterator[str]) -> Iterator[str]:
    inner = "\n".join(content)
    if inner:
        said = f'<p class="soft">{_text(hint)}</p>' if hint else ""
        yield f'<section id="{name}"><div class="section-head"><h2>{_text(title)}</h2>{said}</div>\n{inner}</section>'


def _overview(outcome: CaseOutcome) -> Iterator[str]:
    if outcome.problem:
        yield f'<p class="notice bad">{_text(outcome.problem)}</p>'
    for broken in outcome.assertions:
        if not broken.holds:
            yield f'<p class="notice bad">{_text(broken.message)}</p>'
    if outcome.changed:
        yield f'<p class="notice">{_text(outcome.changed)}</p>'
    comparison = outcome.comparison
    if comparison is not None and comparison.counts:
        rows = (
            f"<tr><td>{_text(output or WHOLE_FRAMES)}</td><td>{_text(kind)}</td>"
            f'<td class="num">{count}</td><td class="text">{_text(_example(outcome, output, kind))}</td></tr>'
            for (output, kind), count in sorted(comparison.counts.items())
        )
        yield _table(("output", "difference", "how often", "the first"), rows)
    for note in comparison.notes if comparison is not None else ():
        yield f'<p class="soft small more">{_text(note)}</p>'


def _example(outcome: CaseOutcome, output: str, kind: str) -> str:
    assert outcome.comparison is not None
    first = next((d for d in outcome.comparison.differences if (d.output, d.kind) == (output, kind)), None)
    return "" if first is None else f"frame {first.frame_index}, {first.time_s:.2f} s: {first.words}"


def _table(head: Sequence[str], rows: Iterator[str]) -> str:
    names = "".join(f'<th class="{"num" if name == "how often" else ""}">{_text(name)}</th>' for name in head)
    return f'<div class="scroll"><table class="list"><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _timeline(found: Differing) -> Iterator[str]:
    start, end = found.extent_s
    length = max(end - start, 1e-9)

    def place(time_s: float) -> int:
        return max(0, min(SLOTS_OF_TIME - 1, int((time_s - start) / length * SLOTS_OF_TIME)))

    def row(name: str, count: str, drawn: str) -> str:
        return (
            f'<div><span class="name"><b>{_text(name)}</b> <span class="soft">{count}</span></span>'
            f'<svg viewBox="0 0 {SLOTS_OF_TIME} 26" preserveAspectRatio="none" role="img" aria-label="{_text(name)}: {count}">'
            f'<rect class="track" x="0" y="4" width="{SLOTS_OF_TIME}" height="18"/>{drawn}</svg></div>'
        )

    shown = {place(frame.time_s) for frame in found.frames}
    yield '<div class="where">'
    for output, times in list(found.moments.items())[:MAX_ROWS]:
        marks = "".join(
            f'<rect class="{"shown" if slot in shown else ""}" x="{slot}" y="4" width="1.6" height="18"/>'
            for slot in sorted({place(time_s) for time_s in times})
        )
        count = f"{len(times)} difference{'' if len(times) == 1 else 's'}, the first at {times[0]:.2f} s"
        yield row(output or WHOLE_FRAMES, count, marks)
    if len(found.moments) > MAX_ROWS:
        yield f'<div><span class="name soft">and {len(found.moments) - MAX_ROWS} more outputs</span></div>'
    for assertion, ranges in found.broken.items():
        spans = [(place(start_s), max(1.6, place(end_s) + 1 - place(start_s))) for start_s, end_s in ranges]
        drawn = "".join(f'<rect x="{slot}" y="4" width="{width:g}" height="18"/>' for slot, width in spans)
        when = f"{len(ranges)} time range{'' if len(ranges) == 1 else 's'}, the first from {ranges[0][0]:.2f} s"
        yield row(assertion, f"does not hold in {when}", drawn)
    yield f'<div class="axis"><span class="name">time</span><span>{start:.2f} s<i></i><b>{end:.2f} s</b></span></div></div>'


def _frames_hint(found: Differing) -> str:
    what = "in which an assertion begins to fail" if found.one_sided else "that differ"
    count = f"{found.frame_count} frame{'' if found.frame_count == 1 else 's'}"
    if found.frame_count > len(found.frames):
        return f"{len(found.frames)} of {count} {what}."
    return f"The {count} {what}."


def _frames(found: Differing, facts: CaseFacts) -> Iterator[str]:
    first = "found" if found.one_sided else "expected"
    if not found.one_sided:
        yield (
            '<div class="keys"><span class="key key-alone">only in this result</span>'
            '<span class="key key-both">in both</span></div>'
        )
    for frame in found.frames:
        yield f'<div class="frame" id="frame-{frame.frame_index}"><h3>Frame {frame.frame_index}, {frame.time_s:.3f} s</h3>'
        if frame.words:
            more = f"<li>and {frame.omitted} more</li>" if frame.omitted else ""
            yield f"<ul>{''.join(f'<li>{_text(words)}</li>' for words in frame.words)}{more}</ul>"
        yield '<div class="pair">'
        if not found.one_sided:
            yield _figure("expected", first, frame, frame.expected, frame.expected_boxes, facts)
        yield _figure("found", first, frame, frame.found, frame.found_boxes, facts)
        yield "</div>"
        if frame.values:
            rows = (
                f'<tr><td>{_text(path)}</td><td class="value">{_text(_short(old))}</td><td class="value">{_text(_short(new))}</td></tr>'
                for path, old, new in frame.values[:MAX_ROWS]
            )
            yield f'<div class="more">{_table(("value", "expected", "found"), rows)}</div>'
        yield "</div>"


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:299]}…"


def _figure(
    side: str,
    first: str,
    frame: ShownFrame,
    line: Mapping[str, Any] | None,
    boxes: Sequence[DrawnBox],
    facts: CaseFacts,
) -> str:
    """first: the side that holds the picture; the other one refers to it."""
    width, height = _size(line, facts)
    picture = facts.pictures.get(frame.frame_index)
    drawing, name = "", f"picture-{frame.frame_index}"
    if picture and side == first:
        drawing = f'<image id="{name}" href="{picture}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
    elif picture:
        drawing = f'<use href="#{name}"/>'
    unit = width / 480  # a pixel of the page, about
    drawing += "".join(_box(box, unit, width) for box in sorted(boxes, key=lambda box: box.alone))
    if not picture:
        drawing += f'<text class="none" x="{8 * unit:.1f}" y="{height - 8 * unit:.1f}" font-size="{12 * unit:.1f}">no picture</text>'
    alone = sum(box.alone for box in boxes)
    said = _state(line) or (
        f"{len(boxes)} box{'' if len(boxes) == 1 else 'es'}" + (f", {alone} only here" if alone else "")
    )
    return (
        f'<figure><figcaption><b>{side}</b> {_text(said)}</figcaption><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{_text(f"Frame {frame.frame_index}, {side}: {said}")}">{drawing}</svg></figure>'
    )


def _state(line: Mapping[str, Any] | None) -> str:
    if line is None:
        return "no such frame"
    if line["result"] is None:
        error = line.get("error") or {}
        return f"failed: {error.get('node', '')}: {error.get('type', '')}: {str(error.get('message', ''))[:200]}"
    return ""


def _size(line: Mapping[str, Any] | None, facts: CaseFacts) -> tuple[int, int]:
    own = (line or {}).get("size")
    if isinstance(own, list) and len(own) == 2 and all(type(side) is int and side > 0 for side in own):
        return own[0], own[1]
    return facts.size


def _box(box: DrawnBox, unit: float, width: int) -> str:
    x, y, right, bottom = box.xyxy
    shape = f'x="{x:g}" y="{y:g}" width="{max(0.0, right - x):g}" height="{max(0.0, bottom - y):g}"'
    size = 10.5 * unit
    top = y - size * 1.35 if y >= size * 1.35 else y
    length = (len(box.label) * 0.6 + 0.6) * size
    left = max(0.0, min(x, width - length))
    kinds = " ".join(name for name, holds in (("alone", box.alone), ("turned", is_turned(box.shapes))) if holds)
    return (
        f'<g class="{kinds}">{drawn_shapes(box.shapes, unit)}'
        f'<rect class="edge" {shape} stroke-width="{3.5 * unit:.2f}"/><rect class="box" {shape} stroke-width="{1.8 * unit:.2f}"/>'
        f'<rect class="tag" x="{left:.1f}" y="{top:.1f}" width="{length:.1f}" height="{size * 1.35:.1f}"/>'
        f'<text x="{left + size * 0.3:.1f}" y="{top + size:.1f}" font-size="{size:.1f}" '
        f'textLength="{length - size * 0.6:.1f}" lengthAdjust="spacingAndGlyphs">{_text(box.label)}</text></g>'
    )


def _proposal(facts: CaseFacts) -> Iterator[str]:
    if facts.proposed:
        name = _text(facts.proposed)
        yield f'<p>The result that was found: <a class="frame-link" href="{name}" download>{name}</a></p>'
    if facts.update:
        yield f'<div class="command"><code>{_text(facts.update)}</code></div>'
