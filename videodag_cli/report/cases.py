"""Pages for the cases of a check that did not pass, in one folder, with the results that were found beside them."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from videodag_cli.check.check import CaseOutcome, result_name, write_golden
from videodag_cli.check.suite import Case
from videodag_cli.errors import VideodagError, printable
from videodag_cli.report.case_page import CaseFacts, render_case
from videodag_cli.report.differing import Differing, differing, extent
from videodag_cli.results.reading import read_record


def report_case(case: Case, outcome: CaseOutcome, results: Path, folder: Path) -> CaseOutcome:
    """Write the page of a case that did not pass, and say in its outcome where it is; of one that passed, remove an earlier page.

    results: the folder with the results that were compared.
    """
    from videodag_cli.system.files import remove, write_atomically
    from videodag_cli.system.output_names import record_path
    from videodag_cli.system.refusals import writing

    result = results / result_name(case)
    proposed = folder / result.name
    page = proposed.with_suffix(".html")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for old in (page, proposed, record_path(proposed)):
        if old.is_file():
            remove(old)
    if not outcome.exit_code:
        return outcome
    found, facts = Differing(), CaseFacts(remarks=("There is no result: the case could not be run.",))
    if result.is_file():
        found = differing(case, outcome, result)
        facts = _facts(case, found, result)
        if case.expected is not None:
            write_golden(result, proposed)
            update = shlex.join(["videodag", "check", str(case.suite), "--update"])
            facts = replace(facts, proposed=proposed.name, update=update)
    write_atomically(page, render_case(outcome, found, facts))
    return replace(outcome, report=str(page))


def _facts(case: Case, found: Differing, result: Path) -> CaseFacts:
    from videodag_cli.report.thumbnails import picture_uris

    record = read_record(result) or {}
    video = (record.get("input") or {}).get("video") or {}
    size = (video["width"], video["height"]) if "width" in video and "height" in video else extent(found.frames)
    frames = [frame.frame_index for frame in found.frames]
    if not frames:
        return CaseFacts(size=size)
    stream = (record.get("request") or {}).get("stream")
    try:
        pictures, size = picture_uris(case.clip, frames, stream=stream)
    except VideodagError as error:
        return CaseFacts(size=size, remarks=(f"No pictures: {error.message}",))
    missing = [index for index in frames if index not in pictures]
    remarks: list[str] = []
    if missing:
        listed = ", ".join(map(str, missing))
        remarks.append(f"No picture of frame {listed}: {printable(case.clip.name)} has none, or it cannot be decoded.")
    return CaseFacts(pictures=pictures, size=size, remarks=remarks)
