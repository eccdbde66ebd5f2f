"""SIGKILL of a batch, of one of its workers or of what a worker watches, then the same command: as if nothing had happened."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.clips import encode
from tests.commands import call, command, pipeline, start
from tests.graphs import TOYS, node
from tests.soak.table import Tally

CLIPS = 5
FRAMES = 40
WATCHED = ("--timeout", "600", "--max-memory", "4G")
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "plain": (1, ()),
    "watched": (1, WATCHED),
    "isolated": (1, ("--isolate",)),
    "shared": (2, ()),
    "shared and watched": (2, WATCHED),
    "shared and isolated": (2, ("--isolate",)),
}
"""Pipelines over one decode, and options."""
TARGETS = ("batch", "worker", "child")
ROLES = {"executors.worker": "worker", "executors.alone": "child"}


@dataclass(frozen=True)
class BatchVariant:
    """A batch with its command and the bytes of every output that it ends in."""

    name: str
    arguments: tuple[str, ...]
    folder: Path
    reference: dict[str, bytes]
    took_s: float


def batch_variant(folder: Path, kind: str) -> BatchVariant:
    """The batch of a kind, run once undisturbed."""
    folder = folder / kind
    videos = folder / "in"
    videos.mkdir(parents=True)
    clip = encode(folder / "clip.mp4", indices=range(FRAMES))
    for number in range(CLIPS):
        (videos / f"{number}.mp4").write_bytes(clip.read_bytes())
    count, options = KINDS[kind]
    nodes: list[Any] = [
        node("hostile.slow", sleep_s=0.01),
        node("fails:hostile.stateless", at=[11]),
        "counter",
        "hostile.kept",
    ]
    pipelines = [("-p", pipeline(folder, nodes[: 4 - number], id=f"p{number}")) for number in range(count)]
    out = folder / "out"
    arguments = command(
        "run", *itertools.chain(*pipelines), "--plugins-dir", TOYS, "-q", "--jobs", "2", "--output-dir", out,
        "--checkpoint-every", "0.05", *options, videos,
    )  # fmt: skip
    began = time.monotonic()
    done = call(arguments)
    assert done.code == 4, done.err  # the frames that fail are on record
    return BatchVariant(kind, tuple(arguments), out, _results(out), time.monotonic() - began)


def _results(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*.jsonl"))}


def kill_once(variant: BatchVariant, target: str, chance: random.Random, tally: Tally) -> None:
    """One kill, and the run that finishes."""
    for path in variant.folder.iterdir():
        path.unlink()
    row = f"{variant.name}, {target}"
    process = start(variant.arguments)
    seen: dict[int, str] = {}
    wait_s = variant.took_s * chance.uniform(0, 1.0 if target == "batch" else 0.6)
    until = time.monotonic() + wait_s if target == "batch" else float("inf")
    while process.poll() is None and time.monotonic() < until:
        seen |= {pid: role for pid, role, _ in _family(process.pid)}
        if target in seen.values():  # from its start on, which takes its time
            until = min(until, time.monotonic() + wait_s)
        _check_ledger(variant, row, tally)
        time.sleep(0.005)
    victims = [pid for pid, role, _ in _family(process.pid) if role == target]
    victim = chance.choice(victims) if victims else process.pid if target == "batch" else 0
    if process.poll() is not None or not victim:
        tally.add(row, "too late" if process.poll() is not None else "too early")
        process.kill()
    else:
        seen |= {pid: role for pid, role, _ in _family(process.pid)}
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            tally.add(row, "kills")
        if target == "batch":
            process.wait(10)
        else:
            while process.poll() is None:
                _check_ledger(variant, row, tally)
                time.sleep(0.005)
    process.communicate()
    left = _left(set(seen))
    tally.require(row, not left, f"processes left behind: {left}")
    _check_ledger(variant, row, tally)
    done = call(variant.arguments)
    if done.code != 4:
        tally.problem(row, f"exit code {done.code}: {done.err}")
        return
    same = _results(variant.folder) == variant.reference
    tally.add(row, "equal bytes" if same else "different bytes")
    tally.require(row, same, "outputs differ from those of the undisturbed batch")
    expected = {"batch.json", *variant.reference, *(f"{name}.run.json" for name in variant.reference)}
    files = {path.name for path in variant.folder.iterdir()}
    tally.require(row, files == expected, f"files left behind or missing: {sorted(files ^ expected)}")
    ledger = orjson.loads((variant.folder / "batch.json").read_bytes())
    tally.require(row, ledger["status"] == "ended", f"batch.json says {ledger['status']}")


def _check_ledger(variant: BatchVariant, row: str, tally: Tally) -> None:
    """`batch.json` is whole whenever it is read."""
    with contextlib.suppress(FileNotFoundError):
        text = (variant.folder / "batch.json").read_bytes()
        try:
            orjson.loads(text)
            tally.add(row, "readings")
        except ValueError:
            tally.problem(row, f"batch.json cannot be read: {text[:60]!r}")


def _family(root: int) -> list[tuple[int, str, int]]:
    """Workers and watched children below a process: id, role, parent."""
    shown = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in shown.splitlines()]
    found: list[tuple[int, str, int]] = []
    parents = {root}
    for _ in range(2):
        for pid, parent, text in rows:
            role = next((role for part, role in ROLES.items() if part in text), None)
            if role is not None and int(parent) in parents and int(pid) not in parents:
                found.append((int(pid), role, int(parent)))
        parents |= {pid for pid, _, _ in found}
    return found


def _left(pids: set[int]) -> list[int]:
    """Those that still run some seconds later."""
    until = time.monotonic() + 5
    while (alive := [pid for pid in pids if _runs(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return alive


def _runs(pid: int) -> bool:
    try:
        return "executors." in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return False


def batch_kills(folder: Path, *, count: int, seed: int = 0, deadline_s: float = float("inf")) -> Tally:
    """At least `count` kills, spread over batches, workers and the children of workers."""
    tally = Tally(f"SIGKILL in a batch at random times, {count} at least; then the same command")
    chance = random.Random(seed)
    variants = {kind: batch_variant(folder / f"batch-kills-{os.getpid()}", kind) for kind in KINDS}
    end = time.monotonic() + deadline_s
    done = 0
    while done < count and time.monotonic() < end:
        for kind, variant in variants.items():
            # With --isolate, a child that is killed costs the frame it was at, as a tool that crashes does.
            for target in TARGETS[: 3 if KINDS[kind][1] == WATCHED else 2]:
                kill_once(variant, target, chance, tally)
        done = sum(counter["kills"] for counter in tally.counts.values())
    return tally
