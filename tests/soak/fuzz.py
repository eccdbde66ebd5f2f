"""Clips cut off, with flipped bits and with lost blocks: a documented end, whole lines, right pictures, and no hang."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Collection
from pathlib import Path

import orjson

from tests.clips import VALID, valid
from tests.commands import Done, call, pipeline, run_arguments
from tests.soak.table import Tally

HANGS_AFTER_S = 60
MAX_STDERR_LINES = 3


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 3, 30])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _header(data: bytearray, chance: random.Random) -> None:
    """Damage among the boxes, where counts, sizes and offsets are."""
    at = data.rfind(b"moov")
    for _ in range(chance.choice([1, 2, 8])):
        place = chance.randrange(max(at, 0), len(data))
        data[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])


def _block(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    size = chance.choice([16, 512, 4096])
    filling = chance.choice([b"\0", b"\xff", chance.randbytes(1)])
    data[start : start + size] = filling * len(data[start : start + size])


def _lose(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice([1, 7, 4096])]


DAMAGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "cut": _cut,
    "bits": _flip,
    "header": _header,
    "block": _block,
    "lost": _lose,
}


def fuzz(
    folder: Path, *, count: int, seed: int = 0, deadline_s: float = float("inf"), classes: Collection[str] = ()
) -> Tally:
    """`count` damaged clips of the classes given, or of all."""
    tally = Tally("damaged clips: exit codes, lines, pictures")
    chance = random.Random(seed)
    folder = folder / f"fuzz-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    path = pipeline(folder, ["hostile.painted"])
    end = time.monotonic() + deadline_s
    names = sorted(classes or VALID)
    for number in range(count):
        if time.monotonic() > end:
            break
        tally.title = f"{number + 1} damaged clips: exit codes, lines, pictures"
        name = names[number % len(names)]
        damage = chance.choice(list(DAMAGES))
        source = valid(name, folder)
        data = bytearray(source.read_bytes())
        DAMAGES[damage](data, chance)
        clip = folder / f"damaged{source.suffix}"
        clip.write_bytes(data)
        kept = folder.parent / f"fuzz-{seed}-{number}-{name}{source.suffix}"
        try:
            done = call(run_arguments(clip, path, "-q"), timeout_s=HANGS_AFTER_S)
        except subprocess.TimeoutExpired:
            tally.problem(damage, f"{name} (number {number}, seed {seed}) hangs; kept as {kept}")
            kept.write_bytes(data)
            continue
        except (AssertionError, ValueError) as error:
            tally.problem(damage, f"{name} (number {number}, seed {seed}): {str(error)[:300]}; kept as {kept}")
            kept.write_bytes(data)
            continue
        problem = judge(done, tally, damage)
        if problem:
            tally.problem(damage, f"{name} (number {number}, seed {seed}): {problem}; kept as {kept}")
            kept.write_bytes(data)
    return tally


def judge(done: Done, tally: Tally, row: str) -> str:
    """What is wrong with the end of a run over a damaged clip; empty if nothing is."""
    tally.add(row, f"exit {done.code}")
    if done.code not in (0, 3, 4):
        return f"exit code {done.code}: {done.err[:300]}"
    if done.out and not done.out.endswith(b"\n"):
        return "the last line is torn"
    if done.err.count("\n") > MAX_STDERR_LINES:
        return f"{done.err.count(chr(10))} lines on standard error"
    last = -1
    for line in done.out.splitlines():
        found = orjson.loads(line)
        if found["frame_index"] <= last:
            return f"frame {found['frame_index']} after frame {last}"
        last = found["frame_index"]
        painted = found["result"]["painted"]
        if painted == last:
            tally.add(row, "right pictures")
        else:
            tally.add(row, "unreadable pictures" if painted < 0 else "other pictures")
    return ""
