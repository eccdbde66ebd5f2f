"""`python -m tests.benchmarks [group...]`: measure, print one table of ratios for each question, and write JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks import clips
from tests.benchmarks.measure import FailedRunError
from tests.benchmarks.report import Section, Settings

GROUPS = (
    "decode",
    "sampling",
    "pipeline",
    "peers",
    "engine",
    "startup",
    "memory",
    "tools",
    "batch",
    "serve",
    "plan",
    "rerun",
    "networks",
)
PACKAGES = ("videodag", "opencv-python-headless", "av", "numpy", "onnxruntime", "scenedetect-headless")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure videodag side by side with what people would use instead. Ratios below 1 are faster than the base, which "
        "is the row above that is not indented. Measure on a machine that does nothing else.",
    )
    parser.add_argument("groups", nargs="*", metavar="group", help=f"all, or some of: {', '.join(GROUPS)}")
    parser.add_argument(
        "-n", "--rounds", type=int, default=7, help="rounds, each with every contender once (default 7)"
    )
    parser.add_argument("--quick", action="store_true", help="short clips, 2 rounds, no limits: to see that it works")
    parser.add_argument("--json", type=Path, default=clips.folder() / "results.json", help="where the numbers go")
    options = parser.parse_args()
    unknown = sorted(set(options.groups) - set(GROUPS))
    if unknown:
        parser.error(f"no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    chosen = [name for name in GROUPS if name in options.groups or not options.groups]
    started = time.perf_counter()
    found: dict[str, list[Section]] = {}
    with tempfile.TemporaryDirectory(prefix="videodag-benchmarks-") as scratch:
        settings = Settings(
            rounds=min(options.rounds, 2) if options.quick else options.rounds,
            say=lambda text: print(f"  {text}", file=sys.stderr, flush=True),
            scratch=Path(scratch),
            quick=options.quick,
        )
        for name in chosen:
            found[name] = []
            try:
                for section in importlib.import_module(f"tests.benchmarks.groups.{name}").measure(settings):
                    found[name].append(section)
                    print(f"\n{section.text}", flush=True)
            except (clips.MissingCommandError, FailedRunError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
    missed = [text for sections in found.values() for section in sections for text in section.missed]
    heading = f"{len(missed)} limits missed" if missed else "no limit missed"
    print("\n" + "\n  ".join([heading, *missed]))
    document = {
        "machine": _machine(),
        "rounds": settings.rounds,
        "quick": settings.quick,
        "seconds": round(time.perf_counter() - started),
        "groups": {name: [{"title": s.title, "rows": s.data} for s in sections] for name, sections in found.items()},
        "missed": missed,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1))
    print(f"{options.json}", file=sys.stderr)
    return 0


def _machine() -> dict[str, Any]:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": _cpu_name(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
