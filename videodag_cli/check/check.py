"""Runs the cases of suites and judges what comes out: against the expected result, and by the assertions."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videodag_cli.check.suite import SUFFIX, Case
from videodag_cli.compare.changes import changes, changes_text
from videodag_cli.compare.comparison import Comparison, compare_files
from videodag_cli.errors import InputError, RequestError, VideodagError, printable, worst
from videodag_cli.expressions.assertions import AssertionOutcome, parse_assertion
from videodag_cli.results.reading import read_lines, read_record
from videodag_cli.system.documents import document

if TYPE_CHECKING:
    from videodag_cli.graph.pipeline import LoadedPipeline
    from videodag_cli.graph.plugins import Registry

PASSED, DIFFERS, FAILED, BAD, UPDATED, CRASHED = "passed", "differs", "failed", "bad", "updated", "crashed"
_EXIT_CODES = {PASSED: 0, UPDATED: 0, DIFFERS: 5, FAILED: 4, BAD: 2, CRASHED: 1}
GOLDEN_KEYS = ("schema", "request", "input", "accounting", "packages", "status", "exit_code", "errors", "problems")
INPUT_KEYS = ("path", "size", "sha256", "video", "decoder")


@dataclass(frozen=True)
class CaseOutcome:
    """What came of one case. Plain values only: it travels between processes."""

    suite: str
    name: str
    status: str
    """`passed`, `differs`, `failed` (the run), `bad` (the suite), `updated` or `crashed`."""
    seconds: float = 0.0
    frames: int = 0
    """Lines of the result."""
    problem: str = ""
    """Why the run failed or the suite is bad, in one line."""
    word: str = ""
    """The stable word of that problem."""
    changed: str = ""
    """What is not as it was when the expected result was made."""
    comparison: Comparison | None = None
    assertions: tuple[AssertionOutcome, ...] = field(default=())
    note: str = ""
    result: str = ""
    """With `updated`: the file that is to be the new expected result."""
    report: str = ""
    """With `--report`: the page about it."""

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self.status]

    @property
    def id(self) -> str:
        return f"{self.suite}::{self.name}"

    def lines(self) -> list[str]:
        """What there is to say in words, the reason first."""
        said = [self.changed] if self.changed and self.status != PASSED else []
        said += [self.problem] if self.problem else []
        said += [outcome.message for outcome in self.assertions if not outcome.holds]
        said += self.comparison.lines() if self.comparison is not None else []
        said += [self.note] if self.note else []
        return said + ([f"pictures: {printable(self.report)}"] if self.report else [])


def check_case(case: Case, folder: Path, *, workers: int | None = None, update: bool = False) -> CaseOutcome:
    """Run one case, its result and record going into `folder`. Errors become an outcome.

    update: a result that is to be the new expected one has the status `updated`; `write_golden` is left to the caller.
    """
    started = time.perf_counter()
    try:
        result = folder / result_name(case)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = _judged(case, result, workers=workers, update=update)
    except RequestError as error:
        outcome = _outcome(case, BAD, problem=error.message, word=error.word)
    except VideodagError as error:
        status = CRASHED if error.exit_code == 1 else FAILED
        outcome = _outcome(case, status, problem=f"the run failed: {error.message}", word=error.word)
    except Exception as error:
        if os.environ.get("VIDEODAG_DEBUG") == "1":
            raise
        shown = printable(f"{type(error).__name__}: {error}", limit=300)
        outcome = _outcome(case, CRASHED, problem=f"unexpected: {shown}", word="internal")
    return replace(outcome, seconds=round(time.perf_counter() - started, 3))


def check_cases(cases: Sequence[Case], folder: Path, *, jobs: int = 1, update: bool = False) -> Iterator[CaseOutcome]:
    """The outcomes in the order of the cases, each as soon as it and those before it are known; `jobs` processes work on them."""
    if jobs <= 1 or len(cases) <= 1:
        for case in cases:
            yield check_case(case, folder, update=update)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    from videodag_cli.run.job import default_workers

    workers = max(1, default_workers() // jobs)
    with ProcessPoolExecutor(min(jobs, len(cases)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(check_case, case, folder, workers=workers, update=update) for case in cases]
        try:
            for case, future in zip(cases, futures, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    yield _outcome(case, FAILED, problem="the process that ran the case died", word="stopped.crash")
        except BaseException:
            # Interrupted: leaving the pool would wait for cases that nobody wants any more.
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
            raise


def exit_code(outcomes: Sequence[CaseOutcome]) -> int:
    """The code of the whole check."""
    return worst({outcome.exit_code for outcome in outcomes})


def pipeline_of(case: Case) -> tuple[LoadedPipeline, Registry]:
    """The case's pipeline as it is on disk, and the tools there are. Raises RequestError and its kin."""
    from videodag_cli.graph.pipeline import find_pipeline, load_pipeline, search_places
    from videodag_cli.graph.plugins import make_registry

    return load_pipeline(find_pipeline(case.pipeline, search_places(case.pipelines_dirs)).path), make_registry(
        case.plugins_dirs
    )


def run_case(case: Case, output: Path, *, workers: int | None = None) -> tuple[dict[str, Any], list[AssertionOutcome]]:
    """Run a case into a file; its record as plain data, and what its assertions say. Raises VideodagErrors."""
    from videodag_cli.graph.plan import make_plan
    from videodag_cli.run.api import run_video
    from videodag_cli.run.job import RunOptions

    loaded, registry = pipeline_of(case)
    plan = make_plan(loaded, registry, overrides=case.set_params, folder=case.folder)
    assertions = [parse_assertion(text) for text in case.assertions]
    for assertion in assertions:
        assertion.require(list(plan.pipeline.output_nodes))
    options = RunOptions(workers=workers, decoder=case.decoder, overwrite=True, force=True)
    run_video(case.clip, plan, sampling=case.sampling, output=output, registry=registry, options=options)
    for line in read_lines(output) if assertions else ():
        for assertion in assertions:
            assertion.feed(line)
    return read_record(output) or {}, [assertion.finish() for assertion in assertions]


def write_golden(result: Path, expected: Path) -> None:
    """Keep a result as an expected one, with the part of its record that is the same on other machines."""
    from videodag_cli.system.files import write_atomically
    from videodag_cli.system.output_names import record_path
    from videodag_cli.system.refusals import output_error

    try:
        expected.parent.mkdir(parents=True, exist_ok=True)
        data = result.read_bytes()
    except OSError as error:
        raise output_error(error, expected) from error
    record = golden_record(read_record(result) or {})
    write_atomically(record_path(expected), document(record))
    write_atomically(expected, data)


def golden_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A run record without times, places and inodes of the machine that wrote it."""
    kept = {key: record[key] for key in GOLDEN_KEYS if key in record}
    facts = kept.get("input") or {}
    kept["input"] = {key: facts[key] for key in INPUT_KEYS if key in facts}
    if "path" in kept["input"]:
        kept["input"]["path"] = os.path.basename(kept["input"]["path"])
    request = dict(kept.get("request") or {})
    if request.get("pipeline"):
        request["pipeline"] = {**request["pipeline"], "path": os.path.basename(request["pipeline"].get("path", ""))}
    params = {node: dict(values) for node, values in (request.get("params") or {}).items()}
    for place in request.get("files") or {}:
        node, _, name = place.rpartition(".")
        if isinstance(params.get(node, {}).get(name), str):
            params[node][name] = os.path.basename(params[node][name])
    if "params" in request:
        request["params"] = params
    if "plugins" in request:
        request["plugins"] = {os.path.basename(name): digest for name, digest in request["plugins"].items()}
    kept["request"] = request
    return kept


def _judged(case: Case, result: Path, *, workers: int | None, update: bool) -> CaseOutcome:
    expected = case.expected
    is_new = expected is not None and not expected.exists()
    if is_new and not update:
        missing = f"the expected result {printable(expected)}"
        raise RequestError(
            f"{missing} is missing; `videodag check --update` makes it"
            if os.path.exists(case.clip)
            else f"{missing} and the clip {printable(case.clip)} are missing; "
            "`videodag check --update` makes the result once the clip is there",
            word="suite.invalid",
        )
    record, assertions = run_case(case, result, workers=workers)
    accounting = record.get("accounting", {})
    frames = accounting.get("ok", 0) + accounting.get("failed", 0)
    golden = _golden_record_of(expected) if expected is not None and not is_new else None
    comparison = None
    if expected is not None and not is_new:
        comparison = _compared(expected, result, case)
    facts: dict[str, Any] = {
        "frames": frames,
        "changed": changes_text(changes(golden, golden_record(record))),
        "comparison": comparison,
        "assertions": tuple(assertions),
    }
    broken = any(not outcome.holds for outcome in assertions)
    if update and expected is not None and not broken:
        return _updated(case, result, expected, facts, is_new=is_new)
    lost = _losses(accounting)
    if lost and not (golden and golden.get("exit_code") == 4 and comparison and comparison.is_equal):
        return _outcome(case, FAILED, problem=f"the run was incomplete: {lost}", word="run.incomplete", **facts)
    if broken or (comparison is not None and not comparison.is_equal):
        return _outcome(case, DIFFERS, **facts)
    return _outcome(case, PASSED, **facts)


def _compared(expected: Path, result: Path, case: Case) -> Comparison:
    """An expected file that cannot be read is the suite's fault."""
    try:
        return compare_files(expected, result, tolerances=case.tolerances)
    except InputError as error:
        raise RequestError(error.message, word="suite.invalid") from error


def _golden_record_of(expected: Path) -> dict[str, Any] | None:
    try:
        return read_record(expected)
    except InputError as error:
        raise RequestError(error.message, word="suite.invalid") from error


def _updated(case: Case, result: Path, expected: Path, facts: dict[str, Any], *, is_new: bool) -> CaseOutcome:
    comparison: Comparison | None = facts["comparison"]
    if not is_new and not facts["changed"] and result.read_bytes() == expected.read_bytes():
        return _outcome(case, PASSED, note="the expected result is as it was", **facts)
    if is_new:
        note = f"new: {printable(expected)}"
    elif comparison is not None and comparison.is_equal:
        note = f"equal within the tolerances, renewed: {printable(expected)}"
    else:
        note = f"replaced: {printable(expected)}"
    return _outcome(case, UPDATED, note=note, result=str(result), **facts)


def _losses(accounting: Mapping[str, Any]) -> str:
    parts = [f"{accounting[name]} {name}" for name in ("failed", "undecodable") if accounting.get(name)]
    return f"{' and '.join(parts)} of {accounting.get('sampled')} frames" if parts else ""


def result_name(case: Case) -> str:
    """A file name for a case's result that no other case has."""
    digest = hashlib.sha256(case.id.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{case.suite.name.removesuffix(SUFFIX)}-{case.name}")
    return f"{words[:100].strip('-.')}-{digest}.jsonl"


def _outcome(case: Case, status: str, **facts: Any) -> CaseOutcome:
    return CaseOutcome(suite=str(case.suite), name=case.name, status=status, **facts)
