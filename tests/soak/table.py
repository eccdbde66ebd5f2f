"""Plain tables of counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts in named rows and columns, and the first few things that went wrong."""

    title: str
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, row: str, column: str) -> None:
        self.counts.setdefault(row, Counter())[column] += 1

    def problem(self, row: str, text: str) -> None:
        self.add(row, "WRONG")
        if len(self.problems) < 20:
            self.problems.append(f"{row}: {text}")

    def require(self, row: str, condition: bool, text: str) -> None:
        if not condition:
            self.problem(row, text)

    def __str__(self) -> str:
        columns = list(dict.fromkeys(column for counter in self.counts.values() for column in counter))
        rows = [["", *columns]]
        rows += [[name, *(str(counter[c]) for c in columns)] for name, counter in self.counts.items()]
        if len(self.counts) > 1:
            rows.append(["all", *(str(sum(counter[c] for counter in self.counts.values())) for c in columns)])
        return "\n".join([self.title, *_aligned(rows), *(f"WRONG {problem}" for problem in self.problems)])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
