"""`python -m tests.soak [kills|fuzz|faults|disk|files]... [--count N] [--minutes M] [--seed N]`; exit code 1 if anything was wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.soak.faults import disk, faults, files
from tests.soak.fuzz import fuzz
from tests.soak.kills import kills
from tests.soak.table import Tally

SOAKS: dict[str, Callable[..., Tally]] = {
    "kills": kills,
    "fuzz": fuzz,
    "faults": faults,
    "disk": disk,
    "files": files,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("soaks", nargs="*", metavar="|".join(SOAKS), help="which; default: all")
    parser.add_argument("--count", type=int, default=300, help="kills, damaged clips, faults (default: 300)")
    parser.add_argument("--minutes", type=float, default=60.0, help="at most this long for each (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    unknown = set(options.soaks) - SOAKS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; one of {', '.join(SOAKS)}")
    wrong = False
    with tempfile.TemporaryDirectory(prefix="videodag-soak-") as folder:
        for name in options.soaks or SOAKS:
            tally = SOAKS[name](Path(folder), count=options.count, seed=options.seed, deadline_s=options.minutes * 60)
            print(tally, end="\n\n", flush=True)
            wrong = wrong or bool(tally.problems)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
