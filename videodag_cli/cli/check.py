"""`videodag check`: do clips still give the results they gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videodag_cli.cli.run import SAMPLING, run
from videodag_cli.cli.shared_options import AsJson, file_to_write, options_in_panel, with_options_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from videodag_cli.check.check import CaseOutcome
    from videodag_cli.check.suite import Case, CaseTable
    from videodag_cli.errors import VideodagError
    from videodag_cli.system.straight import StraightOutput

ADDING = "With --add: the new case"


@with_options_of(run, options_in_panel(run, SAMPLING), panel=ADDING)
def check(
    suites: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SUITE",
            help="*.videodag.toml files or folders; none: all below the working directory. With --add: SUITE CLIP.",
            show_default=False,
        ),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Append a case for CLIP to SUITE and write its expected result.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Show what changed, then make it the expected result.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", parser=file_to_write, help="Also write the outcome as JUnit XML.")
    ] = None,
    as_json: AsJson = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Number of cases run at once.")] = 1,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the results that were compared in this folder.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write a page with pictures for each case that does not pass, and the result it gave."
        ),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline",
            "-p",
            metavar="ID",
            help="Pipeline of the case: an id, builtin:ID, or a .json file.",
            rich_help_panel=ADDING,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Name of the case.", rich_help_panel=ADDING)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NODE.PARAM=VALUE", help="Replace a param of a node.", rich_help_panel=ADDING),
    ] = None,
    assert_: Annotated[
        list[str] | None,
        typer.Option("--assert", metavar="EXPR", help="Expression that must hold as well.", rich_help_panel=ADDING),
    ] = None,
    **sampling: Any,
) -> None:
    """Run suites of regression checks: exit 5 on a difference, 4 on a failed run, 2 on a bad suite."""
    from videodag_cli.check.suite import case_table, chosen_suites, free_name, load_suite
    from videodag_cli.cli import streams
    from videodag_cli.errors import RequestError
    from videodag_cli.system import stdio

    output = stdio.require_stdout(stdio.claim_stdout())

    def say(text: str) -> None:
        output.write(f"{text}\n".encode("utf-8", "backslashreplace"))

    with _folder(keep) as folder:
        if add:
            if pipeline is None or suites is None or len(suites) != 2:
                raise RequestError("write: videodag check --add SUITE CLIP -p PIPELINE")
            if report is not None:
                raise RequestError("--report is about cases that do not pass; leave it out with --add")
            if update:
                raise RequestError("--add writes a new expected result, --update old ones; give one of them")
            suite, clip = suites
            _require_text(suite, clip, pipeline, name, *sampling.values(), *(set_ or ()), *(assert_ or ()))
            table = case_table(
                {
                    "name": f"{clip.stem}-{Path(pipeline.removeprefix('builtin:')).stem}" if name is None else name,
                    "clip": _relative(str(clip), suite),
                    "pipeline": _relative(pipeline, suite) if pipeline.endswith(".json") else pipeline,
                    "sampling": {key: value for key, value in sampling.items() if value is not None},
                    "expected": "new",
                    "assert": tuple(assert_ or ()),
                }
            )
            table = table.model_copy(update={"name": free_name(suite, table.name, exact=name is not None)})
            outcomes = [_added(suite, table, set_ or [], folder, say)]
        else:
            given = [pipeline, name, *sampling.values(), *(set_ or ()), *(assert_ or ())]
            if any(given):
                raise RequestError("these options need --add; the cases of a suite have their own")
            cases = [case for suite in chosen_suites(suites or ()) for case in load_suite(suite)]
            outcomes = _checked(cases, folder, jobs, update, report, say if not as_json else None)
    _report(outcomes, output if as_json else None, junit)
    error = _error(outcomes)
    if error is not None:
        raise error
    if not as_json:
        streams.say(f"{len(outcomes)} {'case' if len(outcomes) == 1 else 'cases'} passed")


def _require_text(*values: object) -> None:
    """Refuse what a suite cannot hold."""
    from videodag_cli.errors import RequestError, printable

    for value in values:
        try:
            str(value).encode()
        except UnicodeError as error:
            raise RequestError(
                f"{printable(value)}: is not valid UTF-8, and suites are UTF-8 text; give the file another name"
            ) from error


def _folder(keep: Path | None) -> Any:
    from contextlib import nullcontext
    from tempfile import TemporaryDirectory

    return TemporaryDirectory(prefix="videodag-check-") if keep is None else nullcontext(str(keep))


def _checked(
    cases: Sequence[Case],
    folder: str,
    jobs: int,
    update: bool,
    report: Path | None,
    say: Callable[[str], None] | None,
) -> list[CaseOutcome]:
    from videodag_cli.check.check import UPDATED, check_cases, write_golden

    outcomes = []
    by_id = {case.id: case for case in cases}
    for outcome in check_cases(cases, Path(folder), jobs=jobs, update=update):
        if report is not None:
            from videodag_cli.report.cases import report_case

            outcome = report_case(by_id[outcome.id], outcome, Path(folder), report)
        if say is not None:
            _say_outcome(outcome, say)
        expected = by_id[outcome.id].expected
        if outcome.status == UPDATED and expected is not None:
            write_golden(Path(outcome.result), expected)
        outcomes.append(outcome)
    return outcomes


def _say_outcome(outcome: CaseOutcome, say: Callable[[str], None]) -> None:
    from videodag_cli.errors import printable

    frames = f"{outcome.frames} frames, " if outcome.frames else ""
    say(f"{outcome.status:8} {printable(outcome.id)} ({frames}{outcome.seconds:.1f} s)")
    for line in outcome.lines():
        say(f"    {line}")


def _added(
    suite: Path, table: CaseTable, assignments: list[str], folder: str, say: Callable[[str], None]
) -> CaseOutcome:
    """Run a new case; its golden and its place in the suite are written when the run could be finished and the assertions hold."""
    from videodag_cli.check.check import UPDATED, check_case, write_golden
    from videodag_cli.check.suite import appended, case_of, golden_name
    from videodag_cli.errors import OutputError, printable
    from videodag_cli.system.files import write_atomically

    if not suite.parent.is_dir():
        raise OutputError(f"{printable(suite.parent)}: there is no such folder", word="output.folder")
    table = table.model_copy(update={"expected": golden_name(suite, table.name)})
    if assignments:
        first = case_of(suite, appended(suite, table), table.name)
        table = table.model_copy(update={"set_": _set_table(first, assignments)})
    content = appended(suite, table)
    case = case_of(suite, content, table.name)
    outcome = check_case(case, Path(folder), update=True)
    _say_outcome(outcome, say)
    if outcome.status == UPDATED and case.expected is not None:
        write_golden(Path(outcome.result), case.expected)
        write_atomically(suite, content)
        say(f"    added to {printable(suite)}")
    return outcome


def _relative(path: str, suite: Path) -> str:
    import os

    return Path(os.path.relpath(path, suite.parent)).as_posix()


def _set_table(case: Case, assignments: list[str]) -> dict[str, Any]:
    """`--set` as a suite writes it: numbers as numbers, files relative to the suite."""
    from videodag_cli.check.check import pipeline_of
    from videodag_cli.graph.assignments import overrides
    from videodag_cli.graph.plan import make_plan

    loaded, registry = pipeline_of(case)
    (given,) = overrides([loaded.pipeline], registry, None, assignments)
    plan = make_plan(loaded, registry, overrides=given)
    table: dict[str, Any] = {}
    for step in plan.steps:
        for name, value in given.get(step.id, {}).items():
            checked = step.params.get(name)
            if f"{step.id}.{name}" in plan.files:
                value = _relative(str(value), case.suite)
            elif isinstance(checked, bool | int | float):
                value = checked
            table[f"{step.id}.{name}"] = value
    return table


def _report(outcomes: Sequence[CaseOutcome], out: StraightOutput | None, junit: Path | None) -> None:
    """JSON, JUnit, and the table for the page of a CI job."""
    import os

    from videodag_cli.check.forms import as_json, as_junit, as_markdown
    from videodag_cli.cli.streams import print_json
    from videodag_cli.system.files import append, write_atomically

    if out is not None:
        print_json(as_json(outcomes), out)
    if junit is not None:
        write_atomically(junit, as_junit(outcomes))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        append(Path(summary), as_markdown(outcomes).encode("utf-8", "backslashreplace"))


def _error(outcomes: Sequence[CaseOutcome]) -> VideodagError | None:
    """The error the command ends with: one line for all cases."""
    from videodag_cli import errors
    from videodag_cli.check.check import exit_code
    from videodag_cli.check.forms import headline

    code = exit_code(outcomes)
    if code == 0:
        return None
    bad = [outcome for outcome in outcomes if outcome.exit_code]
    names = ", ".join(errors.printable(outcome.name, limit=60) for outcome in bad[:5]) + (", …" if len(bad) > 5 else "")
    worst = next(outcome for outcome in bad if outcome.exit_code == code)
    cases = "1 case" if len(outcomes) == 1 else f"{len(outcomes)} cases"
    say = f"{len(bad)} of {cases} did not pass: {names}; {headline(worst)}"
    if code == 5:
        only_asserted = all(outcome.comparison is None or outcome.comparison.is_equal for outcome in bad)
        return errors.DifferenceError(say, word="check.assertion" if only_asserted else "check.difference")
    if code == 4:
        return errors.IncompleteError(say)
    return errors.RequestError(say, word=worst.word) if code == 2 else errors.VideodagError(say)
