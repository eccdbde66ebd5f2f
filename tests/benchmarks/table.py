"""Results as one aligned table of ratios."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.measure import Result

HEAD = ("contender", "wall s", "best s", "cpu s", "wall", "best", "cpu", "peak MB", "switches", "asked for")


def table(title: str, results: Sequence[Result]) -> str:
    """Seconds are medians (and the best); ratios refer to the base named above them, below 1 is faster."""
    by_name = {result.name: result for result in results}
    rows = [_row(result, by_name) for result in results]
    return "\n".join([title, "", *aligned([HEAD, *rows])])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first and the last column to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(result: Result, by_name: dict[str, Result]) -> tuple[str, ...]:
    if not result.runs:
        return (f"  {result.name}" if result.base else result.name, *[""] * 8, f"void: {result.wrong}")
    voluntary, forced = sorted(run.switches for run in result.runs)[len(result.runs) // 2]
    base = by_name.get(result.base or "")
    ratios = result.ratios(base) if base is not None and base.runs else None
    return (
        f"  {result.name}" if result.base else result.name,
        f"{result.median('wall_s'):.3f}",
        f"{result.best('wall_s'):.3f}",
        f"{result.median('cpu_s'):.3f}",
        *(
            (f"{ratios[what]:.2f}" for what in ("wall", "best", "cpu"))
            if ratios
            else ("1" if not result.base else "",) * 3
        ),
        f"{result.median('peak_mb'):.0f}",
        f"{voluntary}+{forced}",
        _verdict(result, base),
    )


def _verdict(result: Result, base: Result | None) -> str:
    """Each limit, whether it was kept, and what else is known."""
    parts = [f"{limit}: {'kept' if kept else 'MISSED'}" for limit, kept in result.verdicts(base).items()]
    return ", ".join([*parts, *(f"{name} = {value:.2f}" for name, value in result.facts.items())])
