"""`python -m tests.soak [NAME]... [--count N] [--minutes M] [--seed N]`, with names of `SOAKS`; without one, all of them;
exit code 1 if anything was wrong.

`python -m tests.soak files-against-ffmpeg DIR` compares every MP4 and MOV file of a folder with FFmpeg; `make-files DIR [--count N]`
makes files for it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.soak.against_ffmpeg import compare_folder
from tests.soak.batch_kills import batch_kills
from tests.soak.cache_edits import cache_edits
from tests.soak.faults import disk, faults, files
from tests.soak.fuzz import fuzz
from tests.soak.kills import kills
from tests.soak.made_files import make_files
from tests.soak.samplings import samplings
from tests.soak.serve_fuzz import serve_fuzz
from tests.soak.serve_kills import serve_kills
from tests.soak.table import Tally

SOAKS: dict[str, Callable[..., Tally]] = {
    "kills": kills,
    "batch-kills": batch_kills,
    "cache-edits": cache_edits,
    "serve-kills": serve_kills,
    "serve-fuzz": serve_fuzz,
    "fuzz": fuzz,
    "samplings": samplings,
    "faults": faults,
    "disk": disk,
    "files": files,
}


def files_against_ffmpeg(folder: Path) -> int:
    """Compare each file of a folder, and say what differs."""
    verdicts: Counter[str] = Counter()
    for comparison in compare_folder(folder):
        verdicts[comparison.verdict] += 1
        print(comparison, flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or "no file found")
    return int(verdicts["DISAGREE"] > 0 or not verdicts)


def main() -> int:
    if len(sys.argv) == 3 and sys.argv[1] == "files-against-ffmpeg":
        return files_against_ffmpeg(Path(sys.argv[2]))
    if sys.argv[1:2] == ["make-files"]:
        parser = argparse.ArgumentParser(prog="python -m tests.soak make-files")
        parser.add_argument("folder", type=Path)
        parser.add_argument("--count", type=int, help="only so many of them")
        chosen = parser.parse_args(sys.argv[2:])
        print(f"{sum(1 for _ in make_files(chosen.folder, count=chosen.count))} files")
        return 0
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
    folder = Path(tempfile.mkdtemp(prefix="videodag-soak-"))
    for name in options.soaks or SOAKS:
        tally = SOAKS[name](folder, count=options.count, seed=options.seed, deadline_s=options.minutes * 60)
        print(tally, end="\n\n", flush=True)
        wrong = wrong or bool(tally.problems)
    if not wrong:  # files with which something was wrong are kept in it
        shutil.rmtree(folder, ignore_errors=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
