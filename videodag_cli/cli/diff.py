"""`videodag diff`: two results of one video against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from videodag_cli.cli.shared_options import AsJson

if TYPE_CHECKING:
    from videodag_cli.compare.tolerance import Tolerances


def diff(
    expected: Annotated[str, typer.Argument(metavar="A", help="Results JSONL; - is standard input.")],
    actual: Annotated[str, typer.Argument(metavar="B", help="Results JSONL; - is standard input.")],
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OUTPUT.FIELD=VALUE", help="Change a tolerance: people.iou=0.6, or *.abs=0.5 for all outputs."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Print at most N differences.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Compare two results with tolerances; exit 5 where they differ."""
    from videodag_cli.compare.changes import changes, changes_text
    from videodag_cli.compare.comparison import compare_files
    from videodag_cli.errors import DifferenceError, RequestError
    from videodag_cli.results.reading import read_record, shown_name

    if expected == actual == "-":
        raise RequestError("one of the two must be a file; standard input can be read once")
    comparison = compare_files(expected, actual, tolerances=_tolerances(tolerance or []))
    changed = (
        changes_text(changes(read_record(expected), read_record(actual)))
        .replace("golden:", "A:")
        .replace("; now:", "; B:")
    )
    if as_json:
        from videodag_cli.check.forms import differences_json
        from videodag_cli.cli.streams import print_json

        document = {"frames": comparison.frames, "changed": changed or None, **differences_json(comparison)}
        print_json(document)
    else:
        if changed and not comparison.is_equal:
            typer.echo(changed)
        for line in comparison.lines(limit=limit):
            typer.echo(line)
        if comparison.is_equal:
            typer.echo(f"equal within the tolerances: {_frames(comparison.frames)}")
    if not comparison.is_equal:
        raise DifferenceError(
            f"{shown_name(actual)} differs from {shown_name(expected)}: {comparison.counted()} in {_frames(comparison.frames)}"
        )


def _frames(count: int) -> str:
    return f"{count} common {'frame' if count == 1 else 'frames'}"


def _tolerances(given: list[str]) -> Tolerances:
    from videodag_cli.compare.tolerance import Tolerances
    from videodag_cli.errors import RequestError, printable

    tables: dict[str, dict[str, Any]] = {}
    for text in given:
        place, equals, value = text.partition("=")
        output, dot, name = place.rpartition(".")
        if not (equals and dot and output and name):
            raise RequestError(
                f"--tolerance {printable(text)!r}: give OUTPUT.FIELD=VALUE, such as people.iou=0.6 or *.abs=0.5"
            )
        tables.setdefault(output, {})[name] = value.split(",") if name == "ignore" else value
    return Tolerances.of(tables)
