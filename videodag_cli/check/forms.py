"""What came of a check, in the forms that others read: JSON, JUnit XML, and a Markdown table for the page of a CI job."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from videodag_cli.check.check import BAD, CRASHED, DIFFERS, FAILED, CaseOutcome, exit_code

SCHEMA = "videodag.check/1"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(outcomes: Sequence[CaseOutcome]) -> dict[str, Any]:
    """One document for the whole check."""
    return {
        "schema": SCHEMA,
        "exit_code": exit_code(outcomes),
        "counts": dict(Counter(outcome.status for outcome in outcomes)),
        "cases": [_case_json(outcome) for outcome in outcomes],
    }


def _case_json(outcome: CaseOutcome) -> dict[str, Any]:
    comparison = outcome.comparison
    return {
        "suite": outcome.suite,
        "name": outcome.name,
        "status": outcome.status,
        "seconds": outcome.seconds,
        "frames": outcome.frames,
        "problem": {"word": outcome.word, "message": outcome.problem} if outcome.problem else None,
        "changed": outcome.changed or None,
        **differences_json(comparison),
        "assertions": [assertion.as_json() for assertion in outcome.assertions],
        "note": outcome.note or None,
        "report": outcome.report or None,
    }


def differences_json(comparison: Any) -> dict[str, Any]:
    """A comparison as plain data: `differences` are the first of each kind, `counts` of all."""
    if comparison is None:
        return {"differences": [], "counts": [], "notes": []}
    return {
        "differences": [asdict(d) for d in sorted(comparison.differences, key=lambda d: d.frame_index)],
        "counts": [
            {"output": output, "kind": kind, "count": count}
            for (output, kind), count in sorted(comparison.counts.items())
        ],
        "notes": list(comparison.notes),
    }


def as_junit(outcomes: Sequence[CaseOutcome]) -> bytes:
    """JUnit XML, one `testsuite` per suite; a difference is a failure, everything else that goes wrong an error."""
    root = ElementTree.Element("testsuites", _totals(outcomes))
    suites = dict.fromkeys(outcome.suite for outcome in outcomes)
    for suite in suites:
        cases = [outcome for outcome in outcomes if outcome.suite == suite]
        node = ElementTree.SubElement(root, "testsuite", {"name": _xml(suite), **_totals(cases)})
        for outcome in cases:
            attributes = {"classname": _xml(suite), "name": _xml(outcome.name), "time": f"{outcome.seconds:.3f}"}
            case = ElementTree.SubElement(node, "testcase", attributes)
            lines = outcome.lines()
            if outcome.report:
                properties = ElementTree.SubElement(case, "properties")
                ElementTree.SubElement(properties, "property", {"name": "report", "value": _xml(outcome.report)})
            if outcome.exit_code:
                kind = "failure" if outcome.status == DIFFERS else "error"
                message = _xml(headline(outcome))
                problem = ElementTree.SubElement(case, kind, {"message": message, "type": outcome.status})
                problem.text = _xml("\n".join(lines))
            elif lines:
                ElementTree.SubElement(case, "system-out").text = _xml("\n".join(lines))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _totals(outcomes: Sequence[CaseOutcome]) -> dict[str, str]:
    return {
        "tests": str(len(outcomes)),
        "failures": str(sum(outcome.status == DIFFERS for outcome in outcomes)),
        "errors": str(sum(outcome.status in (FAILED, BAD, CRASHED) for outcome in outcomes)),
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def as_markdown(outcomes: Sequence[CaseOutcome]) -> str:
    """A table of all cases, and below it what is wrong with those that did not pass."""
    rows = [
        "### videodag check",
        "",
        "| case | result | frames | time | |",
        "|---|---|---:|---:|---|",
    ]
    for outcome in outcomes:
        cells = (outcome.id, outcome.status, str(outcome.frames), f"{outcome.seconds:.1f} s", headline(outcome))
        link = f" [pictures](<{quote(os.fsencode(outcome.report))}>)" if outcome.report else ""
        rows.append(f"| {' | '.join(_cell(cell) for cell in cells)}{link} |")
    for outcome in outcomes:
        if outcome.exit_code:
            fence = "~~~~"
            rows += ["", f"**{_cell(outcome.id)}**", "", fence, *outcome.lines(), fence]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", text)


def headline(outcome: CaseOutcome) -> str:
    """The shortest account of an outcome."""
    if outcome.problem:
        return outcome.problem
    broken = [assertion.message for assertion in outcome.assertions if not assertion.holds]
    parts = broken[:1]
    comparison = outcome.comparison
    if comparison is not None and comparison.total:
        parts.append(
            f"{comparison.total} {'difference' if comparison.total == 1 else 'differences'} ({comparison.counted()})"
        )
    return "; ".join(parts) or outcome.note
