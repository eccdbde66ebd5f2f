"""Whole processes measured side by side: A B C A B C, so that what disturbs the machine disturbs all of them.

This module imports nothing large: a child's peak memory starts from that of the process that it was started from.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
VIDEODAG = str(Path(sys.executable).with_name("videodag"))
BYTECODE = Path(tempfile.gettempdir()) / "videodag-benchmarks-bytecode"
"""Compiled modules of the measured processes: those of an installed package are compiled once, so here too."""


@dataclass(frozen=True)
class Run:
    """One process from its start to its end; CPU time and memory include the children it waited for."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    switches: tuple[int, int]
    """Context switches: voluntary (it waited) and involuntary (it was made to wait)."""


class FailedRunError(Exception):
    """A contender ended with an error: there is nothing to measure."""


@dataclass(frozen=True)
class Contender:
    """A command to be measured.

    base: name of the contender that ratios refer to; None for a base itself.
    limits: the largest ratio (`wall`, `best`, `cpu`) or number of megabytes (`peak_mb`) that is asked for.
    check: returns what is wrong with the contender's results; measured once, before the rounds.
    """

    name: str
    command: Sequence[str]
    base: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    check: Callable[[], str | None] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    """Run on the first so many CPUs of this process; None for all."""


@dataclass
class Result:
    """What was measured of one contender."""

    name: str
    base: str | None
    limits: Mapping[str, float]
    runs: list[Run] = field(default_factory=list)
    wrong: str | None = None
    """What is wrong with its results; its times do not count then."""
    facts: dict[str, float] = field(default_factory=dict)
    """Further numbers, such as the best that these CPU seconds allow."""

    def median(self, what: str) -> float:
        return float(statistics.median(getattr(run, what) for run in self.runs))

    def best(self, what: str) -> float:
        return float(min(getattr(run, what) for run in self.runs))

    def ratios(self, base: Result) -> dict[str, float]:
        """This contender to `base`; below 1 is faster."""
        return {
            "wall": self.median("wall_s") / base.median("wall_s"),
            "best": self.best("wall_s") / base.best("wall_s"),
            "cpu": self.median("cpu_s") / max(base.median("cpu_s"), 1e-3),
        }

    def verdicts(self, base: Result | None) -> dict[str, bool]:
        """For each limit whether it was kept."""
        if not self.runs:
            return {}
        found = {**(self.ratios(base) if base and base.runs else {}), "peak_mb": self.median("peak_mb"), **self.facts}
        return {f"{what} <= {limit:g}": found[what] <= limit for what, limit in self.limits.items() if what in found}

    def missed(self, base: Result | None) -> list[str]:
        """Limits that were not kept; all of them where the results are wrong."""
        if self.wrong:
            return [f"void: {self.wrong}"]
        return [limit for limit, kept in self.verdicts(base).items() if not kept]

    def as_json(self, base: Result | None) -> dict[str, Any]:
        return {
            "name": self.name,
            "base": self.base,
            "limits": dict(self.limits),
            "wrong": self.wrong,
            "ratios": self.ratios(base) if base and self.runs and base.runs else None,
            "facts": self.facts,
            "runs": [asdict(run) for run in self.runs],
        }


def once(contender: Contender, *, output: int = subprocess.DEVNULL) -> Run:
    """Run a command to its end. Raises `FailedRunError` with the end of what it said."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(BYTECODE), **contender.environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = list(contender.command)
    if contender.cpus is not None:
        chosen = sorted(os.sched_getaffinity(0))[: contender.cpus]
        command = ["taskset", "-c", ",".join(map(str, chosen)), *command]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, env=environment, cwd=ROOT
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        tail = said.decode(errors="replace").strip()[-500:]
        raise FailedRunError(f"{contender.name}: exit code {process.returncode}: {tail}")
    per_mb = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Run(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / per_mb,
        switches=(usage.ru_nvcsw, usage.ru_nivcsw),
    )


def measure(contenders: Sequence[Contender], *, rounds: int, say: Callable[[str], None]) -> list[Result]:
    """Each contender once per round, in turn, after one round that does not count.

    A contender whose results are wrong or that fails is not measured.
    """
    results = [Result(c.name, c.base, c.limits) for c in contenders]
    for contender, result in zip(contenders, results, strict=True):
        if contender.check is not None:
            say(f"checking {contender.name}")
            result.wrong = contender.check()
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        for contender, result in zip(contenders, results, strict=True):
            if result.wrong is None:
                try:
                    run = once(contender)
                except FailedRunError as error:
                    result.wrong = str(error)
                else:
                    result.runs += [run] * bool(number)
    return results
