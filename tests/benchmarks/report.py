"""What a group of measurements is given and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import clips
from tests.benchmarks.measure import Contender, Result, measure
from tests.benchmarks.table import table

QUICK_SECONDS = 6.0


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure."""

    rounds: int
    say: Callable[[str], None]
    scratch: Path
    """An empty folder for outputs."""
    quick: bool = False
    """Short clips: to see that everything works, not to learn anything."""

    def clip(self, name: str) -> Path:
        self.say(f"clip {name}")
        return clips.clip(name, seconds=QUICK_SECONDS if self.quick else None)


@dataclass(frozen=True)
class Section:
    """One table: as text, and as JSON."""

    title: str
    text: str
    data: Any
    missed: Sequence[str] = field(default=())
    """What was asked for and not reached."""


def compare(title: str, contenders: Sequence[Contender], settings: Settings) -> Section:
    """Measure contenders side by side."""
    settings.say(title)
    return section(title, measure(contenders, rounds=settings.rounds, say=settings.say), settings)


def section(title: str, results: Sequence[Result], settings: Settings) -> Section:
    """Results as a table; on short clips, where starting up is most of the time, nothing is asked for."""
    if settings.quick:
        for result in results:
            result.limits = {}
    by_name = {result.name: result for result in results}
    data = [result.as_json(by_name.get(result.base or "")) for result in results]
    missed = [f"{title}: {r.name}: {what}" for r in results for what in r.missed(by_name.get(r.base or ""))]
    return Section(title, table(title, results), data, missed)
