"""The examples of the README and the guide: fenced `console` blocks, run page by page in a folder like a checkout.

A block holds commands behind `$ ` (continued with a backslash) and what they print, on both streams; a line `...` stands for any
number of lines. Fenced blocks with a file's name behind the language (```json waiting.json) are files that the commands find.
`python -m tests.examples [PAGE...]` runs them and writes what they print now into the pages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", re.MULTILINE)
VARIES = [
    (re.compile(r"\d+(\.\d+)? frames/s"), "N frames/s"),
    (re.compile(r"\b\d+\.\d+ ?s\b"), "N s"),
    (re.compile(r"\d+ % of wall"), "N % of wall"),
    (re.compile(r"(sha256[: ])[0-9a-f]+"), r"\1N"),
    (re.compile(r" *\b[\d,]+ bytes\b"), "N bytes"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b"), "DATE"),
]
"""What differs from run to run or from machine to machine in text for people."""


@dataclass(frozen=True)
class Example:
    command: str
    output: str


def examples(text: str) -> Iterator[Example]:
    for block in BLOCK.findall(text):
        for command, output in COMMAND.findall(block):
            yield Example(command.strip(), output)


def make_folder(folder: Path) -> dict[str, str]:
    """Fill the folder with what a checkout has and with the files that the pages show; the environment to run commands in."""
    for name in ("sample_videos", "pipelines", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for page in PAGES:
        for name, text in FILE.findall(page.read_text()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    commands = folder / ".bin"
    commands.mkdir()
    (commands / "videodag").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m videodag_cli "$@"\n')
    (commands / "videodag").chmod(0o755)
    path = os.pathsep.join([str(commands), os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def printed(command: str, folder: Path, environment: dict[str, str], before: int) -> tuple[str, int]:
    """What a command prints on both streams, and its exit code; `$?` is that of the one before."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"(exit {before})\n{command}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        check=False,
        timeout=120,
    )
    return re.sub(r" +$", "", done.stdout.decode(), flags=re.MULTILINE), done.returncode


def can_run(command: str) -> bool:
    return all(shutil.which(name) for name in ("jq",) if re.search(rf"\b{name} ", command))


def alike(got: str, shown: str) -> bool:
    """Whether a command printed what is shown: text to the character, JSON within the tolerances of other machines."""
    parts = [part.split("\n") for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)]
    wanted = [[line for line in part if line] for part in parts]
    lines = [line for line in got.split("\n") if line]
    if len(wanted) == 1:
        return _all_alike(lines, wanted[0])
    if not _all_alike(lines[: len(wanted[0])], wanted[0]):
        return False
    end = len(lines) - len(wanted[-1])
    if not _all_alike(lines[end:], wanted[-1]):
        return False
    at = len(wanted[0])
    for part in wanted[1:-1]:
        places = range(at, end - len(part) + 1)
        found = next((i for i in places if _all_alike(lines[i : i + len(part)], part)), None)
        if found is None:
            return False
        at = found + len(part)
    return at <= end


def _all_alike(lines: list[str], shown: list[str]) -> bool:
    return len(lines) == len(shown) and all(map(_line_alike, lines, shown))


def _line_alike(got: str, shown: str) -> bool:
    try:
        return _close(json.loads(got), json.loads(shown))
    except ValueError:
        return _steady(got) == _steady(shown)


def _steady(line: str) -> str:
    for pattern, replacement in VARIES:
        line = pattern.sub(replacement, line)
    return line.rstrip()


def _close(got: Any, shown: Any) -> bool:
    if isinstance(shown, dict) and isinstance(got, dict):
        return list(got) == list(shown) and all(_close(got[key], shown[key]) for key in shown)
    if isinstance(shown, list) and isinstance(got, list):
        return len(got) == len(shown) and all(map(_close, got, shown))
    if isinstance(shown, float) and isinstance(got, int | float):
        return abs(got - shown) <= max(0.05, 0.01 * abs(shown))
    return bool(got == shown)


def renewed(text: str, folder: Path, environment: dict[str, str]) -> str:
    """A page with what its commands print now, where that is not what it shows."""
    code = 0

    def renew(match: re.Match[str]) -> str:
        nonlocal code
        output, code = printed(match[1].strip(), folder, environment, code)
        return f"$ {match[1]}{match[2] if alike(output, match[2]) else output}"

    return BLOCK.sub(lambda block: "```console\n" + COMMAND.sub(renew, block[1]) + "```", text)


if __name__ == "__main__":
    for page in PAGES:
        if page.stem in sys.argv[1:] or not sys.argv[1:]:
            with tempfile.TemporaryDirectory() as name:
                old = page.read_text()
                new = renewed(old, Path(name), make_folder(Path(name)))
            if new != old:
                page.write_text(new)
                print(f"written: {page.relative_to(ROOT)}")
